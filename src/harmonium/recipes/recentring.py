"""Real columns that lie far from zero: learned about their means.

A machine with Gaussian visible units is the same wherever zero lies. With v = z + m

    a·v - Σ γv²/2 + vᵀWh + b·h  =  (a - γm)·z - Σ γz²/2 + zᵀWh + (b + Wᵀm)·h + const,

so training may take the rows z, in which steps and rounding are those of columns about zero, and give a and b
back in the end. Temperatures in kelvin and years then train like any other column.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from harmonium.learning.shapes import gaussians
from harmonium.models import EnergyModel, PairwiseModel
from harmonium.numerics import column_moments
from harmonium.recipes.rows import Rows
from harmonium.recipes.start import MATCHED_ROWS, untrained

FAR = 1.0  # standard deviations between zero and a mean; what is nearer stays as it is
TOO_FAR = 400.0  # the square of this is in log P, where float32 then rounds in the second digit


def far_column_means(model: EnergyModel, rows: Rows) -> Tensor | None:
    """Means of the Gaussian columns that are far from zero, and 0 for all others; None where there are none.

    Only for two coupled blocks, (n_visible,).
    """
    if not isinstance(model, PairwiseModel) or len(model.layers) != 2 or len(model.couplings()) != 1:
        return None
    real = torch.zeros(model.layers[0].width, dtype=torch.bool, device=model.device)
    for scale in gaussians(model.layers[0]):
        real[scale.columns] = True
    if not bool(real.any()):
        return None
    mean, deviation = column_moments(rows.states(MATCHED_ROWS).double())
    far = real & (mean.abs() > FAR * deviation) & (deviation > 0)
    return torch.where(far, mean, 0.0).to(model.dtype) if bool(far.any()) else None


def distance_warning(model: EnergyModel, rows: Rows, origin: Tensor | None) -> list[str]:
    """One sentence on columns too far away for float32; `rows` are seen from `origin`."""
    if origin is None or model.dtype != torch.float32:
        return []
    distance = origin.double().abs() / column_moments(rows.states(MATCHED_ROWS).double())[1].clamp(min=1e-300)
    far = (distance > TOO_FAR).nonzero().flatten().tolist()
    if not far:
        return []
    return [
        f"X lies {distance[far].max():.0f} standard deviations from 0 in column {far[0]}"
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
    if origin is None or not isinstance(model, PairwiseModel):
        yield
        return
    if not untrained(model):
        shift_visible(model, origin)
    try:
        yield
    finally:
        if not untrained(model):
            shift_visible(model, -origin)


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
    weight, i, _ = model.couplings()[0]
    weight = weight if i == 0 else weight.T
    visible, hidden = model.layers
    hidden.bias.copy_(hidden.bias.double() + by.double() @ weight.double())
    for scale in gaussians(visible):
        scale.bias.copy_(scale.bias.double() - scale.units.precision.double() * by[scale.columns].double())
