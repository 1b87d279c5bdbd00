"""Units that count successes out of N."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from harmonium import checks, kernels
from harmonium.numerics import log_binomial, softplus
from harmonium.random import Address
from harmonium.units.base import Units


class Binomial(Units):
    """x ∈ {0, …, N}, U = -log(N over x): Γ(I) = N softplus(I), mean Nσ(I), variance Nσ(I)σ(-I); N is `trials`.

    >>> Binomial(1, trials=4).mean(torch.zeros(1, 1))
    tensor([[2.]])
    """

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
        """Inverse transform: the number of k whose cumulative probability lies below one uniform."""
        u = kernels.uniform(address, tuple(field.shape), torch.float64, field.device)
        wide = field.double()
        log_p, log_q = -softplus(-wide), -softplus(wide)
        below = torch.zeros_like(wide)
        x = torch.zeros_like(wide)
        for k in range(self.trials):
            coefficient = log_binomial(self.trials, torch.tensor(float(k), dtype=torch.float64, device=field.device))
            below = below + torch.exp(coefficient + k * log_p + (self.trials - k) * log_q)
            x += u > below
        return x.to(field)

    def violation(self, x: Tensor) -> str | None:
        ok = bool(((x >= 0) & (x <= self.trials) & (x == x.floor())).all())
        return None if ok else f"values must be whole numbers from 0 to {self.trials}"

    def site_values(self) -> Tensor:
        return torch.arange(self.trials + 1.0)[:, None]

    @torch.no_grad()
    def match(self, x: Tensor, weights: Tensor | None = None) -> None:
        total = float(len(x)) if weights is None else weights.sum().to(self.bias)
        successes = x.to(self.bias).sum(0) if weights is None else weights.to(self.bias) @ x.to(self.bias)
        self.bias.copy_(torch.logit((successes + 0.5) / (total * self.trials + 1.0)))

    def config(self) -> dict[str, Any]:
        return {**super().config(), "trials": self.trials}
