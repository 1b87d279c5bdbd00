"""Monotone maps of real numbers onto the real line, and which of them a column asks for.

Each is judged by the held-out log-density that a normal distribution of t(x) gives to x itself, the slope of
t counted: log N(t(x); m, s²) + log t'(x).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from harmonium.columns.storage import LARGEST

MAPS = ("linear", "log", "logit", "power")
FOLDS = 5
WORTH = 0.05  # nats per cell that another map than the linear one must gain
FEWEST = 20  # numbers for which another is tried
FITTED = 2000  # numbers from which a power is found
MOST_OF_A_CELL = 10.0  # nats that one cell says for or against a law


@dataclass(frozen=True)
class Map:
    """A monotone, invertible map of an interval onto the real line; see `columns.Number` for the formulas.

    Attributes:
        name: one of `MAPS`.
        low, high: bounds of log and logit.
        power, unit: of power,
        sign: and that of all numbers, 0 where there are both.
    """

    name: str = "linear"
    low: float = 0.0
    high: float | None = None
    power: float | None = None
    unit: float | None = None
    sign: int = 0

    def inside(self, x: Any) -> Any:
        """Whether numbers lie where the map is defined."""
        above = np.asarray(x) > self.low
        if self.name == "log":
            return above
        if self.name == "logit":
            return above & (np.asarray(x) < self.high)
        return np.isfinite(x)

    def nearest(self, x: np.ndarray, step: float = 0.0) -> np.ndarray:
        """The numbers, those on a bound or beyond it by a step inside of it."""
        if self.name in ("log", "logit"):
            x = np.where(x <= self.low, max(self.low + step, math.nextafter(self.low, math.inf)), x)
        if self.name == "logit":
            assert self.high is not None
            x = np.where(x >= self.high, min(self.high - step, math.nextafter(self.high, -math.inf)), x)
        return x

    def domain(self) -> str:
        """Where that is, in words."""
        if self.name == "log":
            return f"above {self.low:g} (of which the logarithm is taken)"
        return (
            f"strictly between {self.low:g} and {self.high:g}" if self.name == "logit" else "that are finite"
        )

    def forward(self, x: np.ndarray) -> np.ndarray:
        """t(x)."""
        if self.name == "log":
            return np.log(x - self.low)
        if self.name == "logit":
            assert self.high is not None
            return np.log(x - self.low) - np.log(self.high - x)
        if self.name == "linear":
            return x
        u = x / self._unit()
        return np.where(self.sign * u < 0.0, u, _yeo_johnson(u, self._power()))

    def backward(self, t: np.ndarray) -> np.ndarray:
        """x, as far as a table holds it."""
        with np.errstate(over="ignore"):
            return np.clip(self._inverse(t), -LARGEST, LARGEST)

    def _inverse(self, t: np.ndarray) -> np.ndarray:
        if self.name == "log":
            return np.exp(t) + self.low
        if self.name == "logit":
            assert self.high is not None
            return self.low + (self.high - self.low) * 0.5 * (1.0 + np.tanh(0.5 * t))
        if self.name == "linear":
            return t
        straight = self.sign * t < 0.0
        return (
            np.where(straight, t, _yeo_johnson_inverse(np.where(straight, 0.0, t), self._power()))
            * self._unit()
        )

    def log_slope(self, x: np.ndarray) -> np.ndarray:
        """log t'(x), nats."""
        if self.name == "log":
            return -np.log(x - self.low)
        if self.name == "logit":
            assert self.high is not None
            return math.log(self.high - self.low) - np.log(x - self.low) - np.log(self.high - x)
        if self.name == "linear":
            return np.zeros_like(x)
        u = x / self._unit()
        slope = np.sign(u) * (self._power() - 1.0) * np.log1p(np.abs(u))
        return np.where(self.sign * u < 0.0, 0.0, slope) - math.log(self._unit())

    def _power(self) -> float:
        assert self.power is not None
        return self.power

    def _unit(self) -> float:
        assert self.unit is not None
        return self.unit

    def parameters(self) -> dict[str, Any]:
        """What `columns.Number` keeps of it."""
        bounds: dict[str, Any] = {"low": None, "high": None}
        if self.name in ("log", "logit"):
            bounds = {"low": self.low, "high": self.high}
        elif self.sign:
            bounds["low" if self.sign > 0 else "high"] = 0.0
        return {"map": self.name, **bounds, "power": self.power, "unit": self.unit}

    def formula(self) -> str:
        """The map as it is written."""
        x = "x" if self.low == 0 else f"(x - {self.low:g})" if self.low > 0 else f"(x + {-self.low:g})"
        if self.name == "log":
            return f"log({x.strip('()')})"
        if self.name == "logit":
            return f"log({x} / ({self.high:g} - x))"
        if self.name == "linear":
            return "x"
        u = f"1 + x / {self.unit:g}"
        return f"log({u})" if self.power == 0 else f"({u})^{self.power:g}"


def _yeo_johnson(u: np.ndarray, power: float | np.ndarray) -> np.ndarray:
    size = np.log1p(np.abs(u))
    bend = np.where(u >= 0, power, 2.0 - power)
    image = np.where(bend == 0, size, np.expm1(bend * size) / np.where(bend == 0, 1.0, bend))
    return np.copysign(image, u)


