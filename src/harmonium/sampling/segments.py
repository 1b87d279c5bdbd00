"""Straight pieces (1-β) E₀ + β E₁ of a path between two models, every chain at a β of its own.

What replica exchange and annealing need of a piece is little: how the free energy of a state changes from one
β to another, and a sweep at a given β. A `Segment` looks at states once, and the `View` it returns answers
both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from harmonium import kernels, processes
from harmonium.models import EnergyModel
from harmonium.models.reference import path_between
from harmonium.random import Address
from harmonium.sampling.chains import Chains, Clamp, State
from harmonium.sampling.gibbs import sides_of
from harmonium.sampling.start import default_kernel
from harmonium.units import Units

STEPS = 100  # of a path in one compiled call, which can't be interrupted


def summed_block(model: EnergyModel, but: int | None = None) -> int | None:
    """The block to sum out in closed form, other than `but`: the one with most sites, so that the fewest are
    left to chance; None where the model names no blocks.
    """
    sites = [(-1 if i == but else layer.n, i) for i, layer in enumerate(model.named_blocks)]
    return max(sites)[1] if sites else None


class Segment:
    """A piece of a path between two models over the same variables; `clamp` holds visible ones fixed.

    Of models with blocks one block is summed out: free energies of the others overlap more than joint
    energies do. Where only the energies are known nothing is, and the kernel that suits the end makes the
    sweeps.

    Attributes:
        divides: whether chains can be led by several processes: no chain has anything to do with another.
        summed: the block that is summed out, None for none.
    """

    def __init__(self, start: EnergyModel, end: EnergyModel, clamp: Clamp | None = None) -> None:
        self.start: Any = start  # both have blocks, or neither has
        self.end: Any = end
        self.clamp = clamp
        self.summed = summed_block(end, but=None if clamp is None else 0)
        self.divides = clamp is None and self.summed is not None  # a clamp has a row for each chain
        self.info: dict[str, float] = {}  # such as a step size that the kernel adapts

    def look(self, state: State) -> View:
        """What both ends say about these states."""
        ends, b = (self.start, self.end), self.summed
        if b is None:
            return View(self, state, [model.energy(*state).double() for model in ends])
        fields = self.fields(b, state)
        return View(self, state, [model.energy_without(b, state).double() for model in ends], fields)

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
        work on the way, (rows,), float64, nats), by a compiled loop where there is one for these models.
        """
        done = None if self.summed is None else self._lead_in_one_call(state, betas, address)
        return self.lead_step_by_step(state, betas, address) if done is None else done

    def lead_step_by_step(self, state: State, betas: Tensor, address: Address) -> tuple[State, Tensor]:
        """The same without one."""
        work = torch.zeros(len(state[0]), dtype=torch.float64, device=state[0].device)
        for k in range(len(betas) - 1):
            here, there = betas[k, :, None], betas[k + 1, :, None]
            view = self.look(state)
            work += view.work(here, there)
            state = view.sweep(there, address.at(step=address.step + k))
        return state, work

    def _lead_in_one_call(self, state: State, betas: Tensor, address: Address) -> tuple[State, Tensor] | None:
        point: Any = path_between(self.end, self.start, 1.0)
        pair = None if self.clamp is not None else point.bipartite()
        sides = None if pair is None else sides_of(point, pair)
        if pair is None or sides is None or self.summed is None or not kernels.sweeps_suit(pair.weight):
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
        start: Units = self.start.units_in(block, state)
        return start.interpolate(self.end.units_in(block, state), beta)

    def draw(self, block: int, state: State, fields: Sequence[Tensor], at: tuple[Tensor, Address]) -> Tensor:
        """New states of `block` at (β, address) given its fields at both ends."""
        beta, address = at
        field = torch.lerp(fields[0], fields[1], beta)
        x = self.units(block, state, beta).sample(field, self.end.block_address(block, address))
        return self.clamp.apply(x) if self.clamp is not None and block == 0 else x


@dataclass(frozen=True)
class View:
    """What a piece of a path has to say about some states.

    Attributes:
        segment: the piece.
        state: the states.
        energies: at both ends, without the block that is summed out, (rows,) each, float64.
        fields: on that block at both ends; none where none is.
    """

    segment: Segment
    state: State
    energies: Sequence[Tensor]
    fields: Sequence[Tensor] = ()

    def work(self, here: Tensor, there: Tensor) -> Tensor:
        """(Free) energy of the states at β = `there` minus that at `here`, (rows,), float64; β is (rows,
        1).
        """
        if self.fields:
            before, after = self.marginal(torch.stack([here, there]))
            return after - before
        return (there - here).squeeze(-1).double() * (self.energies[1] - self.energies[0])

    def marginal(self, beta: Tensor) -> Tensor:
        """-log of the sum of exp(-E) over the summed block at β, (..., rows, 1): (..., rows), float64."""
        own = self.segment
        assert own.summed is not None  # since it has fields
        field = torch.lerp(self.fields[0], self.fields[1], beta)
        cumulant = own.units(own.summed, self.state, beta).cumulant(field)
        rest = torch.lerp(self.energies[0], self.energies[1], beta.squeeze(-1).double())
        return rest - cumulant.double().sum(-1)

    def sweep(self, beta: Tensor, address: Address) -> State:
        """The states after one sweep at β, (rows, 1): a call of the kernel or, with blocks, Gibbs: the summed
        one, whose fields are known, then the others.
        """
        own = self.segment
        if own.summed is None:
            point = path_between(own.end, own.start, beta)
            kernel = default_kernel(point, own.clamp)
            chains = kernel(point, Chains(self.state, address, own.info))
            own.info = dict(chains.info)
            return chains.state
        new = list(self.state)
        new[own.summed] = own.draw(own.summed, self.state, self.fields, (beta, address))
        for block in reversed(range(len(new))):
            if block != own.summed:
                fields = own.fields(block, tuple(new))
                new[block] = own.draw(block, tuple(new), fields, (beta, address))
        return tuple(new)
