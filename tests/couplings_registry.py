"""A small machine with each kind of coupling, its units mixed, and its matrix written down once more."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

import harmonium as hm
from registry import DOUBLE, layer, scatter, table, uniforms


@dataclass(frozen=True)
class Case:
    """How a machine is made, and W from its tensors by name, independently."""

    make: Callable[[], hm.RBM]
    matrix: Callable[[dict[str, Tensor]], Tensor]


def pattern(rows: int, columns: int) -> Tensor:
    """A pattern with about half of the couplings."""
    return uniforms(5, rows, columns) < 0.5


def made(visible: str, hidden: str, couplings: hm.couplings.Kind) -> hm.RBM:
    """A machine of the registry's layers with scattered parameters."""
    machine = hm.RBM(layer(visible, 3), layer(hidden, 4), couplings=couplings, dtype=DOUBLE)
    scatter(machine, 11)
    return machine


def slide(filters: Tensor, picture: tuple[int, ...], stride: int, padding: int) -> Tensor:
    """W of a convolution entry by entry, (channels · pixels, filters · places)."""
    found = []
    for f in filters:
        for place in places(picture, filters.shape[2:], stride, padding):
            column = torch.zeros(filters.shape[1], *picture, dtype=filters.dtype)
            for inside in itertools.product(*map(range, filters.shape[2:])):
                pixel = tuple(p + k for p, k in zip(place, inside, strict=True))
                if all(0 <= p < n for p, n in zip(pixel, picture, strict=True)):
                    one = torch.zeros_like(column)
                    one[(slice(None), *pixel)] = 1.0
                    weight = f[(slice(None), *inside)].reshape(-1, *[1] * len(picture))
                    column = column + one * weight
            found.append(column.flatten())
    return torch.stack(found, 1)


def places(
    picture: tuple[int, ...], kernel: tuple[int, ...], stride: int, padding: int
) -> list[tuple[int, ...]]:
    """Where the corner of a filter may lie, along rows."""
    sides = [range(-padding, n + padding - k + 1, stride) for n, k in zip(picture, kernel, strict=True)]
    return list(itertools.product(*sides))


def last(matrix: Tensor, channels: int) -> Tensor:
    """Rows of W with the channels of a pixel next to each other."""
    return matrix.unflatten(0, (channels, -1)).transpose(0, 1).flatten(0, 1)


def pooled(matrix: Tensor, filters: int, width: int) -> Tensor:
    """Columns of W by pools of two neighbours along a sequence, after a column of zeros each."""
    pools = matrix.unflatten(1, (filters, width // 2, 2))
    off = torch.zeros_like(pools[..., :1])
    return torch.cat([off, pools], -1).flatten(1)


def convolutional(*arguments: object, **options: object) -> hm.ConvolutionalRBM:
    """A convolutional machine with scattered parameters."""
    machine = hm.ConvolutionalRBM(*arguments, dtype=DOUBLE, **options)
    scatter(machine, 13)
    with torch.no_grad():
        machine.filters.mul_(0.5)
    return machine


CASES: dict[str, Case] = {
    "LowRank": Case(
        lambda: made("MixedCounts", "Spin", hm.couplings.LowRank(2)),
        lambda t: t["coupling.left"] @ t["coupling.right"].T,
    ),
    "Sparse": Case(
        lambda: made("Binomial", "Categorical", hm.couplings.Sparse(0.02, (1, 3))),
        lambda t: t["coupling.weight"],
    ),
    "Pictures": Case(
        lambda: convolutional((1, 3, 4), 2, (2, 3), visible=hm.Spin(12)),
        lambda t: slide(t["coupling.filters"], (3, 4), 1, 0),
    ),
    "PaddedPictures": Case(
        lambda: convolutional((2, 3, 2), 1, 2, stride=2, padding=1, hidden=hm.Binomial(4, 2)),
        lambda t: slide(t["coupling.filters"], (3, 2), 2, 1),
    ),
    "Sequences": Case(
        lambda: convolutional((3, 6), 2, 2, stride=2, visible=hm.Categorical(6, 3)),
        lambda t: last(slide(t["coupling.filters"], (6,), 2, 0), 3),
    ),
    "Pools": Case(
        lambda: convolutional((1, 6), 2, 3, pool=2),
        lambda t: pooled(slide(t["coupling.filters"], (6,), 1, 0), 2, 4),
    ),
    "GaussianSequences": Case(
        lambda: convolutional((1, 3), 2, 2, visible=hm.Gaussian(3)),
        lambda t: slide(t["coupling.filters"], (3,), 1, 0),
    ),
    "Masked": Case(
        lambda: made("Categorical", "Binomial", hm.couplings.Masked(pattern(6, 2))),
        lambda t: torch.where(pattern(6, 2), t["coupling.weight"], 0.0),
    ),
    "MaskedMixed": Case(
        lambda: made("Mixed", "Bernoulli", hm.couplings.Masked(pattern(5, 3))),
        lambda t: torch.where(pattern(5, 3), t["coupling.weight"], 0.0),
    ),
}


def build(name: str) -> tuple[hm.RBM, Tensor]:
    """A machine and its W."""
    machine = CASES[name].make()
    return machine, CASES[name].matrix(dict(machine.named_parameters()))


def joint(machine: hm.RBM, matrix: Tensor):
    """Tables of both sides and the energy of all pairs, from the formula."""
    v, h = table(machine.visible), table(machine.hidden)
    own = [t.potential(u) - t.states @ u.bias for t, u in zip((v, h), machine.layers, strict=True)]
    return v, h, own[0][:, None] + own[1] - v.states @ matrix @ h.states.T
