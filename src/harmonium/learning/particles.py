"""What both phases of the gradient consist of: weighted visible states."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Particles(NamedTuple):
    """Visible states with weights that sum to one: a batch of data, or negative particles.

    A mean over particles is Σₙ wₙ f(vₙ). Equal weights 1/n make a plain sample; enumeration gives every state its
    probability.
    """

    v: Tensor  # (n, n_visible)
    weights: Tensor  # (n,)


def equally_weighted(v: Tensor) -> Particles:
    """Particles of weight 1/n."""
    return Particles(v, v.new_full((len(v),), 1.0 / len(v)))
