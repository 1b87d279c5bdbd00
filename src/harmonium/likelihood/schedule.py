"""Where to put the rungs of a ladder: at equal distances, as the chains themselves measure them.

The distance between neighbours is the root of the symmetrised Kullback-Leibler divergence, which the mean
works of both sides add up to; for close neighbours it is the thermodynamic length between them (Crooks 2007),
and equal lengths give the smallest variance of log Z as well as equal swap rates.
"""

from __future__ import annotations

import numpy as np

from harmonium.likelihood.bridge import Bridges

SPACING = 0.8  # distance between neighbours: about 57 % of the exchanges succeed
FEWEST, MOST = 4, 96


def distances(works: Bridges) -> np.ndarray:
    """The distance between the rungs of each pair, (pairs,)."""
    both = [float(up.mean() + down.mean()) for up, down in zip(works.up, works.down, strict=True)]
    return np.sqrt(np.maximum(both, 1e-4))


def replaced(positions: np.ndarray, lengths: np.ndarray, nodes: int) -> np.ndarray:
    """New positions at equal distances, every node kept as a rung.

    >>> replaced(np.array([0.0, 1.0]), np.array([2.0]), nodes=2).round(2)
    array([0.  , 0.33, 0.67, 1.  ])
    """
    travelled = np.concatenate([[0.0], np.cumsum(lengths)])
    at_nodes = np.interp(np.arange(nodes), positions, travelled)
    spacing = max(SPACING, at_nodes[-1] / (MOST - nodes + 1))
    pieces = []
    for a, b in zip(at_nodes[:-1], at_nodes[1:], strict=True):
        rungs = max(int(np.ceil((b - a) / spacing)), -(-(FEWEST - 1) // (nodes - 1)))
        pieces.append(np.linspace(a, b, rungs + 1)[:-1])
    wanted = np.concatenate([*pieces, at_nodes[-1:]])
    new = np.interp(wanted, travelled, positions)
    # the nodes themselves exactly, whatever rounding did to them
    for node in range(nodes):
        new[np.argmin(np.abs(wanted - at_nodes[node]))] = node
    return new


def refined(positions: np.ndarray, lengths: np.ndarray, steps: int) -> np.ndarray:
    """`steps` + 1 positions at equal distances along the whole path."""
    travelled = np.concatenate([[0.0], np.cumsum(lengths)])
    return np.interp(np.linspace(0.0, travelled[-1], steps + 1), travelled, positions)
