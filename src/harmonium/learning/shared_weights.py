"""Natural gradient of couplings that share their numbers: few parameters, whose Fisher information is known
as a whole.

With T(v, h) = ∂(vᵀ W h)/∂θ beside the sums of hidden units that share a bias, in centred coordinates, the
Fisher information of P(v, h) is

    Cov T = Cov⟨T | v⟩ + ⟨Cov(T | v)⟩,

and of P(v) the first part alone (Amari 1998). Steps by the first part are long where hidden units hardly
answer to v yet, as in a fresh machine, which diverges; steps by both are short, the more so the more places
a filter has. So `COUNTED` of the second is added: hidden units are drawn, and moved towards their means.
Nothing is assumed of places that depend on each other, as by a Kronecker product (Grosse & Martens 2016).
Visible biases have the inverse covariance of their units, as in `NaturalGradient`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from harmonium import kernels
from harmonium.learning.natural_gradient import NaturalGradient, shorten
from harmonium.learning.particles import Particles
from harmonium.learning.phases import Phases
from harmonium.learning.unit_scales import scale_steps, shape_steps
from harmonium.models import EnergyModel, PairwiseModel
from harmonium.random import Address, Purpose

COUNTED = 0.5  # share of ⟨Cov(T | v)⟩
LONGEST = 5.0  # ∇̃·∇ of an update: 2.5 nats by a step of size 1


class SharedNaturalGradient(NaturalGradient):
    """Transforms the gradients of a two-block `PairwiseModel` whose coupling tells its statistics row by row,
    in place; it centres them too.

    Args:
        damping: what is added to each variance, as a share of it, > 0.
        rate: of the running means of offsets and covariances, in (0, 1].
        seed: of the hidden states that are drawn.
    """

    def __init__(self, damping: float = 0.5, rate: float = 0.02, seed: int = 0) -> None:
        super().__init__(damping, rate)
        self.seed = seed

    @torch.no_grad()
    def __call__(self, model: EnergyModel, phases: Phases) -> None:
        machine, pair = model.as_pairwise(), model.pair()
        if machine is None or pair is None or not pair.operator.by_row:
            raise TypeError(
                "model: expected two blocks and a coupling that tells its statistics row by row, got"
                f" {type(model).__name__}."
            )
        if self._seen is None:  # else it was asked for, and summed over processes
            self.look(machine, phases)
        self._transform(machine, phases)

    def _transform(self, model: PairwiseModel, phases: Phases) -> None:
        offsets = self.centring.follow(phases)
        self._follow(model, phases, offsets)
        operator, (visible, hidden) = model.couplings()[0].operator, (x.bias for x in model.layers)
        plain = [b.grad.clone() for b in (visible, hidden) if b.grad is not None]
        tensors, gradients = operator.tensors(), operator.centred((plain[0], plain[1]), offsets)
        gradient = torch.cat([*(g.flatten() for g in gradients), model.bias_sums(1, plain[1][None])[0]])
        left, right = self.inverses
        steps = left @ plain[0], right @ gradient
        length = float(steps[0] @ plain[0] + steps[1] @ gradient)
        sizes = [t.numel() for t in tensors]
        *parts, own = steps[1].split([*sizes, len(gradient) - sum(sizes)])
        direction = [part.reshape(t.shape) for part, t in zip(parts, tensors, strict=True)]
        for tensor, part in zip(tensors, direction, strict=True):
            tensor.grad = part
        change = operator.along(direction)
        visible.grad = steps[0] - change.transposed(offsets[1][None])[0]
        hidden.grad = model.bias_spread(1, own) - change.product(offsets[0][None])[0]
        scale_steps(model.layers[0], offsets[0], plain[0], self.covariances[0].diagonal())
        shape_steps(model.layers[0], self.shapes, plain[0])
        if length > LONGEST:
            shorten(model, (LONGEST / length) ** 0.5)

    def _moments(
        self, model: PairwiseModel, particles: Particles, offsets: tuple[Tensor, ...]
    ) -> list[Tensor]:
        """⟨xxᵀ⟩ of the visible units and ⟨TTᵀ⟩ about the offsets."""
        v, weights, hidden = particles.v, particles.weights, model.layers[1]
        field = model.field(1, (v, v.new_empty(len(v), 0)))
        address = Address(self.seed, Purpose.FISHER, step=self.updates, chain=particles.numbers())
        mean = hidden.mean(field)
        drawn = hidden.sample(field, address).sub_(mean).mul_(COUNTED**0.5)
        x, y = v - offsets[0], mean + drawn - offsets[1]
        each = model.couplings()[0].operator.each(x, y)
        rows = [x, torch.cat([each, model.bias_sums(1, y)], 1)]
        return [kernels.product(r, weights[:, None] * r, transposed=True) for r in rows]

    def _shifted(
        self, moments: list[Tensor], before: tuple[Tensor, ...], now: tuple[Tensor, ...]
    ) -> list[Tensor]:
        """As they are: offsets hardly move from one update to the next."""
        return moments

    def _added(self, model: PairwiseModel, block: int, covariance: Tensor, particles: int) -> Tensor:
        """To each number of T a share of its own variance, no less than what one of the particles tells of
        it.
        """
        if block == 0:
            return super()._added(model, block, covariance, particles)
        operator = model.couplings()[0].operator
        visible, hidden = (float(x.variance(x.bias.detach()[None] * 0.0).mean()) for x in model.layers)
        least = covariance.new_full((len(covariance),), 4.0 * operator.places * hidden / particles)
        least[: sum(t.numel() for t in operator.tensors())] *= visible
        return self.damping * torch.maximum(covariance.diagonal(), least)
