"""k block Gibbs sweeps between two layers of units in one call.

What each thread computes is written in ``sweep_loops``. The products are those of ``products.path``: on
matrix units, the states being exact in bfloat16, or by the library that PyTorch itself multiplies by, called
from within the threads. Draws are those of ``draw_bernoulli`` and its kin in the fields, at the same
addresses.
"""

from __future__ import annotations

import ctypes
import functools
from typing import Any

import torch
from torch import Tensor

from harmonium.kernels import Side, cpu, loops, products, sweep_loops, tiles
from harmonium.random import Address

HEIGHT = 128  # chains in a panel at most: its fields then stay in the second-level cache
SHARE = 1  # panels for each thread at least, since a neighbour on the same core may hold up its matrix units
SERIAL = 2**16  # draws below which starting threads costs more than it saves
KINDS = {"bernoulli": loops.BERNOULLI, "spin": loops.SPIN, "categorical": loops.CATEGORICAL}


@functools.cache
def _compiled() -> Any:
    return cpu.compiled(sweep_loops._sweep)


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
        address.check(rows, len(side.bias) // side.states)
    threads = cpu.threads(rows * sum(widths) * sweeps >= SERIAL)
    on_units = products.path() == "bfloat16"
    height = panel_height(rows, threads, on_units)
    size = _thread_bytes(height, widths, max(side.states for side in sides))
    space = products.space([threads * size])[0]
    counters = (ctypes.c_int64 * (sweep_loops.SHARES + threads))()
    packed = products.packed(weight, True, False) if on_units else [weight.data_ptr()] * 2
    job = [
        *(ctypes.addressof(counters), rows, height, sweeps, 0 if on_units else products.sgemm()),
        *(space, size, tiles.LAYOUT.ctypes.data),
        *(0 if beta is None else beta.data_ptr(), 0 if beta is None else beta.stride(0)),
        *cpu.team(threads),
        *_address_words(addresses[0]),
    ]
    for side, address, matrix, result in zip(sides, addresses, packed, out, strict=True):
        job += [result.shape[1], KINDS[side.kind], side.states, address.unit, side.bias.data_ptr()]
        job += [0 if side.base is None else side.base.data_ptr(), matrix]
        job += [visible.data_ptr(), visible.stride(0) * 4, result.data_ptr(), result.stride(0) * 4]
    cpu.run(_compiled(), sweep_loops.JOB.pack(*job), threads)
    return None if counters[sweep_loops.INEXACT] else (out[0], out[1])


def panel_height(rows: int, threads: int, on_units: bool) -> int:
    """Chains in a panel."""
    share = threads * (SHARE if on_units else 1)
    return min(HEIGHT, tiles.SIDE * -(-rows // (tiles.SIDE * share)))


def _address_words(address: Address) -> tuple[int, ...]:
    chain, chains = (address.chain, 0) if isinstance(address.chain, int) else (0, address.chain.ctypes.data)
    return address.seed, address.purpose, address.step, 0, chain, chains


def _thread_bytes(height: int, widths: torch.Size, states: int) -> int:
    """Memory for one thread: panels of states and of fields, biases, scratch."""
    rows = -(-height // tiles.SIDE) * tiles.SIDE
    columns = [(-(-width // tiles.SIDE) + 1) * tiles.SIDE for width in widths]
    numbers = rows * (sum(columns) + max(columns)) + 2 * sum(columns)
    scratch = 4 * (loops.TILE + loops.PAD) + 2 * 16 * states
    return -(-4 * (numbers + scratch) // 64) * 64
