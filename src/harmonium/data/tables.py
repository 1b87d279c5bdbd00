"""Tables of named columns: .csv and .parquet, every cell a number or missing."""

from __future__ import annotations

import csv
import itertools
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harmonium import checks
from harmonium.data.values import DataError

if TYPE_CHECKING:
    import pandas as pd

FEWEST_NUMBERED = 4
"""Cells of a first line 0, 1, 2, … that can't well be a row of data."""

Table = tuple[np.ndarray, tuple[str, ...] | None, list[str]]
"""Values (rows, columns), names of the columns, notes for the user."""


def read_csv(path: Path) -> Table:
    """A file of numbers separated by commas, semicolons or tabs; the first line may name the columns.

    It does where none of its cells is a number. true and false count as 1 and 0. What pandas adds to a table
    without names, a first column that numbers the rows from 0 or a first line that numbers the columns (four
    or more) so, is left out, and a note says so. Missing cells are NaN.

    Raises:
        DataError: a cell is no number; names and numbers in one line; lines that differ in length; no row.
    """
    import pandas as pd

    line, text = _first_line(path)
    separator = max(",;\t", key=re.sub('"[^"]*"', "", text).count)
    cells = next(csv.reader([text], delimiter=separator, skipinitialspace=True))
    numbered = _numbers_columns(path, cells)
    header = numbered or _is_header(path, line, cells)
    try:
        frame = pd.read_csv(
            path,
            header=None,
            skiprows=line if header else line - 1,
            sep=separator,
            encoding="utf-8-sig",
            low_memory=False,  # one type for each column
            skipinitialspace=True,
        )
    except pd.errors.EmptyDataError:
        raise DataError(f"{path} must hold at least one row, got a first line and nothing below.") from None
    if frame.shape[1] != len(cells):
        raise DataError(
            f"{path} must have {len(cells)} cells in every line as in its first, got {frame.shape[1]}."
        )
    names = tuple(cells) if header else None
    notes = []
    if names and names[0] == "" and len(names) > 1 and _numbers_rows(frame[0]):
        frame, names = frame.drop(columns=0), names[1:]
        notes = [f"{path.name}: the first column, which numbers the rows, was not read."]
    if numbered:
        names = None
        notes.append(f"{path.name}: the first line, which numbers the columns, was not read.")
    return _values(path, frame, names), names, notes


def _first_line(path: Path) -> tuple[int, str]:
    """Number (from 1) and text of the first line that isn't blank."""
    with path.open(encoding="utf-8-sig") as file:
        for number, text in enumerate(file, start=1):
            if text.strip():
                return number, text.rstrip("\n")
    raise DataError(f"{path} must hold at least one row, got an empty file.")


def _is_header(path: Path, line: int, cells: list[str]) -> bool:
    values = [_is_number(cell) or cell.strip().lower() in ("true", "false") for cell in cells]
    names = [i for i, cell in enumerate(cells) if cell.strip() and not values[i]]
    if not names:
        return False
    if any(values):
        raise DataError(
            f"{path} must have names or numbers in its first line, not both,"
            f" got {cells[names[0]]!r} in line {line}, column {names[0] + 1}."
        )
    return True


def _numbers_columns(path: Path, cells: list[str]) -> bool:
    """Whether the first line is the 0, 1, 2, … that pandas writes for columns without names."""
    first, *rest = (cell.strip() for cell in cells)
    numbers = [str(i) for i in range(len(cells))]
    if len(cells) < FEWEST_NUMBERED or first != "":
        return [first, *rest] == numbers and len(cells) >= FEWEST_NUMBERED
    with path.open(encoding="utf-8-sig") as file:  # the index of the rows must stand below the empty cell
        below = next(itertools.islice((text for text in file if text.strip()), 1, None), "")
    return rest == numbers[:-1] and re.match(r"0[,;\t]", below) is not None


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _numbers_rows(column: pd.Series) -> bool:
    return column.dtype.kind == "i" and bool((column.to_numpy() == np.arange(len(column))).all())


def read_parquet(path: Path) -> Table:
    """A Parquet file whose columns are all numbers or booleans; missing cells are NaN.

    Raises:
        DataError: a column holds something else.
    """
    import pandas as pd

    frame = pd.read_parquet(path, engine="pyarrow")
    notes = []
    if frame.index.name is not None:
        notes = [f"{path.name}: the index {frame.index.name} was not read."]
    names = tuple(str(name) for name in frame.columns)
    return _values(path, frame, names), names, notes


def _values(path: Path, frame: pd.DataFrame, names: tuple[str, ...] | None) -> np.ndarray:
    """The cells as one array of the narrowest type that holds all columns, NaN where they are missing."""
    if 0 in frame.shape:
        size = " x ".join(map(str, frame.shape))
        raise DataError(f"{path} must hold at least one row and one column, got {size}.")
    titles = [f"column {i + 1}" + (f" ({names[i]!r})" if names else "") for i in range(frame.shape[1])]
    columns = [_column(path, title, frame.iloc[:, i]) for i, title in enumerate(titles)]
    return np.stack(columns, axis=1)


def _column(path: Path, title: str, column: pd.Series) -> np.ndarray:
    """One column as numbers, NaN where a cell is missing."""
    from pandas.api import types

    if types.is_bool_dtype(column.dtype) and not column.hasnans:
        return column.to_numpy(dtype=np.uint8)
    if types.is_numeric_dtype(column.dtype) and not types.is_complex_dtype(column.dtype):
        return column.to_numpy(dtype=float, na_value=np.nan) if column.hasnans else column.to_numpy()
    present = column.notna().to_list()
    others = [(i, x) for i, x in enumerate(column) if present[i] and not isinstance(x, (int, float))]
    if not others:
        return column.to_numpy(dtype=float, na_value=np.nan)
    row, cell = next(((i, x) for i, x in others if not _is_number(str(x))), others[0])
    got = f"{checks.describe(cell)} in row {row + 1}, {title}"
    raise DataError(f"{path} must have a number in every cell, got {got}.")
