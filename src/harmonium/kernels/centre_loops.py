"""The compiled loop behind ``kernels.centre``: four products with vectors in one pass over the gradient."""

# Compiled functions take the types that Numba infers.
# mypy: disable-error-code="no-untyped-def, call-arg, attr-defined, import-untyped, var-annotated"

from __future__ import annotations

import struct

import numba
import numpy as np
from numba import carray

from harmonium.kernels.primitives import OPTIONS, _array, _claim, _claim_near, _inline, _thread, _wide

BAND = 64  # rows taken at a time
f32 = np.float32

# Places in a job; SHIFTED: where Gλ and Gᵀμ are subtracted
COUNTERS, VISIBLE, HIDDEN, GRADIENT, STRIDE, LEFT, RIGHT, MU, LAMBDA = range(9)
SHIFTED_LEFT, SHIFTED_RIGHT, PARTS, NUMBER, THREADS = range(9, 14)
PLACES = 14
JOB = struct.Struct(f"={PLACES}q")


@numba.njit(**OPTIONS, fastmath={"reassoc", "contract"})
def _centre_row(g, offsets, right, pair, across):
    """g <- g - aλ - μb with the pair (a, μ); returns gλ, and adds μg to `across`."""
    _wide()
    (a, mu), along = pair, f32(0)
    for j in range(g.size):
        value = g[j] - (a * offsets[j] + mu * right[j])
        g[j] = value
        along += value * offsets[j]
        across[j] += mu * value
    return along


@_inline
def _vector(address, size):
    return _array(address, size, f32)


# Places in the job of `follow`; then of each layer, how wide, and where its vectors are: the offsets, the
# means of both phases, the gradient of the bias, and a place for a copy of it
RATE = 0  # where it is
LAYERS = 1
WIDTH, OFFSETS, DATA, MODEL, BIAS, COPY = range(6)
PLACES_OF_LAYER = 6
FOLLOW_PLACES = LAYERS + 2 * PLACES_OF_LAYER


@numba.njit(**OPTIONS, fastmath={"contract"})
def _follow(offsets, data, model, rate):
    """Offsets move towards the mean of both phases, in the arithmetic of `torch.lerp`."""
    _wide()
    half = f32(0.5)
    for i in range(offsets.size):
        mean = model[i] - half * (model[i] - data[i])
        offsets[i] = offsets[i] + rate * (mean - offsets[i])


def follow(pointer):
    """Moves the offsets on, and copies the gradients of the biases."""
    job = carray(pointer, (FOLLOW_PLACES,), np.int64)
    rate = _array(job[RATE], 1, f32)[0]
    for i in range(2):
        layer = job[LAYERS + i * PLACES_OF_LAYER : LAYERS + (i + 1) * PLACES_OF_LAYER]
        width = layer[WIDTH]
        _follow(
            _vector(layer[OFFSETS], width), _vector(layer[DATA], width), _vector(layer[MODEL], width), rate
        )
        bias, copy = _vector(layer[BIAS], width), _vector(layer[COPY], width)
        for j in range(width):
            copy[j] = bias[j]


def centre(pointer):
    """What each thread does: claim a band of rows, until all are taken; the last to finish adds up."""
    job = carray(pointer, (PLACES,), np.int64)
    visible, hidden = job[VISIBLE], job[HIDDEN]
    left, mu = _vector(job[LEFT], visible), _vector(job[MU], visible)
    right, offsets = _vector(job[RIGHT], hidden), _vector(job[LAMBDA], hidden)
    shifted, bands = _vector(job[SHIFTED_LEFT], visible), (visible + BAND - 1) // BAND
    done, shares, thread = job[COUNTERS], job[COUNTERS] + 8, _thread(job[NUMBER])
    band = _claim_near(shares, thread, job[THREADS], bands)
    while band < bands:
        across = _vector(job[PARTS] + 4 * hidden * band, hidden)
        across[:] = f32(0)
        for i in range(band * BAND, min((band + 1) * BAND, visible)):
            g = _vector(job[GRADIENT] + i * job[STRIDE], hidden)
            shifted[i] -= _centre_row(g, offsets, right, (left[i], mu[i]), across)
        if _claim(done, 1) == bands - 1:
            total = _vector(job[SHIFTED_RIGHT], hidden)
            for b in range(bands):
                across = _vector(job[PARTS] + 4 * hidden * b, hidden)
                for j in range(hidden):
                    total[j] -= across[j]
        band = _claim_near(shares, thread, job[THREADS], bands)
