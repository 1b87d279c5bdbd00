"""The defaults that work: from data to a trained, measured model."""

from harmonium.recipes.default import fit
from harmonium.recipes.history import History

__all__ = ["History", "fit"]
