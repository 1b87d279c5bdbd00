"""Several types of unit side by side in one layer."""
# ruff: noqa: D102

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn

from harmonium import kernels
from harmonium.random import Address
from harmonium.units.base import ConstantColumns, Inverted, Tail, Units, layer_of_units
from harmonium.units.bernoulli import Bernoulli
from harmonium.units.binomial import Binomial
from harmonium.units.categorical import Categorical
from harmonium.units.compiled import COMPILED, group_of
from harmonium.units.gaussian import Gaussian
from harmonium.units.poisson import Poisson
from harmonium.units.spin import Spin

# By their very types: parts of one type and number of states are worked on at once, with these of their
# parameters side by side. A table of fifty columns of six kinds then takes six calls instead of fifty.
JOINED: dict[type[Units], tuple[str, ...]] = {
    **dict.fromkeys((Bernoulli, Binomial, Categorical, Poisson, Spin), ()),
    Gaussian: ("log_precision",),
}

FLAT = (Bernoulli, Categorical, Spin)  # by their very types, whose U is 0


class Together(NamedTuple):
    """Parts that are worked on at once."""

    parts: list[Units]
    units: Units | None  # those parts as one, where that is always the same
    columns: Tensor  # of states
    sites: Tensor
    unit: int  # number of their first unit in an address, counted from 0
    drawn: str | None  # how the kernels draw them, None if they don't

    @property
    def shaped(self) -> bool:
        """Whether there may be parameters of theirs."""
        return bool(JOINED.get(type(self.parts[0]), True))


class Order(NamedTuple):
    """What is worked on at once, and the way back to the layer's order."""

    groups: list[Together]
    back: dict[int, Tensor]  # by the number of columns
    mixture: kernels.Mixture  # what the kernels draw of it


