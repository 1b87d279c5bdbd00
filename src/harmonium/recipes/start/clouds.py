"""A start for real columns whose rows lie in separate clouds.

A machine with Gaussian visible and 0/1 hidden units is a mixture of 2ⁿ Gaussians of one width,

    P(v) = Σₕ πₕ N(v; (a + W h) / γ, 1/γ),     log πₕ = b·h + Σᵢ (a + W h)ᵢ² / 2γᵢ + const.

Training hardly leaves one normal as wide as all the rows for clouds that are far narrower: couplings and
widths would have to change by large factors together. So clouds are looked for first, by a mixture of
normals, and a few of the hidden units begin as a small machine that has the clouds for its Gaussians; the
others begin weak. Of one column with two clouds 40 deviations apart training then has -2.14 nats, as has the
mixture that it was drawn from, in place of -4.42, those of one normal.
"""

from __future__ import annotations

import math
import warnings
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import softplus

from harmonium import kernels
from harmonium.learning.unit_scales import Scale, gaussians
from harmonium.models import PairwiseModel
from harmonium.numerics import as_often_as_they_count, minimise
from harmonium.random import Address, Purpose
from harmonium.recipes.settings import SAMPLE
from harmonium.sampling.jumps import CloudJumps
from harmonium.units import Bernoulli
from harmonium.units.mixed import parts_of

CLOUDS = 8  # at most, and hidden units for them; wide tables are looked at along twice as many directions
PER_CLOUD = 20  # rows, at least: fewer are outliers, or clouds by chance
WORTH = 0.05  # nats per row by which clouds must be likelier than one normal of any covariance


class Machine(NamedTuple):
    """A small machine of 0/1 hidden units for columns in units of exp(-shrink)."""

    bias: Tensor  # (columns,)
    weight: Tensor  # (columns, hidden)
    hidden: Tensor  # (hidden,)
    shrink: Tensor  # (columns,)


class Clouds(NamedTuple):
    """Separate clouds among some rows.

    Attributes:
        columns: numbers of the real columns that were looked at, (columns,).
        rows: these columns of some rows, (rows, columns), float64.
        labels: the cloud of each row, (rows,).
        one_normal: mean log-likelihood of the rows under one normal of any covariance.
    """

    columns: Tensor
    rows: Tensor
    labels: Tensor
    one_normal: float


def couple_to_clouds(model: PairwiseModel, x: Tensor, weights: Tensor | None = None) -> bool:
    """Let a fresh two-block model begin as the mixture of separate clouds of rows, where there are any.

    Args:
        model: its visible units match the data already; changed in place, if at all.
        x: visible states, (rows, n_visible).
        weights: of the rows, (rows,).

    Returns:
        Whether clouds were found, and found to be likelier than one normal.
    """
    hidden = parts_of(model.layers[1])[0]
    found = None if hidden.two_values is None else clouds_of(model, x, weights)
    if found is None:
        return False
    centre, deviation = found.rows.mean(0), found.rows.std(0)
    y = (found.rows - centre) / deviation
    machine, likelihood = fit_machine(y, found.labels, min(hidden.n, CLOUDS))
    if likelihood - float(deviation.log().sum()) < found.one_normal + WORTH:
        return False
    _write(model, (found.columns, centre, deviation), machine)
    return True


