"""What there is to know about a column before it is said what it is."""

from __future__ import annotations

import re
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from harmonium.columns.base import LEAVE_OUT, Refused
from harmonium.columns.storage import LARGEST, WHOLE, as_written, is_plain, plain

if TYPE_CHECKING:
    import pandas as pd

MOST = 1000  # different values that are remembered, and categories of a column at most
SAMPLE = 10_000  # numbers that are remembered
DECIMALS = 6  # with which numbers may have been written down

NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*")
GROUPED = re.compile(r"\s*[+-]?\d+([.,' \u00a0\u202f]\d{3})*([.,]\d+)?\s*")
DIGITS = re.compile(r"[0-9]+")
CODE = re.compile(r"0\d+")  # which no number is written as
SIGN = re.compile("[%‰$€£¥]")  # of a share or a currency
MINUS = "\u2212"  # of print
BRACKETS = re.compile(r"\((.*)\)")  # of what somebody owes
NO_DIGITS = str.maketrans("", "", "0123456789.,")
LEVELS = 20  # different texts that may be categories although they are numbers with a sign
_TIME = r"\d{1,2}:\d{2}(:\d{2}.*)?( ?[AaPp][Mm])?"
_MONTH = r"(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*\.?"
DATE = re.compile(
    r"\s*((\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{4}|\d{1,2}/\d{1,2}/\d{2}"
    rf"|\d{{1,2}}[ -]{_MONTH}[ -](\d{{2}}|\d{{4}})|{_MONTH} \d{{1,2}}, ?\d{{4}})"
    rf"([ T]{_TIME})?|{_TIME})\s*"
)


@dataclass(frozen=True, eq=False)
class Facts:
    """A column at a glance.

    Attributes:
        family: "number", "boolean", "text", or "empty" where every cell is.
        rows: number of cells that hold a value.
        values: the different values in order, Python's own; None where there are more than `MOST`.
        distinct: how many different ones there are.
        declared: whether the values are all categories that a categorical column declares, seen or not.
        numbers: some of the numbers, evenly chosen, float64.
        low, high: the least and the largest number.
        whole: whether all are whole numbers.
        decimals: with which all numbers are written down, up to `DECIMALS`; None where they need more.
    """

    family: Literal["number", "boolean", "text", "empty"]
    rows: int
    distinct: int
    values: tuple[Any, ...] | None
    declared: bool = False
    numbers: np.ndarray = field(default_factory=lambda: np.zeros(0))
    low: float = 0.0
    high: float = 0.0
    whole: bool = False
    decimals: int | None = None


def facts_of(column: pd.Series, meant: bool = False) -> Facts:
    """Look at a column.

    Args:
        column: the column.
        meant: whether text is meant as text, although it may look like dates or numbers.

    Raises:
        Refused: it holds dates, values of several types, infinite numbers, or things that are none of text,
            number and boolean.
    """
    import pandas as pd
    from pandas.api import types

    column = looked_up(column)
    dtype = column.dtype
    if isinstance(dtype, pd.ArrowDtype):
        _refuse_lacking(dtype)
    if isinstance(dtype, np.dtype) and dtype.kind in "iuf":
        return _of_numbers(column)
    if isinstance(dtype, pd.CategoricalDtype):
        return _declared(column)
    if not column.notna().any():
        return Facts("empty", 0, 0, ())
    if types.is_bool_dtype(dtype):
        return _listed("boolean", column)
    if types.is_complex_dtype(dtype):
        raise Refused("holds complex numbers", remedy="split them into two columns")
    if types.is_numeric_dtype(dtype):
        return _of_numbers(column)
    if dtype.kind in "mM" or isinstance(dtype, pd.PeriodDtype):
        raise _dates(dtype)
    return _of_objects(column, meant)


def _refuse_lacking(dtype: pd.ArrowDtype) -> None:
    try:
        dtype.type  # noqa: B018  # what pandas doesn't know it refuses here
    except NotImplementedError:
        raise Refused(
            f"is of Arrow's type {dtype.pyarrow_dtype}, which pandas lacks", remedy="cast it to a usual one"
        ) from None


def _of_objects(column: pd.Series, meant: bool) -> Facts:
    """The facts of a column whose dtype doesn't say what its cells are."""
    from pandas.api import types

    inferred = types.infer_dtype(column, skipna=True)
    if inferred in ("integer", "floating", "mixed-integer-float", "decimal"):
        return _of_numbers(column)
    if inferred in ("string", "boolean"):
        return _listed("boolean" if inferred == "boolean" else "text", column, meant)
    if inferred in ("date", "datetime", "datetime64", "timedelta", "timedelta64", "time", "period"):
        raise _dates(inferred)
    raise _mixed(column)


