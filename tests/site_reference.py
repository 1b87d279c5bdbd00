"""One site in a given field, by summation or quadrature in extended precision: Γ, Γ', Γ'', distribution.

Nothing here calls the package; the parameters of a layer are read from it. Extended precision (80 bits where
the platform has it) has an exponent range that holds exp(±10⁴).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

WIDE = np.longdouble
NODES, WEIGHTS = np.polynomial.legendre.leggauss(20)


@dataclass(frozen=True)
class Site:
    """States x and the log of their weight exp(I x - U(x)), measure included."""

    x: np.ndarray
    log_weight: np.ndarray

    @property
    def cumulant(self) -> Any:
        """Γ; by log1p around the largest term, so that a Γ close to zero keeps its digits."""
        top = int(self.log_weight.argmax())
        others = np.exp(np.delete(self.log_weight, top) - self.log_weight[top]).sum()
        return self.log_weight[top] + np.log1p(others)

    @property
    def p(self) -> np.ndarray:
        """Probabilities of the states."""
        return np.exp(self.log_weight - self.cumulant)

    @property
    def mean(self) -> Any:
        """Γ'."""
        return (self.p * self.x).sum()

    @property
    def variance(self) -> Any:
        """Γ''; as a sum over pairs where states are few, because 1 - p cancels."""
        if len(self.x) > 64:
            return self.moment(2)
        return 0.5 * (np.outer(self.p, self.p) * np.subtract.outer(self.x, self.x) ** 2).sum()

    def moment(self, order: int) -> Any:
        """Central moment."""
        return (self.p * (self.x - self.mean) ** order).sum()


def half_line(slope: Any, gamma: Any) -> tuple[np.ndarray, np.ndarray]:
    """(nodes, log of weight · exp(slope·x - γx²/2)) on x ≥ 0: panels around the peak, as wide as it is."""
    slope, gamma = WIDE(slope), WIDE(gamma)
    peak = max(slope / gamma, WIDE(0.0))
    bell = 1.0 / np.sqrt(gamma)
    width = bell if slope >= 0 else 1.0 / np.sqrt(gamma + slope * slope)  # at the border ≈ 1/|slope|
    edges = np.unique(np.maximum(peak + width * np.linspace(-14.0, 60.0, 149, dtype=WIDE), 0.0))
    low, high = edges[:-1, None], edges[1:, None]
    x = (0.5 * (high - low) * (NODES.astype(WIDE) + 1.0) + low).ravel()
    log_w = np.log(0.5 * (high - low) * WEIGHTS.astype(WIDE)).ravel()
    return x, log_w + slope * x - 0.5 * gamma * x * x


def _parameter(part: Any, name: str, i: int) -> float:
    return float(getattr(part, name)[i].detach())


def site_at(part: Any, i: int, field: float) -> Site:
    """Site i of a layer of one type (not Categorical) in a field."""
    kind, field = type(part).__name__, WIDE(field)
    if kind == "Bernoulli":
        return Site(np.array([0, 1], WIDE), np.array([0, field], WIDE))
    if kind == "Spin":
        return Site(np.array([-1, 1], WIDE), np.array([-field, field], WIDE))
    if kind == "Binomial":
        x = np.arange(part.trials + 1, dtype=WIDE)
        ways = np.array([math.comb(part.trials, k) for k in range(part.trials + 1)], WIDE)
        return Site(x, field * x + np.log(ways))
    if kind == "Poisson":
        rate = float(np.exp(field))
        x = np.arange(int(rate + 40.0 * math.sqrt(rate) + 60), dtype=WIDE)
        log_factorial = np.concatenate([[WIDE(0.0)], np.cumsum(np.log(x[1:]))])
        return Site(x, field * x - log_factorial)
    if kind == "ReLU":
        return Site(*half_line(field, np.exp(WIDE(_parameter(part, "log_precision", i)))))
    right, left = (np.exp(WIDE(g)) for g in _log_precisions(part, i))
    threshold = WIDE(_parameter(part, "threshold", i)) if kind == "DReLU" else WIDE(0.0)
    x, log_w = half_line(field - threshold, right)
    y, log_v = half_line(-field - threshold, left)
    return Site(np.concatenate([-y[::-1], x]), np.concatenate([log_v[::-1], log_w]))


def _log_precisions(part: Any, i: int) -> tuple[float, float]:
    if type(part).__name__ == "Gaussian":
        return (_parameter(part, "log_precision", i),) * 2
    return _parameter(part, "log_precision_positive", i), _parameter(part, "log_precision_negative", i)


def distribution(part: Any, i: int, field: float) -> Any:
    """The exact distribution function of a continuous site, from normal distributions cut off at zero."""
    if type(part).__name__ == "ReLU":
        return _cut_off(field, _parameter(part, "log_precision", i)).cdf
    right, left = _log_precisions(part, i)
    if type(part).__name__ == "Gaussian":
        return stats.norm(field * math.exp(-right), math.exp(-0.5 * right)).cdf
    here = site_at(part, i, field)
    share = float(here.p[here.x > 0].sum())
    threshold = _parameter(part, "threshold", i)
    positive, negative = _cut_off(field - threshold, right), _cut_off(-field - threshold, left)
    return lambda x: np.where(x < 0, (1 - share) * negative.sf(-x), 1 - share + share * positive.cdf(x))


def _cut_off(slope: float, log_precision: float) -> Any:
    location, scale = slope * math.exp(-log_precision), math.exp(-0.5 * log_precision)
    return stats.truncnorm(-location / scale, np.inf, location, scale)
