"""Energies: general, over blocks of units, and the restricted Boltzmann machine."""

from harmonium.models.blocks import BlockModel
from harmonium.models.boltzmann import BoltzmannMachine
from harmonium.models.deep import DeepBoltzmannMachine
from harmonium.models.energy import EnergyModel
from harmonium.models.graph import GraphModel
from harmonium.models.markov import MarkovRandomField
from harmonium.models.pairwise import PairwiseModel, independent
from harmonium.models.path import Interpolation
from harmonium.models.rbm import RBM
from harmonium.models.reference import Path, Reference, path_to
from harmonium.models.uncoupled import UncoupledRows

__all__ = [
    "RBM",
    "BlockModel",
    "BoltzmannMachine",
    "DeepBoltzmannMachine",
    "EnergyModel",
    "GraphModel",
    "Interpolation",
    "PairwiseModel",
    "MarkovRandomField",
    "Path",
    "Reference",
    "UncoupledRows",
    "independent",
    "path_to",
]
