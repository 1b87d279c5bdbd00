"""What both phases of the gradient consist of: weighted states."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from torch import Tensor


class Particles(NamedTuple):
    """States with weights that sum to one: a batch of data, or negative particles.

    A mean over particles is Σₙ wₙ f(xₙ). Equal weights 1/n make a plain sample; enumeration gives every
    state its probability.
    """

    state: tuple[Tensor, ...]  # one (n, width) tensor per block, or the visible one alone
    weights: Tensor  # (n,)
    numbers: np.ndarray | None = None  # of the rows, for a batch of data

    @property
    def v(self) -> Tensor:
        """The visible states, (n, n_visible)."""
        return self.state[0]


def equally_weighted(*state: Tensor) -> Particles:
    """Particles of weight 1/n."""
    n = state[0].shape[0]  # the tensor's own `len` goes by way of Python
    return Particles(state, state[0].new_full((n,), 1.0 / n))
