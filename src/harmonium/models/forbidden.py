"""Rows of data that a model gives probability zero, whatever it learns."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from harmonium.models.energy import EnergyModel
from harmonium.models.intake import rows_of


def check_possible(model: EnergyModel, X: Any, name: str = "X") -> None:
    """Refuse rows that a Markov random field forbids: learning changes potentials, zeros stay.

    Raises:
        ValueError: names the first such row, and the factor that forbids it.
    """
    if X is None or not model.constrained:
        return
    rows = rows_of(model, X, name, free=True).states()
    whole = ~torch.isnan(rows).any(1)
    forbidden = torch.nonzero(whole)[~model.obeys(rows[whole])].flatten()
    if len(forbidden) == 0:
        return _check_gaps(model, rows, name)
    row = int(forbidden[0])
    raise ValueError(
        f"{name}: row {row} is forbidden: {model.why_forbidden(rows[row])}, so the row has probability zero"
        f" whatever is learned ({len(forbidden)} of {len(rows)} rows are forbidden)."
    )


def _check_gaps(model: EnergyModel, rows: Tensor, name: str) -> None:
    """Rows with gaps need a completion that the field allows, where that can be told exactly."""
    found = model.log_partitions(rows.double()) if bool(torch.isnan(rows).any()) else None
    impossible = [] if found is None else torch.nonzero(found == -torch.inf).flatten().tolist()
    if impossible:
        raise ValueError(
            f"{name}: row {impossible[0]} is forbidden: no completion of what it tells has a probability"
            f" above zero, whatever is learned ({len(impossible)} of {len(rows)} rows are forbidden)."
        )
