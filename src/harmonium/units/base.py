"""What every type of unit provides."""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from harmonium import checks, kernels
from harmonium.numerics import minimise
from harmonium.random import Address


class Tail(IntEnum):
    """How fast exp(-U(x)) falls, which decides whom a unit may be coupled to before Z becomes infinite."""

    BOUNDED = 0  # x lives in a bounded set
    FACTORIAL = 1  # as 1/x!, slower than any Gaussian
    QUADRATIC = 2  # as exp(-γ x²/2)


COUNTED = 2**12  # rows that are counted together, in float64

Same = TypeVar("Same", bound="Units")  # units of one type


class Variable(NamedTuple):
    """One variable of a layer of units or of a space.

    Attributes:
        part: the units that it belongs to, None in a space.
        width: columns of a state that it takes.
        cardinality: number of its states, None when there are infinitely many.
    """

    part: Units | None
    width: int
    cardinality: int | None

    def values(self) -> Tensor:
        """Its states where these are finitely many, (cardinality, width)."""
        return (
            torch.arange(float(self.cardinality or 0))[:, None]
            if self.part is None
            else self.part.site_values()
        )


class ConstantColumns(ValueError):
    """Columns of rows that hold one value each, where units need a spread.

    Attributes:
        columns: their numbers.
        units: the type of the units.
    """

    def __init__(self, columns: Sequence[int], units: str) -> None:
        self.columns, self.units = list(columns), units
        super().__init__(self.sentence("x", [str(k) for k in columns]))

    def sentence(self, name: str, titles: Sequence[str]) -> str:
        """What is wrong with the argument of this name, of which these are the columns."""
        told = ", ".join(titles[:12]) + ", …" * (len(titles) > 12)
        which = f"column {told} is" if len(titles) == 1 else f"{len(titles)} columns ({told}) are"
        return f"{name}: {which} constant, and {self.units} units need a spread."

    def after(self, start: int) -> ConstantColumns:
        """The same where `start` columns come before."""
        return ConstantColumns([start + k for k in self.columns], self.units)


