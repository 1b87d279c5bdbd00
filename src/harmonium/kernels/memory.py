"""Scratch memory for compiled loops, kept from call to call."""

from __future__ import annotations

import itertools
import threading

import numpy as np

local = threading.local()


def space(sizes: list[int]) -> list[int]:
    """Addresses of pieces of memory of this Python thread, each on a cache line of its own.

    It's kept from call to call, because new pages would cost more than the draws of a small layer.
    """
    *places, end = itertools.accumulate((-(-size // 64) * 64 for size in sizes), initial=64)
    begin, held = getattr(local, "space", (0, 0))
    if held < end:
        local.memory = np.empty(end, np.uint8)
        begin, held = local.space = local.memory.ctypes.data // 64 * 64, end
    return [begin + place for place in places]
