"""What all libraries are given alike."""

from __future__ import annotations

import numpy as np

N_ROWS = 10_000  # of the data that updates draw their batches from


def rows(n: int, visible: int, states: int = 2) -> np.ndarray:
    """Random rows, (n, visible), whole numbers from 0 to states - 1."""
    return np.random.default_rng(1).integers(0, states, (n, visible), dtype=np.uint8)


def lattice(side: int) -> np.ndarray:
    """Edges of a square grid with free boundaries, (edges, 2)."""
    number = np.arange(side * side).reshape(side, side)
    across = np.stack([number[:, :-1].ravel(), number[:, 1:].ravel()], 1)
    down = np.stack([number[:-1].ravel(), number[1:].ravel()], 1)
    return np.concatenate([across, down])


def grid_tables(side: int, states: int) -> tuple[np.ndarray, np.ndarray]:
    """(edges, log-potentials of each, standard normal) of a grid."""
    edges = lattice(side)
    return edges, np.random.default_rng(0).normal(size=(len(edges), states, states))