class Units(nn.Module, ABC):
    """A layer of `n` sites of one type, independent of each other given their fields.

    A site is its potential U(x) over its support. In a field I (bias included) it has the density
    exp(I x - U(x) - Γ(I)) with the cumulant

        Γ(I) = log Σₓ exp(I x - U(x)),     mean Γ'(I),     variance Γ''(I),

    an integral instead of the sum where x is continuous. All energies are in nats.

    Shapes: states and fields are (batch, width), where `width` is `n` but for one-hot sites; potentials and
    cumulants are (batch, n). `bias` has shape (width,).
    """

    tail: Tail = Tail.BOUNDED
    cardinality: int | None = None  # number of states of one site; None when there are infinitely many
    least: float = -math.inf  # no value of a state is below
    two_values: tuple[float, float] | None = None  # the values of a site that has two, in one column
    cardinalities: tuple[int, ...] = ()  # spaces have these two instead of potentials
    bounds: tuple[Tensor, Tensor] | None = None
    one_hot: bool = False  # whether a site has a column for each of its states, of which one is 1
    bias: nn.Parameter

    def __init__(self, n: int) -> None:
        super().__init__()
        self.n = checks.positive_integer("n", n)
        with checks.room("n", self.width):
            self.bias = nn.Parameter(torch.zeros(self.width))

    @property
    def width(self) -> int:
        """Columns of a state: n, or n times the number of states for one-hot sites."""
        return self.n

    @property
    def code_width(self) -> int:
        """Columns of a state in its compact form (see `encode`)."""
        return self.n

    @property
    def unit_numbers(self) -> int:
        """How many unit numbers of an address the draws of a state take, a multiple of 4."""
        return -(-self.width // 4) * 4

    @abstractmethod
    def potential(self, x: Tensor) -> Tensor:
        """U(x) of every site, (batch, n), nats. `x` must lie in the support."""

    @abstractmethod
    def cumulant(self, field: Tensor) -> Tensor:
        """Γ(I) of every site, (batch, n), nats."""

    @abstractmethod
    def mean(self, field: Tensor) -> Tensor:
        """Γ'(I), (batch, width)."""

    @abstractmethod
    def variance(self, field: Tensor) -> Tensor:
        """Γ''(I), (batch, width); its diagonal for one-hot sites."""

    @abstractmethod
    def mode(self, field: Tensor) -> Tensor:
        """The most probable state, (batch, width)."""

    @abstractmethod
    def sample(self, field: Tensor, address: Address) -> Tensor:
        """A state drawn from exp(I x - U(x) - Γ(I)), (batch, width): a pure function of field and address."""

    @abstractmethod
    def violation(self, x: Tensor) -> str | None:
        """What is wrong with `x` as states of these units ("values must be 0 or 1"), None when nothing is."""

    def _uniform(self, field: Tensor, address: Address, dtype: torch.dtype | None = None) -> Tensor:
        """One uniform for each entry of the field."""
        rows, columns = field.shape
        return kernels.uniform(address, (rows, columns), dtype or field.dtype, field.device)

    def energy(self, x: Tensor) -> Tensor:
        """U(x) - bias·x summed over the layer, (batch,), nats."""
        return self.potential(x).sum(-1) - kernels.along(x, self.bias)

    def check(self, x: Tensor, name: str = "x") -> None:
        """Raise a ValueError unless `x` is a (batch, width) tensor of states of these units."""
        self._check_shape(x, name)
        problem = self.violation(x)
        if problem:
            raise ValueError(f"{name}: {problem} ({type(self).__name__} units).")

    def _check_shape(self, x: Tensor, name: str) -> None:
        if x.ndim != 2 or x.shape[1] != self.width:
            raise ValueError(f"{name}: expected shape (batch, {self.width}), got {tuple(x.shape)}.")

    def in_rows(self: Same, x: Tensor) -> Same:
        """These units as the columns that are always given make them in rows of states, (batch, width):
        themselves, but where these columns say more than a field does. No other column of `x` is read.
        """
        return self

    def mask_violation(self, held: Tensor) -> str | None:
        """What is wrong with holding these columns (..., width) and drawing the rest, None when nothing."""
        return None

    def encode(self, codes: Tensor | np.ndarray) -> Tensor:
        """States from their compact form: one-hot from integers for categorical sites, else unchanged."""
        return torch.as_tensor(codes)

    def decode(self, x: Tensor) -> Tensor:
        """The inverse of `encode`."""
        return x

    def parts_in_order(self) -> list[Units]:
        """Layers of one type each, of which this one consists: itself, but for `Mixed`."""
        return [self]

    def parts_alone(self) -> list[Units]:
        """Copies of the parts, each with its own bias."""
        return [copy.deepcopy(self)]

    def variables(self) -> list[Variable]:
        """All sites, in the order of their columns."""
        return [
            Variable(part, part.width // part.n, part.cardinality)
            for part in self.parts_in_order()
            for _ in range(part.n)
        ]

    def random(self, rows: int, address: Address, dtype: torch.dtype, device: torch.device) -> Tensor:
        """States drawn in the field 0, (rows, width): uniformly where these units are bounded."""
        return self.sample(torch.zeros(rows, self.width, dtype=dtype, device=device), address)

    def some_state(self) -> Tensor:
        """The most probable state in the field 0, (1, width), float64."""
        return self.mode(torch.zeros_like(self.bias)[None]).detach().double()

    # -- finite units can be enumerated ----------------------------------------------------------------

    @property
    def n_states(self) -> int | None:
        """Number of joint states of the layer, None when infinite."""
        return None if self.cardinality is None else self.cardinality**self.n

    def site_values(self) -> Tensor:
        """The states of one site, (cardinality, width // n)."""
        raise self.infinite()

    def infinite(self) -> ValueError:
        """The error for enumerating what has no end."""
        return ValueError(f"{type(self).__name__} units have infinitely many states and can't be enumerated.")

    def states(self, index: Tensor) -> Tensor:
        """The joint states with these numbers, (len(index), width), float32; site 0 varies fastest."""
        values = self.site_values().to(index.device)
        digits = torch.empty(len(index), self.n, dtype=torch.long, device=index.device)
        for site in range(self.n):
            digits[:, site] = index % len(values)
            index = torch.div(index, len(values), rounding_mode="floor")
        return values[digits].reshape(len(digits), self.width)

    def walk(self, chunk: int, device: torch.device) -> Iterator[Tensor]:
        """All joint states in order, in pieces of at most `chunk` rows."""
        total = self.n_states
        if total is None:
            raise self.infinite()
        for start in range(0, total, chunk):
            yield self.states(torch.arange(start, min(start + chunk, total), device=device))

    # -- parameters ------------------------------------------------------------------------------------

    def shape_parameters(self) -> dict[str, nn.Parameter]:
        """The learnable parameters of U, all but the bias, by name."""
        return {name: p for name, p in self.named_parameters(recurse=False) if name != "bias"}

    def shaped(self, x: Tensor) -> list[tuple[Units, Tensor]]:
        """Units that have such parameters, and their columns of states or fields `x`, (batch, width)."""
        return [(self, x)] if self.shape_parameters() else []

    def interpolate(self: Same, other: Same, beta: float | Tensor) -> Same:
        """Units of the same type with the potential (1-β) U + β U'; `beta` is a number or (batch, 1).

        Their own `bias` is not meant to be read: along a path of models the field carries it.
        """
        return self

    def with_tensors(self: Same, **tensors: Tensor) -> Same:
        """A shallow copy that reads these tensors in place of the parameters of the same names."""
        clone = object.__new__(type(self))  # steps of a path do this, and copy.copy takes ten times as long
        left = {k: p for k, p in self._parameters.items() if k not in tensors}
        clone.__dict__.update({**self.__dict__, "_parameters": left, **tensors})
        return clone

    @torch.no_grad()
    def match(self, x: Tensor, weights: Tensor | None = None) -> None:
        """Set the parameters to those of the independent units of largest likelihood for the rows of `x`.

        `weights` (rows,) count rows: a weight of 2 is the same row twice. Bounded and counting units add a
        pseudo-count of half a row, which keeps the biases of constant columns finite. The base class
        minimises Ū - b·x̄ + Σ Γ(b) by L-BFGS from the present parameters.

        Raises:
            ValueError: a column is constant and the likelihood of continuous units grows without bound.
        """
        rows, w = self._rows_and_shares(x, weights)
        fitted = copy.deepcopy(self).double()
        parameters = list(fitted.parameters(recurse=False))

        def nll() -> Tensor:
            return w @ fitted.energy(rows) + fitted.cumulant(fitted.bias[None]).sum()

        minimise(nll, parameters, steps=500, slope=1e-10, change=0.0)
        self.load_state_dict(fitted.state_dict())

    def _rows_and_shares(self, x: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor]:
        """The rows and their shares of the total weight, float64, once no column is constant."""
        w = self._counts(x, weights)
        rows = x.to(w)
        counted = rows[w > 0]
        constant = torch.nonzero(counted.amax(0) == counted.amin(0)).flatten().tolist()
        if constant:
            raise ConstantColumns(constant, type(self).__name__)
        return rows, w / w.sum()

    @property
    def normal_precision(self) -> Tensor | None:
        """γ of every site, (n,), where U(x) = γx²/2 + const on the whole line; None for all other units."""
        return None

    def matched_in_closed_form(self) -> bool:
        """Whether `match` needs no search, and so works for any rows."""
        return not self.shape_parameters()

    def config(self) -> dict[str, Any]:
        """What the constructor needs to build the same units again (numbers and strings only)."""
        return {"type": type(self).__name__, "n": self.n}

    def _totals(self, x: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor]:
        """(number of rows, sum of each column) counted with their weights, in float64: no row gets lost."""
        w = self._counts(x, weights)
        parts = zip(w.split(COUNTED), x.split(COUNTED), strict=True)
        return w.sum(), torch.stack([kernels.along(a, rows.to(w)) for a, rows in parts]).sum(0)

    def _counts(self, x: Tensor, weights: Tensor | None) -> Tensor:
        self._check_shape(x, "x")
        w = torch.ones(len(x)) if weights is None else weights
        w = w.to(self.bias.device, torch.float64)
        if w.shape != (len(x),) or not bool((w >= 0).all()) or not bool(w.sum() > 0):
            raise ValueError(
                f"weights: expected {len(x)} numbers of at least 0, not all 0, got {checks.describe(w)}."
            )
        return w

    def extra_repr(self) -> str:
        """What stands between the brackets of the printed units."""
        return ", ".join(str(v) for k, v in self.config().items() if k != "type")


class Inverted(Units):
    """Units whose draw is a function of the field and one uniform for each entry of it."""

    @abstractmethod
    def from_uniforms(self, field: Tensor, u: Tensor) -> Tensor:
        """A state drawn from exp(I x - U(x) - Γ(I)), (batch, width), from uniforms of this shape."""

    def sample(self, field: Tensor, address: Address) -> Tensor:
        """A state made from the uniforms at the address."""
        return self.from_uniforms(field, self._uniform(field, address))


def layer_of_units(name: str, value: Any) -> Units:
    """`value`, if it is a layer of units."""
    if not isinstance(value, Units):
        raise TypeError(f"{name}: expected a layer of units such as hm.Bernoulli(64), got {value!r}.")
    return value
