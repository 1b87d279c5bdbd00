"""Scales of real units in the natural gradient.

The precision γ of a unit enters the energy as γx²/2. Far from 0 a change of γ moves the mean b/γ as well, by
many standard deviations, so log γ is learned in coordinates centred at the offset μ, where the energy has
γ(x-μ)²/2: with ∇b the plain gradient of the bias

    ∇'log γ = ∇log γ + γμ ∇b,     ∇̃log γ = ∇'log γ / (½ (γσ²)²),     ∇̃b gains γμ ∇̃log γ.

The denominator is the variance of γ(x-μ)²/2 for a Gaussian of variance σ². Learning then doesn't depend
on the units of measurement, and with `Average` neither on their zero, but through the size of the
steps: columns far from 0 are better learned about their means, as `hm.fit` does.

For the parameters θ of other real units, those of ReLU and DReLU in the visible layer, what is exact for
Gaussians is measured: with T = ∂U/∂θ, β = Cov(T, x) / Var(x) and the information I = Var(T) - β Cov(T, x)
that is left when the bias has taken its share,

    ∇'θ = ∇θ + β ∇b,     ∇̃θ = ∇'θ / I,     ∇̃b gains β ∇̃θ.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from harmonium import kernels
from harmonium.models import PairwiseModel
from harmonium.units import Gaussian, Tail, Units
from harmonium.units.mixed import parts_of


class Scale(NamedTuple):
    """The Gaussian units at some columns of a layer."""

    units: Gaussian
    columns: slice
    bias: Tensor  # of these columns, (n,), sharing memory with the layer's

    @property
    def location(self) -> Tensor:
        """b/γ, the mean without a field, (n,)."""
        return self.bias / self.units.precision

    @torch.no_grad()
    def centred(self, offset: Tensor, bias_gradient: Tensor) -> Tensor | None:
        """∇'log γ, (n,), from the plain gradients; None where it is frozen."""
        gradient = self.units.log_precision.grad
        if gradient is None:
            return None
        return gradient + self.units.precision * offset[self.columns] * bias_gradient[self.columns]


def gaussians(layer: Units) -> Iterator[Scale]:
    """The Gaussian units of a layer, if there are any."""
    start = 0
    for part in parts_of(layer):
        if isinstance(part, Gaussian):
            columns = slice(start, start + part.width)
            yield Scale(part, columns, layer.bias.detach()[columns])
        start += part.width


LEAST_INFORMATION = 0.05  # of a log precision, and of another parameter relative to Var(T)


class Shape(NamedTuple):
    """A shape parameter of the real units at some columns of a layer, Gaussian ones left out."""

    name: str
    units: Units
    columns: slice

    def statistics(self, x: Tensor, weights: Tensor) -> Tensor:
        """⟨T⟩, ⟨x⟩, ⟨T²⟩, ⟨Tx⟩ and ⟨x²⟩ over weighted states, (5, n)."""
        x = x[:, self.columns]
        with torch.enable_grad():
            theta = getattr(self.units, self.name).detach().expand_as(x).clone().requires_grad_()
            energy = self.units.with_tensors(**{self.name: theta}).potential(x).sum()
            (t,) = torch.autograd.grad(energy, theta)
        return torch.stack([kernels.along(weights, y) for y in (t, x, t * t, t * x, x * x)])

    def step(self, statistics: Tensor, bias_gradient: Tensor) -> tuple[Tensor, Tensor] | None:
        """(∇̃θ, what ∇̃b gains), (n,) each, from the plain gradients; None where θ is frozen."""
        gradient = getattr(self.units, self.name).grad
        if gradient is None:
            return None
        t, x, tt, tx, xx = statistics
        of_t, of_x, both = tt - t * t, (xx - x * x).clamp(min=1e-30), tx - t * x
        slope = both / of_x
        least = torch.ones_like(t) if self.name.startswith("log_") else of_t.clamp(min=1e-30)
        information = torch.maximum(of_t - slope * both, LEAST_INFORMATION * least)
        step = (gradient + slope * bias_gradient[self.columns]) / information
        return step, slope * step


