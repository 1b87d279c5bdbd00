"""Sums over all states of one side of a two-sided model, streamed, with no logarithm or exponential inside.

What is summed is exp(l + Σᵢ softplus(fᵢ)) over all pairs (high, low) of half-states, where l = l_high + l_low
and fᵢ = A[high, i] + B[low, i]. With 1 + e^f = e^max(f, 0) (1 + e^-|f|) and e^-|f| = min(e^A e^B, e^-A e^-B)
a term costs a handful of multiplications and additions; one exponential per state remains. Memory holds the
two tables of half-states, which are as long as the root of the number of states.
"""

# Compiled functions take what Numba infers.
# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False

from __future__ import annotations

import ctypes
import math

import numpy as np

from harmonium.kernels import plain, processor
from harmonium.kernels.processor import taking_the_next

LIMIT = 300.0  # |A| and |B| up to which e^A e^B and its inverse can't overflow
PIECES = 64  # parts of the work, the same on any number of threads, so that the sum is rounded the same


@taking_the_next
def log_sum(
    a: np.ndarray, b: np.ndarray, linear_a: np.ndarray, linear_b: np.ndarray, threads: int = 1
) -> float | None:
    """log Σ exp(l_high + l_low + Σᵢ softplus(A[high, i] + B[low, i])) over all pairs of rows of A and B.

    Args:
        a: A, (high, n), float64.
        b: B, (low, n), float64.
        linear_a: l_high, (high,), float64.
        linear_b: l_low, (low,), float64.
        threads: how many to use; the result doesn't depend on it.

    Returns:
        The logarithm, or None where the fields are too large for this way of computing it.

    >>> zero = np.zeros((1, 1))
    >>> round(log_sum(zero, zero, zero[0], zero[0]), 6)
    0.693147
    """
    if max(np.abs(a).max(), np.abs(b).max()) > LIMIT:
        return None
    if processor.path() == "plain":
        return plain.log_sum_of_pairs(a, b, linear_a, linear_b)
    from harmonium.kernels import enumeration_loops, launch

    # padded low states have no weight
    pad = -len(b) % enumeration_loops.LANES
    b = np.concatenate([b, np.zeros((pad, b.shape[1]))]).T.copy()
    linear_b = np.concatenate([linear_b, np.full(pad, -np.inf)])
    edges = np.linspace(0, len(a), min(PIECES, len(a)) + 1).astype(np.int64)
    parts, counter = np.empty((len(edges) - 1, 2)), ctypes.c_int64(0)
    both = a, np.exp(a), np.exp(-a), linear_a, b, np.exp(b), np.exp(-b), linear_b
    arrays = [*(np.ascontiguousarray(x) for x in both), edges, parts]
    sizes = [ctypes.addressof(counter), len(parts), len(a), *b.shape]
    job = np.array([*sizes, *(x.ctypes.data for x in arrays)], np.int64)
    launch.run(enumeration_loops.pieces, job, min(launch.threads(True), threads))
    top = parts[:, 0].max()
    return float(top + math.log(math.fsum(total * math.exp(peak - top) for peak, total in parts.tolist())))
