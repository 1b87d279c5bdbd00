"""Numbers as people write them: decimal commas, separators of thousands."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

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
        column = frame.iloc[:, k]
        if label in text or column.dtype.kind not in "OT" and str(column.dtype) not in ("str", "string"):
            continue
        how = _way(path, label, column.dropna().unique(), separator)
        if how is None:
            continue
        replaced = column
        for sign, by in WAYS[how][1].items():
            replaced = replaced.str.replace(sign, by, regex=False)
        found[k] = replaced.astype(float)
        notes.append(f"{path.name}: the numbers of column {label!r} have {how}, and were read as such.")
    if not found:
        return frame, []
    import pandas as pd

    columns = [found.get(k, frame.iloc[:, k]) for k in range(frame.shape[1])]
    whole = pd.concat(columns, axis=1)
    whole.columns = frame.columns
    return whole, notes


def _way(path: Path, label: str, texts: list[object], separator: str) -> str | None:
    """In which of the ways the numbers of a column are written, None where it isn't numbers so written."""
    cells = [text.strip() for text in texts if isinstance(text, str)]
    if not cells or len(cells) < len(texts):
        return None
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
