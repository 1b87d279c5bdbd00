"""Block Gibbs sampling: every block in turn is drawn given all the others."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch

from harmonium import kernels
from harmonium.kernels import Side
from harmonium.models import BlockModel, EnergyModel
from harmonium.models.blocks import Bipartite
from harmonium.numerics import without_gradients
from harmonium.sampling.chains import Chains, Clamp, Kernel, check_kernel
from harmonium.sampling.graph import GraphGibbs
from harmonium.sampling.real_blocks import RealBlocks, real_blocks
from harmonium.units.compiled import compiled_side


@dataclass(frozen=True)
class BlockGibbs:
    """One sweep over the blocks of a `BlockModel`, last to first, so that the visible units come last and
    fresh.

    For an RBM: h ~ P(h | v), then v ~ P(v | h), the real units of both together (`real_blocks`). The draws of
    a sweep are at the chains' address, each block at its own units, so a chain is a pure function of (start,
    seed, time) and of the model.

    Attributes:
        clamp: visible units to hold fixed, if any; the chain then has P(free | held) as its invariant
            distribution.
        sweeps: sweeps made by one call.
    """

    divides: ClassVar[bool] = True  # no chain has anything to do with another

    clamp: Clamp | None = None
    sweeps: int = 1

    def __post_init__(self) -> None:
        check_kernel(self.clamp, sweeps=self.sweeps)

    @without_gradients
    def __call__(self, model: EnergyModel, chains: Chains) -> Chains:
        if not isinstance(model, BlockModel):
            raise TypeError(f"model: expected a BlockModel, got {type(model).__name__}.")
        done = _in_one_call(model, chains, self.sweeps) if self.clamp is None else None
        if done is not None:
            return done
        part = None if self.clamp is None else model.given(self.clamp.held, self.clamp.values)
        if part is not None:
            return self._of_part(*part, chains)
        together = real_blocks(model, self.clamp)
        for _ in range(self.sweeps):
            chains = self._sweep(model, chains, together)
        return chains

    def _of_part(self, model: BlockModel, first: int, chains: Chains) -> Chains:
        """The chains after sweeps over the columns of block 0 from `first` on, and all other blocks."""
        v = chains.visible
        moved = BlockGibbs(None, self.sweeps)(
            model, Chains((v[:, first:], *chains.state[1:]), chains.address)
        )
        free, *rest = moved.state
        return Chains((torch.cat([v[:, :first], free], 1), *rest), moved.address)

    def _sweep(self, model: BlockModel, chains: Chains, together: RealBlocks | None = None) -> Chains:
        state = list(chains.state)
        for block in reversed(range(len(state))):
            units = model.units_in(block, tuple(state))
            field = model.field(block, tuple(state))
            state[block] = units.sample(field, model.block_address(block, chains.address))
            if block == 1 and together is not None:
                together.redraw_(state[0], state[1], field)
            if block == 0 and self.clamp is not None:
                state[0] = self.clamp.apply(state[0])
        return chains.moved(tuple(state))


def advance(kernel: Kernel, model: EnergyModel, chains: Chains, steps: int) -> Chains:
    """The chains after so many steps of a kernel; Gibbs on blocks or graphs makes them in one call."""
    if steps > 1 and isinstance(kernel, (BlockGibbs, GraphGibbs)):
        return replace(kernel, sweeps=kernel.sweeps * steps)(model, chains)
    for _ in range(steps):
        chains = kernel(model, chains)
    return chains


def _in_one_call(model: BlockModel, chains: Chains, sweeps: int) -> Chains | None:
    """The same sweeps by a compiled loop, None where there is none for this model."""
    pair = model.bipartite()
    if pair is None or sweeps < 1 or not kernels.sweeps_suit(pair.weight):
        return None
    sides = sides_of(model, pair)
    if sides is None:
        return None
    addresses = model.block_address(0, chains.address), model.block_address(1, chains.address)
    state = kernels.gibbs(pair.weight, sides, chains.visible, addresses, sweeps, pair.beta)
    if state is None:
        return None
    return Chains(state, chains.address.at(step=chains.address.step + sweeps))


def sides_of(model: BlockModel, pair: Bipartite) -> tuple[Side, Side] | None:
    """Both layers as the compiled loops take them, None where there is none for one of them."""
    base = pair.base or (None, None)
    first, second = (compiled_side(*side) for side in zip(model.layers, pair.bias, base, strict=True))
    return None if first is None or second is None else (first, second)
