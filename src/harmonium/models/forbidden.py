"""Rows of data that a model gives probability zero, whatever it learns."""

from __future__ import annotations

from typing import Any

import torch

from harmonium.models.energy import EnergyModel
from harmonium.models.intake import states_of
from harmonium.models.markov import MarkovRandomField


def check_possible(model: EnergyModel, X: Any, name: str = "X") -> None:
    """Refuse rows that a Markov random field forbids: learning changes potentials, zeros stay.

    Raises:
        ValueError: names the first such row, and the factor that forbids it.
    """
    if X is None or not isinstance(model, MarkovRandomField) or model.positive:
        return
    rows = states_of(model, X, name)
    forbidden = torch.nonzero(~model.obeys(rows)).flatten()
    if len(forbidden) == 0:
        return
    row = int(forbidden[0])
    states = dict(zip(model.variables, rows[row].long().tolist(), strict=True))
    for scope, table in model.factors:
        at = tuple(states[variable] for variable in scope)
        if float(table[at]) == -torch.inf:
            raise ValueError(
                f"{name}: row {row} is forbidden: the factor over {scope!r} has a zero potential at {at}, so "
                f"the row has probability zero whatever is learned ({len(forbidden)} of {len(rows)} rows are "
                "forbidden)."
            )
