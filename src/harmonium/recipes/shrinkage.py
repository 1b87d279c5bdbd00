"""How strongly to shrink the couplings, found on the validation rows while training comes to rest.

Write s for the mean over rows of the fluctuating part of the interaction, Σᵢⱼ (vᵢ-μᵢ) Wᵢⱼ (⟨hⱼ|v⟩-ηⱼ).
Scaling W by 1+ε changes the log-likelihood of a set of rows by ε (s_rows - s_model). Training with the
penalty (λ/2) Σ W² comes to rest where s_train - s_model = λ ΣW², and the likelihood of the validation rows
is stationary where s_valid - s_model = 0. Both hold for

    λ = (s_train - s_valid) / Σ W²,

in which the model's own mean, the part that is hard to know, has cancelled. It is the fixed point of
MacKay (1992) with the effective number of parameters replaced by what the validation rows say.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from harmonium.learning import WeightDecay
from harmonium.learning.phases import Phases
from harmonium.models import EnergyModel, PairwiseModel
from harmonium.recipes.rows import Rows

MANY = 20_000  # rows from which on a prior hardly matters
RANGE = 16.0  # the strength stays between what it was at first and this many times as much
PACE = 0.5  # share of the way, on a logarithmic scale, that one measurement moves it


class ValidatedDecay:
    """Weight decay whose strength follows the validation rows.

    Args:
        strength: λ to begin with, > 0.
    """

    def __init__(self, strength: float) -> None:
        self.first = self.strength = strength

    def __call__(self, model: EnergyModel, phases: Phases) -> None:
        WeightDecay(self.strength)(model, phases)

    def adapt(self, model: PairwiseModel, train: Tensor, valid: Tensor) -> None:
        """Move λ towards where shrinking `model` no longer helps the validation rows, never below the
        first.
        """
        gap, square = interaction_gap(model, train, valid)
        wanted = min(max(gap / max(square, 1e-12), self.first), self.first * RANGE)
        self.strength = float(self.strength ** (1 - PACE) * wanted**PACE)

    def state_dict(self) -> dict[str, Tensor]:
        """All that is needed to go on."""
        return {"strength": torch.tensor(self.strength, dtype=torch.float64)}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from `state_dict`."""
        self.strength = float(state["strength"])


def unseen(rows: Rows) -> float:
    """The probability that a new row is none of these: the share of those seen once (Good 1953).

    Of `MANY` rows or more it isn't counted but taken as 1.
    """
    if len(rows) >= MANY:
        return 1.0
    states = np.ascontiguousarray(rows.states().cpu().numpy())
    _, counts = np.unique(
        states.view(np.dtype((np.void, states.itemsize * states.shape[1]))), return_counts=True
    )
    return float((counts == 1).sum() / len(rows))


@torch.no_grad()
def interaction_gap(model: PairwiseModel, train: Tensor, valid: Tensor) -> tuple[float, float]:
    """(s_train - s_valid, Σ W²) of a two-block model; rows are (n, n_visible)."""
    weight = model.couplings()[0].weight
    means = [model.layers[1].mean(model.field(1, (v, v.new_empty(len(v), 0)))) for v in (train, valid)]
    centre_v, centre_h = train.mean(0), means[0].mean(0)
    s = [
        float((((v - centre_v) @ weight) * (h - centre_h)).sum(1, dtype=torch.float64).mean())
        for v, h in zip((train, valid), means, strict=True)
    ]
    return s[0] - s[1], float(weight.square().sum(dtype=torch.float64))
