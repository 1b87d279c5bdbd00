"""One site: potential U, cumulant Γ(I) = log Σₓ exp(I x - U(x)), and all that follows from it."""

from harmonium.units.base import Tail, Units
from harmonium.units.bernoulli import Bernoulli
from harmonium.units.binomial import Binomial
from harmonium.units.categorical import Categorical
from harmonium.units.drelu import DReLU
from harmonium.units.gaussian import Gaussian
from harmonium.units.mixed import Mixed
from harmonium.units.poisson import Poisson
from harmonium.units.relu import ReLU
from harmonium.units.spin import Spin

__all__ = [
    "Bernoulli",
    "Binomial",
    "Categorical",
    "DReLU",
    "Gaussian",
    "Mixed",
    "Poisson",
    "ReLU",
    "Spin",
    "Tail",
    "Units",
]
