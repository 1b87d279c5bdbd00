"""Persistent chains for log P(v_A | v_B): one for each row of data, with v_B clamped at what the row has.

    -∂ log P(v_A | v_B)/∂θ = ∂F(v)/∂θ - ⟨∂F(v)/∂θ⟩ over P(v_A | v_B),

a negative phase of its own for each row. The chain of a row begins at the row and goes on whenever that is in
a batch, so that chains follow the model as those of `PersistentChains` do (Younes 1989; Mnih, Larochelle &
Hinton 2011 on why conditional machines shouldn't be trained by contrastive divergence).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from harmonium import checks
from harmonium.learning.negative_phase import NegativePhase
from harmonium.learning.negatives import STRIDE
from harmonium.learning.particles import Particles
from harmonium.models import EnergyModel
from harmonium.random import Address, Purpose
from harmonium.sampling import Chains
from harmonium.sampling.free import moved


class ConditionalChains(NegativePhase):
    """The negative phase of -log P(v_A | v_B), by chains.

    Args:
        held: which columns are given, B, bool, (n_visible,).
        k: sweeps each time that a row is in a batch.
        seed: of the draws; those of a row live at its number.

    >>> import harmonium as hm
    >>> from harmonium.learning import equally_weighted
    >>> rbm = hm.RBM(visible=hm.Bernoulli(3), hidden=hm.Bernoulli(2))
    >>> phase = ConditionalChains(torch.tensor([False, False, True]))
    >>> phase.draw(rbm, equally_weighted(torch.ones(4, 3)), step=0).v[:, 2].tolist()
    [1.0, 1.0, 1.0, 1.0]
    """

    k: int

    def __init__(self, held: Tensor, k: int = 2, seed: int = 0) -> None:
        self.held = held
        self.k = checks.positive_integer("k", k)
        self.seed = checks.seed("seed", seed)
        self.values = torch.empty(0, int((~held).sum()))  # of every row seen, NaN before it is

    @torch.no_grad()
    def draw(self, model: EnergyModel, data: Particles, step: int) -> Particles:
        """The rows of the batch, with v_A drawn given v_B; batches without numbers have chains that begin
        anew.
        """
        numbers = np.arange(len(data.v)) if data.rows is None else data.rows
        free = ~self.held.to(data.v.device)
        x = data.v.clone()
        if data.rows is not None:
            kept = self._kept(numbers, data.v)
            x[:, free] = torch.where(torch.isnan(kept), x[:, free], kept)
        address = Address(self.seed, Purpose.CHAIN, step=step * STRIDE, chain=numbers)
        chains = Chains(model.state_of(x), address)
        chains = moved(model, chains, free.expand(x.shape), self.k)
        if data.rows is not None:
            self.values[torch.from_numpy(numbers)] = chains.visible[:, free].to(self.values)
        return Particles(chains.state, data.weights)

    def _kept(self, numbers: np.ndarray, like: Tensor) -> Tensor:
        """The states of the chains of these rows, (batch, columns of A); there is room for rows as they
        come.
        """
        missing = int(numbers.max()) + 1 - len(self.values)
        if missing > 0:
            room = like.new_full((max(missing, len(self.values)), self.values.shape[1]), torch.nan)
            self.values = torch.cat([self.values.to(like), room])
        return self.values[torch.from_numpy(numbers)].to(like)

    def restart(self, model: EnergyModel, rows: Tensor) -> None:
        self.values = self.values[:0]

    def state_dict(self) -> dict[str, Tensor]:
        return {"values": self.values, "k": torch.tensor(self.k)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self.values, self.k = state["values"].clone(), int(state["k"])
