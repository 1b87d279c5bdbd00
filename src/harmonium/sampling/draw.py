"""Samples for the user: `hm.sample`."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from harmonium import checks, kernels
from harmonium.models import BlockModel, EnergyModel, Interpolation, independent
from harmonium.models.enumeration import cheapest_block, marginal_states
from harmonium.random import Address, Purpose
from harmonium.sampling.chains import Chains, Clamp
from harmonium.sampling.gibbs import BlockGibbs

EXACT_STATES = 2**18  # up to this many, drawing from the exact distribution costs less than a second


def sample(
    model: EnergyModel,
    n: int = 1,
    given: Tensor | np.ndarray | None = None,
    *,
    seed: int = 0,
    sweeps: int | None = None,
) -> Tensor:
    """Draw `n` visible states from P(v), or from P(free | given).

    Where the states of one side can be enumerated (up to 2¹⁸ of them) the draws are exact and independent. Otherwise each
    row is the end of a Markov chain of its own, `sweeps` long: annealed from the independent model during the first
    half, which lets chains choose among modes while these are still connected, then at the model itself.

    Args:
        model: the model.
        n: number of rows.
        given: None, or known visible values with NaN where a unit is free: (n_visible,) or (n, n_visible).
        seed: same seed, same samples.
        sweeps: length of the chains; 1000 by default. Giving it asks for chains also where exact draws are possible.

    Returns:
        Visible states, (n, n_visible).

    Raises:
        ValueError: wrong shapes, given values outside the support, or a model whose Z may be infinite.

    >>> import harmonium as hm
    >>> rbm = hm.RBM(visible=hm.Bernoulli(3), hidden=hm.Bernoulli(2))
    >>> hm.sample(rbm, 5, seed=1).shape
    torch.Size([5, 3])
    """
    n = checks.positive_integer("n", n)
    if not isinstance(model, BlockModel):
        raise TypeError(f"model: expected a model with blocks (such as hm.RBM), got {type(model).__name__}.")
    reason = model.reason_not_normalizable()
    if reason:
        raise ValueError(f"model: {reason}")
    clamp = None if given is None else clamp_from(model, given, n)
    address = Address(seed, Purpose.SAMPLE)
    block, states = cheapest_block(model)
    if sweeps is None and clamp is None and states <= EXACT_STATES:
        return _exact(model, block, n, address)
    return _annealed(model, n, 1000 if sweeps is None else checks.positive_integer("sweeps", sweeps), clamp, address)


def clamp_from(model: BlockModel, given: Tensor | np.ndarray, n: int) -> Clamp:
    """A clamp from values with NaN where free, checked against the support of the visible units."""
    visible = model.layers[0]
    values = torch.as_tensor(given).to(device=model.device, dtype=model.dtype)
    if values.shape not in ((visible.width,), (n, visible.width)):
        raise ValueError(
            f"given: expected shape ({visible.width},) or ({n}, {visible.width}) with NaN where free, got {tuple(values.shape)}."
        )
    held = ~torch.isnan(values)
    # free cells take the mode, a valid state, so that the given ones are checked by the layer's own rule
    filled = torch.where(held, values, visible.mode(visible.bias.detach()[None]))
    problem = visible.violation(filled)
    if problem:
        raise ValueError(f"given: {problem} ({type(visible).__name__} units); NaN marks free ones.")
    return Clamp(held, values)


@torch.no_grad()
def _exact(model: BlockModel, block: int, n: int, address: Address) -> Tensor:
    """Inverse transform over the enumerated states of all blocks but one, then that block given them."""
    log_p = torch.cat([-energy for _, energy in marginal_states(model, block)])
    cumulative = torch.softmax(log_p, 0).cumsum(0)
    u = kernels.uniform(address, (n, 1), torch.float64, model.device).flatten()
    index = torch.searchsorted(cumulative, u * cumulative[-1]).clamp(max=len(cumulative) - 1)
    state: list[Tensor] = [torch.empty(n, 0, dtype=model.dtype, device=model.device)] * len(model.layers)
    for i, layer in enumerate(model.layers):
        if i != block:
            count = int(layer.n_states or 0)
            state[i] = layer.states(index % count).to(model.dtype)
            index = torch.div(index, count, rounding_mode="floor")
    if block == 0:
        field = model.field(0, tuple(state))
        here = model.block_address(0, address.at(step=1))
        state[0] = model.conditional_units(0).sample(field, here)
    return state[0]


@torch.no_grad()
def _annealed(model: BlockModel, n: int, sweeps: int, clamp: Clamp | None, address: Address) -> Tensor:
    chains = Chains(model.random_state(n, address.at(step=0)), address.at(step=1))
    if clamp is not None:
        chains = chains.with_visible(clamp.apply(chains.visible))
    step = BlockGibbs(clamp)
    start, heating = independent(model), sweeps // 2
    for k in range(heating):
        chains = step(Interpolation(start, model, (k + 1) / heating), chains)
    for _ in range(sweeps - heating):
        chains = step(model, chains)
    return chains.visible
