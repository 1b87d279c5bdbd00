"""Energies: general, over blocks of units, and the restricted Boltzmann machine."""

from harmonium.models.blocks import BlockModel
from harmonium.models.energy import EnergyModel
from harmonium.models.pairwise import PairwiseModel, independent
from harmonium.models.path import Interpolation
from harmonium.models.rbm import RBM

__all__ = ["RBM", "BlockModel", "EnergyModel", "Interpolation", "PairwiseModel", "independent"]
