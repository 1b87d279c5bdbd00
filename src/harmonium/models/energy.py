"""Energy-based models: p(x) = exp(-E(x)) / Z."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn


class EnergyModel(nn.Module, ABC):
    """A model that is its energy: p(x) = exp(-E(x)) / Z with Z = Σₓ exp(-E(x)), a softmax over all states.

    With hidden units, x = (v, h) and P(v) = Σₕ exp(-E(v, h)) / Z = exp(-F(v)) / Z, where F is the free energy.
    """

    @abstractmethod
    def energy(self, *state: Tensor) -> Tensor:
        """E(x), (batch,), nats."""

    def free_energy(self, v: Tensor) -> Tensor:
        """F(v) = -log Σₕ exp(-E(v, h)), (batch,), nats; the energy itself when there are no hidden units."""
        return self.energy(v)

    def accumulate_gradient(self, v: Tensor, weights: Tensor) -> None:
        """Add Σₙ wₙ ∂F(vₙ)/∂θ to the `.grad` of every parameter: one phase of the gradient of the likelihood.

        `v` is (batch, n_visible), `weights` (batch,). Models that know the derivative in closed form override this;
        the result is the same.
        """
        with torch.enable_grad():
            (weights * self.free_energy(v)).sum().backward()  # type: ignore[no-untyped-call]

    def reason_not_normalizable(self) -> str | None:
        """A sentence saying why Z may be infinite at the present parameters, or None when Z is known to be finite."""
        return None

    def closed_form_log_partition(self) -> Tensor | None:
        """log Z, nats, float64, where a formula gives it, otherwise None."""
        return None

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the parameters."""
        return next(self.parameters()).dtype

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.parameters()).device

    def config(self) -> dict[str, Any]:
        """What the constructor needs to build a model of the same shape (numbers and strings only)."""
        raise TypeError(f"{type(self).__name__} can't be saved: it doesn't define config().")
