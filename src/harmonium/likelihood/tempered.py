"""Replica exchange from both ends, on a ladder that adapts itself to the model."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import singledispatch

import numpy as np
import torch

from harmonium import checks, processes
from harmonium.likelihood import reference, schedule
from harmonium.likelihood.bridge import Bridged, Bridges, bridge
from harmonium.models import BlockModel, EnergyModel, GraphModel, independent
from harmonium.random import Address, Purpose
from harmonium.sampling.chains import State
from harmonium.sampling.tempering import Exchange, Ladder, Replicas, broad

Progress = Callable[[float, str], None]
"""Called with the share of the work done, 0 to 1, and what is being done."""

GROUPS = 16  # independent sets of replicas, half of them started at either end
ROWS = 384  # replicas in all above which there are fewer groups
TUNING = (16, 16, 32, 64)  # sweeps of the rounds that place the rungs
TUNING_SHARE = 0.15  # of the time left, that one of these rounds may take
FEWEST_TUNING = 8
RACE = 96  # sweeps by which the references are compared
GOOD_ENOUGH = 0.03  # nats: a standard error in prospect with which the broad reference, the safest, is kept
SHORTER = 0.8  # share of rungs that a path from another reference may need to be worth measuring
APART = 2.0  # nats of standard deviation between groups
FAR = 2**32  # steps between the addresses of runs that must not share draws
FEWEST_SWEEPS = 32  # measured, however short the time
WANTED_SWEEPS = 256  # for which there are fewer groups when time is short
FEWEST_GROUPS = 8
BURN_INS = 0.25, 0.4, 0.55  # shares of the measured sweeps that may be left out, besides all the tuning
DRIFTS = 1.3  # standard errors from one half of the rest to the other, beyond which more is left out
STUCK = 0.6  # correlation of both halves over the groups above which another reference is refused


@dataclass
class Run:
    """A run of replica exchange; its first half of the groups began at the reference, the second at modes of
    the model.

    Attributes:
        ladder: the rungs.
        replicas: where the chains are now.
        cold: the modes at which the second half began, one for each of its groups.
        works: works by time, (groups, rungs) each, as `Exchange.step` returns them.
        kept: states at the last rung, from all groups and several times.
        round_trips: journeys of a replica from the last rung to the first.
    """

    ladder: Ladder
    replicas: Replicas
    cold: State
    works: list[np.ndarray] = field(default_factory=list)
    kept: list[State] = field(default_factory=list)
    round_trips: int = 0

    @property
    def groups(self) -> int:
        """Number of independent groups."""
        return self.replicas.rung.shape[0]

    @property
    def base(self) -> float:
        """log Z of the reference."""
        closed = self.ladder.nodes[0].closed_form_log_partition()
        assert closed is not None  # independent units have one
        return float(closed)

    def bridges(self, skip: float = 0.0, until: float = 1.0) -> Bridges:
        """The works by pair, of a stretch of the time given in shares of it."""
        first, last = int(skip * len(self.works)), int(until * len(self.works))
        works = np.stack(self.works[first:last])
        start = self.replicas.address.step - len(self.works) + first
        up, down = [], []
        for k in range(works.shape[2] - 1):
            tried = slice((start + k) % 2, None, 2)  # pair (k, k+1) is tried at steps of k's parity
            up.append(works[tried, :, k])
            down.append(works[tried, :, k + 1])
        return Bridges(tuple(up), tuple(down))

    def bridged(self, first: int = 0) -> Bridged:
        """What the pairs from number `first` on add to log Z, without the first part of the run.

        That part is longer where the rest still drifts.
        """
        for skip in BURN_INS:
            result = bridge(self.bridges(skip).pairs(first))
            drift, error = result.drift
            if abs(drift) < DRIFTS * error:
                break
        return result


@dataclass
class Budget:
    """How much work may be done: seconds by the clock, or a fixed number of sweeps' worth of arithmetic.

    The second is what one core of a common server does in `work` seconds, so that a result doesn't depend on
    the machine. The first is reckoned with the pace that was measured so far.
    """

    work: float
    seconds: float | None = None
    progress: Progress | None = None
    begun: float = field(default_factory=time.perf_counter)
    done: float = 0.0
    held_back: float = 0.0

    def __post_init__(self) -> None:
        if self.seconds is not None:
            checks.positive("seconds", self.seconds)
        if self.progress is not None:
            checks.function("progress", self.progress)

    def start(self, model: EnergyModel) -> None:
        """Start the clock, after everything that a run needs has been compiled and loaded."""
        if self.seconds is not None:
            warm_up(model)
            self.begun = time.perf_counter()

    def hold_back(self, share: float) -> None:
        """Keep a share of the whole for later: `spent_up` then comes earlier."""
        self.held_back = share

    @property
    def spent_up(self) -> bool:
        """Whether nothing is left but what is held back."""
        return self.share >= 1.0 - self.held_back

    def spend(self, model: EnergyModel, rows: int, sweeps: int) -> None:
        """Note that `rows` chains have made `sweeps` sweeps."""
        self.done += sweeps * cost(model, rows)

    @property
    def share(self) -> float:
        """Share of the budget used, by the clock of the first process."""
        return self._share if self.seconds is None else processes.from_first(self._share)

    @property
    def _share(self) -> float:
        if self.seconds is not None:
            return (time.perf_counter() - self.begun) / self.seconds
        return self.done / self.work

    def sweeps_left(self, model: EnergyModel, rows: int) -> float:
        """How many more sweeps of `rows` chains the budget allows, without what is held back."""
        left = max(0.0, 1.0 - self.held_back - self.share)
        whole = self.work if self.seconds is None else self.done / max(self.share, 1e-9)
        return left * whole / cost(model, rows)

    def tell(self, doing: str) -> None:
        """Report progress."""
        if self.progress is not None:
            self.progress(min(self._share, 1.0), doing)


def warm_up(model: EnergyModel) -> None:
    """Two exchanges of a handful of replicas, and the library that the interval needs."""
    import scipy.special  # noqa: F401

    start = broad(model)
    here = Address(0, Purpose.START)
    replicas = Replicas(start.random_state(4, here), np.tile(np.arange(2), (2, 1)), here)
    exchange = Exchange(Ladder((start, model), np.array([0.0, 1.0])), 2, seed=0)
    for _ in range(2):
        replicas, _ = exchange.step(replicas)


@singledispatch
def cost(model: EnergyModel, rows: int) -> float:
    """About how many seconds one core needs for a sweep of `rows` chains: products, elementwise work,
    calls.
    """
    spaces = [s for s in (model.visible_space, model.hidden_space) if s is not None]
    energies = sum(q - 1 for s in spaces for q in s.cardinalities) or 60  # of a sweep, or of a trajectory
    return energies * (2.5e-4 + rows * (_parameters(model) + model.visible_space.width) * 1e-9)


@cost.register(BlockModel)
def _(model: BlockModel, rows: int) -> float:
    width = sum(layer.width for layer in model.layers)
    return rows * (_parameters(model) * 7e-11 + width * 8e-9) + 3.5e-4 * len(model.layers)


@cost.register(GraphModel)
def _(model: GraphModel, rows: int) -> float:
    return rows * _parameters(model) * 2e-9 + 2e-3


def _parameters(model: EnergyModel) -> int:
    return sum(p.numel() for p in model.parameters())


def run_exchange(
    model: EnergyModel,
    seed: int,
    budget: Budget,
    known: State | None = None,
    nodes: tuple[EnergyModel, ...] = (),
) -> Run:
    """Place the rungs, choose the reference, and measure until the budget is spent.

    `known` are states of the model from elsewhere (data, say), `nodes` models to pass on the way.
    """
    budget.start(model)
    run = tuned(begin(model, seed, known, nodes), seed, budget)
    if not nodes:
        run = best_reference(model, run, seed, budget)
    run = Run(run.ladder, run.replicas, run.cold)
    measure(run, seed, budget)
    return run


def begin(model: EnergyModel, seed: int, known: State | None, nodes: tuple[EnergyModel, ...] = ()) -> Run:
    """A run at its start, from the broad reference."""
    path = (broad(model), *nodes, model)
    cold = reference.spread(model, reference.modes(model, Address(seed, Purpose.START), known), GROUPS // 2)
    return started(path, cold, seed)


def started(path: tuple[EnergyModel, ...], cold: State, seed: int, step: int = 0) -> Run:
    """Half of the groups at the first model of the path, the other half at these modes of the last, on all
    rungs.
    """
    positions = np.linspace(0.0, len(path) - 1.0, max(16, 4 * len(path)))
    positions = np.union1d(positions.round(9), np.arange(len(path)))
    rungs = len(positions)
    hot = path[0].random_state(GROUPS // 2 * rungs, Address(seed, Purpose.START, step=1000 + step))
    state = tuple(torch.cat([h, c.repeat_interleave(rungs, 0)]) for h, c in zip(hot, cold, strict=True))
    rung = np.tile(np.arange(rungs), (GROUPS, 1))
    address = Address(seed, Purpose.ANNEALING, step=step)
    return Run(Ladder(path, positions), Replicas(state, rung, address), cold)


def advance(run: Run, exchange: Exchange, sweeps: int, budget: Budget, keep: bool = False) -> None:
    """Some more sweeps, recorded in `run`; with `keep` the last states of the last rung are kept."""
    run.replicas, works = exchange.steps(run.replicas, sweeps)
    run.works += works
    budget.spend(run.ladder.nodes[-1], run.groups * len(run.ladder), sweeps)
    if keep:
        run.kept.append(run.replicas.at_rung(len(run.ladder) - 1))
    run.round_trips = exchange.round_trips


def tuned(run: Run, seed: int, budget: Budget, fewest: int = FEWEST_GROUPS) -> Run:
    """Place the rungs in a few short rounds, with fewer groups, if need be, down to so many."""
    for sweeps in TUNING:
        allowed = float(sweeps)  # in the first round, before the pace is known
        if budget.done:
            left = budget.sweeps_left(run.ladder.nodes[-1], run.groups * len(run.ladder))
            allowed = min(allowed, TUNING_SHARE * left)
        if budget.share > 0.4 or allowed < FEWEST_TUNING:
            break
        budget.tell("placing the temperatures")
        advance(run, Exchange(run.ladder, run.groups, seed), int(allowed), budget)
        lengths = schedule.distances(run.bridges(skip=0.5))
        positions = schedule.replaced(run.ladder.positions, lengths, len(run.ladder.nodes))
        groups = affordable_groups(run.groups, len(positions), run.ladder.nodes[-1], budget, fewest)
        run = on_rungs(run, Ladder(run.ladder.nodes, positions), groups)
    return run


def affordable_groups(groups: int, rungs: int, model: EnergyModel, budget: Budget, fewest: int) -> int:
    """At most `groups`, fewer where there are many rungs or little time."""
    for fewer in range(groups, fewest, -2):
        if fewer * rungs <= ROWS and budget.sweeps_left(model, fewer * rungs) >= WANTED_SWEEPS:
            return fewer
    return min(groups, fewest)


def on_rungs(run: Run, ladder: Ladder, groups: int) -> Run:
    """The same chains, or the first of either half of them, on other rungs: each new rung continues from the
    nearest old one.
    """
    half = np.arange(groups // 2)
    keep = np.concatenate([half, run.groups // 2 + half])
    nearest = np.abs(ladder.positions[:, None] - run.ladder.positions).argmin(1)
    rows = (keep[:, None] * len(run.ladder) + nearest).ravel()
    state = tuple(x[torch.from_numpy(rows).to(x.device)] for x in run.replicas.sorted())
    rung = np.tile(np.arange(len(ladder)), (groups, 1))
    return Run(ladder, Replicas(state, rung, run.replicas.address), run.cold)


@singledispatch
def best_reference(model: EnergyModel, run: Run, seed: int, budget: Budget) -> Run:
    """The run, or one from another reference where that promises a much smaller error for the same work.

    A start closer to the model gives a shorter path, but it can also favour one mode so much that others are
    never seen. Therefore another one must agree with the broad start, and its error includes how far the
    groups that began at the modes are from those that began at the reference.

    Models that name no blocks have no other reference.
    """
    return run


@best_reference.register(BlockModel)
def _(model: BlockModel, run: Run, seed: int, budget: Budget) -> Run:
    sweeps_left = budget.sweeps_left(model, run.groups * len(run.ladder))
    if budget.share > 0.3 or sweeps_left < 4 * RACE:
        return run
    advance(run, Exchange(run.ladder, run.groups, seed), RACE, budget, keep=True)
    best, (first, first_error, price) = run, _promise(run)
    sweeps_left = budget.sweeps_left(model, run.groups * len(run.ladder))
    if first_error * np.sqrt(RACE / max(sweeps_left, 1)) < GOOD_ENOUGH:
        return run
    near = reference.matched(model, run.kept[-1], Address(seed, Purpose.START, step=2000))
    for i, start in enumerate((near, independent(model))):
        budget.tell("choosing the reference")
        other = tuned(started((start, model), run.cold, seed, FAR * (i + 1)), seed, budget)
        if len(other.ladder) > SHORTER * len(run.ladder):
            continue
        advance(other, Exchange(other.ladder, other.groups, seed), RACE, budget)
        if other.bridged().persistence > STUCK:
            continue  # its groups keep to modes of their own: the error in prospect would be an illusion
        value, error, other_price = _promise(other)
        # a broad start whose groups are far apart has missed modes itself: then more mass is welcome
        most = 3.0 if first_error * run.groups**0.5 < APART else np.inf
        agrees = -1.0 < (value - first) / np.hypot(error, first_error) < most
        if agrees and other_price < 0.5 * price:
            best, price = other, other_price
    return best


def _promise(run: Run) -> tuple[float, float, float]:
    """(log Z, its standard error, the error's square times the number of replicas)."""
    result = run.bridged()
    error = max(result.stderr, result.naive_variance**0.5)
    return run.base + result.value, error, error**2 * len(run.ladder) * run.groups


def measure(run: Run, seed: int, budget: Budget, target: float = 0.01) -> None:
    """Sweep until the budget is spent; without a limit in seconds also until the standard error is below
    `target`.
    """
    exchange = Exchange(run.ladder, run.groups, seed)
    checkpoint = 512
    while not budget.spent_up or len(run.works) < FEWEST_SWEEPS:
        budget.tell("exchanging replicas")
        left = budget.sweeps_left(run.ladder.nodes[-1], run.groups * len(run.ladder))
        advance(run, exchange, int(min(32, max(left, 4))), budget, keep=True)
        if budget.seconds is None and len(run.works) >= checkpoint:
            checkpoint *= 2
            result = run.bridged()
            if max(result.stderr, result.naive_variance**0.5) < target:
                return
