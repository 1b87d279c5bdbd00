"""Penalties on parameters and activities: L2, L1, groups, activity, norm. Each adds its own gradient.

All are transforms, (model, phases) -> None, but for `MaxNorm`, a callback.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from harmonium.learning.loop import Update
from harmonium.learning.phases import Phases
from harmonium.models import EnergyModel
from harmonium.numerics import without_gradients


def _weights(model: EnergyModel) -> list[Tensor]:
    """The parameters that weight decay applies to: couplings, or all matrices of a model without named
    couplings.
    """
    machine = model.as_pairwise()
    if machine is None:
        return [p for p in model.parameters() if p.ndim > 1]
    return [tensor for c in machine.couplings() for tensor in c.operator.tensors()]


def _by_unit(model: EnergyModel) -> list[tuple[Tensor, Tensor | None]]:
    """The same and their gradients as matrices with a column for each unit of the second block."""
    machine = model.as_pairwise()
    if machine is None:
        return [(w, w.grad) for w in _weights(model)]
    found = [c.operator.by_unit() for c in machine.couplings()]
    if None in found:
        raise TypeError("model: expected couplings of each unit by itself, got some that units share.")
    return [pair for pair in found if pair is not None]


@dataclass
class WeightDecay:
    """L2: (strength/2) Σ W², a Gaussian prior on the couplings. `strength` may be changed while training."""

    strength: float

    def state_dict(self) -> dict[str, Tensor]:
        """All that is needed to go on."""
        return {"strength": torch.tensor(self.strength, dtype=torch.float64)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from `state_dict`."""
        self.strength = float(state["strength"])

    @without_gradients
    def __call__(self, model: EnergyModel, phases: Phases) -> None:
        for w in _weights(model):
            if w.grad is not None:
                w.grad.add_(w, alpha=self.strength)


@dataclass(frozen=True)
class L1:
    """strength Σ |W|: sparse couplings."""

    strength: float

    @torch.no_grad()
    def __call__(self, model: EnergyModel, phases: Phases) -> None:
        for w in _weights(model):
            if w.grad is not None:
                w.grad.add_(w.sign(), alpha=self.strength)


@dataclass(frozen=True)
class GroupSparsity:
    """L1b: (strength / 2n) Σ_μ (Σᵢ |wᵢμ|)², couplings sparse within each hidden unit (Tubiana, Cocco &
    Monasson 2019, eLife, where strength is λ₁²).

    i runs over the n columns of the visible units: all states of all sites where these are one-hot. There the
    penalty depends on the gauge; in the zero-sum one it sees what the couplings say (see `Gauge`).
    The push on a unit's couplings grows with their sum, so that no unit is switched off altogether.
    """

    strength: float

    @torch.no_grad()
    def __call__(self, model: EnergyModel, phases: Phases) -> None:
        for w, grad in _by_unit(model):
            if grad is not None:
                grad.add_(w.sign() * w.abs().mean(0, keepdim=True), alpha=self.strength)


@dataclass(frozen=True)
class ActivitySparsity:
    """Drives the mean activity of hidden units towards `target` through their biases (Lee, Ekanadham & Ng
    2007).
    """

    target: float
    strength: float

    @torch.no_grad()
    def __call__(self, model: EnergyModel, phases: Phases) -> None:
        if not model.named_blocks:
            raise TypeError(
                f"model: activity sparsity expects a model with blocks, got {type(model).__name__}."
            )
        for layer, mean in zip(model.named_blocks[1:], phases.moments.data[1:], strict=True):
            if layer.bias.grad is not None:
                layer.bias.grad.add_(mean - self.target, alpha=self.strength)


@dataclass(frozen=True)
class MaxNorm:
    """After each update, the couplings of a hidden unit are scaled back to a norm of at most `limit`.

    A constraint rather than a penalty: it goes with the callbacks, which see the parameters after the step.
    """

    limit: float

    @torch.no_grad()
    def __call__(self, update: Update) -> None:
        for w, _ in _by_unit(update.model):
            w.mul_((self.limit / w.norm(dim=0, keepdim=True).clamp(min=1e-12)).clamp(max=1.0))
