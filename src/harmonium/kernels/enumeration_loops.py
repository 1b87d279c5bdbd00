"""The compiled loop behind ``harmonium.kernels.enumeration``."""

# Compiled functions take the types that Numba infers.
# mypy: disable-error-code="no-untyped-def, call-arg, attr-defined, import-untyped, var-annotated"

from __future__ import annotations

import math

import numba
import numpy as np
from numba import carray

from harmonium.kernels.primitives import OPTIONS, _array, _claim, _pointer

# Places in a job: numbers, then addresses. EDGES: where pieces of the high states begin; PARTS: their sums.
COUNTER, PIECES, HIGH, N, LOW = range(5)
A, GROW, SHRINK, LINEAR_A, B, GROWN, SHRUNK, LINEAR_B, EDGES, PARTS = range(5, 15)
PLACES = 15
FOLD = 512  # factors 1 + e^-|f| <= 2 multiplied before the product moves into the exponent
LANES = 64  # low half-states handled together: their products stay in registers and the first-level cache

f64 = np.float64


@numba.njit(fastmath={"contract", "nnan", "nsz"}, **OPTIONS)
def _fold(product, exponent, up, down, shift, bi, ui, di):
    for j in range(LANES):
        product[j] *= 1.0 + min(up * ui[j], down * di[j])
        exponent[j] += max(shift + bi[j], 0.0)


@numba.njit(fastmath={"contract", "nnan", "nsz"}, **OPTIONS)
def _piece(first, last, job, product, exponent):
    """(the largest exponent, the sum in units of its exponential) over some high rows and all low ones."""
    n, low = job[N], job[LOW]
    linear_a, linear_b = _array(job[LINEAR_A], job[HIGH], f64), _array(job[LINEAR_B], low, f64)
    peak, total = -np.inf, 0.0
    for high in range(first, last):
        row = 8 * n * high
        a = _array(job[A] + row, n, f64)
        grow, shrink = _array(job[GROW] + row, n, f64), _array(job[SHRINK] + row, n, f64)
        for start in range(0, low, LANES):
            for j in range(LANES):
                product[j] = 1.0
                exponent[j] = linear_a[high] + linear_b[start + j]
            for begin in range(0, n, FOLD):
                for i in range(begin, min(begin + FOLD, n)):
                    place = 8 * (i * low + start)
                    bi = _array(job[B] + place, LANES, f64)
                    ui, di = _array(job[GROWN] + place, LANES, f64), _array(job[SHRUNK] + place, LANES, f64)
                    _fold(product, exponent, grow[i], shrink[i], a[i], bi, ui, di)
                for j in range(LANES):
                    exponent[j] += math.log(product[j])
                    product[j] = 1.0
            top = peak
            for j in range(LANES):
                top = max(top, exponent[j])
            if top > peak:
                total *= math.exp(peak - top)
                peak = top
            for j in range(LANES):
                total += math.exp(exponent[j] - peak)
    return peak, total


def pieces(pointer):
    """What each thread does: claim a piece of the high states, until all are taken."""
    job = carray(pointer, (PLACES,))
    edges = _array(job[EDGES], job[PIECES] + 1, np.int64)
    parts = carray(_pointer(job[PARTS]), (job[PIECES], 2), f64)
    product, exponent = np.empty(LANES), np.empty(LANES)
    k = _claim(job[COUNTER], 1)
    while k < job[PIECES]:
        parts[k, 0], parts[k, 1] = _piece(edges[k], edges[k + 1], job, product, exponent)
        k = _claim(job[COUNTER], 1)
