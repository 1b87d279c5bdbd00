"""The deep Boltzmann machine: layers upon layers, of which the even and the odd ones are two blocks."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from harmonium import checks, kernels
from harmonium.couplings import Coupling, Dense, Masked
from harmonium.couplings.base import initial, small
from harmonium.models.blocks import BlockModel, State
from harmonium.models.pairwise import PairwiseModel, check_pairing
from harmonium.models.rbm import TwoBlocks
from harmonium.units import Mixed, Units
from harmonium.units.base import layer_of_units
from harmonium.units.mixed import parts_of


class DeepBoltzmannMachine(TwoBlocks):
    """E(v, h₁, h₂, …) = Σₗ [U(xₗ) - bₗ·xₗ] - Σₗ xₗᵀ Wₗ xₗ₊₁ over the layers x₀ = v, x₁ = h₁, x₂ = h₂ ….

    Each layer is joined to the next one only, so that the even layers are independent of each other given the
    odd ones, and the other way round: two blocks, (v, h₂, …) and (h₁, h₃, …), with one matrix of couplings.
    That is an RBM of which the cells of h₂, h₄, … are empty in every row, and all that holds for rows with
    gaps holds here: the positive phase moves them by chains that go on from update to update, and log P(v) is
    an estimate of the sum over them (Salakhutdinov & Hinton 2009; joint training from a centred start as by
    Montavon & Müller 2012).

    Args:
        visible: the visible units.
        hidden: the hidden units, layer by layer, at least one.
        dtype: float32 (default) or float64.
        device: where the parameters live.
        seed: of the initial weights, which are normal with standard deviation 0.1 / √(sum of both widths).
        positive_phase: "chains", or "mean_field": learning then makes the bound of `mean_field_free_energy`
            large in place of log P(v), for hidden layers without parameters beside their biases and for whole
            rows.

    Attributes:
        layers: the two blocks. Even layers stand in block 0 side by side, odd ones in block 1.
        weight: the couplings between these, (width of block 0, width of block 1).

    Raises:
        ValueError: no finite coupling of two neighbours has a finite Z (Poisson with anything unbounded).

    >>> import harmonium as hm
    >>> dbm = hm.DeepBoltzmannMachine(hm.Bernoulli(6), [hm.Bernoulli(4), hm.Bernoulli(3)])
    >>> [tuple(w.shape) for w in dbm.weights]
    [(6, 4), (4, 3)]
    >>> v, h1, h2 = torch.zeros(1, 6), torch.ones(1, 4), torch.zeros(1, 3)
    >>> dbm.energy(v, h1, h2).shape, hm.sample(dbm, 5).shape
    (torch.Size([1]), torch.Size([5, 6]))
    """

    def __init__(
        self,
        visible: Units,
        hidden: Sequence[Units],
        *,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        seed: int = 0,
        positive_phase: str = "chains",
    ) -> None:
        units = copy.deepcopy(checked_layers(visible, hidden))
        phase = checks.one_of("positive_phase", positive_phase, ["chains", "mean_field"])
        if phase == "mean_field" and any(layer.shape_parameters() for layer in units[1:]):
            raise ValueError(
                'positive_phase: "mean_field" is for hidden layers without parameters beside their biases.'
            )
        if dtype not in (torch.float32, torch.float64):
            raise ValueError(f"dtype: expected torch.float32 or torch.float64, got {dtype}.")
        nn.Module.__init__(self)
        self._units, self.positive_phase = tuple(units), phase
        self.even, self.odd = side_by_side(units[::2]), side_by_side(units[1::2])
        shape = (self.even.width, self.odd.width)
        with checks.room("hidden", math.prod(shape)):
            weight, mask = torch.zeros(shape, dtype=torch.float64), torch.zeros(shape, dtype=torch.bool)
        for level, (block, allowed) in enumerate(zip(self._blocks(weight), self._blocks(mask), strict=True)):
            rows, columns = block.shape
            block.copy_(initial(rows, columns, seed + level, small(rows, columns)))
            allowed.fill_(True)
        if bool(mask.all()):
            self.weight = nn.Parameter(weight)
        else:
            self.coupling = Masked(mask)
            self.coupling.weight = nn.Parameter(weight)
        self.to(device=checks.device("device", device), dtype=dtype)

    # -- layers ----------------------------------------------------------------------------------------------

    @property
    def layers(self) -> Sequence[Units]:
        """The two blocks: the even layers side by side, and the odd ones."""
        modules = self._modules
        return (modules["even"], modules["odd"])  # type: ignore[return-value]  # modules of these names

    @property
    def stack(self) -> tuple[Units, ...]:
        """The units of every layer, v first; they share the memory of their parameters with the blocks."""
        biases = self.by_layer(tuple(block.bias.detach()[None] for block in self.layers))
        return tuple(_with_bias(units, bias[0]) for units, bias in zip(self._units, biases, strict=True))

    @property
    def visible(self) -> Units:
        """The units of v."""
        return self.stack[0]

    @property
    def hidden(self) -> tuple[Units, ...]:
        """The units of the hidden layers, from h₁ on."""
        return self.stack[1:]

    @property
    def observed_space(self) -> Units:
        """The units of v, which lead block 0."""
        return self.stack[0]

    @property
    def weights(self) -> tuple[Tensor, ...]:
        """W₀ between v and h₁, W₁ between h₁ and h₂, …, (width below, width above), views of `weight`."""
        return tuple(w.T if level % 2 else w for level, w in enumerate(self._blocks(self.weight)))

    def _blocks(self, weight: Tensor) -> list[Tensor]:
        """The part of a matrix over the two blocks that joins each layer to the next, even one first."""
        columns = _columns(self._units)
        pairs = zip(columns, columns[1:], strict=False)
        return [weight[b, a] if level % 2 else weight[a, b] for level, (a, b) in enumerate(pairs)]

    def by_layer(self, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """(x₀, x₁, x₂, …) of a state of the two blocks."""
        return tuple(state[level % 2][:, c] for level, c in enumerate(_columns(self._units)))

    def by_block(self, layers: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """The state of the two blocks from states of all layers."""
        return torch.cat(list(layers[::2]), 1), torch.cat(list(layers[1::2]), 1)

    def energy(self, *state: Any) -> Tensor:
        """E(v, h₁, h₂, …), (batch,), nats, of a state by layer, or by block: (batch, width) each."""
        if len(state) == len(self._units):
            rows = (self._visible_rows(state[0]), *(self._hidden_rows(h) for h in state[1:]))
            for x, units, name in zip(rows, self._units, _names(len(rows)), strict=True):
                checks.matrix(name, x, units.width)
            state = self.by_block([x.to(self.even.bias) for x in rows])
        return super().energy(*state)

    def of_observed(self) -> PairwiseModel:
        """v and h₁ alone, sharing their parameters."""
        visible, hidden = self.stack[:2]
        return _Pair(visible, hidden, self.weights[0].detach())

    @torch.no_grad()
    def given(self, held: Tensor, v: Tensor) -> tuple[BlockModel, int] | None:
        """The layers above v, where v is held as a whole and nothing else."""
        observed = self._units[0].width
        whole = v.ndim == held.ndim == 2 and observed < self.layers[0].width
        if not whole or not bool(held[:, :observed].all()) or bool(held[:, observed:].any()):
            return None
        return _Above(self, v[:, :observed]), observed

    def _visible_states(self, v: Any) -> Tensor:
        v, observed, width = self._visible_rows(v), self._units[0].width, self.layers[0].width
        if v.ndim == 2 and v.shape[1] == observed < width:
            raise ValueError(
                f"v: expected the even layers side by side, (batch, {width}), since with v alone,"
                f" (batch, {observed}), the sum over the hidden layers has no closed form;"
                " hm.log_likelihood estimates it."
            )
        return super()._visible_states(v)

    # -- means given v ---------------------------------------------------------------------------------------

    @torch.no_grad()
    def mean_field(self, v: Any, steps: int = 50) -> tuple[Tensor, ...]:
        """The means (μ₁, μ₂, …) of hidden layers that are independent of each other given v, (batch, width)
        each: the solution of μₗ = ⟨xₗ⟩ in the field of μₗ₋₁ and μₗ₊₁.
        """
        return tuple(x for x, _ in self._mean_field(v, steps))

    @torch.no_grad()
    def mean_field_free_energy(self, v: Any, steps: int = 50) -> Tensor:
        """⟨E⟩ - entropy under these, (batch,), nats: an upper bound of -log Σ exp(-E(v, h₁, …)) over h₁, ….

        So -mean_field_free_energy(v) - log Z bounds log P(v) from below (Saul, Jaakkola & Jordan 1996).
        """
        found, v = self._mean_field(v, steps), self._observed_rows(v)
        below, energy = v, self.visible.energy(v)
        for units, weight, (mean, field) in zip(self.hidden, self.weights, found, strict=True):
            energy = energy + ((field - units.bias) * mean).sum(1) - units.cumulant(field).sum(1)
            energy, below = energy - ((below @ weight) * mean).sum(1), mean
        return energy

    @property
    def latent_means(self) -> bool:  # type: ignore[override]  # a constant elsewhere
        """Whether the positive phase is that of mean field."""
        return self.positive_phase == "mean_field" and len(self._units) > 2

    @torch.no_grad()
    def mean_of_latent(self, v: Tensor) -> Tensor:
        """Rows of block 0 with the mean field of the even hidden layers, (batch, width of block 0)."""
        observed = v[:, : self._units[0].width]
        if bool(torch.isnan(observed).any()):
            raise ValueError('X: positive_phase="mean_field" expects rows without gaps; "chains" takes them.')
        return torch.cat([observed, *self.mean_field(observed)[1::2]], 1)

    def _mean_field(self, v: Any, steps: int) -> list[tuple[Tensor, Tensor]]:
        """(means, the fields that they are the means in) of every hidden layer."""
        v, stack, weights = self._observed_rows(v), self.stack, self.weights
        means, fields = [v], [v]
        for units, weight in zip(stack[1:], weights, strict=True):
            fields.append(units.bias + means[-1] @ weight)
            means.append(units.mean(fields[-1]))
        for _ in range(steps if len(weights) > 1 else 0):
            for k in (*range(1, len(stack), 2), *range(2, len(stack), 2)):
                field = stack[k].bias + means[k - 1] @ weights[k - 1]
                fields[k] = field if k == len(weights) else field + means[k + 1] @ weights[k].T
                means[k] = stack[k].mean(fields[k])
        return list(zip(means[1:], fields[1:], strict=True))

    def _observed_rows(self, v: Any) -> Tensor:
        return checks.matrix("v", self._visible_rows(v), self._units[0].width).to(self.even.bias)

    # -- the same machine in other forms ---------------------------------------------------------------------

    def config(self) -> dict[str, Any]:
        """The types and sizes of all layers."""
        visible, *hidden = (units.config() for units in self._units)
        config = {"type": "DeepBoltzmannMachine", "visible": visible, "hidden": hidden}
        return config | ({"positive_phase": "mean_field"} if self.positive_phase == "mean_field" else {})

    def extra_repr(self) -> str:
        """What stands between the brackets of the printed model."""
        return f"{' - '.join(str(units.width) for units in self._units)}, {self.dtype}"


class _Pair(PairwiseModel):
    """Two layers and the couplings between them, which belong to another model."""

    def __init__(self, lower: Units, upper: Units, weight: Tensor) -> None:
        super().__init__(lower, upper)
        self.weight = weight

    def couplings(self) -> Sequence[Coupling]:
        return (Coupling(Dense(self.weight), 0, 1),)


class _Above(BlockModel):
    """The hidden layers of a deep machine given v, another v for each chain."""

    def __init__(self, machine: DeepBoltzmannMachine, v: Tensor) -> None:
        super().__init__()
        (even, odd), start = machine.layers, v.shape[1]
        latent = side_by_side(machine.stack[2::2])
        self._machine = (machine,)  # a tuple keeps its parameters out of this one's
        self._layers = (latent, odd)
        self._weight, self._bias = machine.weight[start:], even.bias[start:]
        self._field = torch.addmm(odd.bias, v, machine.weight[:start])

    @property
    def layers(self) -> Sequence[Units]:
        return self._layers

    def field(self, block: int, state: State) -> Tensor:
        if block == 0:
            return torch.addmm(self._bias, state[1], self._weight.T)
        return torch.addmm(self._field, state[0], self._weight)

    def energy_without(self, block: int, state: State) -> Tensor:
        """All terms of E but those of `block`, (rows,), nats."""
        if block == 1:
            return self._layers[0].potential(state[0]).sum(-1) - kernels.along(state[0], self._bias)
        return self._layers[1].potential(state[1]).sum(-1) - (state[1] * self._field).sum(-1)


def _with_bias(units: Units, bias: Tensor) -> Units:
    """The same layer with its bias at this memory."""
    layer = copy.copy(units)
    layer._parameters = {**units._parameters, "bias": nn.Parameter(bias)}
    return layer


def side_by_side(layers: Sequence[Units]) -> Units:
    """One block of these layers, with a bias of its own.

    Where all are of one type it is a layer of that type, which the compiled loops know; otherwise the layers
    become parts of a `Mixed`, with which they share what they have beside their bias.
    """
    bias = torch.cat([layer.bias.detach() for layer in layers])
    kinds = [{**layer.config(), "n": 0} for layer in layers]
    alike = all(kind == kinds[0] for kind in kinds) and parts_of(layers[0]) == [layers[0]]
    if alike and not any(layer.shape_parameters() for layer in layers):
        block = copy.deepcopy(layers[0])
        block.n = sum(layer.n for layer in layers)
    else:
        for layer in layers:
            parts = parts_of(layer)
            for part, own in zip(parts, layer.bias.split([p.width for p in parts]), strict=True):
                part.bias = nn.Parameter(own.detach().clone())
        block = Mixed(*(part for layer in layers for part in parts_of(layer)))
    block.bias = nn.Parameter(bias)
    return block


def _columns(units: Sequence[Units]) -> list[slice]:
    """Where each layer stands in its block."""
    ends, found = [0, 0], []
    for level, layer in enumerate(units):
        start = ends[level % 2]
        ends[level % 2] = start + layer.width
        found.append(slice(start, ends[level % 2]))
    return found


def _names(layers: int) -> list[str]:
    return ["v", *(f"h{level}" for level in range(1, layers))]


def checked_layers(visible: Any, hidden: Any) -> list[Units]:
    """All layers, v first, where they can be coupled."""
    hidden = hidden if isinstance(hidden, Sequence) else [hidden]
    if not hidden:
        raise TypeError(
            f"hidden: expected layers of units, such as [hm.Bernoulli(500), hm.Bernoulli(1000)],"
            f" got {checks.describe(hidden)}."
        )
    units = [visible, *hidden]
    for layer, name in zip(units, ["visible", *["hidden"] * len(hidden)], strict=True):
        layer_of_units(name, layer)
    if len({id(layer) for layer in units}) < len(units):
        raise ValueError("hidden: expected layers of their own, got the same object twice.")
    for below, above in zip(units, hidden, strict=False):
        check_pairing(below, above)
    return units
