"""Couplings of low rank: a few patterns that all units share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from harmonium import checks
from harmonium.couplings.base import Kind, Operator, initial, small


class Factors(Operator):
    """W = L Rᵀ of factors L (rows, rank) and R (columns, rank)."""

    def __init__(self, left: Tensor, right: Tensor) -> None:
        self.left, self.right = left, right
        self.shape = (len(left), len(right))

    def tensors(self) -> tuple[Tensor, ...]:
        return self.left, self.right

    def along(self, direction: Sequence[Tensor]) -> Operator:
        left, right = direction  # dW = dL Rᵀ + L dRᵀ
        return Factors(torch.cat([left, self.left], 1), torch.cat([self.right, right], 1))

    def dense(self) -> Tensor:
        return self.left @ self.right.T

    def product(self, x: Tensor, add: Tensor | None = None) -> Tensor:
        inside = x @ self.left
        return inside @ self.right.T if add is None else torch.addmm(add, inside, self.right.T)

    def transposed(self, y: Tensor, add: Tensor | None = None) -> Tensor:
        inside = y @ self.right
        return inside @ self.left.T if add is None else torch.addmm(add, inside, self.left.T)

    def statistics(self, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        return x.T @ (y @ self.right), y.T @ (x @ self.left)

    def pull(self, gradient: Tensor) -> tuple[Tensor, ...]:
        return gradient @ self.right, gradient.T @ self.left


class LowRank(Kind):
    """W = L Rᵀ of a rank below both widths: (rows + columns) · rank numbers instead of rows · columns.

    Args:
        rank: number of patterns, at least 1.

    >>> import harmonium as hm
    >>> rbm = hm.RBM(hm.Bernoulli(100), hm.Bernoulli(50), couplings=LowRank(3))
    >>> sum(p.numel() for p in rbm.coupling.parameters()), int(torch.linalg.matrix_rank(rbm.weight))
    (450, 3)
    """

    left: nn.Parameter
    right: nn.Parameter

    def __init__(self, rank: int) -> None:
        super().__init__()
        self.rank = checks.positive_integer("rank", rank)

    def begin(self, rows: int, columns: int, seed: int) -> None:
        if self.rank > min(rows, columns):
            raise ValueError(f"couplings: expected a rank of at most {min(rows, columns)}, got {self.rank}.")
        self.shape = (rows, columns)
        scale = (small(rows, columns) / self.rank**0.5) ** 0.5  # so that W is as small as a dense one
        both = initial(rows + columns, self.rank, seed, scale)
        self.left, self.right = (nn.Parameter(x.clone()) for x in both.split([rows, columns]))

    def at(self, tensors: Sequence[Tensor]) -> Factors:
        return Factors(*tensors)

    def along(self, direction: Sequence[Tensor]) -> Operator:
        return self.at(self.tensors()).along(direction)

    @torch.no_grad()
    def quick_product(self, x: Tensor, add: Tensor) -> Tensor:
        return self.product(x, add)

    def _factors(self, matrix: Tensor) -> Factors:
        """The nearest matrix of this rank, in equal parts (Eckart & Young 1936)."""
        left, values, right = torch.linalg.svd(matrix.double(), full_matrices=False)
        root = values[: self.rank].sqrt()
        return Factors(left[:, : self.rank] * root, right[: self.rank].T * root)

    def nearest(self, matrix: Tensor) -> Tensor:
        return self._factors(matrix).dense()

    @torch.no_grad()
    def take(self, matrix: Tensor) -> None:
        for tensor, factor in zip(self.tensors(), self._factors(matrix).tensors(), strict=True):
            tensor.copy_(factor)

    @torch.no_grad()
    def scale_rows(self, rows: slice, factor: Tensor) -> bool:
        self.left[rows] *= factor[:, None]
        return True

    def config(self) -> dict[str, Any]:
        return {"type": "LowRank", "rank": self.rank}

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, rank {self.rank}"
