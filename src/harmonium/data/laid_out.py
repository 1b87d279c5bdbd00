"""Numbers of a large Parquet file, laid out on the disk as a memory map: batches then read only their rows.

A Parquet file is compressed by columns in groups of rows: to read one row is to unpack its group. One process
of each machine therefore unpacks a file of plain numbers group by group, once, and all processes of that
machine map what it wrote into memory. The name is gone as soon as all have; the disk is free again when they
end.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harmonium import processes
from harmonium.data.dataset import IN_MEMORY
from harmonium.data.values import DataError

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile


def lay_out(path: Path) -> None:
    """Lay the numbers out where the file is large, and this process the one of its machine to do it."""
    if path.suffix.lower() != ".parquet" or not _first_here():
        return
    from pyarrow.parquet import ParquetFile

    with ParquetFile(path) as file:
        dtype = plain_type(file)
        shape = (file.metadata.num_rows, file.metadata.num_columns)
        if dtype is None or shape[0] * shape[1] * dtype.itemsize <= IN_MEMORY:
            return
        size, where = shape[0] * shape[1] * dtype.itemsize, tempfile.gettempdir()
        if size > (free := shutil.disk_usage(where).free):
            raise DataError(
                f"{path} can't be read: its numbers would take {size / 2**30:,.1f} GiB of the disk of"
                f" {where}, where {free / 2**30:,.1f} GiB are free."
            )
        place = _place(path)
        new = place.with_name(f"{os.getpid()}-{place.name}")
        try:
            if _unpack(file, np.lib.format.open_memmap(new, "w+", dtype, shape)) != shape[0]:
                raise DataError(f"{path} can't be read as .parquet: it says that it has {shape[0]:,} rows.")
            os.replace(new, place)
        finally:
            new.unlink(missing_ok=True)


def laid_out(path: Path) -> tuple[np.ndarray, tuple[str, ...]] | None:
    """(The numbers as a memory map, names of the columns), None where they have not been laid out."""
    place = _place(path)
    if not place.exists():
        return None
    from pyarrow.parquet import ParquetFile

    with ParquetFile(path) as file:
        names = tuple(file.schema_arrow.names)
    return np.load(place, mmap_mode="r", allow_pickle=False), names


def clear(path: Path) -> None:
    """Take the name away: the numbers stay for those who have mapped them."""
    if _first_here():
        with contextlib.suppress(OSError):  # where a file that is in use keeps its name
            _place(path).unlink(missing_ok=True)


def plain_type(file: ParquetFile) -> np.dtype | None:
    """The narrowest type that holds every column of a file, None where one has no numbers or empty cells, or
    where pandas has written an index into it.
    """
    import pyarrow.types as types

    if any(name.startswith("__index_level_") for name in file.schema_arrow.names):
        return None
    for group in range(file.metadata.num_row_groups):
        for column in range(file.metadata.num_columns):
            found = file.metadata.row_group(group).column(column).statistics
            if found is None or not found.has_null_count or found.null_count:
                return None
    dtypes = []
    for kind in file.schema_arrow.types:
        if not (types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)):
            return None
        dtypes.append(np.dtype(np.uint8 if types.is_boolean(kind) else kind.to_pandas_dtype()))
    return np.result_type(*dtypes) if dtypes else None


def _unpack(file: ParquetFile, x: np.ndarray) -> int:
    """How many rows there were."""
    start = 0
    for batch in file.iter_batches():
        end = start + batch.num_rows
        for k, column in enumerate(batch.columns):
            x[start:end, k] = column.to_numpy(zero_copy_only=False)
        start = end
    return start


def _first_here() -> bool:
    """Whether this is the first process of its machine."""
    return not processes.together() or os.environ.get("LOCAL_RANK", str(processes.number())) == "0"


def _place(path: Path) -> Path:
    """Where all processes of a machine look: a name for a file, its state, and whose processes they are."""
    state, whose = path.stat(), os.getppid() if processes.together() else os.getpid()
    told = f"{path.resolve()} {state.st_size} {state.st_mtime_ns} {whose}"
    return _folder() / f"{hashlib.blake2b(told.encode()).hexdigest()[:32]}.npy"


def _folder() -> Path:
    """A folder of this user's alone: what others could write there would be taken for data."""
    user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
    folder = Path(tempfile.gettempdir()) / f"harmonium-{user}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or (hasattr(os, "getuid") and folder.stat().st_uid != os.getuid()):
        raise DataError(f"{folder} must be a folder of your own, got one of somebody else's.")
    return folder
