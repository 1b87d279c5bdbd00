"""Markov chains: one contract for kernels, block Gibbs sampling, clamping, and samples for the user."""

from harmonium.sampling.chains import Chains, Clamp, Kernel
from harmonium.sampling.draw import sample
from harmonium.sampling.gibbs import BlockGibbs
from harmonium.sampling.start import default_kernel, initial_chains

__all__ = ["BlockGibbs", "Chains", "Clamp", "Kernel", "default_kernel", "initial_chains", "sample"]
