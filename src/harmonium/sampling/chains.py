"""The one contract of every sampler.

A kernel is a function (model, chains) -> chains that leaves the model's distribution invariant. Chains are a
state and the address of their next draws; nothing else is remembered, so a chain can be stored, moved to
another machine and continued.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from harmonium import checks
from harmonium.models import EnergyModel
from harmonium.random import Address

State = tuple[Tensor, ...]


@dataclass(frozen=True)
class Chains:
    """Markov chains in mid-flight.

    Attributes:
        state: one (chains, width) tensor per block of the model; block 0 is visible.
        address: where the next draws live; `address.step` is the time, and a kernel moves it on.
        info: what the kernel reports about its last step, such as an acceptance rate.
    """

    state: State
    address: Address
    info: Mapping[str, float] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.state[0])

    @property
    def visible(self) -> Tensor:
        """The visible states, (chains, n_visible)."""
        return self.state[0]

    def moved(self, state: State, **info: float) -> Chains:
        """The chains one step later, in a new state."""
        return Chains(state, self.address.at(step=self.address.step + 1), info)

    def with_visible(self, v: Tensor) -> Chains:
        """The same chains with other visible states."""
        return replace(self, state=(v, *self.state[1:]))


@runtime_checkable
class Kernel(Protocol):
    """One step of a Markov chain that leaves exp(-E)/Z of `model` invariant."""

    def __call__(self, model: EnergyModel, chains: Chains) -> Chains:
        """The chains after one step."""
        ...


@dataclass(frozen=True)
class Clamp:
    """Visible units held at given values: conditional sampling is sampling with a clamp.

    Attributes:
        held: bool, (n_visible,) or (chains, n_visible); True where a unit is held.
        values: (n_visible,) or (chains, n_visible); read only where `held`.
    """

    held: Tensor
    values: Tensor

    def __post_init__(self) -> None:
        for name, x in (("held", self.held), ("values", self.values)):
            if not isinstance(x, Tensor):
                raise TypeError(f"clamp: expected a tensor for `{name}`, got {checks.describe(x)}.")
        if self.held.dtype != torch.bool or self.held.shape[-1:] != self.values.shape[-1:]:
            raise ValueError(
                f"clamp: expected boolean `held` and `values` of one width, got {self.held.dtype} of shape "
                f"{tuple(self.held.shape)} and values of shape {tuple(self.values.shape)}."
            )

    def apply(self, v: Tensor) -> Tensor:
        """`v` with the held units put back, (chains, n_visible)."""
        return torch.where(self.held, self.values.to(v), v)


def check_kernel(clamp: Any, **counts: Any) -> None:
    """Refuse what is no clamp, and numbers of sweeps or steps below 1.

    Raises:
        TypeError, ValueError: naming the argument.
    """
    if clamp is not None and not isinstance(clamp, Clamp):
        raise TypeError(f"clamp must be a hm.Clamp or None, got {checks.describe(clamp)}.")
    for name, value in counts.items():
        checks.positive_integer(name, value)
