"""Markov random fields to test on, and the table of their potentials summed."""

import itertools

import networkx as nx
import numpy as np
import torch

from harmonium.models import MarkovRandomField


def random_field(seed, variables=6, scale=1.0, cliques=7, largest=4):
    """Mixed cardinalities, cliques of up to four variables in any order, a constant."""
    rng = np.random.default_rng(seed)
    states = [int(q) for q in rng.integers(1 if seed % 3 == 0 else 2, 5, size=variables)]
    factors = [((), rng.normal(size=()))]
    for _ in range(cliques):
        scope = tuple(int(v) for v in rng.permutation(variables)[: rng.integers(1, largest + 1)])
        factors.append((scope, scale * rng.normal(size=[states[v] for v in scope])))
    return MarkovRandomField(states, factors)


def log_table(field):
    """Σ of the log-potentials for every joint state, one axis per variable, term by term."""
    states = field.cardinalities
    table = np.zeros(states)
    place = {name: k for k, name in enumerate(field.variables)}
    factors = [([place[v] for v in scope], t.numpy()) for scope, t in field.factors]
    for x in itertools.product(*(range(q) for q in states)):
        table[x] = sum(t[tuple(x[k] for k in scope)] for scope, t in factors)
    return torch.from_numpy(table)


FIELDS = {
    "tables": lambda: random_field(2, variables=4, cliques=5, largest=3),
    "single states": lambda: random_field(0, variables=5, cliques=5, largest=3),
    "pairs": lambda: MarkovRandomField(
        [2] * 4,
        [
            ((0, 1), [[0.3, -1], [0.2, 1]]),
            ((3, 1), [[1, 0], [0.5, 2]]),
            ((2,), [0.1, 1.0]),
            ((2, 3), [[1, 0], [0, 1]]),
        ],
    ),
    "ising": lambda: MarkovRandomField.ising(nx.cycle_graph(5), 0.6, 0.2),
}
