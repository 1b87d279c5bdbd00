"""Straight pieces (1-β) E₀ + β E₁ of a path between two models, every chain at a β of its own.

What replica exchange and annealing need of a piece is little: how the free energy of a state changes from one
β to another, and a sweep at a given β. A `Segment` looks at states once, and the `View` it returns answers
both.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import singledispatch

import torch
from torch import Tensor

from harmonium import kernels, processes
from harmonium.models import BlockModel, EnergyModel, Path
from harmonium.models.path import Interpolation
from harmonium.random import Address
from harmonium.sampling.chains import Chains, Clamp, State
from harmonium.sampling.gibbs import sides_of
from harmonium.sampling.start import default_kernel
from harmonium.units import Units

STEPS = 100  # of a path in one compiled call, which can't be interrupted


class View(ABC):
    """What a piece of a path has to say about some states."""

    @abstractmethod
    def work(self, here: Tensor, there: Tensor) -> Tensor:
        """(Free) energy of the states at β = `there` minus that at `here`, (rows,), float64; β is (rows,
        1).
        """

    @abstractmethod
    def sweep(self, beta: Tensor, address: Address) -> State:
        """The states after one sweep at β, (rows, 1)."""


class Segment(ABC):
    """A piece of a path.

    Attributes:
        divides: whether chains can be led by several processes: no chain has anything to do with another.
    """

    divides: bool = False

    @abstractmethod
    def look(self, state: State) -> View:
        """What both ends say about these states."""

    def lead_all(self, state: State, betas: Tensor, address: Address) -> tuple[State, Tensor]:
        """As `lead`, the chains divided among the processes; afterwards each knows all of them."""
        if processes.count() == 1 or not self.divides:
            return self.lead(state, betas, address)
        assert isinstance(address.chain, int)  # chains are neighbours
        own = processes.share(len(state[0]))
        part, work = tuple(x[own] for x in state), torch.zeros(0, dtype=torch.float64, device=state[0].device)
        if processes.size(own):
            here = address.at(chain=address.chain + own.start)
            part, work = self.lead(part, betas[:, own].contiguous(), here)
        return tuple(processes.gather(x) for x in part), processes.gather(work)

    def lead(self, state: State, betas: Tensor, address: Address) -> tuple[State, Tensor]:
        """(States led through the points `betas`, (steps + 1, rows), with a sweep at each but the first; the
        work on the way, (rows,), float64, nats).
        """
        work = torch.zeros(len(state[0]), dtype=torch.float64, device=state[0].device)
        for k in range(len(betas) - 1):
            here, there = betas[k, :, None], betas[k + 1, :, None]
            view = self.look(state)
            work += view.work(here, there)
            state = view.sweep(there, address.at(step=address.step + k))
        return state, work


def summed_block(model: BlockModel, but: int | None = None) -> int:
    """The block to sum out in closed form, other than `but`: the one with most sites, so that the fewest are
    left to chance.
    """
    sites = [(-1 if i == but else layer.n, i) for i, layer in enumerate(model.layers)]
    return max(sites)[1]


class BlockSegment(Segment):
    """A piece between models with blocks, of which one is summed out: free energies of the other blocks
    overlap more than joint energies do.
    """

    def __init__(self, start: BlockModel, end: BlockModel, clamp: Clamp | None = None) -> None:
        self.start, self.end, self.clamp = start, end, clamp
        self.divides = clamp is None  # which has a row for each chain
        self.summed = summed_block(end, but=None if clamp is None else 0)

    def look(self, state: State) -> BlockView:
        """Fields and energies at both ends."""
        b = self.summed
        fields = self.fields(b, state)
        energies = [model.energy_without(b, state).double() for model in (self.start, self.end)]
        return BlockView(self, state, fields, energies)

    def lead(self, state: State, betas: Tensor, address: Address) -> tuple[State, Tensor]:
        """As any segment does, by a compiled loop where there is one for these models."""
        done = self._lead_in_one_call(state, betas, address)
        return super().lead(state, betas, address) if done is None else done

    def _lead_in_one_call(self, state: State, betas: Tensor, address: Address) -> tuple[State, Tensor] | None:
        point = Interpolation(self.start, self.end, 1.0)
        pair = None if self.clamp is not None else point.bipartite()
        sides = None if pair is None else sides_of(point, pair)
        if pair is None or sides is None or not kernels.sweeps_suit(pair.weight):
            return None
        work = torch.zeros(len(state[0]), dtype=torch.float64, device=state[0].device)
        for k in range(0, len(betas) - 1, STEPS):
            here = address.at(step=address.step + k)
            addresses = point.block_address(0, here), point.block_address(1, here)
            given, some = state[1 - self.summed], betas[k : k + STEPS + 1]
            done = kernels.lead(pair.weight, sides, self.summed, given, addresses, some)
            if done is None:
                return None
            state, work = done[0], work + done[1]
        return state, work

    def fields(self, block: int, state: State) -> tuple[Tensor, Tensor]:
        """The fields on `block` at both ends."""
        return self.start.field(block, state), self.end.field(block, state)

    def units(self, block: int, state: State, beta: Tensor) -> Units:
        """The units of `block` at β."""
        return self.start.units_in(block, state).interpolate(self.end.units_in(block, state), beta)

    def draw(self, block: int, state: State, fields: Sequence[Tensor], at: tuple[Tensor, Address]) -> Tensor:
        """New states of `block` at (β, address) given its fields at both ends."""
        beta, address = at
        field = torch.lerp(fields[0], fields[1], beta)
        x = self.units(block, state, beta).sample(field, self.end.block_address(block, address))
        return self.clamp.apply(x) if self.clamp is not None and block == 0 else x


@dataclass(frozen=True)
class BlockView(View):
    """States, the fields on the summed block and the energies without it, at both ends."""

    segment: BlockSegment
    state: State
    fields: Sequence[Tensor]
    energies: Sequence[Tensor]

    def work(self, here: Tensor, there: Tensor) -> Tensor:
        """Difference of the free energies of all blocks but the summed one."""
        return self.marginal(there) - self.marginal(here)

    def marginal(self, beta: Tensor) -> Tensor:
        """-log of the sum of exp(-E) over the summed block at β, (rows,), float64, nats."""
        field = torch.lerp(self.fields[0], self.fields[1], beta)
        cumulant = self.segment.units(self.segment.summed, self.state, beta).cumulant(field)
        own = torch.lerp(self.energies[0], self.energies[1], beta.squeeze(-1).double())
        return own - cumulant.double().sum(-1)

    def sweep(self, beta: Tensor, address: Address) -> State:
        """One Gibbs sweep: the summed block, whose fields are known, then the others."""
        b, new = self.segment.summed, list(self.state)
        new[b] = self.segment.draw(b, self.state, self.fields, (beta, address))
        for block in reversed(range(len(new))):
            if block != b:
                fields = self.segment.fields(block, tuple(new))
                new[block] = self.segment.draw(block, tuple(new), fields, (beta, address))
        return tuple(new)


class EnergySegment(Segment):
    """A piece between models of which only the energies are known, swept by the kernel that suits the end."""

    def __init__(self, start: EnergyModel, end: EnergyModel, clamp: Clamp | None = None) -> None:
        self.start, self.end = start, end
        self.kernel = default_kernel(Path(start, end, 1.0), clamp)
        self.info: dict[str, float] = {}  # such as a step size that the kernel adapts

    def look(self, state: State) -> EnergyView:
        """Energies at both ends."""
        start, end = (model.energy(*state).double() for model in (self.start, self.end))
        return EnergyView(self, state, end - start)


@dataclass(frozen=True)
class EnergyView(View):
    """States, and by how much their energy grows from one end to the other."""

    segment: EnergySegment
    state: State
    slope: Tensor

    def work(self, here: Tensor, there: Tensor) -> Tensor:
        """The energy is linear in β."""
        return (there - here).squeeze(-1).double() * self.slope

    def sweep(self, beta: Tensor, address: Address) -> State:
        """One call of the kernel."""
        own = self.segment
        chains = own.kernel(Path(own.start, own.end, beta), Chains(self.state, address, own.info))
        own.info = dict(chains.info)
        return chains.state


def segment(start: EnergyModel, end: EnergyModel, clamp: Clamp | None = None) -> Segment:
    """The piece between two models over the same variables; `clamp` holds visible ones fixed."""
    return _segment_to(end, start, clamp)


@singledispatch
def _segment_to(end: EnergyModel, start: EnergyModel, clamp: Clamp | None) -> Segment:
    return EnergySegment(start, end, clamp)


@_segment_to.register(BlockModel)
def _(end: BlockModel, start: BlockModel, clamp: Clamp | None) -> Segment:
    return BlockSegment(start, end, clamp)
