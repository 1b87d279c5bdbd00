"""The positive phase by mean field: hidden layers at their means, as if independent given the row."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from harmonium.models import EnergyModel


class MeanCells:
    """Fills in, in place of `FreeCells`, the means that `model.mean_of_latent` has for the cells of a whole
    row that no table holds (Salakhutdinov & Hinton 2009).

    The gradient of -mean_field_free_energy(v) - log Z, a lower bound of log P(v), is had without noise and
    without chains, but it isn't that of log P(v).
    """

    @torch.no_grad()
    def fill(self, model: EnergyModel, v: Tensor, rows: np.ndarray, step: int) -> Tensor:
        """The rows with these means; arguments are those of `FreeCells.fill`."""
        return model.mean_of_latent(v)

    def forget(self) -> None:
        """Nothing: means depend on the row and the model alone."""

    def state_dict(self) -> dict[str, Tensor]:
        """Nothing is to be remembered."""
        return {}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from `state_dict`."""
