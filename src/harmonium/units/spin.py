"""Units that are -1 or +1."""
# ruff: noqa: D102

from __future__ import annotations

import torch
from torch import Tensor

from harmonium import kernels
from harmonium.numerics import log_two_cosh
from harmonium.random import Address
from harmonium.units.base import Units


class Spin(Units):
    """x ∈ {-1, +1}, U = 0: Γ(I) = log 2cosh I, Γ' = tanh I, Γ'' = 1/cosh² I.

    >>> units = Spin(2)
    >>> units.mode(torch.tensor([[-0.3, 2.0]]))
    tensor([[-1.,  1.]])
    """

    cardinality = 2
    least = -1.0
    two_values = (-1.0, 1.0)

    def potential(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)

    def cumulant(self, field: Tensor) -> Tensor:
        return log_two_cosh(field)

    def mean(self, field: Tensor) -> Tensor:
        return torch.tanh(field)

    def variance(self, field: Tensor) -> Tensor:
        return 4.0 * torch.sigmoid(2.0 * field) * torch.sigmoid(-2.0 * field)

    def mode(self, field: Tensor) -> Tensor:
        return torch.where(field > 0, 1.0, -1.0).to(field)

    def sample(self, field: Tensor, address: Address) -> Tensor:
        return kernels.draw_spin(field, address)

    def violation(self, x: Tensor) -> str | None:
        return None if bool(((x == -1) | (x == 1)).all()) else "values must be -1 or +1"

    def site_values(self) -> Tensor:
        return torch.tensor([[-1.0], [1.0]])

    @torch.no_grad()
    def match(self, x: Tensor, weights: Tensor | None = None) -> None:
        total, moment = self._totals(x, weights)
        # half a pseudo-count of each value, as for Bernoulli units
        self.bias.copy_(0.5 * torch.log((total + moment + 1.0) / (total - moment + 1.0)))
