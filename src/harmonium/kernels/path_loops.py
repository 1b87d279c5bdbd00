"""The compiled loops behind ``harmonium.kernels.paths``: chains led along a path of models, and their work.

A thread takes a panel of chains through all steps. The fields that a step's first draw needs are those whose
cumulants tell how the free energy changes with β, so a step costs two products like any other sweep, and two
exponentials for each number of one layer.

Draws are made by the compiled function of ``loops``, called by its address: it needn't be compiled again.
"""

# Compiled functions take the types that Numba infers.
# mypy: disable-error-code="no-untyped-def, call-arg, attr-defined, import-untyped, var-annotated"

from __future__ import annotations

import struct

import numba
import numpy as np
from llvmlite import ir
from numba import carray, types
from numba.extending import intrinsic

from harmonium.kernels import loops, tiles
from harmonium.kernels.loops import CATEGORICAL, SPIN, TILE
from harmonium.kernels.primitives import OPTIONS, _array, _bits, _claim, _inline, _jit, _wide
from harmonium.kernels.product_loops import _blocks, _clear_margin, _field_stride, _multiply, _state_stride
from harmonium.kernels.sweep_loops import _add_bias, _library_product, _load_states, _store_state

# Places in a job. Times and chains lie where `loops` has them.
COUNTERS, ROWS, PANEL, STEPS, PRODUCT, SPACE, SPACE_SIZE, LAYOUT = range(8)  # SPACE: of each thread
BETAS, WORKS, DRAW, FLIPPED = range(8, 12)  # (steps + 1, rows) float32, (rows,) float64, address, 0 or 1
SEED, PURPOSE, STEP, UNIT, CHAIN, CHAINS = range(12, 18)
SIDES = 18  # then the given side and the summed one, each:
WIDTH, KIND, STATES, FIRST_UNIT, BIAS, BASE, WEIGHT, START, START_STRIDE, OUT, OUT_STRIDE = range(11)
PLACES_OF_SIDE = 11
PLACES = SIDES + 2 * PLACES_OF_SIDE
JOB = struct.Struct("=12qQ5q22q")
NEXT_PANEL, NEXT_THREAD, INEXACT = range(3)  # counters that the threads share
PIECE = 512  # numbers whose factors 1 + exp(-|x|) <= 2 have a product that float64 holds

u32, f32 = np.uint32, np.float32


@intrinsic
def _call(typing_context, function, pointer):
    """Calls the compiled function at an address with a pointer."""

    def codegen(context, builder, signature, args):
        kind = ir.FunctionType(ir.VoidType(), [ir.IntType(8).as_pointer()])
        code = builder.inttoptr(args[0], kind.as_pointer())
        builder.call(code, [builder.inttoptr(args[1], ir.IntType(8).as_pointer())])
        return context.get_dummy_value()

    return types.none(types.int64, types.int64), codegen


# ---------------------------------------------------------------- cumulants


@_inline
def _exp(y):
    # exp(y) for y <= 0, by the steps of `loops._exp32`
    y = -loops.LIMIT32 if y < -loops.LIMIT32 else y  # written so that NaN stays
    shifted = f32(y * loops.LOG2E32 + loops.ROUND32)
    k = shifted - loops.ROUND32
    f = (y - k * loops.LN2_HIGH32) - k * loops.LN2_LOW32
    p = loops.TAYLOR32[0]
    for c in loops.TAYLOR32[1:]:
        p = p * f + c
    p = (p * f * f + f) + f32(1)
    return p * _bits(np.int32(_bits(shifted, np.int32) << np.int32(23)), f32)


@numba.njit(fastmath={"contract"}, **OPTIONS)
def _two_state_piece(field, bias, base, scale, betas, parts):
    """Parts of the cumulants of some units at both β: factors at either, and what grows linearly."""
    _wide()
    at_here, at_there, linear = parts
    here, there = betas
    for i in range(field.size):
        slope = bias[i] + field[i]
        x, y = scale * (base[i] + here * slope), scale * (base[i] + there * slope)
        at_here[i], at_there[i] = f32(1) + _exp(-abs(x)), f32(1) + _exp(-abs(y))
        linear[i] = f32(0.5) * ((abs(y) - abs(x)) + (y - x))
    for i in range(field.size, PIECE):
        at_here[i], at_there[i], linear[i] = f32(1), f32(1), f32(0)
    half = PIECE // 2
    while half >= 16:  # products of at most 2^32 each are left
        for i in range(half):
            at_here[i] *= at_here[i + half]
            at_there[i] *= at_there[i + half]
            linear[i] += linear[i + half]
        half //= 2


