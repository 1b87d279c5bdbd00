"""Where training starts: units that match the data, and couplings for its clouds or principal directions."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor

from harmonium import kernels
from harmonium.couplings import Operator
from harmonium.learning import NegativePhase
from harmonium.learning.unit_scales import couple_standardised, gaussians
from harmonium.models import EnergyModel, PairwiseModel
from harmonium.models.intake import Rows, titles_of
from harmonium.models.pairwise import DirectCoupling
from harmonium.models.table import rows_at_once
from harmonium.numerics import column_moments
from harmonium.recipes.settings import NATURAL_WIDTH, natural_gradient_fits
from harmonium.recipes.split import weighed_first
from harmonium.recipes.start.clouds import couple_to_clouds, jumps
from harmonium.recipes.start.factors import couple_as_factors
from harmonium.units import Units
from harmonium.units.base import ConstantColumns, Tail
from harmonium.units.known import match_known
from harmonium.units.mixed import parts_of


def start(model: EnergyModel, rows: Rows, weights: Tensor | None) -> None:
    """Give a fresh model the data's own means, scales and clouds or leading directions."""
    if not model.named_blocks or not untrained(model):
        return
    model = model.of_observed()
    visible = model.named_blocks[0]
    states, weights = weighed_first(rows, weights)
    states = states[:, : visible.width]
    try:
        match_known(visible, states, weights)
    except ConstantColumns as error:
        raise ValueError(error.sentence("X", titles_of(model, rows, error.columns))) from None
    except ValueError as error:
        raise ValueError(f"X: {str(error).removeprefix('x: ')}") from None
    machine = model.as_pairwise()
    if machine is None:
        return
    fresh = all(_fresh(c.operator) for c in machine.couplings())
    couple_standardised(machine)
    for direct in machine.direct_couplings():
        states = regress_on_given(visible, direct, states, weights)
    if fresh and machine.pair() is not None:
        couple(machine, states, weights)
    model.settle()  # what is tied may have been moved apart


def couple(model: PairwiseModel, states: Tensor, weights: Tensor | None) -> None:
    """Couple a fresh two-block model to the clouds of its data, their factors, their leading directions, or
    just boldly.
    """
    operator = model.couplings()[0].operator
    shared = operator.places > 1  # then no row as a whole can be followed
    if not shared and max(operator.shape) > NATURAL_WIDTH:
        return
    for follow in (couple_to_clouds, couple_as_factors) if operator.full else ():
        if follow(model, states, weights):
            return
    if shared or not len(couple_along_principal_directions(model, states, weights)):
        couple_boldly(model, states)


@torch.no_grad()
def _fresh(operator: Operator) -> bool:
    """Whether the couplings are as weak as those of a model that has learned nothing."""
    largest = max(float(tensor.abs().max()) for tensor in operator.tensors())
    return largest * sum(operator.shape) ** 0.5 < 1.0


@torch.no_grad()
def regress_on_given(
    visible: Units, coupling: DirectCoupling, x: Tensor, weights: Tensor | None = None
) -> Tensor:
    """Let direct couplings be the regression of columns on those that are given, by least squares.

    With the variance σ² that is left of a column, Gaussian units get its coefficients and the precision 1/σ²,
    which is the regression; for others the field is that of two normal clouds (Fisher 1936).

    Args:
        visible: units of the block, which match the rows already; changed in place.
        coupling: of the block; changed in place.
        x: visible states, (rows, n_visible), NaN where free.
        weights: of the rows, (rows,).

    Returns:
        What is left for hidden units to explain: the rows with what is given, and what follows from it, at
        their means.
    """
    shares = torch.ones(len(x)) if weights is None else weights
    shares = (shares / shares.sum()).to(x.device, torch.float64)
    _, _, given, acted = coupling
    x = x.double()
    x = torch.where(torch.isnan(x), column_moments(x)[0], x)
    mean = kernels.along(shares, x)
    u, v = (x - mean)[:, given], (x - mean)[:, acted]
    square = (shares[:, None] * u).T @ u
    least = 1e-3  # share of a column's variance that a regression leaves at least
    ridge = (least + 1.0 / len(x)) * square.diagonal().mean().clamp(min=1e-300)
    products = (shares[:, None] * u).T @ v
    with kernels.on_one_thread():  # the same bits on any number of threads, here and below
        coefficients = torch.linalg.solve(square + ridge * torch.eye(len(square)).to(square), products)
    left = kernels.along(shares, (v - u @ coefficients).square())
    own = kernels.along(shares, v.square())
    precision = 1.0 / torch.maximum(left, least * own).clamp(min=1e-300)
    coupling.weight.copy_(torch.where(own > 0, coefficients * precision, 0.0))
    bias, field = visible.bias.double(), coupling.weight.double()
    for scale in gaussians(visible):
        inside = range(*acted.indices(visible.width))
        if scale.columns.start in inside:
            here = slice(scale.columns.start - acted.start, scale.columns.stop - acted.start)
            known = (own > 0)[here]
            log = torch.where(known, precision[here].log(), scale.units.log_precision.double())
            scale.units.log_precision.copy_(log)
            bias[scale.columns] = log.exp() * mean[scale.columns]
            coupling.weight[:, here] /= log.exp()
    bias[acted] -= mean[given] @ field
    visible.bias.copy_(bias)
    rest = x.clone()
    rest[:, given], rest[:, acted] = mean[given], mean[acted] + v - u @ coefficients
    return rest


