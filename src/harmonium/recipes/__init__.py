"""The defaults that work: from data to a trained, measured model, and from a model to answers."""

from harmonium.recipes.history import History
from harmonium.recipes.imputation import impute
from harmonium.recipes.surprises import Surprise, conditional, surprise
from harmonium.recipes.training import fit

__all__ = ["History", "Surprise", "conditional", "fit", "impute", "surprise"]
