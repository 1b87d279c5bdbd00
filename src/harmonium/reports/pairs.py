"""How much the columns of a table say about one another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

BINS = 6  # into which numbers are put, of about equally many rows each
MOST = 12  # values of a column that are told apart; the rarer ones are one


def mutual_information(table: pd.DataFrame, reference: pd.DataFrame) -> np.ndarray:
    """I(X; Y) = Σ p(x, y) log p(x, y) / (p(x) p(y)) of every pair of columns, nats, (columns, columns).

    Numbers are put into bins of equal weight in `reference`, so that two tables with one reference compare. A
    row counts for the pairs of which both cells are known. It is biased upwards by about
    (values of X - 1)(values of Y - 1) / 2 rows.
    """
    ones = [_one_hot(table[name], reference[name]) for name in table.columns]
    edges = np.cumsum([0] + [x.shape[1] for x in ones])
    joint = np.concatenate(ones, axis=1)
    counts = joint.T @ joint
    found = np.zeros((len(ones), len(ones)))
    for i in range(len(ones)):
        for j in range(i):
            n = counts[edges[i] : edges[i + 1], edges[j] : edges[j + 1]]
            found[i, j] = found[j, i] = _information(n)
    return found


def _information(n: np.ndarray) -> float:
    total = n.sum()
    if total == 0:
        return 0.0
    p = n / total
    product = p.sum(1, keepdims=True) * p.sum(0, keepdims=True)
    some = p > 0
    return float((p[some] * np.log(p[some] / product[some])).sum())


def _one_hot(column: pd.Series, reference: pd.Series) -> np.ndarray:
    """(rows, values): 1 where a row has the value; no 1 where it is empty."""
    import pandas as pd

    known = column.notna().to_numpy()
    numbers = pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype)
    if numbers and reference.nunique() > MOST:
        inner = np.quantile(reference.dropna().to_numpy(dtype=float), np.linspace(0, 1, BINS + 1)[1:-1])
        code, width = (
            np.searchsorted(inner, column.to_numpy(dtype=float, na_value=np.nan), side="right"),
            BINS,
        )
    else:
        values = list(reference.dropna().astype(object).value_counts().index[: MOST - 1])
        place = {value: k for k, value in enumerate(values)}
        code = np.array([place.get(value, len(values)) for value in column.astype(object)])
        width = len(values) + 1
    return (code[:, None] == np.arange(width)).astype(float) * known[:, None]
