"""Where Gaussian hidden units start: as the factors of the real columns.

Factor analysis, v = μ + L g + noise of variances ψ with independent factors g of variance 1, is the machine
of Gaussian visible and hidden units whose precisions are 1/ψ and 1 + M, coupled by W = Ψ⁻¹L, as long as
M = LᵀΨ⁻¹L is diagonal, which a rotation of the factors brings about (Welling, Rosen-Zvi & Hinton 2005). So
straight lines between columns, which many 0/1 units would have to draw step by step, are there at once.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from harmonium.learning.unit_scales import gaussians
from harmonium.models import PairwiseModel
from harmonium.recipes.start.factors_of_gaps import ROWS, Factors, Known, improved
from harmonium.units import Units


@torch.no_grad()
def couple_as_factors(
    model: PairwiseModel, x: Tensor, weights: Tensor | None = None, boldness: float = 10.0
) -> bool:
    """Let the Gaussian hidden units of a fresh two-block model be factors of its Gaussian visible ones.

    Couplings of its other hidden units become stronger: what factors leave has no gradient for weak ones. The
    biases keep the means, to first order.

    Args:
        model: its visible units match the data already; changed in place.
        x: visible states, (rows, n_visible), NaN where free.
        weights: of the rows, (rows,).
        boldness: times the couplings of other hidden units.

    Returns:
        Whether there are such units on both sides, and several columns that vary, none of them told by a
        context.
    """
    (visible, hidden), operator = model.layers, model.couplings()[0].operator
    columns, places = _columns(visible), _columns(hidden)
    if not len(columns) or not len(places) or model.direct_couplings():
        return False
    x = x[:, columns.to(x.device)].double().cpu()
    share = torch.ones(len(x), 1).double() if weights is None else weights.double().cpu()[:, None]
    mean, deviation, correlation = correlations(x, share)
    varies = deviation > 1e-10 * mean.abs()
    if int(varies.sum()) < 2:
        return False
    x, columns, mean, deviation = x[:, varies], columns[varies], mean[varies], deviation[varies]
    loading, noise = factor_analysis(correlation[varies][:, varies].numpy(), len(places))
    if bool(torch.isnan(x).any()):
        mean, deviation, loading, noise = _of_known_cells(x, share, (mean, deviation), (loading, noise))
    precision = 1.0 / (noise * deviation.square())
    coupling = (precision * deviation)[:, None] * loading
    weight = operator.dense().double().cpu()
    bold = (boldness - 1.0) * weight
    bold[:, places] = 0.0
    means = [layer.mean(layer.bias[None])[0].double().cpu() for layer in (visible, hidden)]
    means[1][places] = 0.0
    visible.bias.sub_((bold @ means[1]).to(visible.bias))
    hidden.bias.sub_((means[0] @ bold).to(hidden.bias))
    weight += bold
    rest = (weight @ means[1])[columns]
    weight[columns[:, None], places] += coupling  # fresh ones stay where there are fewer factors
    operator.take(weight.to(operator.dense()))
    _set(visible, columns, precision, precision * mean - rest)
    _set(hidden, places, 1.0 + (loading.square() / noise[:, None]).sum(0), -(mean @ coupling))
    return True


def _of_known_cells(
    x: Tensor, share: Tensor, scale: tuple[Tensor, Tensor], begin: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(means, deviations, loadings and noise of columns of variance 1) by EM, which begins at the (loadings,
    noise) of columns with the `scale` (means, deviations).
    """
    (mean, deviation), some = scale, slice(None, None, max(1, len(x) // ROWS))
    y = (x[some] - mean) / deviation
    rows = Known(y.nan_to_num(), (~torch.isnan(y)).double(), share[some])
    centre, loading, noise = improved(rows, Factors(torch.zeros_like(mean), *begin))
    spread = (loading.square().sum(1) + noise).sqrt()
    return mean + deviation * centre, deviation * spread, *no_stronger(loading.numpy(), noise.numpy())


def _columns(layer: Units) -> Tensor:
    """The columns of Gaussian units."""
    found = [torch.arange(part.columns.start, part.columns.stop) for part in gaussians(layer)]
    return torch.cat(found) if found else torch.empty(0, dtype=torch.long)


def _set(layer: Units, columns: Tensor, precision: Tensor, bias: Tensor) -> None:
    """Precisions and biases of some Gaussian columns of a layer."""
    whole = torch.zeros(layer.width, dtype=torch.float64)
    whole[columns] = precision
    for part in gaussians(layer):
        own, found = part.units.log_precision, whole[part.columns]
        own.copy_(torch.where(found > 0, found.clamp(min=1e-300).log(), own.double().cpu()))
    layer.bias[columns.to(layer.bias.device)] = bias.to(layer.bias)


def correlations(x: Tensor, share: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(means, deviations, correlations) of columns of rows with weights, (rows, 1), each pair of columns from
    the rows that know both; 0 for pairs that no row knows.
    """
    known = (~torch.isnan(x)).double()
    counts = (share * known).sum(0).clamp(min=1e-300)
    mean = (share * x.nan_to_num()).sum(0) / counts
    y = (x - mean).nan_to_num()
    deviation = ((share * y.square()).sum(0) / counts).sqrt()
    y = y / deviation.clamp(min=1e-300)
    pairs = (share * known).T @ known
    return mean, deviation, torch.where(pairs > 0, (share * y).T @ y / pairs.clamp(min=1e-300), 0.0)


STRONGEST = 450.0  # element of LᵀΨ⁻¹L: beyond, training would soon leave the parameters for which Z is finite


def factor_analysis(correlation: np.ndarray, n: int, strongest: float = STRONGEST) -> tuple[Tensor, Tensor]:
    """(loadings L of n factors, (columns, n), with LᵀΨ⁻¹L diagonal; variances of the noise, (columns,)) of a
    correlation matrix; loadings beyond the number of columns are 0.

    Where there are about as many factors as columns, equal noise of the least eigenvalue leaves nothing
    unexplained (Tipping & Bishop 1999); factor analysis has no single answer there. How strong they can be:
    `no_stronger`.
    """
    values, directions = np.linalg.eigh(correlation)  # of pairs of columns: it may have negative values
    some = min(n, len(values))
    if n >= len(values) - 1:
        noise = np.full(len(values), max(values[0], 1e-6))
        loading = (directions * np.sqrt(np.maximum(values - noise, 0.0)))[:, ::-1][:, :some]
    else:
        loading, noise = _by_likelihood(values, directions, some)
    full = np.zeros((len(values), n))
    full[:, :some] = loading
    return no_stronger(full, noise, strongest)


def no_stronger(
    loading: np.ndarray, noise: np.ndarray, strongest: float = STRONGEST
) -> tuple[Tensor, Tensor]:
    """The same factors of columns of variance 1, with LᵀΨ⁻¹L diagonal and no element of it above
    `strongest`: more noise is given to the columns that have the least.
    """
    loading, noise = _standardised(loading, noise)
    loading, strength = _rotated(loading, noise)
    while strength.max() > strongest:
        noise = np.maximum(noise, 1.3 * noise.min())
        loading, noise = _standardised(loading, noise)
        loading, strength = _rotated(loading, noise)
    return torch.from_numpy(loading), torch.from_numpy(noise)


def _by_likelihood(values: np.ndarray, directions: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """(loadings, noise) of the largest likelihood, from the eigenvectors of a correlation matrix."""
    from sklearn.decomposition import FactorAnalysis

    root = (directions * np.sqrt(np.maximum(values, 0.0))) @ directions.T * len(values) ** 0.5
    found = FactorAnalysis(n, svd_method="lapack").fit(np.concatenate([root, -root]))
    return found.components_.T, np.maximum(found.noise_variance_, 1e-6)


def _standardised(loading: np.ndarray, noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same with variance 1 for each column."""
    total = (loading**2).sum(1) + noise
    return loading / total[:, None] ** 0.5, noise / total


def _rotated(loading: np.ndarray, noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(L for other factors of the same law, the then diagonal LᵀΨ⁻¹L)."""
    strength, rotation = np.linalg.eigh(loading.T @ (loading / noise[:, None]))
    found = loading @ rotation
    largest = np.take_along_axis(found, np.abs(found).argmax(0)[None], 0)[0]
    return found * np.where(largest < 0.0, -1.0, 1.0), strength  # else rounding would choose the signs
