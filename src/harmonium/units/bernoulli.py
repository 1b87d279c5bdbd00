"""Units that are 0 or 1."""
# ruff: noqa: D102

from __future__ import annotations

import torch
from torch import Tensor

from harmonium import kernels
from harmonium.numerics import softplus
from harmonium.random import Address
from harmonium.units.base import Units


class Bernoulli(Units):
    """x ∈ {0, 1}, U = 0: Γ(I) = softplus(I), Γ' = σ(I), Γ'' = σ(I) σ(-I).

    >>> units = Bernoulli(3)
    >>> units.mean(torch.zeros(1, 3))
    tensor([[0.5000, 0.5000, 0.5000]])
    """

    cardinality = 2
    least = 0.0
    two_values = (0.0, 1.0)

    def potential(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)

    def cumulant(self, field: Tensor) -> Tensor:
        return softplus(field)

    def mean(self, field: Tensor) -> Tensor:
        return torch.sigmoid(field)

    def variance(self, field: Tensor) -> Tensor:
        return torch.sigmoid(field) * torch.sigmoid(-field)

    def mode(self, field: Tensor) -> Tensor:
        return (field > 0).to(field)

    def sample(self, field: Tensor, address: Address) -> Tensor:
        return kernels.draw_bernoulli(field, address)

    def violation(self, x: Tensor) -> str | None:
        return None if bool(((x == 0) | (x == 1)).all()) else "values must be 0 or 1"

    def site_values(self) -> Tensor:
        return torch.tensor([[0.0], [1.0]])

    @torch.no_grad()
    def match(self, x: Tensor, weights: Tensor | None = None) -> None:
        total, ones = self._totals(x, weights)
        # half a pseudo-count of each value (Krichevsky & Trofimov 1981) keeps constant columns finite
        self.bias.copy_(torch.log((ones + 0.5) / (total - ones + 0.5)))
