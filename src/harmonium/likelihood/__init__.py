"""Log Z and log P as numbers with their error: exact where affordable, annealed from both ends otherwise."""

from harmonium.likelihood.annealing import annealed_importance_sampling
from harmonium.likelihood.comparison import compare
from harmonium.likelihood.conditional import conditional_log_likelihood, conditional_log_probabilities
from harmonium.likelihood.estimate import Estimate
from harmonium.likelihood.partition import log_partition
from harmonium.likelihood.proxies import (
    free_energy_gap,
    pseudo_likelihood,
    reconstruction_error,
    stochastic_pseudo_likelihood,
)
from harmonium.likelihood.rows import (
    RowEstimates,
    independent_log_likelihood,
    log_likelihood,
    log_probabilities,
)

__all__ = [
    "Estimate",
    "RowEstimates",
    "annealed_importance_sampling",
    "compare",
    "conditional_log_likelihood",
    "conditional_log_probabilities",
    "free_energy_gap",
    "independent_log_likelihood",
    "log_likelihood",
    "log_partition",
    "log_probabilities",
    "pseudo_likelihood",
    "reconstruction_error",
    "stochastic_pseudo_likelihood",
]
