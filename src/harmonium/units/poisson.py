"""Units that count without a limit."""
# ruff: noqa: D102

from __future__ import annotations

import math

import torch
from torch import Tensor

from harmonium import kernels
from harmonium.random import Address
from harmonium.units.base import Tail, Units
from harmonium.units.quantile import normal_guess, smallest

_LARGE = 1e12  # above this rate the normal quantile errs by less than 1e-7 of probability


def _moderate_quantile(u: Tensor, rate: Tensor) -> Tensor:
    """The smallest k with P(X ≤ k) = Q(k+1, rate) ≥ u for rates up to _LARGE."""
    # a uniform of 52 bits lies within 8.3 standard deviations; the additions cover small rates (tail of 1/k!)
    reach = 9.0 * torch.sqrt(rate) + 25.0
    low = torch.floor((rate - reach).clamp(min=0.0)) - 1.0  # P(X ≤ low) < u
    high = torch.ceil(rate + reach)  # P(X ≤ high) ≥ u

    def reaches(k: Tensor, draws: Tensor) -> Tensor:
        return torch.special.gammaincc(k + 1.0, rate[draws]) >= u[draws]

    return smallest(reaches, _large_quantile(u, rate), low, high)


def _large_quantile(u: Tensor, rate: Tensor) -> Tensor:
    """The same for a large rate."""
    return normal_guess(u, rate, torch.sqrt(rate), torch.ones_like(rate))


class Poisson(Units):
    """x ∈ {0, 1, 2, …}, U = log x!: Γ(I) = exp(I) is the rate, the mean and the variance.

    A field above log of the largest number of its dtype (709 in float64, 88 in float32) has a rate that can't
    be written down; it raises an OverflowError instead of producing infinities.

    >>> Poisson(1).mean(torch.zeros(1, 1))
    tensor([[1.]])
    """

    tail = Tail.FACTORIAL
    least = 0.0

    def potential(self, x: Tensor) -> Tensor:
        return torch.lgamma(x + 1.0)

    def cumulant(self, field: Tensor) -> Tensor:
        self._check_field(field)
        return torch.exp(field)

    def _check_field(self, field: Tensor) -> None:
        limit = math.log(torch.finfo(field.dtype).max)
        if field.numel() and float(field.detach().max()) > limit:
            raise OverflowError(
                f"field: expected at most {limit:.0f} for Poisson units in {field.dtype}, got"
                f" {float(field.detach().max()):.6g}, whose rate exp(field) is too large to represent."
            )

    def mean(self, field: Tensor) -> Tensor:
        return self.cumulant(field)

    def variance(self, field: Tensor) -> Tensor:
        return self.cumulant(field)

    def mode(self, field: Tensor) -> Tensor:
        return torch.floor(self.cumulant(field))

    def sample(self, field: Tensor, address: Address) -> Tensor:
        """Inverse transform: the smallest k whose P(X ≤ k) is at least one uniform."""
        self._check_field(field)
        x = kernels.draw_counts(field.detach().double(), 0, address)
        many = x < 0.0
        if bool(many.any()):
            rate, u = torch.exp(field[many].double()), self._uniform(field, address, torch.float64)[many]
            moderate = _moderate_quantile(u, rate.clamp(max=_LARGE))
            x[many] = torch.where(rate > _LARGE, _large_quantile(u, rate), moderate)
        return x.to(field)

    def violation(self, x: Tensor) -> str | None:
        ok = bool((torch.isfinite(x) & (x >= 0) & (x == x.floor())).all())
        return None if ok else "values must be whole numbers, at least 0"

    @torch.no_grad()
    def match(self, x: Tensor, weights: Tensor | None = None) -> None:
        total, counts = self._totals(x, weights)
        self.bias.copy_(torch.log((counts + 0.5) / (total + 1.0)))
