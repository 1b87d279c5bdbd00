"""Independent units of a model with blocks, with fields of their own in each row."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from harmonium.models.blocks import BlockModel, State
from harmonium.models.derived import Derived
from harmonium.random import Address
from harmonium.units import Units


class UncoupledRows(Derived[BlockModel], BlockModel):
    """E(x) = Σᵢ [Uᵢ(xᵢ) - fᵢ·xᵢ] over the blocks of `model`, with fixed fields fᵢ, other ones in each row.

    Where a path to a model with clamped variables begins. Its k-th chain is the k-th row.

    Args:
        model: whose units these are.
        fields: of every block, (rows, width) each.
        known: visible states, (rows, n_visible), of which the columns that are always given are read.
    """

    def __init__(self, model: BlockModel, fields: State, known: Tensor) -> None:
        super().__init__(model)
        self.fields, self.known = fields, known

    @classmethod
    @torch.no_grad()
    def of(cls, model: BlockModel, v: Tensor) -> UncoupledRows:
        """The fields that rows (rows, n_visible), NaN where free, make: hidden blocks feel what is known, and
        what is free at the means that it has by itself; free units feel the means of the hidden ones then.
        """
        layers = (model.layers[0].in_rows(v), *model.layers[1:])
        fields = [layer.bias.detach().expand(len(v), layer.width) for layer in layers]
        means = [layer.mean(field) for layer, field in zip(layers, fields, strict=True)]
        means[0] = torch.where(torch.isnan(v), means[0], v)
        for block in (*range(1, len(layers)), 0):
            fields[block] = model.field(block, tuple(means))
            means[block] = model.units_in(block, tuple(means)).mean(fields[block])
        return cls(model, tuple(fields), v)

    def part(self, rows: Tensor) -> UncoupledRows:
        """The same for these rows."""
        fields = tuple(field[rows] for field in self.fields)
        return UncoupledRows(self._of[0], fields, self.known[rows])

    @property
    def layers(self) -> Sequence[Units]:
        """The units of each block, in these rows."""
        first, *rest = self._of[0].layers
        return (first.in_rows(self.known), *rest)

    def field(self, block: int, state: State) -> Tensor:
        """The fields of the rows, whatever the state."""
        return self.fields[block]

    def energy_without(self, block: int, state: State) -> Tensor:
        """All terms of E but those of `block`, (rows,), nats."""
        terms = [
            layer.potential(x).sum(-1) - (field * x).sum(-1)
            for i, (layer, field, x) in enumerate(zip(self.layers, self.fields, state, strict=True))
            if i != block
        ]
        return sum(terms[1:], terms[0]) if terms else self.fields[0].new_zeros(len(self.fields[0]))

    def random_state(self, chains: int, address: Address) -> State:
        """Exact draws, one for each row."""
        return tuple(
            layer.sample(field, self.block_address(i, address))
            for i, (layer, field) in enumerate(zip(self.layers, self.fields, strict=True))
        )

    def clamped_log_partitions(self, v: Tensor, held: Tensor, free: Tensor) -> Tensor:
        """log Σ exp(-E) over the free visible sites, bool (rows, sites), and all hidden units, with the
        columns `held`, bool (rows, n_visible), at `v`; (rows,), float64, nats.
        """
        sums = [layer.cumulant(f).double() for layer, f in zip(self.layers, self.fields, strict=True)]
        potential = self.layers[0].potential(v).double()
        known = torch.where(held, self.fields[0] * v, 0.0).double().sum(1)
        return known + torch.where(free, sums[0], -potential).sum(1) + sum(s.sum(1) for s in sums[1:])
