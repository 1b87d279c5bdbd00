"""The compiled loops behind ``harmonium.kernels.draws``.

A block of draws is cut into tiles (a piece of one row each), and threads take tiles from a shared counter
until none is left. What a tile holds depends on its address alone, so neither the number of threads nor their
order shows in the result. Each pass over a tile is a short loop over scratch memory that the compiler turns
into vector instructions; ``docs/kernels.md`` has the measurements behind this shape.

Numba's cache on disk watches only the file of the function it compiles: touch this one after a change in one
that it imports from.
"""

# Compiled functions take the types that Numba infers.
# mypy: disable-error-code="no-untyped-def, call-arg, attr-defined, import-untyped, var-annotated"

from __future__ import annotations

import struct

import numba
import numpy as np
from numba import carray, types
from numba.extending import overload

from harmonium.kernels import reference
from harmonium.kernels.primitives import OPTIONS, _array, _bits, _claim, _inline, _jit, _wide

TILE = 1024  # numbers in a tile: its scratch rows stay in the first-level cache
NARROW = (
    8  # numbers in a row of which no uniforms are made to fill it up: they would take longer than its own
)
PAD = 32  # scratch is filled to a multiple of this, so that the loops over it have no scalar rest

# Places in a job: the integers that describe one call to the compiled code.
KIND, COUNTER, GRAIN, ROWS, UNITS, WIDTH, STATES = range(7)  # COUNTER: address in memory, or 0
FIELD, FIELD_STRIDE, OUT, OUT_STRIDE, ITEM = range(7, 12)  # addresses in memory, all the rest in bytes
SEED, PURPOSE, STEP, UNIT, CHAIN, CHAINS = range(12, 18)  # CHAINS: address of explicit numbers, or 0
PLACES = 18
JOB = struct.Struct("=12qQ5q")
UNIFORM, BERNOULLI, SPIN, CATEGORICAL = range(4)

# ---------------------------------------------------------------- uniforms

u32, u64 = np.uint32, np.uint64
MASK, HALF, LOW_WORDS = u64(0xFFFFFFFF), u64(32), u64(1 << 31)
MULTIPLIER0, MULTIPLIER1 = (u64(m) for m in reference.MULTIPLIERS)
WEYL0, WEYL1 = (u64(w) for w in reference.WEYL)
ROUNDS = reference.ROUNDS


@_inline
def _philox(c0, c1, c2, c3, k0, k1):
    # 32-bit words in 64-bit lanes: six vector instructions a round
    for _ in range(ROUNDS):
        p0, p1 = (c0 & MASK) * MULTIPLIER0, (c2 & MASK) * MULTIPLIER1
        c0, c2 = (p1 >> HALF) ^ c1 ^ k0, (p0 >> HALF) ^ c3 ^ k1
        c1, c3 = p1 & MASK, p0 & MASK
        k0, k1 = (k0 + WEYL0) & MASK, (k1 + WEYL1) & MASK
    return c0, c1, c2, c3


@_inline
def _constant_words(job, chain):
    seed, step = u64(job[SEED]), u64(job[STEP])
    return u64(chain), step & MASK, (u64(job[PURPOSE]) << u64(16)) | (step >> HALF), seed & MASK, seed >> HALF


# Random bits below the exponent of 1.0 are a number in [1, 2); the difference is exact.
ONE32, BELOW_ONE32 = u32(0x3F800000), np.float32(1 - 2.0**-24)
ONE64, BELOW_ONE64 = u64(0x3FF0000000000000), 1 - 2.0**-53


@_inline
def _unit32(word):
    return _bits(u32(u32(word >> u64(9)) | ONE32), np.float32) - BELOW_ONE32


@_inline
def _unit64(high, low):
    return _bits(u64((high << u64(20)) | (low >> u64(12)) | ONE64), np.float64) - BELOW_ONE64


@_jit
def _uniform32(u, blocks, first, chain, job):
    _wide()
    c1, c2, c3, k0, k1 = _constant_words(job, chain)
    for j in range(blocks):
        w0, w1, w2, w3 = _philox(u64(first + j), c1, c2, c3, k0, k1)
        u[4 * j], u[4 * j + 1], u[4 * j + 2], u[4 * j + 3] = (
            _unit32(w0),
            _unit32(w1),
            _unit32(w2),
            _unit32(w3),
        )


@_jit
def _uniform64(u, blocks, first, chain, job):
    c1, c2, c3, k0, k1 = _constant_words(job, chain)
    for j in range(blocks):
        w0, w1, w2, w3 = _philox(u64(first + j), c1, c2, c3, k0, k1)
        v0, v1, v2, v3 = _philox(u64(first + j), c1, c2, c3 | LOW_WORDS, k0, k1)
        u[4 * j], u[4 * j + 1] = _unit64(w0, v0), _unit64(w1, v1)
        u[4 * j + 2], u[4 * j + 3] = _unit64(w2, v2), _unit64(w3, v3)


