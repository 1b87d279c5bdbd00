"""Block Gibbs sampling: every block in turn is drawn given all the others."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from harmonium.models import BlockModel, EnergyModel
from harmonium.sampling.chains import Chains, Clamp


@dataclass(frozen=True)
class BlockGibbs:
    """One sweep over the blocks of a `BlockModel`, last to first, so that the visible units come last and
    fresh.

    For an RBM: h ~ P(h | v), then v ~ P(v | h). The draws of a sweep are at the chains' address, each block
    at its own units, so a chain is a pure function of (start, seed, time) and of the model.

    Attributes:
        clamp: visible units to hold fixed, if any; the chain then has P(free | held) as its invariant
            distribution.
        sweeps: sweeps made by one call.
    """

    clamp: Clamp | None = None
    sweeps: int = 1

    @torch.no_grad()
    def __call__(self, model: EnergyModel, chains: Chains) -> Chains:
        if not isinstance(model, BlockModel):
            raise TypeError(f"model: expected a BlockModel, got {type(model).__name__}.")
        for _ in range(self.sweeps):
            chains = self._sweep(model, chains)
        return chains

    def _sweep(self, model: BlockModel, chains: Chains) -> Chains:
        state = list(chains.state)
        for block in reversed(range(len(state))):
            units = model.conditional_units(block)
            field = model.field(block, tuple(state))
            state[block] = units.sample(field, model.block_address(block, chains.address))
            if block == 0 and self.clamp is not None:
                state[0] = self.clamp.apply(state[0])
        return chains.moved(tuple(state))
