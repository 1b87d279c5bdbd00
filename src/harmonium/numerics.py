"""Numbers that need care: stable logarithms, and the Gaussian restricted to a half-line.

The half-line integral behind the ReLU and DReLU units is

    g(t) = log ∫₀^∞ exp(t z - z²/2) dz = log( √(π/2) erfcx(-t/√2) ),

with mean g'(t) and variance g''(t). Written naively, both lose every digit for t far below zero, where the
mass piles up at the origin and g'(t) ≈ 1/|t|; there the continued fraction of the Mills ratio (Laplace 1805)
gives them directly.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)
_SQRT_HALF = math.sqrt(0.5)
# (t below which the continued fraction takes over, its terms). The bulk formula loses t² roundings of the
# mean and t⁴ of the variance, the fraction loses towards zero; here both keep 1e-13 (float32: 3e-5).
_TAIL = {torch.float32: (-3.0, 10), torch.float64: (-5.0, 20)}


Function = TypeVar("Function", bound=Callable[..., Any])


def without_gradients(function: Function) -> Function:
    """`torch.no_grad` for functions that small updates call: a fifth of its time, and next to nothing where
    gradients are off already.
    """

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if not torch.is_grad_enabled():
            return function(*args, **kwargs)
        torch.set_grad_enabled(False)
        try:
            return function(*args, **kwargs)
        finally:
            torch.set_grad_enabled(True)

    return call  # type: ignore[return-value]  # of the same signature


def softplus(x: Tensor) -> Tensor:
    """log(1 + eˣ), accurate to the rounding of the dtype (torch's default switches to x already at 20)."""
    return torch.nn.functional.softplus(x, threshold=40.0)


def log_two_cosh(x: Tensor) -> Tensor:
    """log(2 cosh x) without overflow, as log(1 + e^(2x)) - x: unlike |x|, smooth at zero for autograd too."""
    return softplus(2.0 * x) - x


def log_binomial(n: int, k: Tensor) -> Tensor:
    """log of the binomial coefficient n over k."""
    return math.lgamma(n + 1) - torch.lgamma(k + 1) - torch.lgamma(n - k + 1)


def _tail_fraction(s: Tensor, first: int) -> Tensor:
    """K = first/(s + (first+1)/(s + …)), the continued fraction of the Mills ratio from level `first`.

    What follows its last term is replaced by the root of k = level/(s + k), not by zero, for a thousandth
    of the error.
    """
    last = first + _TAIL[s.dtype][1]
    k = 0.5 * (torch.sqrt(s * s + 4.0 * (last + 1)) - s)
    for level in range(last, first - 1, -1):
        k = level / (s + k)
    return k


def _bulk_mills(t: Tensor) -> Tensor:
    """Φ(t)/φ(t), inf where it is too large to write down."""
    return math.sqrt(math.pi / 2.0) * torch.special.erfcx(-_SQRT_HALF * t)


def _half_line_cumulant(t: Tensor) -> Tensor:
    below = torch.log(_bulk_mills(t.clamp(max=0.0)))
    above = 0.5 * t.clamp(min=0.0) ** 2 + HALF_LOG_TWO_PI + torch.special.log_ndtr(t.clamp(min=0.0))
    return torch.where(t < 0, below, above)


def _half_line_mean(t: Tensor) -> Tensor:
    mean = t + 1.0 / _bulk_mills(t)  # far above zero the ratio overflows, and its inverse is 0 as it should
    tail = t < _TAIL[t.dtype][0]
    mean[tail] = _tail_fraction(-t[tail], 1)
    return mean


def _half_line_variance(t: Tensor) -> Tensor:
    mean = _half_line_mean(t)
    variance = 1.0 - mean * (mean - t)
    tail = t < _TAIL[t.dtype][0]
    s = -t[tail]
    second = _tail_fraction(s, 2)
    variance[tail] = (second - 1.0 / (s + second)) / (s + second)
    return variance


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
    return _HalfLineCumulant.apply(t)


def half_line_mean(t: Tensor) -> Tensor:
    """g'(t): the mean of z ≥ 0 under the density ∝ exp(t z - z²/2)."""
    return _HalfLineMean.apply(t)


def half_line_variance(t: Tensor) -> Tensor:
    """g''(t): the variance of z ≥ 0 under the density ∝ exp(t z - z²/2)."""
    return _half_line_variance(t)


def half_line_quantile(u: Tensor, t: Tensor) -> Tensor:
    """The z ≥ 0 with P(Z > z) = u under the density ∝ exp(t z - z²/2): inverse transform sampling, any t.

    In the bulk this is the normal quantile. In the tail (t < -5, in float32 -3) the equation

        t z - z²/2 + log erfcx((z - t)/√2) - log erfcx(-t/√2) = log u

    is solved by Newton's method from its solution without the erfcx terms; three steps reach rounding.
    """
    # by erfc: torch's ndtr is 1 + erf, which at t = -5 has lost most of its digits
    z = t - torch.special.ndtri(u * (0.5 * torch.special.erfc(-_SQRT_HALF * t)))
    tail = t < _TAIL[t.dtype][0]
    z[tail] = _tail_quantile(u[tail], -t[tail])
    # rounding can put a point of the bulk a hair below the edge of the support
    return z.clamp(min=0.0)


def _tail_quantile(u: Tensor, s: Tensor) -> Tensor:
    log_u = torch.log(u)
    start = torch.log(torch.special.erfcx(_SQRT_HALF * s))
    z = -2.0 * log_u / (s + torch.sqrt(s * s - 2.0 * log_u))
    for _ in range(3):
        scaled = torch.special.erfcx(_SQRT_HALF * (s + z))
        residual = -z * (s + 0.5 * z) + torch.log(scaled) - start - log_u
        z = z + residual * math.sqrt(math.pi / 2.0) * scaled
    return z


def column_moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """(mean, standard deviation) of every column of (rows, columns) over its known cells; NaN marks others.

    NaN for a column that no row knows.

    >>> mean, deviation = column_moments(torch.tensor([[1.0, 5.0], [3.0, torch.nan]]))
    >>> mean.tolist(), deviation.tolist()
    ([2.0, 5.0], [1.0, 0.0])
    """
    if not bool(torch.isnan(x).any()):
        return x.mean(0), x.std(0, correction=0)
    mean = x.nanmean(0)
    return mean, (x - mean).square().nanmean(0).sqrt()


def as_often_as_they_count(weights: Tensor, n: int) -> Tensor:
    """Numbers of n rows, each as often as its weight asks for, up to one: systematic sampling without a draw.

    >>> as_often_as_they_count(torch.tensor([1.0, 0.0, 3.0]), 4).tolist()
    [0, 2, 2, 2]
    """
    total = weights.double().cumsum(0)
    at = (torch.arange(n, dtype=torch.float64, device=total.device) + 0.5) / n * total[-1]
    return torch.searchsorted(total, at).clamp(max=len(weights) - 1)


def minimise(
    loss: Callable[[], Tensor], parameters: Sequence[Tensor], steps: int, slope: float, change: float
) -> None:
    """Move `parameters`, float64 leaves that ask for gradients, to a minimum of `loss()` nearby, by L-BFGS.

    SciPy's (Byrd et al. 1995), as PyTorch's imports its compiler, which takes a second.

    Args:
        loss: the function, of the parameters as they stand.
        parameters: what is moved, in place.
        steps: iterations at most.
        slope: the largest entry of the gradient at which it ends.
        change: the relative change of the loss in one iteration at which it ends.

    >>> x = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    >>> minimise(lambda: (x - 3.0).square().sum(), [x], steps=10, slope=1e-9, change=0.0)
    >>> [round(v, 6) for v in x.tolist()]
    [3.0, 3.0]
    """
    from scipy.optimize import minimize

    sizes = [p.numel() for p in parameters]

    def put(values: np.ndarray) -> None:
        with torch.no_grad():
            for p, part in zip(parameters, torch.from_numpy(values).split(sizes), strict=True):
                p.copy_(part.view_as(p))

    def at(values: np.ndarray) -> tuple[float, np.ndarray]:
        put(values)
        with torch.enable_grad():
            value = loss()
            gradient = torch.autograd.grad(value, parameters)
        return float(value.detach()), torch.cat([g.flatten() for g in gradient]).numpy(force=True)

    start = torch.cat([p.flatten() for p in parameters]).numpy(force=True)
    options = {"maxiter": steps, "maxfun": 100 * steps, "gtol": slope, "ftol": change, "maxcor": 20}
    put(minimize(at, start, jac=True, method="L-BFGS-B", options=options).x)
