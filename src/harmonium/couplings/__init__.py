"""Couplings between blocks as operators: dense, or of a structure that `hm.RBM(…, couplings=…)` is given."""

from harmonium.couplings.base import Coupling, Kind, Operator
from harmonium.couplings.convolution import Convolution
from harmonium.couplings.dense import Dense, Masked
from harmonium.couplings.low_rank import LowRank
from harmonium.couplings.sparse import Sparse

__all__ = ["Convolution", "Coupling", "Dense", "Kind", "LowRank", "Masked", "Operator", "Sparse"]
