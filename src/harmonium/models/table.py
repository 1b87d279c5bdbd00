"""What a user has (arrays, memory maps, tensors, frames, lists) as a table of numbers with named columns.

A cell without a number (NaN, pandas' NA, None, or masked) is free, and NaN here. Values stay as they are
stored: pieces of a table are read where they lie, and those of sparse rows are made dense.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harmonium import checks
from harmonium.columns.frames import (
    INDEX_OF_PANDAS,
    index_as_data,
    labels_of,
    listed,
    numbered,
    numbers_rows,
    refuse_unread,
)
from harmonium.models.sparse import SparseRows, sparse_rows

CELLS = 2**18  # looked at together, so that memory-mapped data needn't fit in memory
FREE_CELLS = (
    "NaN marks a free cell, and here rows must be whole: leave incomplete ones out, or fill them in"
    " (hm.sample(model, n, given=rows), harmonium impute)"
)
SPARSE = {torch.sparse_coo, torch.sparse_csr, torch.sparse_csc, torch.sparse_bsr, torch.sparse_bsc}
NATIVE = {torch.uint16, torch.uint32, torch.uint64}  # for which torch lacks what NumPy has


Values = np.ndarray | Tensor | SparseRows


@dataclass(frozen=True, eq=False)
class Selected:
    """Some rows of a table by their numbers, the table itself left where it is.

    Attributes:
        x: (rows, columns), in memory or on disk.
        numbers: of the rows selected, in their order.
    """

    x: Values
    numbers: np.ndarray

    def __len__(self) -> int:
        return len(self.numbers)


Stored = Values | Selected


@dataclass(frozen=True, eq=False)
class Table:
    """Numbers in rows and columns.

    Attributes:
        values: (rows, columns) as stored, NaN where a cell is free.
        columns: their names, where known.
        first: what sentences call the first row and column: 0 as Python counts, 1 as for files.
        frame: the same rows as a data frame in their own words, where there is one.
        coded: whether the values are codes of a schema already, as `Schema.encode` makes them.
    """

    values: Values
    columns: tuple[str, ...] | None = None
    first: int = 0
    frame: Any = None
    coded: bool = False

    def __len__(self) -> int:
        return len(self.values)

    @property
    def width(self) -> int:
        """Number of columns."""
        return self.values.shape[1]

    def array(self) -> np.ndarray:
        """All values as one array, dense; a memory map stays one."""
        x = self.values
        return x.dense(slice(None)) if isinstance(x, SparseRows) else np.asanyarray(x)

    def place(self, row: int, column: int, more: int = 0) -> str:
        """Where a cell is, or where `more` further columns are too, in words.

        >>> Table(np.eye(2), ("age", "smoker")).place(0, 1)
        'row 0, column 1 (smoker)'
        """
        row, start, end = (k + self.first for k in (row, column, column + more))
        if more:
            names = f" ({self.columns[column]} to {self.columns[column + more]})" if self.columns else ""
            return f"row {row}, columns {start} to {end}{names}"
        name = self.columns[column] if self.columns else str(column)
        return f"row {row}, column {start}" + (f" ({name})" if name != str(column) else "")

    def in_order(self, names: tuple[str, ...], order: Sequence[int]) -> Table:
        """The table of these columns, (numbers of) which then have these names."""
        return replace(self, values=self.values[:, list(order)], columns=names)


# -- pieces of what is stored ----------------------------------------------------------------------------


def take(x: Stored, numbers: np.ndarray) -> Tensor:
    """Copies of the rows with these numbers, as they are stored; nothing else is read.

    >>> take(Selected(np.arange(10)[:, None], np.array([2, 3, 5, 7])), np.array([3, 0])).flatten()
    tensor([7, 2])
    """
    if isinstance(x, Selected):
        return take(x.x, x.numbers[numbers])
    if isinstance(x, Tensor):
        return x.index_select(0, torch.from_numpy(numbers).to(x.device))  # a third of the time of x[...]
    if isinstance(x, SparseRows):
        return torch.from_numpy(x.dense(numbers))
    return torch.from_numpy(np.ascontiguousarray(x[numbers], x.dtype.newbyteorder("=")))


def rows_at_once(width: int) -> int:
    """How many rows of so many cells are looked at together."""
    return max(1, CELLS // width)


def pieces(x: Stored, part: slice | None = None, width: int = 1) -> Iterator[tuple[np.ndarray, Tensor]]:
    """Successive (row numbers, rows as stored) of about CELLS cells; of a part of the rows where given.

    What is made of a row may have another `width`, such as one-hot states of codes: the wider one counts.
    """
    begin, n = (0, len(x)) if part is None else (part.start, part.stop)
    size = rows_at_once(max(width, (x.x if isinstance(x, Selected) else x).shape[1]))
    for start in range(begin, n, size):
        numbers = np.arange(start, min(start + size, n))
        yield numbers, x[start : numbers[-1] + 1] if isinstance(x, Tensor) else take(x, numbers)


# -- what came -------------------------------------------------------------------------------------------


def as_table(data: Any, name: str, *, pictures: bool = False) -> Table:
    """What was given as a table of numbers, its values not looked at.

    Args:
        data: a table, array, memory map, tensor, data frame or nested lists; masked cells and missing ones
            become NaN.
        name: what to call it in sentences.
        pictures: whether (rows, height, width) will do too, each row a picture.

    Raises:
        TypeError, ValueError: it holds anything but real numbers, in other than two dimensions, or none.
    """
    x = as_numbers(data, name)
    if x.ndim != 2 and not (pictures and x.ndim == 3):
        few = {0: "a single number", 1: "a one-dimensional array"}
        also = ", or (rows, height, width) for pictures" * pictures
        raise ValueError(
            f"{name} must have the shape (rows, columns){also}, got"
            f" {few.get(x.ndim, f'an array of {x.ndim} dimensions')} of shape {tuple(x.shape)}."
        )
    if 0 in x.shape:
        raise ValueError(
            f"{name} must hold at least one row and one column, got an empty array of shape {tuple(x.shape)}."
        )
    x = x if isinstance(x, SparseRows) or x.ndim == 2 else x.reshape(len(x), -1)
    if isinstance(data, Table):
        return replace(data, values=x)
    table = Table(x, labels_of(data))
    twice = [label for label, times in Counter(table.columns or ()).items() if times > 1]
    if twice:
        raise ValueError(f"{name} must have columns of different names, got {listed(twice)} more than once.")
    _refuse_row_numbers(table, name)
    return table


def as_numbers(data: Any, name: str) -> Values:
    """What was given as an array of real numbers, of any shape; free cells are NaN.

    Raises:
        TypeError, ValueError: it holds anything else, numbers beyond float64, or rows of different lengths.
    """
    data = data.values if isinstance(data, Table) else data
    if isinstance(data, SparseRows):
        return data
    _refuse_other_things(data, name)
    if hasattr(data, "toarray") or isinstance(data, Tensor) and data.layout in SPARSE:
        return sparse_rows(data, name)
    if isinstance(data, Tensor):
        data = _of_tensor(data, name)
        if isinstance(data, Tensor):
            return data
    x = _array(data, name)
    if x.dtype.names:
        x = _of_frame(x, name)
    if x.dtype == object:
        x = _of_objects(x, name)
    if x.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold real numbers, got {_type(x.dtype)}.")
    if isinstance(x, np.ma.MaskedArray):
        x = np.where(x.mask, np.nan, x.data) if np.ma.is_masked(x) else np.ma.getdata(x)
    if x.dtype.itemsize > 8:
        x = _exactly(x, name)
    # the same memory, without the bookkeeping of a subclass at each access
    return x.view(np.ndarray) if isinstance(x, np.memmap) else x


def _refuse_other_things(data: Any, name: str) -> None:
    refuse_unread(data, name)
    if isinstance(data, (str, bytes, Mapping)) or data is None:
        raise TypeError(f"{name} must be a table of numbers, got {checks.describe(data)}.")


def _array(data: Any, name: str) -> np.ndarray:
    if hasattr(data, "to_pandas"):
        data = data.to_pandas()
    if hasattr(data, "to_numpy"):
        x = data.to_numpy()
        of_pandas = type(data).__module__.partition(".")[0] == "pandas"
        return _of_frame(data, name) if of_pandas and x.dtype == object else x
    if isinstance(data, np.ndarray):
        return data
    rows = list(data) if isinstance(data, (list, tuple)) else []
    make = np.ma.array if any(isinstance(row, np.ma.MaskedArray) for row in rows) else np.asarray
    if rows and all(isinstance(row, Tensor) for row in rows):
        data = [row.detach().cpu().numpy() for row in rows]
    try:
        with warnings.catch_warnings():  # a masked element among Python's numbers becomes NaN, which is right
            warnings.simplefilter("ignore", UserWarning)
            return make(data)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{name} must be a table of numbers, rows of one length each.") from error


def _of_tensor(data: Tensor, name: str) -> Tensor | np.ndarray:
    if hasattr(data, "get_mask"):  # a torch.masked.MaskedTensor, whose mask is True where a value counts
        masked: Any = data
        return torch.where(masked.get_mask(), masked.get_data().detach().double(), torch.nan)
    if data.is_complex():
        raise TypeError(f"{name} must hold real numbers, got complex numbers.")
    if data.layout != torch.strided or data.is_nested:
        raise TypeError(f"{name} must be a table of numbers, got a tensor of layout {data.layout}.")
    return data.detach().cpu().numpy() if data.dtype in NATIVE else data.detach()


def _of_frame(data: Any, name: str) -> np.ndarray:
    """A pandas Series or DataFrame whose columns are numbers of several types, or have missing cells."""
    from pandas import DataFrame
    from pandas.api import types

    columns = []
    frame = DataFrame(data)
    for label, column in frame.items():
        if types.is_object_dtype(column.dtype):
            columns.append(_of_objects(column.to_numpy(), name, f"column {label!r}"))
        elif types.is_complex_dtype(column.dtype) or not types.is_numeric_dtype(column.dtype):
            raise TypeError(
                f"{name} must hold numbers in every column, got {column.dtype} in column {label!r}."
            )
        else:
            columns.append(column.to_numpy(dtype=float, na_value=np.nan))
    x = np.stack(columns, axis=1)
    return x[:, 0] if hasattr(data, "to_frame") else x  # of a Series


def _of_objects(x: np.ndarray, name: str, where: str = "a table of objects") -> np.ndarray:
    """Python's numbers as float64; None, NaN and NA are free cells."""
    cells = np.empty(x.shape)
    for place, cell in np.ndenumerate(x):
        if cell is None or cell is np.ma.masked or type(cell).__name__ in ("NAType", "NaTType"):
            cells[place] = np.nan
            continue
        here = ", ".join([where, *(f"{axis} {i}" for axis, i in zip(("row", "column"), place, strict=False))])
        if not isinstance(cell, (Real, Decimal, np.bool_)):
            raise TypeError(f"{name} must hold numbers, got {checks.describe(cell)} in {here}.")
        try:
            cells[place] = float(cell)
        except OverflowError:
            cells[place] = np.inf
        if isinstance(cell, int) and (np.isinf(cells[place]) or int(cell) != int(cells[place])):
            raise ValueError(f"{name} must hold numbers that float64 holds exactly, got {cell} in {here}.")
    if np.ma.isMaskedArray(x):
        cells = np.where(np.ma.getmaskarray(x), np.nan, cells)
    return cells


