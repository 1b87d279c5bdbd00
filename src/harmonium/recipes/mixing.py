"""What to do when persistent chains stop mixing: more sweeps between updates, or chains that are tempered."""

from __future__ import annotations

from collections.abc import Callable

from harmonium.diagnostics import MixingReport
from harmonium.learning import Average, Learner, PersistentChains, Source, TemperedChains
from harmonium.recipes.rescue import go_back

APART = 1.8  # R̂ of chains that keep to their modes however many sweeps they make
MOST_SWEEPS = 16  # between two updates; beyond, more updates help more
SHARE = 4  # persistent chains for each set of replicas


def more_sweeps(learner: Learner) -> str | None:
    """Double the sweeps between updates; what was done, None where there are many already."""
    chains = learner.negatives
    assert isinstance(chains, PersistentChains)
    if chains.k >= MOST_SWEEPS:
        return None
    chains.k *= 2
    return f"from there on they made {chains.k} sweeps between updates"


def hopeless(learner: Learner, report: MixingReport) -> bool:
    """Whether the chains are further apart than sweeps can help, where replicas at temperatures might."""
    return report.r_hat > APART and learner.model.has_free_energy()


def begin_anew(learner: Learner, average: Average, start: Callable[[Source], None]) -> str:
    """Start the model again, with replicas at several temperatures; what was done.

    What chains that don't move have taught is not worth keeping: they let the model deepen the modes that
    they happen to be in, and no ladder of temperatures leads out of these any more.
    """
    chains = learner.negatives
    assert isinstance(chains, PersistentChains)
    learner.negatives = tempered = tempered_instead(chains)
    start(tempered)
    state = {name: p.clone() for name, p in learner.model.state_dict().items()}
    go_back(learner, average, state, next(learner.model.parameters()).new_empty(0))
    return f"training began anew with replicas at {len(tempered.positions)} temperatures that exchange places"


def noisier(batch: int, before: int, now: int) -> float:
    """By how much smaller steps must be that as few chains as `now` give the model no larger kicks."""
    return float(((1.0 / batch + 1.0 / before) / (1.0 / batch + 1.0 / now)) ** 0.5)


def tempered_instead(chains: PersistentChains) -> TemperedChains:
    """Replicas for about the same work, not yet placed."""
    return TemperedChains(max(64, chains.n // SHARE), seed=chains.seed)
