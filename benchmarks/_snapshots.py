"""Parameters along the training of a peer, and when they were there.

Like `_serve.py` this is read in processes that have neither harmonium nor this package.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import numpy as np


class Snapshots:
    """Copies of (weight, visible bias, hidden bias) with their times in seconds.

    Args:
        start: `time.perf_counter()` when the program began.
        settings: with "cpu" set, times are processor seconds from here on, and only the latest copy is kept.
    """

    def __init__(self, start: float, settings: dict[str, Any]) -> None:
        self.last = bool(settings.get("cpu"))
        self.start = time.process_time() if self.last else start
        self.times: list[float] = []
        self.kept: list[list[np.ndarray]] = []

    def add(self, parameters: Iterable[np.ndarray]) -> float:
        """Keep these; the time by now."""
        if self.last:
            self.times, self.kept = [], []
        self.kept.append([np.array(p, dtype=np.float32) for p in parameters])
        clock = time.process_time if self.last else time.perf_counter
        self.times.append(clock() - self.start)
        return self.times[-1]

    def save(self, out: str, updates: int) -> None:
        """Write times, updates made, and arrays with one entry per copy."""
        weight, visible, hidden = (np.stack(parts) for parts in zip(*self.kept, strict=True))
        np.savez(out, times=self.times, updates=updates, weight=weight, visible=visible, hidden=hidden)
