"""How chains begin and by which kernel they move when nobody chooses: one answer for each family of models."""

from __future__ import annotations

import torch
from torch import Tensor

from harmonium import checks, kernels
from harmonium.models import BlockModel, EnergyModel
from harmonium.random import Address
from harmonium.sampling.chains import Chains, Clamp, Kernel
from harmonium.sampling.gibbs import BlockGibbs


def default_kernel(model: EnergyModel, clamp: Clamp | None = None) -> Kernel:
    """The kernel that suits `model` when no other is chosen; `clamp` holds visible units fixed.

    Raises:
        TypeError: the model neither names its blocks nor declares its space.
    """
    if isinstance(model, BlockModel):
        return BlockGibbs(clamp)
    raise TypeError(f"model: expected a model with blocks (such as hm.RBM), got {type(model).__name__}.")


@torch.no_grad()
def initial_chains(model: EnergyModel, n: int, address: Address, data: Tensor | None = None) -> Chains:
    """`n` chains at their starts, drawn at `address`; their next draws live one step later.

    Args:
        model: whose states the chains hold.
        n: number of chains.
        address: where the starting states are drawn; chain r of the address is row r.
        data: visible rows to start from (each chain takes one at random); without them the chains start from the
            units as if uncoupled.

    >>> import harmonium as hm
    >>> from harmonium.random import Address, Purpose
    >>> rbm = hm.RBM(visible=hm.Bernoulli(4), hidden=hm.Bernoulli(2))
    >>> chains = initial_chains(rbm, 3, Address(seed=0, purpose=Purpose.START))
    >>> chains.visible.shape, chains.address.step
    (torch.Size([3, 4]), 1)
    """
    n = checks.positive_integer("n", n)
    state = model.random_state(n, address)
    later = address.at(step=address.step + 1)
    if data is None:
        return Chains(state, later)
    if len(data) == 0:
        raise ValueError("data: expected at least one row to start from, got none.")
    # the draw of visible unit 0, which the rows replace, is free to choose them
    u = kernels.uniform(address, (n, 1), torch.float64, data.device).flatten()
    rows = data[(u * len(data)).long()].to(state[0])
    return Chains((rows, *state[1:]), later)
