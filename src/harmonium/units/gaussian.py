"""Real units with a Gaussian of learnable location and scale."""
# ruff: noqa: D102

from __future__ import annotations

import torch
from torch import Tensor, nn

from harmonium import kernels
from harmonium.numerics import HALF_LOG_TWO_PI
from harmonium.units.base import Inverted, Tail


class Gaussian(Inverted):
    """x ∈ ℝ, U = γx²/2: Γ(I) = I²/2γ + ½ log(2π/γ), mean I/γ, variance 1/γ.

    Learnable are `bias` and `log_precision` = log γ; `location` = bias/γ and `scale` = γ^(-1/2) describe the
    same units without a field from the other side.

    >>> units = Gaussian(1)
    >>> units.scale
    tensor([1.])
    """

    tail = Tail.QUADRATIC

    def __init__(self, n: int) -> None:
        super().__init__(n)
        self.log_precision = nn.Parameter(torch.zeros(n))

    @property
    def precision(self) -> Tensor:
        """γ, (n,)."""
        return torch.exp(self.log_precision)

    @property
    def location(self) -> Tensor:
        """Mean without a field, (n,)."""
        return (self.bias / self.precision).detach()

    @property
    def scale(self) -> Tensor:
        """Standard deviation, (n,)."""
        return torch.exp(-0.5 * self.log_precision).detach()

    @property
    def normal_precision(self) -> Tensor:
        return self.precision

    def matched_in_closed_form(self) -> bool:
        return True

    def potential(self, x: Tensor) -> Tensor:
        return 0.5 * self.precision * x**2

    def cumulant(self, field: Tensor) -> Tensor:
        return 0.5 * field**2 / self.precision + HALF_LOG_TWO_PI - 0.5 * self.log_precision

    def mean(self, field: Tensor) -> Tensor:
        return field / self.precision

    def variance(self, field: Tensor) -> Tensor:
        return (1.0 / self.precision).expand_as(field)

    def mode(self, field: Tensor) -> Tensor:
        return self.mean(field)

    def from_uniforms(self, field: Tensor, u: Tensor) -> Tensor:
        return self.mean(field) + torch.special.ndtri(u) * torch.exp(-0.5 * self.log_precision)

    def violation(self, x: Tensor) -> str | None:
        return None if bool(torch.isfinite(x).all()) else "values must be finite"

    def interpolate(self, other: Gaussian, beta: float | Tensor) -> Gaussian:
        mixed = (1.0 - beta) * self.precision + beta * other.precision
        return self.with_tensors(log_precision=torch.log(mixed))

    @torch.no_grad()
    def match(self, x: Tensor, weights: Tensor | None = None) -> None:
        rows, w = self._rows_and_shares(x, weights)
        mean = kernels.along(w, rows)
        variance = kernels.along(w, (rows - mean) ** 2)
        self.log_precision.copy_(-torch.log(variance))
        self.bias.copy_(mean / variance)
