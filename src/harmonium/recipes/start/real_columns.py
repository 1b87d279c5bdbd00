"""Real columns: learned about their means where they lie far from zero, and kept from widths without bound.

A machine with Gaussian visible units is the same wherever zero lies. With v = z + m

    a·v - Σ γv²/2 + vᵀWh + b·h  =  (a - γm)·z - Σ γz²/2 + zᵀWh + (b + Wᵀm)·h + const,

so training may take the rows z, in which steps and rounding are those of columns about zero, and give a and b
back in the end. Temperatures in kelvin and years then train like any other column.

A normal as narrow as one likes about a value that comes again and again has a density as high as one likes:
the likelihood of Gaussian units for a column of 0 and 1 grows as long as the width shrinks, and says nothing.
Values that are d apart are known to ± d/2 at best, which is a deviation of d/√12 (Sheppard 1898): below that
the width isn't let fall, nor below that of the column itself where this is less.

Real hidden units may be coupled to real columns up to where Z ends, and aren't let go further.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from harmonium import kernels
from harmonium.columns.frames import listed
from harmonium.learning import Update
from harmonium.learning.loop import Callback
from harmonium.learning.unit_scales import gaussians
from harmonium.models import EnergyModel, PairwiseModel
from harmonium.models.intake import Rows, titles_of
from harmonium.models.real_couplings import real_couplings
from harmonium.numerics import column_moments
from harmonium.recipes.split import seen_first
from harmonium.recipes.start.initialisation import untrained

FEW = 10  # values of a column, at most, that are few: each comes on average as many times at least


def far_column_means(model: EnergyModel, rows: Rows) -> Tensor | None:
    """Means of the Gaussian columns that lie further from zero than a standard deviation, and 0 for all
    others; None where there are none.

    Only for two coupled blocks, (n_visible,).
    """
    pair = model.pair()
    if model.as_pairwise() is None or pair is None or not pair.operator.natural:
        return None
    real = torch.zeros(pair.visible.width, dtype=torch.bool, device=model.device)
    for scale in gaussians(pair.visible):
        real[scale.columns] = True
    if not bool(real.any()):
        return None
    mean, deviation = column_moments(seen_first(rows)[:, real].double())
    far = (mean.abs() > deviation) & (deviation > 0)
    found = torch.zeros(len(real), dtype=mean.dtype, device=mean.device)
    found[real] = torch.where(far, mean, 0.0)
    return found.to(model.dtype) if bool(far.any()) else None


def distance_warning(model: EnergyModel, rows: Rows, origin: Tensor | None) -> list[str]:
    """One sentence on columns too far away for float32; `rows` are seen from `origin`."""
    if origin is None or model.dtype != torch.float32:
        return []
    moved = origin.nonzero().flatten()
    deviation = column_moments(seen_first(rows)[:, moved].double())[1]
    distance = torch.zeros_like(origin, dtype=torch.float64)
    distance[moved] = origin[moved].double().abs() / deviation.clamp(min=1e-300)
    # their square is in log P, where float32 then rounds in the second digit
    far = (distance > 400.0).nonzero().flatten().tolist()
    if not far:
        return []
    return [
        f"X lies {distance[far].max():.0f} standard deviations from 0 in column"
        f" {titles_of(model, rows, far)[0]}"
        f"{' and others' * (len(far) > 1)}, where float32 loses digits of log P: subtract the mean, or use"
        " dtype=torch.float64."
    ]


def centred_rows(rows: Rows, origin: Tensor) -> Rows:
    """The same rows, seen from there."""

    def prepare(x: Tensor, numbers: np.ndarray, epoch: int) -> Tensor:
        return rows.prepare(x, numbers, epoch) - origin

    return replace(rows, prepare=prepare)


@contextmanager
def centred(model: EnergyModel, origin: Tensor | None) -> Iterator[None]:
    """Within this block the model is one of rows seen from `origin`; afterwards it is one of the rows again.

    An untrained model knows no mean yet. It stays as it is at the beginning, and in the end where nothing was
    learned, so that it can still be trained from the start.
    """
    machine = model.as_pairwise()
    if origin is None or machine is None:
        yield
        return
    if not untrained(machine):
        shift_visible(machine, origin)
    try:
        yield
    finally:
        if not untrained(machine):
            shift_visible(machine, -origin)


@torch.no_grad()
def shift_visible(model: PairwiseModel, by: Tensor) -> None:
    """Let the model of v become that of v - `by`, which is 0 but for Gaussian columns; in place.

    >>> import harmonium as hm
    >>> rbm = hm.RBM(visible=hm.Gaussian(1), hidden=hm.Bernoulli(2))
    >>> print(hm.log_likelihood(rbm, [[0.5]]))
    -1.0245 (exact, sum over 4 states)
    >>> shift_visible(rbm, torch.tensor([3.0]))
    >>> print(hm.log_likelihood(rbm, [[-2.5]]))
    -1.0245 (exact, sum over 4 states)
    """
    operator, (visible, hidden) = model.couplings()[0].operator, model.layers
    hidden.bias.copy_(hidden.bias.double() + by.double() @ operator.dense().double())
    for direct, scale_of, given, acted in model.direct_couplings():
        visible.bias[acted] += scale_of * (by[given] @ direct)
    for scale in gaussians(visible):
        scale.bias.copy_(scale.bias.double() - scale.units.precision.double() * by[scale.columns].double())


class FewValued(NamedTuple):
    """Gaussian columns of few values.

    Attributes:
        values: the values, by column.
        floor: least deviation of each visible unit, 0 where there is no bound, (n_visible,), float64.
    """

    values: dict[int, list[float]]
    floor: Tensor


def few_valued(model: EnergyModel, rows: Rows) -> FewValued | None:
    """The Gaussian columns of few values, None where there are none."""
    machine = model.as_pairwise()
    if machine is None:
        return None
    visible = machine.layers[0]
    columns = [c for part in gaussians(visible) for c in range(part.columns.start, part.columns.stop)]
    if not columns:
        return None
    x, values = seen_first(rows)[:, columns].double().cpu(), {}
    floor = torch.zeros(visible.width, dtype=torch.float64)
    for k, c in enumerate(columns):
        column = x[:, k][~torch.isnan(x[:, k])] if rows.free else x[:, k]
        found = torch.unique(column[: FEW * FEW])
        if len(found) > FEW:  # seen on some rows already
            continue
        found = torch.unique(column)
        if 2 <= len(found) <= min(FEW, len(column) // FEW):
            values[c] = found.tolist()
            floor[c] = min(float(found.diff().min()) / 12**0.5, float(column.std(correction=0)))
    return FewValued(values, floor) if values else None


def few_values_warning(model: EnergyModel, rows: Rows, found: FewValued | None) -> list[str]:
    """One sentence that names the columns and says what to do."""
    if found is None:
        return []
    titles = titles_of(model, rows, list(found.values))
    named = [
        f"column {title} ({', '.join(f'{v:g}' for v in values)})"
        for title, values in zip(titles, found.values.values(), strict=True)
    ]
    least = float(found.floor[found.floor > 0].min())
    return [
        f"X holds few values in {listed(named)}, which Gaussian units"
        " take for real numbers; as their likelihood has no bound while the width shrinks, that is kept from"
        f" falling below {least:.2g}. Units that suit such values, side by side with others in hm.Mixed, are"
        " hm.Bernoulli for 0 and 1, hm.Spin for -1 and 1, and hm.Categorical for whole numbers from 0."
    ]


class ScaleFloor:
    """A callback that keeps the width of Gaussian visible units from falling below a floor.

    Args:
        floor: least deviations, 0 for none, (n_visible,).
    """

    def __init__(self, floor: Tensor) -> None:
        self.floor = floor

    def __call__(self, update: Update) -> None:
        self.apply(update.model)

    @torch.no_grad()
    def apply(self, model: EnergyModel) -> None:
        """Widen what is narrower; the means without a field stay."""
        machine = model.as_pairwise()
        assert machine is not None  # as it has Gaussian columns of few values
        for part in gaussians(machine.layers[0]):
            floor, log_precision = self.floor[part.columns], part.units.log_precision
            most = torch.where(floor > 0, -2.0 * floor.clamp(min=1e-150).log(), torch.inf).to(log_precision)
            change = (most - log_precision).clamp(max=0.0)
            log_precision.add_(change)
            part.bias.mul_(change.exp())
            for operator, i, _ in machine.couplings():
                if i == 0:
                    operator.scale_rows(part.columns, change.exp())


@contextmanager
def without_gauge(model: EnergyModel) -> Iterator[None]:
    """Within this block the precisions of Gaussian hidden units stay as they are.

    g → cg with W → cW, b → cb and γ → c²γ leaves P(v) the same, so that nothing holds γ where it is: noise of
    the gradient carried log γ from 0 to 14 in 2,500 updates of a table of six columns, and W to where it
    overflows.
    """
    machine = model.as_pairwise()
    hidden = [] if machine is None else machine.layers[1:]
    learned = [part.units.log_precision for layer in hidden for part in gaussians(layer)]
    learned = [p for p in learned if p.requires_grad]
    for p in learned:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in learned:
            p.requires_grad_(True)


def limits(model: EnergyModel, narrow: FewValued | None) -> list[Callback]:
    """What keeps the parameters of real units where they mean something, called after each update."""
    floor: list[Callback] = [] if narrow is None else [ScaleFloor(narrow.floor)]
    return [*floor, CouplingCeiling()] if real_couplings(model) is not None else floor


class CouplingCeiling:
    """A callback that keeps Z finite where Gaussian units are coupled to Gaussian units.

    The singular values of their couplings in units of the precisions must be below 1. A step of the noisy
    gradient may pass there where columns nearly determine one another: larger ones are set to `highest`.
    """

    highest = 0.999

    def __call__(self, update: Update) -> None:
        self.apply(update.model)

    @torch.no_grad()
    def apply(self, model: EnergyModel) -> None:
        """Weaken what is too strong; nothing else changes."""
        couplings = real_couplings(model)
        assert couplings is not None  # as it has Gaussian units on both sides
        scaled = couplings.scaled
        if not self.highest**2 < float(scaled.square().sum()) < math.inf:  # NaN is for `check_finite` to tell
            return
        with kernels.on_one_thread():
            u, s, v = torch.linalg.svd(scaled, full_matrices=False)
        if float(s[0]) > self.highest:
            couplings.take((u * s.clamp(max=self.highest)) @ v)
