"""Units that count successes out of N."""
# ruff: noqa: D102

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from harmonium import checks, kernels
from harmonium.numerics import log_binomial, softplus
from harmonium.random import Address
from harmonium.units.base import Units
from harmonium.units.quantile import normal_guess, smallest


def _quantile(u: Tensor, field: Tensor, trials: int) -> Tensor:
    """The smallest k with P(X ≤ k) ≥ u, where P(X ≤ k) is an incomplete beta function of σ(-I)."""
    from scipy.special import betainc

    chance = field.nan_to_num(0.0, math.inf, -math.inf).flatten()
    p, q, wanted = torch.sigmoid(chance), torch.sigmoid(-chance), u.flatten()
    mean, deviation = trials * p, torch.sqrt(trials * p * q)

    def reaches(k: Tensor, draws: Tensor) -> Tensor:
        n = k.cpu().numpy()
        below = torch.from_numpy(betainc(trials - n, n + 1.0, q[draws].cpu().numpy()))
        return below.to(wanted) >= wanted[draws]

    # a uniform of 52 bits lies within 8.3 standard deviations; the additions cover small means (tail of 1/k!)
    reach = 9.0 * deviation + 25.0
    low = torch.floor((mean - reach).clamp(min=0.0)) - 1.0  # P(X ≤ low) < u
    high = torch.ceil(mean + reach).clamp(max=float(trials))  # P(X ≤ high) ≥ u
    found = smallest(reaches, normal_guess(wanted, mean, deviation, q - p), low, high)
    return found.reshape(field.shape)


class Binomial(Units):
    """x ∈ {0, …, N}, U = -log(N over x): Γ(I) = N softplus(I), mean Nσ(I), variance Nσ(I)σ(-I).

    N is `trials`.

    >>> Binomial(1, trials=4).mean(torch.zeros(1, 1))
    tensor([[2.]])
    """

    least = 0.0

    def __init__(self, n: int, trials: int) -> None:
        super().__init__(n)
        self.trials = checks.positive_integer("trials", trials)
        self.cardinality: int = trials + 1

    def potential(self, x: Tensor) -> Tensor:
        return -log_binomial(self.trials, x)

    def cumulant(self, field: Tensor) -> Tensor:
        return self.trials * softplus(field)

    def mean(self, field: Tensor) -> Tensor:
        return self.trials * torch.sigmoid(field)

    def variance(self, field: Tensor) -> Tensor:
        return self.trials * torch.sigmoid(field) * torch.sigmoid(-field)

    def mode(self, field: Tensor) -> Tensor:
        # the largest x whose odds of growing from x-1 are at least even: floor((N+1)σ(I))
        return torch.floor((self.trials + 1) * torch.sigmoid(field)).clamp(max=self.trials)

    def sample(self, field: Tensor, address: Address) -> Tensor:
        """Inverse transform: the smallest k whose P(X ≤ k) is at least one uniform."""
        x = kernels.draw_counts(field.detach().double(), self.trials, address)
        many = x < 0.0
        if bool(many.any()):
            u = self._uniform(field, address, torch.float64)
            x[many] = _quantile(u[many], field.detach()[many].double(), self.trials)
        return x.to(field)

    def violation(self, x: Tensor) -> str | None:
        ok = bool(((x >= 0) & (x <= self.trials) & (x == x.floor())).all())
        return None if ok else f"values must be whole numbers from 0 to {self.trials}"

    def site_values(self) -> Tensor:
        return torch.arange(self.trials + 1.0)[:, None]

    @torch.no_grad()
    def match(self, x: Tensor, weights: Tensor | None = None) -> None:
        total, successes = self._totals(x, weights)
        # half a pseudo-count of success and of failure, as for Bernoulli units
        self.bias.copy_(torch.log((successes + 0.5) / (total * self.trials - successes + 0.5)))

    def config(self) -> dict[str, Any]:
        return {**super().config(), "trials": self.trials}
