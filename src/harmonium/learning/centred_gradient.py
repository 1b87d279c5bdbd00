"""Centring: the gradient of the same likelihood in coordinates where every unit has mean zero.

Write E in x - μ with offsets μ of each block, take the gradient there, and carry it back (Cho, Raiko & Ilin
2011; Montavon & Müller 2012; Melchior, Fischer & Wiskott 2016). For a coupling W between blocks i and j

    ∇'W = ∇W - ∇aᵢ μⱼᵀ - μᵢ ∇aⱼᵀ,      ∇'aᵢ = ∇aᵢ - Σⱼ ∇'Wᵢⱼ μⱼ,

whatever the units. Learning then no longer depends on whether a pixel is called 0 or 1.
"""

from __future__ import annotations

import torch
from torch import Tensor

from harmonium import checks
from harmonium.learning.phases import Phases
from harmonium.models import EnergyModel, PairwiseModel
from harmonium.numerics import without_gradients


class Centring:
    """Transforms the gradients of a `PairwiseModel` in place, with offsets half-way between the phases'
    means.

    Args:
        rate: of the running mean that smooths the offsets, in (0, 1]; 1 takes each update's own means.
    """

    def __init__(self, rate: float = 0.02) -> None:
        self.rate = checks.number("rate", rate, 0.0, 1.0)
        self.offsets: tuple[Tensor, ...] | None = None

    @without_gradients
    def __call__(self, model: EnergyModel, phases: Phases) -> None:
        machine = model.as_pairwise()
        if machine is None:
            raise TypeError(
                f"model: centring expects blocks with pairwise couplings, got {type(model).__name__}."
            )
        self.centre(machine, phases)

    def centre(self, model: PairwiseModel, phases: Phases) -> tuple[Tensor, ...]:
        """Let the offsets follow, and centre the gradients there; the offsets."""
        if self.offsets is None or phases.centre is None or not phases.centre(self.offsets, self.rate):
            centre_gradients(model, self.follow(phases))
        assert self.offsets is not None  # they have just followed
        return self.offsets

    def follow(self, phases: Phases) -> tuple[Tensor, ...]:
        """The offsets after one more update, (width,) each."""
        if not phases.moments.data:
            raise ValueError("model: centring needs the gradients of all biases, but some are frozen.")
        means = torch._foreach_lerp(phases.moments.data, phases.moments.model, 0.5)
        self.offsets = means if self.offsets is None else torch._foreach_lerp(self.offsets, means, self.rate)
        return self.offsets

    def state_dict(self) -> dict[str, Tensor]:
        """All that is needed to go on."""
        return {str(i): o.clone() for i, o in enumerate(self.offsets or ())}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from `state_dict`."""
        self.offsets = tuple(state[str(i)].clone() for i in range(len(state))) or None


@without_gradients
def centre_gradients(model: PairwiseModel, offsets: tuple[Tensor, ...]) -> None:
    """Replace the gradients of couplings and biases by those taken in coordinates centred at `offsets`."""
    bias = [layer.bias.grad for layer in model.layers]
    shifted = [None if g is None else g.clone() for g in bias]
    for operator, i, j in model.couplings():
        left, right = bias[i], bias[j]
        if left is None or right is None or any(t.grad is None for t in operator.tensors()):
            raise ValueError(
                "model: centring needs the gradients of all couplings and biases; some are missing."
            )
        here, there = shifted[i], shifted[j]
        assert here is not None and there is not None  # as their gradients are there
        operator.centre((left, right), (offsets[i], offsets[j]), (here, there))
    for layer, gradient in zip(model.layers, shifted, strict=True):
        layer.bias.grad = gradient
