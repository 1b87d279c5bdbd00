"""Counts by inverse transform: the smallest count whose cumulative probability reaches a uniform."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

NEAR = 9.0  # how far from the first guess a count is looked for before the search goes by halves


def normal_guess(u: Tensor, mean: Tensor, deviation: Tensor, skewness: Tensor) -> Tensor:
    """The quantile of a normal count with Cornish & Fisher's (1938) term; `skewness` is that times the
    deviation.
    """
    z = torch.special.ndtri(u)
    return torch.ceil(mean + z * deviation + skewness * (z * z - 1.0) / 6.0 - 0.5) + 0.0  # -0 becomes 0


def smallest(reaches: Callable[[Tensor, Tensor], Tensor], guess: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """The smallest count that reaches its uniform, float64 (draws,), however far `low` and `high` are apart.

    A few evaluations where the guess is near, the logarithm of the distance where it isn't.

    Args:
        reaches: (counts, numbers of the draws that they are for) to whether P(X ≤ count) is at least the
            uniform.
        guess: where to begin.
        low: counts that don't reach theirs.
        high: counts that do.
    """
    k, low, high, step = guess.clone(), low.clone(), high.clone(), 1.0
    left = torch.nonzero(high - low > 1.0).flatten()
    while len(left):
        at = torch.minimum(torch.maximum(k[left], low[left] + 1.0), high[left] - 1.0)
        enough = reaches(at, left)
        high[left], low[left] = torch.where(enough, at, high[left]), torch.where(enough, low[left], at)
        near = torch.where(enough, at - step, at + step)
        k[left] = near if step <= NEAR else torch.floor(0.5 * (low[left] + high[left]))
        left, step = left[high[left] - low[left] > 1.0], 3.0 * step
    return high
