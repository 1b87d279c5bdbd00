"""The compiled loop behind ``harmonium.kernels.tables``: log tables added up and one variable summed out.

The output is walked in pieces: some outer axes, counted like an odometer, and an inner piece for which the
offsets into every table were worked out once. As in ``loops``, touch this file after a change there.
"""

# Compiled functions take the types that Numba infers.
# mypy: disable-error-code="no-untyped-def, call-arg, attr-defined, import-untyped"

from __future__ import annotations

import numpy as np
from numba import carray, literal_unroll

from harmonium.kernels import draw_loops as loops
from harmonium.kernels.primitives import _claim, _inline, _jit, _pointer, _wide

# Places in a job: numbers first, then addresses in memory.
COUNTER, GRAIN, MODE, STATES, OUTER, INNER, PARTS, AXES = range(8)
OUT, TABLES, STRIDES, OFFSETS, SIZES, JUMPS, KINDS = range(8, 15)
PLACES = 15
LOG_SUM, MAXIMUM, JOIN = range(3)
CONSTANT, CONTIGUOUS, SCATTERED = range(3)  # how a table is read along the inner piece

u64, LOWEST = np.uint64, np.float64(-1.7976931348623157e308)
LIMIT, ROUND, LOG2E = loops.LIMIT64, loops.ROUND64, loops.LOG2E64
LN2_HIGH, LN2_LOW, TAYLOR = loops.LN2_HIGH64, loops.LN2_LOW64, loops.TAYLOR64
LN2, ODD = 0.6931471805599453, tuple(1.0 / n for n in range(19, 1, -2))
BASE = np.int64(0x3FE6A09E667F3BCD)  # 1/sqrt 2
MANTISSA, EXTRA = np.int64((1 << 52) - 1), np.int64(0x3FF0000000000000) - BASE


@_inline
def _exp(y):
    # the exponential of `reference` in float64, written out so that it can be part of a longer loop
    y = -LIMIT if y < -LIMIT else y
    shifted = np.float64(y * LOG2E + ROUND)
    k = shifted - ROUND
    f = (y - k * LN2_HIGH) - k * LN2_LOW
    p = TAYLOR[0]
    for c in literal_unroll(TAYLOR[1:]):
        p = p * f + c
    p = (p * f * f + f) + 1.0
    return p * np.int64(shifted.view(np.int64) << np.int64(52)).view(np.float64)


@_inline
def _log(y):
    # y = m 2^k with m from 1/sqrt 2 to sqrt 2, and log m = 2 artanh((m - 1) / (m + 1)); full accuracy for y
    # >= 1
    bits = np.float64(y).view(np.int64) + EXTRA
    k = np.float64((bits >> np.int64(52)) - np.int64(1023))
    m = np.int64((bits & MANTISSA) + BASE).view(np.float64)
    s = (m - 1.0) / (m + 1.0)
    z = s * s
    p = 1.0 / 21.0
    for c in literal_unroll(ODD):
        p = p * z + c
    return k * LN2 + 2.0 * (s + s * z * p)


@_jit
def _gather(s, table, base, offsets, kind, first):
    _wide()
    base = u64(base)
    if kind == CONSTANT:
        value = table[base]
        for k in range(s.size):
            s[u64(k)] = value if first else s[u64(k)] + value
    elif kind == CONTIGUOUS:
        for k in range(s.size):
            j = u64(k)
            s[j] = table[base + j] if first else s[j] + table[base + j]
    else:
        for k in range(s.size):
            j = u64(k)
            value = table[base + u64(offsets[j])]
            s[j] = value if first else s[j] + value


@_jit
def _top(row, top, first):
    _wide()
    for k in range(row.size):
        j = u64(k)
        top[j] = row[j] if first or row[j] > top[j] else top[j]


@_jit
def _add_exp(row, top, total, first):
    _wide()
    for k in range(row.size):
        j = u64(k)
        shift = top[j] if top[j] > LOWEST else LOWEST
        term = _exp(row[j] - shift)  # of -inf it is 3e-308, nothing beside the 1 of the largest
        total[j] = term if first else total[j] + term


@_jit
def _finish(top, total, out):
    _wide()
    for k in range(out.size):
        j = u64(k)
        # a sum of nothing is empty; every other holds a 1
        out[j] = _log(total[j]) + top[j] if top[j] > -np.inf else -np.inf


@_jit
def _hand_over(s, top, total, index, job):
    """One piece of the output from the tables added up in s, (states, inner)."""
    states, outer, inner = job[STATES], job[OUTER], job[INNER]
    for c in range(states):
        row = s[c * inner : c * inner + inner]
        if job[MODE] == JOIN:
            out = carray(_pointer(job[OUT] + (c * outer + index) * inner * 8), (inner,), np.float64)
            for k in range(inner):  # assigned whole, it would take seconds more to compile
                out[k] = row[k]
        else:
            _top(row, top, c == 0)
    if job[MODE] == JOIN:
        return
    out = carray(_pointer(job[OUT] + index * inner * 8), (inner,), np.float64)
    if job[MODE] == MAXIMUM:
        for k in range(inner):
            out[k] = top[k]
        return
    for c in range(states):
        _add_exp(s[c * inner : c * inner + inner], top, total, c == 0)
    _finish(top, total, out)


def work(pointer):
    """What each thread does: claim some outer indices, work on them, until all are taken."""
    job = carray(pointer, (PLACES,))
    states, outer, inner, parts, axes = job[STATES], job[OUTER], job[INNER], job[PARTS], job[AXES]
    tables = carray(_pointer(job[TABLES]), (parts,), np.int64)
    strides = carray(_pointer(job[STRIDES]), (parts,), np.int64)
    offsets = carray(_pointer(job[OFFSETS]), (parts, inner), np.int64)
    sizes = carray(_pointer(job[SIZES]), (axes,), np.int64)
    jumps = carray(_pointer(job[JUMPS]), (parts, axes), np.int64)
    kinds = carray(_pointer(job[KINDS]), (parts,), np.int64)
    s, top, total = np.empty(states * inner), np.empty(inner), np.empty(inner)
    base = np.empty(parts, np.int64)
    first = _claim(job[COUNTER], job[GRAIN])
    while first < outer:
        for index in range(first, min(first + job[GRAIN], outer)):
            for p in range(parts):
                base[p] = 0
            rest = index
            for a in range(axes - 1, -1, -1):
                digit = rest % sizes[a]
                rest //= sizes[a]
                for p in range(parts):
                    base[p] += digit * jumps[p, a]
            for c in range(states):
                row = s[c * inner : c * inner + inner]
                for p in range(parts):
                    table = carray(_pointer(tables[p]), (1,), np.float64)
                    _gather(row, table, base[p] + c * strides[p], offsets[p], kinds[p], p == 0)
            _hand_over(s, top, total, index, job)
        first = _claim(job[COUNTER], job[GRAIN])
