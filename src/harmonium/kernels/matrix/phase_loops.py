"""The compiled loops behind ``matrix.phases``: Σₙ wₙ vₙ ⟨h | vₙ⟩ᵀ, second phase minus first.

Two calls on all threads. In the first a thread takes a panel of particles: product with the weights, means
of the hidden units, sums over the panel, and both factors of the second product as the matrix units read
them. In the second it takes some visible units and multiplies, with all particles of both phases as depth.
What is summed in which order depends on the particles alone, not on the threads.

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
from harmonium.kernels.draw_loops import SPIN
from harmonium.kernels.matrix import units
from harmonium.kernels.matrix.product_loops import (
    PLANES,
    _blocks,
    _field_stride,
    _multiply,
    _pack_rows,
    _state_stride,
    _transpose,
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

# Places in a job; addresses, and 0 where there is no such thing.
# DEPTH: blocks of particles of both phases
COUNTERS, LAYOUT, SPACE, SPACE_SIZE, VISIBLE, HIDDEN, KIND, PANEL, DEPTH = range(9)
WEIGHT, BIAS, FACTORS, STATES, SUMS, TOTALS, OUT, OUT_STRIDE, ADD = range(9, 18)  # FACTORS: packed means
NUMBER, THREADS, PHASES = range(18, 21)  # NUMBER: as `_thread` takes it; from PHASES on, for each phase:
STATE, STATE_STRIDE, WEIGHTS, ROWS = range(4)
PLACES_OF_PHASE = 4
PLACES = PHASES + 2 * PLACES_OF_PHASE
JOB = struct.Struct("=28q")
NEXT_THREAD, INEXACT, SHARES = range(
    3
)  # counters that the threads share; from SHARES on, one for each of them

u16, u32, f32 = np.uint16, np.uint32, np.float32
SIDE = units.SIDE
HEIGHT = 128  # particles in a panel at most: the packed weights are read once for each panel
# Sums are made over SIDE particles, and then over these: in the same order whatever the panels and threads.
BAND = 64  # visible units taken at a time in the second call


@_jit
def _load_state(x, weight, panel, sums):
    """A particle's visible states into the panel of left factors, and weighted to the sums of the panel.

    Returns a number that isn't 0 if bfloat16 can't hold a state.
    """
    _wide()
    short, lost = _array(panel, x.size, u16), u32(0)
    for i in range(x.size):
        lost = u32(lost | (_bits(x[i], u32) & u32(0xFFFF)))
        short[i] = u16(_bits(x[i], u32) >> u32(16))
        sums[i] += weight * x[i]
    return lost


@_jit
def _exponentials(field, bias, scale, x):
    _wide()
    for i in range(field.size):
        x[i] = scale * (field[i] + bias[i])
    loops._exp32(x, field.size)


@_jit
def _weigh(mean, x, kind, weight, sums):
    """w⟨h⟩ from exp(-field), or exp(-2 field) of spins, into the row of means and to the sums."""
    _wide()
    one, two = f32(1), f32(2)
    if kind == SPIN:
        for i in range(sums.size):
            mean[i] = weight * (two / (one + x[i]) - one)
            sums[i] += mean[i]
    else:
        for i in range(sums.size):
            mean[i] = weight / (one + x[i])
            sums[i] += mean[i]


@_jit
def _lay_states(panel, stride, width, out, out_stride, words):
    """The panel's states as left factors of the second product: a row for each visible unit."""
    _wide()
    pairs = _array(words, 256, u32)
    for first in range(0, width, 16):
        for p in range(16):
            even = _array(panel + 2 * p * stride + 2 * first, 16, u16)
            odd = _array(panel + (2 * p + 1) * stride + 2 * first, 16, u16)
            for c in range(16):
                pairs[16 * p + c] = u32(even[c]) | (u32(odd[c]) << u32(16))
        _transpose(words, out + first * out_stride, out_stride)


@_jit
def _lay_means(fields, stride, columns, out, depth):
    """The panel's weighted means as right factors of the second product, whose depth is in panels."""
    for n in range(2 * columns):
        place = out + n // 2 * depth * PLANES * 2048 + 1024 * (n % 2)
        low = _array(place, 256, u32)
        high = _array(place + 2048, 256, u32)
        _pack_rows(fields + 64 * n, stride, high, low)


