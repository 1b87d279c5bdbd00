"""Couplings from columns that are always given, u, to others of their block, in the natural gradient.

With A = γC the field Aᵀu moves the mean of a real column by Cᵀu, whatever its precision γ, and the Fisher
information of C is ⟨uuᵀ⟩ times γ² the variance of the column given u.
"""

from __future__ import annotations

import torch
from torch import Tensor

from harmonium import kernels
from harmonium.models.pairwise import DirectCoupling
from harmonium.units import Units


@torch.no_grad()
def step_directly(
    visible: Units, coupling: DirectCoupling, offset: Tensor, plain: Tensor, moments: tuple[Tensor, Tensor]
) -> Tensor:
    """Replace the gradients of C and of the bias by natural steps, in coordinates centred at the offset.

    Args:
        visible: units of the block.
        coupling: C.
        offset: means of the visible columns, (n_visible,).
        plain: gradient of the bias as it was before, (n_visible,).
        moments: ⟨uuᵀ⟩, damped, and the variances of all columns given u, (n_visible,).

    Returns:
        What the offsets are without Cᵀū, (n_visible,).
    """
    weight, scale, given, acted = coupling
    square, left = moments
    rest = offset.clone()
    rest[acted] -= offset[given] @ weight
    if weight.grad is not None and visible.bias.grad is not None:
        centred = weight.grad - scale * torch.outer(offset[given], plain[acted])
        with kernels.on_one_thread():  # the same bits on any number of threads
            weight.grad = torch.linalg.solve(square, centred) / (scale**2 * left[acted])
        visible.bias.grad[acted] = plain[acted] / left[acted] - scale * (offset[given] @ weight.grad)
    return rest
