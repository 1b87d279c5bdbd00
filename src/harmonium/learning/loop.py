"""The one training loop. It knows batches, negative particles, an optimiser, and nothing of what the model
is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from harmonium import kernels, processes
from harmonium.learning.batches import Batches
from harmonium.learning.descent import GradientDescent, step_size
from harmonium.learning.free_cells import FreeCells
from harmonium.learning.mean_cells import MeanCells
from harmonium.learning.negative_phase import NegativePhase
from harmonium.learning.particles import Particles
from harmonium.learning.phases import Phases, summed
from harmonium.learning.state import gathered, part_of, scattered
from harmonium.models import EnergyModel
from harmonium.random import Address, Purpose
from harmonium.sampling import complete
from harmonium.sampling.free import filled
from harmonium.sampling.start import divides as chains_divide

Optimiser = torch.optim.Optimizer | GradientDescent
Transform = Callable[[EnergyModel, Phases], None]


class Update(NamedTuple):
    """What has just happened, for callbacks; `data` and `negatives` are this process's share."""

    step: int  # number of updates made so far
    model: EnergyModel
    data: Particles
    negatives: Particles


class StopTraining(Exception):
    """Raised by a callback to end training after the present update."""


Callback = Callable[[Update], None]


@dataclass
class Learner:
    """All that one update needs.

    Attributes:
        model: the model, changed in place.
        batches: the data.
        negatives: the negative phase.
        optimiser: `GradientDescent`, or any `torch.optim` optimiser, over the model's parameters.
        transforms: applied to the gradient in this order: centring first, then regularisers.
        learning_rate: the step size at each update, or None to leave the optimiser's own.
        made: updates that earlier calls have made, whose draws aren't used again.
        free_cells: states of the free cells of the rows; None where the rows are whole.
    """

    model: EnergyModel
    batches: Batches
    negatives: NegativePhase
    optimiser: Optimiser
    transforms: Sequence[Transform] = ()
    learning_rate: Callable[[int], float] | None = None
    made: int = 0
    free_cells: FreeCells | MeanCells | None = None

    def update(self, step: int) -> Update:
        """Make update number `step`, counted from 0."""
        if not processes.together() or divides(self.model, self.negatives):
            return self._update(step)
        with processes.repeating():
            return self._update(step)

    def _update(self, step: int) -> Update:
        place = self.made + step
        data = self._complete(self.batches.batch(place), place)
        self.optimiser.zero_grad(set_to_none=True)
        with kernels.unchanged():
            phases = self.negatives.accumulate(self.model, data, place)
            if processes.count() > 1:
                looks = [x for t in self.transforms if hasattr(t, "look") for x in t.look(self.model, phases)]
                phases = summed(self.model, phases, looks)
        for transform in self.transforms:
            transform(self.model, phases)
        if self.learning_rate is not None:
            for group in self.optimiser.param_groups:
                group["lr"] = self.learning_rate(step)
        self.optimiser.step()
        self.model.settle(lambda parameter: step_size(self.optimiser, parameter))
        return Update(step + 1, self.model, data, phases.negatives)

    def restart(self, state: Mapping[str, Tensor], rows: Tensor) -> None:
        """Put the model at `state`, and let all else forget what led elsewhere; chains start from rows."""
        self.model.load_state_dict(state)
        if self.free_cells is not None:
            self.free_cells.forget()
        self.optimiser.state.clear()
        for transform in self.transforms:
            if hasattr(transform, "forget"):
                transform.forget()
        self.negatives.restart(
            self.model, filled(self.model, rows, Address(self.batches.seed, Purpose.CLAMP))
        )

    @property
    def _parts(self) -> dict[str, Any]:
        transforms = {f"transforms/{i}": transform for i, transform in enumerate(self.transforms)}
        free = {} if self.free_cells is None else {"free_cells": self.free_cells}
        return {"negatives": self.negatives, **free, **transforms}

    def state_dict(self) -> dict[str, Tensor]:
        """All that the next update depends on beside the model."""
        state = gathered(self._parts) | {"made": torch.tensor(self.made)}
        for index, entries in self.optimiser.state_dict()["state"].items():
            found = {k: x for k, x in entries.items() if isinstance(x, Tensor)}
            state |= {f"optimiser/{index}/{k}": x for k, x in found.items()}
        return state

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from `state_dict`."""
        scattered(self._parts, state)
        self.made = int(state["made"])
        found: dict[int, dict[str, Tensor]] = {}
        for name, x in part_of(state, "optimiser").items():
            index, key = name.split("/", 1)
            found.setdefault(int(index), {})[key] = x
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": found, "param_groups": groups})

    def _complete(self, data: Particles, step: int) -> Particles:
        """The batch with what its rows leave open drawn given what they tell: free cells, and hidden
        variables for models that can't sum them out.
        """
        if self.free_cells is not None:
            rows = self.batches.numbers(step)
            v = self.free_cells.fill(self.model, data.v, rows[self.batches.places(rows)], step)
            data = data._replace(state=(v,))
        if self.model.has_free_energy():
            return data
        address = Address(  # with room for the sweeps between
            self.batches.seed, Purpose.POSITIVE, step=step * 2**10, chain=data.chain
        )
        return data._replace(state=complete(self.model, data.v, address))


def divides(model: EnergyModel, negatives: NegativePhase) -> bool:
    """Whether several processes can each do a share of an update; models of which only the energy is known
    have chains that share what they adapt.
    """
    return negatives.divides and chains_divide(model)


def train(learner: Learner, steps: int, callbacks: Sequence[Callback] = (), first_step: int = 0) -> int:
    """Make updates first_step … steps-1, calling every callback after each.

    Returns:
        The number of updates made in all; less than `steps` when a callback raised `StopTraining`.

    Raises:
        FloatingPointError: when a parameter is no longer finite, naming it and the update.
    """
    step = first_step
    try:
        while step < steps:
            update = learner.update(step)
            step += 1
            for callback in callbacks:
                callback(update)
    except StopTraining:
        pass
    check_finite(learner.model, step)
    return step


def check_finite(model: EnergyModel, step: int) -> None:
    """Raise a FloatingPointError that names the first parameter with a value that is not finite."""
    for name, p in model.named_parameters():
        if not bool(torch.isfinite(p).all()):
            raise FloatingPointError(
                f"{name} is no longer finite after {step} updates: training diverged; use a smaller "
                "learning rate."
            )
