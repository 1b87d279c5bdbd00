"""Which layers the compiled kernels know, and which columns of a layer they draw together."""

from __future__ import annotations

from torch import Tensor

from harmonium.kernels import Side
from harmonium.units.base import Units
from harmonium.units.bernoulli import Bernoulli
from harmonium.units.binomial import Binomial
from harmonium.units.categorical import Categorical
from harmonium.units.drelu import DReLU
from harmonium.units.gaussian import Gaussian
from harmonium.units.poisson import Poisson
from harmonium.units.relu import ReLU
from harmonium.units.spin import Spin

# by their very types, since a class derived from one of them may draw in its own way
COMPILED: dict[type[Units], str] = {Bernoulli: "bernoulli", Spin: "spin", Categorical: "categorical"}

GROUPED: dict[type[Units], str] = {
    **COMPILED,
    **dict.fromkeys((Binomial, Poisson), "counts"),
    **dict.fromkeys((Gaussian, ReLU, DReLU), "uniform"),
}


def group_of(units: Units) -> tuple[str, int] | None:
    """The kind and size of a kernels' `Group` of these units; None if it's unknown how they are drawn."""
    kind = GROUPED.get(type(units))
    if kind is None:
        return None
    return kind, getattr(units, "trials", 0) if kind == "counts" else units.width // units.n


def compiled_side(layer: Units, bias: Tensor, base: Tensor | None = None) -> Side | None:
    """What the kernels need of a layer in the field base + β (bias + product); None if they don't know it."""
    kind = COMPILED.get(type(layer))
    if kind is None:
        return None
    return Side(kind, layer.width // layer.n, bias, base)
