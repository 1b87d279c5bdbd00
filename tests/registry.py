"""One registry of unit types and of the pairs that can be coupled, with references of their own.

A layer of every type comes with scattered parameters, drawn at addresses of its own. Next to it stand its
states with their measure (1 for a discrete state, the weight of a quadrature node for a continuous one), its
potential written down once more, and, for pairs, the joint distribution as a plain table. A new type of unit
is one line in LAYERS and a branch in `site_potential` and `site`.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

import harmonium as hm
from harmonium import kernels
from harmonium.random import Address, Purpose

DOUBLE = torch.float64

LAYERS: dict[str, Callable[[], hm.Units]] = {
    "Bernoulli": lambda: hm.Bernoulli(3),
    "Spin": lambda: hm.Spin(3),
    "Categorical": lambda: hm.Categorical(2, states=3),
    "Binomial": lambda: hm.Binomial(2, trials=3),
    "Poisson": lambda: hm.Poisson(2),
    "Gaussian": lambda: hm.Gaussian(2),
    "ReLU": lambda: hm.ReLU(2),
    "DReLU": lambda: hm.DReLU(2),
    "Mixed": lambda: hm.Mixed(hm.Bernoulli(1), hm.Categorical(1, states=3), hm.Gaussian(1)),
    "MixedCounts": lambda: hm.Mixed(hm.Spin(1), hm.Binomial(1, trials=2), hm.Poisson(1)),
}
FINITE = ("Bernoulli", "Spin", "Categorical", "Binomial")
CONTINUOUS = ("Gaussian", "ReLU", "DReLU")
QUADRATIC = (*CONTINUOUS, "Mixed")
COUNTS_FOREVER = ("Poisson", "MixedCounts")


def feasible(visible: str, hidden: str) -> bool:
    """Whether couplings of these two have a finite Z: counts without end bear only bounded partners."""
    return all(a not in COUNTS_FOREVER or b in FINITE for a, b in ((visible, hidden), (hidden, visible)))


PAIRS = [(v, h) for v in LAYERS for h in LAYERS if feasible(v, h)]
INFEASIBLE = [(v, h) for v in LAYERS for h in LAYERS if not feasible(v, h)]


# ---------------------------------------------------------------- parameters and draws, by address
def address(seed: int) -> Address:
    """Where the draws of a test live."""
    return Address(seed, Purpose.TRIAL)


def uniforms(seed: int, rows: int, columns: int = 1, dtype: torch.dtype = DOUBLE) -> Tensor:
    """Uniforms of a test, (rows, columns)."""
    return kernels.uniform(address(seed), (rows, columns), dtype, "cpu")


@torch.no_grad()
def scatter(module: torch.nn.Module, seed: int) -> None:
    """Set every parameter to uniform numbers: biases in ±1, log precisions and thresholds in ±0.5."""
    for k, (name, p) in enumerate(module.named_parameters()):
        reach = 0.5 if "precision" in name or "threshold" in name else 1.0
        p.copy_(((2.0 * uniforms(seed + 7919 * k, p.numel()) - 1.0) * reach).reshape(p.shape))


def layer(name: str, seed: int = 1, dtype: torch.dtype = DOUBLE) -> hm.Units:
    """A layer of the registry with scattered parameters."""
    units = LAYERS[name]().to(dtype)
    scatter(units, 1000 * seed + list(LAYERS).index(name))
    return units


def build(visible: str, hidden: str, seed: int = 1, dtype: torch.dtype = DOUBLE) -> hm.RBM:
    """An RBM of the registry; couplings of quadratic tails reach 0.45 of what their precisions bear."""
    rbm = hm.RBM(layer(visible, 2 * seed), layer(hidden, 2 * seed + 1), dtype=DOUBLE)
    scatter(rbm, 31 * seed + 1000 * list(LAYERS).index(visible) + 17 * list(LAYERS).index(hidden))
    with torch.no_grad():
        rbm.weight.mul_(0.8)
        if "Binomial" in (visible, hidden):
            rbm.weight.div_(3.0)  # its states go to 3
        if {visible, hidden} & set(COUNTS_FOREVER):
            rbm.weight.mul_(0.5)  # rates stay below 8, as the tables want
        if visible in QUADRATIC and hidden in QUADRATIC:
            bearable = math.sqrt(smallest_precision(rbm.visible) * smallest_precision(rbm.hidden))
            rbm.weight.mul_(0.45 * bearable / torch.linalg.matrix_norm(rbm.weight, 2))
    return rbm.to(dtype)


def parts(units: hm.Units) -> list[hm.Units]:
    """The layers of one type inside a layer."""
    return list(getattr(units, "parts", [units]))


def smallest_precision(units: hm.Units) -> float:
    """The smallest γ in a layer."""
    found = [p.detach().exp().min().item() for name, p in units.named_parameters() if "precision" in name]
    return min(found)


# ---------------------------------------------------------------- one site, written down once more
def site_potential(part: hm.Units, i: int, x: Tensor) -> Tensor:
    """U of site i at the states x, (m, columns of a site) to (m,); differentiable in the parameters."""
    kind = type(part).__name__
    if kind in ("Bernoulli", "Spin", "Categorical"):
        return torch.zeros(len(x), dtype=DOUBLE)
    x = x[:, 0]
    if kind == "Binomial":
        return -torch.tensor([math.log(math.comb(part.trials, int(k))) for k in x], dtype=DOUBLE)
    if kind == "Poisson":
        return torch.tensor([math.lgamma(k + 1.0) for k in x.tolist()], dtype=DOUBLE)
    if kind == "DReLU":
        right, left = part.log_precision_positive[i].exp(), part.log_precision_negative[i].exp()
        return 0.5 * torch.where(x > 0, right, left) * x * x + part.threshold[i] * torch.sqrt(x * x)
    return 0.5 * part.log_precision[i].exp() * x * x


def site(part: hm.Units, reach: float = 10.0) -> tuple[Tensor, Tensor]:
    """(states of a site (m, columns), log of their measure (m,)), to `reach` standard deviations."""
    kind = type(part).__name__
    if kind == "Categorical":
        return torch.eye(part.cardinality, dtype=DOUBLE), torch.zeros(part.cardinality, dtype=DOUBLE)
    if kind in ("Bernoulli", "Spin", "Binomial", "Poisson"):
        known = {"Bernoulli": [0, 1], "Spin": [-1, 1], "Poisson": range(48)}
        states = known[kind] if kind in known else range(part.trials + 1)
        return torch.tensor([[float(x)] for x in states], dtype=DOUBLE), torch.zeros(
            len(states), dtype=DOUBLE
        )
    end = reach / math.sqrt(smallest_precision(part))
    if kind == "Gaussian":  # the trapezoidal rule converges geometrically here
        x, step = np.linspace(-end, end, 33, retstep=True)
        return torch.tensor(x)[:, None], torch.full((33,), math.log(step), dtype=DOUBLE)
    x, w = np.polynomial.legendre.leggauss(22)
    x, w = 0.5 * end * (x + 1.0), 0.5 * end * w
    if kind == "DReLU":
        x, w = np.concatenate([-x[::-1], x]), np.concatenate([w[::-1], w])
    return torch.tensor(x)[:, None], torch.log(torch.tensor(w))


# ---------------------------------------------------------------- a layer and a pair, as plain tables
@dataclass(frozen=True)
class Table:
    """All states of a layer (m, width), the log of their measure (m,), the number of each site's state."""

    states: Tensor
    log_measure: Tensor
    digits: Tensor
    sites: list[tuple[int, int, Tensor]]  # (number of the part, site of the part, states of the site)

    def potential(self, units: hm.Units) -> Tensor:
        """ΣU of a layer of this shape, (m,), nats."""
        each = [site_potential(parts(units)[k], i, x) for k, i, x in self.sites]
        return torch.stack([u[d] for u, d in zip(each, self.digits.T, strict=True)]).sum(0)


