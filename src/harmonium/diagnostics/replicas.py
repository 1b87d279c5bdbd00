"""What replica exchange does on a model: how often neighbours exchange, and how long a journey takes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harmonium import checks
from harmonium.likelihood import inputs
from harmonium.likelihood.bridge import bridge
from harmonium.likelihood.tempered import Budget, advance, begin, tuned
from harmonium.models import EnergyModel
from harmonium.sampling.tempering import Exchange


@dataclass(frozen=True)
class TemperingReport:
    """Replica exchange on an adapted ladder.

    Attributes:
        temperatures: β of the rungs, 0 at the broad reference and 1 at the model;
            `ParallelTempering(temperatures)` is a kernel that uses them.
        swap_rates: share of exchanges that succeed, by pair of neighbours.
        overlaps: overlap of neighbours, by pair: 1 when equal, 0 when they have nothing in common.
        round_trips: journeys from the model to the reference and back, of all replicas.
        sweeps_per_trip: sweeps that one replica needs for one such journey on average; inf when none was
            seen.
        warning: a sentence, or None.
    """

    temperatures: tuple[float, ...]
    swap_rates: np.ndarray
    overlaps: np.ndarray
    round_trips: int
    sweeps_per_trip: float
    warning: str | None


def tempering_report(model: EnergyModel, *, sweeps: int = 500, seed: int = 0) -> TemperingReport:
    """Place temperatures for the model, exchange replicas for some sweeps, and say how it went.

    >>> import harmonium as hm
    >>> rbm = hm.RBM(visible=hm.Bernoulli(4), hidden=hm.Bernoulli(2))
    >>> tempering_report(rbm, sweeps=50).warning is None
    True
    """
    inputs.normalizable("model", model)
    length = checks.integer("sweeps", sweeps, low=8)
    budget = Budget(work=float("inf"))
    run = tuned(begin(model, seed, None), seed, budget)
    advance(run, Exchange(run.ladder, run.groups, seed), length, budget)
    result = bridge(run.bridges())
    replicas = run.groups * len(run.ladder)
    per_trip = replicas * length / run.round_trips if run.round_trips else float("inf")
    warning = None
    if run.round_trips == 0:
        warning = f"no replica made the journey in {length} sweeps: run longer, modes may not exchange at all"
    return TemperingReport(
        tuple(float(t) for t in run.ladder.positions),
        result.swap_rates,
        result.overlaps,
        run.round_trips,
        per_trip,
        warning,
    )
