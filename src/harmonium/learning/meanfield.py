"""Mean-field learning: log Z from fixed points of the magnetisations instead of samples.

Constrain the mean of every unit to m and expand in the couplings (Plefka 1982; Georges & Yedidia 1991). With
the cumulants Γ, the conjugate fields I (m = Γ'(I)) and the variances c = Γ''(I),

    log Z ≈ max over m of  Σ [Γ(I) - I m + b m] + Σ mᵢ Wᵢⱼ mⱼ + ½ Σ Wᵢⱼ² cᵢ cⱼ,

where the last term, due to Thouless, Anderson & Palmer, is left out at first order. At a fixed point

    I = b + W m + ½ (∂c/∂m) W² c

on either side, and the derivative of log Z takes the means as constants. For 0/1 units this is the training
of Gabrié, Tramel & Krzakala (2015), for other units that of Tramel et al. (2018).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from harmonium import checks
from harmonium.learning.negative_phase import NegativePhase
from harmonium.learning.particles import Particles
from harmonium.learning.phases import Phases, two_phases
from harmonium.models import EnergyModel, PairwiseModel
from harmonium.models.energy import backward
from harmonium.sampling.chains import State
from harmonium.units import Units
from harmonium.units.mixed import parts_of


class MeanField(NegativePhase):
    """Minimises ⟨F⟩_data + log Z with the mean-field log Z, averaged over persistent fixed points.

    The magnetisations start at rows of the data and go on from update to update, so that several modes are
    kept in mind. Where the couplings are strong the expansion fails: a bias that no number of updates
    removes, and at second order magnetisations that needn't settle.

    Args:
        order: 1 (naive mean-field) or 2 (TAP, with the reaction of every unit on itself).
        points: how many magnetisations are kept.
        steps: iterations of each between two updates.
        damping: share of the old field that an iteration keeps, in [0, 1).

    Attributes:
        fields: the conjugate fields I, one (points, width) tensor per block; None before the first update.
    """

    def __init__(self, order: int = 2, points: int = 100, steps: int = 3, damping: float = 0.5) -> None:
        self.order = checks.one_of("order", order, (1, 2))
        self.points = checks.positive_integer("points", points)
        self.steps = checks.positive_integer("steps", steps)
        self.damping = _damping(damping)
        self.fields: State | None = None

    def accumulate(self, model: EnergyModel, data: Particles, step: int) -> Phases:
        """Move the magnetisations on, then add the gradient; the data stand for particles."""
        machine = self._check(model)
        with torch.no_grad():
            fields = self.fields or self._start(machine, data.v)
            for _ in range(self.steps):
                fields = iterate(machine, fields, self.order, self.damping)
            self.fields = fields
        return two_phases(
            model, data, data, lambda: backward(log_partition(machine, fields, self.order).mean())
        )

    def _check(self, model: EnergyModel) -> PairwiseModel:
        machine = model.as_pairwise()
        if machine is None:
            raise TypeError(
                f"model: mean-field expects blocks with pairwise couplings, got {type(model).__name__}."
            )
        if self.order == 2 and any(part.one_hot for layer in machine.layers for part in parts_of(layer)):
            raise TypeError(
                "model: mean-field of order 2 expects units of one column, got Categorical ones; "
                "order 1 takes them."
            )
        return machine

    def _start(self, model: PairwiseModel, v: Tensor) -> State:
        """Fields on every block from rows of data, used again and again where they are few."""
        rows = v[torch.arange(self.points, device=v.device) % len(v)]
        means = model.state_of(rows)
        fields = [model.field(i, means) for i in range(len(means))]
        for i in reversed(range(len(means))):  # the visible block last, from hidden means that saw the rows
            fields[i] = model.field(i, means)
            means = tuple(model.layers[i].mean(fields[i]) if k == i else m for k, m in enumerate(means))
        return tuple(fields)

    def restart(self, model: EnergyModel, rows: Tensor) -> None:
        if self.fields is not None:
            with torch.no_grad():
                self.fields = self._start(self._check(model), rows)

    def state_dict(self) -> dict[str, Tensor]:
        return {str(i): x for i, x in enumerate(self.fields or ())}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self.fields = tuple(state[str(i)] for i in range(len(state))) or None


def _damping(damping: float) -> float:
    if checks.number("damping", damping, 0.0, 1.0) == 1.0:
        raise ValueError("damping must be below 1, got 1.0: the magnetisations would never move.")
    return damping


def iterate(model: PairwiseModel, fields: State, order: int, damping: float) -> State:
    """One damped iteration of the fixed-point equations, block after block, last to first."""
    new = list(fields)
    means = [layer.mean(field) for layer, field in zip(model.layers, new, strict=True)]
    for i in reversed(range(len(new))):
        wanted = model.field(i, tuple(means))
        if order == 2:
            wanted = wanted + _reaction(model, i, new)
        new[i] = torch.lerp(wanted, new[i], damping)
        means[i] = model.layers[i].mean(new[i])
    return tuple(new)


def _reaction(model: PairwiseModel, block: int, fields: list[Tensor]) -> Tensor:
    """½ (∂c/∂m) Σ W² c on `block`: what its units' own influence on their neighbours brings back."""
    around = torch.zeros_like(fields[block])
    for operator, i, j in model.couplings():
        if block in (i, j):
            weight = operator.dense()
            other, squares = (j, weight.T**2) if block == i else (i, weight**2)
            around = around + model.layers[other].variance(fields[other]) @ squares
    return 0.5 * _variance_slope(model.layers[block], fields[block]) * around


def _variance_slope(layer: Units, field: Tensor) -> Tensor:
    """∂c/∂m = Γ'''(I) / Γ''(I), 0 where a unit is too certain to have a variance."""
    with torch.enable_grad():
        here = field.detach().requires_grad_()
        variance = layer.variance(here)
        third = None
        if variance.requires_grad:
            (third,) = torch.autograd.grad(variance.sum(), here, allow_unused=True)
    if third is None:
        return torch.zeros_like(field)
    tiny = torch.finfo(field.dtype).tiny
    return torch.where(variance > tiny, third / variance.clamp(min=tiny), 0.0).detach()


def log_partition(model: PairwiseModel, fields: State, order: int) -> Tensor:
    """The mean-field log Z of each set of fields, (points,), nats; its gradient takes the means as
    constants.
    """
    means = [layer.mean(field).detach() for layer, field in zip(model.layers, fields, strict=True)]
    total = fields[0].new_zeros(len(fields[0]))
    variances = []
    for layer, field, mean in zip(model.layers, fields, means, strict=True):
        conjugate = _at_mean(layer, field.detach(), mean)
        total = total + layer.cumulant(conjugate).sum(-1) - (conjugate * mean).sum(-1) + mean @ layer.bias
        variances.append(layer.variance(conjugate))
    for operator, i, j in model.couplings():
        total = total + operator.pairing(means[i], means[j])
        if order == 2:
            total = total + 0.5 * ((variances[i] @ operator.dense() ** 2) * variances[j]).sum(-1)
    return total


def _at_mean(layer: Units, field: Tensor, mean: Tensor) -> Tensor:
    """The field, as a function of the shape of the units that keeps their mean: its value doesn't change."""
    if not any(name != "bias" for name, _ in layer.named_parameters()):
        return field
    variance = layer.variance(field).detach()
    return field - (layer.mean(field) - mean) / variance.clamp(min=torch.finfo(field.dtype).tiny)
