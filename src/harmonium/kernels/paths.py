"""Chains led along a path of models in one call, with their work.

What each thread computes is written in ``path_loops``. Products and draws are those of ``sweeps``.
"""

from __future__ import annotations

import ctypes
import functools
from typing import Any

import torch
from torch import Tensor

from harmonium.kernels import Side, cpu, path_loops, products, sweeps, tiles
from harmonium.random import Address


@functools.cache
def _compiled() -> Any:
    return cpu.compiled(path_loops._lead)


def lead(
    weight: Tensor,
    sides: tuple[Side, Side],
    summed: int,
    given: Tensor,
    addresses: tuple[Address, Address],
    betas: Tensor,
) -> tuple[tuple[Tensor, Tensor], Tensor] | None:
    """As ``kernels.lead``."""
    rows, order = len(given), (1 - summed, summed)
    out = [given.new_empty(rows, width) for width in weight.shape]
    works = torch.zeros(rows, dtype=torch.float64, device="cpu")
    for side, address in zip(sides, addresses, strict=True):
        address.check(rows, len(side.bias) // side.states)
    layers = [(sides[i], addresses[i], out[i], i) for i in order]
    if rows and not _run(weight, layers, given, works, betas.contiguous()):
        return None
    return (out[0], out[1]), works


def _run(
    weight: Tensor,
    layers: list[tuple[Side, Address, Tensor, int]],
    given: Tensor,
    works: Tensor,
    betas: Tensor,
) -> bool:
    """Fills the results; False where the given states are too fine for the products in use."""
    rows, steps = len(given), len(betas) - 1
    widths = [result.shape[1] for _, _, result, _ in layers]
    threads = cpu.threads(rows * sum(widths) * steps >= sweeps.SERIAL)
    on_units = products.path() == "bfloat16"
    height = sweeps.panel_height(rows, threads, on_units)
    size = _thread_bytes(height, widths)
    space = products.space([threads * size])[0]
    matrices = products.packed(weight, True, False) if on_units else [weight.data_ptr()] * 2
    counters = (ctypes.c_int64 * 3)()
    job = [
        *(ctypes.addressof(counters), rows, height, steps, 0 if on_units else products.sgemm()),
        *(space, size, tiles.LAYOUT.ctypes.data, betas.data_ptr(), works.data_ptr()),
        *(cpu.drawing(torch.float32), layers[1][3] == 0),
        *sweeps._address_words(layers[0][1]),
    ]
    for side, address, result, i in layers:
        job += [result.shape[1], sweeps.KINDS[side.kind], side.states, address.unit, side.bias.data_ptr()]
        job += [0 if side.base is None else side.base.data_ptr(), matrices[i]]
        job += [given.data_ptr(), given.stride(0) * 4, result.data_ptr(), result.stride(0) * 4]
    cpu.run(_compiled(), path_loops.JOB.pack(*job), min(threads, -(-rows // height)))
    return not counters[path_loops.INEXACT]


def _thread_bytes(height: int, widths: list[int]) -> int:
    """Memory for one thread: panels of states and of fields."""
    rows = -(-height // tiles.SIDE) * tiles.SIDE
    columns = [(-(-width // tiles.SIDE) + 1) * tiles.SIDE for width in widths]
    return -(-4 * rows * (sum(columns) + max(columns)) // 64) * 64
