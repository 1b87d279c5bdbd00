"""Learning some visible variables given the others, exactly, and both that and all of them together.

With v = (x, y) and y of finitely many states,

    -∂ log P(y | x)/∂θ = ∂F(x, y)/∂θ - Σ_y' P(y' | x) ∂F(x, y')/∂θ,

a negative phase over the row with every state of y, each with its probability: Z has cancelled (Larochelle
& Bengio 2008, "Classification using discriminative restricted Boltzmann machines").
"""

from __future__ import annotations

import torch
from torch import Tensor

from harmonium import checks
from harmonium.learning.negative_phase import NegativePhase
from harmonium.learning.particles import Particles
from harmonium.models import EnergyModel
from harmonium.sampling import Chains, Kernel


def completions(v: Tensor, columns: slice | Tensor, values: Tensor) -> Tensor:
    """Every row with each of these values in its columns, (rows · states, n_visible), row by row.

    >>> completions(torch.zeros(1, 3), slice(1, 3), torch.eye(2)).tolist()
    [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    full = v.repeat_interleave(len(values), 0)
    full[:, columns] = values.to(v).repeat(len(v), 1)
    return full


def completion_log_probabilities(
    model: EnergyModel, v: Tensor, columns: slice | Tensor, values: Tensor
) -> Tensor:
    """log P(v_A = value | all other visible variables) of every row and value, (rows, states), nats.

    Args:
        model: one with a free energy.
        v: visible states, (rows, n_visible); what they hold in these columns doesn't matter.
        columns: of v_A.
        values: all its states, (states, columns); of a real variable points at equal distances, for which the
            probabilities are densities times the distance.
    """
    energies = model.free_energy(completions(v, columns, values)).view(len(v), len(values))
    return torch.log_softmax(-energies, 1)


class ConditionalCompletions(NegativePhase):
    """The negative phase of -log P(v_A | v_B): each row of the batch with every state of v_A.

    Args:
        columns: of v_A, a slice or a mask, bool, (n_visible,).
        values: all its states, (states, columns).

    >>> import harmonium as hm
    >>> from harmonium.learning import equally_weighted
    >>> rbm = hm.RBM(visible=hm.Bernoulli(3), hidden=hm.Bernoulli(2))
    >>> phase = ConditionalCompletions(slice(2, 3), torch.tensor([[0.0], [1.0]]))
    >>> phase.draw(rbm, equally_weighted(torch.zeros(4, 3)), step=0).v.shape
    torch.Size([8, 3])
    """

    divides = True
    summed = True

    def __init__(self, columns: slice | Tensor, values: Tensor) -> None:
        self.columns, self.values = columns, checks.matrix("values", values)

    @torch.no_grad()
    def draw(self, model: EnergyModel, data: Particles, step: int) -> Particles:
        """The completions of the batch, each with the weight of its row times its probability."""
        full = completions(data.v, self.columns, self.values)
        energies = model.free_energy(full).view(len(data.v), len(self.values))
        p = torch.softmax(-energies, 1) * data.weights[:, None]
        return Particles((full,), p.flatten())


class HybridNegatives(NegativePhase):
    """The negative phase of (1 - share) (-log P(v_A | v_B)) + share (-log P(v)): the generative part keeps
    the discriminative one from overfitting (Larochelle & Bengio 2008, whose α is share / (1 - share)).

    Args:
        conditional: negative phase of the first part.
        joint: negative phase of the second part, which draws particles.
        share: of the second part, from 0 to 1.
    """

    def __init__(self, conditional: NegativePhase, joint: NegativePhase, share: float) -> None:
        self.conditional, self.joint = conditional, joint
        self.share = checks.fraction("share", share)

    @property
    def n(self) -> int | None:  # type: ignore[override]  # that of the part that draws
        """Particles of the joint part."""
        return self.joint.n

    @property
    def chains(self) -> Chains | None:  # type: ignore[override]
        """Those of the joint part."""
        return self.joint.chains

    @property
    def summed(self) -> bool:  # type: ignore[override]
        """As the first part is."""
        return self.conditional.summed

    @property
    def divides(self) -> bool:  # type: ignore[override]
        """As both parts do."""
        return self.conditional.divides and self.joint.divides

    def begin(self, model: EnergyModel, rows: Tensor) -> None:
        self.joint.begin(model, rows)

    def move_by(self, kernel: Kernel | None) -> None:
        self.joint.move_by(kernel)

    def draw(self, model: EnergyModel, data: Particles, step: int) -> Particles:
        parts = self.conditional.draw(model, data, step), self.joint.draw(model, data, step)
        weights = (1.0 - self.share) * parts[0].weights, self.share * parts[1].weights.to(parts[0].weights)
        return Particles((torch.cat([part.v for part in parts]),), torch.cat(weights))

    def restart(self, model: EnergyModel, rows: Tensor) -> None:
        self.joint.restart(model, rows)

    def state_dict(self) -> dict[str, Tensor]:
        return self.joint.state_dict()

    def load_state_dict(self, state: dict[str, Tensor]) -> None:  # type: ignore[override]
        self.joint.load_state_dict(state)
