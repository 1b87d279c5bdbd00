"""Checkpoints: the newest, and the one before it until the next is whole."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from harmonium import processes
from harmonium.store.files import DamagedFile, Facts, drop_leftovers, load_tensors, save_tensors


def previous(path: str | os.PathLike[str]) -> Path:
    """Where the checkpoint before the newest is kept.

    >>> previous("run/checkpoint.safetensors").name
    'checkpoint.previous.safetensors'
    """
    path = Path(path)
    return path.with_name(f"{path.stem}.previous{path.suffix}")


class Checkpoint:
    """Where a run is written to: each time the one that was there is kept as `previous(path)`.

    Args:
        path: of the file.
        begun: whether what is there already is of this run, which then goes on from it.
    """

    def __init__(self, path: str | os.PathLike[str], begun: bool = False) -> None:
        self.path, self.begun = Path(path), begun

    def save(self, tensors: Mapping[str, Tensor], facts: Facts) -> None:
        """As `save_tensors`, by the first of several processes."""
        with processes.agreeing():
            if processes.first():
                self._save(tensors, facts)
        self.begun = True

    def _save(self, tensors: Mapping[str, Tensor], facts: Facts) -> None:
        before = previous(self.path)
        save_tensors(self.path, tensors, facts, before if self.begun else None)
        if not self.begun:
            before.unlink(missing_ok=True)  # of another run


def recover(path: str | os.PathLike[str]) -> str | None:
    """Make sure that the checkpoint at `path` is whole: where it isn't, the one before it takes its place.

    Returns:
        A sentence that names the damaged one, None where nothing was wrong.

    Raises:
        FileNotFoundError: there is none, nor one before it.
        ValueError: both are damaged, or it is the only one; or it is of a later format.
    """
    newest, older = Path(path), previous(path)
    for each in (newest, older):
        drop_leftovers(each)
    try:
        load_tensors(newest)
        return None
    except (DamagedFile, FileNotFoundError) as error:
        wrong = str(error).rstrip(".")
        if not older.exists():
            if isinstance(error, FileNotFoundError):
                raise
            raise DamagedFile(f"{wrong}; there is no checkpoint before it to go on from.") from error
    try:
        load_tensors(older)
    except DamagedFile as error:
        raise DamagedFile(f"{newest} and the checkpoint before it, {older}, are both damaged.") from error
    os.replace(older, newest)
    return f"{wrong}; the run goes on from the checkpoint before it."
