"""The compiled loops behind ``harmonium.kernels.graph``: Gibbs sweeps over the flat arrays of a graph.

A thread takes LANES chains at a time and sweeps them through all sites, one site after the other: the states
of a site in these chains lie next to each other, so every pass over a site is a short loop of constant length
that the compiler turns into a few vector instructions. Threads share no state, so they never wait for each
other.

Numba's cache on disk watches only the file of the function it compiles: touch this one after a change in one
that it imports from.
"""

# Compiled functions take the types that Numba infers.
# mypy: disable-error-code="no-untyped-def, call-arg, attr-defined, import-untyped"

from __future__ import annotations

import numpy as np
from numba import carray

from harmonium.kernels import draw_loops as loops
from harmonium.kernels.draw_loops import _philox, _unit32
from harmonium.kernels.primitives import _claim, _inline, _jit, _pointer, _wide

LANES = 32  # two AVX-512 registers, four of AVX2

# Places in a job: numbers first, then addresses in memory (0 where there is no such array).
COUNTER, ROWS, SITES, SWEEPS, VISITS, SEED, PURPOSE, STEP, UNIT, MOST = range(10)
STATE, CHAINS, ORDER, NUMBER, BETA, HELD, HELD_STRIDE, STUCK = range(10, 18)
START, OTHER, WEIGHT, BIAS, PLACE, APART, LENGTH = range(18, 25)  # pairwise
STATES, FACTOR, TABLE, OFFSET, STRIDE, MEMBER = range(18, 24)  # tables
MEMBERS, MEMBER_STRIDE = range(24, 26)
PLACES = 26

u64, one, zero = np.uint64, np.float32(1), np.float32(0)
L = u64(LANES)  # indices are unsigned, or the compiler would provide for negative ones and gather one by one
MASK, HALF = loops.MASK, loops.HALF
LIMIT, ROUND, LOG2E = loops.LIMIT32, loops.ROUND32, loops.LOG2E32
LN2_HIGH, LN2_LOW = loops.LN2_HIGH32, loops.LN2_LOW32
C7, C6, C5, C4, C3, C2 = loops.TAYLOR32


# Written out where they are used: calls for each group of four sites took a sixth of the time of a sweep.
@_inline
def _exp(y):
    # the exponential of `reference`, written out so that it can be part of a longer loop
    y = -LIMIT if y < -LIMIT else y
    y = LIMIT if y > LIMIT else y
    shifted = np.float32(y * LOG2E + ROUND)
    k = shifted - ROUND
    f = (y - k * LN2_HIGH) - k * LN2_LOW
    p = ((((C7 * f + C6) * f + C5) * f + C4) * f + C3) * f + C2
    p = (p * f * f + f) + one
    return p * np.int32(shifted.view(np.int32) << np.int32(23)).view(np.float32)


@_inline
def _uniforms(u, group, chain, step, job):
    _wide()
    seed = u64(job[SEED])
    c2, c3 = step & MASK, (u64(job[PURPOSE]) << u64(16)) | (step >> HALF)
    k0, k1 = seed & MASK, seed >> HALF
    for lane in range(LANES):
        j = u64(lane)
        w0, w1, w2, w3 = _philox(u64(group), chain[j], c2, c3, k0, k1)
        u[j], u[L + j] = _unit32(w0), _unit32(w1)
        u[L + L + j], u[L + L + L + j] = _unit32(w2), _unit32(w3)


@_jit
def _load(x, first, rows, s, place):
    for i in range(x.shape[1]):
        for j in range(LANES):
            s[place[i] * LANES + j] = x[min(first + j, rows - 1), i]  # idle lanes repeat the last chain


@_jit
def _store(x, first, rows, s, place):
    for j in range(min(LANES, rows - first)):
        for i in range(x.shape[1]):
            x[first + j, i] = s[place[i] * LANES + j]


@_jit
def _is_held(job, row, i):
    held = carray(_pointer(job[HELD] + row * job[HELD_STRIDE]), (job[SITES],), np.uint8)
    return held[i] != 0


# ---------------------------------------------------------------- two states, pairwise


@_inline
def _four(weight, other, e):
    # weights and places of four neighbours; rows are filled up with weights of 0
    e1, e2, e3 = e + u64(1), e + u64(2), e + u64(3)
    places = u64(other[e]) * L, u64(other[e1]) * L, u64(other[e2]) * L, u64(other[e3]) * L
    return (weight[e], weight[e1], weight[e2], weight[e3]), places


@_inline
def _pair_fields(s, f, graph, scan, span):
    """The fields on some sites of the scan in all lanes, each at the place of its random words."""
    _wide()
    (start, other, weight, bias), (order, number) = graph, scan
    for k in range(span[0], span[1]):
        i, slot = u64(order[k]), u64(number[k] & 3) * L
        first, end, b = u64(start[i]), u64(start[i + u64(1)]), bias[i]
        (w0, w1, w2, w3), (p0, p1, p2, p3) = _four(weight, other, first)
        # a constant length, or the compiler would go 64 lanes at a time and do 32 one by one
        for lane in range(LANES):
            j = u64(lane)
            f[slot + j] = b + w0 * s[p0 + j] + w1 * s[p1 + j] + w2 * s[p2 + j] + w3 * s[p3 + j]
        e = first + u64(4)
        while e < end:
            (w0, w1, w2, w3), (p0, p1, p2, p3) = _four(weight, other, e)
            for lane in range(LANES):
                j = u64(lane)
                rest = w0 * s[p0 + j] + w1 * s[p1 + j] + w2 * s[p2 + j] + w3 * s[p3 + j]
                f[slot + j] = f[slot + j] + rest
            e += u64(4)


