"""Columns of numbers: counts, whole numbers of a range, real numbers."""
# ruff: noqa: D102

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from harmonium import checks
from harmonium.columns import maps
from harmonium.columns.base import Kind, Outside, Refused
from harmonium.columns.facts import Facts, numbers_of
from harmonium.units import Binomial, Gaussian, Poisson, Units

if TYPE_CHECKING:
    import pandas as pd


def _must(x: np.ndarray, right: np.ndarray, needs: str) -> None:
    wrong = np.flatnonzero(~right & ~np.isnan(x))
    if len(wrong):
        raise Outside(f"must hold {needs}, got {x[wrong[0]]:g}", int(wrong[0]))


def _finite(name: str, value: Any, **limits: Any) -> float | None:
    return None if value is None else checks.number(name, value, **limits)


@dataclass(frozen=True)
class Whole(Kind):
    """A column of whole numbers from `low` to `high`: a Binomial unit of `high - low` trials.

    Args:
        low: the least; by default that of the column.
        high: the largest; by default that of the column.

    >>> Whole(1, 7).describe()
    'a whole number from 1 to 7'
    """

    low: int | None = None
    high: int | None = None

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            if getattr(self, name) is not None:
                checks.integer(name, getattr(self, name), low=-(2**53), high=2**53)
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError(f"high must be above low, got {self.low} and {self.high}.")

    def unit_type(self) -> type[Units]:
        return Binomial

    @property
    def options(self) -> dict[str, int]:
        assert self.low is not None and self.high is not None
        return {"trials": self.high - self.low}

    def fitted(self, facts: Facts) -> Kind:
        if facts.family != "number" or not facts.whole:
            raise Refused("must hold whole numbers")
        low, high = int(facts.low), int(facts.high)
        return Whole(low if self.low is None else self.low, high if self.high is None else self.high)

    def complete(self) -> bool:
        return self.low is not None and self.high is not None

    def encode(self, column: pd.Series) -> np.ndarray:
        assert self.low is not None and self.high is not None
        x = numbers_of(column)
        right = (x == np.floor(x)) & (x >= self.low) & (x <= self.high)
        _must(x, right, f"whole numbers from {self.low} to {self.high}")
        return x - self.low

    def decode(self, codes: np.ndarray) -> np.ndarray:
        assert self.low is not None
        return codes + self.low

    def describe(self) -> str:
        return "whole numbers" if not self.complete() else f"a whole number from {self.low} to {self.high}"


@dataclass(frozen=True)
class Count(Kind):
    """A column of counts 0, 1, 2, …: a Poisson unit; where they have a limit, a Binomial one of `max` trials.

    Args:
        max: the largest that there can be, None where there is no limit.

    >>> Count().describe(), Count(max=120).describe()
    ('a count', 'a count up to 120')
    """

    max: int | None = None

    def __post_init__(self) -> None:
        if self.max is not None:
            checks.positive_integer("max", self.max)

    def unit_type(self) -> type[Units]:
        return Poisson if self.max is None else Binomial

    @property
    def options(self) -> dict[str, int]:
        return {} if self.max is None else {"trials": self.max}

    def fitted(self, facts: Facts) -> Kind:
        if facts.family != "number" or not facts.whole or facts.low < 0:
            raise Refused("must hold counts, whole numbers from 0")
        if self.max is not None and facts.high > self.max:
            raise Refused(f"must hold counts up to {self.max}, got {facts.high:g}")
        return self

    def complete(self) -> bool:
        return True

    def encode(self, column: pd.Series) -> np.ndarray:
        x = numbers_of(column)
        most = math.inf if self.max is None else self.max
        limit = "" if self.max is None else f" up to {self.max}"
        _must(x, (x == np.floor(x)) & (x >= 0) & (x <= most), f"counts, whole numbers from 0{limit}")
        return x

    def decode(self, codes: np.ndarray) -> np.ndarray:
        return codes

    def describe(self) -> str:
        return "a count" if self.max is None else f"a count up to {self.max}"


