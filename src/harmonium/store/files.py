"""Tensors and facts in one safetensors file, replaced in a single step.

The file is plain safetensors, which any of its readers opens. Its metadata hold four texts:

    harmonium   the version that wrote the file
    format      the version of this layout, "1"
    facts       a JSON object: what the tensors are, and whatever else belongs to them
    digest      the SHA-256 of all the others and of the tensors; what doesn't agree with it is not read
"""

from __future__ import annotations

import hashlib
import json
import os
import re
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


class DamagedFile(ValueError):
    """A file that isn't as it was written."""


@contextmanager
def replacing(path: str | os.PathLike[str], before: Path | None = None) -> Iterator[Path]:
    """A new file to write in place of `path`, which it replaces in one step when the block ends well.

    Until then, and for ever if the block raises or the machine stops, `path` is what it was before. The
    content is on the disk (fsync) before the name points to it. What `path` was is kept as `before`, where
    that is given.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     target = Path(folder) / "note.txt"
    ...     with replacing(target) as new:
    ...         _ = new.write_text("whole or not at all")
    ...     target.read_text()
    'whole or not at all'
    """
    target = place(path)
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{target} can't be written: there is no folder {target.parent}.")
    # next to the target, since only within a file system is replacing a single step
    new = target.with_name(f".{os.getpid()}-{threading.get_ident()}-{target.name}")
    try:
        with naming(target, new):
            new.touch()
            mode = (target if target.exists() else new).stat().st_mode
            yield new
            _sync(new)
            os.chmod(new, mode & 0o777)  # safetensors writes files that only their owner may read
            if before is not None and target.exists():
                _keep(target, before)
            os.replace(new, target)
            _sync(target.parent)
    finally:
        new.unlink(missing_ok=True)


@contextmanager
def naming(path: Path, new: Path | None = None) -> Iterator[None]:
    """Let an error of the system that names no file, or `new`, name `path`, which is being written."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename not in (None, os.fspath(new or path)):
            raise
        raise OSError(error.errno, os.strerror(error.errno), os.fspath(path)) from error


def _keep(target: Path, before: Path) -> None:
    """Let `before` be what `target` is now, which keeps its name where the file system has links."""
    link = before.with_name(f".{os.getpid()}-{threading.get_ident()}-{before.name}")
    try:
        os.link(target, link)
    except OSError:
        link = target
    os.replace(link, before)


def place(path: Any) -> Path:
    """The place of a file that is to be written.

    Raises:
        TypeError: no path. ValueError: none that there can be, or a folder.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"path must be the path of a file, got {checks.describe(path)}.")
    if "\0" in os.fspath(path):
        raise ValueError(f"path must be the path of a file, got {os.fspath(path)!r}.")
    target = Path(path)
    if target.is_dir():
        raise ValueError(f"{target} can't be written: it is a folder.")
    return target


def drop_leftovers(path: str | os.PathLike[str]) -> None:
    """Remove what writers of `path` left beside it that were killed in the middle."""
    target = Path(path)
    for other in target.parent.glob(".*"):
        if re.fullmatch(rf"\.\d+-\d+-{re.escape(target.name)}", other.name):
            other.unlink(missing_ok=True)


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


def check_name(path: str | os.PathLike[str]) -> None:
    """Refuse names that safetensors can't open.

    Raises:
        ValueError: the name isn't Unicode.
    """
    try:
        os.fsencode(path).decode()
    except UnicodeDecodeError:
        raise ValueError(f"{path} can't be the place of a model: its name is not Unicode.") from None


def save_tensors(
    path: str | os.PathLike[str], tensors: Mapping[str, Tensor], facts: Facts, before: Path | None = None
) -> None:
    """Write tensors by name, in their own dtypes, and a JSON object of facts; replaces `path` in one step,
    and keeps what it was as `before`. Equal tensors and facts make equal files.

    Raises:
        TypeError: facts that JSON can't hold.
        ValueError: facts with NaN or infinite numbers.
        OSError: the file can't be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    check_name(place(path))
    plain, metadata = _content(tensors, facts)
    with replacing(path, before) as new:
        try:
            save_file(plain, new, metadata)
        except SafetensorError as error:
            number = re.search(r"(?:os error|code:) (\d+)", str(error))  # of newer and older versions
            raise (OSError(int(number[1]), str(error)) if number else error) from error
        _sort_metadata(new)


def _digest(metadata: Mapping[str, str], tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of all that a file holds, beside this digest."""
    found = hashlib.sha256(json.dumps(sorted(metadata.items())).encode())
    for name, x in sorted(tensors.items()):
        found.update(json.dumps([name, str(x.dtype), list(x.shape)]).encode())
        found.update(x.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def _sort_metadata(path: Path) -> None:
    """Put the metadata, which safetensors writes in any order, in one that is always the same."""
    with path.open("r+b") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        if len(text) <= length:
            file.seek(8)
            file.write(text.ljust(length))


def _content(tensors: Mapping[str, Tensor], facts: Facts) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata as they stand in a file."""
    text = json.dumps(facts, allow_nan=False)
    # a tensor of its own for every name: views and tied parameters would share their memory
    plain = {name: x.detach().to("cpu", copy=True).contiguous() for name, x in tensors.items()}
    metadata = {"harmonium": __version__, "format": str(FORMAT), "facts": text}
    return plain, metadata | {"digest": _digest(metadata, plain)}


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
        ValueError: a file of another kind, a damaged one (a DamagedFile), or one of a later format.
    """
    with _opened(path) as file:
        metadata = dict(file.metadata() or {})
        facts = _facts(path, metadata)
        # copies, so that the file is free to be replaced
        tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    digest = metadata.pop("digest", None)  # none in files of harmonium 0.1.0
    if digest is not None and digest != _digest(metadata, tensors):
        raise DamagedFile(f"{path} is damaged: its content has changed since it was written.")
    return tensors, facts


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
    check_name(path)
    with open(path, "rb"):  # says why it can't be; safetensors would call it missing
        pass
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except SafetensorError as error:
        raise DamagedFile(f"{path} is damaged or not a harmonium file: {error}.") from error


def _facts(path: str | os.PathLike[str], metadata: dict[str, str] | None) -> Facts:
    if not metadata or "harmonium" not in metadata or "format" not in metadata:
        raise DamagedFile(f"{path} is not a harmonium file: it holds tensors, but not what they are.")
    written = metadata["format"]
    if not written.isdecimal() or int(written) > FORMAT:
        raise ValueError(of_later_format(path, written, metadata["harmonium"], FORMAT))
    try:
        facts = json.loads(metadata["facts"])
    except (KeyError, ValueError, RecursionError):
        facts = None
    if not isinstance(facts, dict):
        raise DamagedFile(f"{path} is damaged: what it says about its tensors can't be read.")
    return facts


def of_later_format(path: str | os.PathLike[str], written: object, by: object, known: int) -> str:
    """What is said of a file whose format is later than the last one known."""
    return (
        f"{path} has the format {written} of harmonium {by}, and this is harmonium {__version__}, which reads"
        f" formats up to {known}; a newer harmonium will read it."
    )


def dtype_of(tensors: Mapping[str, Tensor]) -> torch.dtype | None:
    """The dtype of the first tensor of real numbers, if there is one."""
    return next((x.dtype for x in tensors.values() if x.is_floating_point()), None)
