"""RBMs with few enough hidden units for a sum over all their states."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from harmonium import checks
from harmonium.models import RBM
from harmonium.testsystems.known import KnownModel, check, chosen, normal, uniforms
from harmonium.units import Bernoulli

MOST = 20  # hidden units whose 2^20 states are still summed in a second


@torch.no_grad()
def summed(rbm: RBM) -> KnownModel:
    """What a sum over all hidden states tells of an RBM of 0/1 units.

    Raises:
        ValueError: units that are not Bernoulli, or more than 20 hidden ones.
    """
    if any(layer.two_values != (0.0, 1.0) for layer in rbm.layers):
        raise ValueError("rbm must have Bernoulli units on both sides.")
    if rbm.hidden.n > MOST:
        raise ValueError(f"rbm must have at most {MOST} hidden units, got {rbm.hidden.n}.")
    double = copy.deepcopy(rbm).double()
    w, a, b = double.weight.detach(), double.visible.bias.detach(), double.hidden.bias.detach()
    states = rbm.hidden.states(torch.arange(2**rbm.hidden.n)).double()
    log_weights = torch.cat(
        [h @ b + torch.nn.functional.softplus(h @ w.T + a).sum(1) for h in states.split(2**14)]
    )
    log_z = float(torch.logsumexp(log_weights, 0))
    p = torch.exp(log_weights - log_z)
    mean, energy = torch.zeros_like(a), 0.0
    for h, share in zip(states.split(2**14), p.split(2**14), strict=True):
        v = torch.sigmoid(h @ w.T + a)
        mean += share @ v
        energy -= float(share @ (h @ b + (v * (h @ w.T + a)).sum(1)))

    def draw(rows: int, seed: int) -> Tensor:
        h = states[chosen(p[None], uniforms(seed, 0, rows, 1)[:, 0])]
        return uniforms(seed, 1, rows, len(a)) < torch.sigmoid(h @ w.T + a)

    return KnownModel(rbm, log_z, mean, energy, draw)


@torch.no_grad()
def random_couplings(scale: float, visible: int = 100, hidden: int = 16) -> KnownModel:
    """Normal couplings of this standard deviation, and biases of one half."""
    check({"visible": visible}, {"scale": scale})
    check_few("hidden", hidden)
    rbm = RBM(visible=Bernoulli(visible), hidden=Bernoulli(hidden))
    rbm.weight.copy_(scale * normal(1, visible, hidden))
    rbm.visible.bias.copy_(0.5 * normal(2, visible, 1)[:, 0])
    rbm.hidden.bias.copy_(0.5 * normal(3, hidden, 1)[:, 0])
    return summed(rbm)


@torch.no_grad()
def planted(patterns: int, strength: float, visible: int = 100) -> KnownModel:
    """Hidden units that each stand for a random pattern of the visible ones, in the symmetric gauge: many
    modes.
    """
    check({"visible": visible}, {"strength": strength})
    check_few("patterns", patterns)
    rbm = RBM(visible=Bernoulli(visible), hidden=Bernoulli(patterns))
    rbm.weight.copy_(4 * strength * torch.sign(normal(4, visible, patterns)))
    rbm.visible.bias.copy_(-0.5 * rbm.weight.sum(1))
    rbm.hidden.bias.copy_(-0.5 * rbm.weight.sum(0))
    return summed(rbm)


@torch.no_grad()
def unequal(patterns: int, strength: float, bias: float, visible: int = 100) -> KnownModel:
    """Planted patterns whose modes have very different masses, by normal biases on top."""
    check({"visible": visible}, {"strength": strength, "bias": bias})
    check_few("patterns", patterns)
    rbm = RBM(visible=Bernoulli(visible), hidden=Bernoulli(patterns))
    rbm.weight.copy_(4 * strength * torch.sign(normal(40, visible, patterns)))
    rbm.visible.bias.copy_(-0.5 * rbm.weight.sum(1) + bias * normal(41, visible, 1)[:, 0])
    rbm.hidden.bias.copy_(-0.5 * rbm.weight.sum(0) + bias * normal(42, patterns, 1)[:, 0])
    return summed(rbm)


def check_few(name: str, number: int) -> None:
    """Refuse more hidden units than can be summed."""
    if checks.positive_integer(name, number) > MOST:
        raise ValueError(f"{name}: states of at most {MOST} hidden units are summed, got {number}.")


def trained(x: Tensor, hidden: int, steps: int, seed: int = 0) -> KnownModel:
    """An RBM of 0/1 units after `hm.fit` on the rows of x, (rows, columns)."""
    from harmonium.recipes import fit

    checks.matrix("x", x)
    check_few("hidden", hidden)
    rbm = RBM(visible=Bernoulli(x.shape[1]), hidden=Bernoulli(hidden))
    fit(rbm, x, steps=steps, seed=seed, progress=False)
    return summed(rbm)


def bars_and_stripes(side: int) -> Tensor:
    """All patterns of bars and of stripes on a square, (2^(side+1), side²): rows to train on."""
    checks.integer("side", side, 1, MOST)
    bits = (torch.arange(2**side)[:, None] >> torch.arange(side) & 1).float()
    bars, stripes = bits[:, :, None].expand(-1, -1, side), bits[:, None, :].expand(-1, side, -1)
    return torch.cat([bars, stripes]).reshape(-1, side * side)