def shapes(layer: Units) -> Iterator[Shape]:
    """The shape parameters of the real units of a layer that aren't Gaussian."""
    start = 0
    for part in parts_of(layer):
        columns = slice(start, start + part.width)
        if part.tail is Tail.QUADRATIC and part.normal_precision is None:
            yield from (Shape(name, part, columns) for name in part.shape_parameters())
        start += part.width


@torch.no_grad()
def shape_steps(layer: Units, statistics: list[Tensor], plain: Tensor) -> None:
    """Replace the gradients of shape parameters by natural steps, and let the bias follow.

    Args:
        layer: whose bias has its natural step as gradient already.
        statistics: of each of `shapes(layer)`, as `Shape.statistics` has them.
        plain: ∇b as it was before, (width,).
    """
    for shape, known in zip(shapes(layer), statistics, strict=True):
        found = shape.step(known, plain)
        if found is not None:
            getattr(shape.units, shape.name).grad = found[0]
            assert layer.bias.grad is not None  # as the caller promises
            layer.bias.grad[shape.columns] += found[1]


@torch.no_grad()
def scale_steps(layer: Units, offset: Tensor, plain: Tensor, variance: Tensor) -> None:
    """Replace the gradients of log γ by natural steps, and let the bias follow.

    Args:
        layer: whose bias has its natural step as gradient already.
        offset: μ, (width,).
        plain: ∇b as it was before, (width,).
        variance: σ² about the offset, (width,).
    """
    for scale in gaussians(layer):
        centred = scale.centred(offset, plain)
        if centred is None:
            continue
        precision, columns = scale.units.precision, scale.columns
        step = 2.0 * centred / (precision * variance[columns]).clamp(min=1.0) ** 2
        scale.units.log_precision.grad = step
        assert layer.bias.grad is not None  # as the caller promises
        layer.bias.grad[columns] += precision * offset[columns] * step


def damping(layer: Units, covariance: Tensor, share: float, particles: int) -> Tensor:
    """What to add to the diagonal of a covariance, (width,): a share of the layer's mean variance.

    Real columns, which may be measured in different units, get the share of their own. All others get no
    less than one of the `particles` changes the variance by when it differs from all the rest, about 4 Γ''(0)
    over their number: where no unit varies, as in rows that are all equal, a single particle would else make
    a step as large as that variance is small.
    """
    variance = covariance.diagonal()
    own = torch.zeros(len(variance), dtype=torch.bool, device=variance.device)
    for columns in real_columns(layer):
        own[columns] = True
    common = variance[~own].mean() if bool((~own).any()) else variance.new_zeros(())
    middle = layer.bias.detach()[None] * 0.0
    seen = 4.0 * layer.variance(middle).detach()[0] / particles
    return torch.where(own, share * variance, (share * common).clamp(min=seen.to(variance)))


def real_columns(layer: Units) -> Iterator[slice]:
    """The columns of real units, part by part."""
    start = 0
    for part in parts_of(layer):
        if part.tail is Tail.QUADRATIC:
            yield slice(start, start + part.width)
        start += part.width


@torch.no_grad()
def couple_standardised(model: PairwiseModel) -> None:
    """Read the couplings of real visible units as those of (x - mean) / deviation, and rewrite them.

    What a small random coupling is depends on the units of measurement. For a fresh model, once its visible
    units have matched the data.
    """
    visible = model.layers[0]
    mean, variance = (f(visible.bias[None])[0] for f in (visible.mean, visible.variance))
    for operator, i, j in model.couplings():
        for columns in real_columns(visible) if i == 0 else ():
            if operator.scale_rows(columns, variance[columns].rsqrt()):
                model.layers[j].bias.sub_(mean[columns] @ operator.rows(columns))
