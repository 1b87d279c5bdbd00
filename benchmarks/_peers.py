"""Other libraries, each in a process of its own, so that no two runtimes share threads or memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

INTERPRETER = os.environ.get("HARMONIUM_PEERS", sys.executable)
"""The Python that has the peers installed; HARMONIUM_PEERS names another than the present one."""


def run(script: str, *arguments: object) -> dict[str, Any] | None:
    """What benchmarks/SCRIPT prints as its last line, JSON; None where its library isn't installed."""
    path = Path(__file__).parent / script
    done = subprocess.run(
        [INTERPRETER, str(path), *(str(a) for a in arguments)], capture_output=True, text=True, check=False
    )
    if done.returncode == 3:
        return None
    if done.returncode:
        raise RuntimeError(f"{script} failed:\n{done.stderr}")
    return json.loads(done.stdout.strip().splitlines()[-1])
