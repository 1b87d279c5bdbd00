"""Where scikit-learn's ways meet the library's: random states, and rows in slices."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.utils import check_random_state
from torch import Tensor

from harmonium.learning import Batches, Particles, PersistentChains, equally_weighted
from harmonium.learning.phases import Moments, Phases
from harmonium.models import RBM, EnergyModel
from harmonium.random import Address, Purpose
from harmonium.sampling import Chains, initial_chains


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


class RandomStateChains(PersistentChains):
    """Persistent chains that `RandomStateGibbs` moves, all starting with no hidden unit on.

    On the processor NumPy makes the gradient: of ten rows each operation of PyTorch's would take longer to
    call than to make, and the means of the hidden units are known from the draws.

    Args:
        model: an RBM of 0/1 units.
        chains: how many.
        k: steps between two updates.
        rng: a `numpy.random.RandomState`.
    """

    def __init__(self, model: RBM, chains: int, k: int, rng: Any) -> None:
        start = torch.zeros(chains, model.visible.width, dtype=model.dtype)
        super().__init__(chains, k, kernel=RandomStateGibbs(rng), start=start)
        self.rng = rng
        self.shares = torch.full((chains,), 1.0 / chains, dtype=model.dtype)
        self._beside: tuple[Tensor, np.ndarray] | None = None

    def accumulate(self, model: EnergyModel, data: Particles, step: int) -> Phases:
        if not isinstance(model, RBM) or not data.v.is_cpu:
            return super().accumulate(model, data, step)
        chains = self.chains
        if chains is None:
            chains = initial_chains(model, self.n, Address(self.seed, Purpose.CHAIN), self.start)
        (visible, hidden), weight = model.layers, model.weight
        W, a, b = (p.detach().numpy() for p in (weight, visible.bias, hidden.bias))
        n, h = data.v.shape[0], chains.state[1].numpy()
        states = np.empty((n + self.n, len(W)), W.dtype)  # of the data, and of the chains below them
        states[:n] = data.v.numpy()
        for _ in range(self.k):
            states[n:] = self._drawn(_expit(h @ W.T, a))
            means = _expit(states @ W, b)
            h = self._drawn(means[n:])
        shares = self._shares_beside(data.weights)
        sums = shares[1:] @ states, shares[1:] @ means
        visible.bias.grad, hidden.bias.grad = (torch.from_numpy(x[1] - x[0]) for x in sums)
        moments = Moments(*zip(*(torch.from_numpy(x).unbind() for x in sums), strict=True))
        means *= shares[0][:, None]
        weight.grad = torch.from_numpy(states.T @ means)
        self.chains = Chains((torch.from_numpy(states[n:]), torch.from_numpy(h)), chains.address)
        negatives = Particles(self.chains.state, self.shares)
        return Phases(data, negatives, moments)

    def _shares_beside(self, weights: Tensor) -> np.ndarray:
        """What each row of the data, and each chain below them, counts: in the difference of the phases, in
        the first, in the second, (3, rows); as before for the same weights.
        """
        if self._beside is None or self._beside[0] is not weights:
            n = len(weights)
            shares = np.zeros((3, n + self.n), self.shares.numpy().dtype)
            shares[1, :n], shares[2, n:] = weights.numpy(), self.shares.numpy()
            shares[0] = shares[2] - shares[1]
            self._beside = (weights, shares)
        return self._beside[1]

    def _drawn(self, p: np.ndarray) -> np.ndarray:
        return (self.rng.random_sample(p.shape) < p).astype(p.dtype)


def _expit(field: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-field - bias)), in place."""
    field += bias
    torch.from_numpy(field).sigmoid_()  # a quarter of the time of SciPy's
    return field


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
        self._last: Particles | None = None  # whose weights will do for as many rows

    def batch(self, step: int) -> Particles:
        start = step % self.per_epoch * self.size
        x: Any = self.x  # an array or a CSR matrix
        v = torch.from_numpy(dense(x[start : start + self.size]))
        if self._last is None or v.shape[0] != self._last.weights.shape[0]:
            self._last = equally_weighted(v)
        return Particles((v,), self._last.weights)


def dense(x: Any) -> np.ndarray:
    """Rows as an array torch can read, whatever they are stored as."""
    x = x.toarray() if hasattr(x, "toarray") else x
    fit = x.flags.c_contiguous and x.flags.writeable
    return x if fit else np.require(x, requirements=["C", "W"])
