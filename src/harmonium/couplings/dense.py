"""Couplings that are matrices: all entries, or those of a pattern."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from harmonium import checks, kernels
from harmonium.couplings.base import Kind, Operator, StepSize, Weighted, initial, no_step, small
from harmonium.kernels import Side
from harmonium.numerics import without_gradients


class Dense(Operator):
    """W itself, every entry a parameter: what a model has unless it is told otherwise.

    A view of a tensor that the model owns, made anew whenever it is asked for.

    >>> Dense(torch.eye(2)).product(torch.tensor([[3.0, 4.0]]))
    tensor([[3., 4.]])
    """

    natural = True
    full = True

    def __init__(self, weight: Tensor) -> None:
        self.weight = weight

    @property
    def shape(self) -> tuple[int, int]:  # type: ignore[override]  # derived, an attribute elsewhere
        """(rows, columns)."""
        rows, columns = self.weight.shape
        return rows, columns

    def tensors(self) -> tuple[Tensor, ...]:
        return (self.weight,)

    def along(self, direction: Sequence[Tensor]) -> Operator:
        return Dense(direction[0])

    def dense(self) -> Tensor:
        return self.weight

    def rows(self, rows: slice) -> Tensor:
        return self.weight[rows]

    def product(self, x: Tensor, add: Tensor | None = None) -> Tensor:
        return x @ self.weight if add is None else torch.addmm(add, x, self.weight)

    def transposed(self, y: Tensor, add: Tensor | None = None) -> Tensor:
        return y @ self.weight.T if add is None else torch.addmm(add, y, self.weight.T)

    def statistics(self, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        return (x.T @ y,)

    def pull(self, gradient: Tensor) -> tuple[Tensor, ...]:
        return (gradient,)

    @without_gradients
    def accumulate(self, x: Tensor, y: Tensor) -> None:
        if self.weight.requires_grad:
            self.weight.grad = kernels.product(x, y, transposed=True, add_to=self.weight.grad)

    @without_gradients
    def accumulate_phases(self, hidden: Side, data: Weighted, negatives: Weighted) -> Tensor | None:
        done = kernels.two_phases(self.weight, hidden, data, negatives, self.weight.grad)
        if done is None:
            return None
        self.weight.grad, sums = done
        return sums

    @without_gradients
    def centre(
        self, biases: tuple[Tensor, Tensor], offsets: tuple[Tensor, Tensor], shifted: tuple[Tensor, Tensor]
    ) -> None:
        assert self.weight.grad is not None  # as the caller has checked
        kernels.centre(self.weight.grad, biases, offsets, shifted)

    def nearest(self, matrix: Tensor) -> Tensor:
        return matrix

    @torch.no_grad()
    def take(self, matrix: Tensor) -> None:
        self.weight.copy_(matrix)

    def by_unit(self) -> tuple[Tensor, Tensor | None]:
        return self.weight, self.weight.grad

    @torch.no_grad()
    def scale_rows(self, rows: slice, factor: Tensor) -> bool:
        if not self.weight.is_leaf:
            return False
        self.weight[rows] *= factor[:, None]
        return True


class Masked(Kind):
    """Couplings only where a pattern or a graph has them, and exact zeros elsewhere.

    What lies outside of the pattern takes no part in anything, whoever writes to `weight`; after each update
    of training it is zero there as well.

    Args:
        pattern: (rows, columns), booleans or 0 and 1; or a networkx graph, of which each edge is a coupling.
        visible: for a graph, its nodes that stand for the columns of the first block, in this order; by
            default those whose attribute `bipartite` is 0, as networkx marks them.
        hidden: the nodes of the second block; by default all others.

    Raises:
        TypeError, ValueError: no pattern, or a graph with an edge inside a block.

    >>> import networkx as nx, harmonium as hm
    >>> graph = nx.Graph([("x", "a"), ("y", "a"), ("y", "b")])
    >>> pattern = Masked(graph, visible=["x", "y"])
    >>> rbm = hm.RBM(hm.Bernoulli(2), hm.Bernoulli(2), couplings=pattern)
    >>> (rbm.weight != 0).int().tolist()
    [[1, 0], [1, 1]]
    """

    natural = True
    weight: nn.Parameter
    mask: Tensor

    def __init__(
        self, pattern: Any, visible: Iterable[Any] | None = None, hidden: Iterable[Any] | None = None
    ) -> None:
        super().__init__()
        if hasattr(pattern, "edges"):
            pattern = biadjacency(pattern, visible, hidden)
        elif visible is not None or hidden is not None:
            raise TypeError("visible, hidden: expected with a graph only, got them with a matrix.")
        self.register_buffer("mask", _boolean(pattern))
        self.shape = (self.mask.shape[0], self.mask.shape[1])

    def begin(self, rows: int, columns: int, seed: int) -> None:
        self.check_shape(rows, columns)
        self.weight = nn.Parameter(initial(rows, columns, seed, small(rows, columns)) * self.mask)

    def at(self, tensors: Sequence[Tensor]) -> Operator:
        return Dense(tensors[0] * self.mask)

    def statistics(self, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        return (kernels.product(x, y, transposed=True).mul_(self.mask),)

    def pull(self, gradient: Tensor) -> tuple[Tensor, ...]:
        return (gradient * self.mask,)

    def nearest(self, matrix: Tensor) -> Tensor:
        return matrix * self.mask

    @torch.no_grad()
    def take(self, matrix: Tensor) -> None:
        self.weight.copy_(self.nearest(matrix))

    def by_unit(self) -> tuple[Tensor, Tensor | None]:
        return self.weight, self.weight.grad

    @torch.no_grad()
    def scale_rows(self, rows: slice, factor: Tensor) -> bool:
        self.weight[rows] *= factor[:, None]
        return True

    @torch.no_grad()
    def settle(self, step: StepSize = no_step) -> None:
        self.weight.mul_(self.mask)

    def config(self) -> dict[str, Any]:
        return {"type": "Masked", "rows": self.shape[0], "columns": self.shape[1]}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Masked:
        """A pattern of this shape, which the saved tensors then fill."""
        rows = checks.positive_integer("rows", config["rows"])
        return cls(torch.ones(rows, checks.positive_integer("columns", config["columns"]), dtype=torch.bool))

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, {int(self.mask.sum())} couplings"


def _boolean(pattern: Any) -> Tensor:
    try:
        found = torch.as_tensor(np.asarray(pattern) if not isinstance(pattern, Tensor) else pattern)
    except TypeError:
        raise TypeError(
            f"pattern must be a matrix of booleans or a graph, got {checks.describe(pattern)}."
        ) from None
    if found.ndim != 2 or 0 in found.shape:
        raise ValueError(f"pattern must be a matrix (rows, columns), got {checks.describe(found)}.")
    if found.dtype is not torch.bool and not bool(((found == 0) | (found == 1)).all()):
        raise ValueError("pattern must hold booleans, or 0 and 1, got other numbers.")
    return found.bool().clone()


def biadjacency(graph: Any, visible: Iterable[Any] | None, hidden: Iterable[Any] | None) -> Tensor:
    """Which visible and which hidden nodes of a graph an edge joins, (visible, hidden), bool.

    Raises:
        ValueError: nodes in no block or in both, or an edge inside a block.
    """
    left = [n for n, d in graph.nodes(data="bipartite") if d == 0] if visible is None else list(visible)
    first = {node: k for k, node in enumerate(left)}
    right = [n for n in graph.nodes if n not in first] if hidden is None else list(hidden)
    second = {node: k for k, node in enumerate(right)}
    if (
        not first
        or not second
        or first.keys() & second.keys()
        or set(graph.nodes) - first.keys() - second.keys()
    ):
        raise ValueError(
            "pattern: expected a graph each of whose nodes is visible or hidden, by the attribute bipartite=0"
            f" or the nodes given, got {len(first)} visible and {len(second)} hidden ones of"
            f" {len(graph.nodes)}."
        )
    pattern = torch.zeros(len(left), len(right), dtype=torch.bool)
    for u, v in graph.edges:
        if u not in first:
            u, v = v, u
        if u not in first or v not in second:
            raise ValueError(f"pattern: expected edges between visible and hidden nodes, got {u!r} - {v!r}.")
        pattern[first[u], second[v]] = True
    return pattern
