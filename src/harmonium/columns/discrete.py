"""Columns of values that are told apart: constant ones, pairs, categories."""
# ruff: noqa: D102

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from harmonium import checks
from harmonium.columns.base import Kind, Outside, Refused, got
from harmonium.columns.facts import MOST, Facts, factor
from harmonium.columns.frames import listed
from harmonium.columns.storage import as_written, is_plain
from harmonium.units import Bernoulli, Categorical, Spin, Units

if TYPE_CHECKING:
    import pandas as pd


def _checked(values: Any, least: int, most: int, needs: str) -> tuple[Any, ...] | None:
    if values is None:
        return None
    values = tuple(checks.a_list("values", values, "values"))
    if not least <= len(values) <= most or len(set(values)) < len(values) or not all(map(is_plain, values)):
        raise ValueError(f"values must be {needs}, got {listed([repr(v) for v in values] or ['none'])}.")
    return values


def places(column: pd.Series, values: tuple[Any, ...], needs: str, other: int | None = None) -> np.ndarray:
    """Which of the values each cell holds, float64, NaN where it is empty.

    Args:
        column: the column.
        values: what its cells may be.
        needs: in words.
        other: what any other value becomes; a `Refused` where there is none.
    """
    codes, found = factor(column)
    key = as_written if len(set(map(as_written, values))) == len(values) else _itself
    number = {key(value): k for k, value in enumerate(values)}
    text = isinstance(values[0], str)
    where = [number.get(key(v), -1) if isinstance(v, str) == text and v == v else -1 for v in found]
    for k, place in enumerate(where):
        if place >= 0 or not (codes == k).any():
            continue
        same = isinstance(found[k], str) == text
        if other is None or not same:
            row = int(np.flatnonzero(codes == k)[0])
            raise got(needs, found[k], row, Outside if same else Refused)
        where[k] = other
    return np.array([*where, np.nan], dtype=float)[codes]  # code -1, an empty cell, is the last


def _itself(value: Any) -> Any:
    return value


def _labels(values: tuple[Any, ...], codes: np.ndarray) -> np.ndarray:
    """The values with these numbers, None where NaN or beyond."""
    names = np.empty(len(values) + 1, dtype=object)
    names[:-1] = values
    known = ~np.isnan(codes)
    numbers = np.where(known, codes, len(values)).astype(np.int64)
    return names[np.minimum(numbers, len(values))]


@dataclass(frozen=True)
class Constant(Kind):
    """A column that holds one value throughout: it needs no unit, and comes back as it was.

    Args:
        value: text, a number, True or False; by default the one of the column.

    >>> Constant("here").describe()
    "constant 'here'"
    """

    value: Any = None

    def __post_init__(self) -> None:
        if self.value is not None and not is_plain(self.value):
            raise ValueError(f"value must be text, a finite number or a boolean, got {self.value!r}.")

    def unit_type(self) -> None:
        return None

    @property
    def width(self) -> int:
        return 0

    def fitted(self, facts: Facts) -> Kind:
        if self.complete():
            return self
        if facts.values is None or len(facts.values) != 1:
            raise Refused(f"must hold one value to be constant, got {facts.distinct}")
        return Constant(facts.values[0])

    def complete(self) -> bool:
        return self.value is not None

    def encode(self, column: pd.Series) -> np.ndarray:
        return places(
            column, (self.value,), f"must hold nothing but {self.value!r}, as when the model learned"
        )

    def decode(self, codes: np.ndarray) -> np.ndarray:
        return np.array([self.value] * len(codes) or [None], dtype=object)[: len(codes)]

    def is_text(self) -> bool:
        return isinstance(self.value, str)

    def describe(self) -> str:
        return f"constant {self.value!r}"


