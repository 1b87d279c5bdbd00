"""Gibbs sampling of an Ising grid: site updates per nanosecond, against thrml on the same machine.

    python -m benchmarks ising        (HARMONIUM_PEERS=PYTHON names the interpreter that has thrml)

A 64×64 grid with free edges, 64 chains, coupling 0.4, 100 sweeps a call; both libraries use all the cores
they are given. Wall-clock and processor seconds are medians over repeats that alternate; on a machine that
does something else as well, trust the ratio of processor seconds per core more than that of the wall clock.
"""

from __future__ import annotations

import statistics
import time

import networkx as nx
import numpy as np
import torch

import harmonium as hm
from benchmarks import _peers
from harmonium.random import Address, Purpose
from harmonium.sampling import GraphGibbs, initial_chains

SIDE, CHAINS, SWEEPS, COUPLING, REPEATS = 64, 64, 100, 0.4, 7
LARGE = 512


def lattice(side: int) -> np.ndarray:
    """Edges of a square grid with free boundaries."""
    number = np.arange(side * side).reshape(side, side)
    rows = np.stack([number[:, :-1].ravel(), number[:, 1:].ravel()], 1)
    columns = np.stack([number[:-1].ravel(), number[1:].ravel()], 1)
    return np.concatenate([rows, columns])


def measure() -> dict[str, object]:
    """The same figures as the peer's script prints."""
    started = time.perf_counter()
    field = hm.MarkovRandomField.ising(lattice(SIDE), COUPLING)
    chains = initial_chains(field, CHAINS, Address(0, Purpose.TRIAL))
    kernel = GraphGibbs(sweeps=SWEEPS)
    built = time.perf_counter() - started
    chains = kernel(field, chains)  # compiles, or loads what was compiled
    seconds, cpu = [], []
    for _ in range(REPEATS):
        wall, busy = time.perf_counter(), time.process_time()
        chains = kernel(field, chains)
        seconds.append(time.perf_counter() - wall)
        cpu.append(time.process_time() - busy)
    with torch.no_grad():
        energy = float(field.energy(chains.visible).mean()) / SIDE**2
    return {"build": built, "seconds": seconds, "cpu": cpu, "energy": energy}


def build_large() -> tuple[float, float]:
    """Seconds to build a 512×512 grid, colours included: from an array of edges, and from networkx."""
    started = time.perf_counter()
    hm.MarkovRandomField.ising(lattice(LARGE), COUPLING).flat.pairs()
    from_array = time.perf_counter() - started
    graph = nx.grid_2d_graph(LARGE, LARGE)
    started = time.perf_counter()
    hm.MarkovRandomField.ising(graph, COUPLING).flat.pairs()
    return from_array, time.perf_counter() - started


def main() -> None:
    """Print the comparison."""
    updates = SIDE**2 * CHAINS * SWEEPS
    rows = {
        "harmonium": measure(),
        "thrml": _peers.run("_thrml_ising.py", SIDE, CHAINS, SWEEPS, COUPLING, REPEATS),
    }
    print(f"{SIDE}×{SIDE} Ising grid, {CHAINS} chains, {torch.get_num_threads()} threads")
    print(
        "| library | updates per ns | updates per ns of processor time | energy per site | seconds to build |"
    )
    print("|---|---|---|---|---|")
    rates = {}
    for name, row in rows.items():
        if row is None:
            print(f"| {name} | not installed | | | |")
            continue
        wall, cpu = (updates / statistics.median(row[key]) * 1e-9 for key in ("seconds", "cpu"))
        rates[name] = wall
        print(f"| {name} | {wall:.3f} | {cpu:.3f} | {row['energy']:.4f} | {row['build']:.2f} |")
    if len(rates) == 2:
        print(f"\nratio {rates['harmonium'] / rates['thrml']:.1f}")
    from_array, from_networkx = build_large()
    print(
        f"{LARGE}×{LARGE} grid built in {from_array:.2f} s (array of edges), {from_networkx:.2f} s (networkx)"
    )


if __name__ == "__main__":
    main()
