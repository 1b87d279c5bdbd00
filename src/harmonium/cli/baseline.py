"""Independent units: what any model must beat."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harmonium.models.support import Support
from harmonium.models.table import Values, take
from harmonium.store.registry import build
from harmonium.units import Units
from harmonium.units.known import known_energies, match_known

MOST_BYTES = 2**28
"""Memory for the rows that units are fitted to; of more rows an even choice is taken."""


def fit(units: Units, rows: Values) -> Units:
    """Independent units of the same type, fitted to rows of a table by maximum likelihood."""
    fitted = copy.deepcopy(units).double().cpu()
    stride = max(1, rows.shape[0] * rows.shape[1] * 8 // MOST_BYTES)
    chosen = take(rows, np.arange(0, len(rows), stride)).double()
    match_known(fitted, Support(fitted, coded=True).states(chosen))
    return fitted


@torch.no_grad()
def log_likelihood(units: Units, x: Tensor) -> float:
    """Mean log P of states under independent units, nats per row; of the known ones where cells are free."""
    x = x.to(units.bias)
    if not bool(torch.isnan(x).any()):
        return float((-units.energy(x)).mean() - units.cumulant(units.bias[None]).sum())
    return float(known_energies(units, x).mean().neg())


def to_json(units: Units) -> dict[str, Any]:
    """The units as a JSON object."""
    state = {name: x.tolist() for name, x in units.state_dict().items()}
    return {"units": units.config(), "state": state}


def from_json(facts: dict[str, Any]) -> Units:
    """The units that `to_json` has written."""
    units = build(facts["units"])
    assert isinstance(units, Units)
    units = units.double()
    state = {name: torch.tensor(x, dtype=torch.float64) for name, x in facts["state"].items()}
    units.load_state_dict(state)
    return units
