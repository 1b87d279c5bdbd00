"""`log_partition`: one call, the right method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from harmonium import checks
from harmonium.likelihood import annealing, inputs, schedule, tempered
from harmonium.likelihood.estimate import Estimate
from harmonium.likelihood.exact import exact_log_partition
from harmonium.likelihood.interval import estimate, student
from harmonium.likelihood.tempered import Budget, Progress, Run
from harmonium.models import EnergyModel
from harmonium.random import Address, Purpose
from harmonium.sampling.chains import State

__all__ = ["Progress", "log_partition"]

WORK = 8.0  # seconds of one core that an estimate may cost when no time is given
ANNEALED_SHARE = 0.12  # of the time, for annealing
RECKONING_SHARE = 0.06  # for finding the interval
ANNEALED_CHAINS = 64
ANNEALED_STEPS = 50, 4000  # fewest and most
BOUNDS = "from_reference", "from_modes", "annealed_forward", "annealed_reverse", "annealed_joined"
KNOWN = 128  # rows of data, at most, from which chains are started


def log_partition(
    model: EnergyModel,
    *,
    method: str = "auto",
    seconds: float | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    trajectory: Sequence[EnergyModel] = (),
) -> Estimate:
    """The logarithm of Z = Σₓ exp(-E(x)), nats, with a 95 % interval.

    Exact where a formula gives it or the states of all blocks but one can be summed. Otherwise by replica
    exchange on a ladder of models from independent units to `model`: half of the chains begin at either end,
    the temperatures place themselves at equal distances, and Bennett's acceptance ratio joins them.
    `docs/likelihood.md` has the details.

    Args:
        model: the model.
        method: "auto", or "exact" or "annealed" to insist on one.
        seconds: how long an estimate may take, about; more time gives a narrower interval. Without it the
            amount of work is fixed (some 8 seconds of one core at most), so that the result doesn't depend on
            the machine.
        seed: same seed, same estimate (with `seconds`: as far as the machine is equally fast).
        progress: called with the share of the work done and what is being done.
        trajectory: models over the same layers to pass on the way, from simple to alike, such as checkpoints
            of the training (trajectory tempering; Béreux, Decelle, Furtlehner & Seoane 2025).

    Returns:
        An Estimate. Besides the usual fields `details` holds, unless exact: "temperatures", "overlap" (the
        least between neighbours, 0 to 1) and "overlaps", "groups", "sweeps", "round_trips", "from_reference"
        and "from_modes" (what chains from either end say, nats) and their "disagreement", "annealed_forward"
        and "annealed_reverse" (bounds from below and above, nats), "annealed_joined", "annealed_overlap",
        "annealed_ess".

    Raises:
        ValueError: a model whose Z may be infinite, a trajectory over other layers, or `method="exact"` where
            that is out of reach.
        TypeError: a model that neither names its blocks nor declares its space.

    >>> import harmonium as hm
    >>> rbm = hm.RBM(visible=hm.Bernoulli(3), hidden=hm.Bernoulli(2))
    >>> hm.log_partition(rbm).method
    'exact, sum over 4 states'
    """
    checks.one_of("method", method, ("auto", "exact", "annealed"))
    checks.seed("seed", seed)
    budget = Budget(WORK, seconds, progress)
    inputs.normalizable("model", model)
    if model.context is not None:
        raise ValueError(
            "model: expected one distribution, got one for each context; hm.log_likelihood measures rows"
            " given theirs, and of a ConditionalRBM hm.log_partition(model.at(context)) is that of one."
        )
    model = model.normaliser
    nodes = inputs.trajectory(trajectory, model)
    exact = (
        None if method == "annealed" else exact_log_partition(model, None if method == "exact" else seconds)
    )
    if exact is not None:
        return exact
    if method == "exact":
        raise ValueError("method: 'exact' is out of reach for this model, too many states on either side.")
    return annealed_log_partition(model, budget, seed, nodes=nodes)


@torch.no_grad()
def annealed_log_partition(
    model: EnergyModel,
    budget: Budget,
    seed: int,
    data: Tensor | None = None,
    nodes: tuple[EnergyModel, ...] = (),
) -> Estimate:
    """log Z by replica exchange and annealing; visible rows `data` are among the places where chains
    begin.
    """
    if model.constrained:
        return _constrained(model, budget, seed, data, nodes)
    known = None
    if data is not None:
        rows = torch.linspace(0, len(data) - 1, min(len(data), KNOWN), device=data.device).long()
        known = model.state_of(data[rows])
    return _estimated(model, budget, seed, known, nodes)[0]


def _estimated(
    model: EnergyModel, budget: Budget, seed: int, known: State | None, nodes: tuple[EnergyModel, ...]
) -> tuple[Estimate, Run]:
    budget.hold_back(ANNEALED_SHARE + RECKONING_SHARE)
    run = tempered.run_exchange(model, seed, budget, known, nodes)
    budget.hold_back(RECKONING_SHARE)
    result = estimate(run, run.base, _anneal(run, budget, seed))
    budget.tell("done")
    return result, run


def _constrained(
    field: EnergyModel,
    budget: Budget,
    seed: int,
    data: Tensor | None,
    nodes: tuple[EnergyModel, ...],
) -> Estimate:
    """log Z of a field with zero potentials: that of the softened field, and the share of its mass that obeys
    the constraints, log Z = log Z_soft + log P_soft(allowed).

    Raises:
        ValueError: no state that obeys them turned up.
    """
    soft = field.softened()
    passed = tuple(node.softened() for node in nodes)
    known = None if data is None else (data[:KNOWN],)
    result, run = _estimated(soft, budget, seed, known, passed)
    later = run.kept[len(run.kept) // 2 :]
    shares = np.mean([field.obeys(state[0]).double().cpu().numpy() for state in later], axis=0)
    share = float(shares.mean())
    if share == 0.0:
        raise ValueError(
            "model: no state that obeys the constraints of the field was found; every state may have "
            "probability zero."
        )
    groups = len(shares)
    # at least the error of one state more or less, since groups that all agree show none
    least = 1.0 / (len(later) * groups)
    error = max(float(shares.std(ddof=1)) / groups**0.5, least if share < 1.0 else 0.5 * least) / share
    reach = student(groups - 1, 0.975) * error
    moved = float(np.log(share))
    details = dict(result.details)
    for name in BOUNDS:
        if name in details:
            details[name] += moved
    return replace(
        result,
        value=result.value + moved,
        stderr=float(np.hypot(result.stderr, error)),
        low=result.low + moved - reach,
        high=result.high + moved + min(reach, -moved),
        method=f"{result.method}, zero potentials as penalties of which {share:.4g} of the mass is free",
        details={**details, "allowed": share},
    )


def _anneal(run: Run, budget: Budget, seed: int) -> annealing.Annealed:
    """Forward and reverse annealing along the straight path from the reference, at the distances that the run
    measured.
    """
    budget.tell("annealing from both ends")
    start, model = run.ladder.nodes[0], run.ladder.nodes[-1]
    if len(run.ladder.nodes) > 2:
        positions, lengths = (
            run.ladder.positions[[0, -1]] / run.ladder.positions[-1],
            run.ladder.positions[:1] + 1,
        )
    else:
        positions, lengths = run.ladder.positions, schedule.distances(run.bridges(tempered.BURN_INS[0]))
    rows = 2 * ANNEALED_CHAINS
    # two free energies a step instead of an exchange: about the cost of a sweep
    allowed = budget.sweeps_left(model, rows)
    if budget.seconds is None:  # a run that is sure enough early leaves more
        allowed = min(allowed, ANNEALED_SHARE * budget.work / tempered.cost(model, rows))
    steps = int(min(max(allowed, ANNEALED_STEPS[0]), ANNEALED_STEPS[1]))
    address = Address(seed, Purpose.BRIDGE)
    forward = start.random_state(ANNEALED_CHAINS, address)
    works = annealing.anneal(
        start,
        model,
        schedule.refined(positions, lengths, steps),
        forward,
        _late_states(run),
        address.at(step=1),
    )
    return annealing.Annealed(*works, run.base)


def _late_states(run: Run) -> State:
    """States of the model from the later half of the run, from all groups and evenly spaced times."""
    later = run.kept[len(run.kept) // 2 :]
    times = torch.linspace(0, len(later) - 1, min(len(later), -(-ANNEALED_CHAINS // run.groups))).long()
    chosen = [later[int(t)] for t in times]
    return tuple(torch.cat(blocks)[:ANNEALED_CHAINS] for blocks in zip(*chosen, strict=True))
