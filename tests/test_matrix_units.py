"""The loops for matrix units on emulated ones, in a process of their own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harmonium.kernels import processor

HERE = Path(__file__).parent


@pytest.mark.skipif(not processor.no_matrix_units(), reason="the units themselves are tested here")
def test_the_loops_for_matrix_units_on_emulated_ones():
    files = [str(HERE / f"test_{name}.py") for name in ("products", "phases", "sweeps", "annealing_loops")]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-n",
        "0",
        "-p",
        "emulated_units",
        "-k",
        "not wide",
        *files,
    ]
    path = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "NUMBA_OPT": "1"}  # most of the time is compiling them
    environment.pop("PYTEST_XDIST_WORKER", None)
    done = subprocess.run(command, env=environment, cwd=HERE.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "skipped" not in done.stdout.splitlines()[-1]
