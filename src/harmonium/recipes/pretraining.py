"""Greedy pretraining of deep Boltzmann machines, layer by layer (Salakhutdinov & Hinton 2009)."""

from __future__ import annotations

from functools import singledispatch
from typing import Any

import torch
from torch import Tensor

from harmonium import checks
from harmonium.models import RBM, DeepBoltzmannMachine
from harmonium.models.intake import rows_of
from harmonium.random import Address, Purpose, derived_seed
from harmonium.recipes.training import fit
from harmonium.units import Bernoulli, Binomial, Units


@singledispatch
def pretrain(machine: Any, X: Any, *, seed: int = 0, **settings: Any) -> None:
    """Give a machine of 0/1 layers the weights of RBMs that are trained one after the other, from below.

    A layer between two others gets half of its field from either. So in the RBM of two neighbours a layer
    counts twice where the other one has a second neighbour: two copies of a 0/1 unit with the same weights
    are a binomial unit of two trials. The biases are the means of those that a layer has in its two RBMs,
    which makes its field the mean of both. `hm.fit(machine, X)` then goes on from there, where it would
    otherwise begin with the principal directions of the rows.

    Args:
        machine: a `hm.DeepBoltzmannMachine`, changed in place.
        X: whole rows, as of `hm.fit`.
        seed: of everything random.
        settings: of `hm.fit` for each RBM, such as `steps`.

    Raises:
        TypeError, ValueError: a machine of another kind or with layers that aren't 0/1, or rows with gaps.

    >>> import harmonium as hm
    >>> dbm = hm.DeepBoltzmannMachine(hm.Bernoulli(4), [hm.Bernoulli(3), hm.Bernoulli(2)])
    >>> pretrain(dbm, [[0, 0, 1, 1], [1, 1, 0, 0]] * 20, steps=20)
    >>> bool((dbm.weights[1] != 0).all())
    True
    """
    raise TypeError(f"machine: expected a hm.DeepBoltzmannMachine, got {checks.describe(machine)}.")


@pretrain.register(DeepBoltzmannMachine)
def _(machine: DeepBoltzmannMachine, X: Any, *, seed: int = 0, **settings: Any) -> None:
    stack, last = machine.stack, len(machine.weights) - 1
    if not all(type(units) is Bernoulli for units in stack):
        raise TypeError(f"machine: expected 0/1 layers, got {', '.join(type(u).__name__ for u in stack)}.")
    plain = RBM(Bernoulli(stack[0].n), Bernoulli(1))
    x = rows_of(plain, X, "X", seed=seed, free=False).states()
    biases: list[list[Tensor]] = [[] for _ in stack]
    for k, weight in enumerate(machine.weights):
        twice = k < last, k > 0
        below, above = (_counted(units.n, two) for units, two in zip(stack[k : k + 2], twice, strict=True))
        rbm = RBM(below, above, dtype=machine.dtype, device=machine.device, seed=derived_seed(seed, k))
        fit(rbm, x * (1 + twice[0]), seed=seed, **settings)
        with torch.no_grad():
            weight.copy_(rbm.weight)
            mean = rbm.hidden_given_visible(x * (1 + twice[0])) / (1 + twice[1])
        biases[k].append(rbm.visible.bias.detach())
        biases[k + 1].append(rbm.hidden.bias.detach())
        x = Bernoulli(stack[k + 1].n).sample(torch.logit(mean), Address(seed, Purpose.POSITIVE, step=k))
    with torch.no_grad():
        for units, found in zip(stack, biases, strict=True):
            units.bias.copy_(torch.stack(found).mean(0))


def _counted(n: int, twice: bool) -> Units:
    return Binomial(n, trials=2) if twice else Bernoulli(n)
