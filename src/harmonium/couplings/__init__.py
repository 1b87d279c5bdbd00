"""Couplings between blocks as operators: dense, or of a structure that `hm.RBM(…, couplings=…)` is given."""

from harmonium.couplings.base import Coupling, Kind, Operator
from harmonium.couplings.dense import Dense, Masked

__all__ = ["Coupling", "Dense", "Kind", "Masked", "Operator"]
