"""What a model says of one cell of a row, given the rest of the row.

A cell is one visible site. With ℓ(x) = -F(v with x in the cell),

    P(x | rest) = exp ℓ(x) / Σₓ exp ℓ(x),

an integral instead of the sum where x is real. Where other cells of the row are free, or hidden variables
can't be summed out, what is not known is drawn given what is, and with ⟨·⟩ the mean over these draws

    P(x | known) = ⟨P(x | rest)⟩                      for a free cell,
    P(x | other known) ∝ ⟨P(x | rest) / P(a | rest)⟩   for a cell known to hold a:

both follow from the joint distribution, so that one set of draws serves all cells of a row.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from harmonium import checks
from harmonium.likelihood.cell_points import bounds, counts, is_real, panels, reach
from harmonium.models import EnergyModel
from harmonium.models.blocks import Pair
from harmonium.models.support import Site, check_one_number, given_always, sites_of
from harmonium.random import Address, Purpose, derived_seed
from harmonium.sampling import Clamp, complete, completed_states, default_kernel, initial_chains
from harmonium.sampling.gibbs import advance
from harmonium.units.known import site_alone

DRAWS = 32  # of what is free in a row
ROUNDS = 4  # draws from each chain
HEATING = 200  # sweeps before the first of them, during which a chain can choose among modes
APART = 5  # sweeps between two draws of a chain
ROWS = 2**10  # rows whose chains run together
CHUNK = 2**20  # numbers in a block of work
NUMBERS = 2**22  # of the states that are drawn for rows which are looked at together
NEGLIGIBLE = 30.0  # nats below the mode at which a density may end
DOUBLINGS = 32  # of what is reached, where the units joined to a column have no bounds


@dataclass(frozen=True)
class Cell:
    """The conditional distribution of one column in every row.

    Attributes:
        site: its number among the visible sites.
        columns: its columns in a visible state.
        values: (points, columns): its states, or points from end to end of what is real.
        log_p: (rows, points), float64: log probabilities, or log densities for what is real; nats.
        log_weights: (points,): 0, or the log of what a point stands for in the sum for an integral.
        known: (rows,): the same of the value that the row has in this cell, NaN where it is free.
        real: whether the column is real.
    """

    site: int
    columns: slice
    values: Tensor
    log_p: Tensor
    log_weights: Tensor
    known: Tensor
    real: bool = False

    @property
    def probabilities(self) -> Tensor:
        """Of each point, (rows, points); 1 in all."""
        return torch.exp(self.log_p + self.log_weights)

    def mean(self) -> Tensor:
        """(rows, columns)."""
        return self.probabilities @ self.values

    def variance(self) -> Tensor:
        """(rows, columns)."""
        centre = self.values.mean(0)  # of numbers far from zero the difference of squares would be rounding
        x, p = self.values - centre, self.probabilities
        return (p @ x**2 - (p @ x) ** 2).clamp(min=0.0)

    def quantile(self, q: float) -> Tensor:
        """Below which a share `q` of a column of numbers lies, or the smallest count that it doesn't exceed,
        (rows,).
        """
        p, x = self.probabilities, self.values[:, 0]
        reached = p.cumsum(1)
        if not self.real:
            return x[(reached < q * (1.0 - 1e-12)).sum(1).clamp(max=len(x) - 1)]
        reached = reached - 0.5 * p  # a point stands for what is around it
        right = (reached < q).sum(1).clamp(1, len(x) - 1)
        low, high = (reached.gather(1, k[:, None])[:, 0] for k in (right - 1, right))
        share = ((q - low) / (high - low).clamp(min=1e-300)).clamp(0.0, 1.0)
        return x[right - 1] + share * (x[right] - x[right - 1])


def cells(
    model: EnergyModel,
    v: Tensor,
    sites: Sequence[int] | None = None,
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> Iterator[Cell]:
    """The distribution of every cell given the known rest of its row, one column after the other.

    Exact, for real columns by quadrature, where the rest of the row is known and the model has its free
    energy.

    Args:
        model: the model.
        v: visible states in its dtype, (rows, n_visible), NaN where a cell is free.
        sites: numbers of the columns asked for (one for each site); by default all that the model is of,
            which a context isn't.
        draws: of what is not known of a row.
        seed: of these.

    >>> import harmonium as hm
    >>> rbm = hm.RBM(visible=hm.Bernoulli(2), hidden=hm.Bernoulli(3))
    >>> next(cells(rbm, torch.zeros(1, 2))).probabilities.shape
    torch.Size([1, 2])
    """
    every = sites_of(model)
    if sites is None:
        sites = [site.number for site in every if not given_always(model, site)]
    groups = _groups(model, v, checks.positive_integer("draws", draws), seed)
    for site in (every[number] for number in sites):
        yield _cell(model, v, groups, site)


def rows_together(model: EnergyModel, draws: int) -> int:
    """How many rows to ask `cells` about at a time, which holds so many draws of each of them at once."""
    return max(ROWS, NUMBERS // (draws * model.visible_space.width))


def log_probabilities_of_cells(model: EnergyModel, v: Tensor, *, draws: int = DRAWS, seed: int = 0) -> Tensor:
    """log P(cell | known rest of its row) of every known cell, (rows, sites), nats; NaN where it is free.

    >>> import harmonium as hm
    >>> rbm = hm.RBM(visible=hm.Bernoulli(2), hidden=hm.Bernoulli(3))
    >>> log_probabilities_of_cells(rbm, torch.zeros(4, 2)).shape
    torch.Size([4, 2])
    """
    return torch.stack([cell.known for cell in cells(model, v, draws=draws, seed=seed)], 1)


# ---------------------------------------------------------------- what is not known
State = tuple[Tensor, ...]


class States(NamedTuple):
    """States that agree with what is known, (draws, rows, width) each.

    Attributes:
        blocks: visible ones, and hidden ones where the model can't sum them out.
        fields: those on the hidden units of a pair of blocks that are summed out, None elsewhere.
        given: the field on the visible units of what is always given, None where there is none.
    """

    blocks: State
    fields: Tensor | None = None
    given: Tensor | None = None

    @property
    def visible(self) -> Tensor:
        """Of all draws, (draws · rows, n_visible)."""
        return self.blocks[0].flatten(0, 1)

    def at(self, draws: slice, rows: Tensor, columns: slice) -> States:
        """What it takes of some draws and rows, each (draws · rows, width): beside the fields on hidden units
        the columns of a site are enough.
        """

        def some(x: Tensor, columns: slice = slice(None)) -> Tensor:
            return x[draws, :, columns][:, rows].flatten(0, 1)

        if self.fields is None:
            return States(tuple(map(some, self.blocks)))
        given = None if self.given is None else some(self.given, columns)
        return States((some(self.blocks[0], columns),), some(self.fields), given)

    def first(self, columns: slice) -> States:
        """Those of one draw, of many rows an even choice."""
        rows = self.blocks[0].shape[1]
        few = torch.linspace(0, rows - 1, min(ROWS, rows), device=self.blocks[0].device).long()
        return self.at(slice(1), few, columns)


class Group(NamedTuple):
    """Rows by their numbers, and states that agree with what is known of them."""

    rows: Tensor
    states: States


def _groups(model: EnergyModel, v: Tensor, draws: int, seed: int) -> list[Group]:
    """The rows of which all is known, that need no draws where hidden variables are summed out, and the
    others.
    """
    gaps = torch.isnan(v).any(1) if model.has_free_energy() else torch.ones(len(v), dtype=torch.bool)
    numbers = [torch.nonzero(which).flatten() for which in (~gaps, gaps)]
    return [Group(rows, _states(model, v[rows], draws, seed)) for rows in numbers if len(rows)]


@torch.no_grad()
def _states(model: EnergyModel, v: Tensor, draws: int, seed: int) -> States:
    blocks = _completed(model, v, draws, seed)
    pair = model.pair() if len(blocks) == 1 else None
    if pair is None:
        return States(blocks)
    flat, shape = blocks[0].flatten(0, 1), blocks[0].shape[:2]
    given = model.field_of_given(flat)
    return States(
        blocks,
        pair.hidden_field(flat).unflatten(0, shape),
        None if given is None else given.unflatten(0, shape),
    )


def _completed(model: EnergyModel, v: Tensor, draws: int, seed: int) -> State:
    """The blocks of such states."""
    if not bool(torch.isnan(v).any()) and model.has_free_energy():
        return (v[None],)
    copies = -(-draws // ROUNDS)
    parts = [_drawn(model, part, copies, derived_seed(seed, k)) for k, part in enumerate(v.split(ROWS))]
    return parts[0] if len(parts) == 1 else tuple(torch.cat(x, 1) for x in zip(*parts, strict=True))


def _drawn(model: EnergyModel, v: Tensor, copies: int, seed: int) -> State:
    given, address = v.repeat(copies, 1), Address(seed, Purpose.CLAMP)
    start = completed_states(model, given, seed=seed, sweeps=HEATING)
    states: list[State] = []
    if bool(torch.isnan(v).any()):
        kernel = default_kernel(model, Clamp(~torch.isnan(given), given))
        chains = initial_chains(model, len(given), address, start)
        for _ in range(ROUNDS):
            chains = advance(kernel, model, chains, HEATING if not states else APART)
            states.append(chains.state)
    else:  # hidden variables alone
        state: State | None = None
        for k in range(ROUNDS):
            here = address.at(step=2**20 * (k + 1))
            state = complete(model, start, here, APART if states else HEATING, state)
            states.append(state)
    blocks = 1 if model.has_free_energy() else len(states[0])
    stacked = (torch.stack([state[i] for state in states]) for i in range(blocks))
    return tuple(x.unflatten(1, (copies, len(v))).flatten(0, 1) for x in stacked)


# ---------------------------------------------------------------- one column
@torch.no_grad()
def _cell(model: EnergyModel, v: Tensor, groups: Sequence[Group], site: Site) -> Cell:
    values, log_weights = _points(model, [states for _, states in groups], site)
    found = torch.empty(len(v), len(values), dtype=torch.float64, device=v.device)
    known = torch.empty(len(v), dtype=torch.float64, device=v.device)
    for numbers, states in groups:
        width = (states.blocks[0] if states.fields is None else states.fields).shape[2]
        size = max(1, CHUNK // (len(values) * len(states.blocks[0]) * (width + 1)))
        for some in torch.arange(len(numbers), device=v.device).split(size):
            rows, here = numbers[some], states.at(slice(None), some, site.columns)
            found[rows], known[rows] = _conditional(model, v[rows], here, site, values, log_weights)
    real = not model.visible_space.cardinalities and is_real(site)
    return Cell(site.number, site.columns, values, found, log_weights, known, real)


def _conditional(  # noqa: PLR0913  # of the rows of `_cell` some at a time
    model: EnergyModel, v: Tensor, states: States, site: Site, values: Tensor, log_weights: Tensor
) -> tuple[Tensor, Tensor]:
    """(log P at every value, and at the value that the row has) by the formulas above."""
    draws, own_value = len(states.blocks[0]) // len(v), v[:, site.columns].double()
    free = torch.isnan(own_value).any(1)
    own = torch.where(free[:, None], values[:1], own_value).repeat(draws, 1)
    log_p = _log_weights_of(model, states, site, values[None])
    norm = torch.logsumexp(log_p + log_weights, 1, keepdim=True)
    log_p = (log_p - norm).unflatten(0, (draws, len(v)))
    at_own = (_log_weights_of(model, states, site, own[:, None]) - norm).unflatten(0, (draws, len(v)))
    at_own = torch.where(free[:, None], 0.0, at_own)
    mean = torch.logsumexp(log_p - at_own, 0)
    norm = torch.logsumexp(mean + log_weights, 1, keepdim=True)
    return mean - norm, torch.where(free, torch.nan, math.log(draws) - norm[:, 0])


def _log_weights_of(model: EnergyModel, states: States, site: Site, values: Tensor) -> Tensor:
    """The ℓ of every row at its values, (rows or 1, points, columns): (rows, points), float64."""
    state, pair = states.blocks, model.pair()
    if states.fields is not None and pair is not None:
        return _by_fields(pair, states, site, values)
    points = values.shape[1]
    full = [x.repeat_interleave(points, 0) for x in state]
    full[0][:, site.columns] = values.expand(len(state[0]), -1, -1).flatten(0, 1).to(full[0])
    energy = model.free_energy(full[0]) if len(full) == 1 else model.checked_energy(*full)
    return -energy.double().unflatten(0, (len(state[0]), points))


def _by_fields(pair: Pair, states: States, site: Site, values: Tensor) -> Tensor:
    """Another value in one cell moves the fields of the hidden units by a multiple of one row of W."""
    (operator, visible, hidden), own = pair, states.given
    assert states.fields is not None
    weight = operator.rows(site.columns).double()
    rest = states.fields.double() - states.blocks[0].double() @ weight
    fields = rest[:, None, :] + values @ weight
    cumulants = hidden.cumulant(fields.flatten(0, 1)).sum(1).unflatten(0, fields.shape[:2])
    linear = values @ visible.bias[site.columns].double()
    if own is not None:
        linear = linear + (values * own[:, None].double()).sum(2)
    own_energy = site_alone(visible, site.start).potential(values.flatten(0, 1))[:, 0]
    return cumulants + linear - own_energy.unflatten(0, values.shape[:2])


# ---------------------------------------------------------------- its points
def _points(model: EnergyModel, groups: Sequence[States], site: Site) -> tuple[Tensor, Tensor]:
    """(values (points, columns), log weights (points,)), float64."""
    space, device = model.visible_space, groups[0].blocks[0].device
    values: Tensor | None = None
    if space.cardinalities:
        values = torch.arange(float(space.cardinalities[site.number]))[:, None]
    elif site.part is not None and site.part.cardinality is not None:
        values = site.part.site_values()
    if values is not None:
        return values.to(device, torch.float64), torch.zeros(len(values), dtype=torch.float64, device=device)
    check_one_number(site)
    low, high, deviation = reach(model, torch.cat([states.visible for states in groups]), site)
    floor, ceiling = bounds(space, site)
    first = [states.first(site.columns) for states in groups]
    for _ in range(DOUBLINGS):
        low, high = max(low, floor), min(high, ceiling)
        points, log_weights = panels(low, high, deviation) if is_real(site) else counts(low, high)
        at = points.to(device)[None, :, None]
        log_p = torch.cat([_log_weights_of(model, some, site, at) for some in first])
        ends = log_p[:, [0, -1]] < log_p.amax(1, keepdim=True) - NEGLIGIBLE
        lower, upper = bool(ends[:, 0].all()) or low <= floor, bool(ends[:, 1].all()) or high >= ceiling
        if lower and upper:
            break
        low, high = low - (high - low) * (not lower), high + (high - low) * (not upper)
    return points[:, None].to(device), log_weights.to(device)
