"""The compiled products on matrix units behind ``matrix.products`` and its neighbours.

A float32 number is taken as the sum of two bfloat16 numbers, the nearest one and the nearest to what that
leaves. Products of bfloat16 numbers are exact in float32, and the units sum them in float32. A left factor
that bfloat16 holds exactly (states) needs two products of each pair, any other three: the product of the two
remainders is below 2^-16 of the whole and is left out.

Numba's cache on disk watches only the file of the function it compiles: touch this one after a change in one
that it imports from.
"""

# Compiled functions take the types that Numba infers.
# mypy: disable-error-code="no-untyped-def, call-arg, attr-defined, import-untyped, var-annotated"

from __future__ import annotations

import struct

import numpy as np
from llvmlite import ir
from numba import carray, types
from numba.extending import intrinsic

from harmonium.kernels.chain_loops import (
    P_CALLED,
    P_DEPTH,
    P_FIELDS,
    P_PLACES,
    P_ROOM,
    P_ROWS,
    P_SOURCE,
    P_STRIDE,
    P_WEIGHT,
    P_WIDTH,
    _field_stride,
)
from harmonium.kernels.matrix import units
from harmonium.kernels.primitives import _array, _bits, _claim, _claim_near, _inline, _jit, _thread, _wide

PLANES = 2  # bfloat16 numbers whose sum stands for a float32 number
u16, u32, f32 = np.uint16, np.uint32, np.float32


@_inline
def _blocks(n):
    return (n + (units.SIDE - 1)) // units.SIDE


def state_stride(width):
    """Bytes between the rows of a panel of left factors: whole blocks, and a cache line more, so that rows
    don't fall on the same places of the cache.
    """
    return (width + 31) // 32 * 64 + 64


_state_stride = _inline(state_stride)


# ---------------------------------------------------------------- products


@_jit
def _block(a, stride, b, depth, c, c_stride):
    """32 x 32 sums: left factors at a times packed right factors at b, to c."""
    units.zero0(0, 0)
    units.zero1(0, 0)
    units.zero2(0, 0)
    units.zero3(0, 0)
    for _ in range(depth):
        units.load4(a, stride)
        units.load5(a + 16 * stride, stride)
        a += 64
        for _ in range(PLANES):
            units.load6(b, 64)
            units.load7(b + 1024, 64)
            b += 2048
            units.add0(0, 0)
            units.add1(0, 0)
            units.add2(0, 0)
            units.add3(0, 0)
    units.store0(c, c_stride)
    units.store1(c + 64, c_stride)
    units.store2(c + 16 * c_stride, c_stride)
    units.store3(c + 16 * c_stride + 64, c_stride)


@_jit
def _multiply(a, stride, b, shape, c, c_stride):
    """Panel of left factors times packed right factors, to c; shape is (rows, depth, columns), in blocks."""
    rows, depth, columns = shape
    for n in range(columns):
        for r in range(rows):
            _block(a + 32 * r * stride, stride, b, depth, c + 32 * r * c_stride + 128 * n, c_stride)
        b += depth * PLANES * 2048


@_jit
def _block_of_sums(left, stride, b, depth, c, c_stride):
    """The same where the left factors have a remainder: high low + high high + low high."""
    a, rest = left
    units.zero0(0, 0)
    units.zero1(0, 0)
    units.zero2(0, 0)
    units.zero3(0, 0)
    for _ in range(depth):
        for step in range(3):
            if step != 1:
                factors = a if step == 0 else rest
                units.load4(factors, stride)
                units.load5(factors + 16 * stride, stride)
            if step != 2:
                units.load6(b + 2048 * step, 64)
                units.load7(b + 2048 * step + 1024, 64)
            units.add0(0, 0)
            units.add1(0, 0)
            units.add2(0, 0)
            units.add3(0, 0)
        a += 64
        rest += 64
        b += 4096
    units.store0(c, c_stride)
    units.store1(c + 64, c_stride)
    units.store2(c + 16 * c_stride, c_stride)
    units.store3(c + 16 * c_stride + 64, c_stride)


