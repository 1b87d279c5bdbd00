"""The average of a training path along which scales change."""

from __future__ import annotations

import torch

from harmonium.learning.average import Average
from harmonium.learning.loop import Update
from harmonium.learning.shapes import Scale, gaussians
from harmonium.models import BlockModel, EnergyModel


class LocatedAverage(Average):
    """An `Average` that takes the mean of the locations b/γ of Gaussian units, not that of their biases.

    With units at μ the bias is γμ. The means of γμ and of log γ over a path along which γ grows don't belong
    together: they would put the units at μ (1 + ½ Var log γ), and where μ is ten standard deviations away
    from 0 this is a long way.
    """

    @torch.no_grad()
    def __call__(self, update: Update) -> None:
        before = [scale.location for scale in _gaussians(self.model)]
        super().__call__(update)
        rate = 1.0 / max(min(self.updates, self.horizon), self.share * self.updates)
        for old, own, new in zip(before, _gaussians(self.model), _gaussians(update.model), strict=True):
            own.bias.copy_(own.units.precision * old.lerp(new.location, rate))


def _gaussians(model: EnergyModel) -> list[Scale]:
    layers = model.layers if isinstance(model, BlockModel) else []
    return [scale for layer in layers for scale in gaussians(layer)]
