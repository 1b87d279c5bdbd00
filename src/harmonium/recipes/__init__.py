"""The defaults that work: from data to a trained, measured model.

In the order in which a run meets them:

    choice           a model for a table that comes without one: units, and hidden units by trial
    split            rows to learn from and rows to select on
    user_warnings    what a careful user should know: of the data before, of the model after; a new warning
                     goes there
    settings         the numbers nobody should have to choose: step, weight decay, batch, length
    default_negatives  who makes the negative particles: chains, exact sums, independent draws
    initialisation   where a fresh model starts: means and principal directions
    clouds           the same for real columns whose rows lie in separate clouds
    real_columns     columns far from zero, and widths without bound
    training         `fit`, which puts these together
    greedy           deep belief networks layer by layer, `pretraining` the same for deep Boltzmann machines
    run              what is trained, what was measured, rollback, restarts, checkpoints and resuming
    interruption     Ctrl-C and SIGTERM
    measurement      what is measured along the way, `tracking` how log Z is carried along, `weights` the rest
    rules            what is done about it: a new rule goes there
    history          the records, and the progress bar

A new algorithm goes to `harmonium.learning`.
"""

from harmonium.recipes.history import History
from harmonium.recipes.pretraining import pretrain
from harmonium.recipes.training import fit

__all__ = ["History", "fit", "pretrain"]
