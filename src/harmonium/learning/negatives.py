"""Where negative particles come from: chains from the batch, chains that go on, all states."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from harmonium import checks, processes
from harmonium.learning.negative_phase import NegativePhase
from harmonium.learning.particles import Particles, equally_weighted
from harmonium.learning.phases import Phases
from harmonium.learning.repeated_update import RepeatedUpdate
from harmonium.models import EnergyModel
from harmonium.random import Address, Purpose
from harmonium.sampling import Chains, Kernel, advance, default_kernel, initial_chains
from harmonium.sampling.start import picked

STRIDE = 2**12  # times between the chains of two updates: room for k steps of several sweeps each
MOST_STEPS = STRIDE // 16  # of a chain that starts anew at each update
INFO = "info."


def _divides(kernel: Kernel | None) -> bool:
    return kernel is None or getattr(kernel, "divides", False)


class ContrastiveDivergence(NegativePhase):
    """CD-k: chains start at the batch and run k steps (Hinton 2002). Fast at first, biased in the end.

    Args:
        k: steps of the chain, at most 256.
        seed: of the chains.
        kernel: how they move; the model's own by default.
    """

    k: int

    def __init__(self, k: int = 1, seed: int = 0, kernel: Kernel | None = None) -> None:
        self.k = checks.integer("k", k, 1, MOST_STEPS)
        self.seed = checks.seed("seed", seed)
        self.kernel = kernel

    @property
    def divides(self) -> bool:  # type: ignore[override]  # as its kernel does
        """Whether no chain has anything to do with another."""
        return _divides(self.kernel)

    def draw(self, model: EnergyModel, data: Particles, step: int) -> Particles:
        address = Address(self.seed, Purpose.CHAIN, step=step * STRIDE, chain=data.chain)
        chains = initial_chains(model, len(data.v), address, data.v)
        kernel = self.kernel or default_kernel(model)
        chains = advance(kernel, model, chains, self.k)
        return data._replace(state=chains.state)


class PersistentChains(NegativePhase):
    """PCD-k: the chains go on from update to update (Younes 1989; Tieleman 2008).

    Args:
        chains: how many.
        k: steps between two updates. It may be changed while training.
        seed: of the chains.
        kernel: how they move; the model's own by default.
        start: visible states to start from, (chains, n_visible); by default the rows that `begin` is given,
            and states of independent units without it.
    """

    n: int
    k: int
    persistent = True

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
        self._repeated = RepeatedUpdate()

    @property
    def divides(self) -> bool:  # type: ignore[override]  # as its kernel does
        """Whether no chain has anything to do with another."""
        return _divides(self.kernel)

    def move_by(self, kernel: Kernel | None) -> None:
        self.kernel = self.kernel or kernel

    def begin(self, model: EnergyModel, rows: Tensor) -> None:
        if self.start is None:
            self.start = rows

    def accumulate(self, model: EnergyModel, data: Particles, step: int) -> Phases:
        if self.chains is not None and self.kernel is None and type(self).draw is PersistentChains.draw:
            done = self._repeated(model, data, self.chains, self.k, self.n)
            if done is not None:
                self.chains, phases = done
                return phases
        return super().accumulate(model, data, step)

    def draw(self, model: EnergyModel, data: Particles, step: int) -> Particles:
        chains = self.chains
        if chains is None:
            chains = self._begun(model, self.start, Address(self.seed, Purpose.CHAIN))
        self.chains = advance(self.kernel or default_kernel(model), model, chains, self.k)
        return equally_weighted(*self.chains.state, of=self.n, chain=self.chains.address.chain)

    def _begun(self, model: EnergyModel, start: Tensor | None, address: Address) -> Chains:
        """This process's share of the chains, at visible states to start from."""
        own = processes.share_of("chains", self.n)
        address, n = address.at(chain=own.start), processes.size(own)
        if start is not None:
            start = start[own] if len(start) == self.n else picked(start, n, address)
        return initial_chains(model, n, address, start)

    def restart(self, model: EnergyModel, rows: Tensor) -> None:
        if self.chains is not None:
            start = rows[[i % len(rows) for i in range(self.n)]]
            self.chains = self._begun(model, start, self.chains.address)

    def tempered(self) -> NegativePhase | None:
        from harmonium.learning.tempered_chains import TemperedChains

        return TemperedChains(max(FEWEST_SETS, self.n // SHARED), seed=self.seed)

    def state_dict(self) -> dict[str, Tensor]:
        """States of the chains, their time, what their kernel has adapted, and the steps between updates."""
        if self.chains is None:
            return {}
        state = {f"block.{i}": processes.gather(x) for i, x in enumerate(self.chains.state)}
        state |= {INFO + name: torch.tensor(x, dtype=torch.float64) for name, x in self.chains.info.items()}
        return state | {"step": torch.tensor(self.chains.address.step), "k": torch.tensor(self.k)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        if not state:
            return
        self.k = int(state["k"])
        info = {name.removeprefix(INFO): float(x) for name, x in state.items() if name.startswith(INFO)}
        own = processes.share_of("chains", self.n)
        address = Address(self.seed, Purpose.CHAIN, step=int(state["step"]), chain=own.start)
        self.chains = Chains(tuple(x[own] for x in blocks_of(state)), address, info)


FEWEST_SETS = 64  # of replicas, in place of persistent chains
SHARED = 4  # persistent chains for each of these sets


def blocks_of(state: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
    """The tensors "block.0", "block.1", … of a state."""
    return tuple(state[f"block.{i}"] for i in range(sum(name.startswith("block.") for name in state)))


class ExactNegatives(NegativePhase):
    """Every visible state with its probability: the exact gradient, where all of them can be enumerated.

    Args:
        limit: the largest number of visible states accepted.
    """

    exact = True
    divides = True

    def __init__(self, limit: int = 2**20) -> None:
        self.limit = checks.positive_integer("limit", limit)
        self._states: Tensor | None = None

    @torch.no_grad()
    def draw(self, model: EnergyModel, data: Particles, step: int) -> Particles:
        if self._states is None:
            self._states = _all_visible_states(model, self.limit)
        p = torch.softmax(-model.free_energy(self._states), 0)  # of all states: Z is their sum
        return Particles((processes.mine(self._states),), processes.mine(p))


def _all_visible_states(model: EnergyModel, limit: int) -> Tensor:
    count = model.visible_space.n_states
    if count is None or count > limit:
        said = "infinitely many" if count is None else f"{count:.3g}"
        raise ValueError(f"model: exact negatives need at most {limit} visible states, got {said}.")
    index = torch.arange(count, device=model.device)
    return model.visible_space.states(index).to(model.dtype)
