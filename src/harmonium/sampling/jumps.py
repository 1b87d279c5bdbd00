"""Moves from one cloud of rows to another, for chains that Gibbs sampling would keep where they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from harmonium import kernels
from harmonium.models import EnergyModel
from harmonium.random import Address, Purpose
from harmonium.sampling.chains import Chains
from harmonium.sampling.gibbs import BlockGibbs


@dataclass(frozen=True)
class CloudJumps:
    """A Gibbs sweep, then a Metropolis step by the vector from one centre to another.

    The cloud i of a state is that of the nearest centre. Some cloud j is drawn with its share qⱼ, and
    v' = v + cⱼ - cᵢ is taken with probability min(1, exp(F(v) - F(v')) qᵢ / qⱼ) if its cloud is j. Such a
    step can be undone, and so leaves P(v) as it is wherever the centres are (Hastings 1970). The blocks other
    than v are drawn anew by the next sweep before they are read.

    Attributes:
        centres: (clouds, n_visible).
        shares: probabilities of the clouds, (clouds,), > 0.
        scale: of each column in distances, (n_visible,), 0 for columns that don't count.
    """

    divides: ClassVar[bool] = True  # no chain has anything to do with another

    centres: Tensor
    shares: Tensor
    scale: Tensor

    @torch.no_grad()
    def __call__(self, model: EnergyModel, chains: Chains) -> Chains:
        chains = BlockGibbs()(model, chains)
        v, now = chains.visible, chains.address
        places = (Address(now.seed, p, now.step, now.chain) for p in (Purpose.PROPOSAL, Purpose.ACCEPT))
        u, w = (kernels.uniform(place, (len(v), 1), torch.float64, v.device) for place in places)
        here = self.cloud(v)
        cumulative = self.shares.cumsum(0)
        there = torch.searchsorted(cumulative, u[:, 0] * cumulative[-1]).clamp(max=len(self.shares) - 1)
        moved = v + (self.centres[there] - self.centres[here]).to(v)
        gain = (model.free_energy(v) - model.free_energy(moved)).double()
        log_ratio = gain + self.shares[here].log() - self.shares[there].log()
        taken = (w[:, 0].log() < log_ratio) & (self.cloud(moved) == there)
        return chains.with_visible(torch.where(taken[:, None], moved, v))

    def cloud(self, v: Tensor) -> Tensor:
        """The number of the nearest centre, (rows,)."""
        x, c = v.double() * self.scale, self.centres * self.scale
        return torch.cdist(x, c).argmin(1)
