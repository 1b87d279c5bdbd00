"""A distribution that needs no energy, and the path from it to any model."""

from __future__ import annotations

import math
from functools import singledispatch

import torch
from torch import Tensor

from harmonium.models.blocks import BlockModel
from harmonium.models.derived import Derived, PathPoint
from harmonium.models.energy import EnergyModel, check_energies
from harmonium.models.graph import GraphModel
from harmonium.models.pairwise import independent
from harmonium.models.path import Interpolation
from harmonium.models.space import Discrete, Space
from harmonium.models.uncoupled import UncoupledRows
from harmonium.numerics import HALF_LOG_TWO_PI
from harmonium.random import Address
from harmonium.units import Units


class Reference(Derived[EnergyModel]):
    """Independent variables over the spaces of `model`, as their random states are drawn.

    Uniform over finitely many states and between two bounds, exponential from a single bound, standard normal
    without any; log Z is known. The usual start of an annealed path to a model that has no better one.

    """

    @property
    def visible_space(self) -> Space | Units:
        """The space of the visible variables of the model."""
        return self._of[0].visible_space

    @property
    def hidden_space(self) -> Discrete | None:  # type: ignore[override]  # derived, a plain attribute elsewhere
        """The space of the hidden variables of the model."""
        return self._of[0].hidden_space

    def random_state(self, chains: int, address: Address) -> tuple[Tensor, ...]:
        """Exact draws."""
        return self._of[0].state_of_spaces(chains, address)

    def energy(self, *state: Tensor) -> Tensor:
        """0 where the reference is uniform, the distance from a single bound, x²/2 without bounds; (batch,),
        nats.
        """
        return self._site_energies(state[0]).sum(1)

    @property
    def uniform(self) -> bool:  # type: ignore[override]  # derived, a plain attribute elsewhere
        return self.visible_space.bounds is None

    def _site_energies(self, x: Tensor) -> Tensor:
        if self.uniform:
            return x.new_zeros(len(x), 1)
        low, high = (bound.to(x) for bound in self.visible_space.bounds or ())
        above, below = torch.isfinite(low), torch.isfinite(high)
        tail = torch.where(above, x - low, high - x)
        tail = torch.where(above & below, torch.zeros_like(x), tail)
        return torch.where(above | below, tail, 0.5 * x**2)

    def closed_form_log_partition(self) -> Tensor:
        """log Z = Σ log(number of states), Σ log(high - low), 0 from a single bound, ½ log 2π without any."""
        total = 0.0
        for space in (self.visible_space, self.hidden_space):
            if space is not None and space.bounds is not None:
                total += sum(_log_spans(*space.bounds))
            elif space is not None:
                total += math.log(space.n_states)  # type: ignore[arg-type]  # finite, or nothing could be drawn
        return torch.tensor(total, dtype=torch.float64)

    def part(self, rows: Tensor) -> Reference:
        """The same for some rows: itself, since all are alike."""
        return self

    def clamped_log_partitions(self, v: Tensor, held: Tensor, free: Tensor) -> Tensor:
        """log Σ exp(-E) over the free visible sites, bool (rows, sites), and all hidden units, with the
        columns `held`, bool (rows, n_visible), at `v`; (rows,), float64, nats.
        """
        space, hidden = self.visible_space, self.hidden_space
        if space.bounds is not None:
            spans = _log_spans(*space.bounds)
        elif space.cardinalities:
            spans = [math.log(count) for count in space.cardinalities]
        else:  # units of one kind, with finitely many states
            spans = [math.log(space.n_states or 1) / free.shape[1]] * free.shape[1]
        own = torch.where(free, torch.tensor(spans, dtype=torch.float64, device=v.device), 0.0).sum(1)
        known = torch.where(held, self._site_energies(v), 0.0).double().sum(1)
        return own - known + (0.0 if hidden is None else math.log(hidden.n_states))


def _log_spans(lowest: Tensor, highest: Tensor) -> list[float]:
    return [_log_span(low, high) for low, high in zip(lowest.tolist(), highest.tolist(), strict=True)]


def _log_span(low: float, high: float) -> float:
    if math.isfinite(low) and math.isfinite(high):
        return math.log(high - low)
    return 0.0 if math.isfinite(low) or math.isfinite(high) else HALF_LOG_TWO_PI


class Path(PathPoint[EnergyModel]):
    """The model with energy (1-β) E₀ + β E₁ for two energies over the same spaces; β a number or one per row.

    What `Interpolation` is for models with blocks, this is for all others.
    """

    @property
    def visible_space(self) -> Space | Units:
        """The space of the visible variables."""
        return self.ends[1].visible_space

    @property
    def hidden_space(self) -> Discrete | None:  # type: ignore[override]  # derived, a plain attribute elsewhere
        """The space of the hidden variables."""
        return self.ends[1].hidden_space

    def random_state(self, chains: int, address: Address) -> tuple[Tensor, ...]:
        return self.ends[1].random_state(chains, address)

    def graph_at(self) -> tuple[GraphModel, Tensor | None] | None:
        found = self.ends[1].graph_at() if self.ends[0].uniform else None
        if found is None or found[1] is not None:
            return None
        return found[0], torch.as_tensor(self.beta, dtype=torch.float64)

    def checked_energy(self, *state: Tensor) -> Tensor:
        """`energy`, with the checks of both ends."""
        for model in self.ends:
            check_energies(model, model.energy(*state), state)
        return self.energy(*state)

    def energy(self, *state: Tensor) -> Tensor:
        start, end = (model.energy(*state) for model in self.ends)
        beta = torch.as_tensor(self.beta, dtype=end.dtype, device=end.device).flatten()
        if len(beta) not in (1, len(end)):
            raise ValueError(
                f"beta: expected one number, or one for each of {len(end)} rows, got {len(beta)}."
            )
        # a forbidden state of the end is forbidden from the first step on, and 0·inf is not NaN
        return torch.where(beta > 0, start + beta * (end - start), start)


@singledispatch
def uncoupled(model: EnergyModel) -> EnergyModel:
    """Independent variables, where paths to `model` usually begin: its units with their own biases, sharing
    their parameters, where it names blocks, its `Reference` otherwise.
    """
    return Reference(model)


uncoupled.register(BlockModel)(independent)


@singledispatch
def uncoupled_rows(model: EnergyModel, given: Tensor) -> UncoupledRows | Reference:
    """The same for rows with known values, (rows, n_visible), NaN where free: units of a model with blocks
    feel them already.
    """
    return Reference(model)


@uncoupled_rows.register(BlockModel)
def _(model: BlockModel, given: Tensor) -> UncoupledRows:
    return UncoupledRows.of(model, given)


@singledispatch
def path_between(end: EnergyModel, start: EnergyModel, beta: float | Tensor) -> Path | Interpolation:
    """The point β of the path from `start` to `end`."""
    return Path(start, end, beta)


@path_between.register(BlockModel)
def _(end: BlockModel, start: BlockModel, beta: float | Tensor) -> Interpolation:
    return Interpolation(start, end, beta)


def path_to(model: EnergyModel) -> Path | Interpolation:
    """The path from independent variables (β = 0) to `model` (β = 1), at its start; `.at(β)` moves along
    it.
    """
    return path_between(model, uncoupled(model), 0.0)
