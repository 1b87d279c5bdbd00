"""Where negative particles come from. Every source is a function (model, data, step) -> Particles."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from harmonium import checks
from harmonium.learning.particles import Particles, equally_weighted
from harmonium.models import EnergyModel
from harmonium.random import Address, Purpose
from harmonium.sampling import Chains, Kernel, advance, default_kernel, initial_chains

STRIDE = 2**12  # times between the chains of two updates: room for k steps of several sweeps each


@runtime_checkable
class Negatives(Protocol):
    """A source of negative particles for the model as it is now."""

    def draw(self, model: EnergyModel, data: Particles, step: int) -> Particles:
        """Particles that stand for the model's distribution at update `step`."""
        ...


class ContrastiveDivergence:
    """CD-k: chains start at the batch and run k steps (Hinton 2002). Fast at first, biased in the end.

    Args:
        k: steps of the chain.
        seed: of the chains.
        kernel: how they move; the model's own by default.
    """

    def __init__(self, k: int = 1, seed: int = 0, kernel: Kernel | None = None) -> None:
        self.k = checks.positive_integer("k", k)
        self.seed = checks.seed("seed", seed)
        self.kernel = kernel

    def draw(self, model: EnergyModel, data: Particles, step: int) -> Particles:
        address = Address(self.seed, Purpose.CHAIN, step=step * STRIDE)
        chains = initial_chains(model, len(data.v), address, data.v)
        kernel = self.kernel or default_kernel(model)
        chains = advance(kernel, model, chains, self.k)
        return Particles(chains.state, data.weights)


class PersistentChains:
    """PCD-k: the chains go on from update to update (Younes 1989; Tieleman 2008).

    Args:
        chains: how many.
        k: steps between two updates. It may be changed while training.
        seed: of the chains.
        kernel: how they move; the model's own by default.
        start: visible states to start from, (chains, n_visible); by default drawn from the units' biases.
    """

    def __init__(
        self,
        chains: int = 500,
        k: int = 1,
        seed: int = 0,
        kernel: Kernel | None = None,
        start: Tensor | None = None,
    ) -> None:
        self.n = checks.positive_integer("chains", chains)
        self.k = checks.positive_integer("k", k)
        self.seed = checks.seed("seed", seed)
        self.kernel = kernel
        self.start = start
        self.chains: Chains | None = None

    def draw(self, model: EnergyModel, data: Particles, step: int) -> Particles:
        kernel = self.kernel or default_kernel(model)
        chains = self.chains
        if chains is None:
            chains = initial_chains(model, self.n, Address(self.seed, Purpose.CHAIN), self.start)
        self.chains = chains = advance(kernel, model, chains, self.k)
        return equally_weighted(*chains.state)

    def state_dict(self) -> dict[str, Tensor]:
        """All that is needed to go on: states, their time, and the number of steps between updates."""
        if self.chains is None:
            return {}
        state = {str(i): x for i, x in enumerate(self.chains.state)}
        return state | {"step": torch.tensor(self.chains.address.step), "k": torch.tensor(self.k)}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from `state_dict`."""
        if not state:
            return
        blocks = tuple(state[str(i)] for i in range(len(state) - 2))
        self.k = int(state["k"])
        self.chains = Chains(blocks, Address(self.seed, Purpose.CHAIN, step=int(state["step"])))


class ExactNegatives:
    """Every visible state with its probability: the exact gradient, where all of them can be enumerated.

    Args:
        limit: the largest number of visible states accepted.
    """

    def __init__(self, limit: int = 2**20) -> None:
        self.limit = checks.positive_integer("limit", limit)
        self._states: Tensor | None = None

    @torch.no_grad()
    def draw(self, model: EnergyModel, data: Particles, step: int) -> Particles:
        if self._states is None:
            self._states = _all_visible_states(model, self.limit)
        return Particles((self._states,), torch.softmax(-model.free_energy(self._states), 0))


def _all_visible_states(model: EnergyModel, limit: int) -> Tensor:
    count = model.visible_space.n_states
    if count is None or count > limit:
        said = "infinitely many" if count is None else f"{count:.3g}"
        raise ValueError(f"model: exact negatives need at most {limit} visible states, got {said}.")
    index = torch.arange(count, device=model.device)
    return model.visible_space.states(index).to(model.dtype)  # type: ignore[union-attr]  # finite
