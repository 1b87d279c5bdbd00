"""Markov chains: one contract for kernels, Gibbs and gradient-informed kernels, clamping, and samples for
the user.
"""

from harmonium.sampling.chains import Chains, Clamp, Kernel
from harmonium.sampling.draw import completed_states, sample, sample_states
from harmonium.sampling.gibbs import BlockGibbs, advance
from harmonium.sampling.graph import GraphGibbs
from harmonium.sampling.hamiltonian import HMC, MALA, UnadjustedLangevin
from harmonium.sampling.sequences import continuation
from harmonium.sampling.sites import GibbsWithGradients, SiteGibbs
from harmonium.sampling.start import complete, default_kernel, initial_chains

__all__ = [
    "HMC",
    "MALA",
    "BlockGibbs",
    "Chains",
    "Clamp",
    "GibbsWithGradients",
    "GraphGibbs",
    "Kernel",
    "SiteGibbs",
    "UnadjustedLangevin",
    "advance",
    "complete",
    "completed_states",
    "default_kernel",
    "initial_chains",
    "continuation",
    "sample",
    "sample_states",
]
