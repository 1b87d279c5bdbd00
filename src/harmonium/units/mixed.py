"""Several types of unit side by side in one layer."""
# ruff: noqa: D102

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from harmonium.random import Address
from harmonium.units.base import Tail, Units


class Mixed(Units):
    """A layer whose columns are those of its parts, in order; every formula acts part by part.

    The layer owns one `bias` over all columns; `parts` keep their other parameters (scales, thresholds).

    >>> from harmonium.units.bernoulli import Bernoulli
    >>> from harmonium.units.gaussian import Gaussian
    >>> Mixed(Bernoulli(2), Gaussian(1)).width
    3
    """

    def __init__(self, *parts: Units) -> None:
        if not parts or not all(isinstance(p, Units) and not isinstance(p, Mixed) for p in parts):
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

    def _parts(self) -> list[Units]:
        return list(self.parts)  # type: ignore[arg-type]  # a ModuleList forgets the type of its modules

    @property
    def width(self) -> int:
        return sum(p.width for p in self._parts())

    @property
    def unit_numbers(self) -> int:
        return sum(p.unit_numbers for p in self._parts())

    @property
    def code_width(self) -> int:
        return sum(p.code_width for p in self._parts())

    @property
    def tail(self) -> Tail:  # type: ignore[override]  # derived from the parts, a constant elsewhere
        """The heaviest tail among the parts."""
        return max(p.tail for p in self._parts())

    def columns(self) -> list[slice]:
        """The columns of each part."""
        edges = [0]
        for p in self._parts():
            edges.append(edges[-1] + p.width)
        return [slice(a, b) for a, b in zip(edges, edges[1:], strict=False)]

    def _each(self, function: Callable[[Units, Tensor], Tensor], x: Tensor) -> Tensor:
        pieces = [function(p, x[..., c]) for p, c in zip(self._parts(), self.columns(), strict=True)]
        return torch.cat(pieces, -1)

    def potential(self, x: Tensor) -> Tensor:
        return self._each(lambda p, y: p.potential(y), x)

    def cumulant(self, field: Tensor) -> Tensor:
        return self._each(lambda p, y: p.cumulant(y), field)

    def mean(self, field: Tensor) -> Tensor:
        return self._each(lambda p, y: p.mean(y), field)

    def variance(self, field: Tensor) -> Tensor:
        return self._each(lambda p, y: p.variance(y), field)

    def mode(self, field: Tensor) -> Tensor:
        return self._each(lambda p, y: p.mode(y), field)

    def sample(self, field: Tensor, address: Address) -> Tensor:
        drawn, unit = [], address.unit
        for p, c in zip(self._parts(), self.columns(), strict=True):
            drawn.append(p.sample(field[..., c], address.at(unit=unit)))
            unit += p.unit_numbers
        return torch.cat(drawn, -1)

    def _first_problem(self, find: Callable[[Units, Tensor], str | None], x: Tensor) -> str | None:
        for p, c in zip(self._parts(), self.columns(), strict=True):
            problem = find(p, x[..., c])
            if problem:
                return f"columns {c.start} to {c.stop - 1}: {problem}"
        return None

    def violation(self, x: Tensor) -> str | None:
        return self._first_problem(lambda p, y: p.violation(y), x)

    def mask_violation(self, held: Tensor) -> str | None:
        return self._first_problem(lambda p, y: p.mask_violation(y), held)

    def _codes(self) -> list[slice]:
        edges = [0]
        for p in self._parts():
            edges.append(edges[-1] + p.code_width)
        return [slice(a, b) for a, b in zip(edges, edges[1:], strict=False)]

    def encode(self, codes: Tensor | np.ndarray) -> Tensor:
        pieces = [p.encode(codes[..., c]) for p, c in zip(self._parts(), self._codes(), strict=True)]
        return torch.cat(pieces, -1)

    def decode(self, x: Tensor) -> Tensor:
        return self._each(lambda p, y: p.decode(y).to(x), x)

    @property
    def n_states(self) -> int | None:
        total = 1
        for p in self._parts():
            if p.n_states is None:
                return None
            total *= p.n_states
        return total

    def states(self, index: Tensor) -> Tensor:
        pieces = []
        for p in self._parts():
            count = p.n_states
            if count is None:
                raise p.infinite()
            pieces.append(p.states(index % count))
            index = torch.div(index, count, rounding_mode="floor")
        return torch.cat(pieces, -1)

    def interpolate(self, other: Mixed, beta: float | Tensor) -> Mixed:
        mixed = self.with_tensors()
        mixed._modules = dict(self._modules)
        mixed._modules["parts"] = nn.ModuleList(
            a.interpolate(b, beta) for a, b in zip(self._parts(), other._parts(), strict=True)
        )
        return mixed

    def shape_parameters(self) -> dict[str, nn.Parameter]:
        return {name: p for name, p in self.named_parameters() if name != "bias"}

    @torch.no_grad()
    def match(self, x: Tensor, weights: Tensor | None = None) -> None:
        self._check_shape(x, "x")
        for p, c in zip(self._parts(), self.columns(), strict=True):
            p.bias = nn.Parameter(self.bias[c].clone())
            try:
                p.match(x[..., c], weights)
                self.bias[c] = p.bias
            except ValueError as error:
                told = str(error).removeprefix("x: ")
                raise ValueError(f"x: of columns {c.start} to {c.stop - 1}, {told}") from None
            finally:
                p.bias = None  # type: ignore[assignment]  # borrowed for the call only

    def config(self) -> dict[str, Any]:
        return {"type": "Mixed", "parts": [p.config() for p in self._parts()]}

    def extra_repr(self) -> str:
        return ""


def parts_of(units: Units) -> list[Units]:
    """The parts of a mixed layer, and any other layer as its only part."""
    return list(units.parts) if isinstance(units, Mixed) else [units]  # type: ignore[arg-type]


def parts_alone(units: Units) -> list[Units]:
    """Copies of the parts of a layer, each with its own bias again."""
    if not isinstance(units, Mixed):
        return [copy.deepcopy(units)]
    found = []
    for part, columns in zip(parts_of(units), units.columns(), strict=True):
        alone = copy.deepcopy(part)
        alone.bias = nn.Parameter(units.bias.detach()[columns].clone())
        found.append(alone)
    return found


def side_by_side(*layers: Units) -> Units:
    """One layer of copies of all these, the mixed ones part by part.

    >>> from harmonium.units.bernoulli import Bernoulli
    >>> from harmonium.units.gaussian import Gaussian
    >>> side_by_side(Mixed(Bernoulli(2), Gaussian(1)), Gaussian(2)).width
    5
    """
    parts = [part for layer in layers for part in parts_alone(layer)]
    return parts[0] if len(parts) == 1 else Mixed(*parts)
