"""Chains of two coupled layers in one compiled loop: swept at one β, or led along a path of models.

A thread takes a panel of chains through all steps. A step of a layer is a product, the bias, and a draw, and
between models the change of the cumulants. Products, draws and cumulants are other loops, known by address;
so this one knows no kind of unit and no path of the processor. Panels share nothing, so threads never wait
for each other, and a panel's fields stay in the second-level cache.
"""

# Compiled functions take the types that Numba infers.
# mypy: disable-error-code="no-untyped-def, call-arg, attr-defined, import-untyped, var-annotated"

from __future__ import annotations

import struct

import numba
import numpy as np
from numba import carray

from harmonium.kernels import cumulant_loops as cumulants
from harmonium.kernels import draw_loops as draws
from harmonium.kernels.primitives import OPTIONS, _array, _call, _claim, _inline, _jit, _wide

# Places in a job. SPACE: of each thread. BETAS: a number for each chain, BETA_STEP bytes from step to step.
# WORKS: float64, or 0 where chains are only swept; WORK: the job of `cumulants` with what never changes.
COUNTERS, ROWS, PANEL, STEPS, SPACE, SPACE_SIZE, BETAS, BETA_STEP, WORKS, WORK, WORK_LOOP = range(11)
STEP, CHAIN, CHAINS, START, START_STRIDE = range(11, 16)  # START: states of the given side
PRODUCT_LOOP, CALLED, FLIPPED = range(
    16, 19
)  # CALLED: for the product; FLIPPED: whether the visible side is summed
DOTS, ROOM, FIELDS = range(19, 22)  # where a thread has them in its space, which begins with its own jobs
SIDES = 22  # then the side that is drawn first, the summed one, and the given one, each:
WIDTH, BIAS, BASE, WEIGHT, OUT, OUT_STRIDE, DRAW, DRAW_LOOP = range(8)  # DRAW: a job of `draws`
PLACES_OF_SIDE = 8
PLACES = SIDES + 2 * PLACES_OF_SIDE
JOB = struct.Struct(f"={PLACES}q")
NEXT_PANEL, NEXT_THREAD = range(2)  # counters that the threads share

# Places in the job of a product, states (rows, depth) times a weight: its fields are (rows, width)
P_SOURCE, P_STRIDE, P_ROWS, P_DEPTH, P_WIDTH, P_WEIGHT, P_TRANSPOSED, P_FIELDS, P_ROOM, P_CALLED = range(10)
P_PLACES = 10

i64, f32, f64 = np.int64, np.float32, np.float64
OWN = 8 * 32  # bytes of a thread for the jobs that it passes on


def field_stride(width):
    """Bytes between the fields of chains: whole blocks of 32, and a cache line more, so that rows don't fall
    on the same places of the cache.
    """
    return (width + 31) // 32 * 128 + 64


_field_stride = _inline(field_stride)


@_jit
def _product(job, side, depth, transposed, source, stride, rows, space):
    """Fields (rows, width) without bias from states (rows, depth) that are `stride` bytes apart."""
    local = _array(space, P_PLACES, i64)
    local[P_SOURCE], local[P_STRIDE], local[P_ROWS] = source, stride, rows
    local[P_DEPTH], local[P_WIDTH], local[P_WEIGHT] = depth, side[WIDTH], side[WEIGHT]
    local[P_TRANSPOSED], local[P_FIELDS] = transposed, space + job[FIELDS]
    local[P_ROOM], local[P_CALLED] = space + job[ROOM], job[CALLED]
    _call(job[PRODUCT_LOOP], space)


@_jit
def _add_bias(field, bias, base, beta):
    """field <- base + β (bias + field)."""
    _wide()
    for i in range(field.size):
        field[i] = base[i] + beta * (bias[i] + field[i])


@_jit
def _draw(job, side, step, first, rows, betas, space):
    """Draws a panel of one layer where the result belongs: the prepared job, at this time and place."""
    fields, width = space + job[FIELDS], side[WIDTH]
    beta, bias, base = (
        _array(betas, rows, f32),
        _array(side[BIAS], width, f32),
        _array(side[BASE], width, f32),
    )
    for r in range(rows):
        _add_bias(_array(fields + r * _field_stride(width), width, f32), bias, base, beta[r])
    prepared, local = _array(side[DRAW], draws.PLACES, i64), _array(space, draws.PLACES, i64)
    for i in range(draws.PLACES):
        local[i] = prepared[i]
    local[draws.ROWS], local[draws.STEP] = rows, job[STEP] + step
    local[draws.FIELD], local[draws.OUT] = fields, side[OUT] + first * side[OUT_STRIDE]
    local[draws.CHAIN] = job[CHAIN] + first
    local[draws.CHAINS] = job[CHAINS] + 4 * first if job[CHAINS] else 0
    _call(side[DRAW_LOOP], space)


@numba.njit(fastmath={"reassoc", "contract"}, **OPTIONS)
def _dots(rows, width, states, stride, bias, dots):
    """Bias times states of each chain."""
    _wide()
    b, out = _array(bias, width, f32), _array(dots, rows, f64)
    for r in range(rows):
        x, total = _array(states + r * stride, width, f32), 0.0
        for i in range(width):
            total += x[i] * b[i]
        out[r] = total


@_jit
def _work(job, step, first, rows, space):
    """Adds the work of a step to its chains."""
    prepared, local = _array(job[WORK], cumulants.PLACES, i64), _array(space, cumulants.PLACES, i64)
    for i in range(cumulants.PLACES):
        local[i] = prepared[i]
    here = job[BETAS] + step * job[BETA_STEP] + 4 * first
    local[cumulants.FIELDS], local[cumulants.ROWS] = space + job[FIELDS], rows
    local[cumulants.HERE], local[cumulants.THERE] = here, here + job[BETA_STEP]
    local[cumulants.DOTS], local[cumulants.WORKS] = space + job[DOTS], job[WORKS] + 8 * first
    local[cumulants.ROOM] = space + job[ROOM]
    _call(job[WORK_LOOP], space)


@_jit
def _panel(job, first, rows, space):
    """All steps of a panel of chains."""
    summed, given = job[SIDES : SIDES + PLACES_OF_SIDE], job[SIDES + PLACES_OF_SIDE :]
    source, stride = job[START] + first * job[START_STRIDE], job[START_STRIDE]
    flipped = job[FLIPPED]
    for step in range(job[STEPS]):
        there = job[BETAS] + (step + 1) * job[BETA_STEP] + 4 * first
        _product(job, summed, given[WIDTH], flipped, source, stride, rows, space)
        if job[WORKS]:
            _dots(rows, given[WIDTH], source, stride, given[BIAS], space + job[DOTS])
            _work(job, step, first, rows, space)
        _draw(job, summed, step, first, rows, there, space)
        source, stride = summed[OUT] + first * summed[OUT_STRIDE], summed[OUT_STRIDE]
        _product(job, given, summed[WIDTH], 1 - flipped, source, stride, rows, space)
        _draw(job, given, step, first, rows, there, space)
        source, stride = given[OUT] + first * given[OUT_STRIDE], given[OUT_STRIDE]


def chains(pointer):
    """What each thread does: claim a panel, make all of its steps, until all are taken."""
    job = carray(pointer, (PLACES,))
    space = job[SPACE] + job[SPACE_SIZE] * _claim(job[COUNTERS] + 8 * NEXT_THREAD, 1)
    first = _claim(job[COUNTERS], job[PANEL])
    while first < job[ROWS]:
        _panel(job, first, min(job[PANEL], job[ROWS] - first), space)
        first = _claim(job[COUNTERS], job[PANEL])
