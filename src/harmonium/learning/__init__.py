"""Learning: two phases, negative particles, centring, regularisers, and the one training loop."""

from harmonium.learning.average import Average
from harmonium.learning.batches import Batches
from harmonium.learning.centring import Centring, centre_gradients
from harmonium.learning.loop import Learner, StopTraining, Update, train
from harmonium.learning.natural import NaturalGradient
from harmonium.learning.negatives import ContrastiveDivergence, ExactNegatives, Negatives, PersistentChains
from harmonium.learning.particles import Particles, equally_weighted
from harmonium.learning.phases import Moments, Phases, accumulate_phases, surrogate
from harmonium.learning.regularisers import L1, ActivitySparsity, GroupSparsity, MaxNorm, WeightDecay

__all__ = [
    "L1",
    "ActivitySparsity",
    "Average",
    "Batches",
    "Centring",
    "ContrastiveDivergence",
    "ExactNegatives",
    "GroupSparsity",
    "Learner",
    "MaxNorm",
    "Moments",
    "NaturalGradient",
    "Negatives",
    "Particles",
    "PersistentChains",
    "Phases",
    "StopTraining",
    "Update",
    "WeightDecay",
    "accumulate_phases",
    "centre_gradients",
    "equally_weighted",
    "surrogate",
    "train",
]
