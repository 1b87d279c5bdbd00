"""Models that name their blocks.

A block is a set of variables that are independent of each other given all the others. A model says which
layers of units its blocks are, and which field acts on each given the rest; sampling, clamping, annealing,
enumeration and learning are then written once, for all of them.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from harmonium import checks
from harmonium.couplings import Operator
from harmonium.models.energy import EnergyModel
from harmonium.models.exact_draws import from_blocks
from harmonium.random import Address
from harmonium.units import Units

State = tuple[Tensor, ...]  # one (batch, width) tensor per block


class Bipartite(NamedTuple):
    """Two blocks with one coupling: the fields are base + β (bias + product with W), for fast sampling."""

    weight: Tensor  # (width of block 0, width of block 1)
    bias: tuple[Tensor, Tensor]
    base: tuple[Tensor, Tensor] | None = None  # None for 0
    beta: Tensor | None = None  # (batch, 1), None for 1


class Pair(NamedTuple):
    """Two blocks of units and the one operator between them."""

    operator: Operator
    visible: Units
    hidden: Units

    def hidden_field(self, v: Tensor) -> Tensor:
        """The field of visible states on the hidden units, (batch, hidden width)."""
        return self.operator.product(v, self.hidden.bias)

    def visible_field(self, h: Tensor) -> Tensor:
        """The field of hidden states on the visible units, (batch, visible width)."""
        return self.operator.transposed(h, self.visible.bias)


class BlockModel(EnergyModel):
    """An energy that is linear in every block given the others: E = Uᵢ(xᵢ) - fieldᵢ(rest)·xᵢ + rest.

    `n_visible_blocks` leading blocks are visible, the rest hidden. A state is a tuple of a tensor per block.
    """

    n_visible_blocks: int = 1

    @property
    @abstractmethod
    def layers(self) -> Sequence[Units]:
        """The units of each block."""

    @property
    def named_blocks(self) -> Sequence[Units]:
        return self.layers

    @property
    def visible_space(self) -> Units:
        """The units of block 0."""
        return self.layers[0]

    def has_free_energy(self) -> bool:
        """Whether F(v) has a closed form: one visible block, and at most one hidden."""
        return self.n_visible_blocks == 1 and len(self.layers) <= 2

    @property
    def observed_space(self) -> Units:
        """The units of the columns of a table, those of block 0 but for models that say otherwise."""
        return self.visible_space

    def of_observed(self) -> BlockModel:
        return self

    def given(self, held: Tensor, v: Tensor) -> tuple[BlockModel, int] | None:
        """(what is left of the model when visible columns `held` are at `v`, the first column that it has);
        None where that is no smaller model, as here.

        Its k-th chain goes with the k-th row. Its blocks are the columns of block 0 from there on, and all
        other blocks.
        """
        return None

    def closed_form_log_partition(self) -> Tensor | None:
        """log Z where a formula gives it; sums over blocks are the business of `models.enumeration`."""
        return None

    def exact_sample(self, n: int, address: Address, given: Tensor | None = None) -> Tensor | None:
        """Independent visible states, (n, n_visible), where nothing is given and all blocks but one have up
        to 2¹⁸ states, otherwise None.
        """
        return from_blocks(self, n, address) if given is None else None

    @abstractmethod
    def field(self, block: int, state: State) -> Tensor:
        """The field I on `block` given all the others, bias included, (batch, width).

        Doesn't read state[block].
        """

    def visible_field(self, state: State) -> Tensor | None:
        return self.field(0, state) if self.n_visible_blocks == 1 else None

    def conditional_units(self, block: int) -> Units:
        """The units that turn the field of `block` into its conditional distribution."""
        return self.layers[block]

    def units_in(self, block: int, state: State) -> Units:
        """The same in the rows of a state; of state[block] only columns that are always given are read."""
        return self.conditional_units(block).in_rows(state[block])

    def bipartite(self) -> Bipartite | None:
        """This model as one coupling between two blocks, None where its fields are anything else."""
        return None

    def block_address(self, block: int, address: Address) -> Address:
        """Where the draws of `block` live: units are numbered through all blocks, in steps of 4."""
        return address.at(unit=address.unit + sum(layer.unit_numbers for layer in self.layers[:block]))

    def marginal_energy(self, block: int, state: State) -> Tensor:
        """-log of the sum of exp(-E) over `block`, (batch,), nats: F as a function of the other blocks.

        Since E is linear in xᵢ, it is E(xᵢ = 0) minus the cumulants in the field: all that free energies are.
        """
        layers = self.layers
        zeros = next((x for i, x in enumerate(state) if i != block), state[block])
        absent = zeros.new_zeros(len(zeros), layers[block].width)
        rest = tuple(absent if i == block else x for i, x in enumerate(state))
        cumulant = self.units_in(block, rest).cumulant(self.field(block, rest))
        return self.energy_without(block, rest) - cumulant.sum(-1)

    @abstractmethod
    def energy_without(self, block: int, state: State) -> Tensor:
        """The terms of E that don't involve `block`, (batch,), nats. Doesn't read state[block]."""

    def energy(self, *state: Any) -> Tensor:
        """E(x₁, x₂, …) with one (batch, width) tensor per block, (batch,), nats."""
        state = self._rows_of_blocks(state)
        last = len(state) - 1
        linear = (self.field(last, state) * state[last]).sum(-1)
        potential = self.units_in(last, state).potential(state[last]).sum(-1)
        return self.energy_without(last, state) + potential - linear

    def _rows_of_blocks(self, state: tuple[Any, ...]) -> State:
        """One tensor per block from rows of any kind, checked."""
        if not all(isinstance(x, Tensor) for x in state):
            visible, hidden = state[: self.n_visible_blocks], state[self.n_visible_blocks :]
            state = (
                *(
                    self._visible_rows(x) if i == 0 else self._hidden_rows(x, "v")
                    for i, x in enumerate(visible)
                ),
                *(self._hidden_rows(x) for x in hidden),
            )
        self.check_state(state)
        return state

    def check_state(self, state: State) -> None:
        """Raise a ValueError unless there is one tensor per block, of its width and all of one length."""
        if len(state) != len(self.layers):
            raise ValueError(f"state: expected {len(self.layers)} blocks, got {len(state)}.")
        for i, (x, layer) in enumerate(zip(state, self.layers, strict=True)):
            if not isinstance(x, Tensor):
                raise TypeError(f"state: expected a tensor for block {i}, got {checks.describe(x)}.")
            if x.ndim != 2 or x.shape[1] != layer.width or len(x) != len(state[0]):
                raise ValueError(
                    f"state: expected block {i} of shape ({len(state[0])}, {layer.width}), "
                    f"got {tuple(x.shape)}."
                )

    def free_energy(self, v: Any) -> Tensor:
        """F(v), (batch,), nats, in closed form for models of one visible and one hidden block.

        >>> import harmonium as hm
        >>> rbm = hm.RBM(visible=hm.Bernoulli(2), hidden=hm.Bernoulli(3))
        >>> rbm.free_energy(torch.zeros(1, 2)).item() < 0
        True
        """
        v = self._visible_rows(v)
        if len(self.layers) == 1:
            return self.energy(v)
        if len(self.layers) != 2:
            raise ValueError(
                f"free_energy: expected a model of one hidden block, got {len(self.layers) - 1}."
            )
        absent = v.new_empty(len(v), 0)
        return self.marginal_energy(1, (v, absent))

    def random_state(self, chains: int, address: Address) -> State:
        """One state per chain, every block drawn as if the others were absent (field = bias)."""
        state = []
        for i, layer in enumerate(self.layers):
            field = layer.bias.detach().expand(chains, layer.width)
            state.append(layer.sample(field, self.block_address(i, address)))
        return tuple(state)

    @torch.no_grad()
    def state_of(self, v: Tensor) -> State:
        """A state whose visible block is `v` and whose other blocks are at their modes given no field."""
        hidden = [layer.mode(layer.bias.expand(len(v), layer.width)) for layer in self.layers[1:]]
        return (v, *hidden)
