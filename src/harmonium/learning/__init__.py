"""Learning: two phases, negative particles, centring, regularisers, and the one training loop."""

from harmonium.learning.algorithms import ALGORITHMS, algorithm
from harmonium.learning.ancestral import AncestralNegatives
from harmonium.learning.average import Average
from harmonium.learning.batches import Batches
from harmonium.learning.centred_gradient import Centring, centre_gradients
from harmonium.learning.conditional_chains import ConditionalChains
from harmonium.learning.descent import GradientDescent
from harmonium.learning.discriminative import (
    ConditionalCompletions,
    HybridNegatives,
    completion_log_probabilities,
    completions,
)
from harmonium.learning.fast_weights import FastPersistentChains
from harmonium.learning.free_cells import FreeCells
from harmonium.learning.gauge import Gauge, fix_gauge
from harmonium.learning.loop import Learner, StopTraining, Update, train
from harmonium.learning.mean_cells import MeanCells
from harmonium.learning.meanfield import MeanField
from harmonium.learning.natural_gradient import NaturalGradient
from harmonium.learning.negative_phase import NegativePhase
from harmonium.learning.negatives import ContrastiveDivergence, ExactNegatives, PersistentChains
from harmonium.learning.particles import Particles, equally_weighted
from harmonium.learning.phases import Moments, Phases, accumulate_phases, surrogate, two_phases
from harmonium.learning.pseudo import PseudoLikelihood
from harmonium.learning.regularisers import L1, ActivitySparsity, GroupSparsity, MaxNorm, WeightDecay
from harmonium.learning.restarted_chains import RestartedChains
from harmonium.learning.shared_weights import SharedNaturalGradient
from harmonium.learning.tempered_chains import TemperedChains, TrajectoryChains

__all__ = [
    "ALGORITHMS",
    "ActivitySparsity",
    "AncestralNegatives",
    "Average",
    "Batches",
    "Centring",
    "ConditionalChains",
    "ConditionalCompletions",
    "ContrastiveDivergence",
    "ExactNegatives",
    "FastPersistentChains",
    "FreeCells",
    "Gauge",
    "GradientDescent",
    "GroupSparsity",
    "HybridNegatives",
    "L1",
    "Learner",
    "MaxNorm",
    "MeanCells",
    "MeanField",
    "Moments",
    "NaturalGradient",
    "SharedNaturalGradient",
    "NegativePhase",
    "Particles",
    "PersistentChains",
    "Phases",
    "PseudoLikelihood",
    "RestartedChains",
    "StopTraining",
    "TemperedChains",
    "TrajectoryChains",
    "Update",
    "WeightDecay",
    "accumulate_phases",
    "algorithm",
    "centre_gradients",
    "completion_log_probabilities",
    "completions",
    "equally_weighted",
    "fix_gauge",
    "surrogate",
    "train",
    "two_phases",
]
