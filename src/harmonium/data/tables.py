"""Tables of named columns: .csv and .parquet; without names every cell is a number or missing."""

from __future__ import annotations

import csv
import re
from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from harmonium import checks
from harmonium.columns.frames import INDEX_OF_PANDAS, numbers_rows
from harmonium.columns.frames import numbered as are_numbers
from harmonium.data.text import as_written
from harmonium.data.values import DataError
from harmonium.data.written import without_marks, written_numbers

if TYPE_CHECKING:
    import pandas as pd

FEWEST_NUMBERED = 4
"""Cells of a first line 0, 1, 2, … that can't well be a row of data."""

SEPARATORS = ",;\t|"

EMPTY = "?"
"""How many tables mark a cell that is empty, besides what pandas knows."""


class Read(NamedTuple):
    """What a file holds.

    Attributes:
        values: (rows, columns); objects where some column isn't all numbers.
        names: of the columns, where they have any.
        notes: for the user.
        frame: the table in its own words, where the columns have names.
    """

    values: np.ndarray
    names: tuple[str, ...] | None
    notes: list[str]
    frame: pd.DataFrame | None


def read_csv(path: Path, text: Collection[str] | None = None) -> Read:
    """A file of cells separated by commas, semicolons, tabs, bars or blanks; the first line may name the
    columns, which may then hold text.

    It does where none of its cells is a number. Among numbers true and false count as 1 and 0. Columns whose
    numbers are written with decimal commas or separators of thousands are read as what they mean, and ? as an
    empty cell, as one other mark among numbers is (. or * or -); notes say so. What numbers or names the
    rows in a first column without a name, as pandas and R write it, and a first line that numbers the columns
    (four or more from 0) are left out, and a note says so. Missing cells are NaN. Columns whose names are in
    `text` are read as text even where all of their cells are numbers; by default those whose whole numbers
    begin with zeros are, and None among words is one of them. Notes say so, and which words were taken for
    empty cells, such as NA.

    Raises:
        DataError: a cell is no number where columns have no names; names and numbers in one line; lines that
            differ in length; no row; numbers whose commas may be either.
    """
    import pandas as pd

    parsed = _parsed(path)
    frame, names, notes = parsed.frame, parsed.names, parsed.notes
    if names is None or parsed.numbered:
        return Read(_values(path, frame, names), None, notes, None)
    whole = partial(pd.read_csv, path, **parsed.options)
    frame, marked = without_marks(path, frame, names, text or ())
    frame, as_meant = written_numbers(path, frame, names, parsed.options["sep"], text or ())
    frame, as_text = as_written(path, frame, names, text, lambda places: whole(usecols=places))
    frame.columns = list(names)
    values = _values(path, frame, names, words=True)
    return Read(values, names, [*notes, *marked, *as_meant, *as_text], frame)


def read_cells(path: Path) -> pd.DataFrame:
    """The cells of a file as its text, in the rows and columns that `read_csv` gives."""
    import pandas as pd

    parsed = _parsed(path)
    places = list(parsed.frame.columns)
    return pd.read_csv(path, **parsed.options, usecols=places)[places]


class _Parsed(NamedTuple):
    """What pandas makes of a file.

    Attributes:
        frame: the columns of data, which go by their number in the file.
        names: of the columns, None where the file has none.
        numbered: whether these are numbers.
        notes: for the user.
        options: with which pandas reads all cells as text.
    """

    frame: pd.DataFrame
    names: tuple[str, ...] | None
    numbered: bool
    notes: list[str]
    options: dict[str, Any]


