"""Exact sums over the states of a model, in closed form over one block and state by state over the rest."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from harmonium.models.blocks import BlockModel, State

CHUNK = 2**14  # states per block of work: large enough for the matrix products, small enough for the cache


def cheapest_block(model: BlockModel) -> tuple[int, int | float]:
    """(the block best summed in closed form, the number of states of all the others; inf when one is
    infinite).
    """
    counts = [layer.n_states for layer in model.layers]
    costs = [_product(counts[:i] + counts[i + 1 :]) for i in range(len(counts))]
    best = min(range(len(costs)), key=costs.__getitem__)
    return best, costs[best]


def _product(counts: list[int | None]) -> int | float:
    """The product of whole numbers of any size; inf when one is None, for without end."""
    finite = [c for c in counts if c is not None]
    return math.prod(finite) if len(finite) == len(counts) else math.inf


@torch.no_grad()
def marginal_states(model: BlockModel, block: int, chunk: int = CHUNK) -> Iterator[tuple[State, Tensor]]:
    """Walk through all joint states of the blocks other than `block`.

    Yields (state, energy) in chunks: `state` has an empty tensor in place of `block`, and `energy` is
    -log Σ exp(-E) over that block, (states,), float64, nats. The memory needed doesn't grow with the number
    of states.
    """
    others = [i for i in range(len(model.layers)) if i != block]
    total = math.prod(int(model.layers[i].n_states or 0) for i in others)
    for start in range(0, total, chunk):
        index = torch.arange(start, min(start + chunk, total), device=model.device)
        rows = len(index)
        state = [torch.empty(rows, 0, device=model.device, dtype=model.dtype)] * len(model.layers)
        for i in others:
            count = int(model.layers[i].n_states or 0)
            state[i] = model.layers[i].states(index % count).to(model.dtype)
            index = torch.div(index, count, rounding_mode="floor")
        yield tuple(state), model.marginal_energy(block, tuple(state)).detach().double()


def log_sum_over_states(model: BlockModel, block: int, chunk: int = CHUNK) -> float:
    """log Z, nats, by walking through the states of all blocks but one."""
    peak, total = -math.inf, 0.0
    for _, energy in marginal_states(model, block, chunk):
        top = float((-energy).max())
        if top > peak:
            total *= math.exp(peak - top)
            peak = top
        total += float(torch.exp(-energy - peak).sum())
    return peak + math.log(total)
