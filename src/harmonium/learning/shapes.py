"""Scales of Gaussian units in the natural gradient.

The precision γ of a unit enters the energy as γx²/2. Far from 0 a change of γ moves the mean b/γ as well, by
many standard deviations, so log γ is learned in coordinates centred at the offset μ, where the energy has
γ(x-μ)²/2: with ∇b the plain gradient of the bias

    ∇'log γ = ∇log γ + γμ ∇b,     ∇̃log γ = ∇'log γ / (½ (γσ²)²),     ∇̃b gains γμ ∇̃log γ.

The denominator is the variance of γ(x-μ)²/2 for a Gaussian of variance σ². Learning then doesn't depend
on the units of measurement, and with `Average` neither on their zero, but through the size of the
steps: columns far from 0 are better learned about their means, as `hm.fit` does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from harmonium.models import PairwiseModel
from harmonium.units import Gaussian, Units
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

    Gaussian columns, which may be measured in different units, get the share of their own. All others get no
    less than one of the `particles` changes the variance by when it differs from all the rest, about 4 Γ''(0)
    over their number: where no unit varies, as in rows that are all equal, a single particle would else make
    a step as large as that variance is small.
    """
    variance = covariance.diagonal()
    own = torch.zeros(len(variance), dtype=torch.bool, device=variance.device)
    for scale in gaussians(layer):
        own[scale.columns] = True
    common = variance[~own].mean() if bool((~own).any()) else variance.new_zeros(())
    middle = layer.bias.detach()[None] * 0.0
    seen = 4.0 * layer.variance(middle).detach()[0] / particles
    return torch.where(own, share * variance, (share * common).clamp(min=seen.to(variance)))


@torch.no_grad()
def couple_standardised(model: PairwiseModel) -> None:
    """Read the couplings of Gaussian visible units as those of (x - location) / scale, and rewrite them.

    What a small random coupling is depends on the units of measurement. For a fresh model, once its visible
    units have matched the data.
    """
    visible = model.layers[0]
    for weight, i, j in model.couplings():
        for scale in gaussians(visible) if i == 0 and weight.is_leaf else ():
            columns, precision = scale.columns, scale.units.precision
            weight[columns] *= precision.sqrt()[:, None]
            model.layers[j].bias.sub_((visible.bias[columns] / precision) @ weight[columns])
