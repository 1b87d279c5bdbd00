"""Where scikit-learn's ways meet the library's: random states, and rows in slices."""

from __future__ import annotations

from operator import is_
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
        self._desk: _Desk | None = None

    def accumulate(self, model: EnergyModel, data: Particles, step: int) -> Phases:
        if not isinstance(model, RBM) or not data.v.is_cpu:
            return super().accumulate(model, data, step)
        chains = self.chains
        if chains is None:
            chains = initial_chains(model, self.n, Address(self.seed, Purpose.CHAIN), self.start)
        if self._desk is None or not self._desk.suits(model, data.weights):
            self._desk = _Desk(model, data.weights, self.shares)
        state = self._desk.swept(data.v.numpy(), chains.state[1].numpy(), self.rng, self.k)
        self.chains = Chains(state, chains.address)
        return Phases(data, Particles(state, self.shares), self._desk.accumulate())


class _Desk:
    """Both phases of a batch, the data above the chains, in memory that is kept from update to update: each
    gradient is the array of the one before, with new numbers.

    Args:
        model: what is learned, an RBM of 0/1 units.
        weights: of the rows of the data.
        shares: weights of the chains.
    """

    def __init__(self, model: RBM, weights: Tensor, shares: Tensor) -> None:
        self._parameters = model.weight, model.layers[0].bias, model.layers[1].bias
        self._weights = weights
        self.weight, *self.biases = (p.detach().numpy() for p in self._parameters)
        (visible, hidden), n, dtype = self.weight.shape, len(weights), self.weight.dtype
        counted = np.zeros((2, n + len(shares)), dtype)  # what each row counts in either phase
        counted[0, :n], counted[1, n:] = weights.numpy(), shares.numpy()
        self.counted, self.signed = counted, (counted[1] - counted[0])[:, None]
        self.states, self.means = (np.empty((counted.shape[1], width), dtype) for width in (visible, hidden))
        self.field = np.empty((len(shares), visible), dtype)
        self.sums = np.empty((2, visible), dtype), np.empty((2, hidden), dtype)
        self.gradients = [np.empty(p.shape, dtype) for p in self._parameters]
        self._tensors = [torch.from_numpy(g) for g in self.gradients]
        self._sigmoids = torch.from_numpy(self.field), torch.from_numpy(self.means)
        self._moments = Moments(*zip(*(torch.from_numpy(x).unbind() for x in self.sums), strict=True))

    def suits(self, model: RBM, weights: Tensor) -> bool:
        """Whether this is still where the parameters are, and what the rows count."""
        own = model.matrix_and_biases() or ()
        return weights is self._weights and len(own) == 3 and all(map(is_, own, self._parameters))

    def swept(self, v: np.ndarray, h: np.ndarray, rng: Any, sweeps: int) -> tuple[Tensor, Tensor]:
        """Both states of the chains after sweeps from hidden states h, beside the data v."""
        n = len(v)
        self.states[:n] = v
        for _ in range(sweeps):
            np.dot(h, self.weight.T, out=self.field)
            self.field += self.biases[0]
            self._sigmoids[0].sigmoid_()  # a quarter of the time of SciPy's
            _draw(rng, self.field, self.states[n:])
            np.dot(self.states, self.weight, out=self.means)
            self.means += self.biases[1]
            self._sigmoids[1].sigmoid_()
            h = np.empty_like(self.means[n:])
            _draw(rng, self.means[n:], h)
        return torch.from_numpy(self.states[n:].copy()), torch.from_numpy(h)

    def accumulate(self) -> Moments:
        """The gradient, and ⟨x⟩ of both layers in both phases."""
        for x, sums, gradient in zip((self.states, self.means), self.sums, self.gradients[1:], strict=True):
            np.dot(self.counted, x, out=sums)
            np.subtract(sums[1], sums[0], out=gradient)
        self.means *= self.signed
        np.dot(self.states.T, self.means, out=self.gradients[0])
        for parameter, found in zip(self._parameters, self._tensors, strict=True):
            parameter.grad = found
        return self._moments


def _draw(rng: Any, p: np.ndarray, out: np.ndarray) -> None:
    """0/1 states with these probabilities of a 1."""
    out[...] = rng.random_sample(p.shape) < p


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