def _parsed(path: Path) -> _Parsed:
    import pandas as pd

    line, first, below = _first_lines(path)
    separator = _separator(first, below)
    cells = _cells(first, separator)
    numbered = _numbers_columns(path, cells, separator)
    header = numbered or _is_header(path, line, cells)
    options: dict[str, Any] = {
        "header": None,
        "skiprows": line if header else line - 1,
        "sep": r"\s+" if separator == " " else separator,
        "encoding": "utf-8-sig",
        "low_memory": False,  # one type for each column
        **_to_the_last_bit(pd.__version__),
        "skipinitialspace": True,
        "na_values": [EMPTY] if header and not numbered else None,
    }
    try:
        frame = pd.read_csv(path, **options)
    except pd.errors.EmptyDataError:
        raise DataError(f"{path} must hold at least one row, got a first line and nothing below.") from None
    if header and frame.shape[1] == len(cells) + 1 and len(frame) > 1 and _row_names(frame[0]):
        cells = ["", *cells]  # R writes no name above those of the rows
    if frame.shape[1] != len(cells):
        raise DataError(
            f"{path} must have {len(cells)} cells in every line as in its first, got {frame.shape[1]}."
        )
    names = tuple(cells) if header else None
    notes = [f"{path.name}: the first line, which numbers the columns, was not read."] if numbered else []
    if names is not None:
        frame, names, more = _without_row_names(path, frame, names)
        notes = more + notes
    if names is not None and not numbered:
        frame, names, more = _without_blank_ends(path, frame, names)
        notes += more
    return _Parsed(
        frame, names, numbered, notes, {**options, "na_values": None, "dtype": str, "na_filter": False}
    )


def _to_the_last_bit(release: str) -> dict[str, Any]:
    """What makes pandas read numbers exactly; from release 3 on it does, and doesn't want to be asked."""
    return {"float_precision": "round_trip"} if int(release.split(".")[0]) < 3 else {}


def _first_lines(path: Path) -> tuple[int, str, str]:
    """Number (from 1) and text of the first line that isn't blank, and the text of the next one."""
    with path.open(encoding="utf-8-sig") as file:
        lines = ((number, text.strip("\r\n")) for number, text in enumerate(file, start=1) if text.strip())
        number, text = next(lines, (0, ""))
        below = next(lines, (0, ""))[1]
    if not number:
        raise DataError(f"{path} must hold at least one row, got an empty file.")
    return number, text, below


def _separator(text: str, below: str) -> str:
    """What separates the cells of a first line and the one below; blanks where both consist of words."""
    bare = re.sub('"[^"]*"', '""', text)
    best = max(SEPARATORS, key=bare.count)
    if bare.count(best):
        return best
    words, next_words = (_cells(line, " ") for line in (text, below or text))
    if len(words) > 1 and all(map(_is_number, words)):
        return " "
    alike = len(next_words) - len(words) in (0, 1)  # one more where R names the rows
    return " " if alike and len(next_words) > 1 and any(map(_is_number, next_words)) else best


def _cells(text: str, separator: str) -> list[str]:
    """The cells of one line, without the sign of a comment that np.savetxt puts before a header."""
    text = text.removeprefix("# ").strip(" " if separator != "\t" else "")
    return next(csv.reader([text], delimiter=separator, skipinitialspace=True))


def _is_header(path: Path, line: int, cells: list[str]) -> bool:
    values = [_is_number(cell) or cell.strip().lower() in ("true", "false") for cell in cells]
    names = [i for i, cell in enumerate(cells) if cell.strip() and not values[i]]
    if not names:
        return False
    if any(values):
        raise DataError(
            f"{path} must have names or numbers in its first line, not both,"
            f" got {cells[names[0]]!r} in line {line}, column {names[0] + 1}: a table of words needs a line"
            " of names above it."
        )
    return True


