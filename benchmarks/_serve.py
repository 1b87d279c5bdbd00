"""A worker's end of a comparison: it makes a piece of work, repeats it when told, and says how long it took.

Workers live in processes of their own, one for each library, so that no two runtimes share threads or
memory; each stays alive while the others have their turns. Orders come on stdin and answers go to stdout,
one line of JSON each. This file needs nothing but Python, because some of those processes have nothing else
in common.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

Work = Callable[[], Any]
"""One repetition; what it returns, if a number, is reported, so that results can be compared too."""


def serve(works: dict[str, Callable[..., Work]]) -> None:
    """Answer orders until stdin ends: {"make": name, "settings": {...}}, then {"repeat": count} any number of
    times; {"forget": true} drops the work and the peak of memory.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints must not get among the answers
    work: Work | None = None
    for line in sys.stdin:
        order = json.loads(line)
        try:
            if "make" in order:
                work = None  # the memory of the last one is free before the next is made
                work = works[order["make"]](**order["settings"])
                answer: dict[str, Any] = {"path": getattr(work, "path", None)}
            elif "forget" in order:
                work = None
                with open("/proc/self/clear_refs", "w", encoding="utf-8") as peak:
                    peak.write("5")  # the highest is counted from here on
                answer = {"resident": resident("VmRSS")}
            else:
                assert work is not None, "nothing was made yet"
                answer = repeated(work, order["repeat"])
        except Exception:
            answer = {"error": traceback.format_exc()}
        print(json.dumps(answer), file=answers, flush=True)


def repeated(work: Work, count: int) -> dict[str, Any]:
    """Seconds and processor seconds of one repetition, the mean of `count`, and the last value."""
    value = None
    wall, busy = time.perf_counter(), time.process_time()
    for _ in range(count):
        value = work()
    wall, busy = time.perf_counter() - wall, time.process_time() - busy
    number = float(value) if isinstance(value, (int, float)) else None
    return {"seconds": wall / count, "cpu": busy / count, "value": number, "peak": resident("VmHWM")}


def resident(field: str) -> float | None:
    """Memory of this process in MB, VmRSS now or VmHWM at its highest; None where there is no /proc."""
    try:
        with open("/proc/self/status", encoding="utf-8") as status:
            return int(status.read().split(f"{field}:")[1].split()[0]) / 1024
    except OSError:
        return None
