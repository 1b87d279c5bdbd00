"""Where a variable may be: one of finitely many states, or between two bounds.

Spaces answer the same questions as a layer of units (`width`, `n_states`, `states`, `check`), so that
enumeration and learning ask both alike; they know no fields, because a general energy has none.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from harmonium import checks, kernels
from harmonium.random import Address, Purpose
from harmonium.units.base import Variable


class Space(ABC):
    """The set of joint states of some variables; a state is a row of `width` numbers."""

    width: int
    cardinalities: tuple[int, ...] = ()  # q of variables with the values 0 … q-1, where all are such
    two_values: tuple[float, float] | None = None  # as of units
    bounds: tuple[Tensor, Tensor] | None = None  # lower and upper ones, float64, where all are real

    @property
    def code_width(self) -> int:
        """Columns of a state in its compact form, which is the state itself."""
        return self.width

    def encode(self, codes: Tensor) -> Tensor:
        """States from their compact form."""
        return codes

    def decode(self, x: Tensor) -> Tensor:
        """The inverse of `encode`."""
        return x

    @abstractmethod
    def variables(self) -> list[Variable]:
        """All variables, in the order of their columns."""

    @property
    @abstractmethod
    def n_states(self) -> int | None:
        """Number of joint states, None when infinite."""

    @abstractmethod
    def violation(self, x: Tensor) -> str | None:
        """What is wrong with the rows of `x` as states, or None when nothing is."""

    def allowed(self, variable: int) -> str:
        """In words, what the values of a variable may be."""
        return "states of this variable"

    @abstractmethod
    def random(self, rows: int, address: Address, dtype: torch.dtype, device: torch.device) -> Tensor:
        """States drawn without knowing any energy, (rows, width): uniformly where the space is bounded."""

    def in_rows(self, x: Tensor) -> Space:
        """As of units: itself, since no column is always given."""
        return self

    def some_state(self) -> Tensor:
        """Any state, (1, width), float64."""
        return self.random(1, Address(0, Purpose.CLAMP), torch.float64, torch.device("cpu"))

    def states(self, index: Tensor) -> Tensor:
        """The joint states with these numbers, (len(index), width), float32; variable 0 varies fastest."""
        raise self._infinite()

    def walk(self, chunk: int, device: torch.device) -> Iterator[Tensor]:
        """All joint states in order, in pieces of at most about `chunk` rows."""
        raise self._infinite()

    def _infinite(self) -> ValueError:
        return ValueError("real variables have infinitely many states and can't be enumerated.")

    def mask_violation(self, held: Tensor) -> str | None:
        """What is wrong with holding these columns (..., width) and drawing the rest: nothing."""
        return None

    def config(self) -> dict[str, Any]:
        """What tells it from other spaces and from layers of units (numbers and strings only)."""
        return {"type": type(self).__name__, "width": self.width}

    def check(self, x: Tensor, name: str = "x") -> None:
        """Raise a ValueError unless `x` is a (rows, width) tensor of states."""
        checks.matrix(name, x, self.width)
        problem = self.violation(x)
        if problem:
            raise ValueError(f"{name}: {problem}.")


class Discrete(Space):
    """Variables with these numbers of states; variable i takes the values 0 … cardinalities[i] - 1.

    >>> Discrete([2, 3]).states(torch.arange(6)).int().tolist()
    [[0, 0], [1, 0], [0, 1], [1, 1], [0, 2], [1, 2]]
    """

    def __init__(self, cardinalities: Sequence[int], name: str = "states") -> None:
        if isinstance(cardinalities, (str, int)):
            raise TypeError(
                f"{name}: expected one number of states per variable, as in [2, 2, 3], got {cardinalities!r}."
            )
        self.cardinalities = whole_numbers(cardinalities, lambda i: f"{name}[{i}]")
        self.width = len(self.cardinalities)

    def variables(self) -> list[Variable]:
        return [Variable(None, 1, q) for q in self.cardinalities]

    @property
    def n_states(self) -> int:
        """The product of the cardinalities."""
        return math.prod(self.cardinalities)

    def states(self, index: Tensor) -> Tensor:
        x = torch.empty(len(index), self.width, device=index.device)
        for i, q in enumerate(self.cardinalities):
            x[:, i] = index % q
            index = torch.div(index, q, rounding_mode="floor")
        return x

    def walk(self, chunk: int, device: torch.device) -> Iterator[Tensor]:
        """All joint states in order, in pieces of at most about `chunk` rows: only the slow columns
        change.
        """
        fast, block = 0, 1
        while fast < self.width and block * self.cardinalities[fast] <= max(chunk, self.cardinalities[fast]):
            block *= self.cardinalities[fast]
            fast += 1
        first = self.states(torch.arange(block, device=device))
        slow = Discrete(self.cardinalities[fast:])
        for k in range(slow.n_states):
            x = first.clone()
            x[:, fast:] = slow.states(torch.tensor([k], device=device))
            yield x

    def violation(self, x: Tensor) -> str | None:
        top = torch.tensor(self.cardinalities, device=x.device)
        wrong = ~((x >= 0) & (x < top) & (x == x.floor() if x.is_floating_point() else True))
        if not bool(wrong.any()):
            return None
        row, i = (int(k) for k in wrong.nonzero()[0])
        return f"values of variable {i} must be {self.allowed(i)}, got {x[row, i].item():g} in row {row}"

    def allowed(self, variable: int) -> str:
        return f"whole numbers from 0 to {self.cardinalities[variable] - 1}"

    def random(self, rows: int, address: Address, dtype: torch.dtype, device: torch.device) -> Tensor:
        u = kernels.uniform(address, (rows, self.width), torch.float64, device)
        q = torch.tensor(self.cardinalities, dtype=torch.float64, device=device)
        return torch.floor(u * q).to(dtype)


def whole_numbers(counts: Iterable[Any], name: Callable[[int], str]) -> tuple[int, ...]:
    """Integers of at least 1; names are only made up for those that aren't."""
    counts = tuple(counts)
    if all(type(q) is int and q > 0 for q in counts):
        return counts
    return tuple(checks.positive_integer(name(i), q) for i, q in enumerate(counts))


