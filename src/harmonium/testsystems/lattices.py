"""Ising models on tori and rings: by Kaufman's formula, and by transfer matrices."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from harmonium import checks
from harmonium.models import RBM
from harmonium.testsystems.known import MOST, KnownModel, check, chosen, normal, uniforms
from harmonium.units import Bernoulli, Spin

CRITICAL = 0.5 * math.log(1.0 + math.sqrt(2.0))  # coupling at which the square lattice orders
WIDEST = 8  # columns whose matrices, 2^columns wide, are multiplied for moments and for rows of the torus
WIDEST_TRACE = 12  # columns whose matrices are multiplied for log Z


# ---------------------------------------------------------------- the torus by Kaufman's formula
def kaufman(rows: int, columns: int, coupling: float) -> float:
    """log Z of the Ising torus with spins ±1 at this coupling (Kaufman 1949), nats."""
    check({"rows": rows, "columns": columns}, {})
    k = checks.positive("coupling", coupling)

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
def torus(side: int, coupling: float) -> KnownModel:
    """The square torus as an RBM of 0/1 units: black sites visible, white hidden, weights 4K, biases -8K.

    Args:
        side: even, at least 4. Exact rows can be drawn up to 8.
        coupling: K > 0; `CRITICAL` is where the lattice orders.

    Raises:
        ValueError: another side, or no coupling.
    """
    check({"side": side}, {"coupling": coupling})
    if not coupling > 0:
        raise ValueError(f"coupling must be positive, got {coupling}.")
    if not 4 <= side <= MOST**0.5 or side % 2:
        raise ValueError(f"side must be even and from 4 to {MOST**0.5:.0f}, got {side}.")
    half, sites = side * side // 2, side * side
    rbm = RBM(visible=Bernoulli(half), hidden=Bernoulli(half))
    one = np.ones((side, side))
    rbm.weight.copy_(4 * _weights(coupling * one, coupling * one))
    rbm.visible.bias.fill_(-8 * coupling)
    rbm.hidden.bias.fill_(-8 * coupling)
    slope = _slope(lambda k: kaufman(side, side, k), coupling)
    # the energies of spins and of 0/1 units differ by 2K a site
    shift, draw = 2 * sites * coupling, None
    if side <= WIDEST:
        spins = magnet(side, side, coupling, 0.0).draw
        assert spins is not None

        def draw(rows: int, seed: int) -> Tensor:
            return spins(rows, seed) > 0

    mean = torch.full((half,), 0.5, dtype=torch.float64)
    return KnownModel(rbm, kaufman(side, side, coupling) - shift, mean, shift - coupling * slope, draw)


def _slope(f: Callable[[float], float], x: float, h: float = 1e-3) -> float:
    """f'(x), by differences of the fourth order."""
    return (8 * (f(x + h) - f(x - h)) - (f(x + 2 * h) - f(x - 2 * h))) / (12 * h)


def _numbered(rows: int, columns: int) -> dict[tuple[int, int], int]:
    """The number of each site among those of its colour."""
    sites = [(i, j) for i in range(rows) for j in range(columns)]
    return {s: n for colour in (0, 1) for n, s in enumerate(s for s in sites if sum(s) % 2 == colour)}


