"""The compiled loops behind ``matrix.sweeps``: k Gibbs sweeps between two layers in one go.

A thread takes a panel of chains and makes all of its sweeps: product with the weights into a panel of fields,
bias, draw, and the new states are the left factor of the next product. Panels share nothing, so threads never
wait for each other, and a panel stays in the second-level cache.

Numba's cache on disk watches only the file of the function it compiles: touch this one after a change in one
that it imports from.
"""

# Compiled functions take the types that Numba infers.
# mypy: disable-error-code="no-untyped-def, call-arg, attr-defined, import-untyped, var-annotated"

from __future__ import annotations

import struct

import numpy as np
from numba import carray

from harmonium.kernels import draw_loops as loops
from harmonium.kernels.draw_loops import BERNOULLI, CATEGORICAL, PAD, TILE, _padded
from harmonium.kernels.matrix import units
from harmonium.kernels.matrix.product_loops import (
    _blocks,
    _clear_margin,
    _field_stride,
    _multiply,
    _state_stride,
)
from harmonium.kernels.primitives import (
    _array,
    _bits,
    _claim,
    _claim_near,
    _inline,
    _jit,
    _pointer,
    _thread,
    _wide,
)

# Places in a job. The first ones lie where `loops` has them, because its uniforms read them.
COUNTERS, ROWS, PANEL, SWEEPS, SPACE, SPACE_SIZE, LAYOUT = range(7)  # SPACE: of each thread
BETA, BETA_STRIDE, NUMBER, THREADS = range(7, 11)  # NUMBER: as `_thread` takes it
SEED, PURPOSE, STEP, UNIT, CHAIN, CHAINS = range(12, 18)
SIDES = 18  # then, for each side, visible first:
WIDTH, KIND, STATES, FIRST_UNIT, BIAS, BASE, WEIGHT, START, START_STRIDE, OUT, OUT_STRIDE = range(11)
PLACES_OF_SIDE = 11
PLACES = SIDES + 2 * PLACES_OF_SIDE
JOB = struct.Struct("=12qQ5q22q")
NEXT_THREAD, INEXACT, SHARES = range(
    3
)  # counters that the threads share; from SHARES on, one for each of them

u16, u32, f32 = np.uint16, np.uint32, np.float32


# ---------------------------------------------------------------- draws


@_jit
def _store_state(x, n, place):
    """A piece of a row of drawn states into the panel that is the next left factor."""
    _wide()
    short = _array(place, n, u16)
    for i in range(n):  # the upper half of a float32 is a bfloat16
        short[i] = u16(_bits(x[i], u32) >> u32(16))


@_jit
def _add_bias(field, bias, base, beta):
    """field <- base + beta (bias + field); base is 0 and beta 1 but for a model on a path."""
    _wide()
    for i in range(field.size):
        field[i] = base[i] + beta * (bias[i] + field[i])


@_inline
def _draw_piece(kind, field, drawn, scratch, states):
    """States in `drawn`, from fields that are filled up to whole blocks."""
    u, x, t = scratch
    if kind == CATEGORICAL:
        loops._categories(field, drawn, u, x, t, states)
        return
    low = f32(0) if kind == BERNOULLI else f32(-1)
    if loops._coarse(field, drawn, u, low):
        loops._two_states(field, drawn, u, x, low)


@_inline
def _row_chain(job, row):
    if job[CHAINS]:
        return np.int64(_array(job[CHAINS], job[ROWS], u32)[row])
    return job[CHAIN] + row


