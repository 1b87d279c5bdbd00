"""Products of float32 matrices, in bfloat16 on processors with matrix units for it.

Each float32 number is the sum of two bfloat16 numbers up to 2^-16 of itself (see ``product_loops``), so a
product of two matrices is off by at most 2^-14 of the product of their absolute values, and by 2^-16 of it
where the left one holds states, which are exact. Where that would matter, use ``torch.mm``.

The environment variable HARMONIUM_PRODUCTS chooses: ``auto`` (the default: bfloat16 where there is a unit for
it), ``bfloat16`` or ``float32``.
"""

from __future__ import annotations

import ctypes
import functools
import itertools
import math
import os
import threading
from typing import Any

import numpy as np
from torch import Tensor

from harmonium.kernels import cpu, product_loops, tiles

SERIAL = 2**16  # numbers below which starting threads costs more than it saves
SMALL = 2**19  # multiplications below which PyTorch's product is as fast
HEIGHT = 64  # rows of a panel


def path() -> str | None:
    """What the products inside kernels run on here: "bfloat16", "float32", or None where there are none.

    Raises:
        ValueError: HARMONIUM_PRODUCTS has another value than auto, bfloat16 and float32.

    Example:
        >>> path() in ("bfloat16", "float32", None)
        True
    """
    asked = os.environ.get("HARMONIUM_PRODUCTS", "auto")
    if asked not in ("auto", "bfloat16", "float32"):
        raise ValueError(f"HARMONIUM_PRODUCTS must be auto, bfloat16 or float32, got {asked!r}.")
    if asked != "float32" and tiles.available():
        return "bfloat16"
    return "float32" if sgemm() else None


@functools.cache
def sgemm() -> int:
    """Address of PyTorch's own product of float32 matrices, 0 where it can't be had."""
    library = cpu.library()
    try:
        return ctypes.cast(library.sgemm_, ctypes.c_void_p).value or 0 if library else 0
    except AttributeError:
        return 0


@functools.cache
def compiled(name: str) -> Any:
    """The compiled function of this name in ``product_loops``."""
    return cpu.compiled(getattr(product_loops, name))


_local = threading.local()


def space(sizes: list[int]) -> list[int]:
    """Addresses of pieces of memory of this Python thread, each on a cache line of its own.

    It's kept from call to call, because new pages would cost more than the draws of a small layer.
    """
    *places, end = itertools.accumulate((-(-size // 64) * 64 for size in sizes), initial=64)
    begin, held = getattr(_local, "space", (0, 0))
    if held < end:
        _local.memory = np.empty(end, np.uint8)
        begin, held = _local.space = _local.memory.ctypes.data // 64 * 64, end
    return [begin + place for place in places]


def product(
    left: Tensor,
    right: Tensor,
    bias: Tensor | None = None,
    *,
    transposed: bool = False,
    add_to: Tensor | None = None,
) -> Tensor:
    """As ``kernels.product``."""
    depth, columns = right.shape
    rows = left.shape[1 if transposed else 0]
    height = min(HEIGHT, -(-rows // tiles.SIDE) * tiles.SIDE)
    threads = cpu.threads(rows * columns * depth >= SMALL)
    size = thread_bytes(height, depth, columns)
    packed, panels = space([packed_bytes(right), threads * size])
    pack(right, (False, packed))
    out = right.new_empty(rows, columns) if add_to is None else add_to
    counters = (ctypes.c_int64 * 2)()
    job = product_loops.PRODUCT.pack(
        *(ctypes.addressof(counters), rows, height, depth, columns, left.data_ptr(), left.stride(0) * 4),
        *(transposed, packed, 0 if bias is None else bias.data_ptr(), out.data_ptr(), out.stride(0) * 4),
        *(add_to is not None, panels, size, tiles.LAYOUT.ctypes.data),
    )
    cpu.run(compiled("_product"), job, min(threads, -(-rows // height)))
    return out


def thread_bytes(height: int, depth: int, columns: int) -> int:
    """Memory for one thread: panels of left factors, of their remainders and of sums."""
    deep, wide = ((-(-n // tiles.SIDE) + 1) * tiles.SIDE for n in (depth, columns))
    return -(-height * (4 * deep + 4 * wide) // 64) * 64


def packed_bytes(matrix: Tensor) -> int:
    """Memory that packed right factors take, the same for both ways round."""
    return math.prod(-(-n // tiles.SIDE) for n in matrix.shape) * 2 * product_loops.PLANES * tiles.BYTES


class Unchanged:
    """Within such a block a matrix packed once is found again, unless PyTorch knows of a change to it."""

    def __enter__(self) -> None:
        _local.known = {}

    def __exit__(self, *error: object) -> None:
        _local.known = None


def packed(matrix: Tensor, *ways: bool) -> list[int]:
    """Addresses of a matrix packed in each of these ways (True: transposed), good until the next call."""
    known = getattr(_local, "known", None)
    mark = matrix.data_ptr(), matrix._version, matrix.stride(0), matrix.shape
    missing, places = [], []
    for transposed in ways:
        places.append(_room(transposed, packed_bytes(matrix)))
        if known is None or known.get(transposed, (None,))[0] != mark:
            missing.append((transposed, places[-1]))
        if known is not None:
            known[transposed] = mark, matrix  # kept alive: another matrix must not come to lie at its address
    if missing:
        pack(matrix, *missing)
    return places


def _room(transposed: bool, size: int) -> int:
    """The address of this thread's memory for matrices packed in this way."""
    rooms = _local.__dict__.setdefault("rooms", {})
    _, begin, held = rooms.get(transposed, (None, 0, 0))
    if held < size:
        memory = np.empty(size + 64, np.uint8)
        begin = -(-memory.ctypes.data // 64) * 64
        rooms[transposed] = memory, begin, size
    return int(begin)


def pack(matrix: Tensor, *ways: tuple[bool, int]) -> None:
    """A matrix as the matrix units read right factors, for each way (transposed, address to write to)."""
    places, threads = dict(ways), cpu.threads(matrix.numel() >= SERIAL)
    counters = (ctypes.c_int64 * threads)()
    job = product_loops.PACK.pack(
        *(ctypes.addressof(counters), *cpu.team(threads)),
        *(matrix.data_ptr(), matrix.stride(0) * 4, *matrix.shape, places.get(False, 0), places.get(True, 0)),
    )
    cpu.run(compiled("_pack"), job, threads)