@_inline
def _two_state_change(field, ground, kind, betas, parts):
    """The sum of log(1 + exp(x)) there minus here; for spins, of log 2 cosh(x)."""
    scale, total = f32(2) if kind == SPIN else f32(1), 0.0
    for start in range(0, field.size, PIECE):
        stop = min(start + PIECE, field.size)
        bias, base = ground[start:stop], ground[field.size + start : field.size + stop]
        _two_state_piece(field[start:stop], bias, base, scale, betas, parts)
        here, there, linear = 1.0, 1.0, 0.0
        for i in range(16):
            here *= parts[0][i]
            there *= parts[1][i]
            linear += parts[2][i]
        total += np.log(there / here) + linear
    if kind == SPIN:  # log 2 cosh(x) = log(1 + exp(2x)) - x
        shift = 0.0
        for i in range(field.size):
            shift += ground[i] + field[i]
        total -= (betas[1] - betas[0]) * shift
    return total


@_jit
def _category_sums(field, ground, states, beta, room):
    """log of the sum over the states of exp(x) at β, of some sites: t.size of them."""
    _wide()
    bias, base = ground
    planes, t = room
    n = t.size
    for s in range(n):
        t[s] = f32(-np.inf)
    for k in range(states):
        for s in range(n):
            i = s * states + k
            value = base[i] + beta * (bias[i] + field[i])
            planes[k * n + s] = value
            t[s] = value if value > t[s] else t[s]
    top = 0.0
    for s in range(n):
        top += t[s]
    for k in range(1, states + 1):
        for s in range(n):
            factor = _exp(planes[(k - 1) * n + s] - t[s])
            planes[s] = factor if k == 1 else planes[s] + factor
    product = 1.0  # of at most 1024 / states sums of at most `states`
    for s in range(n):
        product *= planes[s]
    return top + np.log(product)


