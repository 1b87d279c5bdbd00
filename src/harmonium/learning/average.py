"""A running average of the parameters: the noise of the negative particles averages out (Polyak & Juditsky
1992).
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from harmonium import checks
from harmonium.learning.loop import Update
from harmonium.learning.unit_scales import Scale, gaussians
from harmonium.models import EnergyModel
from harmonium.models.real_couplings import real_couplings
from harmonium.numerics import without_gradients


class Average:
    """Keeps a second model whose parameters follow the first one's as an exponential running mean.

    A coupling is exactly zero in it that training had at zero in more than half of the updates that the mean
    reaches back over: those that noise carries off now and then are at zero most of the time.

    Of Gaussian units it takes the mean of the locations b/γ, not that of the biases. With units at μ the bias
    is γμ, and the means of γμ and of log γ over a path along which γ grows don't belong together: they would
    put the units at μ (1 + ½ Var log γ), and where μ is ten standard deviations away from 0 this is a long
    way. For the same reason the couplings of Gaussian to Gaussian units are averaged in units of their
    precisions: Z is then finite for the mean as for all that went into it.

    Args:
        model: the model that is trained.
        horizon: updates over which the mean reaches back at least. The first ones count equally.
        share: of all updates so far, over which it reaches back later on: the longer the path, the longer the
            mean.
    """

    def __init__(self, model: EnergyModel, horizon: int = 200, share: float = 0.1) -> None:
        self.model = copy.deepcopy(model).requires_grad_(False)
        self._own: list[Tensor] = list(self.model.parameters())
        # the share of updates in which each coupling was other than zero
        self._used = [torch.ones_like(p) for p in self.model.with_learned_zeros()]
        self.horizon = checks.positive_integer("horizon", horizon)
        self.share = checks.fraction("share", share)
        self.updates = 0

    @without_gradients
    def __call__(self, update: Update) -> None:
        self.updates += 1
        rate = 1.0 / max(min(self.updates, self.horizon), self.share * self.updates)
        machine = update.model.as_pairwise()
        plain = None if machine is None else machine.matrix_and_biases()
        if plain is not None:  # no Gaussian units, and no zeros to be kept
            torch._foreach_lerp_(self._own, list(plain), rate)
            return
        pairs = list(zip(_gaussians(self.model), _gaussians(update.model), strict=True))
        locations = [own.location.lerp(new.location, rate) for own, new in pairs]
        couplings = _mean_couplings(self.model, update.model, rate)
        torch._foreach_lerp_(self._own, list(update.model.parameters()), rate)
        self._keep_zeros(update.model, rate)
        for location, (own, _) in zip(locations, pairs, strict=True):
            own.bias.copy_(own.units.precision * location)
        real = None if couplings is None else real_couplings(self.model)
        if real is not None and couplings is not None:
            real.take(couplings)

    def _keep_zeros(self, model: EnergyModel, rate: float) -> None:
        tensors = self._used, self.model.with_learned_zeros(), model.with_learned_zeros()
        for used, own, new in zip(*tensors, strict=True):
            used.lerp_((new != 0).to(used), rate)
            own.mul_(used > 0.5)

    def restart(self, model: EnergyModel) -> None:
        """Begin again at `model`."""
        self.model.load_state_dict(model.state_dict())
        self.updates = 0

    def state_dict(self) -> dict[str, Tensor]:
        """All that is needed to go on."""
        used = {f"used{k}": x for k, x in enumerate(self._used)}
        return {**self.model.state_dict(), **used, "updates": torch.tensor(self.updates)}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from `state_dict`."""
        own = {name: state[name] for name in self.model.state_dict()}
        self.model.load_state_dict(own)
        self.updates = int(state["updates"])
        for k, used in enumerate(self._used):
            used.copy_(state[f"used{k}"])


def _mean_couplings(own: EnergyModel, new: EnergyModel, rate: float) -> Tensor | None:
    """The new mean of couplings between Gaussian units, in units of the precisions; None without such."""
    a, b = real_couplings(own), real_couplings(new)
    return None if a is None or b is None else a.scaled.lerp(b.scaled, rate)


def _gaussians(model: EnergyModel) -> list[Scale]:
    return [scale for layer in model.named_blocks for scale in gaussians(layer)]