def table(units: hm.Units) -> Table:
    """The states of a layer."""
    sites, measures = [], []
    for k, part in enumerate(parts(units)):
        states, log_measure = site(part)
        sites += [(k, i, states) for i in range(part.n)]
        measures += [log_measure] * part.n
    digits = torch.cartesian_prod(*(torch.arange(len(m)) for m in measures)).reshape(-1, len(sites))
    states = torch.cat([x[d] for (_, _, x), d in zip(sites, digits.T, strict=True)], 1)
    log_measure = torch.stack([m[d] for m, d in zip(measures, digits.T, strict=True)]).sum(0)
    return Table(states, log_measure, digits, sites)


@dataclass(frozen=True)
class Exact:
    """An RBM with its joint distribution as a table of visible states (rows) and hidden states (columns)."""

    rbm: hm.RBM
    v: Table
    h: Table
    energy: Tensor  # nats
    log_joint: Tensor  # log of the unnormalised probability of each pair, measure included
    log_z: float
    p: Tensor  # the probability of each pair

    def typical(self, side: int, count: int = 9) -> Tensor:
        """Numbers of some visible (0) or hidden (1) states, spread over all but the most improbable ones."""
        marginal = self.p.sum(1 - side)
        likely = torch.nonzero(marginal > 1e-7 * marginal.max()).flatten()
        return likely[torch.linspace(0, len(likely) - 1, count).long().unique()]


def joint_energy(rbm: hm.RBM, v: Table, h: Table) -> Tensor:
    """E(v, h) of all pairs, differentiable in the parameters."""
    visible = v.potential(rbm.visible) - v.states @ rbm.visible.bias
    hidden = h.potential(rbm.hidden) - h.states @ rbm.hidden.bias
    return visible[:, None] + hidden[None, :] - v.states @ rbm.weight @ h.states.T


@torch.no_grad()
def exact(rbm: hm.RBM) -> Exact:
    """An RBM with its table."""
    v, h = table(rbm.visible), table(rbm.hidden)
    energy = joint_energy(rbm, v, h)
    log_joint = v.log_measure[:, None] + h.log_measure[None, :] - energy
    log_z = torch.logsumexp(log_joint.flatten(), 0)
    return Exact(rbm, v, h, energy, log_joint, float(log_z), torch.exp(log_joint - log_z))


def moderate(units: hm.Units, seed: int = 5, rows: int = 7) -> Tensor:
    """Random fields in ±3."""
    return 6.0 * uniforms(seed, rows, units.width) - 3.0


def copied(units: hm.Units, dtype: torch.dtype) -> hm.Units:
    """The same layer in another dtype."""
    return copy.deepcopy(units).to(dtype)
