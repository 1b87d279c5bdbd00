"""Exact sums where real units are coupled to real units: all of these are integrated at once.

Let s be the states of all units but the Gaussian ones, x, whose precisions and couplings make the matrix P.
The rest is a Gaussian integral of field f(s) = b_x + Ws,

    log Z = log Σ_s exp(-E(s) + f(s)ᵀ P⁻¹ f(s) / 2) - log det P / 2 + n log 2π / 2.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from harmonium.models.enumeration import CHUNK
from harmonium.models.pairwise import PairwiseModel
from harmonium.numerics import HALF_LOG_TWO_PI
from harmonium.units import Units
from harmonium.units.mixed import parts_of


def states_beside_gaussians(model: PairwiseModel) -> int | float:
    """How many states the units have that aren't Gaussian; inf without end, or where this isn't all."""
    if model.context is not None or any(i == j for _, i, j in model.couplings()):
        return math.inf
    counts = [part.n_states for part in _parts(model) if part.normal_precision is None]
    finite = [count for count in counts if count is not None]
    if len(finite) < len(counts) or len(counts) == len(_parts(model)):
        return math.inf
    return math.prod(finite)


def _parts(model: PairwiseModel) -> list[Units]:
    return [part for layer in model.layers for part in parts_of(layer)]


@torch.no_grad()
def log_sum_beside_gaussians(model: PairwiseModel) -> float | None:
    """log Z, nats, in double precision; None where the integral is infinite.

    Args:
        model: with finitely many `states_beside_gaussians`.
    """
    parts, edges = _parts(model), [0]
    for part in parts:
        edges.append(edges[-1] + part.width)
    bias = torch.cat([layer.bias for layer in model.layers]).double()
    coupling = _coupling(model, edges[-1])
    real = torch.zeros(edges[-1], dtype=torch.bool, device=bias.device)
    precisions = []
    for part, first, last in zip(parts, edges, edges[1:], strict=False):
        if part.normal_precision is not None:
            real[first:last] = True
            precisions.append(part.normal_precision.double())
    root, failed = torch.linalg.cholesky_ex(torch.diag(torch.cat(precisions)) - coupling[real][:, real])
    if failed:
        return None
    rest = [part for part in parts if part.normal_precision is None]
    total, found = int(states_beside_gaussians(model)), []
    for first in range(0, total, CHUNK):
        index = torch.arange(first, min(first + CHUNK, total), device=bias.device)
        s, potential = _states(rest, index)
        field = bias[real] + s @ coupling[~real][:, real]
        pairs = 0.5 * ((s @ coupling[~real][:, ~real]) * s).sum(1)
        half = torch.linalg.solve_triangular(root, field.T, upper=False).square().sum(0)
        found.append(torch.logsumexp(s @ bias[~real] + pairs - potential + 0.5 * half, 0))
    integral = int(real.sum()) * HALF_LOG_TWO_PI - root.diagonal().log().sum()
    return float(torch.logsumexp(torch.stack(found), 0) + integral)


def _coupling(model: PairwiseModel, width: int) -> Tensor:
    """All couplings as one symmetric matrix, (width, width)."""
    starts = [0]
    for layer in model.layers:
        starts.append(starts[-1] + layer.width)
    matrix = torch.zeros(width, width, dtype=torch.float64, device=model.layers[0].bias.device)
    for operator, i, j in model.couplings():
        weight = operator.dense().double()
        matrix[starts[i] : starts[i + 1], starts[j] : starts[j + 1]] += weight
        matrix[starts[j] : starts[j + 1], starts[i] : starts[i + 1]] += weight.T
    return matrix


def _states(parts: list[Units], index: Tensor) -> tuple[Tensor, Tensor]:
    """(joint states of parts by their number, Σ U), float64."""
    pieces = [torch.empty(len(index), 0, dtype=torch.float64, device=index.device)]
    potential = torch.zeros(len(index), dtype=torch.float64, device=index.device)
    for part in parts:
        count = part.n_states
        assert count is not None  # as there are finitely many
        state = part.states(index % count).double()
        potential += part.potential(state).sum(1)
        pieces.append(state)
        index = torch.div(index, count, rounding_mode="floor")
    return torch.cat(pieces, 1), potential
