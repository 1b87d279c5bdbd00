"""Columns of numbers as visible units and back: what a table of scikit-learn's says of its columns is only
their values.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

import numpy as np

from harmonium.recipes.split import HOLD_OUT_FROM
from harmonium.units import Bernoulli, Gaussian, Mixed, Spin, Units

FEW, SHARE = 5, 0.01  # rows, or their share, that may differ in a column that is taken as constant
REAL, BINARY, SPIN, RARE = "real", "binary", "spin", "rare"
UNITS: dict[str, type[Units]] = {REAL: Gaussian, BINARY: Bernoulli, SPIN: Spin, RARE: Bernoulli}


@dataclass
class Columns:
    """How each column is read.

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
    def of(cls, x: np.ndarray, weights: np.ndarray | None = None) -> Columns:
        """As the values of these rows say, (rows, columns), rows of weight 0 aside.

        >>> Columns.of(np.array([[0.0, 1.0, 7.0], [1.0, 2.0, 7.0], [1.0, 4.0, 7.0]])).kinds.tolist()
        ['binary', 'real', 'rare']
        """
        w = np.ones(len(x)) if weights is None else weights
        x, w = x[w > 0].astype(np.float64), w[w > 0]
        most = max(FEW, SHARE * len(x)) if len(x) >= HOLD_OUT_FROM else 0
        read = [_read(column, w / w.sum(), most) for column in x.T]
        kinds, location, scale = zip(*read, strict=True)
        return cls(np.array(kinds), np.array(location), np.array(scale))

    def units(self, *more: Units) -> Units:
        """A fresh layer for these columns, in their order, and more to their right."""
        parts = [kind(len(list(run))) for kind, run in groupby(UNITS[kind] for kind in self.kinds)]
        parts += more
        return parts[0] if len(parts) == 1 else Mixed(*parts)

    def encode(self, x: np.ndarray) -> np.ndarray:
        """Rows as visible states, float64 (rows, columns)."""
        rare = self.kinds == RARE
        with np.errstate(over="ignore"):
            v = (x.astype(np.float64) - self.location) / np.where(rare, 1.0, self.scale)
        return np.where(rare, (x != self.location).astype(np.float64), v)

    def decode(self, v: np.ndarray) -> np.ndarray:
        """Visible states as rows; where a rare column differs, by as much as such rows do on average."""
        return v * self.scale + self.location

    @property
    def log_density(self) -> float:
        """What densities of rows have more than those of their visible states, nats."""
        return -float(np.log(self.scale[self.kinds == REAL]).sum())


def _read(column: np.ndarray, shares: np.ndarray, most: float) -> tuple[str, float, float]:
    """(kind, location, scale) of a column, of which `most` rows may differ from the rest in a rare one."""
    if ((column == 0) | (column == 1)).all():
        return BINARY, 0.0, 1.0
    if ((column == -1) | (column == 1)).all() and column.min() < column.max():
        return SPIN, 0.0, 1.0
    values, counts = np.unique(column, return_counts=True)
    usual = values[counts.argmax()]
    others = column[column != usual]
    if len(others) <= most:
        return RARE, usual, float(np.mean(others) - usual) if len(others) else 0.0
    location = shares @ column
    return REAL, location, float(np.sqrt(shares @ (column - location) ** 2))
