"""The compiled loop between the products of ``phases``: weighted means of the hidden units, and all sums."""

# Compiled functions take the types that Numba infers.
# mypy: disable-error-code="no-untyped-def, call-arg, attr-defined, import-untyped, var-annotated"

from __future__ import annotations

import struct

import numba
import numpy as np
from numba import carray

from harmonium.kernels.draw_loops import SPIN, _exp32
from harmonium.kernels.primitives import OPTIONS, _array, _claim, _jit, _wide

PANEL = 32  # particles taken at a time; sums are made over these, and then over the panels

# Places in a job. PARTS: sums of each panel; SUMS: of the phases' difference, of the first, of the second
COUNTERS, VISIBLE, HIDDEN, KIND, BIAS, MEANS, PARTS, SUMS, PHASES = range(9)
# from PHASES on, for each phase; MEANS are those of both, one after the other, and hold products before
STATES, STRIDE, WEIGHTS, ROWS = range(4)
PLACES_OF_PHASE = 4
PLACES = PHASES + 2 * PLACES_OF_PHASE
JOB = struct.Struct(f"={PLACES}q")

f32 = np.float32


@_jit
def _exponentials(x, bias, scale):
    """x <- exp(scale (x + bias))."""
    _wide()
    for i in range(x.size):
        x[i] = scale * (x[i] + bias[i])
    _exp32(x, x.size)


@_jit
def _weigh(x, kind, weight, sign, sums):
    """From exp(-field), or exp(-2 field) of spins, ±w⟨h⟩ in its place, and w⟨h⟩ to the sums."""
    _wide()
    one, two = f32(1), f32(2)
    if kind == SPIN:
        for i in range(x.size):
            mean = weight * (two / (one + x[i]) - one)
            sums[i] += mean
            x[i] = sign * mean
    else:
        for i in range(x.size):
            mean = weight / (one + x[i])
            sums[i] += mean
            x[i] = sign * mean


@numba.njit(**OPTIONS, fastmath={"contract"})
def _add(x, weight, sums):
    _wide()
    for i in range(x.size):
        sums[i] += weight * x[i]


@_jit
def _panel(job, phase, index, panel):
    """Panel number `index` of a phase, which is number `panel` of both."""
    visible, hidden = job[VISIBLE], job[HIDDEN]
    given = job[PHASES + phase * PLACES_OF_PHASE : PHASES + (phase + 1) * PLACES_OF_PHASE]
    before = phase * job[PHASES + ROWS]
    sums = job[PARTS] + 4 * (visible + hidden) * panel
    v_sums, h_sums = _array(sums, visible, f32), _array(sums + 4 * visible, hidden, f32)
    v_sums[:] = f32(0)
    h_sums[:] = f32(0)
    weights, bias = _array(given[WEIGHTS], given[ROWS], f32), _array(job[BIAS], hidden, f32)
    scale = f32(-2) if job[KIND] == SPIN else f32(-1)
    sign = f32(1) if phase else f32(-1)
    for r in range(index * PANEL, min((index + 1) * PANEL, given[ROWS])):
        x = _array(job[MEANS] + 4 * hidden * (before + r), hidden, f32)
        _exponentials(x, bias, scale)
        _weigh(x, job[KIND], weights[r], sign, h_sums)
        _add(_array(given[STATES] + r * given[STRIDE], visible, f32), weights[r], v_sums)


@_jit
def _total(job, first, panels):
    """Adds up the panels' sums, always in the same order."""
    _wide()
    width = job[VISIBLE] + job[HIDDEN]
    difference, data = _array(job[SUMS], width, f32), _array(job[SUMS] + 4 * width, width, f32)
    negatives = _array(job[SUMS] + 8 * width, width, f32)
    data[:] = f32(0)
    negatives[:] = f32(0)
    for panel in range(panels):
        part = _array(job[PARTS] + 4 * width * panel, width, f32)
        _add(part, f32(1), data if panel < first else negatives)
    for i in range(width):
        difference[i] = negatives[i] - data[i]


def weigh(pointer):
    """What each thread does: claim a panel of particles, until all are taken; the last to finish adds up."""
    job = carray(pointer, (PLACES,))
    first = (job[PHASES + ROWS] + PANEL - 1) // PANEL
    panels = first + (job[PHASES + PLACES_OF_PHASE + ROWS] + PANEL - 1) // PANEL
    panel = _claim(job[COUNTERS], 1)
    while panel < panels:
        phase = np.int64(panel >= first)
        _panel(job, phase, panel - phase * first, panel)
        if _claim(job[COUNTERS] + 8, 1) == panels - 1:
            _total(job, first, panels)
        panel = _claim(job[COUNTERS], 1)
