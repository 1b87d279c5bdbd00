"""The compiled loops that draw columns of several kinds at once: bit for bit the loops of each kind.

A tile is a few whole rows. Their random bits are made together, whatever the columns are for; then the
columns of one group in all these rows are copied next to each other, drawn as one row of their kind is, and
copied out.

Touch this file after a change in `draw_loops` or `count_loops`: Numba's cache watches this one alone.
"""

# Compiled functions take the types that Numba infers.
# mypy: disable-error-code="no-untyped-def, call-arg, attr-defined, import-untyped, var-annotated"

from __future__ import annotations

import numpy as np
from numba import carray

from harmonium.kernels import draw_loops as loops
from harmonium.kernels.count_loops import _counts
from harmonium.kernels.draw_loops import (
    BERNOULLI,
    CATEGORICAL,
    CHAIN,
    CHAINS,
    COUNTER,
    FIELD,
    FIELD_STRIDE,
    GRAIN,
    LOW_WORDS,
    OUT,
    OUT_STRIDE,
    PLACES,
    ROWS,
    SPIN,
    UNIFORM,
    UNIT,
    WIDTH,
    _constant_words,
    _double_two,
    _padded,
    _philox,
    _single_two,
    _sites,
    _unit32,
    _unit64,
)
from harmonium.kernels.primitives import _array, _claim, _inline, _jit, _wide

PLAN, LENGTH = loops.KIND, loops.UNITS  # places in a job that mean something else here; WIDTH: rows of a tile
COUNTS = 4  # the kind after those of `draw_loops`
KINDS = {
    "uniform": UNIFORM,
    "bernoulli": BERNOULLI,
    "spin": SPIN,
    "categorical": CATEGORICAL,
    "counts": COUNTS,
}

# Places in a plan: whole numbers that are the same in every call.
GROUPS, BLOCKS, COUNT_BLOCKS, NUMBERS, HEAD = range(5)  # NUMBERS: most columns of a group
# Then come these of each group, the blocks of Philox that a row takes, counts' apart, and the columns.
G_KIND, G_SIZE, G_SITES, G_STATES, G_COLUMN, G_DRAW, G_END = range(7)
# G_COLUMN: where its columns begin among all, G_DRAW: where its uniforms begin among those of a row.

u64 = np.uint64
LANES = 8  # blocks that are made at once


@_jit
def _uniforms32(u, units, chains, job):
    _wide()
    _, c2, c3, k0, k1 = _constant_words(job, 0)
    for i in range(units.size):
        w0, w1, w2, w3 = _philox(units[i], chains[i], c2, c3, k0, k1)
        u[4 * i], u[4 * i + 1], u[4 * i + 2], u[4 * i + 3] = (
            _unit32(w0),
            _unit32(w1),
            _unit32(w2),
            _unit32(w3),
        )


@_jit
def _uniforms64(u, units, chains, job):
    _, c2, c3, k0, k1 = _constant_words(job, 0)
    for i in range(units.size):
        w0, w1, w2, w3 = _philox(units[i], chains[i], c2, c3, k0, k1)
        v0, v1, v2, v3 = _philox(units[i], chains[i], c2, c3 | LOW_WORDS, k0, k1)
        u[4 * i], u[4 * i + 1] = _unit64(w0, v0), _unit64(w1, v1)
        u[4 * i + 2], u[4 * i + 3] = _unit64(w2, v2), _unit64(w3, v3)