def _dates(what: Any) -> Refused:
    return Refused(
        f"holds dates or times ({what}), of which no unit makes sense",
        remedy="replace it by what matters in it, such as the year, the month or the days since a first one,"
        f" or {LEAVE_OUT}",
    )


def _mixed(column: pd.Series) -> Refused:
    """The first cell of another type than the first one."""
    present = [(row, cell) for row, cell in enumerate(column.notna()) if cell]
    cells = [(row, column.iloc[row]) for row, _ in present]
    (_, first), kind = cells[0], _type(cells[0][1])
    row, other = next(((row, cell) for row, cell in cells if _type(cell) != kind), (0, first))
    if _type(other) == kind:
        return Refused(f"must hold text, numbers or True and False, got {type(first).__name__}", cells[0][0])
    return Refused(
        f"must hold values of one type, got {kind} ({first!r}) and {_type(other)} ({other!r})",
        row,
        "make them all text (frame[column].astype(str)) or all numbers (pandas.to_numeric)",
    )


def _type(cell: Any) -> str:
    if isinstance(cell, (bool, np.bool_)):
        return "booleans"
    if isinstance(cell, (int, float, np.number)):
        return "numbers"
    return "text" if isinstance(cell, str) else f"{type(cell).__name__}s"


def _declared(column: pd.Series) -> Facts:
    categories = plain(column.cat.categories)
    rows = int((column.cat.codes.to_numpy() >= 0).sum())
    if not all(map(is_plain, categories)):
        raise Refused(
            f"has categories that are {type(categories[0]).__name__}s",
            remedy="text would do, such as frame[column].astype(str).astype('category')",
        )
    if len(categories) > MOST:
        return Facts("text", rows, len(categories), None, declared=True)
    return Facts("text" if rows else "empty", rows, len(categories), tuple(categories), declared=True)


def looked_up(column: pd.Series) -> pd.Series:
    """A column that Arrow keeps as numbers of a dictionary by the values in it; any other as it is."""
    import pandas as pd

    if not isinstance(column.dtype, pd.ArrowDtype):
        return column
    stored = column.dtype.pyarrow_dtype
    of = getattr(stored, "value_type", None) if hasattr(stored, "index_type") else None
    return column if of is None else column.astype(pd.ArrowDtype(of))


def factor(column: pd.Series) -> tuple[np.ndarray, list[Any]]:
    """(which of the values each cell holds, -1 where it is empty; the values as Python's own)."""
    import pandas as pd

    if isinstance(column.dtype, pd.CategoricalDtype):
        return column.cat.codes.to_numpy(), plain(column.cat.categories)
    column = looked_up(column)
    try:
        codes, values = pd.factorize(column)
    except TypeError:  # of what can't be compared
        row = next(row for row, cell in enumerate(column) if not isinstance(cell, Hashable))
        cell = type(column.iloc[row]).__name__
        raise Refused(f"must hold text, numbers or True and False, got {cell}", row) from None
    return codes, plain(values)


def _listed(family: Literal["boolean", "text"], column: pd.Series, meant: bool = False) -> Facts:
    codes, values = factor(column)
    rows = int((codes >= 0).sum())
    if family == "text" and not meant:
        _refuse_numbers_as_text(codes, values)
    few = len(values) <= MOST
    return Facts(family if rows else "empty", rows, len(values), tuple(sorted(values)) if few else None)


def _refuse_numbers_as_text(codes: np.ndarray, values: list[str]) -> None:
    """Text that isn't meant to be text: dates, and numbers that weren't read as such."""
    if values and all(map(DATE.fullmatch, values)):
        raise _dates(f"as text, such as {values[0]!r}")
    plainly = [bool(NUMBER.fullmatch(value)) for value in values]
    if any(map(CODE.fullmatch, values)):
        return  # 007 is a name
    other = [value for value, number in zip(values, plainly, strict=True) if not number]
    row = int(np.flatnonzero(codes == values.index(other[0]))[0]) if other else 0
    if other and all(map(GROUPED.fullmatch, values)):
        raise Refused(
            f"holds numbers as text, with decimal commas or separators of thousands, got {other[0]!r}",
            row,
            "read the file with pandas' decimal=',' or thousands=',' as it is meant",
        )
    bare = _bare(values) if other and len(values) > LEVELS else []
    if bare and all(map(GROUPED.fullmatch, bare)):
        what = "unit" if other[0][-1].isalpha() else "sign"
        raise Refused(
            f"holds numbers as text with a {what}, such as {other[0]!r}",
            remedy="take it away (frame[column].str.replace) and make numbers of the rest"
            " (pandas.to_numeric)",
        )
    if not other and any("." in value for value in values):
        raise Refused(f"holds numbers as text, such as {values[0]!r}", remedy="pandas.to_numeric reads them")
    # a mark such as ? or n/a among numbers stands for an empty cell
    if len(values) > 10 * len(other) > 0 and len(other) <= 3:
        raise Refused(
            f"must hold values of one type, got numbers ({values[plainly.index(True)]!r}) and text"
            f" ({other[0]!r})",
            row,
            f"leave the cell empty where nothing is known (na_values={other[0]!r} tells pandas so), say that"
            f" these are categories (kinds=), or {LEAVE_OUT}",
        )


