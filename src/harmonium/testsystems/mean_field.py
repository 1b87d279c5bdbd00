"""Units that are all joined with each other: what counts is how many are in which state."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from harmonium import checks
from harmonium.models import RBM
from harmonium.testsystems.known import KnownModel, check, chosen, uniforms
from harmonium.units import Categorical, Gaussian, Spin


def curie_weiss(n: int, beta: float) -> KnownModel:
    """n spins, P(s) ∝ exp(β (Σ s)²/2n): they order at β = 1. The square is one Gaussian hidden unit."""
    return hopfield(n, beta, 1)


@torch.no_grad()
def hopfield(n: int, beta: float, patterns: int = 2) -> KnownModel:
    """P(s) ∝ exp(β Σ_p (ξ_p·s)²/2n), with one pattern (Curie-Weiss) or two orthogonal ones, each a Gaussian
    hidden unit; it remembers them from β = 1 on.

    Args:
        n: number of spins, even with two patterns.
        beta: inverse temperature.
        patterns: 1 or 2.

    Raises:
        ValueError: another number of patterns, or an odd n with two.
    """
    check({"n": n, "patterns": patterns}, {"beta": checks.number("beta", beta, low=0)})
    if patterns not in (1, 2) or n % patterns:
        raise ValueError(f"patterns must be 1, or 2 with an even n, got {patterns} with {n} spins.")
    pattern = torch.ones(n, patterns)
    pattern[n // 2 :, 1:] = -1
    rbm = RBM(visible=Spin(n), hidden=Gaussian(patterns))
    rbm.weight.copy_(pattern * math.sqrt(beta / n))
    size = n // patterns  # with two patterns the sums over both halves of the spins decide
    ups = torch.arange(size + 1, dtype=torch.float64)
    ways = math.lgamma(size + 1) - torch.lgamma(ups + 1) - torch.lgamma(size - ups + 1)
    sums = 2 * ups - size
    if patterns == 1:
        terms, squares = ways, sums**2
    else:
        terms = (ways[:, None] + ways).flatten()
        squares = ((sums[:, None] + sums) ** 2 + (sums[:, None] - sums) ** 2).flatten()

    def draw(rows: int, seed: int) -> Tensor:
        state = chosen(p[None], uniforms(seed, 0, rows, 1)[:, 0])
        halves = [state] if patterns == 1 else [state // (size + 1), state % (size + 1)]
        return torch.cat([_in_any_order(seed, i + 1, size, k) for i, k in enumerate(halves)], 1)

    log_z, energy, p = _summed(terms, beta / n * squares, patterns)
    return KnownModel(rbm, log_z, torch.zeros(n, dtype=torch.float64), energy, draw)


@torch.no_grad()
def potts(n: int, beta: float) -> KnownModel:
    """n sites of 3 states, P ∝ exp(β Σₐ nₐ²/2n) with nₐ of them in state a.

    Its transition, near β = 4 log 2 = 2.77, is of first order: order and disorder live side by side, with
    next to nothing between them.
    """
    check({"n": n}, {"beta": checks.number("beta", beta, low=0)})
    if n > 2000:
        raise ValueError(f"n must be at most 2,000, whose numbers of states can be summed, got {n:,}.")
    rbm = RBM(visible=Categorical(n, 3), hidden=Gaussian(3))
    rbm.weight.copy_(math.sqrt(beta / n) * torch.eye(3).repeat(n, 1).reshape(rbm.weight.shape))
    pairs = torch.cartesian_prod(*2 * [torch.arange(n + 1)])
    pairs = pairs[pairs.sum(1) <= n]
    counts = torch.cat([pairs, n - pairs.sum(1, keepdim=True)], 1).double()
    ways = math.lgamma(n + 1) - torch.lgamma(counts + 1).sum(1)
    log_z, energy, p = _summed(ways, beta / n * (counts**2).sum(1), 3)

    def draw(rows: int, seed: int) -> Tensor:
        upto = counts[chosen(p[None], uniforms(seed, 0, rows, 1)[:, 0])].cumsum(1)
        rank = uniforms(seed, 1, rows, n).argsort(1).argsort(1)
        state = (rank[:, :, None] >= upto[:, None, :2]).sum(2)
        return torch.nn.functional.one_hot(state, 3).reshape(rows, -1)

    return KnownModel(rbm, log_z, torch.full((3 * n,), 1 / 3, dtype=torch.float64), energy, draw)


def _in_any_order(seed: int, step: int, n: int, ups: Tensor) -> Tensor:
    """Rows of n spins, so many of them up."""
    rank = uniforms(seed, step, len(ups), n).argsort(1).argsort(1)
    return 2.0 * (rank < ups[:, None]) - 1.0


def _summed(ways: Tensor, squares: Tensor, gaussians: int) -> tuple[float, float, Tensor]:
    """(log Z, mean energy, probabilities) of terms `ways` whose Gaussian units have means of this square
    length: integrated over h, h²/2 - c h gives exp(c²/2) and a mean of (1 - c²)/2.
    """
    terms = ways + squares / 2
    log_z = float(torch.logsumexp(terms, 0))
    p = torch.exp(terms - log_z)
    return log_z + 0.5 * gaussians * math.log(2 * math.pi), 0.5 * gaussians - float(p @ squares) / 2, p
