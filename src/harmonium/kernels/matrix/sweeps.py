"""k block Gibbs sweeps between two layers of units in one call, on matrix units.

What each thread computes is written in ``sweep_loops``. States are exact in bfloat16. Draws are those of
``draw_bernoulli`` and its kin in the fields, at the same addresses.
"""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from harmonium.kernels import draw_loops, launch, memory
from harmonium.kernels.draws import KINDS
from harmonium.kernels.matrix import products, sweep_loops, units
from harmonium.kernels.side import Side, chain_numbers
from harmonium.random import Address

HEIGHT = 128  # chains in a panel at most: its fields then stay in the second-level cache
SERIAL = 2**16  # draws below which starting threads costs more than it saves


def gibbs(
    weight: Tensor,
    sides: tuple[Side, Side],
    visible: Tensor,
    addresses: tuple[Address, Address],
    sweeps: int,
    beta: Tensor | None = None,
) -> tuple[Tensor, Tensor] | None:
    """As ``kernels.gibbs``."""
    rows, widths = len(visible), weight.shape
    out = [visible.new_empty(rows, width) for width in widths]
    if rows == 0:
        return out[0], out[1]
    for side, address in zip(sides, addresses, strict=True):
        address.check(rows, len(side.bias) // side.states, sweeps)
    threads = launch.threads(rows * sum(widths) * sweeps >= SERIAL)
    height = panel_height(rows, threads)
    size = _thread_bytes(height, widths, max(side.states for side in sides))
    space = memory.space([threads * size])[0]
    counters = (ctypes.c_int64 * (sweep_loops.SHARES + threads))()
    packed = products.packed(weight, True, False)
    here = addresses[0]
    job = [
        *(ctypes.addressof(counters), rows, height, sweeps, space, size, units.LAYOUT.ctypes.data),
        *(0 if beta is None else beta.data_ptr(), 0 if beta is None else beta.stride(0)),
        *(*launch.team(threads), 0),
        *(here.seed, here.purpose, here.step, 0, *chain_numbers(here)),
    ]
    for side, address, matrix, result in zip(sides, addresses, packed, out, strict=True):
        job += [result.shape[1], KINDS[side.kind], side.states, address.unit, side.bias.data_ptr()]
        job += [0 if side.base is None else side.base.data_ptr(), matrix]
        job += [visible.data_ptr(), visible.stride(0) * 4, result.data_ptr(), result.stride(0) * 4]
    launch.run(sweep_loops.sweep, sweep_loops.JOB.pack(*job), threads)
    return None if counters[sweep_loops.INEXACT] else (out[0], out[1])


def panel_height(rows: int, threads: int) -> int:
    """Chains in a panel."""
    return min(HEIGHT, units.SIDE * -(-rows // (units.SIDE * threads)))


def _thread_bytes(height: int, widths: torch.Size, states: int) -> int:
    """Memory for one thread: panels of states and of fields, biases, scratch."""
    rows = -(-height // units.SIDE) * units.SIDE
    columns = [(-(-width // units.SIDE) + 1) * units.SIDE for width in widths]
    numbers = rows * (sum(columns) + max(columns)) + 2 * sum(columns)
    scratch = 4 * (draw_loops.TILE + draw_loops.PAD) + 2 * 16 * states
    return -(-4 * (numbers + scratch) // 64) * 64
