"""Couplings between Gaussian units of both blocks of a machine."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from harmonium.models.energy import EnergyModel
from harmonium.units import Units
from harmonium.units.mixed import parts_of


class RealCouplings(NamedTuple):
    """The couplings between the Gaussian units of two fully coupled layers.

    In units of the precisions they are S = γ^(-1/2) W γ^(-1/2), and Z ends where a singular value of S is 1.

    Attributes:
        weight: W of all units of both layers, sharing memory with the model.
        rows, columns: places of the Gaussian ones in it.
        precisions: γ of the Gaussian units of both layers.
    """

    weight: Tensor
    rows: Tensor
    columns: Tensor
    precisions: tuple[Tensor, Tensor]

    @property
    def block(self) -> Tensor:
        """W of the Gaussian units alone, (rows, columns)."""
        return self.weight[self.rows[:, None], self.columns]

    @property
    def scaled(self) -> Tensor:
        """S, likewise."""
        return self.block / self._scale

    def take(self, scaled: Tensor) -> None:
        """Set S."""
        self.weight[self.rows[:, None], self.columns] = self._scale * scaled

    @property
    def _scale(self) -> Tensor:
        a, b = self.precisions
        return (a[:, None] * b).sqrt()


def real_couplings(model: EnergyModel) -> RealCouplings | None:
    """Those of a model of two fully coupled blocks, None where there are none."""
    machine = model.as_pairwise()
    pair = None if machine is None else machine.pair()
    if pair is None or not pair.operator.full:
        return None
    visible, hidden = (_gaussians(layer) for layer in (pair.visible, pair.hidden))
    if visible is None or hidden is None:
        return None
    weight = pair.operator.tensors()[0].detach()
    return RealCouplings(weight, visible[0], hidden[0], (visible[1], hidden[1]))


def _gaussians(layer: Units) -> tuple[Tensor, Tensor] | None:
    """(Columns of the Gaussian units of a layer, their γ), None where there are none."""
    places, precisions, start = [], [], 0
    for part in parts_of(layer):
        precision = part.normal_precision
        if precision is not None:
            places.append(torch.arange(start, start + part.width, device=precision.device))
            precisions.append(precision.detach())
        start += part.width
    return (torch.cat(places), torch.cat(precisions)) if places else None
