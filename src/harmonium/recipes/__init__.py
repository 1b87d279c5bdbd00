"""The defaults that work: from data to a trained, measured model.

In the order in which a run meets them:

    training           `fit`, which puts the others together
    layerwise          greedy training of deep belief networks, and pretraining of deep Boltzmann machines
    model_choice       a model for a table that comes without one: units, and hidden units by trial
    split              rows to learn from and rows to select on
    settings           the numbers nobody should have to choose: a new default goes there
    default_negatives  who makes the negative particles: chains, exact sums, independent draws
    user_warnings      what a careful user should know, of the data and of the model: a new warning goes there
    start/             where a fresh model starts: a new start goes there
    run/               what happens from the first update to the last: measurements, history, checkpoints
    rules              what is done about a measurement: a new rule goes there

A new algorithm goes to `harmonium.learning`.
"""

from harmonium.recipes.layerwise import pretrain
from harmonium.recipes.run.history import History
from harmonium.recipes.training import fit

__all__ = ["History", "fit", "pretrain"]
