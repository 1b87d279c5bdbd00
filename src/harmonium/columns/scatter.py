"""How far whole numbers scatter given the rest of their rows, and which kinds can't be that narrow."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from harmonium.columns.base import Kind
from harmonium.columns.facts import SAMPLE, factor
from harmonium.columns.numeric import Count, Whole

if TYPE_CHECKING:
    import pandas as pd

LEVELS = 10  # values that a column may have to be told apart in the regression
ROWS = 10  # for each of its coefficients
SURE = 3.0  # standard errors
RIDGE = 1e-6  # of columns that repeat one another


class Rest:
    """The columns of a table as a linear regression on them takes them, of many rows an even choice.

    Args:
        frame: (rows, columns).
        titles: names of its columns.
        leave_out: those that aren't to be learned.
    """

    def __init__(self, frame: pd.DataFrame, titles: list[str], leave_out: list[str]) -> None:
        rows = np.linspace(0, len(frame) - 1, min(len(frame), SAMPLE)).astype(np.int64)
        self.frame = frame.iloc[rows]
        self.kept = [k for k, title in enumerate(titles) if title not in leave_out]

    def excludes(self, kind: Kind, place: int) -> bool:
        """Whether a column scatters less, given the others, than its kind ever does.

        The Poisson distribution of rate λ has the variance λ, a binomial one of n trials E[x(n-x)] / (n-1),
        and hidden units only add to that: Var(x | rest) ≥ E(x | rest). So the squared residuals of a
        regression on the rest are no smaller on average, except by chance.
        """
        if not isinstance(kind, (Count, Whole)):
            return False
        x = kind.encode(self.frame.iloc[:, place])
        known = ~np.isnan(x)
        if known.sum() < ROWS * (self._width(place) + 1):
            return False
        x, given = x[known], self._others(place)[known]
        left = _residuals(x, given) ** 2 * len(x) / (len(x) - given.shape[1] - 1)
        over = left - _least(kind, x)
        return float(over.mean()) < -SURE * float(over.std()) / len(x) ** 0.5

    @cached_property
    def _parts(self) -> dict[int, np.ndarray]:
        return {k: _standardised(self.frame.iloc[:, k]) for k in self.kept}

    @cached_property
    def _total(self) -> int:
        return sum(x.shape[1] for x in self._parts.values())

    def _width(self, place: int) -> int:
        """Number of standardised columns beside one."""
        return self._total - self._parts[place].shape[1]

    def _others(self, place: int) -> np.ndarray:
        """Those columns, (rows, n), 0 where a cell is empty."""
        return np.concatenate(
            [np.empty((len(self.frame), 0)), *(x for k, x in self._parts.items() if k != place)], axis=1
        )


def _least(kind: Count | Whole, x: np.ndarray) -> np.ndarray:
    """What estimates from each value the variance that its kind has without hidden units, (n,)."""
    trials = kind.options.get("trials")
    return x if trials is None else x * (trials - x) / max(trials - 1, 1)


def _residuals(x: np.ndarray, given: np.ndarray) -> np.ndarray:
    given = given - given.mean(0)
    square = given.T @ given
    square[np.diag_indices_from(square)] += RIDGE * len(x)
    return x - x.mean() - given @ np.linalg.solve(square, given.T @ (x - x.mean()))


def _standardised(column: pd.Series) -> np.ndarray:
    """A column of numbers, or one for each value of a few, (rows, n)."""
    from pandas.api import types

    if types.is_numeric_dtype(column.dtype) and not types.is_complex_dtype(column.dtype):
        x = column.to_numpy(dtype=float, na_value=np.nan)[:, None]
        x = np.where(np.isfinite(x), x, np.nan)
    elif types.infer_dtype(column, skipna=True) in ("string", "categorical", "boolean"):
        codes, values = factor(column)
        few = np.arange(1, len(values) if len(values) <= LEVELS else 1)
        x = np.where(codes[:, None] < 0, np.nan, codes[:, None] == few)
    else:
        x = np.empty((len(column), 0))
    known = ~np.isnan(x)
    number = np.maximum(known.sum(0), 1)
    x = np.where(known, x - np.where(known, x, 0.0).sum(0) / number, 0.0)
    deviation = np.sqrt((x**2).sum(0) / number)
    return np.divide(x, deviation, out=np.zeros_like(x), where=deviation > 0.0)