# ---------------------------------------------------------------- exponentials

LIMIT32, ROUND32, LOG2E32, LN2_HIGH32, LN2_LOW32 = (np.float32(c) for c in reference.SINGLE[2:7])
LIMIT64, ROUND64, LOG2E64, LN2_HIGH64, LN2_LOW64 = reference.DOUBLE[2:7]
TAYLOR32 = tuple(np.float32(c) for c in reference.SINGLE.coefficients)
TAYLOR64 = reference.DOUBLE.coefficients


@_jit
def _exp32(x, n):
    _wide()
    for i in range(n):
        y = x[i]
        y = -LIMIT32 if y < -LIMIT32 else y  # written so that NaN stays
        y = LIMIT32 if y > LIMIT32 else y
        shifted = np.float32(y * LOG2E32 + ROUND32)
        k = shifted - ROUND32
        f = (y - k * LN2_HIGH32) - k * LN2_LOW32
        p = TAYLOR32[0]
        for c in TAYLOR32[1:]:
            p = p * f + c
        p = (p * f * f + f) + np.float32(1)
        x[i] = p * _bits(np.int32(_bits(shifted, np.int32) << np.int32(23)), np.float32)


@_jit
def _exp64(x, n):
    for i in range(n):
        y = x[i]
        y = -LIMIT64 if y < -LIMIT64 else y
        y = LIMIT64 if y > LIMIT64 else y
        shifted = np.float64(y * LOG2E64 + ROUND64)
        k = shifted - ROUND64
        f = (y - k * LN2_HIGH64) - k * LN2_LOW64
        p = TAYLOR64[0]
        for c in TAYLOR64[1:]:
            p = p * f + c
        p = (p * f * f + f) + 1.0
        x[i] = p * _bits(np.int64(_bits(shifted, np.int64) << np.int64(52)), np.float64)


# ---------------------------------------------------------------- tiles


def _exp(x, n):
    raise NotImplementedError  # compiled code chooses by the type of x


@overload(_exp, inline="always")
def _exp_of(x, n):
    fill = _exp32 if x.dtype == types.float32 else _exp64
    return lambda x, n: fill(x, n)


@_inline
def _padded(n):
    return (n + (PAD - 1)) // PAD * PAD


@_jit
def _two_states(field, out, u, x, low):
    _wide()
    n, one = field.size, x.dtype.type(1)
    for i in range(n):
        x[i] = field[i] * (low - one)  # the states low and 1 differ in energy by (1 - low) field
    _exp(x, _padded(n))
    for i in range(_padded(n)):
        product = u[i] * (x[i] + one)
        x[i] = one if product < one else (low if product >= one else product)
    for i in range(n):
        out[i] = x[i]


# A coarse exponential of the same shape decides all draws but those within DOUBT of the edge. Its
# coefficients interpolate exp at the Chebyshev nodes of |f| <= ln(2)/2; the error is 2.7e-6.
COARSE = tuple(
    np.float32(c)
    for c in np.polynomial.chebyshev.cheb2poly(
        np.polynomial.chebyshev.chebinterpolate(lambda t: np.exp(t * np.log(2) / 2), 4)
    )
    / (np.log(2) / 2) ** np.arange(5)
)
LN2, DOUBT = np.float32(np.log(2)), np.float32(2e-5)


@numba.njit(fastmath={"contract"}, **OPTIONS)
def _coarse(field, out, u, low):
    """The draws of `_two_states` in float32 where they are clear; returns 0 if all of them are."""
    _wide()
    one, doubt = np.float32(1), np.uint32(0)
    scale = low - one
    for i in range(field.size):
        y = field[i] * scale
        y = -LIMIT32 if y < -LIMIT32 else y
        y = LIMIT32 if y > LIMIT32 else y
        shifted = np.float32(y * LOG2E32 + ROUND32)
        f = y - (shifted - ROUND32) * LN2
        p = (((COARSE[4] * f + COARSE[3]) * f + COARSE[2]) * f + COARSE[1]) * f + COARSE[0]
        e = p * _bits(np.int32(_bits(shifted, np.int32) << np.int32(23)), np.float32)
        edge = u[i] * e + (u[i] - one)
        out[i] = one if edge < np.float32(0) else low
        # NaN is in doubt; a number of 64 bits here would halve the vectors of the whole loop
        doubt = np.uint32(doubt | (np.uint32(0) if abs(edge) > DOUBT else np.uint32(1)))
    return doubt


