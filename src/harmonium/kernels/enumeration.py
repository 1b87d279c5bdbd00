"""Sums over all states of one side of a two-sided model, streamed, with no logarithm or exponential inside.

What is summed is exp(l + Σᵢ softplus(fᵢ)) over all pairs (high, low) of half-states, where l = l_high + l_low
and fᵢ = A[high, i] + B[low, i]. With 1 + e^f = e^max(f, 0) (1 + e^-|f|) and e^-|f| = min(e^A e^B, e^-A e^-B)
a term costs a handful of multiplications and additions; one exponential per state remains. Memory holds the
two tables of half-states, which are as long as the root of the number of states.
"""

# Compiled functions take what Numba infers.
# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np

LIMIT = 300.0  # |A| and |B| up to which e^A e^B and its inverse can't overflow
FOLD = 512  # factors 1 + e^-|f| <= 2 multiplied before the product moves into the exponent
LANES = 64  # low half-states handled together: their products stay in registers and the first-level cache
PIECES = 64  # parts of the work, the same on any number of threads, so that the sum is rounded the same


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
    # padded low states have no weight
    pad = -len(b) % LANES
    b = np.concatenate([b, np.zeros((pad, b.shape[1]))]).T.copy()
    linear_b = np.concatenate([linear_b, np.full(pad, -np.inf)])
    grown, shrunk = np.exp(b), np.exp(-b)
    edges = np.linspace(0, len(a), min(PIECES, len(a)) + 1).astype(np.int64)

    def piece(k: int) -> tuple[float, float]:
        rows = slice(edges[k], edges[k + 1])
        return _piece(a[rows], linear_a[rows], b, grown, shrunk, linear_b)

    if threads == 1:
        parts = [piece(k) for k in range(len(edges) - 1)]
    else:
        with ThreadPoolExecutor(threads) as pool:
            parts = list(pool.map(piece, range(len(edges) - 1)))
    top = max(peak for peak, _ in parts)
    return top + math.log(math.fsum(total * math.exp(peak - top) for peak, total in parts))


@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "nnan", "nsz"})
def _piece(a, linear_a, b, grown, shrunk, linear_b):
    """(the largest exponent so far, the sum in units of its exponential) over some high rows and all low
    ones.
    """
    n, low = b.shape
    product, exponent = np.empty(LANES), np.empty(LANES)
    peak, total = -np.inf, 0.0
    for high in range(len(a)):
        grow, shrink = np.exp(a[high]), np.exp(-a[high])
        for start in range(0, low, LANES):
            here = slice(start, start + LANES)
            for j in range(LANES):
                product[j] = 1.0
                exponent[j] = linear_a[high] + linear_b[start + j]
            for first in range(0, n, FOLD):
                for i in range(first, min(first + FOLD, n)):
                    up, down, shift = grow[i], shrink[i], a[high, i]
                    bi, ui, di = b[i, here], grown[i, here], shrunk[i, here]
                    for j in range(LANES):
                        product[j] *= 1.0 + min(up * ui[j], down * di[j])
                        exponent[j] += max(shift + bi[j], 0.0)
                for j in range(LANES):
                    exponent[j] += math.log(product[j])
                    product[j] = 1.0
            top = exponent.max()
            if top > peak:
                total *= math.exp(peak - top)
                peak = top
            for j in range(LANES):
                total += math.exp(exponent[j] - peak)
    return peak, total
