"""Blocks of units joined by pairwise couplings: the common ground of all Boltzmann machines."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from harmonium.couplings import Coupling
from harmonium.couplings.base import StepSize, no_step
from harmonium.models.blocks import Bipartite, BlockModel, Pair, State
from harmonium.numerics import HALF_LOG_TWO_PI
from harmonium.units import Tail, Units
from harmonium.units.base import layer_of_units
from harmonium.units.mixed import parts_of


class DirectCoupling(NamedTuple):
    """The energy term -xₛᵀ C γ xₜ between columns s and t of the visible block, of which s are always given.

    With γ the precisions of Gaussian columns, and 1 for others, C are coefficients of a regression.
    """

    weight: Tensor  # C, (columns s, columns t)
    scale: Tensor  # γ, (columns t,)
    given: slice
    acted: slice


class PairwiseModel(BlockModel):
    """E(x) = Σᵢ [Uᵢ(xᵢ) - biasᵢ·xᵢ] - Σ_{i<j} xᵢᵀ Wᵢⱼ xⱼ over blocks i, each W an operator of any kind.

    Built directly it has no couplings and is the independent model of its layers, the usual reference of a
    path: its partition function is known exactly. Subclasses name their couplings.
    """

    def __init__(self, *layers: Units) -> None:
        super().__init__()
        self._layers = nn.ModuleList(layer_of_units(f"layers[{k}]", x) for k, x in enumerate(layers))

    @property
    def layers(self) -> Sequence[Units]:
        """The units of each block."""
        return list(self._layers)  # type: ignore[arg-type]  # a ModuleList forgets the type of its modules

    def couplings(self) -> Sequence[Coupling]:
        """The couplings, none here."""
        return ()

    def direct_couplings(self) -> Sequence[DirectCoupling]:
        """Couplings between what is given and the rest of the visible block, none here."""
        return ()

    def field(self, block: int, state: State) -> Tensor:
        """bias + Σ of the products with the neighbouring blocks, (batch, width)."""
        field: Tensor | None = None
        bias = self.layers[block].bias
        for operator, i, j in self.couplings():
            add = bias if field is None else field
            if block == i:
                field = operator.transposed(state[j], add)
            elif block == j:
                field = operator.product(state[i], add)
        if field is None:
            rows = next(len(x) for k, x in enumerate(state) if k != block or len(state) == 1)
            return bias.expand(rows, -1)
        return field

    def bipartite(self) -> Bipartite | None:
        pair = self.pair()
        matrix = None if pair is None else pair.operator.matrix()
        if pair is None or matrix is None:
            return None
        return Bipartite(matrix, (pair.visible.bias, pair.hidden.bias))

    def as_pairwise(self) -> PairwiseModel:
        return self

    def matrix_and_biases(self) -> tuple[Tensor, Tensor, Tensor] | None:
        """W and the biases of both blocks where the machine is made of these and nothing else, all of them
        learned; None for other couplings and for machines derived from such a one.
        """
        return None

    def pair(self) -> Pair | None:
        if type(self).field is not PairwiseModel.field:
            return None
        couplings = self.couplings()
        if len(couplings) != 1 or couplings[0].i != 0 or len(self.layers) != 2:
            return None
        return Pair(couplings[0].operator, *self.layers)

    def bias_sums(self, block: int, x: Tensor) -> Tensor:
        """Sums of those columns of a block whose biases are one parameter, (batch, parameters)."""
        return x

    def bias_spread(self, block: int, values: Tensor) -> Tensor:
        """A value for each such parameter at all of its columns, (width,)."""
        return values

    def settle(self, step: StepSize = no_step) -> None:
        for coupling in self.couplings():
            coupling.operator.settle(step)

    def with_learned_zeros(self) -> list[Tensor]:
        return [x for coupling in self.couplings() for x in coupling.operator.with_learned_zeros()]

    def energy_without(self, block: int, state: State) -> Tensor:
        """All terms of E but those of `block`, (batch,), nats."""
        terms = [layer.energy(state[i]) for i, layer in enumerate(self.layers) if i != block]
        for operator, i, j in self.couplings():
            if block not in (i, j):
                terms.append(-operator.pairing(state[i], state[j]))
        return sum(terms[1:], terms[0]) if terms else state[block].new_zeros(len(state[block]))

    @torch.no_grad()
    def closed_form_log_partition(self) -> Tensor | None:
        """log Z where a formula gives it: Σ Γ(bias) without couplings, an integral for Gaussian layers.

        None also when that integral is infinite, which `reason_not_normalizable` says.
        """
        if self.context is not None:
            return None  # there is one for each context
        if not self.couplings():
            return torch.cat(
                [layer.cumulant(layer.bias[None]).double().flatten() for layer in self.layers]
            ).sum()
        layers = self.layers
        precisions = [p for layer in layers if (p := layer.normal_precision) is not None]
        if len(precisions) < len(layers):
            return None
        edges = [0, *itertools.accumulate(layer.width for layer in layers)]
        precision = torch.diag(torch.cat(precisions).double())
        for operator, i, j in self.couplings():
            weight = operator.dense()
            precision[edges[i] : edges[i + 1], edges[j] : edges[j + 1]] -= weight
            precision[edges[j] : edges[j + 1], edges[i] : edges[i + 1]] -= weight.T
        bias = torch.cat([layer.bias for layer in layers]).double()
        root, failed = torch.linalg.cholesky_ex(precision)
        if failed:
            return None  # not positive definite: Z is infinite, whatever the sign of the determinant
        half_quadratic = 0.5 * torch.linalg.solve_triangular(root, bias[:, None], upper=False).square().sum()
        return half_quadratic + len(bias) * HALF_LOG_TWO_PI - root.diagonal().log().sum()

    @torch.no_grad()
    def reason_not_normalizable(self) -> str | None:
        """Why Z may be infinite: the quadratic form of all tails together must be positive definite.

        In units of the precisions it is I - S with S = γ^(-1/2) W γ^(-1/2) on the columns with quadratic
        tails. That is exact for Gaussian units. Units that are never negative may bear more: see
        `_bounded_below`.
        """
        if not all(bool(p.isfinite().all()) for p in self.parameters()):
            return "the partition function is not defined: some parameters are NaN or infinite."
        tails = [
            _quadratic_tail(layer, self.context if i == 0 else None) for i, layer in enumerate(self.layers)
        ]
        edges = [0, *itertools.accumulate(len(tail.columns) for tail in tails)]
        scaled = torch.zeros(edges[-1], edges[-1], dtype=torch.float64, device=self.device)
        for operator, i, j in self.couplings():
            if not len(tails[i].columns) or not len(tails[j].columns):
                continue
            weight = operator.dense()[tails[i].columns][:, tails[j].columns]
            block = tails[i].scale[:, None] * weight * tails[j].scale
            scaled[edges[i] : edges[i + 1], edges[j] : edges[j + 1]] = block
            scaled[edges[j] : edges[j + 1], edges[i] : edges[i + 1]] = block.T
        identity = torch.eye(edges[-1], dtype=torch.float64, device=self.device)
        if _bounded_below(identity - scaled, torch.cat([tail.positive for tail in tails])):
            return None
        quadratic = [layer for layer, tail in zip(self.layers, tails, strict=True) if len(tail.columns)]
        names = " and ".join(_describe(layer) for layer in quadratic)
        largest = float(torch.linalg.eigvalsh(scaled)[-1])
        return (
            f"the partition function may be infinite: the couplings between {names} have a largest eigenvalue"
            f" of {largest:.4g} in units of their precisions, and only below 1 is it sure to be finite."
        )


def independent(model: BlockModel) -> PairwiseModel:
    """The layers of `model` without couplings, sharing their parameters: the usual start of a path to it."""
    return PairwiseModel(*model.layers)


def check_pairing(a: Units, b: Units) -> None:
    """Refuse types of units that no coupling of either sign can join: Poisson with anything unbounded.

    For one coupled pair, Σ over the count x of exp(wxy)/x! = exp(e^{wy}), which no Gaussian or Poisson tail
    of y beats once wy > 0.
    """
    for p, q in itertools.product(parts_of(a), parts_of(b)):
        if Tail.FACTORIAL in (p.tail, q.tail) and Tail.BOUNDED not in (p.tail, q.tail):
            raise ValueError(
                f"visible, hidden: {_describe(p)} can't be coupled to {_describe(q)} because the partition"
                " function would be infinite; join Poisson units to bounded ones (Bernoulli, Spin,"
                " Categorical, Binomial)."
            )


def _describe(units: Units) -> str:
    return f"{type(units).__name__} units"


class _QuadraticTail(NamedTuple):
    """The columns of a layer with quadratic tails, their γ^(-1/2), and whether they are never negative."""

    columns: Tensor
    scale: Tensor
    positive: Tensor


def _quadratic_tail(units: Units, given: slice | None = None) -> _QuadraticTail:
    """Those of a layer, without columns that are given: nothing is integrated over them."""
    columns, scales, positive, start = [], [], [], 0
    for part in parts_of(units):
        if part.tail is Tail.QUADRATIC and (given is None or start < given.start):
            columns.append(torch.arange(start, start + part.width))
            scales.append(cast(Tensor, part.precision).rsqrt().double())
            positive.append(torch.full((part.width,), part.least >= 0.0))
        start += part.width
    device = units.bias.device
    if not columns:
        empty = torch.empty(0, device=device)
        return _QuadraticTail(empty.long(), empty.double(), empty.bool())
    return _QuadraticTail(torch.cat(columns).to(device), torch.cat(scales), torch.cat(positive).to(device))


def _bounded_below(form: Tensor, positive: Tensor) -> bool:
    """Whether xᵀ(form)x is sure to be above 0 for x ≠ 0 that are never negative on the columns `positive`.

    Minimised over the other columns it is a form M on these (a Schur complement), which must be positive for
    x ≥ 0. To decide that exactly is NP-hard (Murty & Kabadi 1987); it is so when M is positive definite, or
    still is without the positive entries off its diagonal, since these only add to xᵀMx.
    """
    free = ~positive
    root, failed = torch.linalg.cholesky_ex(form[free][:, free])
    if failed:
        return False
    half = torch.linalg.solve_triangular(root, form[free][:, positive], upper=False)
    rest = form[positive][:, positive] - half.T @ half
    diagonal = torch.diag(rest.diagonal())
    worst = diagonal + (rest - diagonal).clamp(max=0.0)
    return any(not torch.linalg.cholesky_ex(m).info for m in (rest, worst))