def let_chains_jump(model: EnergyModel, rows: Rows, weights: Tensor | None, phase: NegativePhase) -> None:
    """Give chains that go on from update to update moves between separate clouds, where there are any."""
    machine = model.as_pairwise()
    if not phase.persistent or machine is None or machine.of_observed() is not machine:
        return
    if natural_gradient_fits(model):
        phase.move_by(jumps(machine, *weighed_first(rows, weights)))


def untrained(model: EnergyModel) -> bool:
    """Whether the visible units know nothing of any data yet: their biases are all 0."""
    return not bool((model.named_blocks[0].bias != 0).any())


@torch.no_grad()
def couple_along_principal_directions(
    model: PairwiseModel, x: Tensor, weights: Tensor | None = None, most: int = 10
) -> Tensor:
    """Let a fresh two-block model vary as the data do along their leading directions.

    In units of the standard deviations of its columns let u be a principal direction of the data and λ the
    variance along it. Couplings a u rᵀ, with r of unit length, give the model the variance 1 / (1 - s a²)
    there, with s the variance of a hidden unit, to linear order: exactly for Gaussian units, and less by 1/n
    for n binary ones, which don't feel themselves. Hence a² = (1 - 1/λ) / s. That is the low-rank machine of
    Béreux, Decelle, Furtlehner, Rosset & Seoane (2025) without their search for its density. The r are random
    and orthonormal, so that all hidden units share the work; s a² is at most 0.95, as at 1 a direction would
    order, or Z of unbounded units end. Where the fields would change the variance of a column by more than
    itself (a rare 1 is soon a frequent one) its couplings are cut back. The biases keep the means, to second
    order in the fields.

    Args:
        model: its visible units match the data already; changed in place.
        x: visible states, (rows, n_visible).
        weights: of the rows, (rows,).
        most: directions at most, as the next ones are learned as fast; those that noise alone would show are
            left out.

    Returns:
        λ of the directions that were taken up, in falling order.
    """
    (visible, hidden), operator = model.layers, model.couplings()[0].operator
    weight = operator.dense()
    if operator.nearest(weight) is None:
        return x.new_empty(0)
    counts = torch.ones(len(x)) if weights is None else weights
    counts = counts.to(x.device, torch.float64)
    centre, scale, found, directions = _principal_directions(visible, x, counts)
    n = min(most, hidden.width, len(found))
    if n == 0:
        return found[:0]
    directions, bias = directions[:, :n], hidden.bias.double()[None]
    mean, variance = hidden.mean(bias)[0].double(), hidden.variance(bias)[0].double()
    standardised = torch.where(scale[:, None] > 0, weight / scale[:, None], 0.0)
    noise = directions.T @ standardised
    strength = (1.0 - 1.0 / found[:n]).clamp(max=0.95).sqrt()
    with kernels.on_one_thread():
        upright = torch.linalg.qr(noise.T)[0].T
    along = strength[:, None] * upright / variance.sqrt()
    coupled = operator.nearest(weight + scale[:, None] * (directions @ (along - noise)))
    assert coupled is not None  # as before
    field = (coupled.square() @ variance).sqrt()  # standard deviation of the fields on the visible units
    skewness = _skewness(visible)
    shrunk = 1.0 / (skewness.abs() * field).clamp(min=1.0)
    coupled, field = coupled * shrunk[:, None], field * shrunk
    operator.take(coupled)
    visible.bias.sub_((kernels.along(coupled, mean) + 0.5 * skewness * field.square()).to(weight))
    hidden.bias.sub_((centre @ coupled).to(weight))
    return found[:n]


