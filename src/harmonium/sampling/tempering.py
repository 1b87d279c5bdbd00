"""Replica exchange (parallel tempering) along a path of models.

Replicas of the chain live at the rungs of a ladder, a sequence of points on a path from a model that is easy
to sample to the one that is wanted, and neighbours exchange their places with the Metropolis rule. A chain
stuck in a mode can so climb to where modes are connected and come back elsewhere (Geyer 1991; Hukushima &
Nemoto 1996). Even and odd pairs take turns, which makes a replica travel in a straight line instead of
diffusing (Okabe et al. 2001; Syed et al. 2022).

One block is summed out in every exchange: what has to agree between neighbours is the free energy of the
other blocks, which overlaps more than the joint energy does.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import singledispatch

import numpy as np
import torch
from torch import Tensor

from harmonium import kernels, processes
from harmonium.models import BlockModel, EnergyModel, PairwiseModel, Reference
from harmonium.random import Address, Purpose
from harmonium.sampling.chains import Chains, Clamp, State
from harmonium.sampling.segments import Segment

SWAP_BLOCK = 64  # sweeps whose exchanges are drawn together


@singledispatch
def broad(model: EnergyModel) -> EnergyModel:
    """Independent variables, uniform where states are bounded: the path from there is a tempering of E.

    Models with blocks keep their units, without the biases; for all others it is their `Reference`.
    """
    return Reference(model)


@broad.register(BlockModel)
def _(model: BlockModel) -> PairwiseModel:
    layers = [copy.deepcopy(layer) for layer in model.layers]
    for layer in layers:
        torch.nn.init.zeros_(layer.bias)
    return PairwiseModel(*layers)


@dataclass(frozen=True)
class Ladder:
    """Rungs on a path through `nodes`, models over the same layers.

    Attributes:
        nodes: the models that the path joins by straight pieces.
        positions: increasing float64 numbers from 0 (the first node) to len(nodes) - 1 (the last); every node
            is a rung, so that two neighbours always lie on one straight piece.
    """

    nodes: tuple[EnergyModel, ...]
    positions: np.ndarray
    clamp: Clamp | None = None

    def __post_init__(self) -> None:
        if (
            not np.isin(np.arange(len(self.nodes)), self.positions).all()
            or (np.diff(self.positions) <= 0).any()
        ):
            raise ValueError("positions: expected increasing numbers that include those of all nodes.")

    def __len__(self) -> int:
        return len(self.positions)

    def pieces(self, pair: np.ndarray) -> np.ndarray:
        """The straight piece on which each rung lies together with its partner, (rungs,)."""
        k = np.arange(len(self))
        lower = np.where(pair == k, np.maximum(k - 1, 0), np.minimum(pair, k))
        return np.floor(self.positions[lower] + 1e-12).astype(int)


@dataclass(frozen=True)
class Replicas:
    """Chains on a ladder: `groups` independent sets of one replica for each rung.

    Attributes:
        state: one (groups · rungs, width) tensor per block; row g·rungs + r is replica r of group g.
        rung: int, (groups, rungs): where each replica is.
        address: where the next draws live; the chain of row k is `address.chain` + k, and the first group is
            number `address.chain` / rungs of all that there are.
    """

    state: State
    rung: np.ndarray
    address: Address

    @property
    def first_row(self) -> int:
        """The number of the first row among all that there are."""
        assert isinstance(self.address.chain, int)  # rows are neighbours
        return self.address.chain

    def of_groups(self, some: slice) -> Replicas:
        """Those of neighbouring groups."""
        rungs = self.rung.shape[1]
        rows = slice(some.start * rungs, some.stop * rungs)
        address = self.address.at(chain=self.first_row + rows.start)
        return Replicas(tuple(x[rows] for x in self.state), self.rung[some], address)

    def at_rung(self, k: int) -> State:
        """The states at rung `k`, one row for each group."""
        groups, rungs = self.rung.shape
        rows = np.arange(groups) * rungs + np.argmax(self.rung == k, axis=1)
        return tuple(x[torch.from_numpy(rows).to(x.device)] for x in self.state)

    def sorted(self) -> State:
        """The states with row g·rungs + k at rung k."""
        groups, rungs = self.rung.shape
        rows = (np.argsort(self.rung, axis=1) + np.arange(groups)[:, None] * rungs).ravel()
        return tuple(x[torch.from_numpy(rows).to(x.device)] for x in self.state)


def partners(rungs: int, parity: int) -> np.ndarray:
    """The rung with which each rung may exchange: pairs (0,1), (2,3), … or (1,2), (3,4), …; itself where
    unpaired.
    """
    k = np.arange(rungs)
    other = np.where(k % 2 == parity, k + 1, k - 1)
    return np.where((other < 0) | (other >= rungs), k, other)


class Exchange:
    """Moves replicas: one exchange between neighbouring rungs, then one Gibbs sweep, per call of `step`.

    Args:
        ladder: the rungs.
        groups: number of independent sets of replicas.
        seed: of the exchanges.

    Attributes:
        round_trips: journeys of a replica from the last rung to the first, all groups together.
    """

    def __init__(self, ladder: Ladder, groups: int, seed: int) -> None:
        self.ladder, self.groups = ladder, groups
        self.round_trips = 0
        self._been_at_end = np.zeros((groups, len(ladder)), dtype=bool)
        self._swaps = Address(seed, Purpose.SWAP)
        self._drawn: tuple[tuple[int, int, int], np.ndarray] | None = None
        if ladder.clamp is not None and len(ladder.nodes) > 2:
            raise ValueError("ladder: expected two nodes where visible variables are clamped.")
        self._segments = [
            Segment(a, b, ladder.clamp) for a, b in zip(ladder.nodes[:-1], ladder.nodes[1:], strict=True)
        ]
        self._pairs = [(pair, ladder.pieces(pair)) for pair in (partners(len(ladder), p) for p in (0, 1))]

    def _uniforms(self, replicas: Replicas) -> np.ndarray:
        """One uniform for each group and rung at this step, (groups, rungs); drawn many steps at a time."""
        rungs, step = len(self.ladder), replicas.address.step
        which = step // SWAP_BLOCK, replicas.first_row // rungs, len(replicas.rung)
        if self._drawn is None or self._drawn[0] != which:
            here = self._swaps.at(step=which[0], chain=which[1])
            u = kernels.uniform(here, (which[2], rungs * SWAP_BLOCK), torch.float64, "cpu")
            self._drawn = (which, np.log(u.numpy()).reshape(-1, SWAP_BLOCK, rungs))
        return self._drawn[1][:, step % SWAP_BLOCK]

    @torch.no_grad()
    def step(self, replicas: Replicas) -> tuple[Replicas, np.ndarray]:
        """One exchange and one sweep.

        Returns:
            The replicas, and the work (groups, rungs): at rung k, the free energy at its partner rung minus
            that at k, of the state that was there before the exchange; NaN where k had no partner.
        """
        ladder, rung, address = self.ladder, replicas.rung, replicas.address
        pair, piece = self._pairs[address.step % 2]
        here, there = ladder.positions[rung], ladder.positions[pair[rung]]
        work = np.empty(rung.size)
        parts = []
        for k, between in enumerate(self._segments):
            rows = None if len(self._segments) == 1 else np.flatnonzero(piece[rung] == k)
            if rows is None or len(rows):
                parts.append(_Part(between, k, replicas.state, rows))
                work[parts[-1].rows] = parts[-1].work(here, there)
        new_rung, by_rung = _exchange(rung, work.reshape(rung.shape), pair, self._uniforms(replicas))
        state = _sweep(parts, replicas.state, ladder.positions[new_rung], address)
        self._track(new_rung)
        return Replicas(state, new_rung, address.at(step=address.step + 1)), by_rung

    def steps(self, replicas: Replicas, sweeps: int) -> tuple[Replicas, list[np.ndarray]]:
        """So many calls of `step`, and the work of each; the groups are divided among the processes, and
        afterwards each knows all of them.
        """
        if processes.count() > 1 and all(between.divides for between in self._segments):
            return self._divided(replicas, sweeps)
        works = []
        for _ in range(sweeps):
            replicas, work = self.step(replicas)
            works.append(work)
        return replicas, works

    def _divided(self, replicas: Replicas, sweeps: int) -> tuple[Replicas, list[np.ndarray]]:
        own, rungs, been = processes.share(self.groups), len(self.ladder), self._been_at_end
        part, works, trips = replicas.of_groups(own), [], self.round_trips
        self._been_at_end = been[own]
        for _ in range(sweeps if processes.size(own) else 0):
            part, work = self.step(part)
            works.append(work)
        by_group = np.array(works).reshape(sweeps, -1, rungs).swapaxes(0, 1)
        all_works = processes.gather_array(by_group).swapaxes(0, 1)
        self._been_at_end = processes.gather_array(self._been_at_end)
        self.round_trips = trips + int(processes.gather_array(np.array([self.round_trips - trips])).sum())
        state = tuple(processes.gather(x) for x in part.state)
        address = replicas.address.at(step=replicas.address.step + sweeps)
        return Replicas(state, processes.gather_array(part.rung), address), list(all_works)

    def _track(self, rung: np.ndarray) -> None:
        self._been_at_end |= rung == len(self.ladder) - 1
        home = self._been_at_end & (rung == 0)
        self.round_trips += int(home.sum())
        self._been_at_end &= ~home


def _exchange(
    rung: np.ndarray, work: np.ndarray, pair: np.ndarray, log_u: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(where each replica is afterwards, the work by rung)."""
    rungs = rung.shape[1]
    replica = np.argsort(rung, axis=1)  # the replica at each rung
    by_rung = np.take_along_axis(work, replica, 1)
    lower = np.minimum(np.arange(rungs), pair)
    # the work of both partners enters; one uniform, the lower rung's, decides for both
    accept = (log_u[:, lower] < -(by_rung + by_rung[:, pair])) & (pair != np.arange(rungs))
    moved = np.where(accept, pair, np.arange(rungs))
    by_rung = np.where(pair == np.arange(rungs), np.nan, by_rung)
    return np.take_along_axis(moved, rung, 1), by_rung


