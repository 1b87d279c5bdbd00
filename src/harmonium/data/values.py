"""What the values of a table are: shape, type, finiteness and support, read in chunks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from harmonium import processes
from harmonium.models import table
from harmonium.models.sparse import SparseRows
from harmonium.models.table import Table, Values

CHUNK = 2**24
"""Bytes of a table that are looked at together, so that a file larger than memory can be surveyed."""


class DataError(ValueError):
    """Data that can't be used; the message is one sentence for the user."""


def as_table(title: str, x: Any, columns: tuple[str, ...] | None = None) -> Table:
    """An array as a table, its values as they are; rows and columns are counted from 1, as in a file.

    Pictures (rows, height, width) are laid out in rows; types of the other byte order are turned to this
    machine's. `title` names the array in the sentence of a DataError.
    """
    try:
        values = table.as_table(x, title, pictures=True).values
    except (TypeError, ValueError) as error:
        raise DataError(str(error)) from None
    if isinstance(x, np.memmap) and x.dtype.itemsize <= 8:
        values = x.reshape(len(x), -1)  # stays where it is
    elif isinstance(values, np.ndarray) and not values.dtype.isnative:
        values = values.astype(values.dtype.newbyteorder("="))
    return Table(values, columns, first=1)


def chunks(x: Values, part: slice | None = None) -> Iterator[tuple[int, np.ndarray]]:
    """Successive blocks of rows of about CHUNK bytes, each with the number of its first row; of a part of the
    rows where given.
    """
    begin, end = (0, len(x)) if part is None else (part.start, part.stop)
    rows = max(1, CHUNK // max(1, x.dtype.itemsize * x.shape[1]))
    for start in range(begin, end, rows):
        block = x[start : min(start + rows, end)]
        if isinstance(block, Tensor):
            block = (block.float() if block.dtype.itemsize < 4 else block).cpu().numpy()
        yield start, block.dense(slice(None)) if isinstance(block, SparseRows) else block


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
    return survey(title, as_table(title, x)).support


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


def survey(title: str, rows: Table, free: bool = False) -> Survey:
    """Looks at all values of a table in chunks; a DataError says where one is infinite, or free.

    Where cells may be `free` the others are looked at, of which there must be one. Several processes look at
    a part of the rows each.
    """
    if processes.count() == 1:
        result = _surveyed(title, rows, free, slice(0, len(rows)))
    else:
        with processes.agreeing():
            own = _surveyed(title, rows, free, processes.share(len(rows)))
        found = processes.gather_array(np.array([own], dtype=np.float64)).tolist()
        result = joint(Survey(low, high, bool(whole), bool(zero)) for low, high, whole, zero in found)
    if free and not math.isfinite(result.low):
        raise DataError(
            f"{title} must hold a number in some cell, got {len(rows):,} rows of empty cells (NaN)."
        )
    return result


def _surveyed(title: str, rows: Table, free: bool, part: slice) -> Survey:
    """The survey of a part of the rows."""
    result = Survey(math.inf, -math.inf, True, False)
    for _, block in chunks(rows.values, part):
        if free and block.dtype.kind == "f":
            block = block[~np.isnan(block)]
            if not block.size:
                continue
        least, most = float(block.min()), float(block.max())
        if not (math.isfinite(least) and math.isfinite(most)):
            raise DataError(table.not_finite(rows, title, free))
        whole = result.whole and bool(block.dtype.kind in "biu" or (block == np.floor(block)).all())
        zero = whole and least >= -1 and most <= 1 and bool((block == 0).any())
        result = joint([result, Survey(least, most, whole, zero)])
    return result


def joint(surveys: Iterable[Survey]) -> Survey:
    """The survey of several tables together."""
    low, high, whole, zero = zip(*surveys, strict=True)
    return Survey(min(low), max(high), all(whole), any(zero))