def _exactly(x: np.ndarray, name: str) -> np.ndarray:
    """Numbers of more than 64 bits in float64, or a sentence where that would round them."""
    with np.errstate(over="ignore"):
        narrow = x.astype(np.float64)
    wrong = np.argwhere((narrow != x) & ~np.isnan(x))
    if len(wrong):
        raise ValueError(
            f"{name} must hold numbers that float64 holds exactly, got {x[tuple(wrong[0])]} of type {x.dtype}"
            f" at {tuple(wrong[0].tolist())}; astype(float) rounds them."
        )
    return narrow


def _type(dtype: np.dtype) -> str:
    kinds = {"U": "text", "S": "text", "T": "text", "c": "complex numbers", "M": "dates", "m": "times"}
    return kinds.get(dtype.kind, f"an array of type {dtype}")


# -- what is wrong with it -------------------------------------------------------------------------------


def not_finite(table: Table, name: str, free: bool = False) -> str:
    """The sentence on cells without a finite number: how many they are, and where the first is; only on
    infinite ones where cells may be `free`.
    """
    number, first = 0, ""
    for rows, piece in pieces(table.values):
        bad = piece.isinf() if free else ~torch.isfinite(piece)
        count = int(bad.sum())
        if count and not first:
            row, column = bad.nonzero()[0].tolist()
            kind = "infinite" if piece[row, column].isinf() else "missing (NaN)"
            first = f"{table.place(int(rows[0]) + row, column)}, is {kind}"
            first += f"; {FREE_CELLS}" if kind != "infinite" else ""
        number += count
    where = "every cell that isn't empty" if free else "every cell"
    return f"{name} must have a finite number in {where}, got {number:,} without one: the first in {first}."


