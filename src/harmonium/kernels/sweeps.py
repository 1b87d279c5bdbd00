"""k block Gibbs sweeps between two layers of units in one call.

What each thread computes is written in ``sweep_loops``; this module says where it may be used, and with which
products:

- ``bfloat16``: on processors with matrix units for it, each weight is the sum of two bfloat16 numbers and the
  states are exact in one, so that a product of two rows of bfloat16 numbers, summed in float32, is off by at
  most 2^-17 of each term besides the rounding of the sum;
- ``float32``: the library that PyTorch itself multiplies by, called from within the threads.

The environment variable HARMONIUM_PRODUCTS chooses: ``auto`` (the default: bfloat16 where there is a unit for
it), ``bfloat16`` or ``float32``. Draws are those of ``draw_bernoulli`` and its kin in the fields, at the same
addresses.
"""

from __future__ import annotations

import ctypes
import functools
import math
import os
import threading
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harmonium.kernels import Side, cpu, loops, sweep_loops, tiles
from harmonium.random import Address

HEIGHT = 128  # chains in a panel at most: its fields then stay in the second-level cache
SERIAL = 8192  # draws below which starting threads costs more than it saves
KINDS = {"bernoulli": loops.BERNOULLI, "spin": loops.SPIN, "categorical": loops.CATEGORICAL}


def products() -> str | None:
    """The products that sweeps in float32 run on here: "bfloat16", "float32", or None where there are none.

    Raises:
        ValueError: HARMONIUM_PRODUCTS has another value than auto, bfloat16 and float32.

    Example:
        >>> products() in ("bfloat16", "float32", None)
        True
    """
    asked = os.environ.get("HARMONIUM_PRODUCTS", "auto")
    if asked not in ("auto", "bfloat16", "float32"):
        raise ValueError(f"HARMONIUM_PRODUCTS must be auto, bfloat16 or float32, got {asked!r}.")
    if asked != "float32" and tiles.available():
        return "bfloat16"
    return "float32" if _sgemm() else None


@functools.cache
def _sgemm() -> int:
    """Address of PyTorch's own product of float32 matrices, 0 where it can't be had."""
    library = cpu.library()
    try:
        return ctypes.cast(library.sgemm_, ctypes.c_void_p).value or 0 if library else 0
    except AttributeError:
        return 0


@functools.cache
def _compiled(name: str) -> Any:
    return cpu.compiled(getattr(sweep_loops, name))


_local = threading.local()


def _space(sizes: list[int]) -> list[int]:
    """Addresses of pieces of memory of this Python thread, each on a cache line of its own.

    It's kept from call to call, because new pages would cost more than the draws of a small layer.
    """
    sizes = [-(-size // 64) * 64 for size in sizes]
    held = getattr(_local, "space", None)
    if held is None or len(held) < sum(sizes) + 64:
        held = _local.space = np.empty(sum(sizes) + 64, np.uint8)
    begin = -(-held.ctypes.data // 64) * 64
    return [begin + sum(sizes[:i]) for i in range(len(sizes))]


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
    panels = threads * -(-rows // (threads * HEIGHT))
    height = -(-rows // panels)
    on_units = products() == "bfloat16"
    size = _thread_bytes(height, widths, max(side.states for side in sides))
    weights = packed_bytes(weight) if on_units else 0
    *packed, space = _space([weights, weights, threads * size])
    counters = (ctypes.c_int64 * 3)()
    if on_units:
        pack(weight, True, packed[0])
        pack(weight, False, packed[1])
    else:
        packed = [weight.data_ptr()] * 2
    job = [
        *(ctypes.addressof(counters), rows, height, sweeps, 0 if on_units else _sgemm()),
        *(space, size, tiles.LAYOUT.ctypes.data),
        *(0 if beta is None else beta.data_ptr(), 0 if beta is None else beta.stride(0), 0, 0),
        *_address_words(addresses[0]),
    ]
    for side, address, matrix, result in zip(sides, addresses, packed, out, strict=True):
        job += [result.shape[1], KINDS[side.kind], side.states, address.unit, side.bias.data_ptr()]
        job += [0 if side.base is None else side.base.data_ptr(), matrix]
        job += [visible.data_ptr(), visible.stride(0) * 4, result.data_ptr(), result.stride(0) * 4]
    cpu.run(_compiled("_sweep"), sweep_loops.JOB.pack(*job), min(threads, panels))
    return None if counters[sweep_loops.INEXACT] else (out[0], out[1])


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


def packed_bytes(weight: Tensor) -> int:
    """Memory that packed weights take, the same for both ways round."""
    return math.prod(-(-n // tiles.SIDE) for n in weight.shape) * 2 * sweep_loops.PLANES * tiles.BYTES


def pack(weight: Tensor, transposed: bool, out: int) -> None:
    """Weights as the matrix units read them: right factors of states, W' if `transposed`, W otherwise."""
    depth, columns = reversed(weight.shape) if transposed else weight.shape
    counter = ctypes.c_int64(0)
    job = sweep_loops.PACK.pack(
        *(ctypes.addressof(counter), weight.data_ptr(), weight.stride(0) * 4),
        *(depth, columns, transposed, out, 0),
    )
    cpu.run(_compiled("_pack"), job, cpu.threads(weight.numel() >= SERIAL))