@_inline
def _draw_two(f, u, beta, out):
    _wide()
    for lane in range(f.size):
        j = u64(lane)
        out[j] = one if u[j] * (_exp(-(beta[j] * f[j])) + one) < one else zero


@_jit
def _put_back(s, old, order, number, span, job):
    """Undo what was drawn for held sites, and for sites between those of the scan."""
    k, end, first = span
    for n in range(number[k], number[end - 1] + 1):
        slot, row = (n & 3) * LANES, n * LANES
        visited = number[k] == n
        for lane in range(LANES):
            if not visited or (job[HELD] and _is_held(job, min(first + lane, job[ROWS] - 1), order[k])):
                s[row + lane] = old[slot + lane]
        k += visited


@_jit
def _sweep_two(scratch, chain, beta, step, first, job):
    """States lie in the order of the unit numbers, so that sites which share random words are neighbours.

    Where these don't touch they are drawn together: one draw is a long chain of dependent operations, and
    four times as many lanes keep the processor busy.
    """
    s, u, f, old = scratch
    order = carray(_pointer(job[ORDER]), (job[VISITS],), np.int64)
    number = carray(_pointer(job[NUMBER]), (job[VISITS],), np.int64)
    start = carray(_pointer(job[START]), (job[SITES] + 1,), np.int64)
    other = carray(_pointer(job[OTHER]), (start[job[SITES]],), np.int32)
    weight = carray(_pointer(job[WEIGHT]), (start[job[SITES]],), np.float32)
    bias = carray(_pointer(job[BIAS]), (job[SITES],), np.float32)
    group, k = -1, 0
    while k < job[VISITS]:
        if number[k] >> 2 != group:
            group = number[k] >> 2
            _uniforms(u, group + (job[UNIT] >> 2), chain, step, job)
        end = k + 1
        while job[APART] and end < job[VISITS] and number[end] >> 2 == group:
            end += 1
        _pair_fields(s, f, (start, other, weight, bias), (order, number), (k, end))
        low, high = (number[k] & 3) * LANES, (number[end - 1] & 3) * LANES + LANES
        rows = s[4 * group * LANES + low : 4 * group * LANES + high]
        if job[HELD] or end - k < (high - low) // LANES:
            for j in range(high - low):
                old[low + j] = rows[j]
        _draw_two(f[low:high], u[low:high], beta[low:high], rows)
        if job[HELD] or end - k < (high - low) // LANES:
            _put_back(s, old, order, number, (k, end, first), job)
        k = end


# ---------------------------------------------------------------- tables


@_jit
def _fields(s, f, index, i, q, job):
    """The log-potentials of every state of site i, (q, LANES) in f."""
    factor = carray(_pointer(job[FACTOR]), (job[SITES] + 1,), np.int64)
    entries = factor[job[SITES]]
    offset = carray(_pointer(job[OFFSET]), (entries,), np.int64)
    stride = carray(_pointer(job[STRIDE]), (entries,), np.int32)
    member = carray(_pointer(job[MEMBER]), (entries + 1,), np.int64)
    other = carray(_pointer(job[MEMBERS]), (member[entries],), np.int32)
    jump = carray(_pointer(job[MEMBER_STRIDE]), (member[entries],), np.int32)
    table = carray(_pointer(job[TABLE]), (1,), np.float32)
    for j in range(q * LANES):
        f[j] = zero
    for e in range(factor[i], factor[i + 1]):
        for j in range(LANES):
            index[j] = offset[e]
        for m in range(member[e], member[e + 1]):
            step, place = np.int64(jump[m]), np.int64(other[m]) * LANES
            for j in range(LANES):
                index[j] += step * s[place + j]
        for c in range(q):
            move = np.int64(c) * stride[e]
            for j in range(LANES):
                f[c * LANES + j] += table[index[j] + move]


@_jit
def _draw_many(s, i, q, f, u, beta):
    """Inverse of the distribution function, in the order of ``reference``; whether a chain has no state
    left.
    """
    stuck, place = False, i * LANES
    for j in range(LANES):
        top = np.float32(-np.inf)
        for c in range(q):
            f[c * LANES + j] *= beta[j]
            top = f[c * LANES + j] if f[c * LANES + j] > top else top
        total = zero
        for c in range(q):
            value = f[c * LANES + j]
            f[c * LANES + j] = _exp(value - top if value != top else zero)
            total += f[c * LANES + j]
        if not top > np.float32(-np.inf):
            stuck = True
            continue
        threshold, before, chosen = u[j] * total, zero, q - 1
        for c in range(q):
            after = before + f[c * LANES + j]
            if (before <= threshold) & (after > threshold):
                chosen = c
            before = after
        s[place + j] = chosen
    return stuck


