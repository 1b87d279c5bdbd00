"""Tables into files, by their endings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from harmonium.store import replacing


class Table(NamedTuple):
    """Rows to write, and what is known about their columns."""

    rows: np.ndarray
    columns: tuple[str, ...] | None = None
    shape: tuple[int, int] | None = None

    def names(self) -> list[str]:
        """Names of the columns: their own or x1, x2, ..."""
        return list(self.columns or (f"x{i + 1}" for i in range(self.rows.shape[1])))


def write(path: Path, table: Table) -> None:
    """Write a table in the format of the file's ending; an older file is replaced in one step."""
    with replacing(path) as new:
        WRITERS[path.suffix.lower()](new, table)


def _npy(path: Path, table: Table) -> None:
    with path.open("wb") as file:
        np.save(file, table.rows, allow_pickle=False)


def _npz(path: Path, table: Table) -> None:
    with path.open("wb") as file:
        np.savez_compressed(file, rows=table.rows)


def _csv(path: Path, table: Table) -> None:
    _frame(table).to_csv(path, index=False, header=table.columns is not None)


def _parquet(path: Path, table: Table) -> None:
    _frame(table).to_parquet(path, engine="pyarrow", index=False)


def _frame(table: Table):  # type: ignore[no-untyped-def]  # noqa: ANN202  # pandas is not typed here
    import pandas as pd

    return pd.DataFrame(table.rows, columns=table.names())


def _h5(path: Path, table: Table) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        file.create_dataset("rows", data=table.rows, compression="gzip")


def _png(path: Path, table: Table) -> None:
    from harmonium import plots

    path.write_bytes(plots.tiles_png(table.rows, table.shape))


WRITERS: dict[str, Callable[[Path, Table], None]] = {
    ".npy": _npy,
    ".npz": _npz,
    ".csv": _csv,
    ".parquet": _parquet,
    ".h5": _h5,
    ".png": _png,
}
ENDINGS = tuple(WRITERS)