def _refuse_row_numbers(table: Table, name: str) -> None:
    """An index that pandas has written into a file and read back as a column isn't data."""
    for i, label in enumerate(table.columns or ()):
        if INDEX_OF_PANDAS.fullmatch(label) and numbers_rows(np.asarray(table.values[:, i])):
            raise ValueError(index_as_data(name, label))


def by_name(
    table: Table, expected: tuple[str, ...] | None, name: str
) -> tuple[Table, tuple[int, ...] | None]:
    """The table with its columns in the order expected, and their numbers in the table given; None where
    nothing has moved.

    A table without names goes by position.

    Raises:
        ValueError: names are missing or unknown.
    """
    found = table.columns
    if expected is None and numbered(found):
        expected = tuple(str(k) for k in range(table.width))
    if found is None or expected is None or found == expected or numbered(found) and not numbered(expected):
        return table, None
    missing = [column for column in expected if column not in found]
    unknown = [column for column in found if column not in expected]
    faults = {"missing": missing, "unknown": unknown}
    if any(faults.values()) or len(found) != len(expected):
        told = "; ".join(f"{fault}: {listed(columns)}" for fault, columns in faults.items() if columns)
        raise ValueError(
            f"{name} must have the columns that the model knows by name, in any order ({listed(expected)}),"
            f" got others ({told or f'{len(found)} columns'})."
        )
    order = tuple(found.index(column) for column in expected)
    return table.in_order(expected, order), order
