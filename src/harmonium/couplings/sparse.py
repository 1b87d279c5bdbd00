"""Couplings most of which training makes exactly zero: which ones, the data say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from harmonium import checks
from harmonium.couplings.base import Kind, Operator, StepSize, initial, no_step, shrink, small
from harmonium.couplings.dense import Dense


class Sparse(Kind):
    """A matrix under the group lasso: the penalty strength · Σ_g √|g| ‖W_g‖ over groups g of couplings.

    Each step of training, of size η, is followed by the proximal step of the penalty, which shrinks every
    group by η · strength · √|g| and sets what is smaller exactly to zero (Yuan & Lin 2006; Parikh & Boyd
    2014). With Adam each coupling has an η of its own.

    Args:
        strength: nats per unit of coupling, at least 0.
        block: rows and columns of W that make a group, None for all of a side: (1, 1), the default, is the
            lasso; (None, 1) drops hidden units, (1, None) visible columns, (q, 1) whole sites of q states.

    >>> import harmonium as hm
    >>> rbm = hm.RBM(hm.Bernoulli(4), hm.Bernoulli(2), couplings=Sparse(0.1))
    >>> rbm.settle(lambda weight: 10.0)
    >>> bool((rbm.weight == 0).all())
    True
    """

    weight: nn.Parameter

    def __init__(self, strength: float, block: tuple[int | None, int | None] = (1, 1)) -> None:
        super().__init__()
        self.strength = checks.number("strength", strength, 0.0)
        sizes = checks.a_list("block", block, "two sizes")
        if len(sizes) != 2:
            raise ValueError(f"block must be a list of two sizes, got {checks.describe(block)}.")
        self.block = tuple(None if size is None else checks.positive_integer("block", size) for size in sizes)

    def begin(self, rows: int, columns: int, seed: int) -> None:
        for size, width in zip(self.block, (rows, columns), strict=True):
            if size is not None and width % size:
                raise ValueError(f"couplings: expected blocks that divide {width}, got block={self.block}.")
        self.shape = (rows, columns)
        self.weight = nn.Parameter(initial(rows, columns, seed, small(rows, columns)))

    def at(self, tensors: Sequence[Tensor]) -> Operator:
        return Dense(tensors[0])

    def accumulate(self, x: Tensor, y: Tensor) -> None:
        Dense(self.weight).accumulate(x, y)

    def by_unit(self) -> tuple[Tensor, Tensor | None]:
        return self.weight, self.weight.grad

    def nearest(self, matrix: Tensor) -> Tensor:
        return matrix

    def take(self, matrix: Tensor) -> None:
        Dense(self.weight).take(matrix)

    def scale_rows(self, rows: slice, factor: Tensor) -> bool:
        return Dense(self.weight).scale_rows(rows, factor)

    def by_groups(self, x: Tensor) -> Tensor:
        """Numbers like W by groups, (groups down, rows of each, groups across, columns of each)."""
        rows, columns = (size or width for size, width in zip(self.block, self.shape, strict=True))
        return x.unflatten(1, (-1, columns)).unflatten(0, (-1, rows))

    @torch.no_grad()
    def settle(self, step: StepSize = no_step) -> None:
        """The proximal step."""
        groups = self.by_groups(self.weight)
        size = groups.shape[1] * groups.shape[3]
        sizes = torch.as_tensor(step(self.weight)).to(self.weight).expand(self.shape)
        shrink(groups, (1, 3) if size > 1 else (), self.strength * size**0.5 * self.by_groups(sizes))

    def with_learned_zeros(self) -> list[Tensor]:
        return [self.weight]

    def config(self) -> dict[str, Any]:
        return {"type": "Sparse", "strength": self.strength, "block": list(self.block)}

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, strength {self.strength:g}, block {self.block}"
