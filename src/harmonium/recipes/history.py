"""What happened while training, as a table."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import Tensor

from harmonium.models import EnergyModel

if TYPE_CHECKING:
    import pandas as pd

Record = dict[str, Any]


@dataclass
class History:
    """The course of one training.

    Attributes:
        model: the trained model.
        records: one dictionary per measurement, in order of `step`; log-likelihoods in nats per row.
        settings: every setting that the run used, including those chosen by default.
        warnings: what was seen that a careful user should know, with the remedy.
        notes: everything that the rules of the run did, and why.
        best_step: the update whose parameters the model has now.
        state: what a later call on this model takes to go on, as `state=` of `hm.fit`.
    """

    model: EnergyModel
    records: list[Record] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    best_step: int = 0
    state: dict[str, Tensor] = field(default_factory=dict, repr=False)

    def table(self) -> pd.DataFrame:
        """The records as a pandas DataFrame with `step` as its index."""
        import pandas as pd

        return pd.DataFrame(self.records).set_index("step")

    def __repr__(self) -> str:
        last = self.records[-1] if self.records else {}
        said = ", ".join(
            f"{name} {last[name]:.4g}"
            for name in ("train_log_likelihood", "validation_log_likelihood")
            if name in last
        )
        return (
            f"History({len(self.records)} records, best step {self.best_step}{', ' + said if said else ''})"
        )
