"""What is known of a model, and the draws that exact samples are made of."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from harmonium import checks, kernels
from harmonium.models import EnergyModel
from harmonium.random import Address, Purpose

MOST = 2**14  # units of a model, rows and columns

Draw = Callable[[int, int], Tensor]
"""(number of rows, seed) -> exact independent visible rows."""


@dataclass(frozen=True)
class KnownModel:
    """A model and the truth about it.

    Attributes:
        model: the model.
        log_partition: log Z, nats.
        mean: E[v] of the visible states, (n_visible,), float64; None where it isn't known.
        mean_energy: E[E(x)] over all variables, hidden ones too, nats; None where it isn't known.
        draw: how exact rows are drawn, see `sample`; None where they can't be.
    """

    model: EnergyModel
    log_partition: float
    mean: Tensor | None = None
    mean_energy: float | None = None
    draw: Draw | None = None

    def sample(self, n: int, seed: int = 0) -> Tensor:
        """Exact, independent visible rows, (n, n_visible), of the model's type.

        Raises:
            ValueError: exact rows of this model can't be drawn.
        """
        checks.positive_integer("n", n)
        if self.draw is None:
            raise ValueError("model: exact samples of it can't be drawn; its log Z and moments are known.")
        return self.draw(n, checks.seed("seed", seed)).to(next(iter(self.model.parameters())).dtype)


def check(counts: Mapping[str, Any], numbers: Mapping[str, Any]) -> None:
    """Refuse counts that aren't whole, positive and at most `MOST`, and numbers that aren't finite.

    Raises:
        TypeError, ValueError: naming the argument.
    """
    for name, value in counts.items():
        checks.integer(name, value, 1, MOST)
    for name, value in numbers.items():
        checks.number(name, value)


def uniforms(seed: int, step: int, rows: int, columns: int) -> Tensor:
    """Uniform numbers in (0, 1), (rows, columns), float64; different steps have nothing to do with each
    other.
    """
    return kernels.uniform(Address(seed, Purpose.TRIAL, step=step), (rows, columns), torch.float64)


def normal(seed: int, *shape: int) -> Tensor:
    """Standard normal numbers at an address of their own, float32."""
    return torch.special.ndtri(uniforms(seed, 0, shape[0], math.prod(shape[1:]))).float().reshape(shape)


def chosen(weights: Tensor, u: Tensor) -> Tensor:
    """An index for each uniform number, in proportion to the weights of its row, (n, k) or (1, k)."""
    cumulative = weights.double().cumsum(-1)
    at = (u * cumulative[..., -1])[:, None]
    return torch.searchsorted(cumulative.expand(len(u), -1).contiguous(), at)[:, 0].clamp(
        max=weights.shape[-1] - 1
    )
