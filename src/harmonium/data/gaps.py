"""Files with missing cells."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from harmonium.data.dataset import WHOLE
from harmonium.data.readers import read
from harmonium.data.values import DataError, as_table


def load_gaps(path: Path) -> tuple[np.ndarray, tuple[str, ...] | None]:
    """The one table of a file, (rows, columns), NaN where a cell is missing; and the names of its columns.

    Raises:
        DataError: the file can't be read as such, holds parts such as train and test, or an infinite value.
    """
    content = read(path)
    if WHOLE not in content.parts:
        raise DataError(f"{path} must hold a single table, got the parts {', '.join(content.parts)}.")
    rows = as_table(str(path), content.parts[WHOLE])
    if rows.dtype.kind == "f" and np.isinf(rows).any():
        row, column = (int(i) for i in np.argwhere(np.isinf(rows))[0])
        got = f"{rows[row, column]} in row {row + 1}, column {column + 1}"
        raise DataError(f"{path} must be finite or missing, got {got}.")
    return rows, content.columns
