"""scikit-learn's estimators over this library: no training loop, sampler or likelihood of their own."""

from harmonium.estimators.bernoulli import BernoulliRBM

__all__ = ["BernoulliRBM"]
