"""Log Z and log P as numbers with their error: exact where affordable, annealed from both ends otherwise."""

from harmonium.likelihood.estimate import Estimate
from harmonium.likelihood.partition import log_partition
from harmonium.likelihood.rows import independent_log_likelihood, log_likelihood

__all__ = ["Estimate", "independent_log_likelihood", "log_likelihood", "log_partition"]
