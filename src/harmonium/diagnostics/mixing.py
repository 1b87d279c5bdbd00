"""Mixing of chains from a short window, quickly enough to be asked while a model is trained.

ArviZ says the same and more (`harmonium.diagnostics.chain_diagnostics`), but takes a second to import; these
are its formulas for the mean, without ranks (Geyer 1992; Gelman et al. 2013, section 11.4; Vehtari et al.
2021).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from torch import Tensor

STUCK = 1.2  # R̂ above which chains are reported
SLOW = 0.1  # autocorrelation time, as a share of the window, above which they are
FEWEST = 8  # steps and chains below which nothing can be said


@dataclass(frozen=True)
class MixingReport:
    """How well some chains mixed during a window of time.

    Attributes:
        ess: effective sample size of all chains together.
        r_hat: split R̂: 1 when chains agree with each other and with themselves earlier, larger otherwise.
        autocorrelation_time: steps between independent states, at least 1; a lower bound where the window is
            short.
        warning: a sentence with the remedy, or None when nothing is suspicious.
    """

    ess: float
    r_hat: float
    autocorrelation_time: float
    warning: str | None


def mixing_report(free_energies: Tensor | np.ndarray) -> MixingReport:
    """Judge persistent chains by the free energies they went through while the model stood still (or nearly
    so).

    Args:
        free_energies: (steps, chains), one row after each step of the chains; a few dozen steps are enough.

    Raises:
        ValueError: fewer than 8 steps or 2 chains, or numbers that aren't finite.

    >>> t = np.linspace(0, 1, 40)[:, None]
    >>> stuck = mixing_report(np.arange(10) + 0.01 * np.sin(70 * t * np.arange(1, 11)))
    >>> stuck.r_hat > 10, stuck.warning is not None
    (True, True)
    """
    if isinstance(free_energies, Tensor):
        free_energies = free_energies.detach().cpu().numpy()
    x = np.asarray(free_energies, dtype=np.float64)
    if x.ndim != 2 or x.shape[0] < FEWEST or x.shape[1] < 2:
        raise ValueError(
            f"free_energies: expected (steps, chains), at least {FEWEST} steps and 2 chains, got {x.shape}."
        )
    if not np.isfinite(x).all():
        raise ValueError("free_energies: expected finite numbers, got NaN or infinite ones.")
    time, ratio = autocorrelation_time(x), split_r_hat(x)
    report = (x.size / time, ratio, time)
    if ratio > STUCK or time > SLOW * len(x):
        return MixingReport(*report, _sentence(len(x), ratio, time))
    return MixingReport(*report, None)


def _sentence(steps: int, ratio: float, time: float) -> str:
    # the time comes from chains that agree; where they don't, all that is known is that it is longer than the
    # window
    long = f"more than {steps}" if ratio > STUCK or time > steps / 2 else f"about {time:.0f}"
    return (
        f"the persistent chains have stopped mixing (R-hat {ratio:.2f}, autocorrelation time {long} steps): "
        "the gradient no longer follows the model; take more Gibbs steps per update, a smaller learning "
        "rate, or tempered chains"
    )


def split_r_hat(x: np.ndarray) -> float:
    """R̂ of (steps, chains), every chain cut in halves: √(variance of all / mean variance within)."""
    half = len(x) // 2
    parts = np.concatenate([x[:half], x[-half:]], axis=1)
    within = float(parts.var(axis=0, ddof=1).mean())
    between = float(parts.mean(axis=0).var(ddof=1))
    if within == 0.0:
        return 1.0 if between == 0.0 else math.inf
    return math.sqrt((half - 1) / half + between / within)


def autocorrelation_time(x: np.ndarray) -> float:
    """Integrated autocorrelation time τ = 1 + 2 Σ ρ(t) of (steps, chains), in steps, at least 1.

    The correlations come from all chains together and their variance between chains counts, so chains that
    are stuck in different places are slow; the sum ends where pairs of neighbouring terms turn negative
    (Geyer 1992).
    """
    steps, chains = x.shape
    centred = x - x.mean(axis=0)
    spectrum = np.fft.rfft(centred, 2 * steps, axis=0)
    covariance = np.fft.irfft(np.abs(spectrum) ** 2, axis=0)[:steps].mean(axis=1) / steps
    within = covariance[0] * steps / (steps - 1)
    total = covariance[0] + float(x.mean(axis=0).var(ddof=1)) * (chains > 1)
    if total <= 0.0:
        return 1.0
    rho = 1.0 - (within - covariance * steps / (steps - 1)) / total
    rho[0] = 1.0
    pairs = rho[: steps // 2 * 2].reshape(-1, 2).sum(axis=1)
    negative = np.flatnonzero(pairs < 0)
    pairs = np.minimum.accumulate(pairs[: negative[0]] if len(negative) else pairs)
    return max(1.0, float(2.0 * pairs.sum() - 1.0))
