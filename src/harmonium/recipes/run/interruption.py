"""Ctrl-C and SIGTERM while training: the present update ends, the run is saved, and a line says so."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

from harmonium import processes
from harmonium.learning import Update
from harmonium.store import Checkpoint

SIGNALS = (signal.SIGINT, signal.SIGTERM)
ONCE = 1.0
"""Seconds within which several signals are one: launchers pass on what a process has heard by itself."""


class Interruption:
    """A callback, and a context in which signals wait for it; another one, `ONCE` later, no longer waits.

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
            handlers = {number: signal.getsignal(number) for number in SIGNALS}
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
        elif time.monotonic() - self.since >= ONCE:
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