def _yeo_johnson_inverse(t: np.ndarray, power: float) -> np.ndarray:
    size = np.abs(t)
    up = size if power == 0 else np.log1p(power * size) / power
    down = size if power == 2 else np.log1p((2.0 - power) * size) / (2.0 - power)
    return np.where(t >= 0, np.expm1(up), -np.expm1(down))


def short(value: float, digits: int = 6) -> float:
    """A number with few digits, which prints and is kept exactly.

    >>> short(1234.56789)
    1234.57
    """
    return float(f"{value:.{digits}g}")


def fitted(x: np.ndarray, asked: Map, name: str | None, whole: bool = False) -> Map:
    """A map with what it lacks taken from the numbers.

    Another than the linear map must give held-out numbers a higher log-density, by WORTH nats and two
    standard errors.

    Args:
        x: numbers of the column.
        asked: bounds, power and unit, None where they are to be found.
        name: which map, None where held-out numbers decide.
        whole: whether all numbers of the column are whole; these seldom end at 100.
    """
    candidates = [_of(x, each, asked) for each in ([name] if name else MAPS)]
    if name is not None:
        return candidates[0]
    usable = [t for t in candidates if len(x) and bool(np.all(t.inside(x)))]
    usable = [t for t in usable if not (whole and t.name == "logit")]  # whole numbers seldom end at 100
    if len(x) < FEWEST or len(usable) < 2:
        return candidates[0]
    scores = [held_out(t, x) for t in usable]
    gains = [gained(score, scores[0]) for score in scores]
    best = max(range(len(usable)), key=lambda k: gains[k][0])
    gain, doubt = gains[best]
    return usable[best] if gain > max(WORTH, doubt) else usable[0]


def gained(scores: np.ndarray, than: np.ndarray) -> tuple[float, float]:
    """(mean gain of held-out cells in log-density over another law, two standard errors of it), nats.

    One cell counts for `MOST_OF_A_CELL` at most: the largest city costs a normal law hundreds of nats, whose
    scatter would leave in doubt what all the other ones say.
    """
    gains = np.clip(scores - than, -MOST_OF_A_CELL, MOST_OF_A_CELL)
    return float(gains.mean()), 2.0 * float(gains.std()) / len(gains) ** 0.5


def _of(x: np.ndarray, name: str, asked: Map) -> Map:
    """One map, with what it lacks taken from the numbers."""
    if name == "linear":
        return Map()
    if name == "power":
        power, unit = _bend(x, asked)
        sign = int(len(x) > 0 and x.min() >= 0.0) - int(len(x) > 0 and x.max() <= 0.0)
        return Map("power", power=power, unit=unit, sign=sign)
    if name == "log":
        return Map("log", asked.low)
    high = asked.high
    if high is None:
        high = asked.low + (1.0 if len(x) == 0 or float(x.max()) - asked.low < 1.0 else 100.0)
    return Map("logit", asked.low, high)


def _bend(x: np.ndarray, asked: Map) -> tuple[float, float]:
    """(power, unit) of a power map.

    The unit is the standard deviation. Where the power bends numbers as far as it can, a few of them may make
    nearly all of that, such as the largest cities, and the others lie on a straight line: then the median is
    tried as well.
    """
    unit = asked.unit or short(float(x.std()) if len(x) else 1.0, 2) or 1.0
    if asked.power is not None:
        return asked.power, unit
    power, height = _best_power(x, unit)
    if asked.unit is None and power in (0.0, 2.0):
        smaller = short(float(np.median(np.abs(x[x != 0.0]))), 2)
        if 0.0 < smaller < unit:
            other, higher = _best_power(x, smaller)
            return (other, smaller) if higher > height else (power, unit)
    return power, unit


def _best_power(x: np.ndarray, unit: float) -> tuple[float, float]:
    """The power of the largest likelihood, to a twentieth; and the log-likelihood, up to a constant."""
    if len(x) == 0:
        return 1.0, 0.0
    u = x[:: max(1, len(x) // FITTED)] / unit
    powers = np.arange(41) / 20
    slopes = float((np.sign(u) * np.log1p(np.abs(u))).mean())
    spread = _yeo_johnson(u, powers[:, None]).std(1)
    fits = (powers - 1.0) * slopes - np.log(np.maximum(spread, 1e-300)) - math.log(unit)
    best = int(np.argmax(fits))
    return float(powers[best]), float(fits[best])


def held_out(t: Map, x: np.ndarray) -> np.ndarray:
    """log-density of each number under a normal distribution of t fitted to the other folds, (n,), nats."""
    image, fold = t.forward(x), np.arange(len(x)) % FOLDS
    mean, scale = _of_others(image, fold)
    z = (image - mean[fold]) / scale[fold]
    return t.log_slope(x) - 0.5 * z**2 - np.log(scale)[fold] - 0.5 * math.log(2.0 * math.pi)


def _of_others(x: np.ndarray, fold: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation over all other folds than each, (folds,), 1 where nothing deviates; joined
    from those of the folds (Chan, Golub & LeVeque 1983).
    """
    others, n = 1.0 - np.eye(FOLDS), np.bincount(fold, minlength=FOLDS)
    own = np.bincount(fold, x, FOLDS) / np.maximum(n, 1)
    squares = np.bincount(fold, (x - own[fold]) ** 2, FOLDS)
    number = np.maximum(others @ n, 1.0)
    mean = others @ (n * own) / number
    between = (others * n * (own - mean[:, None]) ** 2).sum(1)
    scale = np.sqrt((others @ squares + between) / number)
    return mean, np.where(scale > 0.0, scale, 1.0)
