"""What both phases of the gradient consist of: weighted states."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from torch import Tensor


class Particles(NamedTuple):
    """States with weights that sum to one: a batch of data, or negative particles.

    A mean over particles is Σₙ wₙ f(xₙ). Equal weights 1/n make a plain sample; enumeration gives every
    state its probability. Where several processes divide the work these are the share of one of them, and
    the weights sum to one over all.
    """

    state: tuple[Tensor, ...]  # one (n, width) tensor per block, or the visible one alone
    weights: Tensor  # (n,)
    chain: int | np.ndarray = 0  # number of the first among the particles of all processes, or of each
    rows: np.ndarray | None = None  # their numbers in the table, for a batch of data

    @property
    def v(self) -> Tensor:
        """The visible states, (n, n_visible)."""
        return self.state[0]

    def numbers(self) -> np.ndarray:
        """The number of each among the particles of all processes, (n,)."""
        n = len(self.weights)
        return np.arange(self.chain, self.chain + n) if isinstance(self.chain, int) else self.chain


def equally_weighted(*state: Tensor, of: int | None = None, chain: int | np.ndarray = 0) -> Particles:
    """Particles of weight 1/n, or 1/`of` where these are a share of so many."""
    n = state[0].shape[0]  # the tensor's own `len` goes by way of Python
    return Particles(state, state[0].new_full((n,), 1.0 / (of or n)), chain)