class Continuous(Space):
    """Real variables between bounds, (low, high) each; -inf and inf leave a side open.

    >>> Continuous([(0, 1), (-math.inf, math.inf)]).width
    2
    """

    def __init__(self, bounds: Sequence[Any]) -> None:
        try:
            pairs = [(float(low), float(high)) for low, high in bounds]
        except (TypeError, ValueError):
            raise TypeError(f"bounds: expected one pair (low, high) per variable, got {bounds!r}.") from None
        for i, (low, high) in enumerate(pairs):
            if not low < high:
                raise ValueError(f"bounds[{i}]: expected low < high, got ({low:g}, {high:g}).")
        self.low = torch.tensor([low for low, _ in pairs], dtype=torch.float64)
        self.high = torch.tensor([high for _, high in pairs], dtype=torch.float64)
        self.bounds = self.low, self.high
        self.width = len(pairs)

    def variables(self) -> list[Variable]:
        return [Variable(None, 1, None)] * self.width

    @property
    def n_states(self) -> None:
        """None: infinitely many."""
        return None

    def violation(self, x: Tensor) -> str | None:
        inside = (x >= self.low.to(x)) & (x <= self.high.to(x)) & torch.isfinite(x)
        if bool(inside.all()):
            return None
        row, i = (int(k) for k in (~inside).nonzero()[0])
        return f"values of variable {i} must be {self.allowed(i)}, got {x[row, i].item():g} in row {row}"

    def allowed(self, variable: int) -> str:
        return f"finite numbers from {self.low[variable].item():g} to {self.high[variable].item():g}"

    def random(self, rows: int, address: Address, dtype: torch.dtype, device: torch.device) -> Tensor:
        """Uniform between two bounds, exponential from a single one, standard normal without any."""
        u = kernels.uniform(address, (rows, self.width), torch.float64, device)
        low, high = self.low.to(device), self.high.to(device)
        has_low, has_high = torch.isfinite(low), torch.isfinite(high)
        span = torch.where(has_low & has_high, high - low, 1.0)
        edge = torch.where(has_low, low, torch.where(has_high, high, 0.0))
        tail = torch.where(has_low, -torch.log(u), torch.log(u))
        free = torch.where(has_low | has_high, tail, torch.special.ndtri(u))
        x = (edge + torch.where(has_low & has_high, span * u, free)).to(dtype)
        return torch.minimum(torch.maximum(x, low.to(dtype)), high.to(dtype))  # rounding may cross a bound

    def fold(self, x: Tensor, velocity: Tensor) -> tuple[Tensor, Tensor]:
        """Reflect points at the bounds as a billiard ball; returns where they end and their velocities
        then.
        """
        low, high = self.low.to(x), self.high.to(x)
        if bool(((x >= low) & (x <= high)).all()):
            return x, velocity
        span = high - low
        lap = torch.remainder(x - low, 2.0 * span)  # between two walls: there and back again
        walled = torch.isfinite(span)
        back = torch.where(walled, lap > span, (x < low) | (x > high))
        once = torch.where(x < low, 2.0 * low - x, torch.where(x > high, 2.0 * high - x, x))
        folded = torch.where(walled, low + torch.where(back, 2.0 * span - lap, lap), once)
        folded = torch.minimum(torch.maximum(folded, low), high)  # rounding may cross a bound
        return folded, torch.where(back, -velocity, velocity)
