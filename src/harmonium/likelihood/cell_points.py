"""At which values of a cell without a last state its density is summed: counts, or points of an integral."""

from __future__ import annotations

import math
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from harmonium.models import EnergyModel
from harmonium.models.support import Site
from harmonium.units import Tail, Units
from harmonium.units.mixed import parts_of

PER_DEVIATION = 4  # points of the sum for an integral,
NODES = 8  # so many in a panel of it,
POINTS = 64, 2**12  # and in all at least and at most
REACH = 9.0  # deviations beyond the outermost mean


def is_real(site: Site) -> bool:
    """Whether its values are real numbers rather than counts."""
    return site.part is None or (site.part.cardinality is None and site.part.tail is not Tail.FACTORIAL)


def counts(low: float, high: float) -> tuple[Tensor, Tensor]:
    """Counts, each of which stands for others beside it where they are too many."""
    step = max(1, int((high - low) / POINTS[1]))
    points = torch.arange(math.floor(low), math.ceil(high) + 1, step, dtype=torch.float64)
    return points, torch.full_like(points, math.log(step))


def panels(low: float, high: float, deviation: float) -> tuple[Tensor, Tensor]:
    """Gauss and Legendre's points in panels; those of units with a kink at zero end there."""
    nodes, weights = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(NODES))
    points, log_weights = [], []
    for a, b in [(low, 0.0), (0.0, high)] if low < 0.0 < high else [(low, high)]:
        number = (b - a) / deviation * PER_DEVIATION
        some = max(1, math.ceil(min(max(number, POINTS[0]), POINTS[1]) / NODES))
        half = 0.5 * (b - a) / some
        middles = a + half * (2.0 * torch.arange(some, dtype=torch.float64) + 1.0)
        points.append((middles[:, None] + half * nodes).flatten())
        log_weights.append(torch.log(half * weights).repeat(some))
    return torch.cat(points), torch.cat(log_weights)


def bounds(space: Any, site: Site) -> tuple[float, float]:
    """Between which values a site without a last state may lie."""
    if space.bounds is not None:
        low, high = (float(bound[site.number]) for bound in space.bounds)
        return low, high
    return site.part.least if site.part is not None else -math.inf, math.inf


def reach(model: EnergyModel, v: Tensor, site: Site) -> tuple[float, float, float]:
    """(low, high, deviation) of a site given anything that is joined to it, as far as that is bounded, else
    given what the rows have.
    """
    column = v[:, site.start].double()
    if site.part is None:
        spread = float(column.max() - column.min()) or 1.0
        return float(column.min()) - spread, float(column.max()) + spread, spread / POINTS[0]
    fields = _fields(model, v, site)
    full = torch.zeros(len(fields), site.part.width, dtype=torch.float64, device=v.device)
    full[:, site.inside] = fields
    mean, deviation = (f(full)[:, site.inside] for f in (site.part.mean, site.part.variance))
    deviation = deviation.sqrt()
    beyond = REACH * float(deviation.max())
    return float(mean.min()) - beyond, float(mean.max()) + beyond, float(deviation.min())


def _fields(model: EnergyModel, v: Tensor, site: Site) -> Tensor:
    """Fields on a site between which all others lie where its neighbours are bounded, (fields,)."""
    space, pair = cast(Units, model.visible_space), model.pair()  # units, since the site has a part
    low = high = space.bias[site.start].double()
    own = model.field_of_given(v)
    if own is not None:
        low, high = (low + of(own[:, site.start].double()) for of in (torch.amin, torch.amax))
    if pair is None or pair.hidden.tail is not Tail.BOUNDED:
        return torch.stack([low, high])
    start, row = 0, pair.operator.rows(slice(site.start, site.start + 1))[0].double()
    for part in parts_of(pair.hidden):
        weight = row[start : start + part.width].unflatten(0, (part.n, -1))
        terms = weight @ part.site_values().to(weight).T
        low, high, start = low + terms.amin(1).sum(), high + terms.amax(1).sum(), start + part.width
    return torch.stack([low, high])
