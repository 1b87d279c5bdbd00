"""What an import costs, in fresh processes that take turns.

`import harmonium` alone loads next to nothing, since names are looked up when they are used; so the cost of
the names that every program uses is counted too. Byte code is kept from the first of the processes on, as an
installation does.
"""

from __future__ import annotations

import os
import subprocess
import sys

from benchmarks._workers import Timing

SCRIPT = (
    "import time; wall, busy = time.perf_counter(), time.process_time(); {};"
    "print(time.perf_counter() - wall, time.process_time() - busy)"
)


STATEMENTS = {
    "harmonium": "import harmonium",
    "harmonium in use": "import harmonium; harmonium.RBM, harmonium.Bernoulli, harmonium.fit",
    "torch": "import torch",
}


def measure(rounds: int) -> dict[str, Timing | None]:
    """Timings of the statements, after one of each that doesn't count."""
    timings = {name: Timing(name) for name in STATEMENTS}
    environment = {name: x for name, x in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    for attempt in range(rounds + 1):
        for name, timing in timings.items():
            script = [sys.executable, "-c", SCRIPT.format(STATEMENTS[name])]
            done = subprocess.run(script, capture_output=True, text=True, check=True, env=environment)
            wall, busy = map(float, done.stdout.split())
            if attempt:
                timing.seconds.append(wall)
                timing.cpu.append(busy)
    return dict(timings)