@_jit
def _sweep_many(scratch, chain, beta, step, first, job):
    s, u, f, index = scratch
    order = carray(_pointer(job[ORDER]), (job[VISITS],), np.int64)
    number = carray(_pointer(job[NUMBER]), (job[VISITS],), np.int64)
    states = carray(_pointer(job[STATES]), (job[SITES],), np.int32)
    group, stuck, old = -1, False, np.empty(LANES, np.int32)
    for k in range(job[VISITS]):
        i, unit = order[k], number[k] + job[UNIT]
        if unit >> 2 != group:
            group = unit >> 2
            _uniforms(u, group, chain, step, job)
        _fields(s, f, index, i, states[i], job)
        for j in range(LANES):
            old[j] = s[i * LANES + j]
        uniform = u[(unit & 3) * LANES : (unit & 3) * LANES + LANES]
        stuck |= _draw_many(s, i, states[i], f, uniform, beta)
        if job[HELD]:
            for j in range(LANES):
                if _is_held(job, min(first + j, job[ROWS] - 1), i):
                    s[i * LANES + j] = old[j]
    return stuck


# ---------------------------------------------------------------- threads


@_jit
def _numbers(job, first, chain, beta):
    rows = job[ROWS]
    chains = carray(_pointer(job[CHAINS]), (rows,), np.uint32)
    betas = carray(_pointer(job[BETA]), (rows,), np.float32)
    for j in range(LANES):
        chain[j] = u64(chains[min(first + j, rows - 1)])
    for j in range(beta.size):
        beta[j] = betas[min(first + j % LANES, rows - 1)]


@_jit
def _aligned(n, number, size):
    """Scratch memory that starts at a cache line, so that no vector lies across two."""
    room = np.zeros(n + 64 // size, number)
    skip = (64 - np.int64(room.ctypes.data) % 64) % 64 // size
    return room[skip : skip + n]


def work_two(pointer):
    """What each thread does: claim LANES chains, sweep them, until none is left."""
    job = carray(pointer, (PLACES,))
    rows, sites = job[ROWS], job[SITES]
    x = carray(_pointer(job[STATE]), (rows, sites), np.float32)
    place = carray(_pointer(job[PLACE]), (sites,), np.int64)
    s, u = _aligned(job[LENGTH] * LANES, np.float32, 4), _aligned(4 * LANES, np.float32, 4)
    f, old = _aligned(4 * LANES, np.float32, 4), _aligned(4 * LANES, np.float32, 4)
    chain, beta = _aligned(LANES, np.uint64, 8), _aligned(4 * LANES, np.float32, 4)
    first = _claim(job[COUNTER], LANES)
    while first < rows:
        _numbers(job, first, chain, beta)
        _load(x, first, rows, s, place)
        for sweep in range(job[SWEEPS]):
            _sweep_two((s, u, f, old), chain, beta, u64(job[STEP] + sweep), first, job)
        _store(x, first, rows, s, place)
        first = _claim(job[COUNTER], LANES)


def work_many(pointer):
    """The same for variables of any number of states."""
    job = carray(pointer, (PLACES,))
    rows, sites = job[ROWS], job[SITES]
    x = carray(_pointer(job[STATE]), (rows, sites), np.int32)
    s, index = np.empty(sites * LANES, np.int32), np.empty(LANES, np.int64)
    u, f = np.empty(4 * LANES, np.float32), np.empty(job[MOST] * LANES, np.float32)
    chain, beta = np.empty(LANES, np.uint64), np.empty(LANES, np.float32)
    place = np.arange(sites)
    stuck = carray(_pointer(job[STUCK]), (1,), np.int64)
    first = _claim(job[COUNTER], LANES)
    while first < rows:
        _numbers(job, first, chain, beta)
        _load(x, first, rows, s, place)
        for sweep in range(job[SWEEPS]):
            if _sweep_many((s, u, f, index), chain, beta, u64(job[STEP] + sweep), first, job):
                stuck[0] = 1
        _store(x, first, rows, s, place)
        first = _claim(job[COUNTER], LANES)


def colour(start, other, colours):
    """First-fit colouring of a graph in breadth-first order, which needs two colours wherever two will do."""
    n = colours.size
    queue, taken = np.empty(n, np.int64), np.full(n + 1, -1, np.int64)
    for i in range(n):
        colours[i] = -1
    seen = np.zeros(n, np.uint8)
    most = 0
    for root in range(n):
        if seen[root]:
            continue
        queue[0], head, tail = root, 0, 1
        seen[root] = 1
        while head < tail:
            i = queue[head]
            head += 1
            for e in range(start[i], start[i + 1]):
                k = other[e]
                if colours[k] >= 0:
                    taken[colours[k]] = i
                elif not seen[k]:
                    seen[k] = 1
                    queue[tail] = k
                    tail += 1
            c = 0
            while taken[c] == i:
                c += 1
            colours[i] = c
            most = max(most, c + 1)
    return most


COLOUR = "int64(int64[::1], int32[::1], int64[::1])"
