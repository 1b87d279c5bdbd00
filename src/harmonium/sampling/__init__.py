"""Markov chains: one contract for kernels, block Gibbs sampling, clamping, and samples for the user."""

from harmonium.sampling.chains import Chains, Clamp, Kernel
from harmonium.sampling.draw import sample
from harmonium.sampling.gibbs import BlockGibbs

__all__ = ["BlockGibbs", "Chains", "Clamp", "Kernel", "sample"]
