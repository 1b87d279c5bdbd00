"""Chains that start from noise at every update."""

from __future__ import annotations

from harmonium import checks, processes
from harmonium.learning.negative_phase import NegativePhase
from harmonium.learning.negatives import MOST_STEPS, STRIDE
from harmonium.learning.particles import Particles, equally_weighted
from harmonium.models import EnergyModel
from harmonium.random import Address, Purpose
from harmonium.sampling import Chains, Kernel, advance, default_kernel
from harmonium.sampling.tempering import broad


class RestartedChains(NegativePhase):
    """Rdm-k: chains start from noise at each update and run k steps.

    The model then learns to turn noise into data in k steps, whether or not it has come to rest by then: good
    samples after k steps from the same noise, a distribution of its own in the limit of long chains (Nijkamp
    et al. 2019; Decelle, Furtlehner & Seoane 2021; Agoritsas et al. 2023). A likelihood of such a model is
    that of the limit.

    Args:
        chains: how many.
        k: steps from noise to the negative particles, far more than other methods need; at most 256.
        seed: of the chains.
        kernel: how they move; the model's own by default.
    """

    n: int
    k: int
    divides = True

    def __init__(self, chains: int = 500, k: int = 50, seed: int = 0, kernel: Kernel | None = None) -> None:
        self.n = checks.positive_integer("chains", chains)
        self.k = checks.integer("k", k, 1, MOST_STEPS)
        self.seed = checks.seed("seed", seed)
        self.kernel = kernel

    def draw(self, model: EnergyModel, data: Particles, step: int) -> Particles:
        own = processes.share_of("chains", self.n)
        start = Address(self.seed, Purpose.CHAIN, step=step * STRIDE, chain=own.start)
        noise = broad(model).random_state(processes.size(own), start)
        chains = Chains(noise, start.at(step=start.step + 1))
        chains = advance(self.kernel or default_kernel(model), model, chains, self.k)
        return equally_weighted(*chains.state, of=self.n, chain=own.start)