def _numbers_columns(path: Path, cells: list[str], separator: str) -> bool:
    """Whether the first line is the 0, 1, 2, … that pandas writes for columns without names."""
    first, *rest = (cell.strip() for cell in cells)
    numbers = [str(i) for i in range(len(cells))]
    if len(cells) < FEWEST_NUMBERED or first != "":
        return [first, *rest] == numbers and len(cells) >= FEWEST_NUMBERED
    if rest != numbers[:-1]:
        return False
    with path.open(encoding="utf-8-sig") as file:  # the index of the rows must stand below the empty cell
        below = [text.partition(separator)[0].strip() for text in file if text.strip()][1:]
    return all(map(str.isdecimal, below)) and numbers_rows(np.array(below, float))


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _without_row_names(
    path: Path, frame: pd.DataFrame, names: tuple[str, ...]
) -> tuple[pd.DataFrame, tuple[str, ...], list[str]]:
    """The columns of data, their names, and notes on columns that number or name the rows."""
    notes = []
    while len(names) > 1 and (not names[0].strip() or INDEX_OF_PANDAS.fullmatch(names[0])):
        if not _row_names(frame.iloc[:, 0]):
            if _all_different(frame.iloc[:, 0]):
                notes.append(
                    f"{path.name}: the first column has no name, and whole numbers that are all different: it"
                    " was read as data, so leave it out of the file if it numbers the rows."
                )
            break
        title = f", {names[0]}," if names[0].strip() else ","
        does = "numbers" if frame.iloc[:, 0].dtype.kind in "iuf" else "names"
        notes.append(f"{path.name}: the first column{title} which {does} the rows, was not read.")
        frame, names = frame.iloc[:, 1:], names[1:]
    return frame, names, notes


def _row_names(column: pd.Series) -> bool:
    """Whether cells are the numbers of the rows in any order, or text that is another in each of them."""
    if column.dtype.kind in "iuf":
        return numbers_rows(column.to_numpy())
    text = column.dtype.kind == "O" and column.is_unique
    return text and not any(_is_number(str(cell)) for cell in column)


def _all_different(column: pd.Series) -> bool:
    if column.dtype.kind not in "iuf" or column.hasnans or len(column) < FEWEST_NUMBERED:
        return False
    return bool((column == column.round()).all()) and bool(column.is_unique)


def _without_blank_ends(
    path: Path, frame: pd.DataFrame, names: tuple[str, ...]
) -> tuple[pd.DataFrame, tuple[str, ...], list[str]]:
    """The columns without one at the end that has neither a name nor a value, as spreadsheets write it."""
    kept = len(names)
    while kept > 1 and not names[kept - 1].strip() and bool(frame.iloc[:, kept - 1].isna().all()):
        kept -= 1
    if kept == len(names):
        return frame, names, []
    return frame.iloc[:, :kept], names[:kept], [f"{path.name}: empty columns at the end were not read."]


def read_parquet(path: Path) -> Read:
    """A Parquet file, its columns as they are typed; missing cells are NaN."""
    import pandas as pd

    frame = pd.read_parquet(path, engine="pyarrow")
    notes = []
    if frame.index.name is not None:
        notes = [f"{path.name}: the index {frame.index.name} was not read."]
    frame, names, more = _without_row_names(path, frame, tuple(str(name) for name in frame.columns))
    plain = None if are_numbers(names) and all(map(_is_plain, frame.dtypes)) else frame
    return Read(_values(path, frame, names, words=plain is not None), names, notes + more, plain)


def _is_plain(dtype: object) -> bool:
    return getattr(dtype, "kind", "") in "biuf"


def _values(
    path: Path, frame: pd.DataFrame, names: tuple[str, ...] | None, words: bool = False
) -> np.ndarray:
    """The cells as one array of the narrowest type that holds all columns, NaN where they are missing; of
    objects where some hold words, which must be allowed.
    """
    if 0 in frame.shape:
        size = " x ".join(map(str, frame.shape))
        raise DataError(f"{path} must hold at least one row and one column, got {size}.")
    titles = [f"column {i + 1}" + (f" ({names[i]!r})" if names else "") for i in range(frame.shape[1])]
    if words and not all(_holds_numbers(frame.iloc[:, i]) for i in range(frame.shape[1])):
        return frame.to_numpy(dtype=object)
    columns = [_column(path, title, frame.iloc[:, i]) for i, title in enumerate(titles)]
    return np.stack(columns, axis=1)


def as_numbers(path: Path, frame: pd.DataFrame) -> np.ndarray:
    """A table of words as numbers; a DataError on the first cell that is none."""
    return _values(path, frame, tuple(str(name) for name in frame.columns))


def _holds_numbers(column: pd.Series) -> bool:
    from pandas.api import types

    return (types.is_numeric_dtype(column.dtype) or types.is_bool_dtype(column.dtype)) and (
        not types.is_complex_dtype(column.dtype)
    )


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
