"""What the kernels know of a layer: how its states are drawn in which field."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from harmonium.random import Address


@dataclass(frozen=True)
class Side:
    """One of two coupled layers: its states are drawn in the field base + beta (bias + product)."""

    kind: str  # "bernoulli", "spin" or "categorical"
    states: int  # of a site, 1 but for categories
    bias: Tensor  # (width,)
    base: Tensor | None = None  # (width,), or None for 0


def chain_numbers(address: Address) -> tuple[int, int]:
    """The first chain, and the memory of explicit numbers or 0, as the jobs of compiled loops have them."""
    return (address.chain, 0) if isinstance(address.chain, int) else (0, address.chain.ctypes.data)