# ---------------------------------------------------------------- packed right factors

# Places in a job: counters of the shares; the matrix; addresses to pack it to as it is and transposed, or 0
K_COUNTERS, K_NUMBER, K_THREADS, K_SOURCE, K_STRIDE, K_ROWS, K_COLUMNS, K_OUT, K_OUT_TRANSPOSED = range(9)
PACK = struct.Struct("=9q")


@_inline
def _rounded(bits):
    # to the nearest bfloat16 (ties away from zero), still as the bits of a float32
    return (bits + u32(0x8000)) & u32(0xFFFF0000)


@_inline
def _pair(a, b):
    """Two float32 numbers as two pairs of bfloat16 numbers: the nearest ones, and what these leave."""
    a_high, b_high = u32(_rounded(_bits(f32(a), u32))), u32(_rounded(_bits(f32(b), u32)))
    a_low, b_low = f32(a - _bits(a_high, f32)), f32(b - _bits(b_high, f32))
    low = (u32(_rounded(_bits(a_low, u32))) >> u32(16)) | u32(_rounded(_bits(b_low, u32)))
    return (a_high >> u32(16)) | b_high, low


@_jit
def _pack_rows(source, stride, high, low):
    """32 x 16 weights whose columns lie next to each other: pair p of column n goes to place 16 p + n."""
    _wide()
    for p in range(16):
        first = _array(source + 2 * p * stride, 16, f32)
        second = _array(source + (2 * p + 1) * stride, 16, f32)
        for n in range(16):
            high[16 * p + n], low[16 * p + n] = _pair(first[n], second[n])


