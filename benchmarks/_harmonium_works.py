"""harmonium's pieces of work, by its public parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from _inputs import N_ROWS, grid_tables, lattice, rows
from _serve import Work, serve

import harmonium as hm
from harmonium.kernels.processor import path
from harmonium.learning import Batches, Centring, GradientDescent, Learner, NaturalGradient, PersistentChains
from harmonium.likelihood.annealing import annealed_importance_sampling
from harmonium.models.intake import rows_of
from harmonium.random import Address, Purpose
from harmonium.sampling import BlockGibbs, GraphGibbs, initial_chains

TRANSFORMS = {"plain": (), "centred": (Centring,), "natural": (NaturalGradient,)}


def machine(visible: int, hidden: int, states: int = 2, scale: float = 0.05) -> hm.RBM:
    """An RBM with couplings of standard deviation `scale`; one-hot sites for more than two states."""
    layer = hm.Bernoulli(visible) if states == 2 else hm.Categorical(visible, states=states)
    rbm = hm.RBM(visible=layer, hidden=hm.Bernoulli(hidden))
    with torch.no_grad():
        rbm.weight.copy_(torch.from_numpy(np.random.default_rng(0).normal(0.0, scale, rbm.weight.shape)))
    return rbm


def update(
    visible: int,
    hidden: int,
    *,
    batch: int = 256,
    k: int = 1,
    gradient: str = "centred",
    states: int = 2,
) -> Work:
    """One update of PCD-k with as many chains as rows in a batch: both phases, k sweeps, the optimiser's
    step.
    """
    rbm = machine(visible, hidden, states, 0.01)
    data = rows_of(rbm, rows(N_ROWS, visible, states), "rows")
    learner = Learner(
        rbm,
        Batches(data.x, batch, data.prepare),
        PersistentChains(batch, k),
        GradientDescent(rbm.parameters(), lr=0.01),
        [transform() for transform in TRANSFORMS[gradient]],
    )
    step = 0

    def work() -> None:
        nonlocal step
        learner.update(step)
        step += 1

    return work


def epoch(n_rows: int, visible: int, hidden: int, batch: int = 256) -> Work:
    """As many updates of PCD-1 as it takes to see all rows once."""
    rbm = machine(visible, hidden, scale=0.01)
    data = rows_of(rbm, rows(n_rows, visible), "rows")
    batches = Batches(data.x, batch, data.prepare)
    optimiser = GradientDescent(rbm.parameters(), lr=0.01)
    learner = Learner(rbm, batches, PersistentChains(batch), optimiser, [Centring()])
    count = 0

    def work() -> None:
        nonlocal count
        for step in range(count, count + batches.per_epoch):
            learner.update(step)
        count += batches.per_epoch

    return work


def sweep(visible: int, hidden: int, *, chains: int, states: int = 2, k: int = 10) -> Work:
    """k Gibbs sweeps in one call."""
    rbm, kernel = machine(visible, hidden, states), BlockGibbs(sweeps=k)
    state = initial_chains(rbm, chains, Address(0, Purpose.TRIAL))

    def work() -> None:
        nonlocal state
        state = kernel(rbm, state)

    return work


def products(visible: int, hidden: int, *, chains: int, k: int = 10, split: bool = False) -> Work:
    """The matrix products of k sweeps through torch and nothing else.

    In float32, or as exact states times weights split into two bfloat16 numbers each, summed in float32.
    """
    weight = machine(visible, hidden).weight.detach()
    v = torch.from_numpy(rows(chains, visible)).float()
    h = torch.from_numpy(rows(chains, hidden)).float()
    right, left = weight, weight.T
    if split:
        torch.set_float32_matmul_precision("medium")
        high = weight.bfloat16().float()
        low = weight - high
        v, h = torch.cat([v, v], 1), torch.cat([h, h], 1)
        right, left = torch.cat([high, low]), torch.cat([high, low], 1).T.contiguous()
    up, down = torch.empty(chains, hidden), torch.empty(chains, visible)

    def work() -> None:
        for _ in range(k):
            torch.mm(v, right, out=up)
            torch.mm(h, left, out=down)

    return work


def annealing(visible: int, hidden: int, *, chains: int, temperatures: int) -> Work:
    """log Z by annealed importance sampling."""
    rbm = machine(visible, hidden)
    return lambda: annealed_importance_sampling(rbm, temperatures, chains).value


def exact(visible: int, hidden: int) -> Work:
    """log Z by summing over the states of the hidden units."""
    rbm = machine(visible, hidden)
    return lambda: hm.log_partition(rbm, method="exact").value


def ising(side: int, *, chains: int, sweeps: int, coupling: float) -> Work:
    """Sweeps over an Ising grid with free edges; the value is the energy per site."""
    field = hm.MarkovRandomField.ising(lattice(side), coupling)
    kernel = GraphGibbs(sweeps=sweeps)
    state = initial_chains(field, chains, Address(0, Purpose.TRIAL))

    def work() -> float:
        nonlocal state
        state = kernel(field, state)
        up = 2.0 * state.visible.reshape(chains, side, side) - 1.0  # as thrml's worker does it
        total = (up[:, 1:] * up[:, :-1]).sum() + (up[:, :, 1:] * up[:, :, :-1]).sum()
        return float(-coupling * total) / chains / side**2

    return work


def contraction(side: int, states: int) -> Work:
    """log Z of a grid, with the elimination order found anew each time."""
    edges, tables = grid_tables(side, states)
    factors = [(tuple(edge), table) for edge, table in zip(edges.tolist(), tables, strict=True)]
    return lambda: float(hm.MarkovRandomField([states] * side**2, factors).log_partition())


def grid(side: int, networkx: bool) -> Work:
    """Building an Ising grid, its colours included, from an array of edges or a networkx graph."""
    graph = lattice(side)
    if networkx:
        import networkx as nx

        graph = nx.grid_2d_graph(side, side)

    def work() -> None:
        hm.MarkovRandomField.ising(graph, 0.4).flat.pairs()

    return work


class Chain(hm.EnergyModel):
    """A user's own energy: neighbours on a line attract each other."""

    def __init__(self, n: int) -> None:
        super().__init__(states=[2] * n)
        self.coupling = torch.nn.Parameter(torch.tensor(0.5))

    def energy(self, x: torch.Tensor) -> torch.Tensor:
        """E(x), (batch,)."""
        s = 2.0 * x - 1.0
        return -self.coupling * (s[:, 1:] * s[:, :-1]).sum(-1)


def enumeration(n: int) -> Work:
    """log Z of a user's own energy over all 2ⁿ states."""
    model = Chain(n)
    return lambda: float(hm.log_partition(model).value)


def with_path(make: Callable[..., Work]) -> Callable[..., Work]:
    """The same, telling which products its sweeps ran on."""

    def made(**settings: Any) -> Work:
        work = make(**settings)
        work.path = path()  # type: ignore[attr-defined]
        return work

    return made


if __name__ == "__main__":
    works = (update, epoch, sweep, products, annealing, exact, ising, contraction, grid, enumeration)
    on_rbms = (update, epoch, sweep, annealing)
    serve({work.__name__: with_path(work) if work in on_rbms else work for work in works})
