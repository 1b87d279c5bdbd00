"""Negative particles from replica exchange: along temperatures, or along the history of training itself."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from harmonium import checks, processes
from harmonium.learning.negative_phase import NegativePhase
from harmonium.learning.negatives import blocks_of
from harmonium.learning.particles import Particles, equally_weighted
from harmonium.likelihood.schedule import refined
from harmonium.models import EnergyModel, uncoupled
from harmonium.random import Address, Purpose
from harmonium.sampling.chains import State
from harmonium.sampling.segments import Segment
from harmonium.sampling.tempering import Exchange, Ladder, Replicas

RESPACE = 50  # updates between two looks at where the rungs of a tempered path should be
NODE = "node."


class TemperedChains(NegativePhase):
    """Parallel tempering: persistent chains at several points of the path from independent units to the
    model, which exchange places (Desjardins et al. 2010; Cho, Raiko & Ilin 2010).

    The path starts from independent units with the means of the rows that `begin` is given, or else from
    those of the model as first seen, uncoupled. A chain that gets there forgets all and comes back elsewhere.
    The rungs move to equal distances as training goes on. Only the chains at the model become negative
    particles: the other rungs are the price.

    Args:
        chains: how many sets of replicas, hence negative particles.
        rungs: points of the path, with both ends.
        k: exchanges, each followed by a sweep, between two updates.
        seed: of everything.

    Attributes:
        replicas: where all of them are; None before the first draw.
        squares: running squared distance between neighbouring rungs (see `likelihood.schedule`), (rungs-1,);
            a share erfc(√square / 2) of the exchanges succeeds.
    """

    n: int
    k: int
    divides = True
    memory = 0.05  # weight of the newest exchange in the running distances

    def __init__(self, chains: int = 64, rungs: int = 8, k: int = 2, seed: int = 0) -> None:
        self.n = checks.positive_integer("chains", chains)
        self.k = checks.positive_integer("k", k)
        self.seed = checks.seed("seed", seed)
        self.positions = np.linspace(0.0, 1.0, checks.integer("rungs", rungs, low=2))
        self.squares = np.ones(len(self.positions) - 1)
        self.replicas: Replicas | None = None
        self.updates = 0
        self._nodes: list[EnergyModel] = []
        self._stored: list[dict[str, Tensor]] = []  # parameters of nodes that a checkpoint has brought back
        self._exchange: Exchange | None = None

    @property
    def at_model(self) -> State | None:
        """The states at the model, once there are any; from update to update a row is another replica's."""
        return None if self.replicas is None else self.replicas.at_rung(len(self.positions) - 1)

    @torch.no_grad()
    def begin(self, model: EnergyModel, rows: Tensor) -> None:
        if not self._nodes and not self._stored and model.named_blocks:
            self._nodes = [_independent_of(model, rows)]

    @torch.no_grad()
    def draw(self, model: EnergyModel, data: Particles, step: int) -> Particles:
        exchange, works = self._prepared(model), []
        for _ in range(self.k):
            assert self.replicas is not None  # as just prepared
            self.replicas, work = exchange.step(self.replicas)
            works.append(work)
        self._measure(works)
        self.updates += 1
        self._adapt(model)
        assert self.at_model is not None
        return equally_weighted(*self.at_model, of=self.n, chain=self._own.start)

    @property
    def _own(self) -> slice:
        """This process's sets of replicas."""
        return processes.share_of("chains", self.n)

    def _prepared(self, model: EnergyModel) -> Exchange:
        if not self._nodes:
            self._nodes = [uncoupled(_frozen(model)), *(_frozen(model) for _ in self._stored[1:])]
            for node, parameters in zip(self._nodes, self._stored, strict=False):
                node.load_state_dict(parameters)
        if self.replicas is None:
            self._scatter(model, Address(self.seed, Purpose.CHAIN))
        if self._exchange is None or self._exchange.ladder.nodes[-1] is not model:
            self._exchange = Exchange(
                Ladder((*self._nodes, model), self.positions), processes.size(self._own), self.seed
            )
        return self._exchange

    def restart(self, model: EnergyModel, rows: Tensor) -> None:
        if self.replicas is not None:
            self._scatter(model, self.replicas.address)

    def _scatter(self, model: EnergyModel, address: Address) -> None:
        """Put all replicas anywhere, from an address on."""
        rungs, sets = len(self.positions), processes.size(self._own)
        address = address.at(chain=self._own.start * rungs)
        state = model.random_state(sets * rungs, address)
        rung = np.tile(np.arange(rungs), (sets, 1))
        self.replicas = Replicas(state, rung, address.at(step=address.step + 1))

    def _measure(self, works: Sequence[np.ndarray]) -> None:
        """Let the running distances follow the works of exchanges, (sets, rungs) each."""
        pairs_of = [(work[:, :-1] + work[:, 1:]).sum(0) for work in works]
        sums = torch.from_numpy(np.stack(pairs_of))
        processes.add_([sums])
        for both in sums.numpy() / self.n:
            first = int(np.isnan(both[0]))  # pairs (0, 1), (2, 3), … or (1, 2), (3, 4), … were looked at
            pairs = np.arange(first, len(both), 2)
            self.squares[pairs] += self.memory * (np.maximum(both[pairs], 0.0) - self.squares[pairs])

    def _adapt(self, model: EnergyModel) -> None:
        """Move the rungs to equal distances."""
        if self.updates % RESPACE == 0:
            lengths = np.sqrt(np.maximum(self.squares, 1e-4))
            self.positions = refined(self.positions, lengths, len(lengths))
            self.positions[[0, -1]] = 0.0, 1.0
            self.squares[:] = lengths.mean() ** 2
            self._exchange = None

    def state_dict(self) -> dict[str, Tensor]:
        """Replicas, where they are and when, rungs and the models at nodes."""
        if self.replicas is None:
            return {}
        state = {f"block.{i}": processes.gather(x) for i, x in enumerate(self.replicas.state)}
        nodes = [node.state_dict() for node in self._nodes] or self._stored
        for i, node in enumerate(nodes):
            state |= {f"{NODE}{i}.{name}": p for name, p in node.items()}
        return state | {
            "rung": torch.from_numpy(processes.gather_array(self.replicas.rung)),
            "numbers": torch.tensor([self.replicas.address.step, self.updates, self.k, len(nodes)]),
            "positions": torch.from_numpy(self.positions),
            "squares": torch.from_numpy(self.squares),
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        if not state:
            return
        step, self.updates, self.k, nodes = state["numbers"].tolist()
        rung, own = state["rung"].numpy()[self._own].copy(), self._own
        rows = slice(own.start * rung.shape[1], own.stop * rung.shape[1])
        address = Address(self.seed, Purpose.CHAIN, step, chain=rows.start)
        self.replicas = Replicas(tuple(x[rows] for x in blocks_of(state)), rung, address)
        self.positions, self.squares = (state[k].numpy().copy() for k in ("positions", "squares"))
        starts = [f"{NODE}{i}." for i in range(nodes)]
        self._stored = [{k.removeprefix(s): p for k, p in state.items() if k.startswith(s)} for s in starts]
        self._nodes, self._exchange = [], None


class TrajectoryChains(TemperedChains):
    """Trajectory tempering: the rungs are models that training has passed through (Béreux et al. 2025).

    Neighbours t and t+1 exchange their states x, y with probability
    min(1, exp(Fₜ(x) + Fₜ₊₁(y) - Fₜ(y) - Fₜ₊₁(x))). Training finds modes one after another, so along its own
    history the way from one to the next is short where a path of temperatures meets a phase transition.

    The first rung is the model as first seen, uncoupled. Whenever the model has come further from the last
    checkpoint than `spacing`, a copy of it becomes the next one; detours of training are cut short then.

    Args:
        chains: how many sets of replicas, hence negative particles.
        k: exchanges, each followed by a sweep, between two updates.
        seed: of everything.
        spacing: distance between rungs (see `TemperedChains.squares`); at 1.2, 40 % of the exchanges succeed.
        limit: the largest number of rungs; beyond it the checkpoint that is missed least is dropped.
    """

    divides = False
    memory = 0.3  # a model that learns fast leaves its last checkpoint within a few updates

    def __init__(
        self, chains: int = 64, k: int = 2, seed: int = 0, spacing: float = 1.2, limit: int = 16
    ) -> None:
        super().__init__(chains, 2, k, seed)
        self.squares = np.zeros(1)
        self.spacing = checks.positive("spacing", spacing)
        self.limit = checks.integer("limit", limit, low=3)

    def restart(self, model: EnergyModel, rows: Tensor) -> None:
        if self.replicas is not None:  # the way leads through models that are given up: back to its beginning
            self.positions, self.squares = np.linspace(0.0, 1.0, 2), np.zeros(1)
            self._nodes, self._exchange = self._nodes[:1], None
            self._stored = self._stored[:1]
            super().restart(model, rows)

    def _adapt(self, model: EnergyModel) -> None:
        """Keep the present model when it has come far enough; new replicas start as the last ones."""
        if self.squares[-1] <= self.spacing**2:
            return
        assert self.replicas is not None
        states = [self.replicas.at_rung(k) for k in range(len(self.positions))]
        kept = self._needed(model, states)
        self._nodes = [*(self._nodes[k] for k in kept), _frozen(model)]
        states = [*(states[k] for k in kept), states[-1], states[-1]]
        self.positions = np.arange(len(states), dtype=np.float64)
        state = tuple(torch.stack(blocks, 1).flatten(0, 1) for blocks in zip(*states, strict=True))
        rung = np.tile(np.arange(len(states)), (self.n, 1))
        self.replicas = Replicas(state, rung, self.replicas.address)
        self._exchange = None

    def _needed(self, model: EnergyModel, states: list[State]) -> list[int]:
        """The checkpoints that the way to `model` still leads over; sets the distances on that way."""
        pairs = zip(self._nodes, states[:-1], strict=True)
        squares = [square_distance(node, x, model, states[-1]) for node, x in pairs]
        # training wanders: what lies behind a checkpoint from where the model is as near is a detour
        last = int(np.flatnonzero(np.array(squares) <= max(squares[-1], self.spacing**2))[0])
        kept, lengths = list(range(last + 1)), np.sqrt([*self.squares[:last], squares[last]])
        while len(kept) + 2 > self.limit:
            missed = lengths[:-1] + lengths[1:]
            k = int(np.argmin(missed))
            del kept[k + 1]
            lengths = np.concatenate([lengths[:k], [missed[k]], lengths[k + 2 :]])
        self.squares = np.append(lengths**2, 0.0)
        return kept


def square_distance(a: EnergyModel, at_a: State, b: EnergyModel, at_b: State) -> float:
    """The symmetrised divergence of two models from states of both: what an exchange has to pay, nats."""
    piece = Segment(a, b)
    zero, one = (at_a[0].new_full((len(at_a[0]), 1), beta) for beta in (0.0, 1.0))
    there, back = piece.look(at_a).work(zero, one), piece.look(at_b).work(one, zero)
    return max(float(there.mean() + back.mean()), 0.0)


def _frozen(model: EnergyModel) -> EnergyModel:
    return copy.deepcopy(model).requires_grad_(False)


def _independent_of(model: EnergyModel, rows: Tensor) -> EnergyModel:
    """Independent units with the means of rows; a trained model's own where no such units fit the rows."""
    own = uncoupled(_frozen(model))
    units = copy.deepcopy(own)
    visible, *hidden = units.named_blocks
    for layer in hidden:
        layer.bias.zero_()
    try:
        visible.match(rows)
    except ValueError:  # constant real columns
        return own
    return units
