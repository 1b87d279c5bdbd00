"""Imputation: what a model says about the empty cells of rows, given the cells that are known.

P(free | known) = P(free, known) / Σ P(free', known): the same for every model. The completions of a row are
summed where they are few. Otherwise chains with the known cells clamped draw them, and what is averaged over
the draws is P(cell | all the rest of the state) where the model has it, which scatters less.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harmonium import checks
from harmonium.answers.form import Filling, Form, codes_of
from harmonium.columns import Category, Number, Schema
from harmonium.columns.discrete import Binary
from harmonium.likelihood.clamped import by_site
from harmonium.likelihood.clamped import completions as few_completions
from harmonium.likelihood.inputs import normalizable
from harmonium.models import EnergyModel
from harmonium.models.intake import Rows, rows_of
from harmonium.models.support import Site, check_one_number, sites_of
from harmonium.models.table import rows_at_once
from harmonium.random import Address, Purpose, derived_seed
from harmonium.sampling import Clamp, advance, completed_states, default_kernel, initial_chains
from harmonium.sampling.draw import together
from harmonium.units import Tail, Units

EXACT_STATES = 2**12  # completions of one row that are summed one by one; beyond, chains are run
EXACT_IN_ALL = 2**20  # completions of all rows together that are
COPIES = 8  # chains for each row at most, one where rows are many
CHAINS = 2**15  # in all, as far as the copies go
HEATING = 100  # sweeps of each: annealed for the first half, then at the model
ROUNDS, APART = 16, 5  # draws from each, and sweeps between two of them
HEATING_OF_MANY = 30  # where a row has one chain, whose draws follow one another
NUMBERS = 2**22  # drawn at a time; twice as many are no faster
SWEEPS = 300  # before a draw for the user
NODES = 5  # of Gauss and Hermite, for the mean of a map of a Gaussian cell


def impute(
    model: EnergyModel,
    X: Any,
    *,
    draws: int | None = None,
    uncertainty: bool = False,
    seed: int = 0,
) -> Any:
    """The rows of X with their empty cells filled in; what is known stays exactly as it is.

    A cell is filled by its most probable value where values are names (categories, pairs), and by its
    expected value where they are numbers, rounded for counts, and to the next value that there is where a
    schema has few of them; both given the known cells of its row. Such
    rows are less scattered than real ones: for an analysis take several `draws` from the joint conditional
    distribution instead, analyse each, and pool (Rubin 1987).

    Args:
        model: the model.
        X: rows with empty cells: a table in the words of the model's schema, a data frame, an array, a tensor
            (NaN where a cell is empty).
        draws: how many completed tables to draw; None for the best guess.
        uncertainty: whether to return also, for each cell that was filled, the probability that the guess is
            another than the true value (names), or the standard deviation (numbers); 0 for known cells.
        seed: of the draws.

    Returns:
        The rows as they came (a table as a table), or a list of them with `draws`; with `uncertainty` a pair,
        of which the second has the same columns.

    Raises:
        TypeError, ValueError: as `hm.log_likelihood` about the rows; draws and uncertainty are both asked
            for.

    >>> import harmonium as hm
    >>> rbm = hm.RBM(visible=hm.Bernoulli(3), hidden=hm.Bernoulli(2))
    >>> impute(rbm, [[0.0, float("nan"), 1.0]]).shape
    (1, 3)
    """
    uncertainty = checks.boolean("uncertainty", uncertainty)
    if draws is not None and uncertainty:
        raise ValueError("uncertainty: expected False with draws, whose scatter tells it; got True.")
    rows = rows_of(normalizable("model", model), X, free=True)
    form = Form.of(model, X, rows)
    if draws is not None:
        drawn = _drawn(model, rows, checks.positive_integer("draws", draws), seed)
        return [form.filled(codes) for codes in drawn]
    guess = guesses(model, rows, seed, form.schema)
    filled = form.filled(guess.value, guess.numbers)
    return (filled, form.of_cells(guess.doubt)) if uncertainty else filled


def _gaps(model: EnergyModel, rows: Rows) -> tuple[Filling, Tensor]:
    """(room for the cells that are empty, the numbers of their rows)."""
    starts = torch.tensor([site.start for site in sites_of(model)], device=model.device)
    empty = torch.cat([torch.isnan(states[:, starts]) for states in rows.pieces()])
    return Filling.of(empty.cpu().numpy()), empty.any(1).nonzero().flatten()


def _states(rows: Rows, numbers: Tensor) -> Tensor:
    """The states of rows by their numbers: those of all at once would be many times the table."""
    return rows.part(numbers.cpu().numpy()).states()


def _drawn(model: EnergyModel, rows: Rows, draws: int, seed: int) -> Iterator[Filling]:
    """Codes drawn for the empty cells, as often as asked; chains for many draws run side by side."""
    room, gaps = _gaps(model, rows)
    width = model.visible_space.width
    at_once = max(1, NUMBERS // max(1, len(gaps) * width))
    sweeps = SWEEPS if model.named_blocks else None
    for begin in range(0, draws, at_once):
        found = [Filling.at(room.rows) for _ in range(min(at_once, draws - begin))]
        own = derived_seed(seed, begin)
        for chains in torch.arange(len(gaps) * len(found), device=gaps.device).split(together(model)):
            if len(chains):
                numbers, copies = gaps[chains % len(gaps)], chains // len(gaps)
                given = _states(rows, numbers)
                whole = completed_states(model, given, seed=own, sweeps=sweeps, chain=int(chains[0]))
                _put(model, found, copies, numbers, given, whole)
        yield from found


def _put(
    model: EnergyModel, found: list[Filling], copies: Tensor, numbers: Tensor, given: Tensor, whole: Tensor
) -> None:
    codes = codes_of(model, whole)
    for copy in range(int(copies[0]), int(copies[-1]) + 1):
        here = (copies == copy).nonzero().flatten()
        for site in sites_of(model):
            free = here[torch.isnan(given[here, site.start])]
            if len(free):
                found[copy].put(site.number, numbers[free], codes[free, site.number])


@dataclass(frozen=True)
class Guess:
    """What is expected of the empty cells.

    Attributes:
        value: codes, the most probable or the expected ones.
        doubt: the probability of another value, or the standard deviation.
        numbers: expected values in the words of a schema, where it has a map; NaN elsewhere.
    """

    value: Filling
    doubt: Filling
    numbers: Filling


@torch.no_grad()
def guesses(model: EnergyModel, rows: Rows, seed: int = 0, schema: Schema | None = None) -> Guess:
    """The best guess for every empty cell of rows."""
    every = sites_of(model)
    kinds = [None] * len(every) if schema is None else [c.kind for c in schema.entries if c.kind.width]
    room, gaps = _gaps(model, rows)
    guess = Guess(*(Filling.at(room.rows) for _ in range(3)))

    def states(numbers: Tensor) -> Tensor:
        return _states(rows, numbers)

    for part, drawn in completions(model, states, gaps, seed):
        given = states(part)
        for site, kind in zip(every, kinds, strict=True):
            free = torch.isnan(given[:, site.start])
            if not bool(free.any()):
                continue
            found = _summary(model, site, drawn.of(free, site.columns), kind)
            for room, numbers in zip((guess.value, guess.doubt, guess.numbers), found, strict=True):
                if numbers is not None:
                    room.put(site.number, part[free], numbers)
        del drawn  # before the next are drawn
    return guess


# ---------------------------------------------------------------- completions of rows
@dataclass(frozen=True)
class Completions:
    """Completed states of some rows, each with its weight.

    Attributes:
        states: (draws, rows, width).
        weights: (draws, rows), 1 in sum over the draws.
        fields: of the visible units given the rest of each state, like `states`; None where there are none.
    """

    states: Tensor
    weights: Tensor
    fields: Tensor | None = None

    def of(self, rows: Tensor, columns: slice) -> Completions:
        """Some columns of some of the rows."""
        fields = None if self.fields is None else self.fields[..., columns][:, rows]
        return Completions(self.states[..., columns][:, rows], self.weights[:, rows], fields)


def completions(
    model: EnergyModel, states: Callable[[Tensor], Tensor], gaps: Tensor, seed: int
) -> Iterator[tuple[Tensor, Completions]]:
    """(numbers of rows, their completions) for all rows with gaps: all there are with their probabilities, or
    draws.

    Args:
        model: the model.
        states: from numbers of rows to their visible states, (some, n_visible), NaN where a cell is free.
        gaps: numbers of the rows that have free cells.
        seed: of the draws.
    """
    width, space = model.visible_space.width, model.visible_space
    if not len(gaps):
        return
    some = gaps.split(rows_at_once(width))
    free = torch.cat([by_site(space, torch.isnan(states(part))) for part in some])
    left = torch.ones(len(gaps), dtype=torch.bool, device=gaps.device)
    of_gaps = few_completions(model, lambda numbers: states(gaps[numbers]), free, EXACT_STATES, EXACT_IN_ALL)
    for rows, full, probabilities in of_gaps:
        left[rows] = False
        yield gaps[rows], Completions(full, probabilities)
    drawn = gaps[left]
    plan = Chained.of(len(drawn))
    size = max(1, NUMBERS // (plan.copies * ROUNDS * width))
    for number, part in enumerate(drawn.split(size)):
        if len(part):
            yield part, _by_chains(model, states(part), plan, derived_seed(seed, number))


def _choices(model: EnergyModel, site: Site) -> Tensor | None:
    """The states of a site, (number, width), None where they have no end."""
    if site.part is not None:
        return None if site.part.cardinality is None else site.part.site_values()
    space = model.visible_space
    return torch.arange(float(space.cardinalities[site.number]))[:, None] if space.cardinalities else None


@dataclass(frozen=True)
class Chained:
    """How long chains are for each row: many rows have to share the time."""

    copies: int
    heating: int  # sweeps before the first draw, annealed for the first half, then at the model
    apart: int  # sweeps between two of the draws

    @classmethod
    def of(cls, rows: int) -> Chained:
        """What suits so many rows."""
        copies = int(min(max(CHAINS // max(rows, 1), 1), COPIES))
        return cls(copies, HEATING, APART) if copies > 1 else cls(1, HEATING_OF_MANY, 1)


def _by_chains(model: EnergyModel, rows: Tensor, plan: Chained, seed: int) -> Completions:
    copies, given = plan.copies, rows.repeat(plan.copies, 1)
    start = completed_states(model, given, seed=seed, sweeps=plan.heating).to(rows)
    chains = initial_chains(model, len(given), Address(seed, Purpose.CLAMP), start)
    step = default_kernel(model, Clamp(~torch.isnan(given), given))
    states, fields = given.new_empty(ROUNDS, *given.shape), None
    for k in range(ROUNDS):
        chains = advance(step, model, chains, plan.apart)
        states[k] = chains.visible
        field = model.visible_field(chains.state)
        if field is not None:
            fields = field.new_empty(states.shape) if fields is None else fields
            fields[k] = field

    def by_draw(found: Tensor) -> Tensor:
        return found.unflatten(1, (copies, len(rows))).flatten(0, 1)

    weights = torch.full((copies * ROUNDS, len(rows)), 1.0 / (copies * ROUNDS), dtype=torch.float64)
    return Completions(by_draw(states), weights.to(rows.device), None if fields is None else by_draw(fields))


# ---------------------------------------------------------------- one site
def _summary(
    model: EnergyModel, site: Site, drawn: Completions, kind: Any
) -> tuple[Tensor, Tensor, Tensor | None]:
    """(best code, doubt, expected value in the words of a kind) of a site, whose columns these are, in every
    row.
    """
    if site.part is not None and site.part.cardinality is None:
        return _of_number(site.part, site, drawn, kind)
    values = _choices(model, site)
    assert values is not None  # since the states of the site can be counted
    p = _probabilities(site.part, drawn, values.to(drawn.states.device, torch.float64))
    number = torch.arange(len(values), dtype=torch.float64, device=p.device)
    own = values[:, 0].to(p) if site.width == 1 else number
    part = site.part
    if isinstance(kind, Category) and kind.amounts:
        return _of_amounts(kind, p)
    names = part is None or part.one_hot or part.two_values is not None
    if names or isinstance(kind, (Binary, Category)):
        best = p.argmax(1)
        return own[best], 1.0 - p.gather(1, best[:, None])[:, 0], None
    mean = p @ own
    return mean.round(), (p @ own**2 - mean**2).clamp(min=0.0).sqrt(), None


def _of_amounts(kind: Category, p: Tensor) -> tuple[Tensor, Tensor, None]:
    """The amount next to the mean, as a code, and the standard deviation; (rows,) each."""
    amounts = torch.tensor([float(value) for value in kind.values or ()], dtype=p.dtype, device=p.device)
    p = p[:, : len(amounts)]  # a state for other values has no amount
    p = p / p.sum(1, keepdim=True)
    mean = p @ amounts
    code = (amounts - mean[:, None]).abs().argmin(1)
    return code.to(p), (p @ amounts**2 - mean**2).clamp(min=0.0).sqrt(), None


def _probabilities(part: Units | None, drawn: Completions, values: Tensor) -> Tensor:
    """Of every value of a site in every row, (rows, values), float64."""
    weights = drawn.weights[:, :, None]
    if drawn.fields is None or part is None:
        x = drawn.states.double()
        here = (x[:, :, None, :] == values).all(3)
        return (weights * here).sum(0)
    fields = drawn.fields.double()
    full = part.mode(torch.zeros(1, part.width, device=values.device)).double().repeat(len(values), 1)
    width = part.width // part.n
    full[:, :width] = values  # U is one and the same for all sites of a finite layer
    log_p = fields @ values.T - part.potential(full)[:, 0].double()
    return (weights * torch.softmax(log_p, 2)).sum(0)


def _of_number(
    part: Units, site: Site, drawn: Completions, kind: Any
) -> tuple[Tensor, Tensor, Tensor | None]:
    check_one_number(site)
    weights, x = drawn.weights, drawn.states[..., 0].double()
    variance = torch.zeros_like(x)
    if drawn.fields is not None:
        full = drawn.fields.new_zeros(*x.shape, part.width, dtype=torch.float64)
        inside = site.inside
        full[..., inside] = drawn.fields[..., 0].double()
        flat = full.flatten(0, 1)
        x, variance = (f(flat)[:, inside].unflatten(0, x.shape).double() for f in (part.mean, part.variance))
    mean, spread = _moments(weights, x, variance)
    if part.tail is Tail.FACTORIAL:  # counts
        return mean.round(), spread, None
    if not isinstance(kind, Number):
        return mean, spread, None
    nodes, shares = (torch.from_numpy(a).to(x) for a in np.polynomial.hermite_e.hermegauss(5))
    shares = shares if part.normal_precision is None else shares / shares.sum()
    z = x[..., None] + variance.sqrt()[..., None] * nodes
    own = torch.from_numpy(kind.exact(z.cpu().numpy())).to(x)
    joint = (weights[..., None] * shares).movedim(1, 0).flatten(1)
    own = own.movedim(1, 0).flatten(1)
    expected = (joint * own).sum(1)
    deviation = (joint * (own - expected[:, None]) ** 2).sum(1).sqrt()
    return mean, deviation, expected


def _moments(weights: Tensor, x: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
    mean = (weights * x).sum(0)
    return mean, (weights * (variance + (x - mean) ** 2)).sum(0).clamp(min=0.0).sqrt()
