"""One function for each kind of file, from its path to its arrays; pickled objects are never loaded."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from harmonium import processes
from harmonium.data import bounds, laid_out
from harmonium.data.dataset import IN_MEMORY, PARTS, WHOLE
from harmonium.data.values import DataError
from harmonium.models.sparse import SparseRows, sparse_rows

PACKED = (".gz", ".bz2", ".xz", ".zst", ".zip", ".7z")
"""Endings of files that hold another one."""

BEGINNINGS = {
    b"\x1f\x8b": "it is compressed: unpack it first",
    b"PK\x03\x04": "it is an archive or a spreadsheet: unpack it, or save the table as text",
}
"""How files begin that are no text, whatever they end in."""

SPARSE = {"format", "shape", "data"}
"""Keys of an .npz that scipy.sparse.save_npz wrote."""

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Content:
    """What a file holds: its parts by name (or the one array as WHOLE), names of columns, notes; and where
    its columns have names the table itself, in its own words.
    """

    parts: dict[str, Any]  # of `Values`
    columns: tuple[str, ...] | None = None
    notes: list[str] = field(default_factory=list)
    frame: Any = None


def read(path: Path, text: Collection[str] | None = None) -> Content:
    """The content of a file .npy, .npz, .csv, .parquet or .h5, chosen by its ending; missing cells are NaN.

    A file .csv doesn't say the types of its columns: those named in `text` are text whatever they hold, by
    default those whose cells tell it.

    Raises:
        DataError: no such file, an ending of another kind, or a file that can't be read as what it ends in.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        remedy = "a table of numbers in text can be named .csv"
        raise DataError(
            f"{path} must be a file {', '.join(READERS)}, got the ending '{path.suffix}';"
            f" {'unpack it first' if path.suffix.lower() in PACKED else remedy}."
        )
    try:
        with processes.agreeing():  # the file may be missing on one machine
            _read(path, laid_out.lay_out)
        with processes.agreeing():
            return _read(path, partial(_csv, text=text) if reader is _csv else reader)
    finally:
        if path.suffix.lower() == ".parquet" and path.exists():
            laid_out.clear(path)


def _read(path: Path, reader: Callable[[Path], Answer]) -> Answer:
    bounds.check_file(path)
    try:
        return reader(path)
    except DataError:
        raise
    except Exception as error:  # there is no end to what four libraries raise on a damaged file
        raise DataError(f"{path} can't be read as {path.suffix.lower()}: {_reason(error)}.") from error


def _reason(error: BaseException) -> str:
    if isinstance(error, UnicodeDecodeError):
        for begin, said in BEGINNINGS.items():
            if error.object.startswith(begin):
                return said
        byte = error.object[error.start]
        return f"its text must be in UTF-8, got the byte 0x{byte:02x}: save it in that encoding"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror[0].lower() + error.strerror[1:]
    text = " ".join(str(error).split())
    if "allow_pickle" in text or "Python objects" in text:
        return "it is damaged, or holds Python objects, which are not loaded"
    return text.removeprefix("Error tokenizing data. C error: ").rstrip(".") or type(error).__name__


def _npy(path: Path) -> Content:
    with path.open("rb") as file:
        if file.read(6) != b"\x93NUMPY":
            raise DataError(f"{path} can't be read as .npy: it is empty or not in NumPy's format.")
    x = np.load(path, mmap_mode="r", allow_pickle=False)
    return Content({WHOLE: x if x.nbytes > IN_MEMORY else np.array(x)})


def _npz(path: Path) -> Content:
    if not zipfile.is_zipfile(path):
        raise DataError(f"{path} can't be read as .npz: it is empty or not in NumPy's format.")
    bounds.check_npz(path)
    with np.load(path, allow_pickle=False) as file:
        if set(file.keys()) >= SPARSE:
            return Content({WHOLE: _sparse(path)})
        return _pick(path, list(file.keys()), lambda key: np.asarray(file[key]))


def _sparse(path: Path) -> SparseRows:
    """What scipy.sparse.save_npz wrote; cells outside of the table are refused."""
    import scipy.sparse

    x = scipy.sparse.csr_array(scipy.sparse.load_npz(path))
    bounds.check_size(path, "a row", 8 * x.shape[1])
    x.check_format(full_check=True)
    return sparse_rows(x, path.name)


def _h5(path: Path) -> Content:
    import h5py

    with h5py.File(path, "r") as file:
        own = [key for key in file if isinstance(file.get(key, getlink=True), h5py.HardLink)]
        keys = [key for key in own if isinstance(file[key], h5py.Dataset)]

        def array(key: str) -> np.ndarray:
            bounds.check_h5(path, key, file[key])
            return np.asarray(file[key][()])

        return _pick(path, keys, array)


def _pick(path: Path, keys: list[str], array: Callable[[str], np.ndarray]) -> Content:
    """The arrays train, valid and test as far as they are there, or the only array whatever its name."""
    if len(keys) == 1 and keys != ["train"]:
        return Content({WHOLE: array(keys[0])})
    if "train" not in keys:
        found = f"the keys {', '.join(keys)}" if keys else "no array"
        raise DataError(f"{path} must hold a single array or the keys train, valid and test, got {found}.")
    unread = [key for key in keys if key not in PARTS]
    notes = [f"{path.name}: the keys {', '.join(unread)} were not read."] if unread else []
    return Content({part: array(part) for part in PARTS if part in keys}, notes=notes)


def _csv(path: Path, text: Collection[str] | None = None) -> Content:
    from harmonium.data.tables import read_csv

    found = read_csv(path, text)
    return Content({WHOLE: found.values}, found.names, found.notes, found.frame)


def _parquet(path: Path) -> Content:
    from harmonium.data.tables import read_parquet

    large = laid_out.laid_out(path)
    if large is not None:
        note = (
            f"{path.name}: too large for memory, so its columns are told by their values, without a schema."
        )
        return Content({WHOLE: large[0]}, large[1], [note])
    bounds.check_parquet(path)
    found = read_parquet(path)
    return Content({WHOLE: found.values}, found.names, found.notes, found.frame)


READERS: dict[str, Callable[[Path], Content]] = {
    ".npy": _npy,
    ".npz": _npz,
    ".csv": _csv,
    ".parquet": _parquet,
    ".h5": _h5,
}
