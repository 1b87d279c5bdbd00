"""The restricted Boltzmann machine: two blocks, and no edge inside either."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from harmonium import kernels
from harmonium.models.pairwise import Coupling, PairwiseModel, check_pairing
from harmonium.random import Address, Purpose
from harmonium.units import Units
from harmonium.units.compiled import compiled_side


class TwoBlocks(PairwiseModel):
    """Two blocks and one matrix of couplings, E(v, h) = U(v) - a·v + U(h) - b·h - vᵀ W h: all that follows in
    closed form, whatever the units.

    Classes derived from it hold `weight`, (width of block 0, width of block 1), and say what their `layers`
    are.
    """

    weight: nn.Parameter

    def couplings(self) -> Sequence[Coupling]:
        """W, between blocks 0 and 1."""
        return (Coupling(self.weight, 0, 1),)

    def _visible_states(self, v: Any) -> Tensor:
        v = self._visible_rows(v)
        if v.ndim != 2 or v.shape[1] != len(self.weight):
            raise ValueError(f"v: expected shape (batch, {len(self.weight)}), got {tuple(v.shape)}.")
        return v.to(self.weight)

    def _hidden_states(self, h: Any) -> Tensor:
        h, width = self._hidden_rows(h), self.weight.shape[1]
        if h.ndim != 2 or h.shape[1] != width:
            raise ValueError(f"h: expected shape (batch, {width}), got {tuple(h.shape)}.")
        return h.to(self.weight)

    def energy(self, *state: Any) -> Tensor:
        """E(v, h) of paired rows: `v` (batch, n_visible), `h` (batch, n_hidden) to (batch,), nats."""
        state, (visible, hidden) = self._rows_of_blocks(state), self.layers
        v, h = self._visible_states(state[0]), self._hidden_states(state[1])
        return visible.energy(v) + hidden.energy(h) - ((v @ self.weight) * h).sum(-1)

    def free_energy(self, v: Any) -> Tensor:
        """F(v) = -log Σₕ exp(-E(v, h)), (batch,), nats."""
        v, (visible, hidden) = self._visible_states(v), self.layers
        field = torch.addmm(hidden.bias, v, self.weight)
        return visible.energy(v) - hidden.cumulant(field).sum(-1)

    def hidden_free_energy(self, h: Any) -> Tensor:
        """The same from the other side: -log Σᵥ exp(-E(v, h)), (batch,), nats."""
        h, (visible, hidden) = self._hidden_states(h), self.layers
        field = torch.addmm(visible.bias, h, self.weight.T)
        return hidden.energy(h) - visible.cumulant(field).sum(-1)

    @torch.no_grad()
    def accumulate_gradient(self, v: Tensor, weights: Tensor) -> None:
        """Add Σₙ wₙ ∂F(vₙ)/∂θ to the gradients.

        That is -Σ wₙ vₙ⟨h | vₙ⟩ᵀ for W, -Σ wₙ vₙ for the visible and -Σ wₙ⟨h | vₙ⟩ for the hidden biases:
        the same numbers as back-propagation through `free_energy`, without its detour over the cumulants.
        """
        (visible, hidden), weights = self.layers, weights.to(self.weight)
        v = self._visible_states(v)
        field = kernels.product(v, self.weight.detach(), hidden.bias.detach())
        weighted = hidden.mean(field).mul_(-weights[:, None])
        if self.weight.requires_grad:
            self.weight.grad = kernels.product(v, weighted, transposed=True, add_to=self.weight.grad)
        _add_to_grad(visible.bias, -(weights @ v))
        _add_to_grad(hidden.bias, weighted.sum(0))
        self._accumulate_shape_gradient(v, field, weights)

    @torch.no_grad()
    def accumulate_phases(
        self, data: tuple[Tensor, Tensor], negatives: tuple[Tensor, Tensor]
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]] | None:
        """Both phases as one product over all particles, where the processor has units for it."""
        weight, (visible, hidden) = self.weight, self.layers
        learned = weight.requires_grad and visible.bias.requires_grad and hidden.bias.requires_grad
        side = compiled_side(hidden, hidden.bias) if learned else None
        if side is None or visible.shape_parameters():  # inside U, which the product knows nothing of
            return None
        done = kernels.two_phases(weight, side, data, negatives, weight.grad)
        if done is None:
            return None
        weight.grad, sums = done
        (a, *visible_means), (b, *hidden_means) = (x.unbind() for x in sums.split_with_sizes(weight.shape, 1))
        _add_to_grad(visible.bias, a)
        _add_to_grad(hidden.bias, b)
        positive, negative = zip(visible_means, hidden_means, strict=True)
        return positive, negative

    def _accumulate_shape_gradient(self, v: Tensor, field: Tensor, weights: Tensor) -> None:
        """The parameters inside U (scales, thresholds) enter unit by unit: autograd is as good as any."""
        visible, hidden = self.layers
        if not visible.shape_parameters() and not hidden.shape_parameters():
            return
        with torch.enable_grad():
            per_row = visible.potential(v).sum(-1) - hidden.cumulant(field).sum(-1)
            total = (weights * per_row).sum()
            if total.requires_grad:
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
        dtype: float32 (default) or float64.
        device: where the parameters live.
        seed: of the initial weights, which are normal with standard deviation 0.1 / √(n_visible + n_hidden).

    Raises:
        ValueError: when no finite coupling of these types has a finite Z (Poisson with anything unbounded).

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
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        seed: int = 0,
    ) -> None:
        for name, units in (("visible", visible), ("hidden", hidden)):
            if not isinstance(units, Units):
                raise TypeError(f"{name}: expected a layer of units such as hm.Bernoulli(64), got {units!r}.")
        if visible is hidden:
            raise ValueError("hidden: expected a layer of its own, got the same object as visible.")
        if dtype not in (torch.float32, torch.float64):
            raise ValueError(f"dtype: expected torch.float32 or torch.float64, got {dtype}.")
        check_pairing(visible, hidden)
        nn.Module.__init__(self)
        self.visible = visible
        self.hidden = hidden
        shape = (visible.width, hidden.width)
        u = kernels.uniform(Address(seed, Purpose.WEIGHTS), shape, torch.float64, torch.device("cpu"))
        scale = 0.1 / sum(shape) ** 0.5  # small: training starts near independence with symmetry broken
        self.weight = nn.Parameter((scale * torch.special.ndtri(u)).to(dtype))
        self.to(device=device, dtype=dtype)

    @property
    def layers(self) -> Sequence[Units]:
        """The visible units, block 0, and the hidden units, block 1."""
        layers = self._modules  # a module's own look-up of attributes takes longer than a small product
        return (layers["visible"], layers["hidden"])  # type: ignore[return-value]  # modules of these names

    def hidden_given_visible(self, v: Any) -> Tensor:
        """⟨h | v⟩, (batch, n_hidden); for 0/1 units P(h_l = 1 | v) = σ(W_l·v + b_l)."""
        return self.hidden.mean(torch.addmm(self.hidden.bias, self._visible_states(v), self.weight))

    def visible_given_hidden(self, h: Any) -> Tensor:
        """⟨v | h⟩, (batch, n_visible)."""
        return self.visible.mean(torch.addmm(self.visible.bias, self._hidden_states(h), self.weight.T))

    def config(self) -> dict[str, Any]:
        """The types and sizes of both layers."""
        return {"type": "RBM", "visible": self.visible.config(), "hidden": self.hidden.config()}

    def extra_repr(self) -> str:
        """What stands between the brackets of the printed model."""
        return f"{self.visible.width} × {self.hidden.width}, {self.dtype}"


def _add_to_grad(parameter: nn.Parameter, value: Tensor) -> None:
    if not parameter.requires_grad:
        return
    parameter.grad = value if parameter.grad is None else parameter.grad.add_(value)
