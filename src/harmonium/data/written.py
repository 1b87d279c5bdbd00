"""Numbers as people write them: decimal commas, separators of thousands, marks for those that are missing."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harmonium.columns.facts import MINUS
from harmonium.columns.frames import listed
from harmonium.data.values import DataError

if TYPE_CHECKING:
    import pandas as pd

PLAIN = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
WAYS = {
    "a decimal comma": (r"[+-]?(\d+|\d{1,3}(\.\d{3})+),\d+", {".": "", ",": "."}),
    "commas between thousands": (r"[+-]?\d{1,3}(,\d{3})+(\.\d+)?", {",": ""}),
    "blanks or apostrophes between thousands": (
        r"[+-]?\d{1,3}([ '\u00a0\u202f]\d{3})+([.]\d+)?",
        dict.fromkeys(" '\u00a0\u202f", ""),
    ),
}
"""How a number may be written: a pattern, and what to replace so that Python reads it."""


PRINTED = "a minus sign of print"
MARK = r"[-\u2013\u2014.*?#_/]+"
"""What stands in tables where a number is missing, besides what pandas knows: no letter or digit in it."""


def without_marks(
    path: Path, frame: pd.DataFrame, names: Sequence[str], text: Collection[str] = ()
) -> tuple[pd.DataFrame, list[str]]:
    """The table with cells empty where one mark, such as . or *, stands among numbers and nothing else, but
    for columns whose names are in `text`; and a note on each mark.
    """
    found: dict[int, pd.Series] = {}
    where: dict[str, list[str]] = {}
    for k, label in enumerate(names):
        column = frame.iloc[:, k]
        mark = None if label in text else _mark(_cells(column))
        if mark is not None:
            column = column.where(column.str.strip() != mark)
            plain = all(re.fullmatch(PLAIN, cell) for cell in _cells(column) or ())
            found[k] = column.astype(float) if plain else column
            where.setdefault(mark, []).append(repr(label))
    notes = [
        f"{path.name}: {mark} among the numbers of column{'s' * (len(labels) > 1)} {listed(labels)} was read"
        " as an empty cell."
        for mark, labels in where.items()
    ]
    return _replaced(frame, found), notes


def _mark(cells: list[str] | None) -> str | None:
    """The one cell that is no number, where it is a mark and there are several numbers."""
    ways = [PLAIN, *(pattern for pattern, _ in WAYS.values())]
    other = {x for x in cells or () if not any(re.fullmatch(way, x) for way in ways)}
    if len(other) != 1 or len(cells or ()) < 3:
        return None
    mark = other.pop()
    return mark if re.fullmatch(MARK, mark) else None


def _cells(column: pd.Series) -> list[str] | None:
    """The different cells of a column of text, None where it is another."""
    if column.dtype.kind not in "OT" and str(column.dtype) not in ("str", "string"):
        return None
    texts = column.dropna().unique()
    cells = [text.strip() for text in texts if isinstance(text, str)]
    return cells if cells and len(cells) == len(texts) else None


def _replaced(frame: pd.DataFrame, found: Mapping[int, pd.Series]) -> pd.DataFrame:
    """The table with other columns at some places."""
    if not found:
        return frame
    import pandas as pd

    whole = pd.concat([found.get(k, frame.iloc[:, k]) for k in range(frame.shape[1])], axis=1)
    whole.columns = frame.columns
    return whole


def written_numbers(
    path: Path, frame: pd.DataFrame, names: Sequence[str], separator: str, text: Collection[str] = ()
) -> tuple[pd.DataFrame, list[str]]:
    """The table with columns of written numbers as numbers, but for those whose names are in `text`, and a
    note on each.

    Raises:
        DataError: a comma may be either a decimal comma or one between thousands.
    """
    found, notes = {}, []
    for k, label in enumerate(names):
        cells = [] if label in text else _cells(frame.iloc[:, k]) or []
        how = _way(path, label, [cell.replace(MINUS, "-") for cell in cells], separator)
        if how is None and any(MINUS in cell for cell in cells):
            how = PRINTED if all(re.fullmatch(PLAIN, cell.replace(MINUS, "-")) for cell in cells) else None
        if how is None:
            continue
        replaced = frame.iloc[:, k]
        for sign, by in {MINUS: "-", **WAYS.get(how, ("", {}))[1]}.items():
            replaced = replaced.str.replace(sign, by, regex=False)
        found[k] = replaced.astype(float)
        notes.append(f"{path.name}: the numbers of column {label!r} have {how}, and were read as such.")
    return _replaced(frame, found), notes


def _way(path: Path, label: str, cells: list[str], separator: str) -> str | None:
    """In which of the ways the numbers of a column are written, None where it isn't numbers so written."""
    special = [cell for cell in cells if not re.fullmatch(PLAIN, cell)]
    fitting = [
        how for how, (pattern, _) in WAYS.items() if all(re.fullmatch(pattern, cell) for cell in special)
    ]
    if not special or not fitting:
        return None
    if len(fitting) == 1:
        return fitting[0]
    if separator == ",":  # such a file quotes its cells for the sake of thousands
        return "commas between thousands"
    raise DataError(
        f"{path} must say what its commas mean, got {special[0]!r} in column {label!r}, which may be a"
        " decimal comma or one between thousands: write the numbers without them."
    )
