"""Persistent chains that are driven away from where they are by fast weights."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor

from harmonium import checks
from harmonium.learning.negative_phase import NegativePhase
from harmonium.learning.negatives import PersistentChains
from harmonium.learning.particles import Particles
from harmonium.learning.phases import Phases, accumulate_phases
from harmonium.models import EnergyModel

FAST = "fast."


class FastPersistentChains(PersistentChains):
    """FPCD-k: the chains move in the model with parameters θ + θ', where θ' learns fast and forgets
    (Tieleman & Hinton 2009).

    After each update θ' ← decay · θ' - rate · ∂L/∂θ. The gradient lowers the probability of where the chains
    are, and θ' does so at once: they leave, however small the steps of θ itself. They follow a distribution
    that is not quite the model's, which is the price.

    Args:
        chains: how many.
        k: steps between two updates.
        seed: of the chains.
        rate: of the fast parameters.
        decay: share of the fast parameters that is left after an update.

    Attributes:
        fast: θ' by the names of the parameters.
    """

    divides = False  # the fast weights follow the whole gradient, before it is there

    def __init__(
        self, chains: int = 500, k: int = 1, seed: int = 0, rate: float = 0.05, decay: float = 0.95
    ) -> None:
        super().__init__(chains, k, seed)
        self.rate = checks.number("rate", rate, 0.0)
        self.decay = checks.fraction("decay", decay)
        self.fast: dict[str, Tensor] = {}
        self._shifted: EnergyModel | None = None

    def draw(self, model: EnergyModel, data: Particles, step: int) -> Particles:
        return super().draw(self._moved(model), data, step)

    def accumulate(self, model: EnergyModel, data: Particles, step: int) -> Phases:
        """The gradient of `accumulate_phases`; the fast parameters follow it."""
        phases = accumulate_phases(model, data, self.draw(model, data, step))
        for name, p in model.named_parameters():
            if p.grad is not None:
                fast = self.fast.setdefault(name, torch.zeros_like(p.grad))
                fast.mul_(self.decay).sub_(p.grad, alpha=self.rate)
        return phases

    @torch.no_grad()
    def _moved(self, model: EnergyModel) -> EnergyModel:
        """A copy of the model at θ + θ'."""
        if self._shifted is None:
            self._shifted = copy.deepcopy(model).requires_grad_(False)
        for (name, p), q in zip(model.named_parameters(), self._shifted.parameters(), strict=True):
            q.copy_(p + self.fast[name] if name in self.fast else p)
        return self._shifted

    def restart(self, model: EnergyModel, rows: Tensor) -> None:
        self.fast = {}
        super().restart(model, rows)

    def tempered(self) -> NegativePhase | None:
        return None

    def state_dict(self) -> dict[str, Tensor]:
        return {**super().state_dict(), **{FAST + name: p for name, p in self.fast.items()}}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self.fast = {k.removeprefix(FAST): p.clone() for k, p in state.items() if k.startswith(FAST)}
        super().load_state_dict({k: x for k, x in state.items() if not k.startswith(FAST)})
