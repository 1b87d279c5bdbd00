"""Persistent chains and both phases of small machines in one compiled call: what `PersistentChains` does by
sampling and `accumulate_phases` otherwise, with the same bits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from harmonium import kernels
from harmonium.learning.particles import Particles, equally_weighted
from harmonium.learning.phases import Moments, Phases
from harmonium.models import EnergyModel, PairwiseModel
from harmonium.sampling import Chains
from harmonium.units.compiled import compiled_side

if TYPE_CHECKING:
    from harmonium.kernels.updates import Update


class RepeatedUpdate:
    """The call that was described last, and what it was described for.

    The gradient and the moments of an update are the tensors of the one before, with new numbers.
    """

    def __init__(self) -> None:
        self._known: tuple[Any, ...] = ()
        self._model: EnergyModel | None = None
        self._call: Update | None = None
        self._weights = torch.empty(0)
        self._moments = Moments((), ())
        self._gradients: tuple[tuple[Tensor, Tensor], ...] = ()

    def __reduce__(self) -> Any:
        """A copy knows nothing: what a call points to in memory isn't its own."""
        return RepeatedUpdate, ()

    def __call__(
        self, model: EnergyModel, data: Particles, chains: Chains, sweeps: int, of: int
    ) -> tuple[Chains, Phases] | None:
        """The chains, of `of` in all, after so many sweeps, and the phases, their gradient added to
        parameters that have none; None where there is no such call.
        """
        machine = model.as_pairwise()
        if machine is None:
            return None
        parameters = machine.matrix_and_biases()
        v, start, address = data.state[0], chains.state[0], chains.address
        if parameters is None or type(address.chain) is not int or not _all_plain(v, data.weights, start):
            return None
        if any(p.grad is not None for p in parameters):
            return None
        known = (
            *(p.data_ptr() for p in parameters),
            *(v.shape[0], start.shape[0], sweeps, of, torch.get_num_threads()),
            *(address.seed, address.purpose, address.chain, address.unit),
        )
        if model is not self._model or known != self._known:
            self._describe(machine, parameters, chains, (v.shape[0], sweeps, of))
            self._model, self._known = model, known
        if self._call is None:
            return None
        moved = address.at(step=address.step + sweeps)  # which is there, or an error before anything is drawn
        state = self._call(start, (v, data.weights), self._weights, address.step)
        gradients = self._call.gradient, *self._call.sums[:2]
        for p, gradient in zip(parameters, gradients, strict=True):
            p.grad = gradient
        negatives = Particles(state, self._weights, address.chain)
        self._gradients = tuple(zip(parameters, gradients, strict=True))
        return Chains(state, moved), Phases(data, negatives, self._moments, self.centre)

    def centre(self, offsets: tuple[Tensor, ...], rate: float) -> bool:
        """As `Phases.centre`."""
        wide = [g.shape[0] for _, g in self._gradients[1:]] == [o.shape[0] for o in offsets]
        if self._call is None or not wide or not _all_plain(*offsets):
            return False
        if any(p.grad is not g for p, g in self._gradients):  # somebody has put another in its place
            return False
        self._call.centre(offsets, rate)
        return True

    def _describe(
        self,
        model: PairwiseModel,
        parameters: tuple[Tensor, Tensor, Tensor],
        chains: Chains,
        size: tuple[int, int, int],
    ) -> None:
        (rows, sweeps, of), self._call = size, None
        first, second = (compiled_side(*x) for x in zip(model.layers, parameters[1:], strict=True))
        if first is None or second is None:
            return
        addresses = model.block_address(0, chains.address), model.block_address(1, chains.address)
        call = kernels.repeated_update(parameters[0], (first, second), addresses, (rows, len(chains)), sweeps)
        if call is not None:
            self._weights = equally_weighted(chains.state[0], of=of).weights
            self._moments = Moments(call.sums[2:4], call.sums[4:6])
        self._call = call


def _all_plain(*tensors: Tensor) -> bool:
    return all(x.is_cpu and x.dtype is torch.float32 and x.is_contiguous() for x in tensors)
