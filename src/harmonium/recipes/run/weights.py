"""How probable a model finds rows along the way, but for log Z."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from harmonium.likelihood.clamped import exact_sums
from harmonium.likelihood.row_exchange import annealed
from harmonium.models import EnergyModel
from harmonium.models.intake import Rows
from harmonium.recipes.run.likelihoods import free_energies

PAIRS = 2**20  # of a row and a state that are summed at every measurement
GAPPED = 500  # rows with gaps, an even choice, that chains fill


def conditional_log_weights(
    model: EnergyModel, v: Tensor, held: Tensor, seed: int
) -> tuple[np.ndarray, float]:
    """(log P(v_A | v_B) of rows, nats; standard error of their mean), with the columns B `held`; as
    `log_weights`, which its arguments are those of.
    """
    clamped, error = log_weights(model, torch.where(held.to(v.device), v, torch.nan), seed)
    if len(clamped) < len(v):
        v = v[torch.linspace(0, len(v) - 1, len(clamped), device=v.device).long()]
    whole, own = log_weights(model, v, seed)
    return whole - clamped, math.hypot(error, own)


def log_weights(model: EnergyModel, v: Tensor, seed: int) -> tuple[np.ndarray, float]:
    """(log Σ exp(-E) over all that each row leaves open, nats; standard error of their mean).

    -F(v) of whole rows. Of rows with gaps it is summed where that is cheap; where it isn't, a few annealed
    chains estimate it, for an even choice of the rows.

    Args:
        model: a model with a free energy.
        v: visible states, (rows, n_visible), NaN where free.
        seed: of the chains.
    """
    held = ~torch.isnan(v)
    if bool(held.all()):
        return -free_energies(model, v), 0.0
    value, _ = exact_sums(model, v, held, PAIRS)
    if bool(torch.isnan(value).any()) and len(v) > GAPPED:
        some = torch.linspace(0, len(v) - 1, GAPPED, device=v.device).long()
        v, held, value = v[some], held[some], value[some]
    left = torch.isnan(value).nonzero().flatten()
    if len(left) == 0:
        return value.cpu().numpy(), 0.0
    value[left], error = annealed(model, v[left], held[left], seed)
    return value.cpu().numpy(), error * len(left) / len(v)


def log_weights_of(model: EnergyModel, rows: Rows, seed: int) -> tuple[np.ndarray, float]:
    """The same of rows of data, some at a time where they are whole."""
    if rows.free:
        return log_weights(model, rows.states(), seed)
    return np.concatenate([-free_energies(model, piece) for piece in rows.pieces()]), 0.0
