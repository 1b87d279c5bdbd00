"""Machines of some variables given others, their context: P(v | u) and never P(u)."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from numbers import Integral
from typing import Any

import torch
from torch import Tensor, nn

from harmonium import checks
from harmonium.models.blocks import Bipartite, Pair, State
from harmonium.models.energy import backward
from harmonium.models.objective import Objective
from harmonium.models.pairwise import DirectCoupling
from harmonium.models.rbm import RBM
from harmonium.units import Gaussian, Units
from harmonium.units.base import layer_of_units
from harmonium.units.mixed import parts_of, side_by_side


class ConditionalRBM(RBM):
    """E(v, h | u) = U(v) - (a + Aᵀu)·v + U(h) - (b + Bᵀu)·h - vᵀ W h: an RBM whose biases are functions of a
    context u (Taylor, Hinton & Roweis 2007).

    A row is [v | u]: visible columns first, then those of the context, which is always given and never
    modelled. So B is the lower part of `weight` and W the upper one, A is `direct`, for Gaussian columns
    times their precision, and

        P(v | u) = exp(-F(v, u)) / Z(u),     Z(u) = Σᵥ exp(-F(v, u)),

    has a partition function for each context. `hm.fit` learns log P(v | u), which `hm.log_likelihood`
    measures; `hm.sample(model, n, given=...)` draws v for contexts, and `hm.log_partition(model.at(u))` is
    log Z(u).

    Args:
        visible: the units of v.
        context: the units of u, or how many real numbers it has.
        hidden: the hidden units.
        direct: whether there are couplings A between context and visible units. Without hidden units' help
            they are a regression of v on u; for Gaussian v training starts there.
        dtype, device, seed: as of `RBM`.

    >>> import harmonium as hm
    >>> model = ConditionalRBM(hm.Bernoulli(3), 2, hm.Bernoulli(4))
    >>> hm.sample(model, 5, given=[float("nan")] * 3 + [1.0, -1.0]).shape
    torch.Size([5, 5])
    """

    def __init__(  # noqa: PLR0913  # the shape of the machine and where it lives
        self,
        visible: Units,
        context: Units | int,
        hidden: Units,
        *,
        direct: bool = True,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        seed: int = 0,
    ) -> None:
        if isinstance(context, Integral):
            context = Gaussian(checks.positive_integer("context", context))
        visible, context = layer_of_units("visible", visible), layer_of_units("context", context)
        shape = context.width, visible.width
        parts = len(parts_of(visible))
        super().__init__(side_by_side(visible, context), hidden, dtype=dtype, device=device, seed=seed)
        self._parts = parts
        self.context = slice(shape[1], shape[1] + shape[0])
        self.direct = nn.Parameter(torch.zeros(shape, dtype=dtype, device=device)) if direct else None

    @property
    def objective(self) -> Objective:
        """log P(v | u)."""
        assert self.context is not None
        return Objective(self.context)

    def direct_couplings(self) -> Sequence[DirectCoupling]:
        """A, from the context to the visible columns."""
        if self.direct is None or self.context is None:
            return ()
        return (DirectCoupling(self.direct, self._scale(), self.context, slice(0, self.context.start)),)

    def _scale(self) -> Tensor:
        """γ of Gaussian columns and 1 for others, (visible columns,)."""
        parts = parts_of(self.visible)[: self._parts]
        one = self.visible.bias.new_ones(1)
        return torch.cat(
            [one.expand(p.width) if p.normal_precision is None else p.normal_precision for p in parts]
        )

    def _direct_field(self, x: Tensor) -> Tensor:
        """γ Cᵀu, (batch, visible columns)."""
        assert self.direct is not None
        return x[:, self.context] @ self.direct * self._scale()

    def field_of_given(self, v: Tensor) -> Tensor | None:
        """Aᵀu on the visible columns and 0 on those of the context, (batch, width); None without A."""
        if self.direct is None:
            return None
        return torch.nn.functional.pad(self._direct_field(v), (0, self.direct.shape[0]))

    def _direct_energy(self, x: Tensor) -> Tensor | float:
        """-uᵀA v, (batch,), nats."""
        if self.direct is None:
            return 0.0
        return -(self._direct_field(x) * x[:, : self.direct.shape[1]]).sum(-1)

    def energy(self, *state: Any) -> Tensor:
        """E(v, h | u) of rows [v | u], (batch, n_visible), and `h`, (batch, n_hidden); (batch,), nats."""
        x = self._visible_states(state[0])
        return super().energy(x, *state[1:]) + self._direct_energy(x)

    def free_energy(self, v: Any) -> Tensor:
        """F(v, u) = -log Σₕ exp(-E(v, h | u)) of rows [v | u], (batch,), nats."""
        x = self._visible_states(v)
        return super().free_energy(x) + self._direct_energy(x)

    def field(self, block: int, state: State) -> Tensor:
        """As of any RBM; the context is known also when the visible block is drawn, and acts on it."""
        field = super().field(block, state)
        direct = self.field_of_given(state[0]) if block == 0 and len(state[0]) else None
        return field if direct is None else field + direct

    def energy_without(self, block: int, state: State) -> Tensor:
        """All terms of E but those of `block`, (batch,), nats."""
        rest = super().energy_without(block, state)
        return rest if block == 0 else rest + self._direct_energy(state[0])

    def pair(self) -> Pair:
        """Both blocks and what is between them; A is inside of the first."""
        return Pair(self._operator(), *self.layers)

    def bipartite(self) -> Bipartite | None:
        """One coupling between two blocks, where there is no direct one inside of the first."""
        return super().bipartite() if self.direct is None else None

    def accumulate_gradient(self, v: Tensor, weights: Tensor) -> None:
        """Add Σₙ wₙ ∂F(vₙ, uₙ)/∂θ to the gradients."""
        super().accumulate_gradient(v, weights)
        if self.direct is not None:
            with torch.enable_grad():  # C and γ, few numbers beside W
                backward((weights.to(v) * self._direct_energy(v)).sum())

    def accumulate_phases(self, data: Any, negatives: Any) -> Any:
        """Both phases as one product, where there is no direct coupling."""
        return super().accumulate_phases(data, negatives) if self.direct is None else None

    @torch.no_grad()
    def at(self, context: Any) -> RBM:
        """The RBM of v at one context, (context width,): biases a + Aᵀu and b + Bᵀu, and W.

        >>> import harmonium as hm
        >>> model = ConditionalRBM(hm.Spin(3), 1, hm.Bernoulli(2))
        >>> hm.log_partition(model.at([0.5])).method
        'exact, sum over 4 states'
        """
        assert self.context is not None
        u = torch.as_tensor(context, dtype=self.dtype, device=self.device).reshape(1, -1)
        wide = self.context.stop - self.context.start
        if u.shape[1] != wide:
            raise ValueError(f"context must have {wide} numbers, got {u.shape[1]}.")
        n = self.context.start
        visible = side_by_side(*self.visible.parts_alone()[: self._parts])
        rbm = RBM(visible, copy.deepcopy(self.hidden), dtype=self.dtype, device=self.device)
        rbm.weight.copy_(self.weight[:n])
        rbm.hidden.bias.add_((u @ self.weight[n:])[0])
        if self.direct is not None:
            rbm.visible.bias.add_((u @ self.direct)[0] * self._scale())
        return rbm

    def config(self) -> dict[str, Any]:
        """The types and sizes of all layers."""
        parts = self.visible.parts_alone()
        visible, context = side_by_side(*parts[: self._parts]), side_by_side(*parts[self._parts :])
        return {
            "type": type(self).__name__,
            "visible": visible.config(),
            "context": context.config(),
            "hidden": self.hidden.config(),
            "direct": self.direct is not None,
        }

    def extra_repr(self) -> str:
        """What stands between the brackets of the printed model."""
        assert self.context is not None
        wide = self.context.stop - self.context.start
        return f"{self.context.start} × {self.hidden.width} given {wide}, {self.dtype}"
