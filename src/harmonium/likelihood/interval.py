"""From a run of replica exchange to an interval that includes what the run says against itself.

The groups of replicas are independent of each other, so the spread of their values carries autocorrelation
and whatever else differs from run to run: it gives the standard error. Then the parts are asked whether they
contradict each other. Where they do, the error says nothing of what was missed, and the interval is widened
to hold all that any part has said.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from harmonium.likelihood.annealing import Annealed, effective_size
from harmonium.likelihood.bridge import Bridged, exponential_average
from harmonium.likelihood.estimate import Estimate
from harmonium.likelihood.tempered import BURN_INS, Run

GUARD = 1.2  # half-widths are this many times Student's, for what the groups can't show
ALARM = 1e-3  # share of good runs in which one test of disagreement may fail
OUTLYING = (
    11.0  # robust standard deviations that one of 16 groups in a good run exceeds with that probability
)
SPREAD = 2.0  # nats of standard deviation between groups above which a mean of logarithms says little
LEAST_OVERLAP = 0.05
ENOUGH_SWEEPS = 64
SURE = 4.0  # nats; an annealed bound is that far on the wrong side with probability exp(-4) at most
JOURNEYS = 3  # of each group between reference and model, with fewer of which beginnings may still show
ROUNDED = 0.5  # share of half the interval that rounding may reach unsaid
HYSTERESIS = 4.0, 3.0  # times what fluctuations account for, and nats beyond it


@dataclass
class Hearing:
    """What the parts of a run say, and what speaks against it.

    Attributes:
        value, low, high: the estimate and its interval.
        warnings: the contradictions found.
    """

    value: float
    low: float
    high: float
    warnings: list[str] = field(default_factory=list)

    def object(self, warning: str, said: Iterable[float]) -> None:
        """Note a contradiction, and widen the interval to hold what the parts have `said` about the value."""
        self.warnings.append(warning)
        everything = [self.low, self.high, *said]
        self.low, self.high = float(min(everything)), float(max(everything))


def student(degrees: int, level: float) -> float:
    """The quantile of Student's t distribution.

    >>> round(student(15, 0.975), 2)
    2.13
    """
    from scipy.special import stdtrit

    return float(stdtrit(degrees, level))


def uncertainty(result: Bridged) -> tuple[float, float]:
    """(Standard error, half of the width of a 95 % interval), as far as the groups can show them, nats."""
    stderr = float(max(result.stderr, result.naive_variance**0.5))
    return stderr, GUARD * student(len(result.alone) - 1, 0.975) * stderr


def estimate(run: Run, base: float, annealed: Annealed | None = None, first: int = 0) -> Estimate:
    """`base` plus what the pairs of rungs from number `first` on add to log Z, with its interval.

    Args:
        run: replica exchange.
        base: log Z of the rung `first`.
        annealed: works of annealing along the whole path, which bound log Z from both sides.
        first: number of the first pair.
    """
    result = run.bridged(first)
    stderr, half = uncertainty(result)
    value = float(base + result.value)
    hearing = Hearing(value, value - half, value + half)
    hot, cold = _hear_ends(hearing, base + result.by_group, base + result.alone)
    _hear_groups(hearing, base + result.by_group, base + result.alone)
    _hear_halves(hearing, result, base)
    _hear_neighbours(hearing, run, result, first)
    _hear_length(hearing, run, base + result.alone, annealed)
    _hear_beginnings(hearing, run, result)
    _hear_rounding(hearing, run, half)
    if annealed is not None:
        _hear_annealing(hearing, annealed)
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
        **_annealed_details(annealed),
    }
    method = (
        f"replica exchange from both ends, {len(run.ladder)} temperatures, {run.groups} groups, "
        f"{len(run.works)} sweeps{'' if annealed is None else ', bounded by annealing'}"
    )
    ess = math.inf if stderr == 0 else 0.0
    if 0 < stderr < math.inf:
        ess = float(result.samples * min(1.0, result.naive_variance / stderr**2))
    return Estimate(value, stderr, hearing.low, hearing.high, method, ess, tuple(hearing.warnings), details)


def _annealed_details(annealed: Annealed | None) -> dict[str, float]:
    if annealed is None:
        return {}
    return {
        "annealed_forward": annealed.lower,
        "annealed_reverse": annealed.upper,
        "annealed_joined": annealed.joined,
        "annealed_overlap": annealed.overlap,
        "annealed_ess": effective_size(annealed.forward),
        "hysteresis": annealed.hysteresis,
    }


def _hear_ends(hearing: Hearing, by_group: np.ndarray, alone: np.ndarray) -> tuple[float, float]:
    """Do groups that began at the reference agree with those that began at modes of the model?"""
    half = len(by_group) // 2
    hot, cold = by_group[:half], by_group[half:]
    gap = abs(cold.mean() - hot.mean())
    error = max(float(np.hypot(hot.std(ddof=1), cold.std(ddof=1))) / half**0.5, 1e-9)
    if gap > student(2 * half - 2, 1 - ALARM / 2) * error:
        hearing.object(
            f"chains from the reference and chains from the model's modes disagree by {gap:.2g} nats: "
            "some mode is not reached from everywhere; give more time",
            alone,
        )
    return float(hot.mean()), float(cold.mean())


def _hear_groups(hearing: Hearing, by_group: np.ndarray, alone: np.ndarray) -> None:
    """Is one group far from all others, as when it alone has found a mode, or are all far from each other?"""
    centre = np.median(by_group)
    distance = np.abs(by_group - centre)
    # fewer groups know less of their own spread; with 8 to 16 of them their quantiles go by this power
    reach = OUTLYING * (16 / len(by_group)) ** 0.63
    if distance.max() > max(reach * 1.4826 * np.median(distance), 1e-6):
        hearing.object(
            f"one group of chains is {distance.max():.2g} nats from the others: a mode is rarely visited; "
            "give more time",
            alone,
        )
    if by_group.std(ddof=1) > SPREAD:
        hearing.object(
            f"groups of chains differ by {by_group.std(ddof=1):.2g} nats (standard deviation): "
            "each sees other modes; give more time",
            alone,
        )


def _hear_halves(hearing: Hearing, result: Bridged, base: float) -> None:
    """Does the later half of the run say something else than the earlier, or each group always the same?"""
    groups = result.halves.shape[1]
    drift, error = result.drift
    if abs(drift) > student(groups - 1, 1 - ALARM / 2) * error:
        hearing.object(
            f"the value still drifts, by {drift:+.2g} nats from the first half of the run to the second; "
            "give more time",
            (hearing.value - abs(drift), hearing.value + abs(drift), hearing.value + 2 * drift),
        )
    r = min(result.persistence, 1 - 1e-9)
    if r * ((groups - 2) / (1 - r * r)) ** 0.5 > student(groups - 2, 1 - ALARM):
        hearing.object(
            f"every group of chains keeps to modes of its own (correlation {r:.2f} between the halves of "
            "the run); give more time",
            base + result.alone,
        )


def _hear_neighbours(hearing: Hearing, run: Run, result: Bridged, first: int) -> None:
    """Where neighbours hardly overlap, each side alone gives a bound of its own."""
    poor = np.flatnonzero(result.overlaps < LEAST_OVERLAP)
    if not len(poor):
        return
    works = run.bridges(BURN_INS[0]).pairs(first)
    low = high = 0.0
    for k in poor:
        sides = exponential_average(-works.up[k]), -exponential_average(-works.down[k])
        low += min(0.0, min(sides) - result.increments[k])
        high += max(0.0, max(sides) - result.increments[k])
    least = result.overlaps.min()
    hearing.object(
        f"neighbouring temperatures overlap by {least:.2g} only; give more time",
        (hearing.low + low, hearing.high + high),
    )


def _hear_length(hearing: Hearing, run: Run, alone: np.ndarray, annealed: Annealed | None) -> None:
    """Was the run long enough to say anything of its own error?"""
    bounds = () if annealed is None else (annealed.lower, annealed.upper)
    if run.round_trips == 0:
        hearing.object(
            "no replica travelled all the way between reference and model: modes may be missed",
            (*alone, *bounds),
        )
    if len(run.works) < ENOUGH_SWEEPS:
        hearing.object(f"there was time for {len(run.works)} sweeps only; give more", (*alone, *bounds))


def _hear_beginnings(hearing: Hearing, run: Run, result: Bridged) -> None:
    """Have replicas travelled often enough to forget where they began?

    On a 32 x 32 torus at its critical point two journeys a group left 0.1 nats of the beginning, half a
    standard error, too little for the drift to show.
    """
    if 0 < run.round_trips < JOURNEYS * run.groups:
        drift, error = result.drift
        reach = abs(drift) + error
        hearing.object(
            f"the replicas of {run.groups} groups made {run.round_trips} journeys to the reference and back: "
            "where they began may still show; give more time",
            (hearing.value - reach, hearing.value + reach),
        )


def _hear_rounding(hearing: Hearing, run: Run, half: float) -> None:
    """Are the energies so large that their last bit counts?"""
    if not run.kept:
        return
    model = run.ladder.nodes[-1]
    with torch.no_grad():
        size = max(abs(hearing.value), float(model.energy(*run.kept[-1]).abs().max()))
    rounding = 2.0 * size * float(torch.finfo(model.dtype).eps)
    if rounding > ROUNDED * half:
        hearing.object(
            f"energies of {size:.2g} nats are rounded by some {rounding:.2g} in {str(model.dtype)[6:]}; "
            "model.double() computes more exactly",
            (hearing.low - rounding, hearing.high + rounding),
        )


def _hear_annealing(hearing: Hearing, annealed: Annealed) -> None:
    """Annealing from below and from above must not contradict the interval, nor lose work without a
    reason.
    """
    bounds = annealed.lower, annealed.upper
    if annealed.lower - SURE > hearing.high:
        hearing.object("annealing from the reference found more mass than replica exchange", bounds)
    if annealed.upper + SURE < hearing.low:
        hearing.object("annealing from the model found less mass than replica exchange", bounds)
    times, nats = HYSTERESIS
    if annealed.hysteresis > times and annealed.lost * (1 - 1 / annealed.hysteresis) > nats:
        hearing.object(
            f"annealing loses {annealed.lost:.2g} nats on the way and back, {annealed.hysteresis:.2g} times "
            "what its fluctuations account for: the reference and the model are in different modes",
            bounds,
        )