@torch.no_grad()
def couple_boldly(model: PairwiseModel, x: Tensor) -> None:
    """Make the couplings of a fresh two-block model, of columns that vary, ten times as large.

    Where no direction shows in the covariance, as in the exclusive or, weak couplings have no gradient to
    speak of, and training would stay where it begins; these give fields of order 1. The biases keep the
    means, to first order. Only for bounded units, whose Z is finite whatever the couplings.

    Args:
        model: its visible units match the data already; changed in place.
        x: visible states, (rows, n_visible).
    """
    (visible, hidden), operator = model.layers, model.couplings()[0].operator
    if not visible.tail == hidden.tail == Tail.BOUNDED:
        return
    mean = column_moments(x.to(visible.bias))[0].nan_to_num()
    varies = x.nan_to_num(-torch.inf).amax(0) > x.nan_to_num(torch.inf).amin(0)
    bold = 10.0
    if not operator.scale_rows(slice(None), 1.0 + (bold - 1.0) * varies.to(mean)):
        for tensor in operator.tensors():
            tensor.mul_(bold)
    visible.bias.sub_(operator.transposed(hidden.mean(hidden.bias[None]))[0])
    hidden.bias.sub_(operator.product(mean[None])[0])


def _skewness(layer: Units) -> Tensor:
    """d log Γ″ / dI at the bias, (width,): by what share a field changes the variance of a column.

    Of a state of a one-hot site, whose variance is p (1 - p), that is 1 - 2p, by the field on it alone.
    """
    bias = layer.bias.double()[None]
    low, middle, high = (layer.variance(bias + field)[0].double() for field in (-1e-3, 0.0, 1e-3))
    own = torch.where(middle > 0, (high - low) / (2e-3 * middle), 0.0)
    return torch.where(_one_hot(layer).to(own.device), 1.0 - 2.0 * layer.mean(bias)[0].double(), own)


def _principal_directions(layer: Units, x: Tensor, counts: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(means, scales, falling λ, directions as columns) of rows that count so often, as far as λ is above the
    noise.

    A column counts in units of 1 / scale, its standard deviation; constant columns don't.
    """
    shares = counts / counts.sum()
    rows = 1.0 / float(shares.square().sum())  # that would tell as much if they counted equally
    size, pairs = rows_at_once(x.shape[1]), None

    def mean(of: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """The sum of what comes of some rows at a time, in double precision, and of their shares."""
        parts = zip(x.split(size), shares.split(size), strict=True)
        return functools.reduce(torch.add, (of(some.double(), share) for some, share in parts))

    if bool(torch.isnan(x).any()):  # every column and every pair of columns from the rows that know them
        share = mean(lambda x, p: kernels.along(p, (~torch.isnan(x)).double()))
        centre = torch.where(share > 0, mean(lambda x, p: kernels.along(p, x.nan_to_num())) / share, 0.0)
        pairs = mean(lambda x, p: (p[:, None] * ~torch.isnan(x)).T @ (~torch.isnan(x)).double())
        rows *= float(pairs.mean())
    else:
        centre = mean(lambda x, p: kernels.along(p, x))

    def centred(x: Tensor) -> Tensor:
        return (x - centre).nan_to_num() if pairs is not None else x - centre

    own = mean(lambda x, p: kernels.along(p, centred(x).square()))
    own = own if pairs is None else own / pairs.diagonal().clamp(min=1e-300)
    variance = torch.where(_one_hot(layer).to(x.device), centre, own)
    scale = torch.where(variance > 1e-20 * centre.square(), variance.rsqrt(), 0.0)
    covariance = mean(lambda x, p: (p[:, None] * (y := centred(x) * scale)).T @ y)
    if pairs is not None:
        covariance = torch.where(pairs > 0, covariance / pairs, 0.0)
    with kernels.on_one_thread():
        found, directions = torch.linalg.eigh(covariance)
    kept = found > (1.0 + (layer.width / rows) ** 0.5) ** 2  # the edge of noise: Marchenko & Pastur (1967)
    return centre, scale, found[kept].flip(0), directions[:, kept].flip(1)


def _one_hot(layer: Units) -> Tensor:
    """Which columns belong to one-hot sites, (width,): there 1/p inverts the covariance diag(p) - ppᵀ."""
    return torch.cat([torch.full((part.width,), part.width > part.n) for part in parts_of(layer)])
