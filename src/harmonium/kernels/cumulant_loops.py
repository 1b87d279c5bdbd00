"""The compiled loops that tell how the cumulants of a layer change with β, which is the work of annealing.

With fields f(β) = base + β (bias + W x), log P*(x) of the other layer changes from β to β' by

    Σᵢ Γ(fᵢ(β')) - Γ(fᵢ(β)) + (β' - β) Σⱼ biasⱼ xⱼ,

the last sum over that other layer. A panel of chains is one call; ``annealing`` says where it comes from.
"""

# Compiled functions take the types that Numba infers.
# mypy: disable-error-code="no-untyped-def, call-arg, attr-defined, import-untyped, var-annotated"

from __future__ import annotations

import numba
import numpy as np
from numba import carray

from harmonium.kernels import draw_loops
from harmonium.kernels.draw_loops import SPIN, TILE
from harmonium.kernels.primitives import OPTIONS, _array, _bits, _inline, _jit, _wide

# Places in a job. FIELDS: W x of each chain, STRIDE bytes apart; HERE and THERE: a β for each chain; DOTS: of
# the bias with the other layer, float64; WORKS: float64, to subtract the change from; ROOM: see `room`.
FIELDS, STRIDE, ROWS, WIDTH, KIND, STATES, BIAS, BASE, HERE, THERE, DOTS, WORKS, ROOM = range(13)
PLACES = 13
PIECE = 512  # numbers whose factors 1 + exp(-|x|) <= 2 have a product that float64 holds

f32, f64 = np.float32, np.float64


def room(states: int) -> int:
    """Bytes of scratch memory for layers of so many states at a site."""
    return 4 * max(3 * PIECE, 2 * TILE + 16 * states)


@_inline
def _exp(y):
    # exp(y) for y <= 0, by the steps of `draw_loops._exp32`
    y = -draw_loops.LIMIT32 if y < -draw_loops.LIMIT32 else y  # written so that NaN stays
    shifted = f32(y * draw_loops.LOG2E32 + draw_loops.ROUND32)
    k = shifted - draw_loops.ROUND32
    f = (y - k * draw_loops.LN2_HIGH32) - k * draw_loops.LN2_LOW32
    p = draw_loops.TAYLOR32[0]
    for c in draw_loops.TAYLOR32[1:]:
        p = p * f + c
    p = (p * f * f + f) + f32(1)
    return p * _bits(np.int32(_bits(shifted, np.int32) << np.int32(23)), f32)


@numba.njit(fastmath={"contract"}, **OPTIONS)
def _two_state_piece(field, bias, base, scale, here, there, at_here, at_there, linear):
    """Parts of the cumulants of some units at both β: factors at either, and what grows linearly."""
    _wide()
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
    up, down, total = 1.0, 1.0, 0.0
    for i in range(16):
        down *= at_here[i]
        up *= at_there[i]
        total += linear[i]
    return np.log(up / down) + total


@_jit
def _sum_of_slopes(field, bias):
    total = 0.0
    for i in range(field.size):
        total += bias[i] + field[i]
    return total


def two_states(pointer):
    """For 0/1 and -1/+1 units: the sum of log(1 + exp(f)), or of log 2 cosh(f)."""
    job = carray(pointer, (PLACES,))
    here, there = _array(job[HERE], job[ROWS], f32), _array(job[THERE], job[ROWS], f32)
    dots, works = _array(job[DOTS], job[ROWS], f64), _array(job[WORKS], job[ROWS], f64)
    first = _array(job[ROOM], PIECE, f32)
    second = _array(job[ROOM] + 4 * PIECE, PIECE, f32)
    third = _array(job[ROOM] + 8 * PIECE, PIECE, f32)
    scale = f32(2) if job[KIND] == SPIN else f32(1)
    for r in range(job[ROWS]):
        change, row, old, new = 0.0, job[FIELDS] + r * job[STRIDE], here[r], there[r]
        for start in range(0, job[WIDTH], PIECE):
            n, place = min(PIECE, job[WIDTH] - start), 4 * start
            field = _array(row + place, n, f32)
            bias, base = _array(job[BIAS] + place, n, f32), _array(job[BASE] + place, n, f32)
            change += _two_state_piece(field, bias, base, scale, old, new, first, second, third)
            if job[KIND] == SPIN:  # log 2 cosh(x) = log(1 + exp(2x)) - x
                change -= (f64(new) - f64(old)) * _sum_of_slopes(field, bias)
        works[r] -= change + (f64(new) - f64(old)) * dots[r]


@_jit
def _category_sums(field, bias, base, states, beta, planes, t):
    """log of the sum over the states of exp(x) at β, of some sites: t.size of them."""
    _wide()
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


def categories(pointer):
    """For one-hot sites: the sum of log Σₖ exp(fₖ)."""
    job = carray(pointer, (PLACES,))
    states = job[STATES]
    here, there = _array(job[HERE], job[ROWS], f32), _array(job[THERE], job[ROWS], f32)
    dots, works = _array(job[DOTS], job[ROWS], f64), _array(job[WORKS], job[ROWS], f64)
    planes = _array(job[ROOM], TILE + 16 * states, f32)
    sites, width = job[WIDTH] // states, max(16, TILE // states)
    for r in range(job[ROWS]):
        change, row, old, new = 0.0, job[FIELDS] + r * job[STRIDE], here[r], there[r]
        for start in range(0, sites, width):
            n, place = min(width, sites - start), 4 * start * states
            t = _array(job[ROOM] + 4 * (TILE + 16 * states), n, f32)
            field = _array(row + place, n * states, f32)
            bias, base = (
                _array(job[BIAS] + place, n * states, f32),
                _array(job[BASE] + place, n * states, f32),
            )
            change += _category_sums(field, bias, base, states, new, planes, t)
            change -= _category_sums(field, bias, base, states, old, planes, t)
        works[r] -= change + (f64(new) - f64(old)) * dots[r]
