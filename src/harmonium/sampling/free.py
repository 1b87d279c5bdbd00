"""Free cells of rows: what a row leaves open, drawn given what it tells."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from harmonium.models import EnergyModel
from harmonium.random import Address
from harmonium.sampling.chains import Chains, Clamp, State
from harmonium.sampling.gibbs import advance
from harmonium.sampling.start import default_kernel

BURN_IN = 20  # sweeps of cells that begin anywhere


def redraws_hidden(model: EnergyModel) -> bool:
    """Whether a sweep draws all hidden units given the visible ones, and so needs none to begin with."""
    return 0 < len(model.named_blocks) <= 2


def begun(model: EnergyModel, v: Tensor, hidden: State | None, address: Address) -> State:
    """A state whose free variables, NaN in `v` and `hidden`, are those of a random state.

    Args:
        model: whose state it is.
        v: visible states, (rows, n_visible).
        hidden: the blocks of hidden units, each (rows, width); None where all of them are free.
        address: where the random state is drawn.
    """
    start = model.random_state(len(v), address)
    if model.constrained:
        x = torch.where(torch.isnan(v), start[0].to(v), v)
        return (model.obedient(x, address.at(step=address.step + 1), v),)
    state = (v, *(start[1:] if hidden is None else hidden))
    return tuple(torch.where(torch.isnan(x), s.to(x), x) for x, s in zip(state, start, strict=True))


def moved(
    model: EnergyModel, chains: Chains, free: Tensor, sweeps: int, info: Mapping[str, float] | None = None
) -> Chains:
    """The chains after some sweeps that leave all visible cells but the free ones, (rows, n_visible), as they
    are.
    """
    kernel = default_kernel(model, Clamp(~free, chains.visible))
    return advance(kernel, model, Chains(chains.state, chains.address, info or {}), sweeps)


@torch.no_grad()
def filled(model: EnergyModel, v: Tensor, address: Address, sweeps: int = BURN_IN) -> Tensor:
    """The rows whole: free cells, NaN, drawn given the others of their row; `v` itself where there are none.

    By chains that begin anywhere: from P(free | known) only in the limit of many sweeps. Good enough for
    chains to start from.
    """
    free = torch.isnan(v)
    if not bool(free.any()):
        return v
    state = begun(model, v, None, address)
    return moved(model, Chains(state, address.at(step=address.step + 2)), free, sweeps).visible.to(v)