@_inline
def _category_change(field, ground, states, betas, room):
    sites, total = field.size // states, 0.0
    planes, t = room
    width = max(16, TILE // states)
    for start in range(0, sites, width):
        n, begin = min(width, sites - start), start * states
        end = begin + n * states
        here, grounds = field[begin:end], (ground[begin:end], ground[field.size + begin : field.size + end])
        total += _category_sums(here, grounds, states, betas[1], (planes, t[:n]))
        total -= _category_sums(here, grounds, states, betas[0], (planes, t[:n]))
    return total


# ---------------------------------------------------------------- panels


@numba.njit(fastmath={"reassoc", "contract"}, **OPTIONS)
def _dot(x, y):
    _wide()
    total = 0.0
    for i in range(x.size):
        total += x[i] * y[i]
    return total


@_jit
def _draw(job, local, side, span, fields):
    """New states where their fields are, (rows, width), by `loops`."""
    states = side[STATES]
    first, rows = span
    local[loops.KIND], local[loops.STATES], local[loops.ITEM] = side[KIND], states, 4
    local[loops.COUNTER], local[loops.GRAIN], local[loops.ROWS] = 0, 2**62, rows
    local[loops.UNITS], local[loops.UNIT] = side[WIDTH] // states, side[FIRST_UNIT]
    local[loops.WIDTH] = TILE if states == 1 else max(16, TILE // states // 4 * 4)
    local[loops.FIELD], local[loops.FIELD_STRIDE] = fields, _field_stride(side[WIDTH])
    local[loops.OUT], local[loops.OUT_STRIDE] = fields, _field_stride(side[WIDTH])
    local[loops.CHAIN] = job[CHAIN] + first
    local[loops.CHAINS] = job[CHAINS] + 4 * first if job[CHAINS] else 0
    _call(job[DRAW], local.ctypes.data)


@_jit
def _product(job, rows, sides, transposed, panels):
    """Fields without bias: the states of the second side times the weights, on the first."""
    side, other = sides
    source, fields = panels
    product, stride = job[PRODUCT], _field_stride(side[WIDTH])
    if product == 0:
        shape = _blocks(rows), _blocks(other[WIDTH]), _blocks(side[WIDTH])
        _multiply(source, _state_stride(other[WIDTH], 0), side[WEIGHT], shape, fields, stride)
    else:
        shape = other[WIDTH], side[WIDTH], transposed
        _library_product(product, source, rows, side[WEIGHT], shape, fields)


@_jit
def _keep(job, side, span, panels, last):
    """Drawn states into the panel of left factors, and after the last step to where the result belongs."""
    first, rows = span
    fields, panel = panels
    width, product = side[WIDTH], job[PRODUCT]
    for r in range(rows):
        x = _array(fields + r * _field_stride(width), width, f32)
        _store_state(x, width, panel + r * _state_stride(width, product), product)
        if last:
            out = _array(side[OUT] + (first + r) * side[OUT_STRIDE], width, f32)
            for i in range(width):
                out[i] = x[i]


@_inline
def _work_panel(job, side, span, betas, fields, memory):
    """Adds the work of a step to its chains, and makes fields at the new β of products."""
    works = _array(job[WORKS], job[ROWS], np.float64)
    first, rows = span
    ground, dots, parts, room = memory
    for r in range(rows):
        here, there = betas[first + r], betas[job[ROWS] + first + r]
        x = _array(fields + r * _field_stride(side[WIDTH]), side[WIDTH], f32)
        if side[KIND] == CATEGORICAL:
            change = _category_change(x, ground, side[STATES], (here, there), room)
        else:
            change = _two_state_change(x, ground, side[KIND], (here, there), parts)
        works[first + r] -= change + (np.float64(there) - np.float64(here)) * dots[r]
        _add_bias(x, ground[: x.size], ground[x.size :], there)


@_jit
def _bias_panel(job, side, span, betas, fields, ground):
    first, rows = span
    for r in range(rows):
        x = _array(fields + r * _field_stride(side[WIDTH]), side[WIDTH], f32)
        _add_bias(x, ground[: x.size], ground[x.size :], betas[job[ROWS] + first + r])


@_inline
def _dots(side, rows, fields, ground, dots):
    """Bias times states of each chain."""
    for r in range(rows):
        x = _array(fields + r * _field_stride(side[WIDTH]), side[WIDTH], f32)
        dots[r] = _dot(x, ground[: x.size])


@_inline
def _lead_panel(job, first, rows, memory, local):
    panels, grounds, dots, scratch = memory
    span, work = (first, rows), (grounds[1], dots, scratch[0], scratch[1])
    given, summed = job[SIDES : SIDES + PLACES_OF_SIDE], job[SIDES + PLACES_OF_SIDE :]
    if _load_states(given, first, rows, panels[0], job[PRODUCT]):
        _array(job[COUNTERS], 3, np.int64)[INEXACT] = 1
        return
    for r in range(rows):
        x = _array(given[START] + (first + r) * given[START_STRIDE], given[WIDTH], f32)
        dots[r] = _dot(x, grounds[0][: given[WIDTH]])
    for step in range(job[STEPS]):
        local[STEP], last = job[STEP] + step, step == job[STEPS] - 1
        betas = _array(job[BETAS] + 4 * step * job[ROWS], 2 * job[ROWS], f32)
        _product(job, rows, (summed, given), job[FLIPPED], (panels[0], panels[2]))
        _work_panel(job, summed, span, betas, panels[2], work)
        _draw(job, local, summed, span, panels[2])
        _keep(job, summed, span, (panels[2], panels[1]), last)
        _product(job, rows, (given, summed), 1 - job[FLIPPED], (panels[1], panels[2]))
        _bias_panel(job, given, span, betas, panels[2], grounds[0])
        _draw(job, local, given, span, panels[2])
        _keep(job, given, span, (panels[2], panels[0]), last)
        _dots(given, rows, panels[2], grounds[0], dots)


@_jit
def _fill(side, ground):
    """Bias and base of a side, one after the other; element by element, which is quick to compile."""
    width = side[WIDTH]
    for k in range(2):
        for i in range(width):
            ground[k * width + i] = f32(0)
        if side[BIAS + k]:
            given = _array(side[BIAS + k], side[WIDTH], f32)
            for i in range(side[WIDTH]):
                ground[k * width + i] = given[i]


def _lead(pointer):
    """What each thread does: claim a panel, lead it along the whole path, until all are taken."""
    job = carray(pointer, (PLACES,), np.int64)
    local = np.empty(loops.PLACES, np.int64)
    for i in range(SEED, CHAINS + 1):
        local[i] = job[i]
    product, height = job[PRODUCT], _blocks(job[PANEL]) * tiles.SIDE
    given, summed = job[SIDES : SIDES + PLACES_OF_SIDE], job[SIDES + PLACES_OF_SIDE :]
    place = job[SPACE] + job[SPACE_SIZE] * _claim(job[COUNTERS] + 8 * NEXT_THREAD, 1)
    second = place + height * _state_stride(given[WIDTH], product)
    panels = place, second, second + height * _state_stride(summed[WIDTH], product)
    wide, most = given[WIDTH] + summed[WIDTH], TILE + 16 * summed[STATES]
    room = np.empty(2 * wide + 3 * PIECE + most + TILE, f32)
    grounds = room[: 2 * given[WIDTH]], room[2 * given[WIDTH] : 2 * wide]
    _fill(given, grounds[0])
    _fill(summed, grounds[1])
    room = room[2 * wide :]
    parts = room[:PIECE], room[PIECE : 2 * PIECE], room[2 * PIECE : 3 * PIECE]
    scratch = parts, (room[3 * PIECE : 3 * PIECE + most], room[3 * PIECE + most :])
    item = 2 if product == 0 else 4
    for side, panel in ((given, panels[0]), (summed, panels[1])):
        _clear_margin(panel, height, side[WIDTH] * item, _state_stride(side[WIDTH], product))
    if product == 0:
        tiles.configure(job[LAYOUT], 0)
    memory = panels, grounds, np.empty(height, np.float64), scratch
    first = _claim(job[COUNTERS], job[PANEL])
    while first < job[ROWS]:
        _lead_panel(job, first, min(job[PANEL], job[ROWS] - first), memory, local)
        first = _claim(job[COUNTERS], job[PANEL])
    if product == 0:
        tiles.release(0, 0)