@_inline
def _means_of_rows(job, phase, first, rows, memory, sums):
    """Weighted means of the hidden units where their fields were; True if the states are too fine."""
    states, fields, bias, x, sign = memory
    stride, field_stride = _state_stride(job[VISIBLE]), _field_stride(job[HIDDEN])
    weights = _array(phase[WEIGHTS] + 4 * first, rows, f32)
    sums[: _blocks(rows)] = f32(0)
    lost = u32(0)
    for r in range(rows):
        source = phase[STATE] + (first + r) * phase[STATE_STRIDE]
        v = _array(source, job[VISIBLE], f32)
        lost |= _load_state(v, sign * weights[r], states + r * stride, sums[r // SIDE, : job[VISIBLE]])
    if lost:
        return True
    shape = _blocks(rows), _blocks(job[VISIBLE]), _blocks(job[HIDDEN])
    _multiply(states, stride, job[WEIGHT], shape, fields, field_stride)
    scale = f32(-2) if job[KIND] == SPIN else f32(-1)
    for r in range(rows):
        mean = _array(fields + r * field_stride, bias.size, f32)
        _exponentials(mean, bias, scale, x)
        _weigh(mean, x, job[KIND], sign * weights[r], sums[r // SIDE, job[VISIBLE] :])
        mean[job[HIDDEN] :] = f32(0)
    return False


@_inline
def _lay_panel(job, block, rows, memory, words):
    """Lays out states and means of a panel, whose first particle is the first of this block of all."""
    states, fields = memory[0], memory[1]
    stride, field_stride = _state_stride(job[VISIBLE]), _field_stride(job[HIDDEN])
    depth = job[DEPTH]
    for r in range(rows, SIDE * _blocks(rows)):
        _array(states + r * stride, stride, np.uint8)[:] = np.uint8(0)
        _array(fields + r * field_stride, field_stride, np.uint8)[:] = np.uint8(0)
    for i in range(_blocks(rows)):
        place = job[FACTORS] + (block + i) * PLANES * 2048
        _lay_means(fields + SIDE * i * field_stride, field_stride, _blocks(job[HIDDEN]), place, depth)
        place, width = job[STATES] + 64 * (block + i), SIDE * _blocks(job[VISIBLE])
        _lay_states(states + SIDE * i * stride, stride, width, place, _state_stride(SIDE * depth), words)


def means(pointer):
    """What each thread does in the first call: claim a panel of particles, until all are taken."""
    job = carray(pointer, (PLACES,), np.int64)
    stride, wide, height = _state_stride(job[VISIBLE]), _blocks(job[HIDDEN]) * SIDE, job[PANEL]
    thread = _thread(job[NUMBER])
    states = job[SPACE] + job[SPACE_SIZE] * _claim(job[COUNTERS] + 8 * NEXT_THREAD, 1)
    fields = states + height * stride
    place = fields + height * _field_stride(job[HIDDEN])
    bias, x = _array(place, wide, f32), _array(place + 4 * wide, wide, f32)
    bias[:] = f32(0)
    given = _array(job[BIAS], job[HIDDEN], f32)
    for i in range(given.size):  # assigned whole, it would take three seconds more to compile
        bias[i] = given[i]
    words = place + 8 * wide
    _array(states, height * stride, np.uint8)[:] = np.uint8(0)  # the margins stay so
    sums = carray(_pointer(job[SUMS]), (job[DEPTH], job[VISIBLE] + job[HIDDEN]), f32)
    units.configure(job[LAYOUT], 0)
    for late in range(
        1, -1, -1
    ):  # the negatives first: who has just drawn them still has their states at hand
        phase = job[PHASES + late * PLACES_OF_PHASE :]
        before = late * _blocks(job[PHASES + ROWS])
        shares, panels = job[COUNTERS] + 8 * (SHARES + late * job[THREADS]), -(-phase[ROWS] // height)
        panel = _claim_near(shares, thread, job[THREADS], panels)
        while panel < panels:
            first = height * panel
            rows, block = min(height, phase[ROWS] - first), before + first // SIDE
            memory = states, fields, bias, x, f32(2 * late - 1)
            if _means_of_rows(job, phase, first, rows, memory, sums[block:]):
                _array(job[COUNTERS], SHARES, np.int64)[INEXACT] = 1
            else:
                _lay_panel(job, block, rows, memory, words)
            panel = _claim_near(shares, thread, job[THREADS], panels)
    units.release(0, 0)


@_jit
def _write(sums, out, add):
    _wide()
    if add:
        for i in range(out.size):
            out[i] += sums[i]
    else:
        for i in range(out.size):
            out[i] = sums[i]


@_jit
def _add_up(job):
    """The sums of the blocks, in their order: second phase minus first, first, second."""
    width, before = job[VISIBLE] + job[HIDDEN], _blocks(job[PHASES + ROWS])
    parts = carray(_pointer(job[SUMS]), (job[DEPTH], width), f32)
    totals = carray(_pointer(job[TOTALS]), (3, width), f32)
    totals[:] = f32(0)
    for block in range(job[DEPTH]):
        for i in range(width):
            if block < before:
                totals[1, i] -= parts[block, i]
            else:
                totals[2, i] += parts[block, i]
    for i in range(width):
        totals[0, i] = totals[2, i] - totals[1, i]


def gradient(pointer):
    """What each thread does in the second call: claim a band of visible units, until all are taken."""
    job = carray(pointer, (PLACES,), np.int64)
    depth, stride = job[DEPTH], _state_stride(SIDE * job[DEPTH])
    sums_stride, columns = _field_stride(job[HIDDEN]), _blocks(job[HIDDEN])
    sums = job[SPACE] + job[SPACE_SIZE] * _claim(job[COUNTERS] + 8 * NEXT_THREAD, 1)
    units.configure(job[LAYOUT], 0)
    shares, thread, bands = (
        job[COUNTERS] + 8 * SHARES,
        _thread(job[NUMBER]),
        (job[VISIBLE] + BAND - 1) // BAND,
    )
    band = _claim_near(shares, thread, job[THREADS], bands)
    while band < bands:
        first = BAND * band
        rows = min(BAND, job[VISIBLE] - first)
        shape = _blocks(rows), depth, columns
        _multiply(job[STATES] + first * stride, stride, job[FACTORS], shape, sums, sums_stride)
        for r in range(rows):
            out = _array(job[OUT] + (first + r) * job[OUT_STRIDE], job[HIDDEN], f32)
            _write(_array(sums + r * sums_stride, job[HIDDEN], f32), out, job[ADD])
        if band == 0:
            _add_up(job)
        band = _claim_near(shares, thread, job[THREADS], bands)
    units.release(0, 0)
