"""Independent negative particles, where one side of a two-block model can be enumerated.

P(h) ∝ exp(-F(h)) is known for every hidden state, and P(v | h) is a product, so that h ~ P(h), v ~ P(v | h)
is a draw from P(v) itself: no chain that could keep to its mode, and no lag behind the model. The draws of h
are systematic (Carpenter, Clifford & Fearnhead 1999): among N of them a state of probability p comes ⌊Np⌋ or
⌈Np⌉ times, so that the shares of modes have next to no noise.
"""

from __future__ import annotations

import torch
from torch import Tensor

from harmonium import checks, kernels, processes
from harmonium.learning.negative_phase import NegativePhase
from harmonium.learning.particles import Particles, equally_weighted
from harmonium.models import EnergyModel
from harmonium.random import Address, Purpose
from harmonium.units import Units


class AncestralNegatives(NegativePhase):
    """Draws from P(v) by way of the hidden side, for two blocks of which the hidden one is finite.

    Args:
        particles: how many in each update.
        seed: of the draws.
        limit: the largest number of hidden states accepted.
    """

    n: int
    divides = True

    def __init__(self, particles: int = 512, seed: int = 0, limit: int = 2**16) -> None:
        self.n = checks.positive_integer("particles", particles)
        self.seed = checks.seed("seed", seed)
        self.limit = checks.positive_integer("limit", limit)
        self._states: Tensor | None = None

    @torch.no_grad()
    def draw(self, model: EnergyModel, data: Particles, step: int) -> Particles:
        pair = model.pair()
        if pair is None:
            raise TypeError(f"model: ancestral negatives expect two blocks, got {type(model).__name__}.")
        if self._states is None:
            self._states = _all_states(pair.hidden, self.limit, model.dtype)
        h, address = self._states, Address(self.seed, Purpose.CHAIN, step=2 * step)
        energy = pair.hidden.energy(h) - pair.visible.cumulant(pair.visible_field(h)).sum(-1)
        own = processes.share_of("chains", self.n)
        h = h[_systematic(torch.softmax(-energy.double(), 0), self.n, address)[own]]
        here = address.at(step=2 * step + 1, chain=own.start)
        v = pair.visible.sample(pair.visible_field(h), here)
        return equally_weighted(v, h, of=self.n, chain=own.start)


def _systematic(p: Tensor, n: int, address: Address) -> Tensor:
    """The numbers of `n` states, in rising order, state i about n pᵢ times."""
    cumulative = p.cumsum(0)
    u = kernels.uniform(address, (1, 1), torch.float64, p.device)
    at = (torch.arange(n, dtype=torch.float64, device=p.device) + u[0]) / n
    return torch.searchsorted(cumulative, at * cumulative[-1]).clamp(max=len(p) - 1)


def _all_states(hidden: Units, limit: int, dtype: torch.dtype) -> Tensor:
    count = hidden.n_states
    if count is None or count > limit:
        said = "infinitely many" if count is None else f"{count:.3g}"
        raise ValueError(f"model: ancestral negatives need at most {limit} hidden states, got {said}.")
    return hidden.states(torch.arange(count, device=hidden.bias.device)).to(dtype)
