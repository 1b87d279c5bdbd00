"""Exact log Z of a 10×10 grid of ternary variables, against pgmpy on the same machine.

    python -m benchmarks contraction        (HARMONIUM_PEERS=PYTHON names the interpreter that has pgmpy)

Random pairwise log-potentials, standard normal. pgmpy is asked in the fastest of its ways (opt_einsum's
greedy path); harmonium's time includes finding the elimination order, which a second question wouldn't pay
again.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

import harmonium as hm
from benchmarks import _peers
from benchmarks.ising import lattice

SIDE, STATES, REPEATS = 10, 3, 7


def measure(edges: np.ndarray, tables: np.ndarray) -> dict[str, object]:
    """The same figures as the peer's script prints."""
    seconds, cpu, log_z = [], [], 0.0
    factors = [(tuple(edge), table) for edge, table in zip(edges.tolist(), tables, strict=True)]
    hm.MarkovRandomField([STATES] * SIDE**2, factors).log_partition()  # compiles, or loads what was compiled
    for _ in range(REPEATS):
        field = hm.MarkovRandomField([STATES] * SIDE**2, factors)
        wall, busy = time.perf_counter(), time.process_time()
        log_z = float(field.log_partition())
        seconds.append(time.perf_counter() - wall)
        cpu.append(time.process_time() - busy)
    return {"seconds": seconds, "cpu": cpu, "log_z": log_z, "width": field.width()}


def main() -> None:
    """Print the comparison."""
    edges = lattice(SIDE)
    tables = np.random.default_rng(0).normal(size=(len(edges), STATES, STATES))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "grid.npz"
        np.savez(path, edges=edges, tables=tables)
        rows = {
            "harmonium": measure(edges, tables),
            "pgmpy": _peers.run("_pgmpy_contraction.py", path, REPEATS),
        }
    print(f"log Z of a {SIDE}×{SIDE} grid, {STATES} states, {torch.get_num_threads()} threads")
    print("| library | seconds | processor seconds | log Z |")
    print("|---|---|---|---|")
    medians = {}
    for name, row in rows.items():
        if row is None:
            print(f"| {name} | not installed | | |")
            continue
        medians[name] = statistics.median(row["seconds"])
        print(f"| {name} | {medians[name]:.3f} | {statistics.median(row['cpu']):.3f} | {row['log_z']:.9f} |")
    if len(medians) == 2:
        print(f"\nratio {medians['pgmpy'] / medians['harmonium']:.1f}")


if __name__ == "__main__":
    main()