class _Part:
    """Replicas that lie on one straight piece, with what both ends of it say about them.

    `rows` says which they are; None means all.
    """

    def __init__(self, segment: Segment, piece: int, state: State, rows: np.ndarray | None) -> None:
        self.piece = piece
        self.rows: np.ndarray | slice = slice(None) if rows is None else rows
        self.index = None if rows is None else torch.from_numpy(rows).to(state[0].device)
        self.like = state[0]
        self.view = segment.look(state if self.index is None else tuple(x[self.index] for x in state))

    def beta(self, positions: np.ndarray) -> Tensor:
        """Positions on the path as positions on this piece, (rows, 1)."""
        local = torch.from_numpy(positions.reshape(-1, 1)[self.rows] - self.piece)
        return local.to(device=self.like.device, dtype=self.like.dtype)

    def work(self, here: np.ndarray, there: np.ndarray) -> np.ndarray:
        """Free energy there minus here, (rows,), nats."""
        return self.view.work(self.beta(here), self.beta(there)).cpu().numpy()

    def sweep(self, positions: np.ndarray, address: Address) -> State:
        """My rows after one sweep."""
        assert isinstance(address.chain, int)  # as that of all replicas is
        here = address if self.index is None else address.at(chain=address.chain + self.rows)  # type: ignore[operator]
        return self.view.sweep(self.beta(positions), here)


