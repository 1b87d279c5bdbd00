"""Natural gradient: steps measured in how far the distribution moves, not in how far the parameters do.

The Fisher information of a coupling W between two blocks is, in centred coordinates and with the hidden
units counted as seen, the covariance of the products (vᵢ-μᵢ)(hⱼ-λⱼ). Taken as if both sides were independent
it is a Kronecker product of the covariances of the two blocks (Desjardins et al. 2013; Martens & Grosse
2015; Grosse & Salakhutdinov 2015), whence

    ∇̃W = (C_v + ε_v)⁻¹ ∇'W (C_h + ε_h)⁻¹,     ∇̃a = (C_v + ε_v)⁻¹ ∇a - ∇̃W λ,     and alike for b.

Counting the hidden units as seen makes the Fisher information larger, so the steps are safe rather than
bold. The covariances are those of the model and of the data in equal parts. Where the two agree that is the
same; where the data vary along a direction that the model doesn't know yet, the model's alone would make the
leading mode of the couplings grow by more than it can bear (on baudio by a factor of two in each update).
Columns that hardly vary or that repeat each other, as in one-hot tables, then learn as fast as all
others.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from harmonium import checks, kernels
from harmonium.learning.centred_gradient import Centring
from harmonium.learning.direct_steps import step_directly
from harmonium.learning.particles import Particles
from harmonium.learning.phases import Phases
from harmonium.learning.unit_scales import damping, scale_steps, shape_steps, shapes
from harmonium.models import EnergyModel, PairwiseModel
from harmonium.models.pairwise import DirectCoupling
from harmonium.numerics import without_gradients

EVERY = 2  # updates between two looks at the covariances: often enough, at half the cost
LEAST_LEFT = 1e-5  # share of a variance that columns which are given can't explain
LONGEST = 100.0  # ∇̃·∇ of an update, of which a step of size η moves the distribution by η²/2 nats
REFRESH = 20  # updates between two inversions: by then the running covariances have hardly moved


class NaturalGradient:
    """Transforms the gradients of a two-block `PairwiseModel` in place; it centres them too, so it replaces
    `Centring`.

    Args:
        damping: ε relative to the mean variance of a block's units, > 0. Larger is closer to the plain
            centred gradient. Where units hardly vary it is no less than what one particle can tell.
        rate: of the running means of offsets and covariances, in (0, 1].
    """

    def __init__(self, damping: float = 0.5, rate: float = 0.02) -> None:
        self.damping = checks.positive("damping", damping)
        self.centring = Centring(rate)
        self.covariances: list[Tensor] = []
        self.inverses: list[Tensor] = []
        self.shapes: list[Tensor] = []  # statistics of the shape parameters of the visible units
        self.updates = 0
        self._seen: Seen | None = None

    @without_gradients
    def look(self, model: EnergyModel, phases: Phases) -> list[Tensor]:
        """What the next call wants to know of the particles of all processes: their own part of sums, which
        are completed in place before that call.

        The offsets of that call aren't known yet. Moments are therefore about those of the last one, and
        shifted by the call.
        """
        machine = model.as_pairwise()
        assert machine is not None  # else the call says so
        means = self.centring.offsets or tuple(layer.mean(layer.bias[None])[0] for layer in machine.layers)
        offsets = tuple(x.clone() for x in means)  # which move on in place
        seen = self._look(machine, phases, offsets)
        n = means[0].new_tensor([seen.n])
        self._seen = seen._replace(n=n)
        return [n, *(x for moments in seen.moments for x in moments), *seen.shapes]

    def _look(self, model: PairwiseModel, phases: Phases, offsets: tuple[Tensor, ...]) -> Seen:
        """The particles of every `EVERY`-th update: the data, the negatives, or both at first."""
        n = len(phases.data.v) + len(phases.negatives.v)
        if self.updates % EVERY:
            return Seen(offsets, n, [], [])
        looked_at = [phases.data if self.updates // EVERY % 2 else phases.negatives]
        if not self.covariances:
            looked_at.append(phases.data)
        moments = [self._moments(model, particles, offsets) for particles in looked_at]
        fresh = []
        for shape in shapes(model.layers[0]):
            both = [shape.statistics(p.v, p.weights) for p in (phases.data, phases.negatives)]
            fresh.append((both[0] + both[1]) / 2.0)
        return Seen(offsets, n, moments, fresh)

    @without_gradients
    def __call__(self, model: EnergyModel, phases: Phases) -> None:
        machine, pair = model.as_pairwise(), model.pair()
        if machine is None or pair is None:
            raise TypeError(
                f"model: the natural gradient expects two coupled blocks, got {type(model).__name__}."
            )
        if not pair.operator.natural:
            raise TypeError(
                "model: the natural gradient expects couplings that are learned entry by entry, got"
                f" {type(pair.operator).__name__}; use the centred gradient."
            )
        widths = [layer.width for layer in machine.layers]
        rows = max(len(phases.data.v), len(phases.negatives.v), *widths)
        with kernels.multiplying(rows * max(widths) ** 2):
            self._transform(machine, phases)

    def _transform(self, model: PairwiseModel, phases: Phases) -> None:
        visible, hidden = (layer.bias for layer in model.layers)
        plain = [b.grad.clone() for b in (visible, hidden) if b.grad is not None]
        offsets = self.centring.centre(model, phases)
        self._follow(model, phases, offsets)
        operator = model.couplings()[0].operator
        (weight,) = operator.tensors()
        left, right = self.inverses
        assert weight.grad is not None  # centring has just changed it
        step = operator.nearest(kernels.product(kernels.product(left, weight.grad), right))
        assert step is not None  # since the operator is made of entries
        with kernels.on_one_thread():  # whose number would be seen in the last bits
            natural = left @ plain[0], right @ plain[1]
            length = float((step * weight.grad).sum() + natural[0] @ plain[0] + natural[1] @ plain[1])
            weight.grad = step
            visible.grad = natural[0] - step @ offsets[1]
            hidden.grad = natural[1] - step.T @ offsets[0]
        if model.matrix_and_biases() is None:
            self._other_parameters(model, offsets, plain)
        if length > LONGEST:
            shorten(model, (LONGEST / length) ** 0.5)

    def _other_parameters(
        self, model: PairwiseModel, offsets: tuple[Tensor, ...], plain: list[Tensor]
    ) -> None:
        """Natural steps of couplings to what is given, of scales, and of other shape parameters."""
        variances, about = [covariance.diagonal() for covariance in self.covariances], list(offsets)
        for direct in model.direct_couplings():
            moments = self._given(direct)
            about[0] = step_directly(model.layers[0], direct, offsets[0], plain[0], moments)
            variances[0] = moments[1]
        for side in zip(model.layers, about, plain, variances, strict=True):
            scale_steps(*side)
        shape_steps(model.layers[0], self.shapes, plain[0])

    def _given(self, coupling: DirectCoupling) -> tuple[Tensor, Tensor]:
        """(⟨uuᵀ⟩ of the columns that are given, damped; variances of all columns given these)."""
        covariance, (_, _, given, acted) = self.covariances[0], coupling
        left, square = covariance.diagonal().clone(), covariance[given, given]
        ridge = square + torch.diag(LEAST_LEFT * left[given])
        with kernels.on_one_thread():
            explained = torch.linalg.solve(ridge, covariance[given, acted])
        rest = left[acted] - (covariance[given, acted] * explained).sum(0)
        left[acted] = torch.maximum(rest, LEAST_LEFT * left[acted])
        return square + torch.diag(self.damping * square.diagonal()), left

    def _follow(self, model: PairwiseModel, phases: Phases, offsets: tuple[Tensor, ...]) -> None:
        """Move the running covariances on, and invert them from time to time."""
        seen, self._seen = self._seen or self._look(model, phases, offsets), None
        if seen.moments:
            fresh, *first = [self._shifted(found, seen.offsets, offsets) for found in seen.moments]
            if first:  # both at once, then in turn
                (self.covariances,), rate = first, 0.5
            else:
                rate = max(EVERY * self.centring.rate, 1.0 / (self.updates // EVERY + 2))
            for c, f in zip(self.covariances, fresh, strict=True):
                c.lerp_(f, rate)
            old = self.shapes or seen.shapes
            self.shapes = [shape.lerp(f, rate) for shape, f in zip(old, seen.shapes, strict=True)]
        if self.updates % REFRESH == 0 or self.updates in (2, 5, 10):
            n = int(seen.n)
            self.inverses = [
                self._inverse(c, self._added(model, k, c, n)) for k, c in enumerate(self.covariances)
            ]
        self.updates += 1

    def _moments(
        self, model: PairwiseModel, particles: Particles, offsets: tuple[Tensor, ...]
    ) -> list[Tensor]:
        """Second moments about the offsets of both blocks, the hidden ones as Cov⟨h|v⟩ + ⟨Var(h|v)⟩, and then
        the first ones.
        """
        v, weights = particles.v, particles.weights
        field = model.field(1, (v, v.new_empty(len(v), 0)))
        hidden = model.layers[1]
        x, h = v - offsets[0], hidden.mean(field) - offsets[1]
        spread = kernels.along(weights, hidden.variance(field))
        second = [kernels.product(y, weights[:, None] * y, transposed=True) for y in (x, h)]
        second[1].diagonal().add_(spread)
        return [*second, kernels.along(weights, x), kernels.along(weights, h)]

    def _shifted(
        self, moments: list[Tensor], before: tuple[Tensor, ...], now: tuple[Tensor, ...]
    ) -> list[Tensor]:
        """The second ones of `_moments` about offsets `now`, from all about `before`.

        With s the shift, ⟨(x-s)(x-s)ᵀ⟩ = ⟨xxᵀ⟩ - ⟨x⟩sᵀ - s⟨x⟩ᵀ + ssᵀ.
        """
        second, first = moments[:2], moments[2:]
        if before is not now:
            for square, mean, old, new in zip(second, first, before, now, strict=True):
                shift = new - old
                square.addmm_(torch.stack([mean, shift], 1), torch.stack([-shift, shift - mean]))
        return second

    def _added(self, model: PairwiseModel, block: int, covariance: Tensor, particles: int) -> Tensor:
        """What is added to the diagonal of the covariance of a block, (width,)."""
        return damping(model.layers[block], covariance, self.damping, particles)

    def _inverse(self, covariance: Tensor, added: Tensor) -> Tensor:
        with kernels.on_one_thread():  # whose number would be seen in the last bits
            factor, failed = torch.linalg.cholesky_ex(covariance + torch.diag(added))
            inverse = torch.cholesky_inverse(factor)
        if int(failed) or not bool(torch.isfinite(factor).all()):
            raise FloatingPointError(
                f"training diverged within {self.updates + 1} updates; use a smaller learning rate."
            )
        # contiguous, as a checkpoint gives it back: the rounding of a product depends on the layout of its
        # factors
        return inverse.contiguous()

    def forget(self) -> None:
        """Begin again: drop what was seen of the covariances."""
        self.covariances, self.inverses, self.shapes, self.updates = [], [], [], 0

    def state_dict(self) -> dict[str, Tensor]:
        """All that is needed to go on."""
        state = {f"offset.{k}": o for k, o in self.centring.state_dict().items()}
        state |= {f"covariance.{i}": c for i, c in enumerate(self.covariances)}
        state |= {f"inverse.{i}": c for i, c in enumerate(self.inverses)}
        state |= {f"shape.{i}": s for i, s in enumerate(self.shapes)}
        return state | {"updates": torch.tensor(self.updates)}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from `state_dict`."""
        self.updates = int(state["updates"])
        if self.updates:
            self.centring.load_state_dict({str(i): state[f"offset.{i}"] for i in range(2)})
            self.covariances = [state[f"covariance.{i}"].clone() for i in range(2)]
            self.inverses = [state[f"inverse.{i}"] for i in range(2)]
            self.shapes = [state[f"shape.{i}"] for i in range(sum(k.startswith("shape.") for k in state))]


def shorten(model: EnergyModel, factor: float) -> None:
    """Make a step shorter: one that would move the distribution too far rests on covariances that are out of
    date (Ba, Grosse & Martens 2017).

    A column that was hardly ever 1 and suddenly is in many chains makes steps a hundred times too long. Runs
    that go well stay below half of `LONGEST`.
    """
    for p in model.parameters():
        if p.grad is not None:
            p.grad.mul_(factor)


class Seen(NamedTuple):
    """What the transform needs of an update's particles."""

    offsets: tuple[Tensor, ...]  # of both blocks, about which the moments are
    n: Tensor | int  # particles of both phases, (1,) where they are to be added up
    moments: list[list[Tensor]]  # as of `_moments`: of one phase or, at first, of the negatives and the data
    shapes: list[Tensor]  # means of the statistics of both phases