@_inline
def _draw_row(row, addresses, side, ground, job, scratch):
    """Draws one row; addresses: of its fields, of its states in the panel, and of the result or 0."""
    field, state, out = addresses
    u, x, y, t = scratch
    states = side[STATES]
    units = side[WIDTH] // states
    width = TILE if states == 1 else max(16, TILE // states // 4 * 4)
    beta = f32(1)
    if job[BETA]:
        beta = _array(job[BETA] + 4 * row * job[BETA_STRIDE], 1, f32)[0]
    for start in range(0, units, width):
        n, place = min(width, units - start), start * states
        loops._uniform32(u, _padded(n) // 4, (side[FIRST_UNIT] + start) // 4, _row_chain(job, row), job)
        numbers = _padded(n) if states == 1 else n * states
        here = _array(field + 4 * place, numbers, f32)
        _add_bias(here, ground[0, place : place + numbers], ground[1, place : place + numbers], beta)
        drawn = y[:numbers]
        _draw_piece(side[KIND], here, drawn, (u, x, t[:n]), states)
        _store_state(drawn, numbers, state + 2 * place)
        if out:
            result = _array(out + 4 * place, n * states, f32)
            for i in range(result.size):
                result[i] = drawn[i]


# ---------------------------------------------------------------- panels


@_jit
def _load_states(side, first, rows, panel):
    """Visible states of the panel's chains; returns a number that isn't 0 if bfloat16 can't hold them."""
    _wide()
    width, stride = side[WIDTH], _state_stride(side[WIDTH])
    lost = u32(0)
    for r in range(rows):
        source = side[START] + (first + r) * side[START_STRIDE]
        x = _array(source, width, f32)
        for i in range(width):
            lost = u32(lost | (_bits(x[i], u32) & u32(0xFFFF)))
        _store_state(x, width, panel + r * stride)
    return lost


@_inline
def _sweep_panel(job, first, rows, memory, local):
    panels, grounds, scratch = memory
    visible, hidden = job[SIDES : SIDES + PLACES_OF_SIDE], job[SIDES + PLACES_OF_SIDE :]
    if _load_states(visible, first, rows, panels[0]):
        _array(job[COUNTERS], SHARES, np.int64)[INEXACT] = 1
        return
    for half in range(2 * job[SWEEPS]):
        local[STEP] = job[STEP] + half // 2
        k = half % 2
        side, other = (hidden, visible) if k == 0 else (visible, hidden)
        source, target = (panels[0], panels[1]) if k == 0 else (panels[1], panels[0])
        stride, field_stride = _state_stride(other[WIDTH]), _field_stride(side[WIDTH])
        shape = _blocks(rows), _blocks(other[WIDTH]), _blocks(side[WIDTH])
        _multiply(source, stride, side[WEIGHT], shape, panels[2], field_stride)
        last, state_stride = half >= 2 * job[SWEEPS] - 2, _state_stride(side[WIDTH])
        for r in range(rows):
            out = side[OUT] + (first + r) * side[OUT_STRIDE] if last else 0
            addresses = panels[2] + r * field_stride, target + r * state_stride, out
            _draw_row(first + r, addresses, side, grounds[k], local, scratch)


@_inline
def _carve(place, length):
    """A float32 array in the thread's memory (compiled arrays of its own would be counted at every call)."""
    return _array(place, length, f32)


@_inline
def _ground(side, place):
    """Bias and base of a side, filled up with zeros: (2, whole blocks)."""
    wide = _blocks(side[WIDTH]) * units.SIDE
    ground = carray(_pointer(place), (2, wide), f32)
    ground[:] = f32(0)
    for k in range(2):
        if side[BIAS + k]:
            given = _array(side[BIAS + k], side[WIDTH], f32)
            for i in range(given.size):  # assigned whole, it would take three seconds more to compile
                ground[k, i] = given[i]
    return ground


def sweep(pointer):
    """What each thread does: claim a panel, make all its sweeps, until all are taken."""
    job = carray(pointer, (PLACES,), np.int64)
    local = job.copy()  # holds the time, which differs among threads
    height = _blocks(job[PANEL]) * units.SIDE
    visible, hidden = job[SIDES : SIDES + PLACES_OF_SIDE], job[SIDES + PLACES_OF_SIDE :]
    place = job[SPACE] + job[SPACE_SIZE] * _claim(job[COUNTERS] + 8 * NEXT_THREAD, 1)
    second = place + height * _state_stride(visible[WIDTH])
    fields = second + height * _state_stride(hidden[WIDTH])
    place, panels = (
        fields + height * _field_stride(max(visible[WIDTH], hidden[WIDTH])),
        (place, second, fields),
    )
    grounds = _ground(hidden, place), _ground(visible, place + 8 * units.SIDE * _blocks(hidden[WIDTH]))
    place += 8 * units.SIDE * (_blocks(hidden[WIDTH]) + _blocks(visible[WIDTH]))
    most = TILE + PAD + 16 * max(visible[STATES], hidden[STATES])
    scratch = (
        _carve(place, TILE + PAD),
        _carve(place + 4 * (TILE + PAD), most),
        _carve(place + 4 * (TILE + PAD + most), most),
        _carve(place + 4 * (TILE + PAD + 2 * most), TILE),
    )
    for side, panel in ((visible, panels[0]), (hidden, panels[1])):
        _clear_margin(panel, height, side[WIDTH] * 2, _state_stride(side[WIDTH]))
    units.configure(job[LAYOUT], 0)
    shares, thread, n = job[COUNTERS] + 8 * SHARES, _thread(job[NUMBER]), -(-job[ROWS] // job[PANEL])
    panel = _claim_near(shares, thread, job[THREADS], n)
    while panel < n:
        first = panel * job[PANEL]
        rows = min(job[PANEL], job[ROWS] - first)
        _sweep_panel(job, first, rows, (panels, grounds, scratch), local)
        panel = _claim_near(shares, thread, job[THREADS], n)
    units.release(0, 0)
