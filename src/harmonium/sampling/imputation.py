"""What a model says about the free units of rows of which the others are known."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from harmonium.models import BlockModel, EnergyModel
from harmonium.models.intake import rows_of
from harmonium.random import Address, Purpose
from harmonium.sampling import Chains, Clamp, default_kernel, initial_chains, sample
from harmonium.units import Bernoulli, Binomial, Categorical, Mixed, Poisson, Spin, Units
from harmonium.units.mixed import parts_of

EXACT_STATES = 2**12
"""Completions of one row that are summed one by one; beyond, chains are run."""
COPIES = 8
"""Chains for each row, each of them HEATING sweeps annealed, then MEASURING sweeps averaged over."""
HEATING = 200
MEASURING = 200
ROWS = 2**10
"""Rows whose chains run together."""


@torch.no_grad()
def conditional_means(model: EnergyModel, X: Any, seed: int = 0) -> Tensor:
    """⟨v | known⟩: the mean of every unit given the known ones of its row, (rows, n_visible).

    Exact where the completions of a row are few enough to be summed, by their free energies. Otherwise the
    average over several chains with the known units clamped, of ⟨v | h⟩ where the model has it.

    Args:
        model: a model whose visible variables are units.
        X: rows with NaN where a unit is free, (rows, n_visible): whatever `hm.log_likelihood` takes.
        seed: of the chains.

    Raises:
        TypeError, ValueError: X has another width, or values outside the support.
    """
    units, rows = model.visible_space, rows_of(model, X, free=True).states()
    assert isinstance(units, Units)
    means = rows.clone()
    pending = []
    for i, row in enumerate(rows):
        sites = free_sites(units, torch.isnan(row)) if model.has_free_energy() else None
        if sites is None or math.prod(len(choices) for _, choices in sites) > EXACT_STATES:
            pending.append(i)
        elif sites:
            means[i] = _summed(model, row, sites)
    for part in torch.tensor(pending, dtype=torch.long).split(ROWS):
        if len(part):
            means[part] = _averaged(model, rows[part], seed)
    return torch.where(torch.isnan(rows), means, rows)


Site = tuple[slice, Tensor]
"""Columns of one site, and its states, (number, columns)."""


def free_sites(units: Units, free: Tensor) -> list[Site] | None:
    """The sites of a layer whose columns are free, None where one of them has infinitely many states."""
    sites, start = [], 0
    for part in parts_of(units):
        width = part.width // part.n
        for column in range(start, start + part.width, width):
            if bool(free[column]):
                if part.cardinality is None:
                    return None
                sites.append((slice(column, column + width), part.site_values()))
        start += part.width
    return sites


def _summed(model: EnergyModel, row: Tensor, sites: list[Site]) -> Tensor:
    """The mean over all completions of one row, each with its probability."""
    index = torch.arange(math.prod(len(choices) for _, choices in sites))
    v = row.repeat(len(index), 1)
    for columns, choices in sites:
        v[:, columns] = choices[index % len(choices)].to(v)
        index = torch.div(index, len(choices), rounding_mode="floor")
    weights = torch.softmax(-model.free_energy(v).double(), 0)
    return (weights @ v.double()).to(row)


def _averaged(model: EnergyModel, rows: Tensor, seed: int) -> Tensor:
    given = rows.repeat(COPIES, 1)
    start = sample(model, len(given), given, seed=seed, sweeps=HEATING)
    chains = initial_chains(model, len(given), Address(seed, Purpose.CLAMP), start)
    step = default_kernel(model, Clamp(~torch.isnan(given), given))
    total = torch.zeros_like(given, dtype=torch.float64)
    for _ in range(MEASURING):
        chains = step(model, chains)
        total += _smooth(model, chains).double()
    return (total / MEASURING).unflatten(0, (COPIES, len(rows))).mean(0).to(rows)


def _smooth(model: EnergyModel, chains: Chains) -> Tensor:
    """The visible states, or their means given the rest of the state, which scatter less."""
    if not isinstance(model, BlockModel) or model.n_visible_blocks != 1:
        return chains.visible
    return model.conditional_units(0).mean(model.field(0, chains.state))


def best_guess(units: Units, means: Tensor) -> Tensor:
    """States from means: the most probable value of a unit; the mean of real numbers, rounded of counts."""
    if isinstance(units, Mixed):
        parts = zip(parts_of(units), units.columns(), strict=True)
        return torch.cat([best_guess(part, means[:, columns]) for part, columns in parts], dim=1)
    if isinstance(units, Bernoulli):
        return (means > 0.5).to(means)
    if isinstance(units, Spin):
        return torch.where(means > 0, 1.0, -1.0).to(means)
    if isinstance(units, Categorical):
        return units.encode(means.unflatten(1, (units.n, -1)).argmax(-1)).to(means)
    if isinstance(units, (Binomial, Poisson)):
        return means.round()
    return means
