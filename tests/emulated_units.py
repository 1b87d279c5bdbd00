"""Matrix units in software, so that the loops made for them are tested on processors without any.

As a plugin of pytest (``-p emulated_units``) it has the path ``matrix`` taken, and one thread run everything.
"""

import numba
import numpy as np
from numba.core.caching import FunctionCache

from harmonium.kernels import launch, matrix, processor
from harmonium.kernels.matrix import units
from harmonium.kernels.primitives import _array, _bits

MEMORY = np.zeros(8 * 1024 + 64, np.uint8)
TILES = (MEMORY.ctypes.data + 63) // 64 * 64  # eight tiles of 16 rows of 64 bytes

_jit = numba.njit(error_model="numpy")
u16, u32, f32 = np.uint16, np.uint32, np.float32


@_jit
def _number(bits):
    return _bits(u32(u32(bits) << u32(16)), f32)


def nothing():
    @_jit
    def call(address, stride):
        pass

    return call


def zero(tile):
    @_jit
    def call(address, stride):
        x = _array(TILES + 1024 * tile, 256, f32)
        for i in range(256):
            x[i] = f32(0)

    return call


def copy(tile, store):
    @_jit
    def call(address, stride):
        for row in range(16):
            own = _array(TILES + 1024 * tile + 64 * row, 16, f32)
            other = _array(address + row * stride, 16, f32)
            for i in range(16):
                if store:
                    other[i] = own[i]
                else:
                    own[i] = other[i]

    return call


def add(sums, left, right):
    @_jit
    def call(address, stride):
        s = _array(TILES + 1024 * sums, 256, f32)
        a, b = _array(TILES + 1024 * left, 512, u16), _array(TILES + 1024 * right, 512, u16)
        for m in range(16):
            for k in range(16):
                even, odd = _number(a[32 * m + 2 * k]), _number(a[32 * m + 2 * k + 1])
                for n in range(16):
                    pair = even * _number(b[32 * k + 2 * n]) + odd * _number(b[32 * k + 2 * n + 1])
                    s[16 * m + n] += pair

    return call


def compiled(signature, cache, cfunc=numba.cfunc):
    """As Numba's own, but nothing for real units must be found."""

    def of(loop):
        for_units = loop.__module__.startswith(matrix.__name__)
        return cfunc(signature, cache=cache and not for_units)(loop)

    return of


def pytest_configure(config):
    """Only as a plugin: collecting tests imports this file as well."""
    units.configure, units.release = nothing(), nothing()
    units.zero0, units.zero1, units.zero2, units.zero3 = (zero(t) for t in range(4))
    units.store0, units.store1, units.store2, units.store3 = (copy(t, True) for t in range(4))
    units.load4, units.load5, units.load6, units.load7 = (copy(t, False) for t in range(4, 8))
    units.add0, units.add1, units.add2, units.add3 = (add(s, 4 + s // 2, 6 + s % 2) for s in range(4))

    processor.no_matrix_units = lambda: ""
    launch.openmp = lambda: None  # there is one set of tiles, not one for each thread
    numba.cfunc = compiled
    FunctionCache.save_overload = lambda cache, signature, data: None  # what is compiled here is for here
