"""A small machine with each kind of coupling, its units mixed, and its matrix written down once more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

import harmonium as hm
from registry import DOUBLE, layer, scatter, uniforms


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


CASES: dict[str, Case] = {
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