@_inline
def _lanes(blocks):
    return -(-blocks // LANES) * LANES


@_jit
def _counters(units, chains, blocks, first, rows, job):
    """The counter words of these blocks in so many rows from the first."""
    numbers, unit = _array(job[CHAINS], job[ROWS], np.uint32), u64(job[UNIT] // 4)
    n = blocks.size
    for r in range(rows):
        row = first + r
        chain = u64(numbers[row]) if job[CHAINS] else u64(job[CHAIN] + row)
        for b in range(n):
            units[r * n + b], chains[r * n + b] = unit + u64(blocks[b]), chain


@_jit
def _gathered(x, v, field, stride, number, columns, u, draw, width, rows):
    """Fields x and uniforms v of a group, row after row."""
    n, sites = columns.size, v.size // rows
    for r in range(rows):
        values = _array(field + r * stride, columns.size, number)
        for c in range(n):
            x[r * n + c] = values[columns[c]]
        for s in range(sites):
            v[r * sites + s] = u[r * width + draw + s]


@_jit
def _scattered(out, stride, number, columns, x, rows):
    n = columns.size
    for r in range(rows):
        values = _array(out + r * stride, columns.size, number)
        for c in range(n):
            values[columns[c]] = x[r * n + c]


@_inline
def _work(pointer, number, fill, two):
    """What each thread does: claim some tiles, draw all groups of their rows, until all are taken."""
    job = carray(pointer, (PLACES,))
    plan, height = _array(job[PLAN], job[LENGTH], np.int64), job[WIDTH]
    at = HEAD + G_END * plan[GROUPS]
    ends = at + plan[BLOCKS], at + plan[BLOCKS] + plan[COUNT_BLOCKS]
    blocks, count_blocks, all_columns = plan[at : ends[0]], plan[ends[0] : ends[1]], plan[ends[1] :]
    most = _padded(height * plan[NUMBERS])
    u, doubles = (
        np.empty(4 * _lanes(height * blocks.size), number),
        np.empty(4 * _lanes(height * count_blocks.size)),
    )
    units, chains = (
        np.zeros(max(u.size, doubles.size) // 4, u64),
        np.zeros(max(u.size, doubles.size) // 4, u64),
    )
    v, x, y, t = (
        np.full(most, number(0.25)),
        np.empty(most, number),
        np.empty(2 * most, number),
        np.empty(most, number),
    )
    counting = most if count_blocks.size else 0
    v64, x64, y64 = np.empty(counting), np.empty(counting), np.empty(counting)
    tiles = -(-job[ROWS] // height)
    first = _claim(job[COUNTER], job[GRAIN]) if job[COUNTER] else 0
    while first < tiles:
        for tile in range(first, min(first + job[GRAIN], tiles)):
            row = tile * height
            rows = min(height, job[ROWS] - row)
            if blocks.size:
                n = _lanes(rows * blocks.size)
                _counters(units, chains, blocks, row, rows, job)
                fill(u, units[:n], chains[:n], job)
            if count_blocks.size:
                n = _lanes(rows * count_blocks.size)
                _counters(units, chains, count_blocks, row, rows, job)
                _uniforms64(doubles, units[:n], chains[:n], job)
            field, out = job[FIELD] + row * job[FIELD_STRIDE], job[OUT] + row * job[OUT_STRIDE]
            for g in range(plan[GROUPS]):
                group = plan[HEAD + G_END * g : HEAD + G_END * (g + 1)]
                kind, sites, states, draw = (
                    group[G_KIND],
                    group[G_SITES] * rows,
                    group[G_STATES],
                    group[G_DRAW],
                )
                columns = all_columns[group[G_COLUMN] : group[G_COLUMN] + group[G_SITES] * states]
                n = sites * states
                if kind == COUNTS:
                    _gathered(
                        x64,
                        v64[:sites],
                        field,
                        job[FIELD_STRIDE],
                        number,
                        columns,
                        doubles,
                        draw,
                        4 * count_blocks.size,
                        rows,
                    )
                    _counts(group[G_SIZE], x64[:n], x64[:n], (v64, y64), 1)
                    _scattered(out, job[OUT_STRIDE], number, columns, x64, rows)
                    continue
                _gathered(
                    x, v[:sites], field, job[FIELD_STRIDE], number, columns, u, draw, 4 * blocks.size, rows
                )
                if kind == UNIFORM:
                    _scattered(out, job[OUT_STRIDE], number, columns, v, rows)
                    continue
                if kind == CATEGORICAL:
                    _sites(kind, x[:n], x[:n], (v, y, t), states)
                else:
                    two(kind, x[:n], x[:n], (v, y), 1)
                _scattered(out, job[OUT_STRIDE], number, columns, x, rows)
        first = _claim(job[COUNTER], job[GRAIN]) if job[COUNTER] else tiles


def mixtures32(pointer):
    """Columns of several kinds in float32."""
    _work(pointer, np.float32, _uniforms32, _single_two)


def mixtures64(pointer):
    """Columns of several kinds in float64."""
    _work(pointer, np.float64, _uniforms64, _double_two)
