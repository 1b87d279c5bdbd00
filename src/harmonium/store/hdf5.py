"""HDF5 files of other libraries, of which nothing is believed: neither sizes, nor types, nor links."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from harmonium import checks
from harmonium.data.bounds import memory
from harmonium.store.files import DamagedFile

Location = str | os.PathLike[str]


class Hdf5:
    """An open file; whatever is wrong with it is a DamagedFile.

    Args:
        path: of the file.
        file: h5py's.
    """

    def __init__(self, path: Location, file: Any) -> None:
        self.path, self._file = path, file

    def names(self) -> list[str]:
        """Those of the first level."""
        return list(self._file)

    def text(self, name: str) -> str | None:
        """A single text, None where there is none of this name."""
        if name not in self._file:
            return None
        dataset = self._dataset(name)
        if dataset.shape != () or dataset.dtype.kind not in "OS":
            raise self.wrong(f"{name} must be a text")
        found = dataset[()]
        return found.decode() if isinstance(found, bytes) else str(found)

    def array(self, name: str, axes: int | None = None) -> np.ndarray:
        """Finite numbers of 32 or 64 bits, with so many axes, or with any."""
        dataset = self._dataset(name)
        if dataset.dtype.kind != "f" or dataset.dtype.itemsize not in (4, 8):
            raise self.wrong(f"{name} must hold numbers of 32 or 64 bits, got {dataset.dtype}")
        if axes not in (None, len(dataset.shape)) or 0 in dataset.shape:
            raise self.wrong(f"{name} can't have the shape {dataset.shape}")
        if dataset.nbytes > memory():
            raise self.wrong(f"{name} would take {dataset.nbytes:,} bytes of memory")
        found = np.asarray(dataset[()]).astype(dataset.dtype.newbyteorder("="))
        if not np.isfinite(found).all():
            raise self.wrong(f"{name} must hold finite numbers")
        return found

    def wrong(self, what: str) -> DamagedFile:
        """The error that says what is wrong with this file."""
        return DamagedFile(f"{self.path} can't be read: {what}.")

    def _dataset(self, name: str) -> Any:
        """An array of this very file."""
        import h5py

        place = self._file
        for part in name.split("/"):
            if not isinstance(place, h5py.Group) or part not in place:
                raise self.wrong(f"it holds no {name}")
            if not isinstance(place.get(part, getlink=True), h5py.HardLink):
                raise self.wrong(f"{name} is a link, which is not followed")
            place = place[part]
        if not isinstance(place, h5py.Dataset):
            raise self.wrong(f"it holds no {name}")
        if place.external or place.is_virtual:
            raise self.wrong(f"the numbers of {name} lie in other files, which are not followed")
        return place


@contextmanager
def opened(path: Location) -> Iterator[Hdf5]:
    """A file to read.

    Raises:
        TypeError: no path.
        FileNotFoundError: no such file.
        ValueError: it is damaged, or no HDF5 file.
    """
    import h5py

    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"path must be the path of a file, got {checks.describe(path)}.")
    if not Path(path).is_file():
        reason = "it is a directory" if Path(path).is_dir() else "there is no such file"
        raise FileNotFoundError(f"{path} can't be read: {reason}.")
    try:
        with h5py.File(path, "r") as file:
            yield Hdf5(path, file)
    except DamagedFile:
        raise
    except (OSError, RuntimeError, KeyError, TypeError, ValueError, AttributeError) as error:
        # h5py has one of these for each way in which a file can be wrong
        said = " ".join(str(error).split()).rstrip(".")
        raise DamagedFile(f"{path} is damaged or no HDF5 file: {said}.") from error
