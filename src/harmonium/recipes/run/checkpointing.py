"""The checkpoint of a run: where it is, what who goes on from it must share, and Ctrl-C and SIGTERM."""

from __future__ import annotations

import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from harmonium import processes, store
from harmonium.learning import Update
from harmonium.store import Checkpoint


class Interruption:
    """A callback, and a context in which signals wait for it; another one, a second later, no longer waits.

    Several processes stop after the same update, whichever of them has heard one.

    Whoever heard the signals before hears them once the run is saved: by default Ctrl-C becomes a
    KeyboardInterrupt, and SIGTERM ends the process.

    Args:
        checkpoint: what is saved; None leaves signals to others, as do threads that can't hear them.
        save: writes it, given the number of updates made.
    """

    def __init__(self, checkpoint: Checkpoint | None, save: Callable[[int], None]) -> None:
        self.checkpoint, self.save = checkpoint, save
        self.heard: int | None = None
        self.since = 0.0  # when a signal was first heard
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interruption:
        if self.checkpoint is not None and threading.current_thread() is threading.main_thread():
            processes.go_on()
            handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
            self._before = {n: h for n, h in handlers.items() if h not in (None, signal.SIG_IGN)}
            for number in self._before:
                signal.signal(number, self._hear)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None and self.checkpoint is not None:
                with processes.repeating():  # no sum follows with which it would travel
                    self.heard = processes.told() or self.heard
        finally:
            self._restore()
        if kind is None and self.heard is not None:  # after the last update, which is saved
            self._pass_on("over")

    def __call__(self, update: Update) -> None:
        number = processes.told() if self.checkpoint is not None else 0
        if number:
            self.heard, self.since = number, self.since or time.monotonic()
            self.save(update.step)
            self._restore()
            self._pass_on(f"stopped after {update.step} updates")

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self.heard is None:
            self.heard, self.since = number, time.monotonic()
            processes.stop(number)
        elif time.monotonic() - self.since >= 1.0:  # else one signal: launchers pass on what all have heard
            self._restore()
            signal.raise_signal(number)

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _pass_on(self, what: str) -> None:
        processes.go_on()
        number, self.heard = self.heard, None
        assert number is not None and self.checkpoint is not None
        sentence = f"training is {what}; {self.checkpoint.path} is saved, and resume=True goes on from it."
        if signal.getsignal(number) is signal.default_int_handler:
            raise KeyboardInterrupt(sentence)
        if signal.getsignal(number) is signal.SIG_DFL and processes.first():
            print(f"harmonium: {sentence}", file=sys.stderr, flush=True)
        signal.raise_signal(number)
        raise KeyboardInterrupt(sentence)


def place(checkpoint: Any) -> Path:
    """Where a checkpoint is, or will be."""
    try:
        path = store.place(checkpoint)
    except (TypeError, ValueError) as error:
        raise type(error)(f"checkpoint: {error}") from None
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path} can't be written: there is no folder {path.parent}.")
    return path


def checkpoint_at(checkpoint: Any, resume: bool) -> store.Checkpoint | None:
    """Where the checkpoint is, or will be."""
    if checkpoint is None:
        if resume:
            raise ValueError("resume: expected the checkpoint to go on from, got checkpoint=None.")
        return None
    path = place(checkpoint)
    if resume:
        if not path.exists() and not store.previous(path).exists():
            raise ValueError(f"resume: there is no checkpoint at {path}.")
        wrong = processes.by_first(partial(store.recover, path))
        if wrong is not None:
            warnings.warn(wrong, stacklevel=3)
    return store.Checkpoint(path, resume)


def same_settings(path: Path, saved: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """Refuse to go on with other settings than those of the run."""
    different = [k for k, v in asked.items() if saved.get(k) != v]
    if different:
        told = ", ".join(f"{k} {saved.get(k)} (now {asked[k]})" for k in different)
        raise ValueError(f"resume: {path} is of a run with other settings: {told}; ask for the same ones.")