def _bare(values: list[str]) -> list[str]:
    """Texts without what may stand at a number: a sign, brackets of a negative one, a unit that all have."""
    ends = {value[len(value.rstrip(value.translate(NO_DIGITS))) :] for value in values}
    unit = ends.pop() if len(ends) == 1 else ""
    bare = [SIGN.sub("", value.removesuffix(unit), count=1).replace(MINUS, "-") for value in values]
    return [BRACKETS.sub(r"-\1", value.strip()) for value in bare]


def numbers_of(column: pd.Series) -> np.ndarray:
    """A column as float64, (rows,), NaN where a cell is empty.

    Raises:
        Refused: a cell is no number, is infinite, or needs more than float64.
    """
    from pandas.api import types

    if types.is_numeric_dtype(column.dtype) and not types.is_complex_dtype(column.dtype):
        x = column.to_numpy(dtype=float, na_value=np.nan)
    else:
        x = _cells(column)
    wrong = np.flatnonzero(np.isinf(x))
    if len(wrong):
        raise Refused(
            f"must hold finite numbers, got {x[wrong[0]]:g}",
            int(wrong[0]),
            "a cell may be empty (NaN) instead",
        )
    wrong = np.flatnonzero(np.abs(x) > LARGEST)
    if len(wrong):
        raise Refused(f"must hold numbers up to {LARGEST:g}, got {x[wrong[0]]:g}", int(wrong[0]))
    if len(x) and column.dtype.kind in "iuO" and float(np.nanmax(np.abs(x), initial=0.0)) >= WHOLE:
        row = int(np.nanargmax(np.abs(x)))
        raise Refused(f"must hold whole numbers below 2**53, got {column.iloc[row]}", row, LEAVE_OUT)
    return x


def _cells(column: pd.Series) -> np.ndarray:
    x = np.full(len(column), np.nan)
    present = np.flatnonzero(column.notna().to_numpy())
    text = [row for row in present if isinstance(column.iloc[row], str)]
    if text:  # one word makes text of all the numbers of a file's column: it is the word that is wrong
        row = next((row for row in text if not NUMBER.fullmatch(column.iloc[row])), text[0])
        raise Refused(f"must hold numbers, got {column.iloc[row]!r}", int(row))
    for row in present:
        cell = column.iloc[row]
        try:
            x[row] = float(cell)
        except (TypeError, ValueError, OverflowError):
            raise Refused(f"must hold numbers, got {type(cell).__name__}", int(row)) from None
    return x


def _of_numbers(column: pd.Series) -> Facts:
    x = numbers_of(column)
    x = x[~np.isnan(x)]
    if len(x) == 0:
        return Facts("empty", 0, 0, ())
    ordered = np.sort(x)
    different = ordered[np.concatenate([[True], ordered[1:] != ordered[:-1]])]
    if 0.0 < float(different[-1] - different[0]) < 1.0 / LARGEST:
        raise Refused(f"must hold numbers that differ by {1.0 / LARGEST:g} at least, or one alone")
    whole = bool((different == np.floor(different)).all())
    values = None
    if len(different) <= MOST:
        values = tuple(map(int if whole else as_written, different.tolist()))
        values = values if len(set(values)) == len(values) else tuple(different.tolist())
    few = x if len(x) <= SAMPLE else x[np.linspace(0, len(x) - 1, SAMPLE).astype(np.int64)]
    return Facts(
        family="number",
        rows=len(x),
        distinct=len(different),
        values=values,
        numbers=np.array(few),
        low=float(different[0]),
        high=float(different[-1]),
        whole=whole,
        decimals=_decimals(different, np.float32 if "32" in str(column.dtype) else np.float64),
    )


def _decimals(x: np.ndarray, dtype: Any) -> int | None:
    """The fewest decimals that write all these numbers down, None where more than `DECIMALS`."""
    for decimals in range(DECIMALS + 1):
        some = x[:1000]
        if (np.round(some, decimals).astype(dtype) == some.astype(dtype)).all() and (
            np.round(x, decimals).astype(dtype) == x.astype(dtype)
        ).all():
            return decimals
    return None
