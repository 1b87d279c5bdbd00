"""Independent units for rows with gaps: every site from the rows that know it."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from harmonium import kernels
from harmonium.units.base import ConstantColumns, Units
from harmonium.units.mixed import parts_of


@torch.no_grad()
def match_known(units: Units, x: Tensor, weights: Tensor | None = None) -> None:
    """`units.match` for rows whose free cells are NaN; a site that no row knows stays as it is.

    Raises:
        ValueError: as `match`, naming the column of the layer.
    """
    if not bool(torch.isnan(x).any()):
        units.match(x, weights)
        return
    start = 0
    for part in parts_of(units):
        columns = part.width // part.n
        for i in range(part.n):
            here = slice(start + i * columns, start + (i + 1) * columns)
            known = ~torch.isnan(x[:, here.start])
            if weights is not None:
                known &= weights.to(known.device) > 0
            if bool(known.any()):
                _match_site(units, part, i, here, x[known, here], None if weights is None else weights[known])
        start += part.width


def _match_site(units: Units, part: Units, i: int, here: slice, x: Tensor, weights: Tensor | None) -> None:
    """Fit site number `i` of a part, at the columns `here` of the layer."""
    site, shapes = copy.deepcopy(part), part.shape_parameters()
    site.n = 1
    for name, parameter in shapes.items():
        site.register_parameter(name, nn.Parameter(parameter[i : i + 1].clone()))
    site.register_parameter("bias", nn.Parameter(units.bias[here].clone()))
    try:
        site.match(x, weights)
    except ConstantColumns as error:
        raise error.after(here.start) from None
    units.bias[here] = site.bias
    for name, parameter in shapes.items():
        parameter[i : i + 1] = getattr(site, name)


def site_alone(units: Units, start: int) -> Units:
    """One site of a layer as a layer of its own, the one whose columns begin at `start`; its bias stays
    behind.
    """
    for part in parts_of(units):
        if start < part.width:
            break
        start -= part.width
    i = start // (part.width // part.n)
    alone = part.with_tensors(**{name: p[i : i + 1] for name, p in part.shape_parameters().items()})
    alone.n = 1
    return alone


def known_energies(units: Units, x: Tensor) -> Tensor:
    """-log P of the known cells of each row under independent units, (rows,), nats; NaN marks free cells."""
    free = torch.isnan(x)
    columns = torch.cat([torch.full((p.n,), p.width // p.n) for p in parts_of(units)]).to(x.device)
    first = columns.cumsum(0) - columns
    own = units.potential(x) + units.cumulant(units.bias[None])
    return torch.where(free[:, first], 0.0, own).sum(1) - kernels.along(torch.where(free, 0.0, x), units.bias)
