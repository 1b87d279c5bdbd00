"""Counts without a limit: what keeps their rates where there are rows."""

from __future__ import annotations

import torch
from torch import Tensor

from harmonium.learning.loop import Callback, Update
from harmonium.models import EnergyModel
from harmonium.models.intake import Rows
from harmonium.numerics import column_moments
from harmonium.recipes.run.likelihoods import SUBSET
from harmonium.units import Bernoulli
from harmonium.units.base import Tail
from harmonium.units.mixed import parts_of


def limits(model: EnergyModel, rows: Rows) -> list[Callback]:
    """What is called after each update: a `RateCeiling` where counts are coupled to 0/1 units."""
    pair = model.pair()
    if pair is None or type(pair.hidden) is not Bernoulli or not pair.operator.natural:
        return []
    counted = [torch.full((p.width,), p.tail is Tail.FACTORIAL) for p in parts_of(pair.visible)]
    columns = torch.cat(counted).nonzero().flatten().to(pair.visible.bias.device)
    if not len(columns):
        return []
    states = rows.states(SUBSET)
    return [RateCeiling(columns, states[:, columns].nan_to_num().amax(0), column_moments(states)[0])]


class RateCeiling:
    """A callback that keeps the rate of a count below twice its largest value, whatever the hidden units are.

    A count raises what raises it: with all units on that do, the rate exp(a + Σ max(w, 0)) of many weak
    couplings may be a hundred times any count. There the model has nearly all of its mass, exp(rate), and no
    chain that begins at rows tells so until one gets there, after which training is lost. The couplings of
    such a count are made weaker, and its rate stays what it was where the hidden units are as for a mean row.

    Args:
        columns: of the visible states that are counts.
        largest: of each of them.
        centre: the means of all columns, (visible width,).
    """

    def __init__(self, columns: Tensor, largest: Tensor, centre: Tensor) -> None:
        self.columns, self.centre = columns, centre.nan_to_num()
        self.highest = (2.0 * largest.clamp(min=1.0)).log()

    def __call__(self, update: Update) -> None:
        self.apply(update.model)

    @torch.no_grad()
    def apply(self, model: EnergyModel) -> None:
        """Weaken what is too strong; nothing else changes."""
        pair = model.pair()
        assert pair is not None  # as `limits` has looked
        weight, bias = pair.operator.dense()[self.columns], pair.visible.bias
        own, most = bias[self.columns], weight.clamp(min=0.0).sum(1)
        highest = self.highest.to(weight)
        if not bool((own + most > highest).any()):  # NaN is for `check_finite` to tell
            return
        usual = weight @ pair.hidden.mean(pair.hidden_field(self.centre.to(weight)[None]))[0]
        room = (self.highest - own - usual) / (most - usual).clamp(min=1e-12)
        share = torch.where(own + most > self.highest, room.clamp(0.0, 1.0), 1.0)
        factors = torch.ones_like(bias).index_copy(0, self.columns, share)
        pair.operator.scale_rows(slice(None), factors)
        bias[self.columns] = torch.minimum(own + (1.0 - share) * usual, highest)
