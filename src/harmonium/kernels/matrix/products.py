"""Products of float32 matrices in bfloat16 on matrix units.

Each float32 number is the sum of two bfloat16 numbers up to 2^-16 of itself (see ``product_loops``), so a
product of two matrices is off by at most 2^-14 of the product of their absolute values, and by 2^-16 of it
where the left one holds states, which are exact. Where that would matter, use ``torch.mm``.
"""

from __future__ import annotations

import ctypes
import math

import numpy as np
from torch import Tensor

from harmonium.kernels import launch, memory
from harmonium.kernels.matrix import product_loops, units

SERIAL = 2**16  # numbers below which starting threads costs more than it saves
SMALL = 2**19  # multiplications below which PyTorch's product is as fast
HEIGHT = 64  # rows of a panel


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
    height = min(HEIGHT, -(-rows // units.SIDE) * units.SIDE)
    threads = launch.threads(rows * columns * depth >= SMALL)
    size = thread_bytes(height, depth, columns)
    packed, panels = memory.space([packed_bytes(right), threads * size])
    pack(right, (False, packed))
    out = right.new_empty(rows, columns) if add_to is None else add_to
    counters = (ctypes.c_int64 * 2)()
    job = product_loops.PRODUCT.pack(
        *(ctypes.addressof(counters), rows, height, depth, columns, left.data_ptr(), left.stride(0) * 4),
        *(transposed, packed, 0 if bias is None else bias.data_ptr(), out.data_ptr(), out.stride(0) * 4),
        *(add_to is not None, panels, size, units.LAYOUT.ctypes.data),
    )
    launch.run(product_loops.product, job, min(threads, -(-rows // height)))
    return out


def thread_bytes(height: int, depth: int, columns: int) -> int:
    """Memory for one thread: panels of left factors, of their remainders and of sums."""
    deep, wide = ((-(-n // units.SIDE) + 1) * units.SIDE for n in (depth, columns))
    return -(-height * (4 * deep + 4 * wide) // 64) * 64


def packed_bytes(matrix: Tensor) -> int:
    """Memory that packed right factors take, the same for both ways round."""
    return math.prod(-(-n // units.SIDE) for n in matrix.shape) * 2 * product_loops.PLANES * units.BYTES


class Unchanged:
    """Within such a block a matrix packed once is found again, unless PyTorch knows of a change to it."""

    def __enter__(self) -> None:
        memory.local.known = {}

    def __exit__(self, *error: object) -> None:
        memory.local.known = None


def packed(matrix: Tensor, *ways: bool) -> list[int]:
    """Addresses of a matrix packed in each of these ways (True: transposed), good until the next call."""
    known = getattr(memory.local, "known", None)
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
    rooms = memory.local.__dict__.setdefault("rooms", {})
    _, begin, held = rooms.get(transposed, (None, 0, 0))
    if held < size:
        block = np.empty(size + 64, np.uint8)
        begin = -(-block.ctypes.data // 64) * 64
        rooms[transposed] = block, begin, size
    return int(begin)


def pack(matrix: Tensor, *ways: tuple[bool, int]) -> None:
    """A matrix as the matrix units read right factors, for each way (transposed, address to write to)."""
    places, threads = dict(ways), launch.threads(matrix.numel() >= SERIAL)
    counters = (ctypes.c_int64 * threads)()
    job = product_loops.PACK.pack(
        *(ctypes.addressof(counters), *launch.team(threads)),
        *(matrix.data_ptr(), matrix.stride(0) * 4, *matrix.shape, places.get(False, 0), places.get(True, 0)),
    )
    launch.run(product_loops.pack, job, threads)