def _weights(right: np.ndarray, down: np.ndarray) -> Tensor:
    """Couplings of a torus as a matrix of black against white sites."""
    rows, columns = right.shape
    number = _numbered(rows, columns)
    weight = torch.zeros(rows * columns // 2, rows * columns // 2)
    for i, j in number:
        for there, k in (((i, (j + 1) % columns), right[i, j]), (((i + 1) % rows, j), down[i, j])):
            black, white = sorted(((i, j), there), key=lambda s: sum(s) % 2)
            weight[number[black], number[white]] += float(k)
    return weight


# ---------------------------------------------------------------- the ring
@torch.no_grad()
def ring(n: int, coupling: float, field: float = 0.0) -> KnownModel:
    """A ring of n spins (an even number) in a field, even sites visible: all by the 2 × 2 transfer matrix."""
    check({"n": n}, {"coupling": coupling, "field": field})
    if n < 4 or n % 2:
        raise ValueError(f"n must be even and at least 4, got {n}.")
    rbm = RBM(visible=Spin(n // 2), hidden=Spin(n // 2))
    rbm.weight.copy_(coupling * (torch.eye(n // 2) + torch.eye(n // 2).roll(1, 0)))
    rbm.visible.bias.fill_(field)
    rbm.hidden.bias.fill_(field)
    spins = np.array([-1.0, 1.0])
    log_step = coupling * np.outer(spins, spins) + field * 0.5 * (spins[:, None] + spins)
    step = np.exp(log_step - log_step.max())
    (small, large), vectors = np.linalg.eigh(step)
    scale, step = math.log(large) + log_step.max(), step / large

    def power(m: int) -> np.ndarray:
        return (vectors * [(small / large) ** m, 1.0]) @ vectors.T

    trace = float(np.trace(power(n)))
    mean = float(np.diag(power(n)) @ spins) / trace
    next_to = float((np.outer(spins, spins) * step * power(n - 1).T).sum()) / trace

    def draw(rows: int, seed: int) -> Tensor:
        u = uniforms(seed, 0, rows, n)
        state = torch.empty(rows, n, dtype=torch.long)
        state[:, 0] = chosen(torch.from_numpy(np.diag(power(n)).copy())[None], u[:, 0])
        for i in range(1, n):
            onwards = torch.from_numpy(step[:, :, None] * power(n - i)[None])  # from, to, the first
            state[:, i] = chosen(onwards.permute(0, 2, 1)[state[:, i - 1], state[:, 0]], u[:, i])
        return 2.0 * state[:, ::2] - 1.0

    return KnownModel(
        rbm,
        n * scale + math.log(trace),
        torch.full((n // 2,), mean, dtype=torch.float64),
        -n * (coupling * next_to + field * mean),
        draw,
    )


# ---------------------------------------------------------------- lattices by their transfer matrix
@torch.no_grad()
def lattice(right: np.ndarray, down: np.ndarray, field: np.ndarray) -> KnownModel:
    """A torus of spins with couplings and fields of its own at every site, (rows, columns), both even.

    `right[i, j]` couples (i, j) with (i, j+1), `down[i, j]` with (i+1, j). log Z is the logarithm of the
    trace of the product of the rows' transfer matrices, each 2^columns wide; moments are known up to 8
    columns.

    Raises:
        ValueError: arrays of other shapes, or with other than finite numbers.
    """
    arrays = [np.asarray(x) for x in (right, down, field)]
    shape = arrays[0].shape
    known = all(x.shape == shape and x.dtype.kind in "biuf" and np.isfinite(x).all() for x in arrays)
    if not known or len(shape) != 2 or 0 in shape or shape[0] % 2 or shape[1] % 2:
        raise ValueError(
            "right, down and field must be finite numbers of one shape (rows, columns), both even, got"
            f" {', '.join(checks.describe(x) for x in arrays)}."
        )
    if shape[1] > WIDEST_TRACE or math.prod(shape) > MOST:
        raise ValueError(
            f"a lattice must have at most {WIDEST_TRACE} columns and {MOST:,} sites, got {shape}."
        )
    right, down, field = arrays
    rows, columns = shape
    number = _numbered(rows, columns)
    rbm = RBM(visible=Spin(rows * columns // 2), hidden=Spin(rows * columns // 2))
    rbm.weight.copy_(_weights(right, down))
    for (i, j), n in number.items():
        (rbm.hidden if (i + j) % 2 else rbm.visible).bias[n] = float(field[i, j])
    steps = _Steps(right, down, field)
    log_z, closed = steps.upto(rows)
    log_z += math.log(float(closed.trace()))
    moments = steps.moments() if columns <= WIDEST else None
    black = [s for s in number if sum(s) % 2 == 0]

    def draw(n: int, seed: int) -> Tensor:
        spins = steps.draw(n, seed, closed)
        return torch.stack([spins[:, i, j] for i, j in black], 1)

    if moments is None:
        return KnownModel(rbm, log_z, draw=draw)
    mean, energy = moments
    return KnownModel(rbm, log_z, torch.stack([mean[s] for s in black]), energy, draw)


class _Steps:
    """The transfer matrices of the rows of a torus: from the states of a row to those of the next."""

    def __init__(self, right: np.ndarray, down: np.ndarray, field: np.ndarray) -> None:
        self.right, self.down, self.field = (
            torch.from_numpy(np.asarray(x, float)) for x in (right, down, field)
        )
        self.rows, self.columns = right.shape
        index = torch.arange(2**self.columns)[:, None]
        self.spins = 2.0 * (index >> torch.arange(self.columns) & 1).double() - 1.0
        self.beside = self.spins * self.spins.roll(-1, 1)

    def step(self, i: int) -> tuple[float, Tensor]:
        """(The logarithm of a factor, the matrix of row i without it)."""
        own = self.beside @ self.right[i] + self.spins @ self.field[i]
        log_step = own[:, None] + (self.spins * self.down[i]) @ self.spins.T
        top = float(log_step.max())
        return top, torch.exp(log_step - top)

    def upto(self, last: int) -> tuple[float, Tensor]:
        """The product of the first rows' matrices, likewise."""
        log_scale, product = 0.0, torch.eye(2**self.columns, dtype=torch.float64)
        for i in range(last):
            top, step = self.step(i)
            product = product @ step
            log_scale += top + math.log(float(product.max()))
            product /= product.max()
        return log_scale, product

    def moments(self) -> tuple[Tensor, float]:
        """(Means of the spins, (rows, columns); the mean energy): from the joint distribution of each row and
        the next.
        """
        after = [torch.eye(2**self.columns, dtype=torch.float64)]
        for i in range(self.rows - 1, 0, -1):
            product = self.step(i)[1] @ after[-1]
            after.append(product / product.max())
        mean, energy = torch.empty(self.rows, self.columns, dtype=torch.float64), 0.0
        before = torch.eye(2**self.columns, dtype=torch.float64)
        for i in range(self.rows):
            step = self.step(i)[1]
            joint = step * (after[self.rows - 1 - i] @ before).T
            joint /= joint.sum()
            row = joint.sum(1)
            mean[i] = row @ self.spins
            energy -= float(row @ (self.beside @ self.right[i]) + mean[i] @ self.field[i])
            energy -= float(((joint @ self.spins) * self.spins).sum(0) @ self.down[i])
            before = before @ step
            before /= before.max()
        return mean, energy

    def draw(self, n: int, seed: int, closed: Tensor) -> Tensor:
        """Spins, (n, rows, columns): the first row from the closed product, each other given the one before
        it and the first.
        """
        u = uniforms(seed, 0, n, self.rows)
        state = torch.empty(n, self.rows, dtype=torch.long)
        state[:, 0] = chosen(closed.diagonal()[None], u[:, 0])
        first, which = state[:, 0].unique(return_inverse=True)
        back = [
            torch.nn.functional.one_hot(first, 2**self.columns).double().T
        ]  # weights of what follows a row
        for i in range(self.rows - 1, 0, -1):
            product = self.step(i)[1] @ back[-1]
            back.append(product / product.max(0).values)
        for i in range(1, self.rows):
            step = self.step(i - 1)[1]
            weights = step[state[:, i - 1]] * back[self.rows - i].T[which]
            state[:, i] = chosen(weights, u[:, i])
        return self.spins[state]


def magnet(rows: int, columns: int, coupling: float, field: float) -> KnownModel:
    """A torus at one coupling and in one field."""
    check({"rows": rows, "columns": columns}, {"coupling": coupling, "field": field})
    one = np.ones((rows, columns))
    return lattice(coupling * one, coupling * one, field * one)


def spin_glass(rows: int, columns: int, coupling: float, field: float) -> KnownModel:
    """Couplings ±K and normal fields of this standard deviation, at random."""
    check({"rows": rows, "columns": columns}, {"coupling": coupling, "field": field})
    right, down, own = (normal(seed, rows, columns).double().numpy() for seed in (11, 12, 13))
    return lattice(coupling * np.sign(right), coupling * np.sign(down), field * own)


def random_field(rows: int, columns: int, coupling: float, field: float) -> KnownModel:
    """Equal couplings and normal fields of this standard deviation."""
    check({"rows": rows, "columns": columns}, {"coupling": coupling, "field": field})
    one = np.ones((rows, columns))
    return lattice(coupling * one, coupling * one, field * normal(71, rows, columns).double().numpy())
