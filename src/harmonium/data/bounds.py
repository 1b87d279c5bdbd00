"""What a file claims to hold, before any memory is taken for it."""

from __future__ import annotations

import math
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from harmonium.data.values import DataError


def memory() -> int:
    """Bytes of memory of this machine; 64 GiB where that can't be told."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 2**36


def check_file(path: Path) -> None:
    """Refuse what isn't a file."""
    if not path.is_file():
        reason = "it is a directory" if path.is_dir() else "there is no such file"
        raise DataError(f"{path} can't be read: {reason}.")


def check_size(path: Path, what: str, size: int) -> None:
    """Refuse what would take more memory than there is."""
    if size > memory():
        raise DataError(
            f"{path} can't be read: {what} would take {size / 2**30:,.1f} GiB, and this machine has"
            f" {memory() / 2**30:,.1f} GiB of memory."
        )


def check_npz(path: Path) -> None:
    """Refuse archives that unpack to more than there is memory for, and arrays larger than their members."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        check_size(path, "what is packed in it", sum(member.file_size for member in members))
        for member in members:
            with archive.open(member) as file:
                claimed = _claimed(file)
            if claimed is not None and claimed > member.file_size:
                raise DataError(
                    f"{path} can't be read as .npz: {member.filename} says that it holds {claimed:,} bytes,"
                    f" and holds {member.file_size:,}."
                )


def _claimed(file: Any) -> int | None:
    """Bytes of the array that the header of a .npy announces, None where there is no header."""
    try:
        version = np.lib.format.read_magic(file)
    except ValueError:
        return None
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    return math.prod(shape) * dtype.itemsize


def check_h5(path: Path, key: str, dataset: Any) -> None:
    """Refuse arrays whose cells lie in other files, aren't numbers, or need more memory than there is."""
    if dataset.external or dataset.is_virtual:
        raise DataError(
            f"{path} can't be read: the cells of {key} lie in other files, which are not followed."
        )
    if dataset.dtype.kind not in "biufc":
        what = "text" if dataset.dtype.kind in "SO" else f"the type {dataset.dtype}"
        raise DataError(f"{path} must hold numbers in {key}, got {what}.")
    check_size(path, key, dataset.nbytes)


def check_parquet(path: Path) -> None:
    """Refuse tables that need more memory than there is once they are unpacked."""
    import pyarrow.parquet

    about = pyarrow.parquet.read_metadata(path)
    check_size(path, "the table", 8 * about.num_rows * about.num_columns)
