"""Double rectified units: two half-Gaussians that meet at zero."""
# ruff: noqa: D102

from __future__ import annotations

import torch
from torch import Tensor, nn

from harmonium import kernels
from harmonium.numerics import half_line_cumulant, half_line_mean, half_line_quantile, half_line_variance
from harmonium.units.base import Inverted, Tail


class DReLU(Inverted):
    """x ∈ ℝ, U = γ₊x²/2 for x > 0, γ₋x²/2 for x < 0, plus θ|x| (Tubiana, Cocco & Monasson 2019).

    With g from the ReLU, one term a side:

        Γ(I) = log(e^(Γ₊) + e^(Γ₋)),  Γ₊ = g((I-θ)/√γ₊) - ½log γ₊,  Γ₋ = g(-(I+θ)/√γ₋) - ½log γ₋.

    θ < 0 makes the unit bimodal, θ > 0 sparse; γ₊ = γ₋, θ = 0 is a Gaussian. Learnable: `bias`,
    `log_precision_positive`, `log_precision_negative`, `threshold` (θ).

    >>> DReLU(1).mean(torch.tensor([[2.0]])).detach().round(decimals=4)  # the Gaussian case
    tensor([[2.]])
    """

    tail = Tail.QUADRATIC

    def __init__(self, n: int) -> None:
        super().__init__(n)
        self.log_precision_positive = nn.Parameter(torch.zeros(n))
        self.log_precision_negative = nn.Parameter(torch.zeros(n))
        self.threshold = nn.Parameter(torch.zeros(n))

    @property
    def precision(self) -> Tensor:
        """The smaller of γ₊ and γ₋, (n,): it alone decides how far the tails reach."""
        return torch.exp(torch.minimum(self.log_precision_positive, self.log_precision_negative))

    def _sides(self, field: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(t₊, s₊, t₋, s₋): the reduced field and the width of each half-Gaussian."""
        plus = torch.exp(-0.5 * self.log_precision_positive)
        minus = torch.exp(-0.5 * self.log_precision_negative)
        return (field - self.threshold) * plus, plus, -(field + self.threshold) * minus, minus

    def _log_masses(self, field: Tensor) -> tuple[Tensor, Tensor]:
        t_plus, _, t_minus, _ = self._sides(field)
        return (
            half_line_cumulant(t_plus) - 0.5 * self.log_precision_positive,
            half_line_cumulant(t_minus) - 0.5 * self.log_precision_negative,
        )

    def potential(self, x: Tensor) -> Tensor:
        positive, negative = x.clamp(min=0.0), x.clamp(max=0.0)
        return (
            0.5 * torch.exp(self.log_precision_positive) * positive**2
            + 0.5 * torch.exp(self.log_precision_negative) * negative**2
            + self.threshold * x.abs()
        )

    def cumulant(self, field: Tensor) -> Tensor:
        return torch.logaddexp(*self._log_masses(field))

    def mean(self, field: Tensor) -> Tensor:
        plus, minus = self._log_masses(field)
        t_plus, s_plus, t_minus, s_minus = self._sides(field)
        share = torch.sigmoid(plus - minus)
        other = torch.sigmoid(minus - plus)
        return share * half_line_mean(t_plus) * s_plus - other * half_line_mean(t_minus) * s_minus

    def variance(self, field: Tensor) -> Tensor:
        plus, minus = self._log_masses(field)
        t_plus, s_plus, t_minus, s_minus = self._sides(field)
        share, other = torch.sigmoid(plus - minus), torch.sigmoid(minus - plus)
        mean_plus, mean_minus = half_line_mean(t_plus) * s_plus, -half_line_mean(t_minus) * s_minus
        within_plus = half_line_variance(t_plus) * s_plus**2
        within_minus = half_line_variance(t_minus) * s_minus**2
        within = share * within_plus + other * within_minus
        return within + share * other * (mean_plus - mean_minus) ** 2

    def mode(self, field: Tensor) -> Tensor:
        right = (field - self.threshold).clamp(min=0.0) * torch.exp(-self.log_precision_positive)
        left = (field + self.threshold).clamp(max=0.0) * torch.exp(-self.log_precision_negative)
        gain_right = right * (field - self.threshold)
        gain_left = left * (field + self.threshold)
        return torch.where(gain_right >= gain_left, right, left)

    def from_uniforms(self, field: Tensor, u: Tensor) -> Tensor:
        plus, minus = self._log_masses(field)
        t_plus, s_plus, t_minus, s_minus = self._sides(field)
        share, other = torch.sigmoid(plus - minus), torch.sigmoid(minus - plus)
        right = u < share
        # given its side, the same uniform stretched to (0, 1) is again uniform
        tiny = torch.finfo(u.dtype).tiny
        stretched = torch.where(right, u / share.clamp(min=tiny), (1.0 - u) / other.clamp(min=tiny))
        stretched = stretched.clamp(max=1.0 - torch.finfo(u.dtype).eps)
        z_plus = half_line_quantile(stretched, t_plus) * s_plus
        z_minus = half_line_quantile(stretched, t_minus) * s_minus
        return torch.where(right, z_plus, -z_minus)

    def violation(self, x: Tensor) -> str | None:
        return None if bool(torch.isfinite(x).all()) else "values must be finite"

    def interpolate(self, other: DReLU, beta: float | Tensor) -> DReLU:
        def mix(name: str) -> Tensor:
            own, others = torch.exp(getattr(self, name)), torch.exp(getattr(other, name))
            return torch.log((1.0 - beta) * own + beta * others)

        return self.with_tensors(
            log_precision_positive=mix("log_precision_positive"),
            log_precision_negative=mix("log_precision_negative"),
            threshold=(1.0 - beta) * self.threshold + beta * other.threshold,
        )

    @torch.no_grad()
    def match(self, x: Tensor, weights: Tensor | None = None) -> None:
        # at unit scale, from a Gaussian
        rows, w = self._rows_and_shares(x, weights)
        scale = torch.sqrt(kernels.along(w, rows**2))
        for parameter in self.parameters():
            parameter.zero_()
        super().match(rows / scale, weights)
        self.bias.div_(scale)
        self.threshold.div_(scale)
        self.log_precision_positive.sub_(2.0 * torch.log(scale))
        self.log_precision_negative.sub_(2.0 * torch.log(scale))
