"""The freedom of one-hot sites: parameters that say the same, and the choice of one among them.

Exactly one column of a categorical site is 1. A constant added to the couplings of all its states with a unit
is therefore a constant field on that unit, and a constant added to their biases shifts all energies: neither
changes a probability. A gauge takes one of all these equal choices (Weigt et al. 2009; Tubiana et al. 2019).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from harmonium import checks
from harmonium.couplings import Operator
from harmonium.learning.loop import Update
from harmonium.models import EnergyModel
from harmonium.units import Units
from harmonium.units.mixed import parts_of

GAUGES = ("zero-sum", "lattice-gas")


@torch.no_grad()
def fix_gauge(model: EnergyModel, gauge: str = "zero-sum") -> None:
    """Rewrite the parameters of `model` so that the distribution stays as it is.

    Args:
        model: blocks with pairwise couplings; layers without one-hot sites stay as they are.
        gauge: "zero-sum": the couplings of a site's states with any unit sum to zero, and so do its biases,
            which makes Σ W² as small as it can be; "lattice-gas": those of its last state are zero.

    Raises:
        TypeError, ValueError: another kind of model, or another gauge.

    >>> import harmonium as hm
    >>> rbm = hm.RBM(visible=hm.Categorical(2, states=3), hidden=hm.Bernoulli(1))
    >>> fix_gauge(rbm, "lattice-gas")
    >>> rbm.weight[[2, 5]].flatten().tolist()
    [0.0, 0.0]
    """
    checks.one_of("gauge", gauge, GAUGES)
    machine = model.as_pairwise()
    if machine is None:
        raise TypeError(f"model: a gauge expects blocks with pairwise couplings, got {type(model).__name__}.")
    layers = machine.layers
    for operator, i, j in machine.couplings():
        weight = _whole_sites(operator, layers[i], layers[j])
        if weight is None:
            continue
        # rows first, then columns: what moves out of one side is a field on the other
        layers[j].bias.add_(_take_out(weight, layers[i], gauge))
        layers[i].bias.add_(_take_out(weight.T, layers[j], gauge))
    for layer in layers:
        _take_out(layer.bias[:, None], layer, gauge)


def _whole_sites(operator: Operator, left: Units, right: Units) -> Tensor | None:
    """W where it can be rewritten in place; None where no layer has one-hot sites."""
    sites = [*_one_hot_parts(left), *_one_hot_parts(right)]
    if not sites:
        return None
    if not operator.full:
        raise TypeError(
            "model: a gauge expects every coupling of one-hot sites to be free, got"
            f" {type(operator).__name__} ones."
        )
    return operator.dense()


@dataclass(frozen=True)
class Gauge:
    """`fix_gauge` after each update, as a callback: what is penalised or looked at then means something."""

    gauge: str = "zero-sum"

    def __call__(self, update: Update) -> None:
        fix_gauge(update.model, self.gauge)


def _take_out(matrix: Tensor, layer: Units, gauge: str) -> Tensor:
    """Bring the rows (width, n) of each one-hot site into the gauge; what was taken out in all, (n,)."""
    total = matrix.new_zeros(matrix.shape[1])
    for columns, states in _one_hot_parts(layer):
        sites = matrix[columns].unflatten(0, (-1, states))
        shift = sites.mean(1, keepdim=True) if gauge == "zero-sum" else sites[:, -1:].clone()
        sites.sub_(shift)
        total += shift.sum((0, 1))
    return total


def _one_hot_parts(layer: Units) -> Iterator[tuple[slice, int]]:
    """(columns, states of a site) of the categorical parts of a layer."""
    start = 0
    for part in parts_of(layer):
        if part.one_hot:
            yield slice(start, start + part.width), part.width // part.n
        start += part.width
