"""The folder of a run: which files it holds, and who may write them."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harmonium import __version__, store
from harmonium.cli.options import SETTINGS
from harmonium.models import EnergyModel
from harmonium.models.space import Space
from harmonium.recipes.layerwise import layers_of
from harmonium.units import Units

MODEL = "model.safetensors"
METRICS = "metrics.jsonl"
REPORT = "report.html"
CHECKPOINT = "checkpoint.safetensors"
PREVIOUS = store.previous(CHECKPOINT).name
"""The checkpoint before, which is used where the newest is damaged."""
SETTINGS_FORMAT = 1
LAYERS = layers_of(Path(CHECKPOINT)).name
"""Those of a deep belief network whose training is over."""
FILES = (MODEL, REPORT, METRICS, CHECKPOINT, PREVIOUS, LAYERS, SETTINGS)


@dataclass(frozen=True)
class Saved:
    """A model from a file, and what was written down about it (see `harmonium.cli.fit`)."""

    model: EnergyModel
    path: Path
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def space(self) -> Units | Space:
        """Where the visible variables live."""
        return self.model.observed_space

    @property
    def shape(self) -> tuple[int, int] | None:
        """(height, width) where rows are pictures."""
        shape = self.about.get("data", {}).get("shape")
        return (int(shape[0]), int(shape[1])) if shape else None

    @property
    def columns(self) -> tuple[str, ...] | None:
        """Names of the columns of a table of its rows, where known."""
        names, space = self.model.columns, self.space
        return names if names and len(names) == space.code_width else None


def open_model(path: Path) -> Saved:
    """The model in a folder that `fit` has written, or in a file.

    Raises:
        ValueError, OSError: there is none, or it can't be read.
    """
    file = path / MODEL if path.is_dir() else path
    if path.is_dir() and not file.exists():
        end = (
            " --resume' would finish the one begun." if (path / CHECKPOINT).exists() else "' would make one."
        )
        raise ValueError(f"{path} holds no {MODEL}; 'harmonium fit DATA --out {path}{end}")
    model, about = store.load(file), store.read_facts(file)["about"]
    if model.columns is None and about.get("data", {}).get("columns"):  # written before models had names
        model.columns = tuple(about["data"]["columns"])
    return Saved(model, file, about)


def check_writable(folder: Path, resume: bool, force: bool) -> None:
    """Refuse a folder that can't take a run, before any work is done; creates nothing.

    Raises:
        ValueError: it is no folder, holds a run that neither `resume` nor `force` is for, or none to resume.
        OSError: it can't be written.
    """
    if resume and force:
        raise ValueError("--resume continues the run in DIR and --force replaces it; give one of them.")
    store.check_name(folder)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file, and --out takes a folder.")
    there = [] if only_begun(folder) else [name for name in FILES if (folder / name).exists()]
    can_go_on = SETTINGS in there and not {CHECKPOINT, PREVIOUS, LAYERS}.isdisjoint(there)
    if resume and not can_go_on and not only_begun(folder):
        raise ValueError(f"{folder} holds no {CHECKPOINT} to resume from; leave out --resume to start a run.")
    if there and not resume and not force:
        ways = "--resume continues it, " * can_go_on + "--force replaces it"
        raise ValueError(f"{folder} holds a run already ({', '.join(there)}): {ways}.")
    parent = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise ValueError(f"{folder} can't be written: {parent} is not a folder that you may write to.")


def only_begun(folder: Path) -> bool:
    """Whether nothing is there but what a run writes before it has measured anything."""
    if any((folder / name).exists() for name in (MODEL, REPORT, CHECKPOINT, PREVIOUS, LAYERS)):
        return False
    metrics = folder / METRICS
    if metrics.exists() and metrics.stat().st_size:
        return False
    try:
        return {"options", "data"} <= set(read_settings(folder))
    except (OSError, ValueError):
        return False


@contextmanager
def prepared(folder: Path, force: bool) -> Iterator[bool]:
    """The folder of a run, made if it isn't there and kept from other processes, without the files of the run
    that it replaces, nor what one that was killed left of files that it was writing. Yields whether it was
    not there.

    Raises:
        ValueError: another process writes to it.
    """
    created = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    with _held(folder):
        for name in FILES:
            store.drop_leftovers(folder / name)
            if force:
                (folder / name).unlink(missing_ok=True)
        yield created


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Keep other processes from it, where the system has locks."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise ValueError(f"another process is writing to the run in {folder}; wait until it ends.") from None
    except OSError:
        pass  # a file system without locks
    try:
        yield
    finally:
        os.close(handle)


def recover(folder: Path) -> bool:
    """Whether there is a checkpoint to go on from; says on stderr where it is damaged and the one before is
    used.
    """
    if only_begun(folder):
        return False
    if (folder / LAYERS).exists() and not any((folder / name).exists() for name in (CHECKPOINT, PREVIOUS)):
        return True  # the next layer begins
    wrong = store.recover(folder / CHECKPOINT)
    if wrong is not None:
        print(f"harmonium: {wrong}", file=sys.stderr)
    return True


def write_settings(folder: Path, settings: dict[str, Any]) -> None:
    """Write down what was asked for."""
    written = {"harmonium": __version__, "format": SETTINGS_FORMAT} | settings
    with store.replacing(folder / SETTINGS) as new:
        new.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")


def read_settings(folder: Path) -> dict[str, Any]:
    """What `write_settings` has written, now or in an earlier version.

    Raises:
        ValueError: it is damaged, or of a later version.
        OSError: it can't be read.
    """
    path = folder / SETTINGS
    damaged = ValueError(f"{path} is damaged, so that the run can't be resumed.")
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
        # the first had no number
        written, by = settings.get("format", 0), settings.get("harmonium", "an unknown version")
        known = isinstance(settings["options"], dict) and {"fingerprint", "name"} <= settings["data"].keys()
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise damaged from None
    if not isinstance(written, int):
        raise damaged
    if written > SETTINGS_FORMAT:
        raise ValueError(store.of_later_format(path, written, by, SETTINGS_FORMAT))
    if not known:
        raise damaged
    return dict(settings)


def drop_beginning(folder: Path, created: bool = False) -> None:
    """Remove what a run wrote that ended before its first checkpoint: none can go on from it.

    The folder itself goes too where the run has created it.
    """
    if not folder.is_dir() or any((folder / name).exists() for name in (MODEL, CHECKPOINT, PREVIOUS, LAYERS)):
        return
    for name in (SETTINGS, METRICS):
        (folder / name).unlink(missing_ok=True)
    if created and not any(folder.iterdir()):
        folder.rmdir()


def what_is_saved(folder: Path) -> str:
    """After an interruption: what the folder holds, and how to go on."""
    if not folder.is_dir():
        return f"interrupted, and there is no folder {folder} any more."
    if (folder / MODEL).exists():
        return f"interrupted after training; {folder / MODEL} is saved, and --resume will write {REPORT}."
    for name in (CHECKPOINT, PREVIOUS):
        try:
            done = store.load_tensors(folder / name)[1].get("step")
        except (store.DamagedFile, FileNotFoundError):
            continue  # as --resume will
        except OSError:  # no more files may be open, say
            return f"interrupted; {folder / name} is there, and --resume goes on from it."
        after = f" after {done:,} updates" if isinstance(done, int) else ""
        return f"interrupted{after}; {folder / name} is saved, and --resume goes on from it."
    if (folder / CHECKPOINT).exists():
        return f"interrupted; {folder / CHECKPOINT} is damaged, and there is none before it to go on from."
    if (folder / LAYERS).exists():
        return f"interrupted between two layers; {folder / LAYERS} is saved, and --resume goes on from it."
    return "interrupted before the first checkpoint; nothing is saved."


def check_new_file(path: Path, endings: tuple[str, ...], force: bool) -> None:
    """Refuse an output file of an unknown ending, in no folder, or in place of another."""
    if path.suffix.lower() not in endings:
        listed = f"{', '.join(endings[:-1])} or {endings[-1]}" if len(endings) > 1 else endings[0]
        raise ValueError(f"{path} must end in {listed}.")
    if path.is_dir() or (path.exists() and not force):
        advice = "it is a folder" if path.is_dir() else "it exists already, and --force would replace it"
        raise ValueError(f"{path} can't be written: {advice}.")
    if not path.parent.is_dir():
        raise ValueError(f"{path} can't be written: there is no folder {path.parent}.")


def require_energy_model(model: EnergyModel) -> None:
    """Refuse a model whose probabilities don't exist."""
    reason = model.reason_not_normalizable()
    if reason:
        raise ValueError(f"the model has no probabilities: {reason}")
