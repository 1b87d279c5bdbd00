"""Which layers the compiled kernels know."""

from __future__ import annotations

from torch import Tensor

from harmonium.kernels import Side
from harmonium.units.base import Units
from harmonium.units.bernoulli import Bernoulli
from harmonium.units.categorical import Categorical
from harmonium.units.spin import Spin

# by their very types, since a class derived from one of them may draw in its own way
COMPILED: dict[type[Units], str] = {Bernoulli: "bernoulli", Spin: "spin", Categorical: "categorical"}


def compiled_side(layer: Units, bias: Tensor, base: Tensor | None = None) -> Side | None:
    """What the kernels need of a layer in the field base + β (bias + product); None if they don't know it."""
    kind = COMPILED.get(type(layer))
    if kind is None:
        return None
    return Side(kind, layer.width // layer.n, bias, base)
