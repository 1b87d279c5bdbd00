"""scikit-learn's estimators over this library: no training loop, sampler or likelihood of their own."""

from harmonium.estimators.base import RBMEstimator
from harmonium.estimators.bernoulli import BernoulliRBM
from harmonium.estimators.imputer import RBMImputer
from harmonium.estimators.supervised import RBMClassifier, RBMRegressor
from harmonium.estimators.unsupervised import RBMDensity, RBMOutlierDetector, RBMTransformer

__all__ = [
    "BernoulliRBM",
    "RBMClassifier",
    "RBMDensity",
    "RBMEstimator",
    "RBMImputer",
    "RBMOutlierDetector",
    "RBMRegressor",
    "RBMTransformer",
]
