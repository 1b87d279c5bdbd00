"""Energy-based models: p(x) = exp(-E(x)) / Z."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn

from harmonium import checks, kernels
from harmonium.columns import Schema
from harmonium.couplings.base import StepSize, no_step
from harmonium.models import visible_sums
from harmonium.models.exact_draws import from_visible_states
from harmonium.models.objective import Objective
from harmonium.models.quadrature import log_integral
from harmonium.models.space import Continuous, Discrete, Space
from harmonium.models.structure import Structure
from harmonium.models.visible_sums import (
    free_energy_by_enumeration,
    log_sum_over_visible,
    visible_states,
)
from harmonium.random import Address
from harmonium.units import Units
from harmonium.units.mixed import same_columns

if TYPE_CHECKING:
    pass

VISIBLE_STATES = 2**22  # up to this many, log Z is summed when it is asked for


Same = TypeVar("Same", bound="EnergyModel")  # models of one kind


class EnergyModel(Structure, nn.Module, ABC):
    """A model that is its energy: p(x) = exp(-E(x)) / Z with Z = Σₓ exp(-E(x)), a softmax over all states.

    With hidden units, x = (v, h) and P(v) = Σₕ exp(-E(v, h)) / Z = exp(-F(v)) / Z, where F is the free
    energy.

    A model of your own declares where its variables live and writes `energy`; probability, samples, gradient,
    learning and likelihood follow. Discrete variables reach `energy` as whole numbers 0 … q-1 in the dtype of
    the model (use `x.long()` to index with them); the sum becomes an integral where they are continuous.

    Args:
        states: the number of states of every visible variable, for discrete ones.
        bounds: (low, high) of every visible variable, for continuous ones; infinite bounds are allowed.
        hidden_states: the number of states of every hidden variable, if there are any: `energy` then takes
            (v, h).

    Raises:
        TypeError, ValueError: when the space is declared twice, or a number of states or a bound makes no
            sense.

    A ring of spins, in a few lines:

    >>> import harmonium as hm
    >>> class Ring(hm.EnergyModel):
    ...     def __init__(self, n):
    ...         super().__init__(states=[2] * n)
    ...         self.coupling = nn.Parameter(torch.tensor(0.5))
    ...     def energy(self, x):
    ...         spin = 2 * x - 1
    ...         return -self.coupling * (spin * spin.roll(1, dims=1)).sum(1)
    >>> ring = Ring(5)
    >>> f"{ring.probabilities()[0]:.4f}"
    '0.2045'
    >>> hm.sample(ring, 3).shape
    torch.Size([3, 5])
    """

    _visible_space: Space | None = None
    hidden_space: Discrete | None = None
    columns: tuple[str, ...] | None = None
    """Names of the columns that the model was trained on, by which later tables are matched; None forgets."""

    context: slice | None = None
    """Visible columns that are always given and never modelled; P(v) is then P(the others | the context)."""

    _schema: Schema | None = None

    def __init__(
        self,
        *,
        states: Sequence[int] | None = None,
        bounds: Sequence[Any] | None = None,
        hidden_states: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        if states is not None and bounds is not None:
            raise ValueError("states, bounds: expected one of them, got both.")
        if states is not None:
            self._visible_space = Discrete(states)
        if bounds is not None:
            self._visible_space = Continuous(bounds)
        if hidden_states is not None:
            if self._visible_space is None:
                raise ValueError(
                    "hidden_states: expected `states` or `bounds` of the visible variables as well."
                )
            self.hidden_space = Discrete(hidden_states, "hidden_states")

    @abstractmethod
    def energy(self, *state: Tensor) -> Tensor:
        """E(x), (batch,), nats."""

    def checked_energy(self, *state: Tensor) -> Tensor:
        """`energy`, and a ValueError when it has another shape than (batch,), is NaN or falls to -inf.

        +inf is a state of probability zero. All that is derived from an energy comes through here.
        """
        return check_energies(self, self.energy(*state), state)

    @property
    def visible_space(self) -> Space | Units:
        """Where the visible variables live."""
        if self._visible_space is None:
            raise TypeError(
                f"{type(self).__name__}: expected a declared space, super().__init__(states=[2, 2, 3]) or "
                "(bounds=[(0, 1), (-1, 1)]), got none."
            )
        return self._visible_space

    @property
    def objective(self) -> Objective | None:
        """What `hm.fit` makes large; None for log P(v)."""
        return None

    @property
    def observed_space(self) -> Space | Units:
        """Where the columns of a table live: all visible variables, but for models whose visible block has
        further ones after them. The cells of these are empty in every row.
        """
        return self.visible_space

    def of_observed(self) -> EnergyModel:
        """The part of the model that a fresh start is made for: the observed variables and what they are
        coupled to.
        """
        return self

    @property
    def schema(self) -> Schema | None:
        """What the columns of a table are, so that the model takes and gives tables; None for plain numbers.

        Setting it keeps a copy that can't be edited, and names `columns` by it. A ValueError says where its
        columns need other units than the visible ones.
        """
        return self._schema

    @schema.setter
    def schema(self, schema: Any) -> None:
        if schema is not None:
            if not isinstance(schema, Schema):
                raise TypeError(f"schema must be a hm.Schema or None, got {checks.describe(schema)}.")
            mine, needed = self.observed_space, schema.units()
            if not same_columns(mine, needed):
                raise ValueError(
                    f"schema must be one of the visible units of the model, got one for {needed}:"
                    " make the model with schema.units()."
                )
            schema = schema.fixed()
            self.columns = schema.columns
        self._schema = schema

    # -- probabilities ---------------------------------------------------------------------------------------

    def has_free_energy(self) -> bool:
        """Whether `free_energy` can be had without sampling: nothing is hidden, or few enough states to
        sum.
        """
        return self.hidden_space is None or self.hidden_space.n_states <= visible_sums.HIDDEN_STATES

    def free_energy(self, v: Any) -> Tensor:
        """F(v) = -log Σₕ exp(-E(v, h)), (batch,), nats; the energy itself when there are no hidden units.

        Derived by enumeration here; models that know better override it.

        Raises:
            ValueError: when there are too many hidden states to sum.
        """
        v = self._visible_rows(v)
        if self.hidden_space is None:
            return self.checked_energy(v)
        return free_energy_by_enumeration(self, v, self.hidden_space)

    def _visible_rows(self, v: Any, name: str = "v") -> Tensor:
        """Rows of any kind as a tensor; one is taken as it is, so that training pays nothing for it."""
        if isinstance(v, Tensor):
            return checks.real(name, v)
        from harmonium.models.intake import features_of  # which itself asks models

        return features_of(self, v, name)

    def _hidden_rows(self, h: Any, name: str = "h") -> Tensor:
        """The same for hidden states."""
        if isinstance(h, Tensor):
            return checks.real(name, h)
        from harmonium.models.intake import hidden_of

        return hidden_of(self, h, name)

    @torch.no_grad()
    def probabilities(self) -> Tensor:
        """P of every visible state, (n_states,), float64, in the order of `visible_space.states`.

        Raises:
            ValueError: when there are more than 2²⁴ states.
        """
        log_p = -torch.cat([energy for _, energy in visible_states(self)])
        return torch.softmax(log_p, 0)

    def closed_form_log_partition(self) -> Tensor | None:
        """log Z, nats, float64, where a sum or an integral gives it, otherwise None.

        A sum over up to 2²² visible states, or the integral over a box of one or two dimensions (to 1e-6).
        """
        space = self._visible_space
        if space is None or not self.has_free_energy():
            return None
        if space.bounds is not None:
            bounded = all(bool(torch.isfinite(bound).all()) for bound in space.bounds)
            if not bounded or not 1 <= space.width <= 2:
                return None
            return log_integral(self.free_energy, *space.bounds, self.dtype, self.device)
        return log_sum_over_visible(self) if (space.n_states or 0) <= VISIBLE_STATES else None

    @property
    def normaliser(self) -> EnergyModel:
        """The model whose Z is this one's."""
        return self

    def downwards(self, x: Tensor, address: Address) -> Tensor:
        """Visible states from visible states of the `normaliser`, (batch, n_visible)."""
        return x

    def softened(self) -> EnergyModel:
        """The model with finite penalties in place of its constraints; itself without any."""
        return self

    def exact_sample(self, n: int, address: Address, given: Tensor | None = None) -> Tensor | None:
        """Independent visible states, (n, n_visible), where that is cheap, otherwise None: here, where up to
        2¹⁸ states can be enumerated.

        Args:
            n: how many.
            address: where they are drawn.
            given: values with NaN where free, for all rows (n_visible,) or for each (n, n_visible).

        Raises:
            ValueError: no state agrees with what is given.
        """
        return from_visible_states(self, n, address, given)

    def reason_not_normalizable(self) -> str | None:
        """A sentence saying why Z may be infinite at the present parameters, or None when Z is known to be
        finite.
        """
        return None

    # -- learning --------------------------------------------------------------------------------------------

    def accumulate_gradient(self, v: Tensor, weights: Tensor) -> None:
        """Add Σₙ wₙ ∂F(vₙ)/∂θ to the `.grad` of every parameter: one phase of the gradient of the likelihood.

        `v` is (batch, n_visible), `weights` (batch,). Models that know the derivative in closed form override
        this; the result is the same.
        """
        with torch.enable_grad():
            backward((weights * self.free_energy(v)).sum())

    def accumulate_joint_gradient(self, state: tuple[Tensor, ...], weights: Tensor) -> None:
        """Add Σₙ wₙ ∂E(xₙ)/∂θ over joint states x = (v, h): a phase for models whose free energy can't be
        summed.

        Since ∂F(v)/∂θ = ⟨∂E(v, h)/∂θ⟩ over P(h | v), samples of h given v, or any other means of that
        average, take the place of the sum.
        """
        with torch.enable_grad():
            backward((weights * self.checked_energy(*state)).sum())

    def accumulate_expected_gradient(self, weight: float = 1.0) -> None:
        """Add weight · ⟨∂F/∂θ⟩ over P(v) to the gradients, exactly: the negative phase without samples.

        Raises:
            ValueError: there are too many visible states to enumerate.
        """
        probabilities, begin = self.probabilities(), 0
        for v, _ in visible_states(self):
            self.accumulate_gradient(v, weight * probabilities[begin : begin + len(v)].to(v))
            begin += len(v)

    def accumulate_phase(self, state: tuple[Tensor, ...], weights: Tensor) -> None:
        """Add one phase of the gradient from joint states, summing the hidden variables out where that is
        possible.

        What learning calls for data and for negative particles alike; `state` may be (v,) where the model has
        its free energy.
        """
        if len(weights) > kernels.ROWS:
            self._accumulate_in_blocks(state, weights)
        elif self.has_free_energy():
            self.accumulate_gradient(state[0], weights)
        else:
            self.accumulate_joint_gradient(state, weights)

    def _accumulate_in_blocks(self, state: tuple[Tensor, ...], weights: Tensor) -> None:
        """The same block by block, whose sums are added up in float64."""
        learned = [p for p in self.parameters() if p.requires_grad]
        before = [p.grad for p in learned]
        totals = [torch.zeros_like(p, dtype=torch.float64) for p in learned]
        for *part, share in zip(*(x.split(kernels.ROWS) for x in (*state, weights)), strict=True):
            for p in learned:
                p.grad = None
            self.accumulate_phase(tuple(part), share)
            for p, total in zip(learned, totals, strict=True):
                if p.grad is not None:
                    total += p.grad
        for p, grad, total in zip(learned, before, totals, strict=True):
            p.grad = total.to(p.dtype) if grad is None else grad.add_(total)

    def settle(self, step: StepSize = no_step) -> None:
        """What follows each step of training, of these sizes: exact zeros, ties, proximal steps."""

    def with_learned_zeros(self) -> list[Tensor]:
        """Those of the parameters in which training makes zeros that are exact. None here."""
        return []

    # -- states ----------------------------------------------------------------------------------------------

    def random_state(self, chains: int, address: Address) -> tuple[Tensor, ...]:
        """One state per chain, (visible,) or (visible, hidden), to begin with."""
        return self.state_of_spaces(chains, address)

    def state_of_spaces(self, chains: int, address: Address) -> tuple[Tensor, ...]:
        """The same, drawn from the spaces of the variables alone, as the `Reference` of the model is."""
        space = self.visible_space
        visible = space.random(chains, address, self.dtype, self.device)
        if self.hidden_space is None:
            return (visible,)
        later = address.at(unit=address.unit + -(-space.width // 4) * 4)
        return visible, self.hidden_space.random(chains, later, self.dtype, self.device)

    def state_of(self, v: Tensor) -> tuple[Tensor, ...]:
        """A state whose visible part is `v`; hidden variables are in their state 0."""
        if self.hidden_space is None:
            return (v,)
        return v, v.new_zeros(len(v), self.hidden_space.width)

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the parameters; float32 when there are none."""
        return next((p.dtype for p in self.parameters()), torch.float32)

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next((p.device for p in self.parameters()), torch.device("cpu"))

    def config(self) -> dict[str, Any]:
        """What the constructor needs to build a model of the same shape (numbers and strings only)."""
        raise TypeError(f"{type(self).__name__} can't be saved: it doesn't define config().")


def backward(total: Tensor) -> None:
    """Accumulate the gradient of `total`, unless nothing in it can be learned."""
    if total.requires_grad:
        total.backward()


def check_energies(model: EnergyModel, value: object, state: tuple[Tensor, ...]) -> Tensor:
    """The energies, and an error unless they are one number above -inf for each row of `state`."""
    what = f"{type(model).__name__}.energy"
    rows = len(state[0])
    if not isinstance(value, Tensor):
        raise TypeError(f"{what}: expected a tensor of shape ({rows},), got {type(value).__name__}.")
    if value.shape != (rows,):
        raise ValueError(f"{what}: expected one energy per row, shape ({rows},), got {tuple(value.shape)}.")
    wrong = ~(value.detach() > -math.inf)
    if bool(wrong.any()):
        first = int(wrong.nonzero()[0])
        place = [f"{x:g}" for x in state[0][first, :8].tolist()] + ["…"] * (state[0].shape[1] > 8)
        raise ValueError(
            f"{what}: expected numbers above -inf, got {float(value[first]):g} for {int(wrong.sum())} of "
            f"{rows} states, the first ({', '.join(place)})."
        )
    return value


def energy_model(name: str, value: Any) -> EnergyModel:
    """`value`, if it is a model that has energies."""
    if not isinstance(value, EnergyModel):
        raise TypeError(f"{name} must be an energy-based model such as hm.RBM, got {checks.describe(value)}.")
    return value
