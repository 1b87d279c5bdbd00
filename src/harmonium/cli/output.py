"""Tables into files, by their endings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from harmonium.store import replacing


class Table(NamedTuple):
    """Rows to write, an array or a data frame, and what is known about their columns."""

    rows: Any
    columns: tuple[str, ...] | None = None
    shape: tuple[int, int] | None = None

    def names(self) -> list[str]:
        """Names of the columns: their own or x1, x2, ..."""
        return list(self.columns or (f"x{i + 1}" for i in range(self.rows.shape[1])))


def write(path: Path, table: Table) -> None:
    """Write a table in the format of the file's ending; an older file is replaced in one step."""
    if path.suffix.lower() not in TEXT and any(
        dtype.kind not in "biuf" for dtype in getattr(table.rows, "dtypes", ())
    ):
        raise ValueError(f"{path} must end in {' or '.join(TEXT)}, since the columns hold more than numbers.")
    with replacing(path) as new:
        WRITERS[path.suffix.lower()](new, table)


def _npy(path: Path, table: Table) -> None:
    with path.open("wb") as file:
        np.save(file, np.asarray(table.rows), allow_pickle=False)


def _npz(path: Path, table: Table) -> None:
    with path.open("wb") as file:
        np.savez_compressed(file, rows=np.asarray(table.rows))


def _csv(path: Path, table: Table) -> None:
    _frame(table).to_csv(path, index=False, header=table.columns is not None)


def _parquet(path: Path, table: Table) -> None:
    _frame(table).to_parquet(path, engine="pyarrow", index=False)


def _frame(table: Table):  # type: ignore[no-untyped-def]  # noqa: ANN202  # pandas is not typed here
    import pandas as pd

    if isinstance(table.rows, pd.DataFrame):
        return table.rows
    return pd.DataFrame(table.rows, columns=table.names())


def _h5(path: Path, table: Table) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        file.create_dataset("rows", data=np.asarray(table.rows), compression="gzip")


def _png(path: Path, table: Table) -> None:
    from harmonium import plots

    path.write_bytes(plots.tiles_png(np.asarray(table.rows), table.shape))


WRITERS: dict[str, Callable[[Path, Table], None]] = {
    ".npy": _npy,
    ".npz": _npz,
    ".csv": _csv,
    ".parquet": _parquet,
    ".h5": _h5,
    ".png": _png,
}
ENDINGS = tuple(WRITERS)
TEXT = (".csv", ".parquet")
"""Files that hold more than numbers."""
NUMBERS = tuple(ending for ending in ENDINGS if ending != ".png")
"""Files that hold what was asked for, and no picture of it."""
