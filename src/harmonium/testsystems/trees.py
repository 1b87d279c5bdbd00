"""Spins on a random tree: messages from the leaves to the root sum over all states, and back they draw."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from harmonium import checks
from harmonium.models import MarkovRandomField
from harmonium.testsystems.known import KnownModel, check, chosen, normal, uniforms

SPINS = torch.tensor([-1.0, 1.0], dtype=torch.float64)


def tree(n: int, coupling: float, field: float = 0.0, seed: int = 0) -> KnownModel:
    """A random recursive tree of n spins, as a Markov random field of states 0 (spin -1) and 1 (spin +1).

    Every spin but the first hangs on one that came before it. Couplings and fields are normal numbers of
    these standard deviations. In no field log Z = n log 2 + Σ log cosh K.
    """
    import networkx as nx

    check({"n": n}, {"coupling": coupling, "field": field})
    checks.seed("seed", seed)
    order = torch.arange(1, n)
    parent = (uniforms(seed, 1, n - 1, 1)[:, 0] * order).long() if n > 1 else order
    k = coupling * normal(seed, n, 2)[:, 0].double()
    h = field * normal(seed, n, 2)[:, 1].double()
    graph = nx.Graph()
    graph.add_nodes_from(range(n))
    edges = {(int(parent[i - 1]), i): float(k[i]) for i in range(1, n)}
    graph.add_edges_from(edges)
    model = MarkovRandomField.ising(graph, edges, {i: float(h[i]) for i in range(n)})
    own = SPINS * h[:, None]  # log weight of each state, and of all that hangs on it
    pair = k[:, None, None] * torch.outer(SPINS, SPINS)
    for i in range(n - 1, 0, -1):
        own[parent[i - 1]] += torch.logsumexp(pair[i] + own[i], 1)
    log_z = float(torch.logsumexp(own[0], 0))
    marginal = torch.softmax(own[:1], 1).repeat(n, 1)
    energy = 0.0
    for i in range(1, n):
        joint = marginal[parent[i - 1]][:, None] * torch.softmax(pair[i] + own[i], 1)
        marginal[i] = joint.sum(0)
        energy -= float((joint * pair[i]).sum())
    energy -= float((marginal @ SPINS) @ h)

    def draw(rows: int, seed: int) -> Tensor:
        u = uniforms(seed, 0, rows, n)
        state = torch.zeros(rows, n, dtype=torch.long)
        state[:, 0] = chosen(marginal[:1], u[:, 0])
        for i in range(1, n):
            state[:, i] = chosen(torch.softmax(pair[i] + own[i], 1)[state[:, parent[i - 1]]], u[:, i])
        return state

    assert math.isfinite(log_z)
    return KnownModel(model, log_z, marginal[:, 1], energy, draw)
