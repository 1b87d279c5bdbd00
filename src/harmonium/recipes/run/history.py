"""What happened while training: a table of records, and a progress bar that shows them."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any

from torch import Tensor

from harmonium.learning import Update
from harmonium.models import EnergyModel
from harmonium.recipes.run.learning_rate import Schedule

if TYPE_CHECKING:
    import pandas as pd

Record = dict[str, Any]


@dataclass
class History:
    """The course of one training.

    Attributes:
        model: the trained model.
        records: one dictionary per measurement, in order of `step`; log-likelihoods in nats per row, of the
            states: for a table with maps they differ from those of `hm.log_likelihood`, which are in its own
            units, by the mean of `model.schema.log_jacobian`, whatever the step.
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


class ProgressBar:
    """A callback that shows how training goes on stderr, a few times a second.

    Args:
        schedule: the clock of the run.
        show: whether to show anything; None asks whether stderr is a terminal.
    """

    def __init__(self, schedule: Schedule, show: bool | None) -> None:
        self.schedule = schedule
        self.show = sys.stderr.isatty() if show is None else show
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> ProgressBar:
        if self.show:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            self._bar = Progress(
                TextColumn("[bold]fit"),
                BarColumn(bar_width=24),
                TextColumn("{task.percentage:3.0f}%"),
                TextColumn("{task.fields[rate]}"),
                TimeRemainingColumn(compact=True),
                TextColumn("{task.fields[figures]}"),
                console=Console(stderr=True),
                refresh_per_second=4,
            )
            self._task = self._bar.add_task("fit", total=1.0, rate="", figures="")
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, update: Update) -> None:
        if self._bar is not None and update.step % 10 == 0:
            self._bar.update(self._task, completed=self.schedule.progress(update.step))

    def record(self, record: Record) -> None:
        """Show the figures of a new record."""
        if self._bar is None:
            return
        self._bar.update(
            self._task, rate=f"{record['updates_per_second']:.0f} updates/s", figures=in_words(record)
        )


def in_words(record: Record) -> str:
    """The figures that matter, in one line.

    >>> in_words({"train_log_likelihood": -9.8765, "free_energy_gap": 0.25, "r_hat": 1.02})
    'train -9.877 nats/row · gap +0.25 · R̂ 1.02'
    """
    figures = []
    for key, label in (("validation_log_likelihood", "valid"), ("train_log_likelihood", "train")):
        if key in record:
            error = 1.96 * record.get(f"{key}_stderr", 0.0)  # of the 95 % interval
            figures.append(f"{label} {record[key]:.3f}" + (f" ± {error:.3f}" if error else ""))
    if figures:
        figures[-1] += " nats/row"
    if "free_energy_gap" in record:
        figures.append(f"gap {record['free_energy_gap']:+.2f}")
    if "r_hat" in record:
        figures.append(f"R̂ {record['r_hat']:.2f}")
    return " · ".join(figures)