def clouds_of(model: PairwiseModel, x: Tensor, weights: Tensor | None = None) -> Clouds | None:
    """The clouds of rows (rows, n_visible) in the Gaussian columns of the first layer, None without any."""
    layer = model.layers[0]
    real = list(gaussians(layer))
    if not real:
        return None
    columns = torch.cat([torch.arange(layer.width, device=x.device)[part.columns] for part in real])
    rows = _chosen(x.detach(), weights)[:, columns].double().cpu()
    unknown = torch.isnan(rows)
    if bool(unknown.any()):  # rows that are whole in the columns that most of them know
        kept = unknown.double().mean(0) < 0.5
        whole = ~unknown[:, kept].any(1)
        if int(whole.sum()) < 2 * PER_CLOUD:
            return None
        rows, columns = rows[whole][:, kept], columns[kept.to(columns.device)]
    keep = torch.tensor([len(np.unique(c)) > len(rows) // 10 for c in rows.T.numpy()])
    if not bool(keep.any()) or len(np.unique(rows[:, keep], axis=0)) < len(rows) // 2:
        return None
    rows, columns = rows[:, keep], columns[keep.to(columns.device)]
    deviation = rows.std(0)
    labels, normal = find_clouds(((rows - rows.mean(0)) / deviation).numpy())
    if labels is None:
        return None
    return Clouds(columns, rows, torch.from_numpy(labels), normal - float(deviation.log().sum()))


def jumps(model: PairwiseModel, x: Tensor, weights: Tensor | None = None) -> CloudJumps | None:
    """Moves between the clouds of rows (rows, n_visible) for the chains of a model, None without clouds."""
    found = clouds_of(model, x, weights)
    if found is None:
        return None
    columns, labels, width = found.columns, found.labels, model.layers[0].width
    counts = torch.bincount(labels)
    means = torch.stack([found.rows[labels == k].mean(0) for k in range(len(counts))])
    within = (found.rows - means[labels]).square().mean(0).sqrt()
    centres, scale = means.new_zeros(len(counts), width), means.new_zeros(width)
    centres[:, columns.cpu()], scale[columns.cpu()] = means, 1.0 / within
    return CloudJumps(*(p.to(x.device) for p in (centres, (counts / counts.sum()).double(), scale)))


def _chosen(x: Tensor, weights: Tensor | None) -> Tensor:
    """Up to SAMPLE rows, evenly over all, each as often as it counts."""
    n = min(len(x), SAMPLE)
    if weights is None:
        return x[torch.linspace(0, len(x) - 1, n).long()]
    return x[as_often_as_they_count(weights, n).to(x.device)]


def find_clouds(y: np.ndarray) -> tuple[np.ndarray | None, float]:
    """(the cloud of each row, or None without clouds, mean log-likelihood of one normal of any covariance).

    The number of clouds has the best integrated likelihood (BIC with the doubt added: Biernacki, Celeux &
    Govaert 2000) of mixtures with one covariance for all; where a row leaves more than 0.02 nats of doubt, on
    average, about which cloud it is of, there are none. Rows are standardised, (rows, columns).
    """
    labels, normal = _mixtures(y.tobytes(), y.shape[1])
    return (None if labels is None else labels.copy()), normal


@lru_cache(maxsize=2)  # trials of several sizes, the start and the chains ask about the same rows
def _mixtures(values: bytes, columns: int) -> tuple[np.ndarray | None, float]:
    """Answer `find_clouds` on the bytes of its rows."""
    y = np.frombuffer(values).reshape(-1, columns)
    from sklearn.decomposition import PCA
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    if len(y) < 2 * PER_CLOUD:
        return None, -math.inf
    seen = y if y.shape[1] <= 2 * CLOUDS else PCA(2 * CLOUDS, random_state=0).fit_transform(y)
    labels, best, normal, worse = None, math.inf, -math.inf, 0
    for k in range(1, min(CLOUDS, len(y) // PER_CLOUD) + 1):
        mixture = GaussianMixture(
            k, covariance_type="tied", n_init=1 + 2 * (k > 1), max_iter=50, random_state=0
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            mixture.fit(seen)
        p = mixture.predict_proba(seen)
        doubt = float(-(p * np.log(p + 1e-300)).sum(1).mean())
        score = mixture.bic(seen) / 2 + len(y) * doubt
        if k == 1:
            normal = float(mixture.score(seen))
        if score >= best or doubt > 0.02:
            worse += 1
            if worse == 2:
                break
        elif mixture.weights_.min() * len(y) > PER_CLOUD:
            best, labels, worse = score, (p.argmax(1) if k > 1 else None), 0
    if seen is not y:
        normal = (
            float(GaussianMixture(1, reg_covar=1e-6).fit(y).score(y)) if len(y) > 2 * y.shape[1] else normal
        )
    return labels, normal


def fit_machine(y: Tensor, labels: Tensor, hidden: int) -> tuple[Machine, float]:
    """The likeliest small machine of several that are fitted, and its mean log-likelihood.

    Clouds far apart leave no gradient between the Gaussians of a machine. So it is fitted to clouds of which
    the nearest lie three deviations apart at first, and that are drawn apart step by step (deterministic
    annealing: Rose 1998). The first try is a code that is exact for clouds in a row: unit l is on for all
    clouds beyond the l-th.

    Args:
        y: rows, (rows, columns).
        labels: the cloud of each row, (rows,).
        hidden: 0/1 units of the machine.
    """
    counts = torch.bincount(labels)
    centres = torch.stack([y[labels == k].mean(0) for k in range(len(counts))])
    scale = (y - centres[labels]).square().mean(0).sqrt().clamp(min=1e-6)
    z, centres = y / scale, centres / scale
    shares = (counts / counts.sum()).double()
    distance = (z[:, None] - centres).square().sum(2)
    mixture = torch.logsumexp(shares.log() - 0.5 * distance, 1).mean() + _constant(z)
    best, value = None, -math.inf
    for attempt in range(3):
        if attempt == 0:
            machine = _in_a_row(centres, shares, hidden)
        else:
            machine = _drawn_apart(z, (centres, labels, shares), hidden, attempt)
        if machine is None:
            continue
        machine = _climb(machine, z, with_shrink=True)
        found = float(likelihood(machine, z))
        if found > value:
            best, value = machine, found
        if value > float(mixture) - WORTH:
            break
    assert best is not None  # the second try is always made
    return best._replace(shrink=best.shrink - scale.log()), value - float(scale.log().sum())


def _constant(z: Tensor) -> float:
    return -0.5 * z.shape[1] * math.log(2.0 * math.pi)


def likelihood(machine: Machine, z: Tensor) -> Tensor:
    """Mean log P of rows, nats, exactly: a sum over the hidden states."""
    bias, weight, hidden, shrink = machine
    v, h = z * shrink.exp(), Bernoulli(len(hidden)).states(torch.arange(2 ** len(hidden))).double()
    log_shares = kernels.along(h, hidden) + 0.5 * (bias + h @ weight.T).square().sum(1)
    density = kernels.along(v, bias) + softplus(v @ weight + hidden).sum(1) - 0.5 * v.square().sum(1)
    return density.mean() - torch.logsumexp(log_shares, 0) + _constant(z) + shrink.sum()


def _climb(machine: Machine, z: Tensor, with_shrink: bool = False) -> Machine:
    """The machine after some steps of L-BFGS up the likelihood; unchanged where these lead nowhere."""
    free = [p.clone().contiguous().requires_grad_() for p in machine[: 3 + with_shrink]]

    def loss() -> Tensor:
        return -likelihood(Machine(*free, *machine[len(free) :]), z)

    minimise(loss, free, steps=60 if with_shrink else 30, slope=1e-7, change=1e-9)
    found = Machine(*(p.detach() for p in free), *machine[len(free) :])
    return found if all(bool(torch.isfinite(p).all()) for p in found) else machine


def _in_a_row(centres: Tensor, shares: Tensor, hidden: int) -> Machine | None:
    """Clouds in the order of their principal direction, one unit for each step; None for too few units."""
    with kernels.on_one_thread():
        direction = torch.linalg.svd(centres - centres.mean(0))[2][0]
    order = torch.argsort(centres @ direction)
    centres, shares = centres[order], shares[order]
    steps, columns = len(centres) - 1, centres.shape[1]
    if steps > hidden:
        return None
    level = shares.log() - 0.5 * centres.square().sum(1)
    return Machine(centres[0], centres.diff(dim=0).T, level.diff(), centres.new_zeros(columns))


def _drawn_apart(z: Tensor, clouds: tuple[Tensor, Tensor, Tensor], hidden: int, seed: int) -> Machine:
    centres, labels, shares = clouds
    origin = kernels.along(shares, centres)
    about, noise = centres - origin, z - centres[labels]
    gaps = torch.pdist(about)
    factor = min(1.0, 3.0 / float(gaps.min()))
    u = kernels.uniform(
        Address(seed, Purpose.START), (z.shape[1], hidden), torch.float64, torch.device("cpu")
    )
    weight = 0.5 * factor * about.std(correction=0) * torch.special.ndtri(u)
    zero = weight.new_zeros(len(weight))
    machine = Machine(-0.5 * weight.sum(1), weight, zero.new_zeros(hidden), zero)
    machine = _climb(machine, factor * about[labels] + noise)
    while factor < 1.0:
        further = min(1.5, 1.0 / factor)
        factor = factor * further if further == 1.5 else 1.0
        bias, weight, level, _ = machine
        machine = Machine(further * bias, further * weight, further**2 * level, zero)
        machine = _climb(machine, factor * about[labels] + noise)
    bias, weight, level, _ = machine
    return Machine(bias + origin, weight, level - origin @ weight, zero)


@torch.no_grad()
def _write(model: PairwiseModel, where: tuple[Tensor, Tensor, Tensor], machine: Machine) -> None:
    """Let the first hidden units of `model` be the machine of columns in units of their deviations."""
    columns, centre, deviation = where
    (layer, hidden), weight = (
        model.layers,
        model.couplings()[0].weight,
    )  # a parameter: only full ones come here
    rate = machine.shrink.exp() / deviation  # from columns as they are to units of the machine
    n = len(machine.hidden)
    coupling, bias = rate[:, None] * machine.weight, rate * machine.bias
    level = machine.hidden - centre @ coupling
    bias = bias + rate.square() * centre
    if parts_of(hidden)[0].two_values == (-1.0, 1.0):  # h = (1 + s) / 2
        coupling, level = 0.5 * coupling, 0.5 * level
        bias = bias + coupling.sum(1)
    precision = torch.zeros(layer.width, dtype=torch.float64)
    precision[columns.cpu()] = rate.square()
    _set_scales(list(gaussians(layer)), precision)
    weight[:, :n] = 0.0
    weight[columns, :n] = coupling.to(weight)
    hidden.bias[:n] = level.to(weight)
    rest = weight[columns, n:] @ hidden.mean(hidden.bias[None])[0, n:]
    layer.bias[columns] = bias.to(weight) - rest


def _set_scales(parts: list[Scale], precision: Tensor) -> None:
    for part in parts:
        found = precision[part.columns].to(part.units.log_precision)
        own = part.units.log_precision
        own.copy_(
            torch.where(
                found > 0, torch.log(found.clamp(min=1e-300 if own.dtype == torch.float64 else 1e-38)), own
            )
        )
