"""What learning makes large: log P of whole rows, or of some of their columns given the others."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from harmonium import checks


@dataclass(frozen=True)
class Objective:
    """(1 - joint_share) log P(v_A | v_B) + joint_share log P(v), nats per row, where B is `given`.

    With all features given it is discriminative learning of the rest, and hybrid with a share of the joint
    likelihood, which keeps it from overfitting (Larochelle & Bengio 2008). With a context given it is the
    likelihood of a conditional machine.

    Args:
        given: columns of the visible states that are given, B.
        joint_share: of log P of the whole row, from 0 to 1.

    Raises:
        TypeError, ValueError: `given` isn't a slice of columns, or the share isn't between 0 and 1.

    >>> Objective(slice(0, 2)).held(3).tolist()
    [True, True, False]
    """

    given: slice
    joint_share: float = 0.0

    def __post_init__(self) -> None:
        if not isinstance(self.given, slice):
            raise TypeError(f"given must be a slice of columns, got {checks.describe(self.given)}.")
        object.__setattr__(self, "joint_share", checks.fraction("joint_share", self.joint_share))

    def held(self, width: int) -> Tensor:
        """Which of so many columns are given, bool, (width,).

        Raises:
            ValueError: all of them are, or none.
        """
        mask = torch.zeros(width, dtype=torch.bool)
        mask[self.given] = True
        if bool(mask.all()) or not bool(mask.any()):
            raise ValueError(f"given must be some of the {width} columns, got {int(mask.sum())} of them.")
        return mask