@dataclass(frozen=True)
class Number(Kind):
    """A column of real numbers: a Gaussian unit of z = (t(x) - location) / scale, with t a monotone map.

        linear   t(x) = x
        log      t(x) = log(x - low), for x above low
        logit    t(x) = log((x - low) / (high - x)), for x between
        power    t(x) = ((1 + u)^power - 1) / power with u = x / unit, for u < 0 the same about the origin
                 with 2 - power (Yeo & Johnson 2000); 0 < power < 2 keeps it from all of ℝ to all of ℝ.
                 Where all numbers have one sign it goes straight on at the origin, t(x) = u: of numbers of
                 the other sign the power knows nothing

    Likelihoods are densities per unit of x: log |dz/dx| is added to those of z. Where `decimals` is 0 that is
    the density at a whole number, which is close to its probability where the scale is a few units or more.

    Args:
        map: "linear", "log", "logit" or "power"; by default what held-out numbers ask for.
        location, scale: of t(x); by default mean and standard deviation over the column.
        low, high: bounds that no number reaches; by default 0 for log, 0 and 1 or 0 and 100 for logit. For
            power 0 is the end of numbers of one sign.
        power: of the power map; by default that of the largest likelihood.
        unit: of the power map; by default about the standard deviation of the column.
        decimals: to which values are rounded on the way back; by default those of the column, None for none.

    >>> Number("log", location=2.0, scale=0.5).describe()
    'a number, log(x) around 2 ± 0.5'
    """

    map: str | None = None
    location: float | None = None
    scale: float | None = None
    low: float | None = None
    high: float | None = None
    power: float | None = None
    unit: float | None = None
    decimals: int | None = None

    def __post_init__(self) -> None:
        if self.map is not None:
            checks.one_of("map", self.map, maps.MAPS)
        for name in ("location", "low", "high"):
            _finite(name, getattr(self, name))
        for name in ("scale", "unit"):
            _finite(name, getattr(self, name), low=0.0, strict=True)
        _finite("power", self.power, low=0.0, high=2.0)
        if self.decimals is not None:
            checks.integer("decimals", self.decimals, 0, 15)
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError(f"high must be above low, got {self.low:g} and {self.high:g}.")
        if self.map == "power" and {self.low, self.high} - {None, 0.0}:
            raise ValueError(f"low, high: a power map has no bound but 0, got {self.low} and {self.high}.")
        if self.complete() and self.map == "power" and (self.power is None or self.unit is None):
            raise ValueError("power, unit: a power map needs both.")
        if self.complete() and self.map == "logit" and (self.low is None or self.high is None):
            raise ValueError("low, high: a logit map needs both.")

    def unit_type(self) -> type[Units]:
        return Gaussian

    def fitted(self, facts: Facts) -> Kind:
        if facts.family != "number":
            raise Refused("must hold numbers")
        found = self.decimals is None and facts.decimals is not None
        said = replace(self, decimals=facts.decimals) if found else self
        if said.complete():
            return said
        t = maps.fitted(facts.numbers, self.t(), self.map, facts.whole)
        if not (t.inside(facts.low) and t.inside(facts.high)):
            raise Refused(f"must hold numbers {t.domain()}, got {facts.low:g} to {facts.high:g}")
        image = t.forward(facts.numbers)
        location = maps.short(float(image.mean())) if self.location is None else self.location
        scale = maps.short(float(image.std())) or 1.0 if self.scale is None else self.scale
        return replace(said, location=location, scale=scale, **t.parameters())

    def complete(self) -> bool:
        return None not in (self.map, self.location, self.scale)

    def t(self) -> maps.Map:
        """The map itself."""
        sign = int(self.low == 0.0) - int(self.high == 0.0) if self.map == "power" else 0
        return maps.Map(self.map or "linear", self.low or 0.0, self.high, self.power, self.unit, sign)

    def encode(self, column: pd.Series) -> np.ndarray:
        assert self.location is not None and self.scale is not None
        x, t = numbers_of(column), self.t()
        _must(x, t.inside(x), f"numbers {t.domain()}")
        return (t.forward(x) - self.location) / self.scale

    def decode(self, codes: np.ndarray) -> np.ndarray:
        return self.rounded(self.exact(codes))

    def exact(self, codes: np.ndarray) -> np.ndarray:
        """Values from codes, not rounded yet."""
        assert self.location is not None and self.scale is not None
        return self.t().backward(codes * self.scale + self.location)

    def rounded(self, x: np.ndarray) -> np.ndarray:
        """Values with as many decimals as the column has, within the bounds that its map has."""
        if self.decimals is None:
            return self.t().nearest(x)
        return self.t().nearest(np.round(x, self.decimals), 10.0**-self.decimals)

    def log_jacobian(self, codes: np.ndarray) -> np.ndarray:
        assert self.location is not None and self.scale is not None
        t = self.t()
        slope = t.log_slope(t.backward(codes * self.scale + self.location)) - math.log(self.scale)
        return np.where(np.isnan(codes), 0.0, slope)

    def describe(self) -> str:
        kind = "a whole number" if self.decimals == 0 else "a number"
        if not self.complete():
            return kind + ("" if self.map is None else f", {self.map} map")
        return f"{kind}, {self.t().formula()} around {self.location:.4g} ± {self.scale:.4g}"


def with_known(kind: Kind, values: np.ndarray, column: pd.Series) -> np.ndarray:
    """Values with the numbers of a column, of one row or of them all, in place of those that states hold less
    exactly; words are as they were.
    """
    if not isinstance(kind, (Count, Whole, Number)):
        return values
    x = numbers_of(column)
    return np.where(np.isnan(x), values, x)
