"""Exact answers about a product of factors, by summing its variables out one by one.

With factors ψ_c = exp(T_c), a step joins all tables with the variable x and sums it out, in logarithms:

    m(rest) = log Σₓ exp( Σ_c T_c(x, rest) ),

each sum shifted by its own maximum, so that neither large potentials nor zeros lose a digit. After the last
step
log Z is left. The same steps walked back answer all else: P(x | rest) = exp(Σ_c T_c - m) at every step, so
joint samples, the most probable state (with max in place of log Σ exp) and the marginals of every table that
occurred follow at the cost of a second pass (Dechter 1999; Koller & Friedman 2009, chapters 9, 10 and 13).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from harmonium import kernels
from harmonium.kernels import tables
from harmonium.models.elimination import Order, Scope
from harmonium.random import Address

Factor = tuple[Scope, Tensor]  # variables, and a log table with one axis for each, float64


@dataclass
class Step:
    """One variable summed out of all tables that contain it."""

    variable: int
    rest: Scope
    parts: list[Factor]  # what was joined
    message: Tensor  # over `rest`
    given_to: int | None = (
        None  # number of the step that took the message up; None: nobody, it is over kept variables
    )

    def joined(self) -> Tensor:
        """Σ of the tables, (states of the variable, states of each of `rest`)."""
        return tables.join((self.variable, *self.rest), self.parts)


@dataclass
class Elimination:
    """The tables of a run, in order."""

    steps: list[Step] = field(default_factory=list)
    left: list[Factor] = field(default_factory=list)  # over the kept variables
    home: dict[int, int] = field(default_factory=dict)  # number of a factor: the step that took it up


def eliminate(
    factors: Sequence[Factor],
    order: Order,
    cardinalities: Sequence[int],
    reduce: Callable[[Scope, Sequence[Factor]], Tensor] = tables.log_sum,
    remember: bool = True,
) -> Elimination:
    """Sum (or maximise) the variables out in the given order; `remember` keeps what walking back needs."""
    run = Elimination()
    pool: dict[int, Factor] = dict(enumerate(factors))
    made_by: dict[int, int] = {}
    using: list[set[int]] = [set() for _ in cardinalities]
    for number, (scope, _) in pool.items():
        for v in scope:
            using[v].add(number)
    for new, variable in enumerate(order.variables, start=len(factors)):
        numbers = sorted(using[variable])
        parts = [pool.pop(number) for number in numbers]
        for number, (scope, _) in zip(numbers, parts, strict=True):
            for v in scope:
                using[v].discard(number)
            if number in made_by:
                run.steps[made_by[number]].given_to = len(run.steps)
            else:
                run.home[number] = len(run.steps)
        rest = tuple(sorted({v for scope, _ in parts for v in scope} - {variable}))
        if not parts:  # nothing depends on it
            parts = [((variable,), torch.zeros(cardinalities[variable], dtype=torch.float64))]
        message = reduce((variable, *rest), parts)
        if remember:
            made_by[new] = len(run.steps)
            run.steps.append(Step(variable, rest, parts, message))
        pool[new] = (rest, message)
        for v in rest:
            using[v].add(new)
    run.left = list(pool.values())
    return run


def total(run: Elimination, keep: Scope, cardinalities: Sequence[int]) -> Tensor:
    """What is left as one log table over `keep`, in that order."""
    full = torch.zeros([cardinalities[v] for v in keep], dtype=torch.float64)
    return tables.join(keep, [(keep, full), *run.left]) if keep else full + sum(t for _, t in run.left)


def marginals(run: Elimination) -> list[Tensor]:
    """For every step the joint probabilities of (its variable, its rest).

    P(x, rest) = P(rest) P(x | rest), with P(rest) a marginal of the step that took the message up.
    """
    found: list[Tensor] = [torch.empty(0)] * len(run.steps)
    for k in reversed(range(len(run.steps))):
        step = run.steps[k]
        p = _conditional(step)
        if step.given_to is not None:
            above = run.steps[step.given_to]
            p = p * marginal_of(found[step.given_to], (above.variable, *above.rest), step.rest)
        found[k] = p
    return found


def _conditional(step: Step) -> Tensor:
    shift = step.message.clamp(min=torch.finfo(torch.float64).min)
    return torch.exp(step.joined() - shift)


def marginal_of(table: Tensor, scope: Scope, wanted: Scope) -> Tensor:
    """The probabilities of `wanted` from those of `scope`, with axes in the order of `wanted`."""
    gone = [k for k, v in enumerate(scope) if v not in wanted]
    kept = [v for v in scope if v in wanted]
    return (table.sum(gone) if gone else table).permute([kept.index(v) for v in wanted])


def most_probable(run: Elimination, state: Tensor) -> Tensor:
    """The maximising state, long (n,), walked back; `state` holds the variables that were kept."""
    for step in reversed(run.steps):
        scores = _given(step, state[None])
        state[step.variable] = int(scores[0].argmax())
    return state


def draw(run: Elimination, states: Tensor, address: Address) -> Tensor:
    """Independent states from the distribution, long (rows, n); `states` holds the variables that were
    kept.
    """
    for step in reversed(run.steps):
        fields = _given(step, states)
        one_hot = kernels.draw_categorical(fields, fields.shape[1], address.at(unit=4 * step.variable))
        states[:, step.variable] = one_hot.argmax(1)
    return states


def _given(step: Step, states: Tensor) -> Tensor:
    """Σ of the tables for every value of the step's variable, given the others, (rows, values)."""
    fields = torch.zeros(len(states), 1, dtype=torch.float64)
    for scope, table in step.parts:
        at = scope.index(step.variable)
        moved = table.movedim(at, -1)
        index = tuple(states[:, v] for v in scope if v != step.variable)
        fields = fields + (moved[index] if index else moved)
    return fields
