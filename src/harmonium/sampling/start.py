"""How chains begin and by which kernel they move when nobody chooses: one answer for each family of
models.
"""

from __future__ import annotations

from functools import singledispatch

import torch
from torch import Tensor

from harmonium import checks, kernels
from harmonium.models import BlockModel, EnergyModel
from harmonium.random import Address
from harmonium.sampling.chains import Chains, Clamp, Kernel, State
from harmonium.sampling.gibbs import BlockGibbs
from harmonium.sampling.graph import GraphGibbs
from harmonium.sampling.hamiltonian import HMC
from harmonium.sampling.sites import SiteGibbs


@singledispatch
def default_kernel(model: EnergyModel, clamp: Clamp | None = None) -> Kernel:
    """The kernel that suits `model` when no other is chosen; `clamp` holds visible units fixed.

    Raises:
        TypeError: the model neither names its blocks, nor is a graph, nor declares its space.
    """
    if model.graph_at() is not None:
        return GraphGibbs(clamp)
    return SiteGibbs(clamp) if model.visible_space.bounds is None else HMC(clamp=clamp)


@default_kernel.register(BlockModel)
def _(model: BlockModel, clamp: Clamp | None = None) -> Kernel:
    return BlockGibbs(clamp)


@singledispatch
def hidden_kernel(model: EnergyModel, v: Tensor, sweeps: int) -> Kernel:
    """The kernel that draws hidden variables, so many sweeps long, and leaves the visible ones at `v`."""
    if model.graph_at() is not None:
        return GraphGibbs(sweeps=sweeps, hidden_only=True)
    return SiteGibbs(sweeps=sweeps, hidden_only=True)


@hidden_kernel.register(BlockModel)
def _(model: BlockModel, v: Tensor, sweeps: int) -> Kernel:
    held = torch.ones(v.shape[1], dtype=torch.bool, device=v.device)
    return BlockGibbs(Clamp(held, v), sweeps)


def divides(model: EnergyModel, clamp: Clamp | None = None) -> bool:
    """Whether several processes can each move a share of the chains: those of models of which only the energy
    is known share what they adapt.
    """
    return bool(getattr(default_kernel(model, clamp), "divides", False))


def complete(
    model: EnergyModel, v: Tensor, address: Address, sweeps: int = 10, start: State | None = None
) -> State:
    """Joint states (v, h): rows of data with hidden variables drawn from P(h | v), for the gradient of joint
    energies.

    Visible variables alone where the model has its free energy, since then nothing need be drawn. Otherwise h
    comes from chains that are `sweeps` long with v clamped, from `start` or a random state: exact only in the
    limit of long chains. `model.accumulate_phase(complete(model, v, address), weights)` is a phase of the
    gradient for every model.
    """
    if model.has_free_energy():
        return (v,)
    own = model.complete(v, address)
    if own is not None:
        return own
    state = start or (v, *model.random_state(len(v), address)[1:])
    chains = Chains((v, *state[1:]), address.at(step=address.step + 1))
    return hidden_kernel(model, v, sweeps)(model, chains).state


@torch.no_grad()
def initial_chains(model: EnergyModel, n: int, address: Address, data: Tensor | None = None) -> Chains:
    """`n` chains at their starts, drawn at `address`; their next draws live one step later.

    Args:
        model: whose states the chains hold.
        n: number of chains.
        address: where the starting states are drawn; chain r of the address is row r.
        data: visible rows to start from: row r for chain r when there are `n` of them, otherwise each chain
            takes one at random. Without data the chains start from the units as if uncoupled, or uniformly
            over the space.

    >>> import harmonium as hm
    >>> from harmonium.random import Address, Purpose
    >>> rbm = hm.RBM(visible=hm.Bernoulli(4), hidden=hm.Bernoulli(2))
    >>> chains = initial_chains(rbm, 3, Address(seed=0, purpose=Purpose.START))
    >>> chains.visible.shape, chains.address.step
    (torch.Size([3, 4]), 1)
    """
    n = checks.positive_integer("n", n)
    later = address.at(step=address.step + 1)
    if data is None:
        return Chains(model.random_state(n, address), later)
    if len(data) == 0:
        raise ValueError("data: expected at least one row to start from, got none.")
    rows = data.to(device=model.device, dtype=model.dtype)
    if len(rows) != n:
        rows = picked(rows, n, address)
    return Chains(model.state_of(rows), later)


def picked(rows: Tensor, n: int, address: Address) -> Tensor:
    """`n` of the rows at random, the same one for a chain wherever it lives."""
    u = kernels.uniform(address, (n, 1), torch.float64, rows.device).flatten()
    return rows[(u * len(rows)).long()]
