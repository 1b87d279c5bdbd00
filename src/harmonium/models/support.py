"""What the cells of a table may be, and the sentence where one of them is anything else."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any, NamedTuple

import torch
from torch import Tensor

from harmonium.models.table import Table
from harmonium.units import Units

GREYS = (16, 255)  # what lies above the first and up to the second is taken for shades of grey


@dataclass(frozen=True, eq=False)
class Support:
    """What the cells of a table may be.

    Attributes:
        space: units or a space, of the visible variables.
        coded: whether the columns of the table are compact codes (integers for one-hot sites), not states.
    """

    space: Any
    coded: bool = False

    def states(self, x: Tensor) -> Tensor:
        """States from the cells of some rows, NaN where they are free."""
        if not self.coded:
            return x
        free = torch.isnan(x)
        if not bool(free.any()):
            return self.space.encode(x)
        states = self.space.encode(torch.where(free, self.valid.to(x), x))
        columns = [columns for _, columns, _ in self.sites(coded=False)]
        return states.masked_fill(
            free.repeat_interleave(torch.tensor(columns, device=x.device), 1), torch.nan
        )

    def wrong(self, x: Tensor) -> bool:
        """Whether one of these rows is none."""
        try:
            return self.space.violation(self.states(x)) is not None
        except ValueError:  # codes that can't be encoded
            return True

    @cached_property
    def valid(self) -> Tensor:
        """Cells of a valid row, (1, columns), to stand in for others."""
        state = self.space.some_state()
        return (self.space.decode(state) if self.coded else state).double()

    def filled(self, x: Tensor, free: Tensor, name: str) -> Tensor:
        """The rows with valid cells in place of the free ones, so that the others are checked by their own
        rule.
        """
        problem = None if self.coded else self.space.mask_violation(~free)
        if problem:
            raise ValueError(f"{name}: {problem}; NaN marks free ones.")
        valid = self.valid if self.coded else self.space.in_rows(x).some_state()
        return torch.where(free, valid.to(x), x)

    def sentence(self, x: Tensor, table: Table, start: int, free: bool = False) -> str:
        """What is wrong with the first row that is none, as the rest of a sentence on the argument.

        `x` are rows of `table` from number `start` on; `free` says whether NaN would do.
        """
        row = bisect_left(range(len(x)), True, key=lambda k: self.wrong(x[: k + 1]))
        sites = self.sites(self.coded)

        def wrong_up_to(site: int) -> bool:
            end = sum(sites[site][:2])
            return self.wrong(torch.cat([x[row : row + 1, :end], self.valid.to(x)[:, end:]], 1))

        column, columns, part = sites[bisect_left(range(len(sites)), True, key=wrong_up_to)]
        got = ", ".join(f"{value:g}" for value in x[row, column : column + columns].tolist())
        where = table.place(start + row, column, columns - 1)
        remedy = self._remedy(part, x) or "; NaN marks free cells" * free
        return f"{self._needs(part, column, x[row : row + 1])}, got {got} in {where}{remedy}."

    def _needs(self, part: Units | None, column: int, row: Tensor) -> str:
        """What the values of a variable must be."""
        if part is None:
            return f"values must be {self.space.allowed(column)}"
        kind = f"({type(part).__name__} units)"
        if self.coded and part.code_width < part.width:
            return f"values must be whole numbers from 0 to {part.width // part.n - 1} {kind}"
        starts = [start for start, _, other in self.sites(self.coded) if other is part]
        return f"{part.violation(row[:, starts[0] : starts[0] + part.width])} {kind}"

    def _remedy(self, part: Units | None, x: Tensor) -> str:
        if part is None or part.two_values != (0.0, 1.0):
            return ""
        if between(x):
            return (
                "; values between 0 and 1 are probabilities, from which hm.fit draws states: draw them here,"
                " or round them (X >= 0.5)"
            )
        return greys(float(x.min()), float(x.max()), f"hm.Binomial({part.n}, trials=255)")

    def sites(self, coded: bool) -> list[tuple[int, int, Units | None]]:
        """(first column, number of columns, its units or None) of every variable, in codes or in states."""
        variables = self.space.variables()
        widths = [1 if coded else variable.width for variable in variables]
        places = zip(accumulate(widths, initial=0), widths, variables, strict=False)
        return [(start, width, variable.part) for start, width, variable in places]


class Site(NamedTuple):
    """A visible variable of a model, as part of a state.

    Attributes:
        number: among the visible variables.
        start: its first column in a visible state.
        width: number of its columns, one but for one-hot sites.
        part: the units of its type, None where the model has no units.
        inside: its number among the sites of `part`.
    """

    number: int
    start: int
    width: int
    part: Units | None
    inside: int

    @property
    def columns(self) -> slice:
        """Its columns in a visible state."""
        return slice(self.start, self.start + self.width)


def sites_of(model: Any) -> list[Site]:
    """The variables of a model that a table holds, in the order of their columns."""
    return sites_in(model.observed_space)


def sites_in(space: Any) -> list[Site]:
    """All variables of units or a space, in the order of their columns."""
    sites: list[Site] = []
    for number, (start, width, part) in enumerate(Support(space).sites(coded=False)):
        goes_on = part is not None and bool(sites) and sites[-1].part is part
        sites.append(Site(number, start, width, part, sites[-1].inside + 1 if goes_on else 0))
    return sites


def given_always(model: Any, site: Site) -> bool:
    """Whether a variable is part of a context."""
    return model.context is not None and site.start in range(
        *model.context.indices(model.visible_space.width)
    )


def check_one_number(site: Site) -> None:
    """Refuse a variable of endlessly many states that aren't single numbers."""
    if site.width > 1:
        raise TypeError(
            f"model: expected variables of one cell each, got {type(site.part).__name__} units, whose"
            f" {site.width} columns are one variable."
        )


def greys(low: float, high: float, binomial: str) -> str:
    """What to do about values that look like shades of grey, as the end of a sentence; nothing for others."""
    if low < 0 or not GREYS[0] < high <= GREYS[1]:
        return ""
    return f"; divide grey values from 0 to 255 by 255, or use {binomial}"


def between(x: Tensor) -> bool:
    """Whether all values are from 0 to 1."""
    return bool(((x >= 0) & (x <= 1)).all())
