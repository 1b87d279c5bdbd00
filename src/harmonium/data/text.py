"""Text in a file .csv that pandas takes for numbers or nothing: codes such as 01234, and the word None."""

from __future__ import annotations

import mmap
import re
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harmonium.columns.facts import CODE, DIGITS
from harmonium.columns.frames import listed

if TYPE_CHECKING:
    import pandas as pd

NONE = "None"
"""An empty cell among numbers; among words one of them, as in none, some, marked."""

TAKEN = ("NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "<NA>", "#N/A")
"""Words that pandas takes for empty cells, as they are meant nearly always."""
AMONG = rb"(?m)(^|[,;|\t \"])(" + "|".join(TAKEN).encode() + rb")(?=[,;|\t \"\r\n]|$)"

PADDED = rb"(^|[^0-9A-Za-z.+-])0[0-9]"


def as_written(
    path: Path,
    frame: pd.DataFrame,
    names: Sequence[str],
    asked: Collection[str] | None,
    read: Callable[[list[int]], pd.DataFrame],
) -> tuple[pd.DataFrame, list[str]]:
    """The table with its columns of text as the file has them, and a note on those that look otherwise.

    Args:
        path: the file.
        frame: what pandas has made of it.
        names: of the columns.
        asked: names of those that are text; None where the cells tell: whole numbers of which some begin with
            a zero are codes, which lose it as numbers.
        read: the columns at some labels of the frame as text, nothing taken for an empty cell.
    """
    titles = dict(zip(frame.columns, names, strict=True))
    kinds = {k: dtype.kind for k, dtype in frame.dtypes.items()}
    texts = [k for k, kind in kinds.items() if kind not in "biuf" and _is_text(frame[k])]
    if asked is None:
        numbers = [k for k, kind in kinds.items() if kind in "iu" or kind == "f" and _whole(frame[k])]
        numbers = numbers if numbers and _holds(path, PADDED) else []
    else:
        numbers = [k for k in frame if titles[k] in asked and k not in texts]
        texts = [k for k in texts if titles[k] in asked]
    texts = texts + numbers if _holds(path, NONE.encode()) or _holds(path, AMONG) else numbers
    if not texts:
        return frame, []
    written = read(texts)
    codes, nones = [], []
    taken: dict[str, list[str]] = {}
    for k in texts:
        known, none = frame[k].notna(), written[k] == NONE
        for word in written[k][~known].unique() if k not in numbers else ():
            if word in TAKEN:
                taken.setdefault(word, []).append(titles[k])
        if k in numbers and asked is None:
            if not _are_codes(written[k][known].unique()):
                continue
            codes.append(titles[k])
        elif none.any():
            nones.append(titles[k])
        elif k not in numbers:
            continue
        frame[k] = written[k].where(known | none)
    return frame, [] if asked is not None else _notes(path, codes, nones, taken)


def _notes(path: Path, codes: list[str], nones: list[str], taken: dict[str, list[str]]) -> list[str]:
    found = []
    for word, names in taken.items():
        found.append(f"{word} among the words of {_columns(names)} was read as an empty cell.")
    if codes:
        found.append(f"the whole numbers of {_columns(codes)} begin with zeros, and were read as text.")
    if nones:
        found.append(f"{NONE} in {_columns(nones)} was read as a word: cells that are empty hold nothing.")
    return [f"{path.name}: {said}" for said in found]


def _columns(names: list[str]) -> str:
    return f"column{'s' * (len(names) > 1)} {listed([repr(name) for name in names])}"


def _is_text(column: pd.Series) -> bool:
    from pandas.api import types

    return types.infer_dtype(column, skipna=True) == "string"


def _whole(column: pd.Series) -> bool:
    """Whether all numbers of a column with gaps are whole, and there are some."""
    known = column.dropna()
    return bool(len(known)) and bool((known % 1 == 0).all())


def _are_codes(cells: Sequence[str]) -> bool:
    return all(DIGITS.fullmatch(cell) for cell in cells) and any(map(CODE.fullmatch, cells))


def _holds(path: Path, pattern: bytes) -> bool:
    """Whether a file has this in it."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return re.search(pattern, content) is not None