class Mixed(Units):
    """A layer whose columns are those of its parts, in order; every formula acts part by part.

    The layer owns one `bias` over all columns; `parts` keep their other parameters (scales, thresholds).

    >>> from harmonium.units.bernoulli import Bernoulli
    >>> from harmonium.units.gaussian import Gaussian
    >>> Mixed(Bernoulli(2), Gaussian(1)).width
    3
    """

    def __init__(self, *parts: Units) -> None:
        if not parts or any(layer_of_units("parts", p).parts_in_order() != [p] for p in parts):
            raise TypeError("parts: expected one or more layers of units (none of them Mixed).")
        if len({id(p) for p in parts}) < len(parts) or any(p.bias is None for p in parts):
            raise ValueError(
                "parts: expected layers of their own, got one twice or one that belongs to another Mixed."
            )
        nn.Module.__init__(self)
        self.n = sum(p.n for p in parts)
        self.parts = nn.ModuleList(parts)
        self.bias = nn.Parameter(torch.cat([p.bias.detach() for p in parts]))
        for p in parts:
            p.register_parameter("bias", None)  # from here on the layer's one bias is the only one
        self.cardinality = None
        self._orders: dict[torch.device, Order] = {}
        self._ends: tuple[Mixed, Mixed, float | Tensor] | None = None  # where it lies between two others,
        self._between: dict[int, Units] = {}  # and its groups there

    def _own_parts(self) -> list[Units]:
        return list(self.parts)  # type: ignore[arg-type]  # a ModuleList forgets the type of its modules

    def parts_in_order(self) -> list[Units]:
        if self._ends is None:
            return self._own_parts()
        start, end, beta = self._ends
        pairs = zip(start.parts_in_order(), end.parts_in_order(), strict=True)
        return [a.interpolate(b, beta) for a, b in pairs]

    @cached_property
    def width(self) -> int:
        return sum(p.width for p in self._own_parts())

    @cached_property
    def unit_numbers(self) -> int:
        return sum(p.unit_numbers for p in self._own_parts())

    @cached_property
    def code_width(self) -> int:
        return sum(p.code_width for p in self._own_parts())

    @property
    def tail(self) -> Tail:  # type: ignore[override]  # derived from the parts, a constant elsewhere
        """The heaviest tail among the parts."""
        return max(p.tail for p in self.parts_in_order())

    def parts_alone(self) -> list[Units]:
        found = []
        for part, columns in zip(self.parts_in_order(), self.columns(), strict=True):
            alone = copy.deepcopy(part)
            alone.bias = nn.Parameter(self.bias.detach()[columns].clone())
            found.append(alone)
        return found

    def columns(self) -> list[slice]:
        """The columns of each part."""
        return self._edges([p.width for p in self.parts_in_order()])

    @staticmethod
    def _edges(widths: list[int]) -> list[slice]:
        ends = [0, *accumulate(widths)]
        return [slice(a, b) for a, b in pairwise(ends)]

    def _order(self, device: torch.device) -> Order:
        """What is worked on at once, found when it is first asked for."""
        if device not in self._orders:
            self._orders[device] = _order_of(self._own_parts(), device)
        return self._orders[device]

    def _units(self, k: int, group: Together) -> Units:
        """The parts of group number k as one."""
        return self._between.get(k) or group.units or _joined(group.parts)

    def _each(self, function: Callable[[Units, Tensor], Tensor], x: Tensor, codes: bool = False) -> Tensor:
        """A function of each part, for each column or each site; parts of one kind are one."""
        groups, back, _ = self._order(x.device)
        units = [self._units(k, group) for k, group in enumerate(groups)]
        if not back:
            fields = x.split([u.code_width if codes else u.width for u in units], -1)
            return torch.cat([function(u, y) for u, y in zip(units, fields, strict=True)], -1)
        columns = [group.sites if codes else group.columns for group in groups]
        pieces = [function(u, x.index_select(-1, c)) for u, c in zip(units, columns, strict=True)]
        found = torch.cat(pieces, -1)
        return found.index_select(-1, back[found.shape[-1]])

    def potential(self, x: Tensor) -> Tensor:
        numbered = enumerate(self._order(x.device).groups)
        curved = [(k, group) for k, group in numbered if type(group.parts[0]) not in FLAT]
        pieces = [self._units(k, g).potential(x.index_select(-1, g.columns)) for k, g in curved]
        total = (pieces[0] if pieces else x).new_zeros(*x.shape[:-1], self.n)
        for (_, group), piece in zip(curved, pieces, strict=True):
            total.index_copy_(-1, group.sites, piece)
        return total

    def cumulant(self, field: Tensor) -> Tensor:
        return self._each(lambda p, y: p.cumulant(y), field)

    def mean(self, field: Tensor) -> Tensor:
        return self._each(lambda p, y: p.mean(y), field)

    def variance(self, field: Tensor) -> Tensor:
        return self._each(lambda p, y: p.variance(y), field)

    def mode(self, field: Tensor) -> Tensor:
        return self._each(lambda p, y: p.mode(y), field)

    def sample(self, field: Tensor, address: Address) -> Tensor:
        """Draws of each group of parts, one after the other in the unit numbers of the address."""
        groups, _, mixture = self._order(field.device)
        x = kernels.draw_mixture(field, mixture, address)
        for k, group in enumerate(groups):
            if group.drawn in COMPILED.values():
                continue
            drawn = x.index_select(1, group.columns)
            if group.drawn == "counts" and not bool((drawn < 0.0).any()):  # -1: of too large a variance
                continue
            units, own = self._units(k, group), field.index_select(1, group.columns)
            if group.drawn == "uniform":
                found = cast(Inverted, units).from_uniforms(own, drawn)
            else:
                found = units.sample(own, address.at(unit=address.unit + group.unit))
            x.index_copy_(1, group.columns, found)
        return x

    def _first_problem(self, find: Callable[[Units, Tensor], str | None], x: Tensor) -> str | None:
        for p, c in zip(self.parts_in_order(), self.columns(), strict=True):
            problem = find(p, x[..., c])
            if problem:
                return f"columns {c.start} to {c.stop - 1}: {problem}"
        return None

    def violation(self, x: Tensor) -> str | None:
        return self._first_problem(lambda p, y: p.violation(y), x)

    def mask_violation(self, held: Tensor) -> str | None:
        return self._first_problem(lambda p, y: p.mask_violation(y), held)

    def encode(self, codes: Tensor | np.ndarray) -> Tensor:
        return self._each(lambda p, y: p.encode(y), torch.as_tensor(codes), codes=True)

    def decode(self, x: Tensor) -> Tensor:
        return self._each(lambda p, y: p.decode(y).to(x), x)

    @property
    def n_states(self) -> int | None:
        total = 1
        for p in self.parts_in_order():
            if p.n_states is None:
                return None
            total *= p.n_states
        return total

    def states(self, index: Tensor) -> Tensor:
        pieces = []
        for p in self.parts_in_order():
            count = p.n_states
            if count is None:
                raise p.infinite()
            pieces.append(p.states(index % count))
            index = torch.div(index, count, rounding_mode="floor")
        return torch.cat(pieces, -1)

    def interpolate(self, other: Mixed, beta: float | Tensor) -> Mixed:
        mixed = self.with_tensors()
        own, others = (end._order(self.bias.device).groups for end in (self, other))
        pairs = [(k, *ends) for k, ends in enumerate(zip(own, others, strict=True)) if ends[0].shaped]
        mixed._ends = self, other, beta
        mixed._between = {k: self._units(k, a).interpolate(other._units(k, b), beta) for k, a, b in pairs}
        return mixed

    def shaped(self, x: Tensor) -> list[tuple[Units, Tensor]]:
        groups = enumerate(self._order(x.device).groups)
        return [(self._units(k, g), x.index_select(-1, g.columns)) for k, g in groups if g.shaped]

    def shape_parameters(self) -> dict[str, nn.Parameter]:
        return {name: p for name, p in self.named_parameters() if name != "bias"}

    @torch.no_grad()
    def match(self, x: Tensor, weights: Tensor | None = None) -> None:
        self._check_shape(x, "x")
        for p, c in zip(self.parts_in_order(), self.columns(), strict=True):
            p.bias = nn.Parameter(self.bias[c].clone())
            try:
                p.match(x[..., c], weights)
                self.bias[c] = p.bias
            except ConstantColumns as error:
                raise error.after(c.start) from None
            except ValueError as error:
                told = str(error).removeprefix("x: ")
                raise ValueError(f"x: of columns {c.start} to {c.stop - 1}, {told}") from None
            finally:
                p.bias = None  # type: ignore[assignment]  # borrowed for the call only

    def matched_in_closed_form(self) -> bool:
        return all(p.matched_in_closed_form() for p in self.parts_in_order())

    def config(self) -> dict[str, Any]:
        return {"type": "Mixed", "parts": [p.config() for p in self.parts_in_order()]}

    def extra_repr(self) -> str:
        return ""


