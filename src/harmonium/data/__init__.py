"""Data: bundled sets by name, and files .npy, .npz, .csv, .parquet and .h5.

    load("digits")              a bundled set, see `harmonium.data.bundled`
    load("table.npz")           the train, valid and test rows of a file
    load_rows("more.csv")       the rows to measure a model with

Every mistake of the user's is a `DataError` (a ValueError) of one sentence.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection
from functools import partial
from pathlib import Path

import numpy as np

from harmonium import checks, processes
from harmonium.data import bounds
from harmonium.data.bundled import BUNDLED
from harmonium.data.dataset import PARTS, WHOLE, Dataset, assemble, checked
from harmonium.data.readers import READERS, read
from harmonium.data.values import DataError, describe_support
from harmonium.models.table import Table

__all__ = [
    "BUNDLED",
    "PARTS",
    "DataError",
    "Dataset",
    "describe_support",
    "fingerprint",
    "load",
    "load_rows",
    "load_table",
]


def load(source: str | os.PathLike[str], text: Collection[str] | None = None) -> Dataset:
    """Rows to learn from, to select on and to measure with.

    A file .npz or .h5 may hold `train`, `valid` and `test`. A part that it doesn't hold, and both where a
    file holds one array only, is a tenth of the (train) rows: at random but the same ones every time, or,
    where the array is larger than 256 MB, from its end. The notes of the data set say which. A .npy of that
    size stays on disk.

    Values stay what they are in the file; 0/1 data of other types are stored in a byte each.

    Args:
        source: the name of a bundled set, or the path of a file.
        text: names of columns that a file .csv holds text in, even where it looks like numbers; by default
            those whose whole numbers begin with zeros, such as 01234.

    Raises:
        DataError: unknown name or ending; file missing or unreadable; no table in it (rows and columns, or
            three dimensions for pictures); empty, not numeric, infinite; parts of different widths;
            fewer than 10 rows to split.

    >>> digits = load("digits")
    >>> digits.train.shape, digits.valid.shape, digits.test.shape, digits.support
    ((1439, 64), (179, 64), (179, 64), 'binary')
    """
    name = _bundled(source)
    if name is not None:
        return BUNDLED[name]()
    path = Path(source)
    content = read(path, text)
    return assemble(str(path), content.parts, content.columns, content.notes, content.frame)


def load_rows(
    source: str | os.PathLike[str],
    split: str | None = None,
    learned_from: str | None = None,
) -> tuple[np.ndarray, list[str]]:
    """Rows of numbers to measure a model with, (rows, columns), and notes on where they come from.

    Args:
        source: as in `load`.
        split: 'train', 'valid' or 'test', as `load` tells them apart. By default test; but all rows of a file
            that holds a single array, unless the model has learned from that very file.
        learned_from: the `fingerprint` of the data that the model has learned from.

    Raises:
        DataError: as `load`.
        ValueError: another split.
    """
    table, notes = load_table(source, split, learned_from)
    if table.values.dtype != object:
        return table.array(), notes
    from harmonium.data.tables import as_numbers

    values = as_numbers(Path(source), table.frame)  # or a sentence on the first cell that is none
    return np.asanyarray(checked(str(source), {WHOLE: values}, table.columns).parts[WHOLE]), notes


def load_table(
    source: str | os.PathLike[str],
    split: str | None = None,
    learned_from: str | None = None,
    text: Collection[str] = (),
) -> tuple[Table, list[str]]:
    """The same with the names of the columns; arguments and errors are those of `load_rows` and `load`."""
    if split is not None:
        checks.one_of("split", split, PARTS)
    elif _bundled(source) is None and processes.by_first(partial(fingerprint, source)) != learned_from:
        path = Path(source)
        content = read(path, text)
        if WHOLE in content.parts:
            whole = content.parts[WHOLE]
            if whole.dtype != object:
                whole = checked(str(path), content.parts, content.columns).parts[WHOLE]
            table = Table(whole, content.columns, 1, content.frame)
            return table, [*content.notes, f"{path}: all {len(whole):,} rows."]
    data = load(source, text)
    split = split or "test"
    rows = data.table(split)
    return rows, [*data.notes, f"{data.name}: the {len(rows):,} {split} rows."]


def fingerprint(source: str | os.PathLike[str]) -> str:
    """A short text that is equal for equal data: the name of a bundled set, or a digest of the file's bytes.

    Raises:
        DataError: unknown name, or no such file.
    """
    name = _bundled(source)
    if name is not None:
        return f"bundled:{name}"
    bounds.check_file(Path(source))
    try:
        with open(source, "rb") as file:
            return f"blake2b:{hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()}"
    except OSError as error:
        raise DataError(f"{source} can't be read: {str(error.strerror).lower()}.") from error


def _bundled(source: str | os.PathLike[str]) -> str | None:
    """The name of the bundled set meant, None for a file; DataError where it is neither."""
    if not isinstance(source, (str, os.PathLike)):
        raise TypeError(f"source must be a name or the path of a file, got {checks.describe(source)}.")
    name = os.fspath(source)
    if name in BUNDLED:
        return name
    if not Path(name).suffix and not Path(name).exists():
        known = ", ".join(BUNDLED)
        raise DataError(f"{name!r} must be a bundled data set ({known}) or a file ({', '.join(READERS)}).")
    return None
