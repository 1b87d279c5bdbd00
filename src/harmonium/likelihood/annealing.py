"""Annealed importance sampling, forward from the reference and in reverse from the model.

Chains are led along the path while the logarithm of their weight, minus the work W, adds up. For exact
starting states

    E[exp(-W_forward)] = Z / Z₀        (Neal 2001; Jarzynski 1997),

so that the forward estimate exceeds log Z by more than b with probability exp(-b) at most, and the reverse
one falls short of it likewise (Grosse, Ghahramani & Adams 2015): together they hold the truth from both
sides. Bennett's ratio joins them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from harmonium import checks
from harmonium.likelihood import inputs
from harmonium.likelihood.bridge import exponential_average, sigmoid, solve
from harmonium.likelihood.estimate import Estimate
from harmonium.models import EnergyModel, uncoupled
from harmonium.random import Address, Purpose
from harmonium.sampling.chains import State
from harmonium.sampling.segments import Segment


@dataclass(frozen=True)
class Annealed:
    """Works of annealed chains, with log Z₀ of the reference added to what they say.

    Attributes:
        forward, reverse: works, (chains,), nats.
        base: log Z of the reference.
    """

    forward: np.ndarray
    reverse: np.ndarray
    base: float

    @property
    def lower(self) -> float:
        """The forward estimate: low more often than high."""
        return self.base + exponential_average(-self.forward)

    @property
    def upper(self) -> float:
        """The reverse estimate: high more often than low."""
        return self.base - exponential_average(-self.reverse)

    @property
    def joined(self) -> float:
        """Bennett's ratio of both."""
        return self.base + solve(self.forward, self.reverse)

    @property
    def overlap(self) -> float:
        """1 when annealing was reversible, 0 when the works of both directions have nothing in common."""
        c = self.joined - self.base
        return float(sigmoid(-self.forward - c).mean() + sigmoid(c - self.reverse).mean())

    @property
    def hysteresis(self) -> float:
        """The work lost on the way and back, in units of what its fluctuations account for.

        Near equilibrium the mean works of both directions add up to half the sum of their variances (the
        fluctuation-dissipation relation), which makes this 1. Large values mean that the two directions went
        through different states and never met: some mode was missed.
        """
        expected = 0.5 * float(self.forward.var(ddof=1) + self.reverse.var(ddof=1))
        return self.lost / max(expected, 1e-12)

    @property
    def lost(self) -> float:
        """The mean work lost on the way and back, nats."""
        return float(self.forward.mean() + self.reverse.mean())


def forward_error(works: np.ndarray) -> float:
    """The usual standard error of the forward estimate, from the spread of the weights: no measure of its
    bias.
    """
    weights = np.exp(-works - exponential_average(-works))
    return float(weights.std(ddof=1) / len(works) ** 0.5)


def effective_size(works: np.ndarray) -> float:
    """(Σ w)² / Σ w² of the weights."""
    weights = np.exp(-works - exponential_average(-works))
    return float(weights.sum() ** 2 / (weights**2).sum())


@torch.no_grad()
def anneal(
    start: EnergyModel,
    model: EnergyModel,
    positions: np.ndarray,
    forward: State,
    reverse: State,
    address: Address,
) -> tuple[np.ndarray, np.ndarray]:
    """(works of chains led from `start` to `model`, works of chains led the other way).

    Args:
        start: the beginning of the path.
        model: its end.
        positions: increasing, from 0 to 1.
        forward: states drawn from `start`.
        reverse: states drawn from `model`; may have no rows.
        address: where the draws live.
    """
    state = tuple(torch.cat(pair) for pair in zip(forward, reverse, strict=True))
    n, rows = len(forward[0]), len(state[0])
    up = torch.from_numpy(positions).to(state[0])[:, None]
    betas = torch.cat([up.expand(-1, n), up.flip(0).expand(-1, rows - n)], 1)  # reverse ones go down
    _, work = Segment(start, model).lead_all(state, betas, address)
    works = work.cpu().numpy()
    return works[:n], works[n:]


@torch.no_grad()
def annealed_importance_sampling(
    model: EnergyModel, temperatures: int = 1000, chains: int = 128, seed: int = 0
) -> Estimate:
    """Log Z by plain annealed importance sampling, as it is commonly done (Salakhutdinov & Murray 2008).

    Evenly spaced temperatures, one sweep each, and ±1.96 standard errors across chains. The path begins at
    the units' own biases, or at uniform states where the model is no blocks of units; what a Markov random
    field forbids costs a finite price on the way, and a chain that ends there has the weight 0. For
    comparison: the weights of few good chains decide, so the estimate is often low by several of its standard
    errors. `log_partition` doesn't use it.

    Raises:
        TypeError, ValueError: no model, one whose Z may be infinite, or no chain ends at a state that the
            model allows.

    >>> import harmonium as hm
    >>> rbm = hm.RBM(visible=hm.Bernoulli(3), hidden=hm.Bernoulli(2))
    >>> abs(annealed_importance_sampling(rbm, 20, 50).value - hm.log_partition(rbm).value) < 0.1
    True
    """
    model = inputs.normalizable("model", model).normaliser
    temperatures = checks.positive_integer("temperatures", temperatures)
    chains = checks.integer("chains", chains, low=2)
    start = uncoupled(model)
    base, address = start.closed_form_log_partition(), Address(seed, Purpose.ANNEALING)
    assert base is not None  # independent variables have one
    begin = start.random_state(chains, address)
    betas = torch.linspace(0, 1, temperatures + 1, dtype=torch.float64).to(begin[0])[:, None]
    path = Segment(start, model.softened())
    end, work = path.lead_all(begin, betas.expand(-1, chains), address.at(step=1))
    works = np.where(model.obeys(end[0]).cpu().numpy(), work.cpu().numpy(), np.inf)
    if not np.isfinite(works).any():
        raise ValueError("model: no chain ended at a state of probability above zero; there may be none.")
    value, stderr = float(base) + exponential_average(-works), forward_error(works)
    method = f"annealed importance sampling, {temperatures} temperatures, {chains} chains"
    reach = 1.96 * stderr
    return Estimate(value, stderr, value - reach, value + reach, method, effective_size(works))
