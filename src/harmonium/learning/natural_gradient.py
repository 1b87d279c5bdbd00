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

import torch
from torch import Tensor

from harmonium import checks, kernels
from harmonium.learning.centred_gradient import Centring, centre_gradients
from harmonium.learning.particles import Particles
from harmonium.learning.phases import Phases
from harmonium.learning.unit_scales import damping, scale_steps, shape_steps, shapes
from harmonium.models import EnergyModel, PairwiseModel
from harmonium.units import Units

EVERY = 2  # updates between two looks at the covariances: often enough, at half the cost
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

    @torch.no_grad()
    def __call__(self, model: EnergyModel, phases: Phases) -> None:
        if not isinstance(model, PairwiseModel) or len(model.couplings()) != 1 or len(model.layers) != 2:
            raise TypeError(
                f"model: the natural gradient expects two coupled blocks, got {type(model).__name__}."
            )
        widths = [layer.width for layer in model.layers]
        rows = max(len(phases.data.v), len(phases.negatives.v), *widths)
        with kernels.multiplying(rows * max(widths) ** 2):
            self._transform(model, phases)

    def _transform(self, model: PairwiseModel, phases: Phases) -> None:
        offsets = self.centring.follow(phases)
        self._follow(model, phases, offsets)
        visible, hidden = (layer.bias for layer in model.layers)
        plain = [b.grad.clone() for b in (visible, hidden) if b.grad is not None]
        centre_gradients(model, offsets)
        weight = model.couplings()[0].weight
        left, right = self.inverses
        assert weight.grad is not None  # centring has just changed it
        step = kernels.product(kernels.product(left, weight.grad), right)
        model.restrict([step])
        weight.grad = step
        visible.grad = left @ plain[0] - step @ offsets[1]
        hidden.grad = right @ plain[1] - step.T @ offsets[0]
        for side in zip(model.layers, offsets, plain, self.covariances, strict=True):
            layer, offset, gradient, covariance = side
            scale_steps(layer, offset, gradient, covariance.diagonal())
        shape_steps(model.layers[0], self.shapes, plain[0])

    def _follow(self, model: PairwiseModel, phases: Phases, offsets: tuple[Tensor, ...]) -> None:
        """Move the running covariances on, and invert them from time to time."""
        if self.updates % EVERY == 0:
            looks = self.updates // EVERY
            fresh = _covariances(model, phases.data if looks % 2 else phases.negatives, offsets)
            if not self.covariances:  # both at once, then in turn
                self.covariances, rate = _covariances(model, phases.data, offsets), 0.5
            else:
                rate = max(EVERY * self.centring.rate, 1.0 / (looks + 2))
            for c, f in zip(self.covariances, fresh, strict=True):
                c.lerp_(f, rate)
            self._follow_shapes(model.layers[0], phases, rate)
        if self.updates % REFRESH == 0 or self.updates in (2, 5, 10):
            n = len(phases.data.v) + len(phases.negatives.v)
            pairs = zip(model.layers, self.covariances, strict=True)
            self.inverses = [self._inverse(c, damping(layer, c, self.damping, n)) for layer, c in pairs]
        self.updates += 1

    def _follow_shapes(self, visible: Units, phases: Phases, rate: float) -> None:
        """Move the running statistics of the shape parameters on, by data and model in equal parts."""
        for i, shape in enumerate(shapes(visible)):
            both = [shape.statistics(p.v, p.weights) for p in (phases.data, phases.negatives)]
            fresh = (both[0] + both[1]) / 2.0
            if i == len(self.shapes):
                self.shapes.append(fresh)
            self.shapes[i] = self.shapes[i].lerp(fresh, rate)

    def _inverse(self, covariance: Tensor, added: Tensor) -> Tensor:
        factor, failed = torch.linalg.cholesky_ex(covariance + torch.diag(added))
        if int(failed) or not bool(torch.isfinite(factor).all()):
            raise FloatingPointError(
                f"training diverged within {self.updates + 1} updates; use a smaller learning rate."
            )
        # contiguous, as a checkpoint gives it back: the rounding of a product depends on the layout of its
        # factors
        return torch.cholesky_inverse(factor).contiguous()

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


def _covariances(model: PairwiseModel, particles: Particles, offsets: tuple[Tensor, ...]) -> list[Tensor]:
    """Second moments about the offsets of both blocks, the hidden ones as Cov⟨h|v⟩ + ⟨Var(h|v)⟩."""
    v, weights = particles.v, particles.weights
    field = model.field(1, (v, v.new_empty(len(v), 0)))
    hidden = model.layers[1]
    x, h = v - offsets[0], hidden.mean(field) - offsets[1]
    spread = weights @ hidden.variance(field)
    second = [kernels.product(y, weights[:, None] * y, transposed=True) for y in (x, h)]
    second[1].diagonal().add_(spread)
    return second
