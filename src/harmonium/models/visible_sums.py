"""Sums over the states of a model of which only the energy is known."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from harmonium.models.space import Discrete

if TYPE_CHECKING:
    from harmonium.models.energy import EnergyModel

CHUNK = 2**15  # states per call of the energy
LIMIT = 2**24  # more are refused
HIDDEN_STATES = 2**12  # up to this many per visible row, F(v) is a sum


def free_energy_by_enumeration(model: EnergyModel, v: Tensor, hidden: Discrete) -> Tensor:
    """F(v) = -log Σₕ exp(-E(v, h)), (batch,), nats, summing over every state of `hidden`."""
    count = hidden.n_states
    if count > HIDDEN_STATES:
        raise ValueError(
            f"free_energy: expected at most {HIDDEN_STATES} hidden states to sum over, got {count:.3g}; "
            "learning uses clamped samples of the hidden variables instead."
        )
    h = hidden.states(torch.arange(count, device=v.device)).to(v.dtype)
    parts = []
    for rows in v.split(max(1, CHUNK // count)):
        energy = model.checked_energy(rows.repeat_interleave(count, 0), h.repeat(len(rows), 1))
        parts.append(-torch.logsumexp(-energy.view(len(rows), count), 1))
    return torch.cat(parts) if parts else v.new_empty(0)


@torch.no_grad()
def visible_states(model: EnergyModel, chunk: int = CHUNK) -> Iterator[tuple[Tensor, Tensor]]:
    """Walk through all visible states: (states, F) in chunks, F in float64; memory doesn't grow with their
    number.

    Raises:
        ValueError: when there are infinitely many states or more than 2²⁴.
    """
    space = model.visible_space
    total = space.n_states
    if total is None or total > LIMIT:
        many = "infinitely many" if total is None else f"{total:.3g}"
        raise ValueError(
            f"model: enumeration needs at most 2^{LIMIT.bit_length() - 1} visible states, got {many}."
        )
    for v in space.walk(chunk, model.device):
        x = v.to(model.dtype)
        yield x, model.free_energy(x).double()


@torch.no_grad()
def log_sum_over_visible(model: EnergyModel) -> Tensor:
    """log Z, nats, float64, by walking through the visible states."""
    parts = [torch.logsumexp(-energy, 0) for _, energy in visible_states(model)]
    return torch.logsumexp(torch.stack(parts), 0)
