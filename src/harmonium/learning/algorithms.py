"""Every way to train, by its name."""

from __future__ import annotations

from collections.abc import Callable

from harmonium import checks
from harmonium.learning.ancestral import AncestralNegatives
from harmonium.learning.fast_weights import FastPersistentChains
from harmonium.learning.meanfield import MeanField
from harmonium.learning.negative_phase import NegativePhase
from harmonium.learning.negatives import ContrastiveDivergence, ExactNegatives, PersistentChains
from harmonium.learning.pseudo import PseudoLikelihood
from harmonium.learning.restarted_chains import RestartedChains
from harmonium.learning.tempered import TemperedChains, TrajectoryChains

RUNGS = 8  # of a tempered path: as many rows are swept as there are chains in all

ALGORITHMS: dict[str, Callable[[int, int | None, int], NegativePhase]] = {
    "cd": lambda chains, k, seed: ContrastiveDivergence(k or 1, seed),
    "pcd": lambda chains, k, seed: PersistentChains(chains, k or 2, seed),
    "fpcd": lambda chains, k, seed: FastPersistentChains(chains, k or 2, seed),
    "pt": lambda chains, k, seed: TemperedChains(max(1, chains // RUNGS), RUNGS, k or 2, seed),
    "trajectory": lambda chains, k, seed: TrajectoryChains(max(1, chains // RUNGS), k or 2, seed),
    "restart": lambda chains, k, seed: RestartedChains(chains, k or 50, seed),
    "ancestral": lambda chains, k, seed: AncestralNegatives(chains, seed),
    "exact": lambda chains, k, seed: ExactNegatives(),
    "pl": lambda chains, k, seed: PseudoLikelihood(),
    "stochastic-pl": lambda chains, k, seed: PseudoLikelihood(k or 4, seed),
    "mean-field": lambda chains, k, seed: MeanField(1, steps=k or 3),
    "tap": lambda chains, k, seed: MeanField(2, steps=k or 3),
}


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
    return ALGORITHMS[name](chains, k, checks.seed("seed", seed))