@intrinsic
def _transpose(typing_context, source, target, stride):
    """16 x 16 32-bit words to rows that are `stride` bytes apart: four rounds of exchanging blocks."""

    def codegen(context, builder, signature, args):
        row = ir.VectorType(ir.IntType(32), 16)
        source, target, stride = args
        first, place = builder.inttoptr(source, row.as_pointer()), ir.IntType(64)
        rows = [builder.load(builder.gep(first, [ir.Constant(place, i)]), align=4) for i in range(16)]
        for s in (8, 4, 2, 1):
            upper = ir.Constant(row, [lane + 16 - s if lane & s else lane for lane in range(16)])
            lower = ir.Constant(row, [lane + 16 if lane & s else lane + s for lane in range(16)])
            for i in range(16):
                if not i & s:
                    pair = rows[i], rows[i + s]
                    rows[i] = builder.shuffle_vector(*pair, upper)
                    rows[i + s] = builder.shuffle_vector(*pair, lower)
        for i in range(16):
            step = builder.mul(stride, ir.Constant(place, i))
            builder.store(rows[i], builder.inttoptr(builder.add(target, step), row.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.none(types.int64, types.int64, types.int64), codegen


@_jit
def _pack_columns(source, stride, high, low, rows):
    """The same where the rows lie next to each other."""
    _wide()
    for n in range(16):
        row = _array(source + n * stride, 32, f32)
        for p in range(16):
            rows[16 * n + p], rows[256 + 16 * n + p] = _pair(row[2 * p], row[2 * p + 1])
    _transpose(rows.ctypes.data, high.ctypes.data, 64)
    _transpose(rows.ctypes.data + 1024, low.ctypes.data, 64)


@_jit
def _filled_up(source, stride, rows, columns, tile):
    """A corner of rows x columns weights in a tile of zeros, 32 x 32."""
    for i in range(1024):
        tile[i] = f32(0)
    for i in range(rows):
        x = _array(source + i * stride, columns, f32)
        for j in range(columns):
            tile[32 * i + j] = x[j]


@_inline
def _pack_block(job, i, j, tile, rows):
    """32 x 32 weights, which are block (i, j) of the matrix: for each half of a block its plane of remainders
    and 2 KB further on that of the nearest numbers.
    """
    source, stride = job[K_SOURCE] + 32 * i * job[K_STRIDE] + 128 * j, job[K_STRIDE]
    height, width = min(32, job[K_ROWS] - 32 * i), min(32, job[K_COLUMNS] - 32 * j)
    if height < 32 or width < 32:
        _filled_up(source, stride, height, width, tile)
        source, stride = tile.ctypes.data, 128
    for half in range(2):
        if job[K_OUT]:
            place = job[K_OUT] + (j * _blocks(job[K_ROWS]) + i) * PLANES * 2048 + 1024 * half
            _pack_rows(source + 64 * half, stride, _array(place + 2048, 256, u32), _array(place, 256, u32))
        if job[K_OUT_TRANSPOSED]:
            place = job[K_OUT_TRANSPOSED] + (i * _blocks(job[K_COLUMNS]) + j) * PLANES * 2048 + 1024 * half
            high, low = _array(place + 2048, 256, u32), _array(place, 256, u32)
            _pack_columns(source + 16 * half * stride, stride, high, low, rows)


def pack(pointer):
    """What each thread does: claim 32 rows of the matrix, until all are taken.

    A right factor is laid out as `_block` reads it: 32 columns after the other, then its depth.
    """
    job = carray(pointer, (9,), np.int64)
    tile, words = np.empty(1024, f32), np.empty(512, u32)
    bands, thread = _blocks(job[K_ROWS]), _thread(job[K_NUMBER])
    band = _claim_near(job[K_COUNTERS], thread, job[K_THREADS], bands)
    while band < bands:
        for j in range(_blocks(job[K_COLUMNS])):
            _pack_block(job, band, j, tile, words)
        band = _claim_near(job[K_COUNTERS], thread, job[K_THREADS], bands)


# ---------------------------------------------------------------- products within chains


@_jit
def _clear_margin(panel, rows, begin, stride):
    """Zeros behind each row, since what meets factors of zero there must not be NaN."""
    for r in range(rows):
        margin = _array(panel + r * stride + begin, stride - begin, np.uint8)
        margin[:] = np.uint8(0)


@_jit
def _load_exact(source, stride, width, rows, panel):
    """States that bfloat16 holds into a panel of left factors."""
    _wide()
    for r in range(rows):
        x = _array(source + r * stride, width, f32)
        short = _array(panel + r * _state_stride(width), width, u16)
        for i in range(width):  # the upper half of a float32 is a bfloat16
            short[i] = u16(_bits(x[i], u32) >> u32(16))


def panel_product(pointer):
    """Fields of a panel of states, as `chain_loops` asks for them; the weight is packed."""
    job = carray(pointer, (P_PLACES,), np.int64)
    depth, width, rows, panel = job[P_DEPTH], job[P_WIDTH], job[P_ROWS], job[P_ROOM]
    stride = _state_stride(depth)
    _clear_margin(panel, _blocks(rows) * units.SIDE, 2 * depth, stride)
    _load_exact(job[P_SOURCE], job[P_STRIDE], depth, rows, panel)
    units.configure(job[P_CALLED], 0)
    shape = _blocks(rows), _blocks(depth), _blocks(width)
    _multiply(panel, stride, job[P_WEIGHT], shape, job[P_FIELDS], _field_stride(width))
    units.release(0, 0)


# ---------------------------------------------------------------- whole products

# Places in a job; strides in bytes, addresses 0 where there is no such thing
COUNTERS, ROWS, HEIGHT, DEPTH, COLUMNS, LEFT, LEFT_STRIDE, TRANSPOSED, RIGHT, BIAS, OUT = range(11)
OUT_STRIDE, ADD, SPACE, SPACE_SIZE, LAYOUT = range(11, 16)
PRODUCT = struct.Struct("=16q")


@_jit
def _load_rows(job, first, rows, panel, rest):
    """Left factors into panels, rounded and the rest; returns a number that isn't 0 if there is any rest."""
    _wide()
    depth, stride, lost = job[DEPTH], _state_stride(job[DEPTH]), u32(0)
    for r in range(rows):
        x = _array(job[LEFT] + (first + r) * job[LEFT_STRIDE], depth, f32)
        high = _array(panel + r * stride, depth, u16)
        low = _array(rest + r * stride, depth, u16)
        for i in range(depth):
            bits = u32(_rounded(_bits(f32(x[i]), u32)))
            left = u32(_rounded(_bits(f32(x[i] - _bits(bits, f32)), u32))) >> u32(16)
            high[i], low[i] = u16(bits >> u32(16)), u16(left)
            lost = u32(lost | left)
    return lost


@_jit
def _load_columns(job, first, rows, panel, rest, scratch):
    """The same where the left factor is given transposed, in pieces of 32 x 16."""
    _wide()
    depth, stride, lost = job[DEPTH], _state_stride(job[DEPTH]), u32(0)
    tile, pairs = scratch
    for k in range(0, depth, 32):
        for r in range(0, rows, 16):
            source, source_stride = job[LEFT] + k * job[LEFT_STRIDE] + 4 * (first + r), job[LEFT_STRIDE]
            deep, wide = min(32, depth - k), min(16, rows - r)
            if deep < 32 or wide < 16:
                tile[:] = f32(0)
                for i in range(deep):
                    x = _array(source + i * source_stride, wide, f32)
                    for j in range(wide):
                        tile[16 * i + j] = x[j]
                source, source_stride = tile.ctypes.data, 64
            _pack_rows(source, source_stride, pairs[:256], pairs[256:])
            for i in range(256, 512):
                lost |= pairs[i]
            place = r * stride + 2 * k
            _transpose(pairs.ctypes.data, panel + place, stride)
            _transpose(pairs.ctypes.data + 1024, rest + place, stride)
    return lost


@_jit
def _write(job, row, panel):
    """A row of sums to where it belongs, with the bias and what is there already."""
    _wide()
    n = job[COLUMNS]
    sums = _array(panel, n, f32)
    out = _array(job[OUT] + row * job[OUT_STRIDE], n, f32)
    if job[BIAS]:
        bias = _array(job[BIAS], n, f32)
        for i in range(n):
            sums[i] += bias[i]
    if job[ADD]:
        for i in range(n):
            out[i] += sums[i]
    else:
        for i in range(n):
            out[i] = sums[i]


@_inline
def _product_panel(job, first, rows, panels, scratch):
    high, low, sums = panels
    stride, sums_stride = _state_stride(job[DEPTH]), _field_stride(job[COLUMNS])
    if job[TRANSPOSED]:
        lost = _load_columns(job, first, rows, high, low, scratch)
    else:
        lost = _load_rows(job, first, rows, high, low)
    depth, columns, b = _blocks(job[DEPTH]), _blocks(job[COLUMNS]), job[RIGHT]
    if lost:
        for n in range(columns):
            for r in range(_blocks(rows)):
                to, left = (
                    sums + 32 * r * sums_stride + 128 * n,
                    (high + 32 * r * stride, low + 32 * r * stride),
                )
                _block_of_sums(left, stride, b, depth, to, sums_stride)
            b += depth * PLANES * 2048
    else:
        _multiply(high, stride, b, (_blocks(rows), depth, columns), sums, sums_stride)
    for r in range(rows):
        _write(job, first + r, sums + r * sums_stride)


def product(pointer):
    """What each thread does: claim some rows of the result, until all are taken."""
    job = carray(pointer, (16,), np.int64)
    stride, height, depth = _state_stride(job[DEPTH]), job[HEIGHT], job[DEPTH]
    high = job[SPACE] + job[SPACE_SIZE] * _claim(job[COUNTERS] + 8, 1)
    panels = high, high + height * stride, high + 2 * height * stride
    for panel in panels[:2]:
        _clear_margin(panel, height, 2 * depth, stride)
    scratch = np.empty(512, f32), np.empty(512, u32)
    units.configure(job[LAYOUT], 0)
    first = _claim(job[COUNTERS], height)
    while first < job[ROWS]:
        _product_panel(job, first, min(height, job[ROWS] - first), panels, scratch)
        first = _claim(job[COUNTERS], height)
    units.release(0, 0)
