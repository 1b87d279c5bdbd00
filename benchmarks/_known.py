"""Models whose log Z is known: from a formula, a transfer matrix, or a sum over all states of one side."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

import harmonium as hm
from harmonium import kernels
from harmonium.random import Address, Purpose

CRITICAL = 0.5 * math.log(1.0 + math.sqrt(2.0))  # coupling at which the square lattice orders


# ---------------------------------------------------------------- models whose log Z has a formula
def kaufman(rows: int, columns: int, k: float) -> float:
    """log Z of the Ising torus with spins ±1 at coupling k (Kaufman 1949)."""

    def gamma(j: int) -> float:
        if j == 0:
            return 2 * k + math.log(math.tanh(k))
        return math.acosh(math.cosh(2 * k) / math.tanh(2 * k) - math.cos(math.pi * j / columns))

    half = 0.5 * rows * np.array([[gamma(2 * j + 1), gamma(2 * j)] for j in range(columns)])
    size = np.abs(half)
    log_cosh = (size + np.log1p(np.exp(-2 * size))).sum(0)
    log_sinh = (size + np.log(-np.expm1(-2 * size))).sum(0)
    sign = np.sign(half).prod(0)
    logs = np.concatenate([log_cosh, log_sinh])
    signs = np.concatenate([np.ones(2), sign])
    top = logs.max()
    total = float((signs * np.exp(logs - top)).sum())
    return -math.log(2) + 0.5 * rows * columns * math.log(2 * math.sinh(2 * k)) + float(top) + math.log(total)


@torch.no_grad()
def torus(side: int, k: float) -> tuple[hm.RBM, float]:
    """The torus as an RBM of 0/1 units: black sites visible, white ones hidden, weight 4k, biases -8k."""
    sites = [(i, j) for i in range(side) for j in range(side)]
    number = {s: n for colour in (0, 1) for n, s in enumerate(s for s in sites if sum(s) % 2 == colour)}
    half = side * side // 2
    rbm = hm.RBM(visible=hm.Bernoulli(half), hidden=hm.Bernoulli(half))
    rbm.weight.zero_()
    for i, j in sites:
        if (i + j) % 2 == 0:
            for di, dj in ((0, 1), (1, 0), (0, -1), (-1, 0)):
                rbm.weight[number[i, j], number[(i + di) % side, (j + dj) % side]] += 4 * k
    rbm.visible.bias.fill_(-8 * k)
    rbm.hidden.bias.fill_(-8 * k)
    return rbm, kaufman(side, side, k) - 2 * side * side * k


@torch.no_grad()
def ring(n: int, k: float, h: float) -> tuple[hm.RBM, float]:
    """The ring of spins in a field, even sites visible: log Z from its transfer matrix."""
    rbm = hm.RBM(visible=hm.Spin(n // 2), hidden=hm.Spin(n // 2))
    rbm.weight.copy_(k * (torch.eye(n // 2) + torch.eye(n // 2).roll(1, 0)))
    rbm.visible.bias.fill_(h)
    rbm.hidden.bias.fill_(h)
    root = math.sqrt(math.exp(2 * k) * math.sinh(h) ** 2 + math.exp(-2 * k))
    large, small = (math.exp(k) * math.cosh(h) + s * root for s in (1, -1))
    return rbm, n * math.log(large) + math.log1p((small / large) ** n)


@torch.no_grad()
def hopfield(n: int, beta: float, patterns: int) -> tuple[hm.RBM, float]:
    """exp(β Σ (ξ·s)²/2n) with one pattern (Curie-Weiss) or two orthogonal ones, each a Gaussian hidden
    unit.
    """
    pattern = torch.ones(n, patterns)
    pattern[n // 2 :, 1:] = -1
    rbm = hm.RBM(visible=hm.Spin(n), hidden=hm.Gaussian(patterns))
    rbm.weight.copy_(pattern * math.sqrt(beta / n))
    size = n // patterns  # with two patterns the sums over both halves of the spins decide
    ups = np.arange(size + 1)
    log_count = np.array(
        [math.lgamma(size + 1) - math.lgamma(u + 1) - math.lgamma(size - u + 1) for u in ups]
    )
    m = 2.0 * ups - size
    if patterns == 1:
        terms = log_count + beta * m**2 / (2 * n)
    else:
        squares = (m[:, None] + m[None]) ** 2 + (m[:, None] - m[None]) ** 2
        terms = (log_count[:, None] + log_count[None] + beta * squares / (2 * n)).ravel()
    log_z = float(terms.max() + np.log(np.exp(terms - terms.max()).sum()))
    return rbm, log_z + 0.5 * patterns * math.log(2 * math.pi)


# ---------------------------------------------------------------- lattices by their transfer matrix
@torch.no_grad()
def lattice(right: np.ndarray, down: np.ndarray, field: np.ndarray) -> tuple[hm.RBM, float]:
    """A torus of spins with couplings and fields of its own at every site, (rows, columns), both even.

    `right[i, j]` couples (i, j) with (i, j+1), `down[i, j]` with (i+1, j). log Z is the logarithm of the
    trace of the product of the rows' transfer matrices, each 2^columns wide.
    """
    rows, columns = right.shape
    sites = [(i, j) for i in range(rows) for j in range(columns)]
    number = {s: n for colour in (0, 1) for n, s in enumerate(s for s in sites if sum(s) % 2 == colour)}
    rbm = hm.RBM(visible=hm.Spin(rows * columns // 2), hidden=hm.Spin(rows * columns // 2))
    rbm.weight.zero_()
    for i, j in sites:
        for there, k in (((i, (j + 1) % columns), right[i, j]), (((i + 1) % rows, j), down[i, j])):
            black, white = sorted(((i, j), there), key=lambda s: sum(s) % 2)
            rbm.weight[number[black], number[white]] += float(k)
        layer = rbm.hidden if (i + j) % 2 else rbm.visible
        layer.bias[number[i, j]] = float(field[i, j])
    spins = 2.0 * ((np.arange(2**columns)[:, None] >> np.arange(columns)) & 1) - 1.0
    log_z, product = 0.0, np.eye(2**columns)
    for i in range(rows):
        own = (spins * np.roll(spins, -1, 1) * right[i]).sum(1) + spins @ field[i]
        step = own[:, None] + (spins * down[i]) @ spins.T
        product = product @ np.exp(step - step.max())
        log_z += float(step.max() + np.log(product.max()))
        product /= product.max()
    return rbm, log_z + math.log(float(np.trace(product)))


def magnet(rows: int, columns: int, k: float, h: float) -> tuple[hm.RBM, float]:
    """A torus at one coupling and in one field."""
    one = np.ones((rows, columns))
    return lattice(k * one, k * one, h * one)


def glass(rows: int, columns: int, k: float, h: float) -> tuple[hm.RBM, float]:
    """Couplings ±k and normal fields of standard deviation h, at random."""
    right, down, field = (normal(seed, rows, columns).double().numpy() for seed in (11, 12, 13))
    return lattice(k * np.sign(right), k * np.sign(down), h * field)


def random_field(rows: int, columns: int, k: float, h: float) -> tuple[hm.RBM, float]:
    """Equal couplings and normal fields of standard deviation h."""
    one = np.ones((rows, columns))
    return lattice(k * one, k * one, h * normal(71, rows, columns).double().numpy())


@torch.no_grad()
def potts(n: int, beta: float) -> tuple[hm.RBM, float]:
    """exp(β Σ nₐ²/2n) for n sites of 3 states each: its transition, at β = 4 log 2, is of first order."""
    rbm = hm.RBM(visible=hm.Categorical(n, 3), hidden=hm.Gaussian(3))
    rbm.weight.copy_(math.sqrt(beta / n) * torch.eye(3).repeat(n, 1).reshape(rbm.weight.shape))
    terms = []
    for a in range(n + 1):
        for b in range(n + 1 - a):
            c = n - a - b
            ways = math.lgamma(n + 1) - sum(math.lgamma(x + 1) for x in (a, b, c))
            terms.append(ways + beta * (a * a + b * b + c * c) / (2 * n))
    top = max(terms)
    return rbm, top + math.log(math.fsum(math.exp(t - top) for t in terms)) + 1.5 * math.log(2 * math.pi)


# ---------------------------------------------------------------- models small enough for an exact sum
def normal(seed: int, *shape: int) -> Tensor:
    """Standard normal numbers at an address of their own."""
    columns = math.prod(shape[1:])
    u = kernels.uniform(Address(seed, Purpose.TRIAL), (shape[0], columns), torch.float64)
    return torch.special.ndtri(u).float().reshape(shape)


def summed(rbm: hm.RBM) -> tuple[hm.RBM, float]:
    """The model with its exact log Z."""
    return rbm, hm.log_partition(rbm, method="exact").value


@torch.no_grad()
def random_couplings(scale: float) -> tuple[hm.RBM, float]:
    """100 visible and 16 hidden units, normal couplings and biases."""
    rbm = hm.RBM(visible=hm.Bernoulli(100), hidden=hm.Bernoulli(16))
    rbm.weight.copy_(scale * normal(1, 100, 16))
    rbm.visible.bias.copy_(0.5 * normal(2, 100, 1)[:, 0])
    rbm.hidden.bias.copy_(0.5 * normal(3, 16, 1)[:, 0])
    return summed(rbm)


@torch.no_grad()
def planted(patterns: int, strength: float) -> tuple[hm.RBM, float]:
    """Hidden units that each stand for a random pattern of 100 visible ones, in the symmetric gauge: many
    modes.
    """
    rbm = hm.RBM(visible=hm.Bernoulli(100), hidden=hm.Bernoulli(patterns))
    rbm.weight.copy_(4 * strength * torch.sign(normal(4, 100, patterns)))
    rbm.visible.bias.copy_(-0.5 * rbm.weight.sum(1))
    rbm.hidden.bias.copy_(-0.5 * rbm.weight.sum(0))
    return summed(rbm)


@torch.no_grad()
def unbalanced(patterns: int, strength: float, bias: float) -> tuple[hm.RBM, float]:
    """Planted patterns whose modes have very different masses, by normal biases on top."""
    rbm = hm.RBM(visible=hm.Bernoulli(100), hidden=hm.Bernoulli(patterns))
    rbm.weight.copy_(4 * strength * torch.sign(normal(40, 100, patterns)))
    rbm.visible.bias.copy_(-0.5 * rbm.weight.sum(1) + bias * normal(41, 100, 1)[:, 0])
    rbm.hidden.bias.copy_(-0.5 * rbm.weight.sum(0) + bias * normal(42, patterns, 1)[:, 0])
    return summed(rbm)


def bars_and_stripes(side: int) -> Tensor:
    """All patterns of bars and of stripes on a square."""
    bits = torch.tensor([[m >> i & 1 for i in range(side)] for m in range(2**side)], dtype=torch.float32)
    bars, stripes = bits[:, :, None].expand(-1, -1, side), bits[:, None, :].expand(-1, side, -1)
    return torch.cat([bars, stripes]).reshape(-1, side * side)


def digits() -> Tensor:
    """Scanned digits of 8 × 8 pixels, those above half on."""
    from sklearn.datasets import load_digits

    return torch.from_numpy((load_digits().data > 7.5).astype(np.float32))


def trained(x: Tensor, hidden: int, steps: int) -> tuple[hm.RBM, float]:
    """An RBM after maximum-likelihood learning on the rows of x."""
    rbm = hm.RBM(visible=hm.Bernoulli(x.shape[1]), hidden=hm.Bernoulli(hidden))
    hm.fit(rbm, x, steps=steps, seed=0, progress=False)
    return summed(rbm)
