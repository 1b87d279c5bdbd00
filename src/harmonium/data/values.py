"""What the values of a table are: shape, type, finiteness and support, read in chunks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

CHUNK = 2**24
"""Bytes of a table that are looked at together, so that a file larger than memory can be surveyed."""


class DataError(ValueError):
    """Data that can't be used; the message is one sentence for the user."""


def as_table(title: str, x: np.ndarray) -> np.ndarray:
    """The array as (rows, columns), its values as they are.

    Pictures (rows, height, width) are laid out in rows; types of the other byte order are turned to this
    machine's. `title` names the array in the sentence of a DataError: another number of dimensions, nothing
    in it, or values that are not real numbers of at most 64 bits.
    """
    if x.dtype.kind not in "biuf" or x.dtype.itemsize > 8:
        raise DataError(f"{title} must hold real numbers of at most 64 bits, got values of {_type(x.dtype)}.")
    if x.ndim not in (2, 3):
        raise DataError(
            f"{title} must have the shape (rows, columns), or (rows, height, width) for pictures,"
            f" got {_dimensions(x.ndim)} of shape {x.shape}."
        )
    if x.size == 0:
        raise DataError(
            f"{title} must hold at least one row and one column, got an empty array of shape {x.shape}."
        )
    if not x.dtype.isnative:
        x = x.astype(x.dtype.newbyteorder("="))
    return x.reshape(len(x), -1)


def _type(dtype: np.dtype) -> str:
    kinds = {"O": "Python objects", "U": "text", "S": "text", "c": "complex numbers", "M": "dates"}
    return kinds.get(dtype.kind, f"type {dtype}")


def _dimensions(number: int) -> str:
    few = {0: "a single number", 1: "a one-dimensional array"}
    return few.get(number, f"an array of {number} dimensions")


def chunks(x: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Successive blocks of rows of about CHUNK bytes, each with the number of its first row."""
    rows = max(1, CHUNK // max(1, x[:1].nbytes))
    for start in range(0, len(x), rows):
        yield start, x[start : start + rows]


def describe_support(x: np.ndarray, title: str = "the data") -> str:
    """The narrowest support that holds every value of a table (rows, columns).

    Returns:
        'binary' (0 and 1), 'spin' (-1 and 1), 'counts' (0, 1, 2, ...), 'unit interval' (from 0 to 1) or
        'real', the first of them that fits.

    Raises:
        DataError: the table isn't two-dimensional and numeric, or a value is NaN or infinite.

    >>> describe_support(np.array([[0.0, 1.0], [1.0, 1.0]])), describe_support(np.array([[0.0, 0.5]]))
    ('binary', 'unit interval')
    >>> describe_support(np.array([[-1, 1]])), describe_support(np.array([[0, 12]]))
    ('spin', 'counts')
    """
    return survey(title, x).support


class Survey(NamedTuple):
    """What the values of a table have in common; `zero` is looked for only where they could be spins."""

    low: float
    high: float
    whole: bool
    zero: bool

    @property
    def support(self) -> str:
        """As `describe_support` returns it."""
        low, high, whole, zero = self
        if whole and low >= 0:
            return "binary" if high <= 1 else "counts"
        if whole and low == -1 and high in (-1, 1) and not zero:
            return "spin"
        return "unit interval" if low >= 0 and high <= 1 else "real"


def survey(title: str, x: np.ndarray, columns: Sequence[str] | None = None) -> Survey:
    """Looks at all values of a table in chunks; raises DataError as `describe_support`, naming the column."""
    result = Survey(math.inf, -math.inf, True, False)
    table = as_table(title, x)
    for _, block in chunks(table):
        least, most = float(block.min()), float(block.max())
        if not (math.isfinite(least) and math.isfinite(most)):
            raise DataError(_not_finite(title, table, columns))
        whole = result.whole and bool(block.dtype.kind in "biu" or (block == np.floor(block)).all())
        zero = whole and least >= -1 and most <= 1 and bool((block == 0).any())
        result = joint([result, Survey(least, most, whole, zero)])
    return result


def joint(surveys: Iterable[Survey]) -> Survey:
    """The survey of several tables together."""
    low, high, whole, zero = zip(*surveys, strict=True)
    return Survey(min(low), max(high), all(whole), any(zero))


def _not_finite(title: str, x: np.ndarray, columns: Sequence[str] | None) -> str:
    """The sentence on a table's NaN and infinite values: how many, and where the first is, counted from 1."""
    number, first = 0, None
    for start, block in chunks(x):
        bad = np.argwhere(~np.isfinite(block))
        if first is None and len(bad):
            row, column = bad[0]
            kind = "infinite" if np.isinf(block[row, column]) else "missing (NaN)"
            named = f" ({columns[column]})" if columns else ""
            first = f"the first in row {start + row + 1}, column {column + 1}{named}, is {kind}"
        number += len(bad)
    return f"{title} must have a finite number in every cell, got {number:,} without one: {first}."
