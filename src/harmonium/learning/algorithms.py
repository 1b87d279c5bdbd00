"""Every way to train, by its name."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature

from harmonium import checks
from harmonium.learning.ancestral import AncestralNegatives
from harmonium.learning.fast_weights import FastPersistentChains
from harmonium.learning.meanfield import MeanField
from harmonium.learning.negative_phase import NegativePhase
from harmonium.learning.negatives import ContrastiveDivergence, ExactNegatives, PersistentChains
from harmonium.learning.pseudo import PseudoLikelihood
from harmonium.learning.restarted_chains import RestartedChains
from harmonium.learning.tempered_chains import TemperedChains, TrajectoryChains

RUNGS = 8  # of a tempered path: as many rows are swept as there are chains in all

ALGORITHMS: dict[str, Callable[..., NegativePhase]] = {
    "cd": lambda k, seed: ContrastiveDivergence(k or 1, seed),
    "pcd": lambda chains, k, seed: PersistentChains(chains, k or 2, seed),
    "fpcd": lambda chains, k, seed: FastPersistentChains(chains, k or 2, seed),
    "pt": lambda chains, k, seed: TemperedChains(max(1, chains // RUNGS), RUNGS, k or 2, seed),
    "trajectory": lambda chains, k, seed: TrajectoryChains(max(1, chains // RUNGS), k or 2, seed),
    "restart": lambda chains, k, seed: RestartedChains(chains, k or 50, seed),
    "ancestral": lambda chains, seed: AncestralNegatives(chains, seed),
    "exact": lambda: ExactNegatives(),
    "pl": lambda: PseudoLikelihood(),
    "stochastic-pl": lambda k, seed: PseudoLikelihood(k or 4, seed),
    "mean-field": lambda k: MeanField(1, steps=k or 3),
    "tap": lambda k: MeanField(2, steps=k or 3),
}
"""How each is made of those of `chains`, `k` and `seed` that it names."""


def takes(name: str) -> set[str]:
    """Which of `chains`, `k` and `seed` the algorithm of this name makes use of.

    >>> sorted(takes("cd"))
    ['k', 'seed']
    """
    return set(signature(ALGORITHMS[name]).parameters)


def algorithm(name: str, chains: int = 512, k: int | None = None, seed: int = 0) -> NegativePhase:
    """The way to train that goes by this name.

    From samples: "cd", "pcd", "fpcd" (fast weights), "pt" (parallel tempering), "trajectory" (tempering along
    the history of training), "restart" (chains from noise), "ancestral" (independent draws by way of an
    enumerated hidden side). Without: "exact", "pl" and "stochastic-pl" (pseudo-likelihood over all or some
    variables), "mean-field" and "tap".

    Args:
        name: one of these.
        chains: rows that are swept; tempered ones share them out among their rungs.
        k: steps between two updates: sweeps, iterations of a fixed point, or variables per row; by default
            what suits the method.
        seed: of everything random.

    Raises:
        ValueError: another name.

    >>> algorithm("pcd", chains=100).n
    100
    """
    checks.one_of("negatives", name, ALGORITHMS)
    chains = checks.positive_integer("chains", chains)
    if k is not None:
        checks.positive_integer("gibbs_steps", k)
    given = {"chains": chains, "k": k, "seed": checks.seed("seed", seed)}
    return ALGORITHMS[name](**{what: given[what] for what in takes(name)})
