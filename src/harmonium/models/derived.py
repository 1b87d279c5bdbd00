"""Models that are made of other models, and learn nothing themselves."""

from __future__ import annotations

from typing import Generic, TypeVar

import torch
from torch import Tensor

from harmonium.models.energy import EnergyModel

Kind = TypeVar("Kind", bound=EnergyModel)
Point = TypeVar("Point", bound="PathPoint")


class Derived(EnergyModel, Generic[Kind]):
    """A model over the variables of another one, in its precision and where it lives; the parameters of that
    model aren't its own.
    """

    def __init__(self, model: Kind) -> None:
        super().__init__()
        self._of = (model,)  # a tuple keeps the model's parameters out of this one's

    @property
    def dtype(self) -> torch.dtype:
        return self._of[0].dtype

    @property
    def device(self) -> torch.device:
        return self._of[0].device


class PathPoint(Derived[Kind]):
    """The model with energy (1-β) E₀ + β E₁ for two energies over the same variables; β a number or one per
    row.

    Attributes:
        ends: both models.
        beta: β.
    """

    def __init__(self, start: Kind, end: Kind, beta: float | Tensor) -> None:
        super().__init__(end)
        self.ends = (start, end)
        self.beta = beta

    def at(self: Point, beta: float | Tensor) -> Point:
        """The model at another point of the same path."""
        return type(self)(*self.ends, beta)