def _sweep(parts: list[_Part], state: State, positions: np.ndarray, address: Address) -> State:
    """One sweep of every row at its position."""
    if parts[0].index is None:
        return parts[0].sweep(positions, address)
    new = tuple(x.clone() for x in state)
    for part in parts:
        for whole, rows in zip(new, part.sweep(positions, address), strict=True):
            whole[part.index] = rows
    return new


@dataclass(frozen=True)
class ParallelTempering:
    """Replica exchange as a kernel: chains at several temperatures of the path to the model, which exchange.

    The rows of its chains are groups of replicas: row g·rungs + k is at rung k, the last rung of each group
    at the model itself. What stays invariant is the product of the distributions at all rungs; `at_model`
    picks the rows that follow the model. `info` reports `swap_rate`, the share of exchanges that succeeded.

    Attributes:
        positions: β of the rungs, increasing from 0 to 1.
        start: the model at β = 0, the broad one by default (uniform where states are bounded).
        sweeps: exchanges, each followed by a sweep, made by one call.

    >>> import harmonium as hm
    >>> rbm = hm.RBM(visible=hm.Bernoulli(4), hidden=hm.Bernoulli(2))
    >>> temper = ParallelTempering((0.0, 0.5, 1.0))
    >>> chains = temper.begin(rbm, groups=5, address=Address(seed=0, purpose=Purpose.CHAIN))
    >>> temper.at_model(temper(rbm, chains)).shape
    torch.Size([5, 4])
    """

    positions: tuple[float, ...]
    start: EnergyModel | None = None
    sweeps: int = 1

    def begin(self, model: EnergyModel, groups: int, address: Address) -> Chains:
        """Chains at the start of the path, `groups` for every rung; their next draws live one step later."""
        state = self._start(model).random_state(groups * len(self.positions), address)
        return Chains(state, address.at(step=address.step + 1))

    def at_model(self, chains: Chains) -> Tensor:
        """The visible states of the chains at the model, (groups, n_visible)."""
        return chains.visible[len(self.positions) - 1 :: len(self.positions)]

    def _start(self, model: EnergyModel) -> EnergyModel:
        return broad(model) if self.start is None else self.start

    @torch.no_grad()
    def __call__(self, model: EnergyModel, chains: Chains) -> Chains:
        rungs = len(self.positions)
        groups, rest = divmod(len(chains), rungs)
        if rest:
            raise ValueError(f"chains: expected a multiple of {rungs} rows, one per rung, got {len(chains)}.")
        ladder = Ladder((self._start(model), model), np.array(self.positions, dtype=np.float64))
        replicas = Replicas(chains.state, np.tile(np.arange(rungs), (groups, 1)), chains.address)
        exchange = Exchange(ladder, groups, chains.address.seed)
        succeeded = tried = 0
        for _ in range(self.sweeps):
            before = replicas.rung
            replicas, work = exchange.step(replicas)
            succeeded += int((replicas.rung != before).sum())
            tried += int(np.isfinite(work).sum())
        rate = succeeded / tried if tried else float("nan")
        return Chains(replicas.sorted(), replicas.address, {"swap_rate": rate})
