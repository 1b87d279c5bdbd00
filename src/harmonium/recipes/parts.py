"""The parts of a run: where negative particles come from, what becomes of gradients, who makes the steps."""

from __future__ import annotations

import torch

from harmonium.learning import (
    AncestralNegatives,
    Centring,
    ExactNegatives,
    GradientDescent,
    NaturalGradient,
    PersistentChains,
    Source,
    WeightDecay,
    algorithm,
)
from harmonium.learning.loop import Optimiser, Transform
from harmonium.models import EnergyModel
from harmonium.recipes.plan import (
    Asked,
    Plan,
    few_hidden_states,
    few_states,
    natural_gradient_fits,
)
from harmonium.recipes.shrinkage import ValidatedDecay


def source_of(model: EnergyModel, plan: Plan, given: str | Source | None, k: int | None) -> Source:
    """What was given, what goes by the name given, or the default; `k` are the sweeps that were asked for."""
    if isinstance(given, str):
        return algorithm(given, plan.chains, k, plan.seed)
    if given is not None:
        return given
    if few_states(model, plan.chains):
        return ExactNegatives()
    if few_hidden_states(model, plan.chains):
        return AncestralNegatives(plan.chains, plan.seed)
    return PersistentChains(plan.chains, plan.gibbs_steps, plan.seed)


def transforms_of(model: EnergyModel, plan: Plan, asked: Asked) -> list[Transform]:
    """The penalty, then what the method makes of the gradient, which so measures both in the same way."""
    own: list[Transform] = []
    if plan.weight_decay:
        follows = asked.weight_decay is None and natural_gradient_fits(model)
        own.append((ValidatedDecay if follows else WeightDecay)(plan.weight_decay))
    if plan.optimiser in ("natural", "centred"):
        own.append(NaturalGradient() if plan.optimiser == "natural" else Centring())
    return own


def optimiser_of(model: EnergyModel, plan: Plan, given: str | torch.optim.Optimizer | None) -> Optimiser:
    """Who makes the steps."""
    if given is not None and not isinstance(given, str):
        return given
    if plan.optimiser == "adam":
        return torch.optim.Adam(model.parameters(), lr=plan.learning_rate)
    return GradientDescent(model.parameters(), plan.learning_rate)
