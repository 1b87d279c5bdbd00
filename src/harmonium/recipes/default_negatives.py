"""Who makes the negative particles of a run: what was asked for, or the cheapest way that is good enough."""

from __future__ import annotations

from typing import Any

from harmonium import checks
from harmonium.learning import (
    AncestralNegatives,
    ConditionalChains,
    ConditionalCompletions,
    ExactNegatives,
    HybridNegatives,
    NegativePhase,
    PersistentChains,
    algorithm,
)
from harmonium.learning.algorithms import takes
from harmonium.likelihood.clamped import states_of_free
from harmonium.models import EnergyModel, Objective
from harmonium.recipes.settings import SWEEPS, UserSettings, affordable, chains_asked, number_asked


def few_states(model: EnergyModel, chains: int) -> bool:
    """Whether the sum over all visible states costs no more than chains where they mix badly.

    That allows 2¹² states for 512 chains. Chains that mix well cost half as much there, but only a gradient
    without noise comes near a distribution of a few states far from each other.
    """
    return affordable(model.visible_space.n_states, chains) and model.has_free_energy()


def few_hidden_states(model: EnergyModel, chains: int) -> bool:
    """Whether negative particles can be drawn independently, by way of the hidden side, at about the cost of
    chains.

    As `few_states`, for the other side, of two blocks: a hidden state takes a product with the couplings and
    a cumulant for each column, and 2¹⁸ of these cost no more than a few sweeps of the chains.
    """
    pair = model.pair() if model.has_free_energy() else None
    if pair is None:
        return False
    count, width = pair.hidden.n_states, pair.visible.width
    return affordable(count, chains) and (count or 0) * width <= 2**18


def conditional_phase(model: EnergyModel, objective: Objective, asked: UserSettings) -> NegativePhase:
    """The negative phase of an objective: exact where what isn't given has at most 2⁷ states."""
    held = objective.held(model.visible_space.width)
    states = states_of_free(model, held, 2**7)
    phase: NegativePhase
    if states is None:
        phase = ConditionalChains(held, number_asked("gibbs_steps", asked.gibbs_steps, SWEEPS), asked.seed)
    else:
        phase = ConditionalCompletions(~held, states)
    if objective.joint_share == 0.0:
        return phase
    return HybridNegatives(phase, negative_phase(model, asked, None), objective.joint_share)


def negative_phase(
    model: EnergyModel, asked: UserSettings, given: Any, objective: Objective | None = None
) -> NegativePhase:
    """What was given, what goes by the name given, that of an objective if there is one, or the default."""
    if objective is not None:
        return conditional_phase(model, objective, asked)
    chains = chains_asked(asked)
    sweeps = number_asked("gibbs_steps", asked.gibbs_steps, SWEEPS)
    if isinstance(given, str):
        return algorithm(given, chains, asked.gibbs_steps, asked.seed)
    if given is None:
        if few_states(model, chains):
            return ExactNegatives()
        if few_hidden_states(model, chains):
            return AncestralNegatives(chains, asked.seed)
        return PersistentChains(chains, sweeps, asked.seed)
    if not isinstance(given, NegativePhase):
        what = "the name of an algorithm or a learning.NegativePhase"
        raise TypeError(f"negatives must be {what}, got {checks.describe(given)}.")
    return given


def unused(asked: UserSettings, given: Any, phase: NegativePhase, n_rows: int) -> list[str]:
    """One sentence for each number that was asked for and makes no difference to this run."""
    chosen = f"the negatives of this run, {type(phase).__name__},"
    if isinstance(given, str):
        known = takes(given)
        used, why = {"chains": "chains" in known, "gibbs_steps": "k" in known}, f"{chosen} have none"
    elif given is None:
        used = {"chains": phase.n is not None, "gibbs_steps": phase.k is not None}
        why = f'{chosen} have none; negatives="pcd" asks for chains'
    else:
        used, why = {}, f"{chosen} bring their own"
    found = [
        f"{name}={value} isn't used: {why}."
        for name in ("chains", "gibbs_steps")
        if (value := getattr(asked, name)) is not None and not used.get(name, False)
    ]
    if asked.batch_size is not None and asked.batch_size > n_rows:
        found.append(f"batch_size={asked.batch_size} is more than there are rows: all {n_rows} are a batch.")
    return found


def objective_for(model: EnergyModel, asked: Objective | None, negatives: Any) -> Objective | None:
    """What is made large; None for log P of whole rows."""
    if asked is not None and not isinstance(asked, Objective):
        raise TypeError(f"objective must be a models.Objective or None, got {checks.describe(asked)}.")
    if asked is not None and model.context is not None:
        raise ValueError("objective must be None for a model of columns given others, which has its own.")
    found = model.objective if asked is None else asked
    if found is not None and negatives is not None:
        raise ValueError(
            "negatives must be None where some columns are learned given the others, which decides them."
        )
    if found is not None and not model.has_free_energy():
        raise TypeError(f"objective: expected a model with a free energy, got {type(model).__name__}.")
    return found
