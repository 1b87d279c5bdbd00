"""What an import costs, in fresh processes that take turns."""

from __future__ import annotations

import subprocess
import sys

from benchmarks._workers import Timing

SCRIPT = (
    "import time; wall, busy = time.perf_counter(), time.process_time(); import {};"
    "print(time.perf_counter() - wall, time.process_time() - busy)"
)


def measure(rounds: int) -> dict[str, Timing | None]:
    """Timings of `import harmonium` and `import torch`, after one of each that doesn't count."""
    timings = {name: Timing(name) for name in ("harmonium", "torch")}
    for attempt in range(rounds + 1):
        for name, timing in timings.items():
            script = [sys.executable, "-c", SCRIPT.format(name)]
            done = subprocess.run(script, capture_output=True, text=True, check=True)
            wall, busy = map(float, done.stdout.split())
            if attempt:
                timing.seconds.append(wall)
                timing.cpu.append(busy)
    return dict(timings)
