"""Bennett's acceptance ratio over the rungs of a ladder, with errors from independent groups.

Between neighbours k and k+1, with the work w = u_{k+1}(x) - u_k(x) of samples at k and w' = u_k(x) -
u_{k+1}(x) of samples at k+1, the c = log Z_{k+1} - log Z_k that solves

    mean σ(-w - c) = mean σ(-w' + c)

has the smallest variance of all estimates from these works (Bennett 1976; the bridge of Meng & Wong 1996).
Either mean, at the solution, is the overlap of the two distributions: 1/2 when they are equal, 0 when they
have nothing in common.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

ITERATIONS = 200
TINY = 1e-300
LEAST_OVERLAP = 1e-100  # with less the works of a pair say nothing of each other
SAMPLE = 2**12  # works from which a first guess is made where there are many more


@dataclass(frozen=True)
class Bridges:
    """Works between neighbouring rungs, by pair.

    Attributes:
        up: for each pair the works of samples at its lower rung, (times, groups).
        down: those of samples at its upper rung, (times, groups).
    """

    up: tuple[np.ndarray, ...]
    down: tuple[np.ndarray, ...]

    def groups(self, chosen: list[int] | slice) -> Bridges:
        """The works of some groups only."""
        return Bridges(tuple(u[:, chosen] for u in self.up), tuple(d[:, chosen] for d in self.down))

    def pairs(self, first: int) -> Bridges:
        """The works of the pairs from number `first` on."""
        return Bridges(self.up[first:], self.down[first:])


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1/(1 + exp(-x)) without overflow."""
    return 0.5 * (1.0 + np.tanh(0.5 * x))


def solve(up: np.ndarray, down: np.ndarray) -> float:
    """log Z_{k+1} - log Z_k from the works of both sides, nats (Bennett 1976).

    >>> round(solve(np.full(10, -2.0), np.full(10, 2.0)), 6)
    2.0
    """
    # both one-sided averages bound the root: below the lower one the left mean wins, above the upper one the
    # right
    low, high = sorted((exponential_average(-up), -exponential_average(-down)))
    low, high = low - 1.0, high + 1.0
    c = 0.5 * (low + high)
    if min(up.size, down.size) > 4 * SAMPLE:
        guess = solve(*(x.ravel()[:: x.size // SAMPLE] for x in (up, down)))
        c = guess if low < guess < high else c
    for _ in range(ITERATIONS):
        left, right = sigmoid(-up - c), sigmoid(c - down)
        f = left.mean() - right.mean()
        low, high = (c, high) if f > 0 else (low, c)
        slope = (left * (1 - left)).mean() + (right * (1 - right)).mean()
        new = c + f / slope if slope > 0 else 0.5 * (low + high)
        new = new if low < new < high else 0.5 * (low + high)
        if abs(new - c) < 1e-10:
            break
        c = new
    return float(c)


def exponential_average(x: np.ndarray) -> float:
    """log mean exp(x)."""
    top = x.max()
    return float(top + np.log(np.exp(x - top).mean()))


@dataclass(frozen=True)
class Bridged:
    """What Bennett's ratio says of a ladder.

    Attributes:
        value: Σ over the pairs of log Z_{k+1} - log Z_k, nats.
        stderr: its standard error, by leaving out one group at a time.
        naive_variance: the variance it would have, were all samples independent.
        leave_one_out: the value without each group, (groups,).
        alone: the value from each group alone, (groups,).
        halves: that from the earlier and from the later half of its time, (2, groups).
        increments: the differences by pair.
        overlaps: by pair, 1 when neighbours are equal, 0 when they have nothing in common.
        swap_rates: by pair, the share of exchanges that succeed.
        samples: works of a pair.
    """

    value: float
    stderr: float
    naive_variance: float
    leave_one_out: np.ndarray
    alone: np.ndarray
    halves: np.ndarray
    increments: np.ndarray
    overlaps: np.ndarray
    swap_rates: np.ndarray
    samples: int

    @property
    def by_group(self) -> np.ndarray:
        """What each group says, (groups,): the jackknife's pseudo-values, whose mean is the value less its
        bias.
        """
        n = len(self.leave_one_out)
        return n * self.value - (n - 1) * self.leave_one_out

    @property
    def drift(self) -> tuple[float, float]:
        """(what the later half says more than the earlier, its standard error), nats."""
        moved = self.halves[1] - self.halves[0]
        return float(moved.mean()), max(float(moved.std(ddof=1)) / len(moved) ** 0.5, 1e-9)

    @property
    def persistence(self) -> float:
        """Correlation of the two halves over the groups: near 1 where every group keeps to modes of its
        own.
        """
        early, late = self.halves - self.halves.mean(1, keepdims=True)
        return float((early * late).mean() / max(early.std() * late.std(), 1e-12))


def bridge(works: Bridges) -> Bridged:
    """Join all the pairs of a ladder.

    The error comes from the groups, which are independent of each other, so it includes autocorrelation of
    any length and whatever correlation there is between pairs.
    """
    groups = works.up[0].shape[1]
    increments, overlaps, rates, naive = [], [], [], 0.0
    others, alone, halves = np.zeros(groups), np.zeros(groups), np.zeros((2, groups))
    for up, down in zip(works.up, works.down, strict=True):
        c = solve(up, down)
        left, right = sigmoid(-up - c), sigmoid(c - down)
        # near the solution the estimate is c + log mean(left) - log mean(right)
        others += c + _log_of_means(_without_each(left), _without_each(right))
        alone += c + _log_ratio(left, right)
        middle = len(left) // 2
        halves += c + np.stack(
            [_log_ratio(left[:middle], right[:middle]), _log_ratio(left[middle:], right[middle:])]
        )
        overlap = 0.5 * float(left.mean() + right.mean())
        n = left.size
        seen = overlap > LEAST_OVERLAP
        naive += float(left.var() + right.var()) / (n * overlap**2) if seen else math.inf
        increments.append(c)
        overlaps.append(2.0 * overlap)
        rates.append(float(np.exp(np.minimum(0.0, -up - down)).mean()))
    spread = others - others.mean()
    stderr = float(np.sqrt((groups - 1) / groups * (spread**2).sum()))
    return Bridged(
        float(sum(increments)),
        stderr,
        naive,
        others,
        alone,
        halves,
        np.array(increments),
        np.array(overlaps),
        np.array(rates),
        2 * works.up[0].size,
    )


def _log_ratio(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """What each group adds to the solution at which `left` and `right` were taken, (groups,)."""
    return _log_of_means(left.mean(0), right.mean(0))


def _log_of_means(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """log left - log right, where means that underflow, as those of pairs without overlap do, are tiny."""
    return np.log(np.maximum(left, TINY)) - np.log(np.maximum(right, TINY))


def _without_each(x: np.ndarray) -> np.ndarray:
    """Mean of x (times, groups) without each group in turn, (groups,)."""
    sums = x.sum(0)
    others = max(x.shape[1] - 1, 1)  # a single group has nothing to leave out
    return (sums.sum() - sums if x.shape[1] > 1 else sums) / (x.shape[0] * others)
