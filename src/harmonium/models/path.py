"""Arithmetic on energies: a point (1-β) E₀ + β E₁ of the path between two models is a model again."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from harmonium.models.blocks import Bipartite, BlockModel, State
from harmonium.models.derived import PathPoint
from harmonium.models.pairwise import PairwiseModel
from harmonium.units import Units


class Interpolation(PathPoint[BlockModel], BlockModel):
    """The model with energy (1-β) E₀ + β E₁, for two models over the same blocks.

    `beta` is a number, or a (batch, 1) tensor that puts every chain at a temperature of its own. Since both
    energies are linear in each block given the rest, so is their mixture: its fields are mixtures of fields,
    its units have mixed potentials. Whatever samples or integrates block models works on it.
    """

    def __init__(self, start: BlockModel, end: BlockModel, beta: float | Tensor) -> None:
        super().__init__(start, end, beta)
        if [layer.config() for layer in start.layers] != [layer.config() for layer in end.layers]:
            raise ValueError("start, end: expected models over the same layers of units, got different ones.")
        self.n_visible_blocks = end.n_visible_blocks
        self._units = tuple(
            start.conditional_units(i).interpolate(end.conditional_units(i), beta)
            for i in range(len(end.layers))
        )

    @property
    def layers(self) -> Sequence[Units]:
        return self.ends[1].layers

    def conditional_units(self, block: int) -> Units:
        return self._units[block]

    def _mix(self, a: Tensor, b: Tensor, beta: float | Tensor) -> Tensor:
        return a + beta * (b - a)

    def field(self, block: int, state: State) -> Tensor:
        start, end = self.ends
        return self._mix(start.field(block, state), end.field(block, state), self.beta)

    def bipartite(self) -> Bipartite | None:
        """The end's coupling at β, where the path starts from independent units."""
        start, end = self.ends[0], self.ends[1].bipartite()
        if end is None or end.base is not None or type(start).field is not PairwiseModel.field:
            return None
        independent = start.as_pairwise()
        if independent is None or independent.couplings():
            return None
        base = start.layers[0].bias, start.layers[1].bias
        bias = end.bias[0] - base[0], end.bias[1] - base[1]
        beta = torch.as_tensor(self.beta, dtype=end.weight.dtype, device=end.weight.device)
        return Bipartite(end.weight, bias, base, beta.reshape(-1, 1))

    def energy_without(self, block: int, state: State) -> Tensor:
        beta = self.beta.squeeze(-1) if isinstance(self.beta, Tensor) else self.beta
        start, end = self.ends
        return self._mix(start.energy_without(block, state), end.energy_without(block, state), beta)

    def reason_not_normalizable(self) -> str | None:
        """Why Z may be infinite at one of the ends: where both are finite, so is all between them."""
        return next((reason for end in self.ends if (reason := end.reason_not_normalizable())), None)
