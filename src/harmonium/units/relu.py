"""Rectified units: a Gaussian cut off at zero."""
# ruff: noqa: D102

from __future__ import annotations

import torch
from torch import Tensor, nn

from harmonium import kernels
from harmonium.numerics import half_line_cumulant, half_line_mean, half_line_quantile, half_line_variance
from harmonium.units.base import Inverted, Tail


class ReLU(Inverted):
    """x ≥ 0, U = γx²/2.

    With t = I/√γ and g(t) = log ∫₀^∞ exp(tz - z²/2) dz

        Γ(I) = g(t) - ½ log γ,   mean g'(t)/√γ,   variance g''(t)/γ;

    the most probable state is max(I, 0)/γ, hence the name (Tubiana & Monasson 2017).

    >>> ReLU(2).mode(torch.tensor([[-1.0, 3.0]])).detach()
    tensor([[0., 3.]])
    """

    tail = Tail.QUADRATIC
    least = 0.0

    def __init__(self, n: int) -> None:
        super().__init__(n)
        self.log_precision = nn.Parameter(torch.zeros(n))

    @property
    def precision(self) -> Tensor:
        """γ, (n,)."""
        return torch.exp(self.log_precision)

    @property
    def _width_of_bell(self) -> Tensor:
        return torch.exp(-0.5 * self.log_precision)

    def potential(self, x: Tensor) -> Tensor:
        return 0.5 * self.precision * x**2

    def cumulant(self, field: Tensor) -> Tensor:
        return half_line_cumulant(field * self._width_of_bell) - 0.5 * self.log_precision

    def mean(self, field: Tensor) -> Tensor:
        return half_line_mean(field * self._width_of_bell) * self._width_of_bell

    def variance(self, field: Tensor) -> Tensor:
        return half_line_variance(field * self._width_of_bell) / self.precision

    def mode(self, field: Tensor) -> Tensor:
        return field.clamp(min=0.0) / self.precision

    def from_uniforms(self, field: Tensor, u: Tensor) -> Tensor:
        return half_line_quantile(u, field * self._width_of_bell) * self._width_of_bell

    def violation(self, x: Tensor) -> str | None:
        return None if bool((torch.isfinite(x) & (x >= 0)).all()) else "values must be finite and at least 0"

    def interpolate(self, other: ReLU, beta: float | Tensor) -> ReLU:
        mixed = (1.0 - beta) * self.precision + beta * other.precision
        return self.with_tensors(log_precision=torch.log(mixed))

    @torch.no_grad()
    def match(self, x: Tensor, weights: Tensor | None = None) -> None:
        # at unit scale, from a half-normal; columns wider than an exponential have their best γ at zero
        rows, w = self._rows_and_shares(x, weights)
        scale = torch.sqrt(kernels.along(w, rows**2))
        self.bias.zero_()
        self.log_precision.zero_()
        super().match(rows / scale, weights)
        self.bias.div_(scale)
        self.log_precision.sub_(2.0 * torch.log(scale))
