"""Independent draws where the states, or those of all blocks but one, are few enough to be enumerated."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from harmonium import kernels
from harmonium.models.enumeration import cheapest_block, marginal_states
from harmonium.models.evidence import unique_evidence
from harmonium.models.visible_sums import visible_states
from harmonium.random import Address

if TYPE_CHECKING:
    from harmonium.models.blocks import BlockModel
    from harmonium.models.energy import EnergyModel

EXACT_PAIRS = 2**24  # pairs of a state and a row of evidence, likewise
EXACT_STATES = 2**18  # up to this many, drawing from the exact distribution costs less than a second


@torch.no_grad()
def from_visible_states(model: EnergyModel, n: int, address: Address, given: Tensor | None) -> Tensor | None:
    """Inverse transform over the visible states, of each row over those that agree with what is given."""
    count = model.visible_space.n_states
    if count is None or count > EXACT_STATES or not model.has_free_energy():
        return None
    if given is None:
        log_p = torch.cat([-energy for _, energy in visible_states(model)])
        index = _inverse_transform(log_p, _uniforms(n, address, log_p))
        return model.visible_space.states(index).to(model.dtype)
    rows, kind = unique_evidence(given if given.ndim == 2 else given.expand(n, -1))
    if count * len(rows) > EXACT_PAIRS:
        return None
    states, energies = zip(*visible_states(model), strict=True)
    x, log_p = torch.cat(states), -torch.cat(energies)
    u, index = _uniforms(n, address, log_p), torch.empty(n, dtype=torch.long)
    for k, known in enumerate(rows.to(x)):
        agrees = ((x == known) | torch.isnan(known)).all(1)
        mine, weights = kind == k, torch.where(agrees, log_p, -torch.inf)
        if not bool((weights > -torch.inf).any()):
            raise ValueError(
                f"given: the values in row {int(mine.nonzero()[0])} have probability zero, so there is "
                "nothing to draw."
            )
        index[mine] = _inverse_transform(weights, u[mine.to(u.device)]).cpu()
    return x[index.to(x.device)]


@torch.no_grad()
def from_blocks(model: BlockModel, n: int, address: Address) -> Tensor | None:
    """Inverse transform over the states of all blocks but the one that is best summed out, then that block
    given them.
    """
    block, states = cheapest_block(model)
    if states > EXACT_STATES:
        return None
    log_p = torch.cat([-energy for _, energy in marginal_states(model, block)])
    index = _inverse_transform(log_p, _uniforms(n, address, log_p))
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


def _uniforms(n: int, address: Address, like: Tensor) -> Tensor:
    return kernels.uniform(address, (n, 1), torch.float64, like.device).flatten()


def _inverse_transform(log_p: Tensor, u: Tensor) -> Tensor:
    """The numbers of the states that these uniforms draw from the distribution ∝ exp(log_p)."""
    cumulative = torch.softmax(log_p, 0).cumsum(0)
    return torch.searchsorted(cumulative, u * cumulative[-1]).clamp(max=len(cumulative) - 1)
