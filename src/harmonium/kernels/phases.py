"""Both phases of the weights' gradient in one go where there are no matrix units: four products, and no more
passes over the gradient than these.
"""

from __future__ import annotations

import torch
from torch import Tensor

from harmonium.kernels.side import Side


def two_phases(
    weight: Tensor,
    hidden: Side,
    data: tuple[Tensor, Tensor],
    negatives: tuple[Tensor, Tensor],
    add_to: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """As ``kernels.two_phases``."""
    first, (rows, columns) = len(data[0]), weight.shape
    signed = torch.cat([-data[1], negatives[1]])[:, None]
    means = weight.new_empty(first + len(negatives[0]), columns)
    torch.addmm(hidden.bias, data[0], weight, out=means[:first])
    torch.addmm(hidden.bias, negatives[0], weight, out=means[first:])
    means = (means.sigmoid_() if hidden.kind == "bernoulli" else means.tanh_()).mul_(signed)
    out = torch.empty_like(weight) if add_to is None else add_to
    if add_to is None:
        torch.mm(data[0].T, means[:first], out=out)
    else:
        out.addmm_(data[0].T, means[:first])
    out.addmm_(negatives[0].T, means[first:])
    sums = weight.new_empty(3, rows + columns)
    for row, (v, w), h, sign in ((1, data, means[:first], -1.0), (2, negatives, means[first:], 1.0)):
        torch.mv(v.T, w, out=sums[row, :rows])
        torch.sum(h, 0, out=sums[row, rows:]).mul_(sign)
    torch.sub(sums[2], sums[1], out=sums[0])
    return out, sums
