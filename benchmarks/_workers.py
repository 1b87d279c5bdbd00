"""Workers, and comparisons in which they alternate."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from types import TracebackType
from typing import Any, Self

PEERS = os.environ.get("HARMONIUM_PEERS", sys.executable)
"""The Python that has the peers installed; HARMONIUM_PEERS names another than the present one."""
HERE = Path(__file__).parent
LONGEST = 25.0
WARM, LONG = 8, 1.5  # looks at whether a repetition got faster; seconds beside which loading is little
REST = 0.2
"""Seconds before a turn: threads of the library that had the last one spin for a while after their work, and
whoever came next was up to ten times as slow for the first tenth of a second."""
MISSING = 3
"""Exit status of a worker whose library isn't installed."""


def command(library: str, script: str) -> list[str]:
    """How to start benchmarks/SCRIPT in the environment that has the library: that of HARMONIUM_LIBRARY where
    it can't live with the others (HARMONIUM_HYPERIMPUTE). A script of several libraries imports none of its
    neighbours, which would take the place of libraries of their names (coverage).
    """
    own = os.environ.get(f"HARMONIUM_{library.upper()}", PEERS)
    python = sys.executable if library in ("harmonium", "torch") else own
    return [python, *([] if script == f"_{library}_works.py" else ["-P"]), str(HERE / script)]


class Worker:
    """The process of one library, `benchmarks/_LIBRARY_works.py`."""

    def __init__(self, library: str) -> None:
        self.library = library
        self.process = subprocess.Popen(
            command(library, f"_{library}_works.py"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if library != "harmonium" else None,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.communicate()

    def ask(self, **order: Any) -> dict[str, Any] | None:
        """The answer to an order; None where the library isn't installed."""
        assert self.process.stdin is not None and self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # the exit status says why
            print(json.dumps(order), file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line:
            if self.process.wait() == MISSING:
                return None
            raise RuntimeError(f"the worker of {self.library} ended with status {self.process.returncode}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise RuntimeError(f"{self.library}, {order}:\n{answer['error']}")
        return answer


@dataclass
class Timing:
    """Seconds of one repetition, measured once a round."""

    library: str
    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    value: float | None = None
    path: str | None = None

    @property
    def median(self) -> float:
        """The median over the rounds."""
        return median(self.seconds)

    def to_dict(self) -> dict[str, Any]:
        """What a table needs: medians and the quartiles of the rounds."""
        low, _, high = quantiles(self.seconds, n=4) if len(self.seconds) > 1 else self.seconds * 3
        return {
            "library": self.library,
            "seconds": self.median,
            "quartiles": [low, high],
            "cpu_seconds": median(self.cpu) if self.cpu else None,
            "rounds": len(self.seconds),
            "value": self.value,
            "path": self.path,
        }


Contestant = tuple[Worker, str, dict[str, Any]]
"""A worker, the name of its work, and the work's settings."""


def _settled(worker: Worker) -> float:
    """Seconds of one repetition once what is loaded and compiled on the way is there.

    One that is long beside that is made once. Others are made until they get no faster: a count that was
    taken from the first one, with a second of loading in it, made turns of one repetition of a millisecond,
    cold from the rest before it.
    """
    seconds = float((worker.ask(repeat=1) or {})["seconds"])
    for _ in range(WARM):
        if seconds > LONG:
            break
        before, seconds = seconds, float((worker.ask(repeat=3) or {})["seconds"])
        if seconds > before / 2:
            break
    return seconds


def compare(contestants: list[Contestant], rounds: int, turn: float) -> list[Timing | None]:
    """Each contestant's timings: they take turns of about `turn` seconds (one repetition at least), `rounds`
    times.

    The first repetitions compile what has to be compiled and tell how many fit a turn; they don't count, nor
    does the first one of a turn. Long work gets fewer rounds, three at least, so that a comparison takes
    about LONGEST seconds.
    """
    timings: list[Timing | None] = []
    counts, cost = [], 0.0
    for worker, work, settings in contestants:
        made = worker.ask(make=work, settings=settings)
        if made is None:
            timings.append(None)
            counts.append(0)
            continue
        timings.append(Timing(worker.library, path=made["path"]))
        once = _settled(worker)
        counts.append(max(1, round(turn / once)))
        cost += counts[-1] * once
    rounds = max(3, min(rounds, int(LONGEST / max(cost, 1e-6))))
    for _ in range(rounds):
        for timing, count, (worker, _, _) in zip(timings, counts, contestants, strict=True):
            if timing is None:
                continue
            time.sleep(REST)
            if count > 1:
                worker.ask(repeat=1)  # wakes its own threads
            answer = worker.ask(repeat=count) or {}
            timing.seconds.append(answer["seconds"])
            timing.cpu.append(answer["cpu"])
            timing.value = answer["value"]
    return timings
