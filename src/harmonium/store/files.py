"""Tensors and facts in one safetensors file, replaced in a single step.

The file is plain safetensors, which any of its readers opens. Its metadata hold three texts:

    harmonium   the version that wrote the file
    format      the version of this layout, "1"
    facts       a JSON object: what the tensors are, and whatever else belongs to them
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from harmonium import __version__, checks

FORMAT = 1
"""Grows when an older harmonium could no longer read the file rightly."""

Facts = dict[str, Any]


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A new file to write in place of `path`, which it replaces in one step when the block ends well.

    Until then, and for ever if the block raises or the machine stops, `path` is what it was before. The
    content is on the disk (fsync) before the name points to it.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     target = Path(folder) / "note.txt"
    ...     with replacing(target) as new:
    ...         _ = new.write_text("whole or not at all")
    ...     target.read_text()
    'whole or not at all'
    """
    target = Path(path)
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{target} can't be written: there is no folder {target.parent}.")
    # next to the target, since only within a file system is replacing a single step
    new = target.with_name(f".{os.getpid()}-{threading.get_ident()}-{target.name}")
    new.touch()
    mode = (target if target.exists() else new).stat().st_mode
    try:
        yield new
        _sync(new)
        os.chmod(new, mode & 0o777)  # safetensors writes files that only their owner may read
        os.replace(new, target)
        _sync(target.parent)
    finally:
        new.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk; folders can't be opened everywhere."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except PermissionError:
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def save_tensors(path: str | os.PathLike[str], tensors: Mapping[str, Tensor], facts: Facts) -> None:
    """Write tensors by name, in their own dtypes, and a JSON object of facts; replaces `path` in one step.

    Raises:
        TypeError: facts that JSON can't hold.
        ValueError: facts with NaN or infinite numbers.
        OSError: the file can't be written.
    """
    from safetensors.torch import save_file

    plain, metadata = _content(tensors, facts)
    with replacing(path) as new:
        save_file(plain, new, metadata)


def _content(tensors: Mapping[str, Tensor], facts: Facts) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata as they stand in a file."""
    text = json.dumps(facts, allow_nan=False)
    # a tensor of its own for every name: views and tied parameters would share their memory
    plain = {name: x.detach().to("cpu", copy=True).contiguous() for name, x in tensors.items()}
    return plain, {"harmonium": __version__, "format": str(FORMAT), "facts": text}


def tensors_to_bytes(tensors: Mapping[str, Tensor], facts: Facts) -> bytes:
    """The file that `save_tensors` would write, in memory; raises as it does."""
    from safetensors.torch import save

    return save(*_content(tensors, facts))


def tensors_from_bytes(data: bytes) -> tuple[dict[str, Tensor], Facts]:
    """The tensors and facts of `tensors_to_bytes`.

    Raises:
        ValueError: bytes of another kind, damaged ones, or those of a later format.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    name = "the bytes"
    try:
        tensors = load(data)
        length = int.from_bytes(data[:8], "little")  # of the header, which `load` keeps for itself
        metadata = json.loads(data[8 : 8 + length]).get("__metadata__")
    except (SafetensorError, ValueError) as error:
        raise ValueError(f"{name} are damaged or no harmonium file: {error}.") from error
    return tensors, _facts(name, metadata)


def load_tensors(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], Facts]:
    """The tensors and facts of a file that `save_tensors` wrote; tensors are on the CPU.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a file of another kind, a damaged one, or one of a later format.
    """
    with _opened(path) as file:
        facts = _facts(path, file.metadata())
        # copies, so that the file is free to be replaced
        return {name: file.get_tensor(name).clone() for name in file.keys()}, facts  # noqa: SIM118


def read_facts(path: str | os.PathLike[str]) -> Facts:
    """The facts alone, without reading the tensors; raises as `load_tensors`."""
    with _opened(path) as file:
        return _facts(path, file.metadata())


@contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[Any]:
    from safetensors import SafetensorError, safe_open

    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"path must be the path of a file, got {checks.describe(path)}.")
    if not Path(path).is_file():
        reason = "it is a directory" if Path(path).is_dir() else "there is no such file"
        raise FileNotFoundError(f"{path} can't be read: {reason}.")
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged or not a harmonium file: {error}.") from error


def _facts(path: str | os.PathLike[str], metadata: dict[str, str] | None) -> Facts:
    if not metadata or "harmonium" not in metadata or "format" not in metadata:
        raise ValueError(f"{path} is not a harmonium file: it holds tensors, but not what they are.")
    written = metadata["format"]
    if not written.isdecimal() or int(written) > FORMAT:
        raise ValueError(
            f"{path} has the format {written} of harmonium {metadata['harmonium']}, and this is harmonium"
            f" {__version__}, which reads formats up to {FORMAT}; a newer harmonium will read it."
        )
    try:
        facts = json.loads(metadata["facts"])
    except (KeyError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is damaged: what it says about its tensors can't be read.") from error
    if not isinstance(facts, dict):
        raise ValueError(f"{path} is damaged: what it says about its tensors can't be read.")
    return facts


def dtype_of(tensors: Mapping[str, Tensor]) -> torch.dtype | None:
    """The dtype of the first tensor of real numbers, if there is one."""
    return next((x.dtype for x in tensors.values() if x.is_floating_point()), None)
