"""Groups of factors: log-potentials of one shape over many cliques, kept as flat arrays."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


class Factors(nn.Module, ABC):
    """Log-potentials over `count` cliques of `arity` variables each, all of one shape.

    `variables` is (count, arity), `shape` the numbers of states. Subclasses say where the tables come from.
    """

    variables: Tensor

    def __init__(self, variables: Tensor, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("variables", variables, persistent=False)
        self.shape = shape
        self.strides = tuple(math.prod(shape[k + 1 :]) for k in range(len(shape)))

    @abstractmethod
    def tables(self) -> Tensor:
        """Log-potentials, (count, entries), or (1, entries) where all cliques share them."""

    @property
    def count(self) -> int:
        """Number of cliques."""
        return len(self.variables)

    @property
    def entries(self) -> int:
        """Numbers in one table."""
        return math.prod(self.shape)

    def positions(self, x: Tensor) -> Tensor:
        """Where in its table each clique is, (batch, count), for long states (batch, n)."""
        position = torch.zeros(len(x), self.count, dtype=torch.long, device=x.device)
        for k, stride in enumerate(self.strides):
            position.add_(x.index_select(1, self.variables[:, k]), alpha=stride)
        return position

    def log_potential(self, x: Tensor) -> Tensor:
        """Σ over the cliques of their log-potentials, (batch,), for long states (batch, n)."""
        tables = self.tables()
        if len(tables) == 1:
            return tables[0][self.positions(x)].sum(1)
        rows = torch.arange(self.count, device=x.device)
        return tables[rows, self.positions(x)].sum(1)

    @torch.no_grad()
    def moments(self, x: Tensor, weights: Tensor) -> Tensor:
        """Σₙ wₙ 1[clique c of row n is at this entry], shaped like the tables, for long states (batch, n)."""
        positions = self.positions(x) + self.entries * torch.arange(self.count, device=x.device)
        weights = weights.double()[:, None].expand(positions.shape)
        length = self.count * self.entries
        return torch.bincount(positions.flatten(), weights.flatten(), minlength=length).view(self.count, -1)

    def accumulate(self, moments: Tensor) -> None:
        """Add -Σ moments · ∂(log-potentials)/∂θ to the gradients: that of the energy."""
        with torch.enable_grad():
            tables = self.tables()
        if tables.requires_grad:
            moments = moments.sum(0, keepdim=True) if len(tables) == 1 else moments
            tables.backward(-moments.to(tables))

    def config(self) -> dict[str, Any]:
        """Variables and shape as plain lists."""
        return {"kind": type(self).__name__, "variables": self.variables.tolist(), "shape": list(self.shape)}


class TableFactors(Factors):
    """A table of its own for each clique; entries of -inf are zero potentials and can't be learned.

    Attributes:
        values: the log-potentials, (count, entries); those that are forbidden hold 0 here.
        forbidden: bool, like the values, or None where no potential is zero.
    """

    forbidden: Tensor | None

    def __init__(self, variables: Tensor, shape: tuple[int, ...], tables: Tensor) -> None:
        super().__init__(variables, shape)
        flat = tables.reshape(len(variables), -1).clone()
        zero = flat == -math.inf
        self.register_buffer("forbidden", zero if bool(zero.any()) else None)
        self.values = nn.Parameter(flat.masked_fill(zero, 0.0))

    def tables(self) -> Tensor:
        if self.forbidden is None:
            return self.values
        return self.values.masked_fill(self.forbidden, -math.inf)

    def config(self) -> dict[str, Any]:
        return {**super().config(), "forbidden": self.forbidden is not None}


class ScaledFactors(Factors):
    """One number for each clique times a pattern that all share: the couplings and fields of an Ising model.

    Attributes:
        strength: (count,), learned.
        pattern: (entries,), fixed.
    """

    pattern: Tensor

    def __init__(self, variables: Tensor, shape: tuple[int, ...], strength: Tensor, pattern: Tensor) -> None:
        super().__init__(variables, shape)
        self.strength = nn.Parameter(strength.clone())
        self.register_buffer("pattern", pattern.flatten().clone(), persistent=False)

    def tables(self) -> Tensor:
        return self.strength[:, None] * self.pattern

    def config(self) -> dict[str, Any]:
        return {**super().config(), "pattern": self.pattern.tolist()}


class FunctionFactors(Factors):
    """Log-potentials computed by a function with parameters, shared by all cliques that name it.

    The function takes the states of a clique, (states, arity) in the dtype of the model, to (states,).
    """

    def __init__(
        self,
        variables: Tensor,
        shape: tuple[int, ...],
        function: Callable[[Tensor], Tensor],
        dtype: torch.dtype,
    ) -> None:
        super().__init__(variables, shape)
        self.function = function  # a submodule, if it is a module
        states = torch.cartesian_prod(*(torch.arange(q) for q in shape)).reshape(-1, len(shape))
        self.register_buffer("states", states.to(dtype), persistent=False)

    def tables(self) -> Tensor:
        values = self.function(self.get_buffer("states"))
        if not isinstance(values, Tensor) or values.shape != (self.entries,):
            shape = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
            raise ValueError(
                f"factors: expected a function that returns shape ({self.entries},) for states of shape "
                f"({self.entries}, {len(self.shape)}), got {shape}."
            )
        if bool(values.detach().isnan().any()) or bool((values.detach() == math.inf).any()):
            raise ValueError("factors: expected a function that returns numbers below inf, got NaN or inf.")
        return values[None]

    def config(self) -> dict[str, Any]:
        raise TypeError("A Markov random field with functions as potentials can't be saved: code isn't data.")
