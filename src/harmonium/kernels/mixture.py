"""What the kernels know of a layer whose columns are drawn in several ways."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

COUNTING = 30  # numbers that take about as long as a count


class Group(NamedTuple):
    """Columns that are drawn in one way."""

    kind: str  # "uniform", "bernoulli", "spin", "categorical" or "counts"
    size: int  # states of a site, or trials of a count (0 for counts without a limit), else 1
    columns: Tensor  # of the field, int64; the states of a site next to each other
    unit: int  # the number of its first unit, counted from the address; a multiple of 4

    @property
    def states(self) -> int:
        """Columns of a site."""
        return self.size if self.kind == "categorical" else 1

    @property
    def sites(self) -> int:
        """How many uniforms a row of it takes."""
        return len(self.columns) // self.states


class Mixture:
    """Groups of columns of one field.

    Attributes:
        groups: as given.
        width: columns of the field.
        units: where the unit numbers of a row end.
        numbers: how many numbers take as long as a row.
        plan: the groups as compiled loops read them and how many rows these draw at a time, once one has.
    """

    def __init__(self, groups: Sequence[Group], width: int) -> None:
        self.groups, self.width = tuple(groups), width
        self.units = max((g.unit + g.sites for g in groups), default=0)
        self.numbers = sum(len(g.columns) * (COUNTING if g.kind == "counts" else 1) for g in groups)
        self.plan: tuple[Tensor, int] | None = None
