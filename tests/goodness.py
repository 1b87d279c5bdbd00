"""Goodness of fit at a stated false-alarm rate: an assertion takes the share of one test from the budget."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import stats

from statistics_budget import PER_TEST, tail_probability, z_threshold


def assert_counts(counts: Any, draws: int, probabilities: Any, comparisons: int | None = None) -> None:
    """Counts of events among independent draws agree with their probabilities, by exact binomial tails."""
    counts, p = np.asarray(counts), np.clip(np.asarray(probabilities, dtype=float), 0.0, 1.0)
    tail = np.minimum(stats.binom.cdf(counts, draws, p), stats.binom.sf(counts - 1, draws, p))
    worst = int(np.argmin(tail))
    assert 2 * tail.min() >= tail_probability(comparisons or counts.size), (
        f"{counts.flat[worst]} of {draws} draws, expected {draws * p.flat[worst]:.6g}, tail {tail.min():.3g}"
    )


def assert_means(mean: Any, exact: Any, deviation: Any, draws: int, comparisons: int | None = None) -> None:
    """Means of independent draws with these standard deviations agree with the exact ones.

    A tenth of the share leaves room for the skewness that the normal approximation neglects.
    """
    mean, exact, deviation = (np.asarray(a, dtype=float) for a in (mean, exact, deviation))
    z = np.abs(mean - exact) / np.maximum(deviation / np.sqrt(draws), 1e-12)
    threshold = z_threshold(comparisons or z.size, PER_TEST / 10)
    worst = int(np.argmax(z))
    assert z.max() <= threshold, (
        f"mean {mean.flat[worst]:.6g}, exact {exact.flat[worst]:.6g}:"
        f" {z.max():.2f} standard errors > {threshold:.2f}"
    )


def assert_distribution(draws: Any, distribution: Any, comparisons: int) -> None:
    """Kolmogorov-Smirnov: the draws have this (continuous) distribution function."""
    p = stats.kstest(np.asarray(draws, dtype=float), distribution).pvalue
    assert p >= tail_probability(comparisons), f"Kolmogorov-Smirnov p-value {p:.3g}"
