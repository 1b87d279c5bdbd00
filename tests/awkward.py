"""Awkward tables for tests and benchmarks: separate clouds of rows, columns of few values among real ones."""

from __future__ import annotations

import math

import numpy as np

CLOUDS: dict[str, tuple[object, object, object]] = {  # centres, shares (None: equal), deviations
    "two": ([-5.0, 5.0], None, 1.0),
    "two far apart": ([-20.0, 20.0], None, 1.0),
    "unequal": ([-20.0, 20.0], [0.85, 0.15], 1.0),
    "three": ([-20.0, 0.0, 15.0], None, 1.0),
    "small and far from zero": ([0.95, 1.05], None, 0.002),
    "triangle": ([[0.0, 0.0], [10.0, 0.0], [5.0, 9.0]], None, 1.0),
    "four in five columns": (12.0 * np.eye(4, 5), None, 1.0),
}


def clouds(name: str, rows: int = 600, seed: int = 0) -> tuple[np.ndarray, np.ndarray, float]:
    """(rows, centres, mean log-likelihood of the rows under the mixture that they were drawn from, nats)."""
    where, weights, deviation = CLOUDS[name]
    centres = np.asarray(where, dtype=float)
    centres = centres[:, None] if centres.ndim == 1 else centres
    k, width = centres.shape
    shares = np.full(k, 1.0 / k) if weights is None else np.asarray(weights, dtype=float)
    numbers, scale = np.random.default_rng(seed), float(deviation)  # type: ignore[arg-type]
    x = centres[numbers.choice(k, rows, p=shares)] + scale * numbers.normal(size=(rows, width))
    square = ((x[:, None] - centres) ** 2).sum(2) / scale**2
    log_p = np.log(shares) - 0.5 * square - width * (math.log(scale) + 0.5 * math.log(2.0 * math.pi))
    return x, centres, float(np.logaddexp.reduce(log_p, axis=1).mean())


def binary_among_real(rows: int = 600, seed: int = 0) -> np.ndarray:
    """Three real columns that depend on a fourth of 0 and 1, (rows, 4)."""
    numbers = np.random.default_rng(seed)
    which = numbers.integers(0, 2, rows)
    return np.c_[numbers.normal(size=(rows, 3)) + which[:, None], which]


def votes(rows: int = 400, columns: int = 5, seed: int = 0) -> np.ndarray:
    """Columns of -1, 0 and 1 that lean one way together, (rows, columns)."""
    numbers = np.random.default_rng(seed)
    lean = numbers.normal(size=(rows, 1))
    return np.sign(np.round(lean + numbers.normal(size=(rows, columns))))
