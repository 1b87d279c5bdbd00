"""Both phases of the weights' gradient in one go, on processors with matrix units for bfloat16."""

from __future__ import annotations

import ctypes
import functools
import math
from typing import Any

import torch
from torch import Tensor

from harmonium.kernels import Side, cpu, phase_loops, products, tiles
from harmonium.kernels.phase_loops import BAND, HEIGHT, INEXACT, SHARES, SIDE
from harmonium.kernels.sweeps import KINDS

SERIAL = 2**16  # states and means below which starting threads costs more than it saves


def two_phases(
    weight: Tensor,
    hidden: Side,
    data: tuple[Tensor, Tensor],
    negatives: tuple[Tensor, Tensor],
    add_to: Tensor | None,
) -> tuple[Tensor, Tensor] | None:
    """As ``kernels.two_phases``."""
    (visible, units), first, second = weight.shape, data[0].shape[0], negatives[0].shape[0]
    threads = cpu.threads((first + second) * (visible + units) >= SERIAL)
    height = min(HEIGHT, _whole(max(first, second) / threads))
    depth = _whole(first) + _whole(second)
    tall, wide = _whole(visible), _whole(units)
    size = height * (2 * tall + 64) + max(height, BAND) * (4 * wide + 64) + 8 * wide + 1024
    sizes = [4 * depth * wide, tall * (2 * depth + 64), depth // 8 * (visible + units), threads * size]
    factors, states, sums, space = products.space(sizes)
    totals = weight.new_empty(3, visible + units)
    out = torch.empty_like(weight) if add_to is None else add_to
    counters = (ctypes.c_int64 * (SHARES + 2 * threads))()
    packed = products.packed(weight, False)[0]
    job = phase_loops.JOB.pack(
        *(ctypes.addressof(counters), tiles.LAYOUT.ctypes.data, space, size, visible, units),
        *(KINDS[hidden.kind], height, depth // SIDE, packed, hidden.bias.data_ptr(), factors, states, sums),
        *(totals.data_ptr(), out.data_ptr(), out.stride(0) * 4, add_to is not None, *cpu.team(threads)),
        *(data[0].data_ptr(), data[0].stride(0) * 4, data[1].data_ptr(), first),
        *(negatives[0].data_ptr(), negatives[0].stride(0) * 4, negatives[1].data_ptr(), second),
    )
    cpu.run(_compiled("_means"), job, threads)
    if counters[INEXACT]:
        return None
    ctypes.memset(counters, 0, ctypes.sizeof(counters))
    cpu.run(_compiled("_gradient"), job, threads)
    return out, totals


def _whole(n: float) -> int:
    """Filled up to whole blocks."""
    return SIDE * math.ceil(n / SIDE)


def centre(
    gradient: Tensor,
    biases: tuple[Tensor, Tensor],
    offsets: tuple[Tensor, Tensor],
    shifted: tuple[Tensor, Tensor],
) -> None:
    """As ``kernels.centre``."""
    visible, hidden = gradient.shape
    bands = -(-visible // BAND)
    threads = cpu.threads(gradient.numel() >= products.SERIAL)
    counters = (ctypes.c_int64 * (1 + threads))()
    parts = products.space([4 * bands * hidden])[0]
    job = phase_loops.CENTRE.pack(
        *(ctypes.addressof(counters), visible, hidden, gradient.data_ptr(), 4 * gradient.stride(0)),
        *(x.data_ptr() for x in (*biases, *offsets, *shifted)),
        *(parts, *cpu.team(threads)),
    )
    cpu.run(_compiled("_centre"), job, threads)


@functools.cache
def _compiled(name: str) -> Any:
    return cpu.compiled(getattr(phase_loops, name))
