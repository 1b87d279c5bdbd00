"""Columns as visible units and back: of an array only its values tell what they are, of a data frame its
types too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import torch

from harmonium.columns import Schema
from harmonium.columns.base import Outside, Refused
from harmonium.columns.column import Column
from harmonium.columns.frames import as_pandas, is_frame
from harmonium.models.sparse import SparseRows
from harmonium.models.support import Support
from harmonium.models.table import pieces
from harmonium.recipes.split import HOLD_OUT_FROM
from harmonium.units import Bernoulli, Gaussian, Mixed, Spin, Units

FEW, SHARE = 5, 0.01  # rows, or their share, that may differ in a column that is taken as constant
REAL, BINARY, SPIN, RARE = "real", "binary", "spin", "rare"
UNITS: dict[str, type[Units]] = {REAL: Gaussian, BINARY: Bernoulli, SPIN: Spin, RARE: Bernoulli}


@dataclass
class Columns:
    """How each column of numbers is read, NaN where a cell is empty.

    Values of 0 and 1 become 0/1 units, values of -1 and 1 spins. All others, whole or not, are real numbers,
    as in the rest of scikit-learn, and are standardised. A column in which nearly all rows hold one value
    tells whether a row holds another: real units need a spread.

    Attributes:
        kinds: "real", "binary", "spin" or "rare", (columns,).
        location, scale: of real columns; the usual value of rare ones, and how far the others lie from it on
            average; 0 and 1 elsewhere, (columns,).
    """

    kinds: np.ndarray
    location: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(
        cls,
        x: np.ndarray | SparseRows,
        weights: np.ndarray | None = None,
        names: Sequence[str] | None = None,
    ) -> Columns:
        """As the values of these rows say, (rows, columns), rows of weight 0 aside; sentences call the
        columns by their names.

        >>> Columns.of(np.array([[0.0, 1.0, 7.0], [1.0, 2.0, 7.0], [1.0, 4.0, 7.0]])).kinds.tolist()
        ['binary', 'real', 'rare']
        """
        w = np.ones(len(x)) if weights is None else weights
        x, w = x[w > 0], w[w > 0]
        most = max(FEW, SHARE * len(x)) if len(x) >= HOLD_OUT_FROM else 0
        columns = x.each_column() if isinstance(x, SparseRows) else iter(x.T)
        titles = range(x.shape[1]) if names is None or len(names) != x.shape[1] else names
        read = [_read(t, c.astype(np.float64), w, most) for t, c in zip(titles, columns, strict=True)]
        kinds, location, scale = zip(*read, strict=True)
        return cls(np.array(kinds), np.array(location), np.array(scale))

    @property
    def width(self) -> int:
        """Columns of the visible states."""
        return len(self.kinds)

    def units(self, *more: Units) -> Units:
        """A fresh layer for these columns, in their order, and more to their right."""
        parts = [kind(len(list(run))) for kind, run in groupby(UNITS[kind] for kind in self.kinds)]
        parts += more
        return parts[0] if len(parts) == 1 else Mixed(*parts)

    def encode(self, x: Any) -> Any:
        """Rows as visible states, float64 (rows, columns); sparse ones when they are made dense."""
        if isinstance(x, SparseRows):
            as_stored = (self.kinds == BINARY) | (self.kinds == RARE) & (self.location == 0.0)
            return x if x.binary and as_stored.all() else x.encoded(self.encode)
        rare = self.kinds == RARE
        with np.errstate(over="ignore"):
            v = (x.astype(np.float64) - self.location) / np.where(rare, 1.0, self.scale)
            usual = (x == self.location) | (x == self.location.astype(np.float32))  # of rows in float32 too
        return np.where(rare & ~np.isnan(x), (~usual).astype(np.float64), v)

    def decode(self, v: np.ndarray) -> np.ndarray:
        """Visible states as rows; where a rare column differs, by as much as such rows do on average."""
        return v * self.scale + self.location

    def possible(self, rows: np.ndarray | SparseRows) -> np.ndarray:
        """Whether each row has no cell but 0 and 1, or -1 and 1, where the column is of such, (rows,)."""
        two, low = np.isin(self.kinds, (BINARY, SPIN)), np.where(self.kinds == SPIN, -1.0, 0.0)[None]
        found = np.ones(len(rows), bool)
        for numbers, piece in pieces(rows):
            x = piece.numpy()[:, two]
            found[numbers] = (np.isnan(x) | (x == low[:, two]) | (x == 1)).all(1)
        return found

    def log_density(self, v: Any) -> np.ndarray:
        """What the log density of each row has more than that of its visible states, (rows,), nats."""
        real = self.kinds == REAL
        return -(~np.isnan(v[:, real]) @ np.log(self.scale[real]))


@dataclass
class TypedColumns:
    """The same for a data frame whose columns aren't all numbers: how its schema reads them.

    Attributes:
        schema: of the frame.
    """

    schema: Schema

    @property
    def width(self) -> int:
        """Columns of the visible states."""
        return self.schema.width

    def units(self, *more: Units) -> Units:
        """A fresh layer for these columns, in their order, and more to their right."""
        return self.schema.units(*more)

    def encode(self, x: Any) -> np.ndarray:
        """Rows as visible states, float64 (rows, width)."""
        codes = torch.from_numpy(self.schema.encode(x))
        return Support(self.schema.units().double(), coded=True).states(codes).numpy()

    def decode(self, v: np.ndarray) -> Any:
        """Visible states as a data frame."""
        return self.schema.decode(v)

    def possible(self, rows: Any) -> np.ndarray:
        """Whether each row has no cell but the values of its column, (rows,): no new word, say."""
        frame = as_pandas(rows)
        places = {str(label): k for k, label in enumerate(frame.columns)}
        found = np.ones(len(frame), bool)
        for column in self.schema.entries:
            if str(column.name) in places:
                found &= _possible(column, frame.iloc[:, places[str(column.name)]])
        return found

    def log_density(self, v: np.ndarray) -> np.ndarray:
        """What the log density of each row has more than that of its visible states, (rows,), nats."""
        return self.schema.log_jacobian(v)


def _possible(column: Column, cells: Any, first: int = 0) -> np.ndarray:
    """Whether each cell of a column is one of its values, (rows,), found by halves: few aren't.

    Raises:
        ValueError: a cell, of which the first is in row `first`, isn't of the column's type.
    """
    try:
        column.kind.encode(cells)
    except Outside:
        if len(cells) == 1:
            return np.zeros(1, bool)
        half = len(cells) // 2
        parts = (cells.iloc[:half], first), (cells.iloc[half:], first + half)
        return np.concatenate([_possible(column, *part) for part in parts])
    except Refused as refused:
        raise ValueError(refused.sentence("X", str(column.name), first)) from None
    return np.ones(len(cells), bool)


def columns_of(
    x: Any, weights: np.ndarray | None = None, names: Sequence[str] | None = None
) -> Columns | TypedColumns:
    """How the columns of an array of numbers, or of a data frame of anything, are read; rows of weight 0
    aside.
    """
    if not is_frame(x):
        return Columns.of(x, weights, names)
    return TypedColumns(Schema.of(x if weights is None else x[weights > 0]))


def has_words(x: Any) -> bool:
    """Whether it is a data frame in which a column isn't numbers.

    >>> import pandas as pd
    >>> has_words(pd.DataFrame({"age": [41, 37]})), has_words(pd.DataFrame({"town": ["Rome", "Oslo"]}))
    (False, True)
    """
    import pandas as pd

    return is_frame(x) and not all(pd.api.types.is_numeric_dtype(dtype) for dtype in as_pandas(x).dtypes)


def _read(title: Any, column: np.ndarray, weights: np.ndarray, most: float) -> tuple[str, float, float]:
    """(kind, location, scale) of a column, of which `most` rows may differ from the rest in a rare one."""
    known = ~np.isnan(column)
    if not known.any():
        raise ValueError(f"X must hold a number in every column, got none in column {title}.")
    column, shares = column[known], weights[known] / weights[known].sum()
    if ((column == 0) | (column == 1)).all():
        alike = bool(column.min() == column.max())  # and so perhaps not of 0 and 1: others are only rare
        return (RARE, float(column[0]), 1.0 - 2.0 * float(column[0])) if alike else (BINARY, 0.0, 1.0)
    if ((column == -1) | (column == 1)).all() and column.min() < column.max():
        return SPIN, 0.0, 1.0
    values, counts = np.unique(column, return_counts=True)
    usual = values[counts.argmax()]
    others = column[column != usual]
    if len(others) <= most:
        return RARE, usual, float(np.mean(others) - usual) if len(others) else 0.0
    return REAL, *location_and_scale(column, shares)


def location_and_scale(x: np.ndarray, shares: np.ndarray) -> tuple[float, float]:
    """The mean of numbers and their standard deviation, by the share that each has, (n,); in whatever unit,
    since squares are those of numbers of order 1.

    >>> _, scale = location_and_scale(np.array([1e200, 3e200]), np.array([0.5, 0.5]))
    >>> round(scale / 1e200, 9)
    1.0
    """
    if x.min() == x.max():  # whose mean may be rounded
        return float(x[0]), 0.0
    location = float(shares @ x)
    largest = float(np.abs(x - location).max())
    unit = 2.0 ** np.clip(np.floor(np.log2(largest)), -1022, 1022)  # a power of 2: it rounds nothing
    return location, float(unit * np.sqrt(shares @ ((x - location) / unit) ** 2))
