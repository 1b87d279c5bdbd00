"""Energies: general, over blocks of units, and the restricted Boltzmann machine."""

from harmonium.models.belief import DeepBeliefNetwork
from harmonium.models.blocks import BlockModel
from harmonium.models.boltzmann import BoltzmannMachine
from harmonium.models.conditional import ConditionalRBM
from harmonium.models.convolutional import ConvolutionalRBM
from harmonium.models.deep import DeepBoltzmannMachine
from harmonium.models.energy import EnergyModel
from harmonium.models.graph import GraphModel
from harmonium.models.labelled import LabelledRBM
from harmonium.models.markov import MarkovRandomField
from harmonium.models.objective import Objective
from harmonium.models.pairwise import PairwiseModel, independent
from harmonium.models.path import Interpolation
from harmonium.models.rbm import RBM
from harmonium.models.reference import Path, Reference, path_to, uncoupled, uncoupled_rows
from harmonium.models.replicated_softmax import ReplicatedSoftmax
from harmonium.models.temporal import TemporalRBM
from harmonium.models.uncoupled import UncoupledRows

__all__ = [
    "RBM",
    "BlockModel",
    "BoltzmannMachine",
    "ConditionalRBM",
    "ConvolutionalRBM",
    "DeepBeliefNetwork",
    "DeepBoltzmannMachine",
    "EnergyModel",
    "GraphModel",
    "Interpolation",
    "LabelledRBM",
    "PairwiseModel",
    "MarkovRandomField",
    "Objective",
    "Path",
    "Reference",
    "ReplicatedSoftmax",
    "TemporalRBM",
    "UncoupledRows",
    "independent",
    "path_to",
    "uncoupled",
    "uncoupled_rows",
]
