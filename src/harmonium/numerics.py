"""Numbers that need care: stable logarithms, and the Gaussian restricted to a half-line.

The half-line integral behind the ReLU and DReLU units is

    g(t) = log ∫₀^∞ exp(t z - z²/2) dz = log( √(π/2) erfcx(-t/√2) ),

with mean g'(t) and variance g''(t). Written naively, both lose every digit for t far below zero, where the mass piles
up at the origin and g'(t) ≈ 1/|t|; there the continued fraction of the Mills ratio (Laplace 1805) gives them directly.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)
_SQRT_HALF = math.sqrt(0.5)
_TAIL = -5.0  # below this t the continued fraction takes over: ten terms give full float64 accuracy there
_TAIL_TERMS = 10


def softplus(x: Tensor) -> Tensor:
    """log(1 + eˣ), accurate to the rounding of the dtype (torch's default switches to x already at 20)."""
    return torch.nn.functional.softplus(x, threshold=40.0)


def log_two_cosh(x: Tensor) -> Tensor:
    """log(2 cosh x) without overflow: |x| + log(1 + e^(-2|x|))."""
    magnitude = x.abs()
    return magnitude + torch.log1p(torch.exp(-2.0 * magnitude))


def log_binomial(n: int, k: Tensor) -> Tensor:
    """log of the binomial coefficient n over k."""
    return math.lgamma(n + 1) - torch.lgamma(k + 1) - torch.lgamma(n - k + 1)


def _tail_fraction(s: Tensor, first: int) -> Tensor:
    """K = first/(s + (first+1)/(s + (first+2)/(s + …))), the continued fraction of the Mills ratio from level `first`."""
    k = torch.zeros_like(s)
    for level in range(first + _TAIL_TERMS, first - 1, -1):
        k = level / (s + k)
    return k


def _bulk_mills(t: Tensor) -> Tensor:
    """Φ(t)/φ(t) for t where it neither overflows nor cancels (callers clamp t to a safe range)."""
    return math.sqrt(math.pi / 2.0) * torch.special.erfcx(-_SQRT_HALF * t)


def _half_line_cumulant(t: Tensor) -> Tensor:
    below = torch.log(_bulk_mills(t.clamp(max=0.0)))
    above = 0.5 * t.clamp(min=0.0) ** 2 + HALF_LOG_TWO_PI + torch.special.log_ndtr(t.clamp(min=0.0))
    return torch.where(t < 0, below, above)


def _half_line_mean(t: Tensor) -> Tensor:
    bulk = t.clamp(min=_TAIL)
    # exp(-t²/2 - log Φ - ½log 2π) = φ/Φ; for t > 0 this avoids the overflow of erfcx
    ratio = torch.where(
        bulk < 0,
        1.0 / _bulk_mills(bulk.clamp(max=0.0)),
        torch.exp(-0.5 * bulk**2 - HALF_LOG_TWO_PI - torch.special.log_ndtr(bulk)),
    )
    return torch.where(t < _TAIL, _tail_fraction(-t.clamp(max=_TAIL), 1), bulk + ratio)


def _half_line_variance(t: Tensor) -> Tensor:
    s = -t.clamp(max=_TAIL)
    second = _tail_fraction(s, 2)
    tail = (second - 1.0 / (s + second)) / (s + second)
    bulk = t.clamp(min=_TAIL)
    mean = _half_line_mean(bulk)
    return torch.where(t < _TAIL, tail, 1.0 - mean * (mean - bulk))


class _HalfLineMean(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, t: Tensor) -> Tensor:
        ctx.save_for_backward(t)
        return _half_line_mean(t)

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> Tensor:
        return grad[0] * _half_line_variance(ctx.saved_tensors[0])


class _HalfLineCumulant(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, t: Tensor) -> Tensor:
        ctx.save_for_backward(t)
        return _half_line_cumulant(t)

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> Tensor:
        return grad[0] * half_line_mean(ctx.saved_tensors[0])


def half_line_cumulant(t: Tensor) -> Tensor:
    """g(t) = log ∫₀^∞ exp(t z - z²/2) dz, any shape, finite for every finite t whose square is."""
    return _HalfLineCumulant.apply(t)  # type: ignore[no-any-return]  # torch leaves apply untyped


def half_line_mean(t: Tensor) -> Tensor:
    """g'(t): the mean of z ≥ 0 under the density ∝ exp(t z - z²/2)."""
    return _HalfLineMean.apply(t)  # type: ignore[no-any-return]  # torch leaves apply untyped


def half_line_variance(t: Tensor) -> Tensor:
    """g''(t): the variance of z ≥ 0 under the density ∝ exp(t z - z²/2)."""
    return _half_line_variance(t)


def half_line_quantile(u: Tensor, t: Tensor) -> Tensor:
    """The z ≥ 0 with P(Z > z) = u under the density ∝ exp(t z - z²/2): inverse transform sampling, any t.

    In the bulk this is the normal quantile. In the tail (t < -5) the equation

        t z - z²/2 + log erfcx((z - t)/√2) - log erfcx(-t/√2) = log u

    is solved by Newton's method from its solution without the erfcx terms; three steps reach rounding.
    """
    bulk = t.clamp(min=_TAIL)
    z_bulk = bulk - torch.special.ndtri(u * torch.special.ndtr(bulk))
    s = -t.clamp(max=_TAIL)
    log_u = torch.log(u)
    start = torch.log(torch.special.erfcx(_SQRT_HALF * s))
    z = -2.0 * log_u / (s + torch.sqrt(s * s - 2.0 * log_u))
    for _ in range(3):
        scaled = torch.special.erfcx(_SQRT_HALF * (s + z))
        residual = -z * (s + 0.5 * z) + torch.log(scaled) - start - log_u
        z = z + residual * math.sqrt(math.pi / 2.0) * scaled
    # rounding can put a point of the bulk a hair below the edge of the support
    return torch.where(t < _TAIL, z, z_bulk).clamp(min=0.0)
