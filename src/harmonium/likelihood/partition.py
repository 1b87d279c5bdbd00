"""`log_partition`: one call, the right method."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from harmonium.likelihood.estimate import Estimate
from harmonium.likelihood.exact import exact_log_partition
from harmonium.models import BlockModel, EnergyModel, Interpolation, independent
from harmonium.random import Address, Purpose
from harmonium.sampling import BlockGibbs, Chains

Progress = Callable[[float, str], None]
"""Called with the share of the work done, 0 to 1, and what is being done."""


def log_partition(
    model: EnergyModel,
    *,
    seconds: float | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Estimate:
    """The logarithm of Z = Σₓ exp(-E(x)), nats, with a 95 % interval.

    Exact where a formula gives it or the states of all blocks but one can be summed, otherwise annealed.

    Args:
        model: the model.
        seconds: about how long an estimate may take; more time gives a narrower interval.
        seed: same seed, same estimate.
        progress: called with the share of the work done and what is being done.

    Raises:
        ValueError: a model whose Z may be infinite.
        TypeError: a model without blocks whose states can't be summed.

    >>> import harmonium as hm
    >>> rbm = hm.RBM(visible=hm.Bernoulli(3), hidden=hm.Bernoulli(2))
    >>> hm.log_partition(rbm).method
    'exact, sum over 4 states'
    """
    reason = model.reason_not_normalizable()
    if reason:
        raise ValueError(f"model: {reason}")
    exact = exact_log_partition(model)
    if exact is not None:
        return exact
    if not isinstance(model, BlockModel):
        raise TypeError(f"model: expected a model with blocks (such as hm.RBM), got {type(model).__name__}.")
    return _annealed(model, seed)


@torch.no_grad()
def _annealed(model: BlockModel, seed: int, temperatures: int = 1000, chains: int = 128) -> Estimate:
    """Annealed importance sampling from the independent model (Neal 2001)."""
    start = independent(model)
    closed = start.closed_form_log_partition()
    assert closed is not None
    address = Address(seed, Purpose.ANNEALING)
    walkers = Chains(start.random_state(chains, address), address.at(step=1))
    log_weights = torch.zeros(chains, dtype=torch.float64)
    step, last = BlockGibbs(), len(model.layers) - 1
    here = Interpolation(start, model, 0.0)
    for k in range(1, temperatures + 1):
        there = here.at(k / temperatures)
        log_weights += _marginal(here, last, walkers.state) - _marginal(there, last, walkers.state)
        walkers, here = step(there, walkers), there
    total = torch.logsumexp(log_weights, 0)
    value = float(closed) + float(total) - math.log(chains)
    relative = torch.exp(log_weights - total + math.log(chains))
    stderr = float(relative.std()) / chains**0.5
    ess = float(torch.exp(2 * total - torch.logsumexp(2 * log_weights, 0)))
    return Estimate(value, stderr, value - 1.96 * stderr, value + 1.96 * stderr, "annealed", ess)


def _marginal(model: BlockModel, block: int, state: tuple[Tensor, ...]) -> Tensor:
    return model.marginal_energy(block, state).double()
