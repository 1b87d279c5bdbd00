"""The restricted Boltzmann machine: two blocks, and no edge inside either."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from harmonium import checks, kernels
from harmonium.couplings import Coupling, Dense, Kind, Operator
from harmonium.couplings.base import StepSize, initial, no_step, small
from harmonium.models.blocks import Pair
from harmonium.models.pairwise import PairwiseModel, check_pairing
from harmonium.numerics import without_gradients
from harmonium.units import Units
from harmonium.units.base import layer_of_units
from harmonium.units.compiled import compiled_side


class TwoBlocks(PairwiseModel):
    """E(v, h) = U(v) - a·v + U(h) - b·h - vᵀ W h for two blocks: all that follows in closed form.

    Classes derived from it say what their `layers` are, and hold a parameter `weight` or a kind of coupling,
    `coupling`.
    """

    def __getattr__(self, name: str) -> Any:
        if name == "weight" and "coupling" in self._modules:  # a matrix of its own, or as it comes out
            given = self.coupling
            return given.weight if "weight" in given._parameters else given.dense()
        return super().__getattr__(name)

    def _operator(self) -> Operator:
        """W: the couplings that were given, or a view of `weight`."""
        given: Any = self._modules.get("coupling")
        return Dense(self.weight) if given is None else given

    def couplings(self) -> Sequence[Coupling]:
        """W, between blocks 0 and 1."""
        return (Coupling(self._operator(), 0, 1),)

    def settle(self, step: StepSize = no_step) -> None:
        if "weight" not in self._parameters:  # a matrix of its own has nothing to settle
            super().settle(step)

    def with_learned_zeros(self) -> list[Tensor]:
        return [] if "weight" in self._parameters else super().with_learned_zeros()

    def pair(self) -> Pair | None:
        return Pair(self._operator(), *self.layers) if type(self).field is PairwiseModel.field else None

    def _visible_states(self, v: Any) -> Tensor:
        v, visible = self._visible_rows(v), self.layers[0]
        if v.ndim != 2 or v.shape[1] != visible.width:
            raise ValueError(f"v: expected shape (batch, {visible.width}), got {tuple(v.shape)}.")
        return v.to(visible.bias)

    def _hidden_states(self, h: Any) -> Tensor:
        h, hidden = self._hidden_rows(h), self.layers[1]
        if h.ndim != 2 or h.shape[1] != hidden.width:
            raise ValueError(f"h: expected shape (batch, {hidden.width}), got {tuple(h.shape)}.")
        return h.to(hidden.bias)

    def energy(self, *state: Any) -> Tensor:
        """E(v, h) of paired rows: `v` (batch, n_visible), `h` (batch, n_hidden) to (batch,), nats."""
        state, (visible, hidden) = self._rows_of_blocks(state), self.layers
        v, h = self._visible_states(state[0]), self._hidden_states(state[1])
        return visible.energy(v) + hidden.energy(h) - self._operator().pairing(v, h)

    def free_energy(self, v: Any) -> Tensor:
        """F(v) = -log Σₕ exp(-E(v, h)), (batch,), nats."""
        v, (visible, hidden) = self._visible_states(v), self.layers
        field = self._operator().product(v, hidden.bias)
        return visible.energy(v) - hidden.cumulant(field).sum(-1)

    def hidden_free_energy(self, h: Any) -> Tensor:
        """The same from the other side: -log Σᵥ exp(-E(v, h)), (batch,), nats."""
        h, (visible, hidden) = self._hidden_states(h), self.layers
        field = self._operator().transposed(h, visible.bias)
        return hidden.energy(h) - visible.cumulant(field).sum(-1)

    @without_gradients
    def accumulate_gradient(self, v: Tensor, weights: Tensor) -> None:
        """Add Σₙ wₙ ∂F(vₙ)/∂θ to the gradients.

        That is -Σ wₙ vₙ⟨h | vₙ⟩ᵀ for W, -Σ wₙ vₙ for the visible and -Σ wₙ⟨h | vₙ⟩ for the hidden biases:
        the same numbers as back-propagation through `free_energy`, without its detour over the cumulants.
        """
        operator, (visible, hidden) = self._operator(), self.layers
        v, weights = self._visible_states(v), weights.to(visible.bias)
        field = operator.quick_product(v, hidden.bias)
        weighted = hidden.mean(field).mul_(-weights[:, None])
        operator.accumulate(v, weighted)
        _add_to_grad(visible.bias, -kernels.along(weights, v))
        _add_to_grad(hidden.bias, weighted.sum(0))
        self._accumulate_shape_gradient(v, field, weights)

    @without_gradients
    def accumulate_phases(
        self, data: tuple[Tensor, Tensor], negatives: tuple[Tensor, Tensor]
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]] | None:
        """Both phases as one product over all particles, where the processor has units for it."""
        operator, (visible, hidden) = self._operator(), self.layers
        learned = all(p.requires_grad for p in (*operator.tensors(), visible.bias, hidden.bias))
        side = compiled_side(hidden, hidden.bias) if learned else None
        if side is None or visible.shape_parameters():  # inside U, which the product knows nothing of
            return None
        sums = operator.accumulate_phases(side, data, negatives)
        if sums is None:
            return None
        (a, *visible_means), (b, *hidden_means) = (
            x.unbind() for x in sums.split_with_sizes(operator.shape, 1)
        )
        _add_to_grad(visible.bias, a)
        _add_to_grad(hidden.bias, b)
        positive, negative = zip(visible_means, hidden_means, strict=True)
        return positive, negative

    def _accumulate_shape_gradient(self, v: Tensor, field: Tensor, weights: Tensor) -> None:
        """The parameters inside U (scales, thresholds) enter unit by unit: autograd is as good as any."""
        visible, hidden = self.layers
        with torch.enable_grad():
            terms = [units.potential(x).sum(-1) for units, x in visible.shaped(v)]
            terms += [-units.cumulant(x).sum(-1) for units, x in hidden.shaped(field)]
            total = sum((weights * term).sum() for term in terms)
            if isinstance(total, Tensor) and total.requires_grad:
                total.backward()


class RBM(TwoBlocks):
    """E(v, h) = U(v) - a·v + U(h) - b·h - vᵀ W h over visible units v and hidden units h of any type.

    Given one side, the units of the other are independent: P(h | v) = Π_l P(h_l | v) with the field
    W_l·v + b_l on each (for 0/1 units the sigmoid of it), and likewise P(v | h). Summing h out leaves

        F(v) = U(v) - a·v - Σ_l Γ_l(W_l·v + b_l),     P(v) = exp(-F(v)) / Z

    (Smolensky 1986; Fischer & Igel 2012).

    Args:
        visible: the visible units, e.g. `hm.Bernoulli(64)`.
        hidden: the hidden units.
        couplings: what W is made of, such as `hm.couplings.Masked(pattern)`; by default a dense matrix.
        dtype: float32 (default) or float64.
        device: where the parameters live.
        seed: of the initial weights, which are normal with standard deviation 0.1 / √(n_visible + n_hidden).

    Raises:
        ValueError: when no finite coupling of these types has a finite Z (Poisson with anything unbounded),
            or the couplings are of another shape.

    >>> import harmonium as hm
    >>> rbm = hm.RBM(visible=hm.Bernoulli(4), hidden=hm.Bernoulli(2))
    >>> rbm.weight.shape, rbm.visible.bias.shape
    (torch.Size([4, 2]), torch.Size([4]))
    """

    def __init__(
        self,
        visible: Units,
        hidden: Units,
        *,
        couplings: Kind | None = None,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        seed: int = 0,
    ) -> None:
        visible, hidden = layer_of_units("visible", visible), layer_of_units("hidden", hidden)
        if visible is hidden:
            raise ValueError("hidden: expected a layer of its own, got the same object as visible.")
        if dtype not in (torch.float32, torch.float64):
            raise ValueError(f"dtype: expected torch.float32 or torch.float64, got {dtype}.")
        check_pairing(visible, hidden)
        nn.Module.__init__(self)
        self.visible = visible
        self.hidden = hidden
        shape = (visible.width, hidden.width)
        if couplings is None:
            with checks.room("couplings", math.prod(shape)):
                self.weight = nn.Parameter(initial(*shape, seed, small(*shape)).to(dtype))
        else:
            _check_kind(couplings)
            with checks.room("couplings", math.prod(shape)):
                couplings.begin(*shape, seed)
            self.coupling = couplings
        self.to(device=checks.device("device", device), dtype=dtype)

    @property
    def layers(self) -> Sequence[Units]:
        """The visible units, block 0, and the hidden units, block 1."""
        layers = self._modules  # a module's own look-up of attributes takes longer than a small product
        return (layers["visible"], layers["hidden"])  # type: ignore[return-value]  # modules of these names

    def matrix_and_biases(self) -> tuple[Tensor, Tensor, Tensor] | None:
        weight = self._parameters.get("weight")
        if weight is None or type(self) is not RBM:
            return None
        visible, hidden = self.layers
        if any(len(x._parameters) > 1 or x._modules for x in (visible, hidden)):  # or parts of any type
            return None
        a, b = visible._parameters["bias"], hidden._parameters["bias"]
        if a is None or b is None or not (weight.requires_grad and a.requires_grad and b.requires_grad):
            return None
        return weight, a, b

    def hidden_given_visible(self, v: Any) -> Tensor:
        """⟨h | v⟩, (batch, n_hidden); for 0/1 units P(h_l = 1 | v) = σ(W_l·v + b_l)."""
        return self.hidden.mean(self._operator().product(self._visible_states(v), self.hidden.bias))

    def visible_given_hidden(self, h: Any) -> Tensor:
        """⟨v | h⟩, (batch, n_visible)."""
        return self.visible.mean(self._operator().transposed(self._hidden_states(h), self.visible.bias))

    def config(self) -> dict[str, Any]:
        """The types and sizes of both layers."""
        config = {"type": "RBM", "visible": self.visible.config(), "hidden": self.hidden.config()}
        return config | ({"couplings": self.coupling.config()} if "coupling" in self._modules else {})

    def extra_repr(self) -> str:
        """What stands between the brackets of the printed model."""
        return f"{self.visible.width} × {self.hidden.width}, {self.dtype}"


def checked_rbm(name: str, value: Any) -> RBM:
    """`value`, if it is an RBM."""
    if not isinstance(value, RBM):
        raise TypeError(f"{name} must be an RBM, got {type(value).__name__}.")
    return value


def _check_kind(couplings: Any) -> None:
    if not isinstance(couplings, Kind):
        raise TypeError(
            "couplings: expected a kind of coupling such as hm.couplings.Masked(pattern), got"
            f" {checks.describe(couplings)}."
        )
    if couplings.begun():
        raise ValueError("couplings: expected an object of its own, got one that another model has taken.")


def _add_to_grad(parameter: nn.Parameter, value: Tensor) -> None:
    if not parameter.requires_grad:
        return
    parameter.grad = value if parameter.grad is None else parameter.grad.add_(value)
