"""Files with missing cells."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import numpy as np

from harmonium.data.dataset import WHOLE
from harmonium.data.readers import read
from harmonium.data.values import DataError, as_table
from harmonium.models.table import Table


def load_gaps(path: Path) -> tuple[np.ndarray, tuple[str, ...] | None]:
    """The one table of a file, (rows, columns), NaN where a cell is missing; and the names of its columns.

    Raises:
        DataError: the file can't be read as such, holds parts such as train and test, or an infinite value.
    """
    table, _ = incomplete(path)
    return table.array(), table.columns


def incomplete(path: Path, text: Collection[str] = ()) -> tuple[Table, list[str]]:
    """The same as a table, and notes on how it was read; raises as `load_gaps`. Columns named in `text` are
    read as text.
    """
    content = read(path, text)
    if WHOLE not in content.parts:
        raise DataError(f"{path} must hold a single table, got the parts {', '.join(content.parts)}.")
    if content.parts[WHOLE].dtype == object:
        return Table(content.parts[WHOLE], content.columns, 1, content.frame), content.notes
    table = replace(as_table(str(path), content.parts[WHOLE], content.columns), frame=content.frame)
    rows = table.array()
    if rows.dtype.kind == "f" and np.isinf(rows).any():
        row, column = (int(i) for i in np.argwhere(np.isinf(rows))[0])
        raise DataError(
            f"{path} must be finite or missing, got {rows[row, column]} in {table.place(row, column)}."
        )
    return table, content.notes
