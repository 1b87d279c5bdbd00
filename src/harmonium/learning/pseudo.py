"""Pseudo-likelihood: every variable given all others, which needs neither log Z nor samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from harmonium import checks, kernels
from harmonium.learning.negative_phase import NegativePhase
from harmonium.learning.particles import Particles
from harmonium.learning.phases import Phases, two_phases
from harmonium.likelihood.proxies import finite_sites
from harmonium.models import EnergyModel
from harmonium.models.energy import backward
from harmonium.random import Address, Purpose

PAIRS = 2**14  # rows changed at one variable, per block of work


class PseudoLikelihood(NegativePhase):
    """Minimises -Σᵢ log P(vᵢ | all other visible variables), averaged over the data (Besag 1975).

    With F the free energy and v(i, c) the row v whose variable i is in state c, the gradient is

        Σᵢ [∂F(v)/∂θ - Σ_c P(vᵢ = c | rest) ∂F(v(i, c))/∂θ],

    a negative phase over all rows that differ from the data in one variable: what one step of Gibbs sampling
    at a random site makes on average, without the noise (Hyvärinen 2006). It is consistent, and exact for
    independent variables, but neither sees nor removes modes that are far from all data.

    Args:
        sites: variables per row, drawn anew at each update and weighted so that the gradient is unbiased, at
            a fraction of the cost; None for all.
        seed: of their choice.

    Raises:
        TypeError: at the first update, when a visible variable has infinitely many states.

    >>> import harmonium as hm
    >>> from harmonium.learning import equally_weighted
    >>> rbm = hm.RBM(visible=hm.Bernoulli(3), hidden=hm.Bernoulli(2))
    >>> phases = PseudoLikelihood().accumulate(rbm, equally_weighted(torch.zeros(1, 3)), step=0)
    >>> rbm.weight.grad.shape
    torch.Size([3, 2])
    """

    divides = True

    def __init__(self, sites: int | None = None, seed: int = 0) -> None:
        self.sites = None if sites is None else checks.positive_integer("sites", sites)
        self.seed = checks.seed("seed", seed)

    def accumulate(self, model: EnergyModel, data: Particles, step: int) -> Phases:
        """Add the gradient; the data stand for the particles that there are none of."""
        return two_phases(model, data, data, lambda: self._negative_phase(model, data, step))

    def _negative_phase(self, model: EnergyModel, data: Particles, step: int) -> None:
        if not model.has_free_energy():
            raise TypeError(
                f"model: pseudo-likelihood needs the free energy, which {type(model).__name__} hasn't got."
            )
        if self.sites is None and _all_at_once(model, data):
            return
        kinds = _kinds(model)
        n = sum(len(kind.columns) for kind in kinds)
        s = n if self.sites is None else min(self.sites, n)
        address, numbers = Address(self.seed, Purpose.SITES, step=step), data.numbers()
        for rows in torch.arange(len(data.v)).split(max(1, PAIRS // s)):
            sites = torch.arange(n).expand(len(rows), n)
            if s < n:
                here = address.at(chain=numbers[rows.numpy()])
                sites = kernels.uniform(here, (len(rows), n), torch.float64).argsort(1)[:, :s]
            part = Particles((data.v[rows],), data.weights[rows])
            _one_step(model, part, kinds, sites.to(data.v.device))


class _Kind(NamedTuple):
    """Variables with the same states: `columns` (variables, columns of one), `values` (states, columns)."""

    first: int  # number of the first variable
    columns: Tensor
    values: Tensor


def _kinds(model: EnergyModel) -> list[_Kind]:
    """All visible variables, in order, runs of equal ones together."""
    kinds: list[_Kind] = []
    for number, (columns, values) in enumerate(finite_sites(model.visible_space)):
        if kinds and torch.equal(kinds[-1].values, values):
            kinds[-1] = kinds[-1]._replace(columns=torch.cat([kinds[-1].columns, columns[None]]))
        else:
            kinds.append(_Kind(number, columns[None], values))
    return [_Kind(k.first, k.columns.to(model.device), k.values.to(model.device, model.dtype)) for k in kinds]


@torch.no_grad()
def _one_step(model: EnergyModel, data: Particles, kinds: Sequence[_Kind], sites: Tensor) -> None:
    """Add the negative phase of some rows, with the variables `sites` (rows, variables) of each."""
    v, n = data.v, sum(len(kind.columns) for kind in kinds)
    per_site = n / sites.shape[1]
    energy = model.free_energy(v)
    leaves = torch.zeros_like(energy)  # Σᵢ P(vᵢ changes | rest)
    states, weights = [v], []
    row_of = torch.arange(len(v), device=v.device)[:, None].expand_as(sites)
    for first, columns, values in kinds:
        mine = (sites >= first) & (sites < first + len(columns))
        row, where = row_of[mine], columns[sites[mine] - first]
        changed = _changes(v[row], where, values)
        energies = model.free_energy(changed.flatten(0, 1)).reshape(len(changed), -1)
        p = torch.softmax(torch.cat([-energy[row][None], -energies]), 0)[1:]
        leaves.index_add_(0, row, p.sum(0))
        states.append(changed.flatten(0, 1))
        weights.append(-(per_site * data.weights[row] * p).flatten())
    own = data.weights * (per_site * leaves - 1.0)
    model.accumulate_phase((torch.cat(states),), torch.cat([own, *weights]))


def _changes(rows: Tensor, columns: Tensor, values: Tensor) -> Tensor:
    """Each row with one variable, at its `columns`, in each other state: (states - 1, rows, width)."""
    own = rows.gather(1, columns)
    code = (own[:, None, :] == values).all(-1).int().argmax(1)
    others = [values[(code + k) % len(values)] for k in range(1, len(values))]
    return torch.stack([rows.scatter(1, columns, other) for other in others])


def _all_at_once(model: EnergyModel, data: Particles) -> bool:
    """The same for models that have every P(vᵢ | rest) from one product; whether this is one."""
    with torch.enable_grad():
        log_p = model.log_conditionals(data.v)
        if log_p is None:
            return False
        backward(-(data.weights * log_p).sum())
    model.accumulate_phase((data.v,), -data.weights)  # takes the positive phase back
    return True
