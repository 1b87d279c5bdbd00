"""Both phases of the weights' gradient in one go, on matrix units."""

from __future__ import annotations

import ctypes
import math

import torch
from torch import Tensor

from harmonium.kernels import launch, memory
from harmonium.kernels.draws import KINDS
from harmonium.kernels.matrix import phase_loops, products, units
from harmonium.kernels.matrix.phase_loops import BAND, HEIGHT, INEXACT, SHARES, SIDE
from harmonium.kernels.side import Side

SERIAL = 2**16  # states and means below which starting threads costs more than it saves


def two_phases(
    weight: Tensor,
    hidden: Side,
    data: tuple[Tensor, Tensor],
    negatives: tuple[Tensor, Tensor],
    add_to: Tensor | None,
) -> tuple[Tensor, Tensor] | None:
    """As ``kernels.two_phases``."""
    (visible, hidden_units), first, second = weight.shape, data[0].shape[0], negatives[0].shape[0]
    threads = launch.threads((first + second) * (visible + hidden_units) >= SERIAL)
    height = min(HEIGHT, _whole(max(first, second) / threads))
    depth = _whole(first) + _whole(second)
    tall, wide = _whole(visible), _whole(hidden_units)
    size = height * (2 * tall + 64) + max(height, BAND) * (4 * wide + 64) + 8 * wide + 1024
    sizes = [4 * depth * wide, tall * (2 * depth + 64), depth // 8 * (visible + hidden_units), threads * size]
    factors, states, sums, space = memory.space(sizes)
    totals = weight.new_empty(3, visible + hidden_units)
    out = torch.empty_like(weight) if add_to is None else add_to
    counters = (ctypes.c_int64 * (SHARES + 2 * threads))()
    packed = products.packed(weight, False)[0]
    job = phase_loops.JOB.pack(
        *(ctypes.addressof(counters), units.LAYOUT.ctypes.data, space, size, visible, hidden_units),
        *(KINDS[hidden.kind], height, depth // SIDE, packed, hidden.bias.data_ptr(), factors, states, sums),
        *(totals.data_ptr(), out.data_ptr(), out.stride(0) * 4, add_to is not None, *launch.team(threads)),
        *(data[0].data_ptr(), data[0].stride(0) * 4, data[1].data_ptr(), first),
        *(negatives[0].data_ptr(), negatives[0].stride(0) * 4, negatives[1].data_ptr(), second),
    )
    launch.run(phase_loops.means, job, threads)
    if counters[INEXACT]:
        return None
    ctypes.memset(counters, 0, ctypes.sizeof(counters))
    launch.run(phase_loops.gradient, job, threads)
    return out, totals


def _whole(n: float) -> int:
    """Filled up to whole blocks."""
    return SIDE * math.ceil(n / SIDE)
