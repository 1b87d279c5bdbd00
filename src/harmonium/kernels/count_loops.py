"""The compiled loop that draws counts: bit for bit ``reference.draw_counts``."""

# Compiled functions take the types that Numba infers.
# mypy: disable-error-code="no-untyped-def, call-arg, attr-defined, import-untyped, var-annotated"

from __future__ import annotations

import numpy as np

from harmonium.kernels import reference
from harmonium.kernels.draw_loops import UNITS, _exp64, _uniform64, _work
from harmonium.kernels.primitives import _inline, _jit

CUT, MOST_VARIANCE = reference.CUT, reference.MOST_VARIANCE


@_inline
def _up(k, factor, trials):
    """P(k + 1) / P(k)."""
    return factor * (trials - k) / (k + 1.0) if trials else factor / (k + 1.0)


@_inline
def _down(k, factor, trials):
    """P(k - 1) / P(k)."""
    return k / (factor * (trials - k + 1.0)) if trials else k / factor


@_jit
def _count(u, factor, trials):
    """The smallest count whose cumulative probability reaches u."""
    mode = np.floor((trials + 1.0) * (factor / (factor + 1.0)) if trials else factor)
    mode = trials if trials and mode > trials else mode
    below, weight, k = 0.0, 1.0, mode
    while k > 0.0 and weight > CUT:
        weight *= _down(k, factor, trials)
        below += weight
        k -= 1.0
    total, weight, k = below + 1.0, 1.0, mode
    while weight > CUT:
        weight *= _up(k, factor, trials)
        total += weight
        k += 1.0
    wanted, weight, k = u * total, 1.0, mode
    reached = below
    if wanted > below:
        reached += 1.0
        while reached < wanted and weight > CUT:
            weight *= _up(k, factor, trials)
            k += 1.0
            reached += weight
        return k
    while k > 0.0 and reached >= wanted and weight > CUT:
        weight *= _down(k, factor, trials)
        k -= 1.0
        reached -= weight
    return k


@_jit
def _uniforms(u, blocks, first, chain, job):
    """As for other draws, but no more of them than a narrow layer has columns."""
    _uniform64(u, min(blocks, (job[UNITS] + 3) // 4), first, chain, job)


@_jit
def _counts(trials, field, out, scratch, states):
    u, x = scratch[0], scratch[1]
    n, most = field.size, np.float64(trials)
    for i in range(n):
        x[i] = field[i]
    _exp64(x, n)
    for i in range(n):
        factor = x[i]
        variance = most * (factor / (factor + 1.0)) / (factor + 1.0) if trials else factor
        out[i] = -1.0 if variance > MOST_VARIANCE else _count(u[i], factor, most)


def counts64(pointer):
    """Counts in float64; the kind of the job is the number of trials, 0 for Poisson's."""
    _work(pointer, np.float64, _uniforms, _counts)
