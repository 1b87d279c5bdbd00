"""Where the gradient of an update comes from: from negative particles, or as a whole.

Sampling gives particles, and `accumulate_phases` makes a gradient of them, whoever drew them. What replaces
sampling by something else (pseudo-likelihood, mean-field) knows its gradient but has no particles; what
learns from the gradient itself (fast weights) wants to see it. These accumulate it themselves.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor

from harmonium.learning.negatives import Negatives
from harmonium.learning.particles import Particles
from harmonium.learning.phases import Phases, accumulate_phases
from harmonium.models import EnergyModel


@runtime_checkable
class Objective(Protocol):
    """Something to minimise, known by its gradient."""

    def accumulate(self, model: EnergyModel, data: Particles, step: int) -> Phases:
        """Add the gradient at update `step` to the parameters, whose gradients are None before.

        The negatives of the `Phases` are particles near the model's distribution; the data themselves where
        there are none.
        """
        ...


@runtime_checkable
class Stateful(Protocol):
    """What has to be stored when a run is interrupted."""

    def state_dict(self) -> dict[str, Tensor]:
        """All that is needed to go on."""
        ...

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from `state_dict`."""
        ...


Source = Negatives | Objective


def accumulate_from(source: Source, model: EnergyModel, data: Particles, step: int) -> Phases:
    """Add the gradient of one update, by the objective's own way or from negative particles."""
    if hasattr(source, "accumulate"):  # asking for the protocol takes longer than a small update
        return source.accumulate(model, data, step)
    return accumulate_phases(model, data, source.draw(model, data, step))
