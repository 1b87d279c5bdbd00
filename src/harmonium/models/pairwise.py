"""Blocks of units joined by pairwise couplings: the common ground of all Boltzmann machines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from harmonium.models.blocks import BlockModel, State
from harmonium.numerics import HALF_LOG_TWO_PI
from harmonium.units import Gaussian, Tail, Units


class Coupling(NamedTuple):
    """The energy term -xᵢᵀ W xⱼ between blocks i and j."""

    weight: Tensor  # (width of i, width of j)
    i: int
    j: int


class PairwiseModel(BlockModel):
    """E(x) = Σᵢ [Uᵢ(xᵢ) - biasᵢ·xᵢ] - Σ_{i<j} xᵢᵀ Wᵢⱼ xⱼ over blocks i.

    Built directly it has no couplings and is the independent model of its layers, the usual reference of a path:
    its partition function is known exactly. Subclasses name their couplings.
    """

    def __init__(self, *layers: Units) -> None:
        super().__init__()
        self._layers = nn.ModuleList(layers)

    @property
    def layers(self) -> Sequence[Units]:
        """The units of each block."""
        return list(self._layers)  # type: ignore[arg-type]  # a ModuleList forgets the type of its modules

    def couplings(self) -> Sequence[Coupling]:
        """The coupling matrices, none here."""
        return ()

    def field(self, block: int, state: State) -> Tensor:
        """bias + Σ of the products with the neighbouring blocks, (batch, width)."""
        field: Tensor | None = None
        bias = self.layers[block].bias
        for weight, i, j in self.couplings():
            if block not in (i, j):
                continue
            other, matrix = (state[j], weight.T) if block == i else (state[i], weight)
            field = torch.addmm(bias, other, matrix) if field is None else torch.addmm(field, other, matrix)
        if field is None:
            rows = next(len(x) for k, x in enumerate(state) if k != block or len(state) == 1)
            return bias.expand(rows, -1)
        return field

    def energy_without(self, block: int, state: State) -> Tensor:
        """All terms of E but those of `block`, (batch,), nats."""
        total: Tensor | None = None
        for i, layer in enumerate(self.layers):
            if i != block:
                total = layer.energy(state[i]) if total is None else total + layer.energy(state[i])
        for weight, i, j in self.couplings():
            if block not in (i, j):
                total = total - ((state[i] @ weight) * state[j]).sum(-1)
        return state[block].new_zeros(len(state[block])) if total is None else total

    @torch.no_grad()
    def closed_form_log_partition(self) -> Tensor | None:
        """log Z where a formula gives it: without couplings Σ Γ(bias), and for Gaussian layers the Gaussian integral."""
        if not self.couplings():
            return torch.stack([layer.cumulant(layer.bias[None]).double().sum() for layer in self.layers]).sum()
        layers = self.layers
        if not all(isinstance(layer, Gaussian) for layer in layers):
            return None
        edges = [0]
        for layer in layers:
            edges.append(edges[-1] + layer.width)
        precision = torch.diag(torch.cat([layer.precision for layer in layers]).double())
        for weight, i, j in self.couplings():
            precision[edges[i] : edges[i + 1], edges[j] : edges[j + 1]] -= weight
            precision[edges[j] : edges[j + 1], edges[i] : edges[i + 1]] -= weight.T
        bias = torch.cat([layer.bias for layer in layers]).double()
        half_quadratic = 0.5 * bias @ torch.linalg.solve(precision, bias)
        return half_quadratic + len(bias) * HALF_LOG_TWO_PI - 0.5 * torch.logdet(precision)

    @torch.no_grad()
    def reason_not_normalizable(self) -> str | None:
        for weight, i, j in self.couplings():
            reason = _infinite(self.layers[i], self.layers[j], weight)
            if reason:
                return reason
        return None


def independent(model: BlockModel) -> PairwiseModel:
    """The layers of `model` without couplings, sharing their parameters: the usual start of a path to it."""
    return PairwiseModel(*model.layers)


def check_pairing(a: Units, b: Units) -> None:
    """Refuse types of units that no finite coupling can join: Poisson with anything unbounded.

    For one coupled pair, Σ over the count x of exp(wxy)/x! = exp(e^{wy}), which no Gaussian or Poisson tail of y beats.
    """
    tails = sorted((a.tail, b.tail))
    if tails[1] is not Tail.BOUNDED and Tail.FACTORIAL in tails and tails[0] is not Tail.BOUNDED:
        raise ValueError(
            f"visible, hidden: {_describe(a)} can't be coupled to {_describe(b)} because the partition function would be "
            "infinite; join Poisson units to bounded ones (Bernoulli, Spin, Categorical, Binomial)."
        )


def _describe(units: Units) -> str:
    return f"{type(units).__name__} units"


def _reach(units: Units) -> tuple[Tensor, Tensor]:
    """(columns with quadratic tails, the γ^(-1/2) of those columns)."""
    parts = getattr(units, "parts", [units])
    columns, scales, start = [], [], 0
    for part in parts:
        if part.tail is Tail.QUADRATIC:
            columns.append(torch.arange(start, start + part.width))
            scales.append(part.precision.rsqrt())
        start += part.width
    if not columns:
        return torch.empty(0, dtype=torch.long), units.bias.new_empty(0)
    return torch.cat(columns).to(units.bias.device), torch.cat(scales)


def _infinite(a: Units, b: Units, weight: Tensor) -> str | None:
    """Why Z may be infinite for this coupling: the quadratic form of the joint tails must be positive definite.

    With S = γ_a^(-1/2) W γ_b^(-1/2) that means a largest singular value below 1: exact for Gaussians, sufficient where
    units are one-sided.
    """
    if Tail.QUADRATIC not in (a.tail, b.tail) or Tail.BOUNDED in (a.tail, b.tail):
        return None
    rows, left = _reach(a)
    columns, right = _reach(b)
    scaled = left[:, None] * weight[rows][:, columns] * right
    norm = float(torch.linalg.matrix_norm(scaled.double(), 2)) if scaled.numel() else 0.0
    if norm < 1.0:
        return None
    return (
        f"the partition function may be infinite: the couplings between {_describe(a)} and {_describe(b)} have a largest "
        f"singular value of {norm:.4g} in units of their precisions, and only below 1 is the energy bounded from below."
    )
