"""From a run of replica exchange to an interval that includes what the run says against itself."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from harmonium.likelihood.annealing import Annealed, effective_size
from harmonium.likelihood.bridge import Bridged, Bridges, bridge, exponential_average
from harmonium.likelihood.estimate import Estimate
from harmonium.likelihood.tempered import BURN_IN, Run

GUARD = 1.2  # half-widths are this many times Student's, for what the groups can't show
ALARM = 1e-3  # share of good runs in which one test of disagreement may fail
LEAST_OVERLAP = 0.05
SURE = 4.0  # nats by which an annealed bound is on the wrong side with probability exp(-4) at most


@dataclass
class Interval:
    """An interval under construction: every check may widen it, none narrows it."""

    value: float
    low: float
    high: float
    warnings: list[str] = field(default_factory=list)

    def cover(self, low: float, high: float, warning: str) -> None:
        """Include these ends too."""
        self.low, self.high = min(self.low, low), max(self.high, high)
        self.warnings.append(warning)


def student(degrees: int, level: float) -> float:
    """The quantile of Student's t distribution.

    >>> round(student(15, 0.975), 2)
    2.13
    """
    from scipy.special import stdtrit

    return float(stdtrit(degrees, level))


def estimate(run: Run, annealed: Annealed) -> Estimate:
    """Log Z of the last model with its interval.

    The groups of replicas are independent, so the spread of their values carries autocorrelation and whatever
    else differs from run to run; then the ends, the halves of the time, the groups, the overlaps and the
    annealed bounds are each asked whether they contradict the value.
    """
    result, interval = joined(run, run.base)
    _check_bounds(interval, annealed)
    return Estimate(
        result.value,
        result.stderr,
        interval.low,
        interval.high,
        result.method + ", bounded by annealing",
        result.ess,
        tuple(interval.warnings),
        {
            **result.details,
            "annealed_forward": annealed.lower,
            "annealed_reverse": annealed.upper,
            "annealed_joined": annealed.joined,
            "annealed_overlap": annealed.overlap,
            "annealed_ess": effective_size(annealed.forward),
        },
    )


def joined(run: Run, base: float, first: int = 0) -> tuple[Estimate, Interval]:
    """`base` plus what the pairs of rungs from number `first` on add to log Z, with all checks but the
    annealed one.
    """
    works = run.bridges(BURN_IN).pairs(first)
    result = bridge(works)
    stderr = max(result.stderr, result.naive_variance**0.5)
    value, half = base + result.value, GUARD * student(run.groups - 1, 0.975) * stderr
    interval = Interval(value, value - half, value + half)
    hot, cold = _check_ends(interval, base + result.by_group)
    _check_groups(interval, base + result.by_group)
    _check_drift(interval, run, first)
    _check_overlaps(interval, works, result)
    if run.round_trips == 0:
        interval.warnings.append(
            "no replica travelled the whole way between the reference and the model; modes may be missing"
        )
    ess = 2 * works.up[0].size * min(1.0, result.naive_variance / stderr**2) if stderr > 0 else math.inf
    details: dict[str, Any] = {
        "temperatures": run.ladder.positions.round(6).tolist(),
        "overlap": float(result.overlaps.min()),
        "overlaps": result.overlaps.round(4).tolist(),
        "swap_rates": result.swap_rates.round(4).tolist(),
        "groups": run.groups,
        "sweeps": len(run.works),
        "round_trips": run.round_trips,
        "from_reference": hot,
        "from_modes": cold,
        "disagreement": abs(cold - hot),
    }
    method = (
        f"replica exchange from both ends, {len(run.ladder)} temperatures, {run.groups} groups, "
        f"{len(run.works)} sweeps"
    )
    made = Estimate(
        value, stderr, interval.low, interval.high, method, ess, tuple(interval.warnings), details
    )
    return made, interval


def _check_ends(interval: Interval, by_group: np.ndarray) -> tuple[float, float]:
    """Do groups that began at the reference agree with those that began at modes of the model?"""
    half = len(by_group) // 2
    hot, cold = by_group[:half], by_group[half:]
    errors = np.array([x.std(ddof=1) / half**0.5 for x in (hot, cold)])
    gap = abs(cold.mean() - hot.mean())
    if gap > student(2 * half - 2, 1 - ALARM / 2) * max(float(np.hypot(*errors)), 1e-9):
        reach = student(half - 1, 0.975) * errors
        interval.cover(
            float(min(hot.mean() - reach[0], cold.mean() - reach[1])),
            float(max(hot.mean() + reach[0], cold.mean() + reach[1])),
            f"chains from the reference and chains from the model's modes disagree by {gap:.2g} nats: "
            "some mode is not reached from everywhere; give more time",
        )
    return float(hot.mean()), float(cold.mean())


def _check_groups(interval: Interval, by_group: np.ndarray) -> None:
    """Is one group far from all the others, as when it alone has found a mode?"""
    centre = np.median(by_group)
    scale = 1.4826 * np.median(np.abs(by_group - centre))
    furthest = by_group[np.abs(by_group - centre).argmax()]
    # 7 robust standard deviations: about 1e-3 of runs of 16 groups whose tails are those of Student's t with
    # 8 degrees
    if abs(furthest - centre) > max(7.0 * scale, 1e-6):
        interval.cover(
            float(min(furthest, by_group.min())),
            float(max(furthest, by_group.max())),
            f"one group of chains is {abs(furthest - centre):.2g} nats from the others: "
            "a mode is rarely visited; give more time",
        )


def _check_drift(interval: Interval, run: Run, first: int) -> None:
    """Does the later half of the run say something else than the earlier?"""
    middle = BURN_IN + 0.5 * (1.0 - BURN_IN)
    early, late = bridge(run.bridges(BURN_IN, middle)), bridge(run.bridges(middle))
    n = run.groups
    moved = (n * late.value - (n - 1) * late.leave_one_out) - (
        n * early.value - (n - 1) * early.leave_one_out
    )
    drift, error = float(moved.mean()), max(float(moved.std(ddof=1)) / n**0.5, 1e-9)
    if abs(drift) > student(n - 1, 1 - ALARM / 2) * error:
        interval.cover(
            interval.value + min(drift, 0.0) - 2 * error,
            interval.value + max(drift, 0.0) + 2 * error,
            f"the value still drifts, by {drift:+.2g} nats from the first half of the run to the second; "
            "give more time",
        )


def _check_overlaps(interval: Interval, works: Bridges, result: Bridged) -> None:
    """Where neighbours hardly overlap, each side alone gives a bound of its own."""
    low = high = 0.0
    for k in np.flatnonzero(result.overlaps < LEAST_OVERLAP):
        sides = exponential_average(-works.up[k]), -exponential_average(-works.down[k])
        low += min(0.0, min(sides) - result.increments[k])
        high += max(0.0, max(sides) - result.increments[k])
    if low or high:
        interval.cover(
            interval.low + low,
            interval.high + high,
            f"neighbouring temperatures overlap by {result.overlaps.min():.2g} only",
        )


def _check_bounds(interval: Interval, annealed: Annealed) -> None:
    """Annealing from below and from above must not contradict the interval."""
    if annealed.lower - SURE > interval.high:
        interval.cover(
            interval.low, annealed.lower, "annealing from the reference found more mass than replica exchange"
        )
    if annealed.upper + SURE < interval.low:
        interval.cover(
            annealed.upper, interval.high, "annealing from the model found less mass than replica exchange"
        )
