"""Where scikit-learn's ways meet the library's: random states, and rows in slices."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.utils import check_random_state
from torch import Tensor

from harmonium.learning import Batches, Particles, equally_weighted
from harmonium.models import RBM, EnergyModel
from harmonium.sampling import Chains


def seed_from(random_state: Any) -> int:
    """A seed of the addressed generator from whatever scikit-learn takes as `random_state`.

    >>> seed_from(0) == seed_from(0)
    True
    """
    return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))


class RandomStateGibbs:
    """Gibbs sampling from hidden to hidden states, whose uniforms come from a `numpy.random.RandomState`.

    Everywhere else draws are addressed. Only here they are consumed from a generator, in the order in which
    scikit-learn's estimator consumes them: v ~ P(v | h), then h ~ P(h | v).
    """

    def __init__(self, rng: Any) -> None:
        self.rng = rng

    @torch.no_grad()
    def __call__(self, model: EnergyModel, chains: Chains) -> Chains:
        assert isinstance(model, RBM)
        v = self.draw(model.visible_given_hidden(chains.state[1]))
        return chains.moved((v, self.draw(model.hidden_given_visible(v))))

    def draw(self, probabilities: Tensor) -> Tensor:
        """0/1 states with these probabilities of a 1."""
        p = probabilities.cpu().numpy()
        return torch.from_numpy(self.rng.uniform(size=p.shape) < p).to(probabilities)


class Slices(Batches):
    """Successive slices of the rows, in their order, as scikit-learn visits them; sparse rows become dense
    slice by slice.

    Args:
        x: rows, (n_rows, columns), an array or a CSR matrix.
        size: rows of a slice; the last one may be shorter.
    """

    def __init__(self, x: Any, size: int) -> None:
        self.x, self.size, self.weights, self.seed = x, size, None, 0
        self.per_epoch = -(-x.shape[0] // size)

    def batch(self, step: int) -> Particles:
        start = step % self.per_epoch * self.size
        x: Any = self.x  # an array or a CSR matrix
        return equally_weighted(torch.from_numpy(dense(x[start : start + self.size])))


def dense(x: Any) -> np.ndarray:
    """Rows as an array torch can read, whatever they are stored as."""
    x = x.toarray() if hasattr(x, "toarray") else x
    return np.require(x, requirements=["C", "W"])
