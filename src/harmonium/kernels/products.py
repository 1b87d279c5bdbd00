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
import math
import os
import threading
from typing import Any

import numpy as np
from torch import Tensor

from harmonium.kernels import cpu, product_loops, tiles

SERIAL = 8192  # numbers below which starting threads costs more than it saves
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
    sizes = [-(-size // 64) * 64 for size in sizes]
    held = getattr(_local, "space", None)
    if held is None or len(held) < sum(sizes) + 64:
        held = _local.space = np.empty(sum(sizes) + 64, np.uint8)
    begin = -(-held.ctypes.data // 64) * 64
    return [begin + sum(sizes[:i]) for i in range(len(sizes))]


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
    pack(right, False, packed)
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


def pack(matrix: Tensor, transposed: bool, out: int) -> None:
    """A matrix, or its transpose, as the matrix units read right factors; `out` is an address."""
    depth, columns = reversed(matrix.shape) if transposed else matrix.shape
    counter = ctypes.c_int64(0)
    job = product_loops.PACK.pack(
        *(ctypes.addressof(counter), matrix.data_ptr(), matrix.stride(0) * 4),
        *(depth, columns, transposed, out, 0),
    )
    cpu.run(compiled("_pack"), job, cpu.threads(matrix.numel() >= SERIAL))
