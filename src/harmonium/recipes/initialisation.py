"""Where training starts: units that match the data, and couplings for its clouds or principal directions."""

from __future__ import annotations

import torch
from torch import Tensor

from harmonium.learning import NegativePhase
from harmonium.learning.unit_scales import couple_standardised
from harmonium.models import BlockModel, EnergyModel, PairwiseModel
from harmonium.models.intake import Rows
from harmonium.numerics import column_moments
from harmonium.recipes.clouds import couple_to_clouds, jumps
from harmonium.recipes.settings import natural_gradient_fits
from harmonium.units import Units
from harmonium.units.base import Tail
from harmonium.units.known import match_known
from harmonium.units.mixed import parts_of

MATCHED_ROWS, MATCHED_CELLS = 10_000, 2**22  # rows, and cells if that is more, that the start looks at
MOST = 10  # directions; the next ones are learned as fast
STRONGEST = 0.95  # of the coupling at which a direction would order, or Z of unbounded units end
ROUNDING = 1e-20  # variance of a constant column, relative to its mean squared
BOLD = 10.0  # times the couplings of a fresh model: fields then are of order 1
WEAK = 1.0  # couplings below this over √(sum of the widths) are those of a fresh model


def start(model: EnergyModel, rows: Rows, weights: Tensor | None) -> None:
    """Give a fresh model the data's own means, scales and clouds or leading directions."""
    if not isinstance(model, BlockModel) or not untrained(model):
        return
    model = model.of_observed()
    width = model.layers[0].width
    limit = max(MATCHED_ROWS, MATCHED_CELLS // width)
    states, weights = rows.states(limit)[:, :width], weights if len(rows) <= limit else None
    try:
        match_known(model.layers[0], states, weights)
    except ValueError as error:
        raise ValueError(f"X: {str(error).removeprefix('x: ')}") from None
    if not isinstance(model, PairwiseModel):
        return
    fresh = all(
        float(c.weight.detach().abs().max()) * sum(c.weight.shape) ** 0.5 < WEAK for c in model.couplings()
    )
    couple_standardised(model)
    if not fresh or not natural_gradient_fits(model) or couple_to_clouds(model, states, weights):
        return
    if not len(couple_along_principal_directions(model, states, weights)):
        couple_boldly(model, states)


def let_chains_jump(model: EnergyModel, rows: Rows, weights: Tensor | None, phase: NegativePhase) -> None:
    """Give chains that go on from update to update moves between separate clouds, where there are any."""
    if not phase.persistent or not isinstance(model, PairwiseModel) or model.of_observed() is not model:
        return
    if natural_gradient_fits(model):
        states = rows.states(MATCHED_ROWS)
        phase.move_by(jumps(model, states, weights if len(states) == len(rows) else None))


def untrained(model: BlockModel) -> bool:
    """Whether the visible units know nothing of any data yet: their biases are all 0."""
    return not bool((model.layers[0].bias != 0).any())


@torch.no_grad()
def couple_along_principal_directions(
    model: PairwiseModel, x: Tensor, weights: Tensor | None = None, most: int = MOST
) -> Tensor:
    """Let a fresh two-block model vary as the data do along their leading directions.

    In units of the standard deviations of its columns let u be a principal direction of the data and λ the
    variance along it. Couplings a u rᵀ, with r of unit length, give the model the variance 1 / (1 - s a²)
    there, with s the variance of a hidden unit, to linear order: exactly for Gaussian units, and less by 1/n
    for n binary ones, which don't feel themselves. Hence a² = (1 - 1/λ) / s. That is the low-rank machine of
    Béreux, Decelle, Furtlehner, Rosset & Seoane (2025) without their search for its density. The r are random
    and orthonormal, so that all hidden units share the work. Where the fields would change the variance of a
    column by more than itself (a rare 1 is soon a frequent one) its couplings are cut back. The biases keep
    the means, to second order in the fields.

    Args:
        model: its visible units match the data already; changed in place.
        x: visible states, (rows, n_visible).
        weights: of the rows, (rows,).
        most: directions at most; those that noise alone would show are left out.

    Returns:
        λ of the directions that were taken up, in falling order.
    """
    (visible, hidden), weight = model.layers, model.couplings()[0].weight
    counts = torch.ones(len(x)) if weights is None else weights
    counts = counts.to(x.device, torch.float64)
    centre, scale, found, directions = _principal_directions(visible, x.double(), counts)
    n = min(most, hidden.width, len(found))
    if n == 0:
        return found[:0]
    directions, bias = directions[:, :n], hidden.bias.double()[None]
    mean, variance = hidden.mean(bias)[0].double(), hidden.variance(bias)[0].double()
    standardised = torch.where(scale[:, None] > 0, weight / scale[:, None], 0.0)
    noise = directions.T @ standardised
    strength = (1.0 - 1.0 / found[:n]).clamp(max=STRONGEST).sqrt()
    along = strength[:, None] * torch.linalg.qr(noise.T)[0].T / variance.sqrt()
    coupled = weight + scale[:, None] * (directions @ (along - noise))
    field = (coupled.square() @ variance).sqrt()  # standard deviation of the fields on the visible units
    skewness = _skewness(visible)
    shrunk = 1.0 / (skewness.abs() * field).clamp(min=1.0)
    coupled, field = coupled * shrunk[:, None], field * shrunk
    weight.copy_(coupled)
    visible.bias.sub_((coupled @ mean + 0.5 * skewness * field.square()).to(weight))
    hidden.bias.sub_((centre @ coupled).to(weight))
    return found[:n]


@torch.no_grad()
def couple_boldly(model: PairwiseModel, x: Tensor) -> None:
    """Make the couplings of a fresh two-block model, of columns that vary, `BOLD` times as large.

    Where no direction shows in the covariance, as in the exclusive or, weak couplings have no gradient to
    speak of, and training would stay where it begins. The biases keep the means, to first order. Only for
    bounded units, whose Z is finite whatever the couplings.

    Args:
        model: its visible units match the data already; changed in place.
        x: visible states, (rows, n_visible).
    """
    (visible, hidden), weight = model.layers, model.couplings()[0].weight
    if not visible.tail == hidden.tail == Tail.BOUNDED:
        return
    mean, varies = (
        column_moments(x.to(weight))[0],
        x.nan_to_num(-torch.inf).amax(0) > x.nan_to_num(torch.inf).amin(0),
    )
    weight.mul_(1.0 + (BOLD - 1.0) * varies[:, None].to(weight))
    visible.bias.sub_(weight @ hidden.mean(hidden.bias[None])[0])
    hidden.bias.sub_(mean.nan_to_num() @ weight)


def _skewness(layer: Units) -> Tensor:
    """d log Γ″ / dI at the bias, (width,): by what share a field changes the variance of a column."""
    bias = layer.bias.double()[None]
    low, middle, high = (layer.variance(bias + field)[0].double() for field in (-1e-3, 0.0, 1e-3))
    return torch.where(middle > 0, (high - low) / (2e-3 * middle), 0.0)


def _principal_directions(layer: Units, x: Tensor, counts: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(means, scales, falling λ, directions as columns) of rows that count so often, as far as λ is above the
    noise.

    A column counts in units of 1 / scale, its standard deviation; constant columns don't.
    """
    shares = counts / counts.sum()
    rows = 1.0 / float(shares.square().sum())  # that would tell as much if they counted equally
    known = ~torch.isnan(x)
    if bool(known.all()):
        centre, pairs = shares @ x, None
    else:  # every column and every pair of columns from the rows that know them
        share = shares @ known.double()
        centre = torch.where(share > 0, shares @ x.nan_to_num() / share, 0.0)
        x = torch.where(known, x, centre)
        pairs = (shares[:, None] * known).T @ known.double()
        rows *= float(pairs.mean())
    x = x - centre
    own = shares @ x.square()
    own = own if pairs is None else own / pairs.diagonal().clamp(min=1e-300)
    variance = torch.where(_one_hot(layer).to(x.device), centre, own)
    scale = torch.where(variance > ROUNDING * centre.square(), variance.rsqrt(), 0.0)
    y = x * scale
    covariance = (shares[:, None] * y).T @ y
    if pairs is not None:
        covariance = torch.where(pairs > 0, covariance / pairs, 0.0)
    found, directions = torch.linalg.eigh(covariance)
    kept = found > (1.0 + (layer.width / rows) ** 0.5) ** 2  # the edge of noise: Marchenko & Pastur (1967)
    return centre, scale, found[kept].flip(0), directions[:, kept].flip(1)


def _one_hot(layer: Units) -> Tensor:
    """Which columns belong to one-hot sites, (width,): there 1/p inverts the covariance diag(p) - ppᵀ."""
    return torch.cat([torch.full((part.width,), part.width > part.n) for part in parts_of(layer)])
