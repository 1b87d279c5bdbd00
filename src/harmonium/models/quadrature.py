"""Integrals over a box of one or two dimensions, to a stated accuracy or not at all."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

NODES = 8  # of Gauss and Legendre in each panel
PANELS = 16, 32, 64, 128  # along each side: finer and finer until two agree
ACCURACY = 1e-6  # nats by which they may differ
CHUNK = 2**15  # points per call of the energy


@torch.no_grad()
def log_integral(
    energy: Callable[[Tensor], Tensor], low: Tensor, high: Tensor, dtype: torch.dtype, device: torch.device
) -> Tensor | None:
    """log ∫ exp(-E(x)) dx over the box, nats, float64; None where a grid of 1024 points a side isn't enough.

    `energy` takes points (batch, dimensions) to (batch,).

    >>> low, high = torch.tensor([-8.0, 0.0]).double(), torch.tensor([8.0, 1.0]).double()
    >>> log_integral(lambda x: 0.5 * x[:, 0] ** 2, low, high, torch.float64, torch.device("cpu"))
    tensor(0.9189, dtype=torch.float64)
    """
    coarse = _sum(energy, low, high, PANELS[0], dtype, device)
    for panels in PANELS[1:]:
        fine = _sum(energy, low, high, panels, dtype, device)
        if bool((coarse - fine).abs() < ACCURACY):
            return fine
        coarse = fine
    return None


def _sum(
    energy: Callable[[Tensor], Tensor],
    low: Tensor,
    high: Tensor,
    panels: int,
    dtype: torch.dtype,
    device: torch.device,
) -> Tensor:
    nodes, weights = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(NODES))
    middles = (2.0 * torch.arange(panels, dtype=torch.float64) + 1.0) / panels - 1.0
    along = (middles[:, None] + nodes / panels).flatten()  # all nodes of the interval from -1 to 1
    log_weight = torch.log(weights / panels).repeat(panels)
    points = torch.cartesian_prod(*([along] * len(low))).reshape(-1, len(low))
    log_weights = torch.cartesian_prod(*([log_weight] * len(low))).reshape(-1, len(low)).sum(1)
    half = 0.5 * (high - low)
    x = ((low + high) * 0.5 + half * points).to(device=device, dtype=dtype)
    found = torch.cat([energy(part) for part in x.split(CHUNK)]).double().cpu()
    return torch.logsumexp(log_weights - found, 0) + torch.log(half).sum()
