"""The defaults that work: from data to a trained, measured model."""

from harmonium.recipes.history import History
from harmonium.recipes.training import fit

__all__ = ["History", "fit"]
