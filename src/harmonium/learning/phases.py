"""The gradient of the likelihood: positive phase minus negative phase.

With L = -(1/N) Σ log P(v⁽ⁱ⁾),

    ∂L/∂θ = ⟨∂F(v)/∂θ⟩_data - ⟨∂F(v)/∂θ⟩_model,

and the second mean is estimated by negative particles. Whoever made them is none of this module's business.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from torch import Tensor

from harmonium import processes
from harmonium.learning.particles import Particles
from harmonium.models import EnergyModel


class Moments(NamedTuple):
    """⟨x⟩ of every block in the two phases, one (width,) tensor per block; empty for a model without
    blocks.
    """

    data: tuple[Tensor, ...]
    model: tuple[Tensor, ...]


class Phases(NamedTuple):
    """All that the gradient of one update was made of, for whoever transforms it.

    Where one call has made all of it, `centre(offsets, rate)` is `Centring` in one more: offsets move on in
    place, and gradients are then those in coordinates centred there. False, and nothing done, where they
    can't be.
    """

    data: Particles
    negatives: Particles
    moments: Moments
    centre: Callable[[tuple[Tensor, ...], float], bool] | None = None


def surrogate(model: EnergyModel, data: Particles, negatives: Particles) -> Tensor:
    """A scalar whose gradient is that of the negative log-likelihood: ⟨F⟩_data - ⟨F⟩_negatives, nats.

    Its value is not the likelihood (the log Z is missing); only its gradient means something.

    >>> import torch, harmonium as hm
    >>> from harmonium.learning import equally_weighted
    >>> rbm = hm.RBM(visible=hm.Bernoulli(2), hidden=hm.Bernoulli(2))
    >>> rows = equally_weighted(torch.tensor([[0.0, 1.0]]))
    >>> surrogate(rbm, rows, rows).item()
    0.0
    """
    positive = (data.weights * model.free_energy(data.v)).sum()
    return positive - (negatives.weights * model.free_energy(negatives.v)).sum()


def accumulate_phases(model: EnergyModel, data: Particles, negatives: Particles) -> Phases:
    """Add the gradient of `surrogate` to the parameters, by each model's fastest way.

    For models with blocks the means of every block in both phases come for free: they are the gradients of
        the biases.
    """
    means = None
    if model.has_free_energy():
        means = model.accumulate_phases((data.v, data.weights), (negatives.v, negatives.weights))
    if means is not None:
        return Phases(data, negatives, Moments(*means))
    return two_phases(
        model, data, negatives, lambda: model.accumulate_phase(negatives.state, -negatives.weights)
    )


def summed(model: EnergyModel, phases: Phases, more: Sequence[Tensor]) -> Phases:
    """Let gradients, means and `more` tensors of sums be those over the particles of all processes, by one
    message.
    """
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    processes.add_([*gradients, *phases.moments.data, *phases.moments.model, *more])
    return phases


def two_phases(
    model: EnergyModel, data: Particles, negatives: Particles, negative_phase: Callable[[], None]
) -> Phases:
    """Add the positive phase to gradients that are none so far, then whatever `negative_phase` adds.

    `negatives` stand for the model in what is measured later; `negative_phase` may know its gradient without
    them.
    """
    model.accumulate_phase(data.state, data.weights)
    biases = [layer.bias for layer in model.named_blocks]
    if not biases or any(b.grad is None for b in biases):  # none, or frozen: the means can't be read off
        negative_phase()
        return Phases(data, negatives, Moments((), ()))
    positive = tuple(-b.grad.clone() for b in biases if b.grad is not None)
    negative_phase()
    negative = tuple(b.grad + p for b, p in zip(biases, positive, strict=True) if b.grad is not None)
    return Phases(data, negatives, Moments(positive, negative))