@dataclass(frozen=True)
class Binary(Kind):
    """A column of two values, such as False and True, "no" and "yes", 1 and 2: a Bernoulli unit.

    Of -1 and 1 it is a Spin unit, which is the same up to the scale of its couplings.

    Args:
        values: both, the one for 0 first; by default those of the column, in order.

    >>> Binary(("no", "yes")).describe()
    "'no' or 'yes'"
    """

    values: tuple[Any, ...] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", _checked(self.values, 2, 2, "two different ones"))

    def unit_type(self) -> type[Units]:
        return Spin if self._spins() else Bernoulli

    def _spins(self) -> bool:
        return self.values == (-1, 1)

    def fitted(self, facts: Facts) -> Kind:
        if self.complete():
            return self
        if facts.values is None or len(facts.values) != 2:
            raise Refused(f"must hold two different values to be binary, got {facts.distinct}")
        return Binary(facts.values)

    def complete(self) -> bool:
        return self.values is not None

    def encode(self, column: pd.Series) -> np.ndarray:
        assert self.values is not None
        first, second = self.values
        codes = places(column, self.values, f"must hold {first!r} or {second!r}")
        return 2.0 * codes - 1.0 if self._spins() else codes

    def decode(self, codes: np.ndarray) -> np.ndarray:
        assert self.values is not None
        return _labels(self.values, np.where(np.isnan(codes), np.nan, codes > 0))

    def is_text(self) -> bool:
        return self.values is not None and isinstance(self.values[0], str)

    def describe(self) -> str:
        return "two values" if self.values is None else f"{self.values[0]!r} or {self.values[1]!r}"


@dataclass(frozen=True)
class Category(Kind):
    """A column of one value out of several, in no order that counts: a one-hot Categorical unit.

    Args:
        values: all of them; by default those of the column, or all that a categorical column declares.
        other: whether to keep a state for values that later tables may hold besides these. It is an empty
            cell where it is turned back into a value. By default such a value is an error.
        amounts: whether the values are amounts and not codes for names, so that an empty cell is guessed by
            its mean, which is the value next to it, and not by the most probable value. So are numbers in
            which a schema finds categories; numbers for which categories were asked are codes.

    >>> Category(("red", "green", "blue"), other=True).describe()
    "one of 3 ('red', 'green', 'blue'), or another"
    >>> Category((1, 2, 4), amounts=True).describe()
    'one of 3 amounts (1, 2, 4)'
    """

    values: tuple[Any, ...] | None = None
    other: bool = False
    amounts: bool = False

    def __post_init__(self) -> None:
        values = _checked(self.values, 1 if self.other else 2, MOST, f"from 2 to {MOST} different ones")
        object.__setattr__(self, "values", values)
        for name in ("other", "amounts"):
            checks.boolean(name, getattr(self, name))
        if self.amounts and not all(isinstance(v, (int, float)) for v in self.values or ()):
            raise ValueError(
                f"values must be numbers to be amounts, got {listed([repr(v) for v in self.values or ()])}."
            )

    def unit_type(self) -> type[Units]:
        return Categorical

    @property
    def options(self) -> dict[str, int]:
        return {"states": self.width}

    @property
    def width(self) -> int:
        return len(self.values or ()) + self.other

    def fitted(self, facts: Facts) -> Kind:
        if self.complete():
            return self
        if facts.values is None:
            raise Refused(f"must hold at most {MOST} different values to be categories, got {facts.distinct}")
        if len(facts.values) + self.other < 2:
            raise Refused(f"must hold two values or more to be categories, got {facts.distinct}")
        if self.amounts and facts.family != "number":
            raise Refused("must hold numbers to be amounts")
        return replace(self, values=facts.values)

    def complete(self) -> bool:
        return self.values is not None

    def encode(self, column: pd.Series) -> np.ndarray:
        assert self.values is not None
        needs = f"must hold one of the categories {listed([repr(v) for v in self.values])}"
        return places(column, self.values, needs, len(self.values) if self.other else None)

    def decode(self, codes: np.ndarray) -> np.ndarray:
        assert self.values is not None
        return _labels(self.values, codes)

    def is_text(self) -> bool:
        return self.values is not None and isinstance(self.values[0], str)

    def describe(self) -> str:
        if self.values is None:
            return "categories"
        shown = ", ".join(repr(v) for v in self.values[:4]) + ", …" * (len(self.values) > 4)
        amounts = " amounts" * self.amounts
        return f"one of {len(self.values)}{amounts} ({shown})" + ", or another" * self.other
