"""Estimates of log Z with some visible variables clamped, for many rows at once, each at chains of its own.

The path of a row begins at independent units (`UncoupledRows`) whose hidden ones feel what the row tells
already: only what free cells and hidden units do to each other is turned on along it, so that a row of which
little is missing needs few temperatures.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from harmonium.likelihood import schedule
from harmonium.likelihood.bridge import bridge
from harmonium.likelihood.clamped import by_site
from harmonium.likelihood.interval import GUARD, student
from harmonium.likelihood.rows import RowEstimates
from harmonium.likelihood.tempered import Budget, Run, advance
from harmonium.models import EnergyModel, Reference, UncoupledRows, uncoupled_rows
from harmonium.random import Address, Purpose
from harmonium.sampling import Clamp
from harmonium.sampling.chains import State
from harmonium.sampling.free import filled
from harmonium.sampling.segments import Segment
from harmonium.sampling.tempering import Exchange, Ladder, Replicas

GROUPS = 4  # sets of replicas for each row, half of them started at either end
TUNING = (16, 32, 64)
EVEN = np.linspace(0.0, 1.0, 8)  # rungs to begin with
TUNED = 64  # rows, an even choice, for which the rungs are placed
BURN_IN = 0.25
FEWEST, MANY, FEWER = 48, 256, 16  # sweeps measured, however short the time; of many rows fewer will do
COPIES = 2  # annealed chains for each row
TEMPERATURES = (8, 32)  # of these; the second where works scatter by more than
SCATTER = 0.5  # nats²


@dataclass(frozen=True)
class Clamped:
    """Rows of which some visible variables are held.

    Attributes:
        model: the model.
        v: visible states, (rows, n_visible), whole.
        held: bool, likewise.
        start: where paths to them begin.
    """

    model: EnergyModel
    v: Tensor
    held: Tensor
    start: UncoupledRows | Reference

    @classmethod
    def of(cls, model: EnergyModel, v: Tensor, held: Tensor, seed: int) -> Clamped:
        """The same rows, free cells filled in by chains."""
        given = torch.where(held, v, torch.nan)
        v = filled(model, given, Address(seed, Purpose.CLAMP))
        return cls(model, v, held, uncoupled_rows(model, given))

    def part(self, rows: Tensor) -> Clamped:
        """Some of the rows."""
        return Clamped(self.model, self.v[rows], self.held[rows], self.start.part(rows))

    def repeated(self, times: int) -> Clamped:
        """Every row so many times, one after the other."""
        return self.part(torch.arange(len(self.v), device=self.v.device).repeat_interleave(times))

    @property
    def clamp(self) -> Clamp:
        """What holds them."""
        return Clamp(self.held, self.v)

    def random_state(self, address: Address) -> State:
        """Independent draws from the start, what is held excepted."""
        state = self.start.random_state(len(self.v), address)
        return self.clamp.apply(state[0]), *state[1:]

    def base(self) -> Tensor:
        """log Z of the start given what is held, (rows,), float64, nats."""
        free = ~by_site(self.model.visible_space, self.held)
        return self.start.clamped_log_partitions(self.v, self.held, free)


# -- replica exchange for every row ----------------------------------------------------------------------


@torch.no_grad()
def exchanged(model: EnergyModel, v: Tensor, held: Tensor, budget: Budget, seed: int) -> RowEstimates:
    """log Z of every row, by replica exchange with the variables `held` clamped."""
    budget.start(model)
    rows = Clamped.of(model, v, held, seed)
    some = torch.linspace(0, len(v) - 1, min(len(v), TUNED), device=v.device).long()
    run = _tuned(rows.part(some), seed, budget)
    if len(some) < len(v):
        run = _begin(rows, seed, run.ladder.positions)
    run = Run(run.ladder, run.replicas, run.cold)
    exchange = Exchange(run.ladder, run.groups, seed)
    fewest = FEWEST if len(v) <= MANY else FEWER
    while len(run.works) < fewest or not budget.spent_up:
        budget.tell("exchanging replicas")
        left = budget.sweeps_left(model, run.groups * len(run.ladder))
        advance(run, exchange, int(min(32, max(left, 8))), budget)
    budget.tell("done")
    return _estimates(run, rows.base().cpu().numpy(), len(v))


def _ladder(rows: Clamped, positions: np.ndarray) -> tuple[Ladder, Clamped]:
    """(the ladder of all replicas, their rows): groups GROUPS·i … GROUPS·i + 3 belong to row i."""
    each = rows.repeated(GROUPS * len(positions))
    return Ladder((each.start, rows.model), positions, each.clamp), each


def _begin(rows: Clamped, seed: int, positions: np.ndarray = EVEN) -> Run:
    """The first two groups of each row begin at the start, the others at the row itself."""
    ladder, each = _ladder(rows, positions)
    rungs, groups = len(positions), GROUPS * len(rows.v)
    random = each.random_state(Address(seed, Purpose.START))
    known = rows.model.state_of(each.v)
    cold = torch.arange(groups, device=each.v.device).remainder(GROUPS).ge(GROUPS // 2)
    cold = cold.repeat_interleave(rungs)[:, None]
    state = tuple(torch.where(cold, k, r) for k, r in zip(known, random, strict=True))
    rung = np.tile(np.arange(rungs), (groups, 1))
    replicas = Replicas(state, rung, Address(seed, Purpose.ANNEALING))
    return Run(ladder, replicas, rows.model.state_of(rows.v))


def _tuned(rows: Clamped, seed: int, budget: Budget) -> Run:
    """Place the rungs where they suit the rows on average."""
    run = _begin(rows, seed)
    for sweeps in TUNING:
        budget.tell("placing the temperatures")
        advance(run, Exchange(run.ladder, run.groups, seed), sweeps, budget)
        lengths = schedule.distances(run.bridges(skip=0.5))
        positions = schedule.replaced(run.ladder.positions, lengths, 2)
        rungs = len(run.ladder)
        nearest = np.abs(positions[:, None] - run.ladder.positions).argmin(1)
        chosen = torch.from_numpy((np.arange(run.groups)[:, None] * rungs + nearest).ravel())
        state = tuple(x[chosen.to(x.device)] for x in run.replicas.sorted())
        rung = np.tile(np.arange(len(positions)), (run.groups, 1))
        replicas = Replicas(state, rung, run.replicas.address)
        run = Run(_ladder(rows, positions)[0], replicas, run.cold)
    return run


def _estimates(run: Run, base: np.ndarray, rows: int) -> RowEstimates:
    """What the groups of every row say together, with one error for all rows: four groups alone say little of
    it.
    """
    works = run.bridges(BURN_IN)
    results = [bridge(works.groups(slice(GROUPS * i, GROUPS * (i + 1)))) for i in range(rows)]
    value = base + np.array([r.value for r in results])
    variance = float(np.mean([max(r.stderr**2, r.naive_variance) for r in results]))
    by_group = np.stack([r.by_group for r in results])
    gap = by_group[:, GROUPS // 2 :].mean(1) - by_group[:, : GROUPS // 2].mean(1)
    reach = GUARD * student((GROUPS - 1) * rows, 0.975) * variance**0.5
    warnings = []
    drawn_apart = float(np.abs(gap).max()) / max((4 * variance) ** 0.5, 1e-12)
    if drawn_apart > student((GROUPS - 1) * rows, 1 - 5e-4 / rows):
        reach = np.maximum(reach, np.abs(gap))
        warnings.append(
            "for some rows chains from the reference and chains from the data disagree, by up to "
            f"{np.abs(gap).max():.2g} nats; give more time"
        )
    method = f"replica exchange for every row, {len(run.ladder)} temperatures, {len(run.works)} sweeps"
    same = np.zeros(rows)
    value_, stderr, low, high = (
        torch.from_numpy(x + same) for x in (value, variance**0.5, value - reach, value + reach)
    )
    details = {
        "temperatures": run.ladder.positions.round(6).tolist(),
        "overlap": float(np.mean([r.overlaps.min() for r in results])),
        "disagreement": float(np.abs(gap).mean()),
    }
    return RowEstimates(value_, stderr, low, high, False, method, tuple(warnings), details)


# -- a few annealed chains -------------------------------------------------------------------------------


@torch.no_grad()
def annealed(model: EnergyModel, v: Tensor, held: Tensor, seed: int) -> tuple[Tensor, float]:
    """(log Z of every row, (rows,), float64; standard error of their mean), by annealed importance sampling.

    For what is measured along the way. The logarithm of a mean of R weights is low by about σ²/2R where the
    works have the variance σ²; that is added, and counts as an error shared by all rows.
    """
    rows = Clamped.of(model, v, held, seed)
    each = rows.repeated(COPIES)
    for steps in TEMPERATURES:
        state = each.random_state(Address(seed, Purpose.START))
        betas = torch.linspace(0.0, 1.0, steps + 1, device=v.device, dtype=v.dtype)[:, None]
        path = Segment(each.start, model, each.clamp)
        _, work = path.lead(state, betas.expand(-1, len(each.v)), Address(seed, Purpose.ANNEALING))
        works = work.view(len(v), COPIES)
        scatter = float(works.var(1).mean())
        if scatter < SCATTER:
            break
    bias = scatter / (2.0 * COPIES)
    value = rows.base() + torch.logsumexp(-works, 1) - math.log(COPIES) + bias
    return value, (scatter / (COPIES * len(v)) + bias**2) ** 0.5