def _order_of(parts: list[Units], device: torch.device) -> Order:
    alike: dict[Any, list[int]] = {}
    for i, p in enumerate(parts):
        alike.setdefault((type(p), p.cardinality) if type(p) in JOINED else i, []).append(i)
    ends = [[0, *accumulate(widths)] for widths in ([p.width for p in parts], [p.n for p in parts])]
    groups, known, unit = [], [], 0
    for some in alike.values():
        columns, sites = (torch.cat([torch.arange(end[i], end[i + 1]) for i in some]) for end in ends)
        members, kind = [parts[i] for i in some], group_of(parts[some[0]])
        fixed = _joined(members) if len(some) == 1 or not JOINED[type(members[0])] else None
        drawn = None if kind is None else kind[0]
        groups.append(Together(members, fixed, columns.to(device), sites.to(device), unit, drawn))
        if kind is not None:
            known.append(kernels.Group(*kind, groups[-1].columns, unit))
        unit += members[0].unit_numbers if len(some) == 1 else -(-len(columns) // 4) * 4
    back = {}
    if len(groups) < len(parts):
        places = [g.columns for g in groups], [g.sites for g in groups]
        back = {end[-1]: torch.argsort(torch.cat(place)) for end, place in zip(ends, places, strict=True)}
    return Order(groups, back, kernels.Mixture(known, ends[0][-1]))


def _joined(parts: list[Units]) -> Units:
    """Parts of one type as one."""
    first = parts[0]
    if len(parts) == 1:
        return first
    names = JOINED[type(first)]
    joined = first.with_tensors(**{k: torch.cat([getattr(p, k) for p in parts], -1) for k in names})
    object.__setattr__(joined, "n", sum(p.n for p in parts))  # past nn.Module, which takes its time
    return joined


def parts_of(units: Units) -> list[Units]:
    """The parts of a mixed layer, and any other layer as its only part."""
    return units.parts_in_order()


def same_columns(a: Any, b: Units) -> bool:
    """Whether `a` is a layer of the same units in the same order, however they are grouped into parts; no
    other space is.

    >>> from harmonium.units.bernoulli import Bernoulli
    >>> same_columns(Mixed(Bernoulli(2), Bernoulli(1)), Bernoulli(3))
    True
    """
    if not hasattr(a, "bias"):
        return False
    one, other = ([{**p.config(), "n": 1} for p in parts_of(x) for _ in range(p.n)] for x in (a, b))
    return one == other


def side_by_side(*layers: Units) -> Units:
    """One layer of copies of all these, the mixed ones part by part.

    >>> from harmonium.units.bernoulli import Bernoulli
    >>> from harmonium.units.gaussian import Gaussian
    >>> side_by_side(Mixed(Bernoulli(2), Gaussian(1)), Gaussian(2)).width
    5
    """
    parts = [part for layer in layers for part in layer.parts_alone()]
    return parts[0] if len(parts) == 1 else Mixed(*parts)