@_jit
def _draw_two(field, out, u, x, low):
    """`_two_states` in float32: coarsely, and where a draw of the row is in doubt, exactly."""
    n, zero = field.size, np.float32(0)
    wide = _padded(n)
    y = x[wide : 2 * wide]  # not out, which may be where the field is
    for i in range(n):
        x[i] = field[i]
    for i in range(n, wide):
        x[i] = zero
    if _coarse(x[:wide], y, u, low):
        _two_states(field, out, u, x, low)
    else:
        for i in range(n):
            out[i] = y[i]


@_jit
def _weights(field, states, x, t):
    _wide()
    # plane k of x holds state k of every site; t is their maximum, then their sum
    n, zero, lowest, undefined = t.size, x.dtype.type(0), x.dtype.type(-np.inf), x.dtype.type(np.nan)
    t[:] = lowest
    for k in range(states):
        for s in range(n):
            value = field[s * states + k]
            x[k * n + s] = value
            t[s] = value if value > t[s] else t[s]
    for k in range(states):
        for s in range(n):
            value, top = x[k * n + s], t[s]
            x[k * n + s] = value - top if value != top else (zero if top > lowest else undefined)
    _exp(x, _padded(n * states))
    t[:] = zero
    for k in range(states):
        for s in range(n):
            t[s] += x[k * n + s]


@_jit
def _categories(field, out, u, x, t, states):
    _wide()
    n, zero, one = t.size, x.dtype.type(0), x.dtype.type(1)
    _weights(field, states, x, t)
    for s in range(n):
        u[s] *= t[s]
        t[s] = zero
    for k in range(states):
        for s in range(n):
            before, threshold = t[s], u[s]
            after = before + x[k * n + s]
            t[s] = after
            hit = one if (before <= threshold) & (after > threshold) else zero
            x[k * n + s] = hit if threshold == threshold else threshold
    for k in range(states):
        for s in range(n):
            out[s * states + k] = x[k * n + s]


@_jit
def _only_uniforms(kind, field, out, scratch, states):
    for i in range(out.size):
        out[i] = scratch[0][i]


@_jit
def _single_two(kind, field, out, scratch, states):
    _draw_two(field, out, scratch[0], scratch[1], np.float32(0 if kind == BERNOULLI else -1))


@_jit
def _double_two(kind, field, out, scratch, states):
    _two_states(field, out, scratch[0], scratch[1], np.float64(0 if kind == BERNOULLI else -1))


@_jit
def _sites(kind, field, out, scratch, states):
    u, x, t = scratch
    _categories(field, out, u, x, t[: field.size // states], states)


@_inline
def _work(pointer, number, fill, finish):
    """What each thread does: claim some tiles, `fill` in uniforms and `finish`, until all are taken."""
    job = carray(pointer, (PLACES,))
    width, states, pieces = job[WIDTH], job[STATES], -(-job[UNITS] // job[WIDTH])
    tiles = pieces * job[ROWS]
    chains = _array(job[CHAINS], job[ROWS], np.uint32)
    u, x, t = (
        np.empty(_padded(width), number),
        np.empty(_padded(width * states) + _padded(width), number),
        np.empty(width, number),
    )
    for i in range(u.size):
        u[i] = number(0.25)  # what pads a narrow row must not be in doubt
    first = _claim(job[COUNTER], job[GRAIN]) if job[COUNTER] else 0
    while first < tiles:
        for tile in range(first, min(first + job[GRAIN], tiles)):
            row, start = tile // pieces, tile % pieces * width
            n = min(width, job[UNITS] - start)
            chain = np.int64(chains[row]) if job[CHAINS] else job[CHAIN] + row
            blocks = (n + 3) // 4 if n <= NARROW else _padded(n) // 4
            fill(u, blocks, (job[UNIT] + start) // 4, chain, job)
            place = start * states * job[ITEM]
            field = _array(job[FIELD] + row * job[FIELD_STRIDE] + place, n * states, number)
            out = _array(job[OUT] + row * job[OUT_STRIDE] + place, n * states, number)
            finish(job[KIND], field, out, (u, x, t), states)
        first = _claim(job[COUNTER], job[GRAIN]) if job[COUNTER] else tiles


# Compiled one by one, as they are needed: few programs need all of them.
def uniforms32(pointer):
    """Uniforms in float32."""
    _work(pointer, np.float32, _uniform32, _only_uniforms)


def uniforms64(pointer):
    """Uniforms in float64."""
    _work(pointer, np.float64, _uniform64, _only_uniforms)


def two_states32(pointer):
    """0/1 or -1/+1 states in float32."""
    _work(pointer, np.float32, _uniform32, _single_two)


def two_states64(pointer):
    """0/1 or -1/+1 states in float64."""
    _work(pointer, np.float64, _uniform64, _double_two)


def categories32(pointer):
    """One-hot states in float32."""
    _work(pointer, np.float32, _uniform32, _sites)


def categories64(pointer):
    """One-hot states in float64."""
    _work(pointer, np.float64, _uniform64, _sites)
