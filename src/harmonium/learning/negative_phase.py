"""The negative phase: the half of the gradient that every algorithm finds in its own way.

Sampling gives particles, and `accumulate_phases` makes a gradient of them, whoever drew them. What replaces
sampling by something else (pseudo-likelihood, mean-field) knows its gradient but has no particles; what
learns from the gradient itself (fast weights) wants to see it. These accumulate it themselves.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from harmonium.learning.particles import Particles
from harmonium.learning.phases import Phases, accumulate_phases
from harmonium.models import EnergyModel
from harmonium.sampling import Chains, Kernel


class NegativePhase:
    """The life of a negative phase: it begins, draws (or accumulates) at each update, may be restarted, and
    has a state that is complete.

    A new algorithm derives from this class, defines `draw`, or else `accumulate`, and gets a line in
    `learning.ALGORITHMS`. What it remembers from update to update goes into its state and is forgotten in
    `restart`; all else here has a harmless default.

    Attributes:
        n: how many particles an update sees, where that is neither the batch nor everything.
        k: steps of Markov chains between two updates. It may be changed while training.
        chains: those whose rows go on from update to update at the model: what a `MixingWatch` can watch, and
            log Z be carried by. None where there are none, or not yet.
        exact: whether the gradient has no noise but that of the data.
        summed: whether columns are learned given others by sums over all their states, wholly or in part.
        persistent: whether chains of the model itself go on from update to update, and could be moved by
            another kernel.
        divides: whether several processes can each do a share: particles with the weights that they have
            among all, and states that are whole in `state_dict`. Where not, each process does everything.
    """

    n: int | None = None
    k: int | None = None
    chains: Chains | None = None
    exact: bool = False
    summed: bool = False
    persistent: bool = False
    divides: bool = False

    def begin(self, model: EnergyModel, rows: Tensor) -> None:
        """Get ready before the first update of `model`, with rows of data, (rows, n_visible).

        Not needed: without it chains start at independent units, as far as there are any.
        """

    def move_by(self, kernel: Kernel | None) -> None:
        """Have persistent chains moved by this kernel, unless they have been given one."""

    def draw(self, model: EnergyModel, data: Particles, step: int) -> Particles:
        """Particles that stand for the model's distribution at update `step`."""
        raise TypeError(f"{type(self).__name__} makes a gradient, but has no particles to draw.")

    def accumulate(self, model: EnergyModel, data: Particles, step: int) -> Phases:
        """Add the gradient at update `step` to the parameters, whose gradients are None before.

        The negatives of the `Phases` are particles near the model's distribution; the data themselves where
        there are none.
        """
        return accumulate_phases(model, data, self.draw(model, data, step))

    def restart(self, model: EnergyModel, rows: Tensor) -> None:
        """Forget what was learned along with a model that is given up, and go on with `model`; no draw is
        used twice.
        """

    def tempered(self) -> NegativePhase | None:
        """A phase for about the same work whose chains cross between modes, not begun; None where there is
        none.
        """
        return None

    def state_dict(self) -> dict[str, Tensor]:
        """All that is needed to go on, as tensors by name."""
        return {}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from `state_dict`."""
