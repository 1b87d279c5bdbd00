"""log Z with some visible variables of each row clamped: the sum over all that the row leaves open.

    log Z(o) = log Σ exp(-E(o, m, h)) over free cells m and hidden units h,     log P(o) = log Z(o) - log Z,

is the partition function of a model again, another one for each row. It is summed where the completions of a
row, or the hidden states, are few; otherwise every row gets replica exchange of its own (`row_exchange`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from harmonium.likelihood.rows import ROWS, RowEstimates, free_energies
from harmonium.likelihood.tempered import Budget
from harmonium.models import EnergyModel
from harmonium.models.blocks import Pair
from harmonium.models.space import Space
from harmonium.random import derived_seed
from harmonium.units import Units
from harmonium.units.mixed import parts_of

COMPLETIONS = 2**12  # most completions of a row, and
PAIRS = 2**26  # most pairs of a row and a state, that are summed
NUMBERS, REPLICAS = 2**28, 64  # of the states of all replicas at a time; about so many for each row
CHUNK = 2**20  # cells of completed rows, or pairs of a row and a state, per block of work


def clamped_log_partitions(
    model: EnergyModel, v: Tensor, held: Tensor, budget: Budget, seed: int
) -> RowEstimates:
    """log Σ exp(-E) over everything but the held visible variables, for every row of v, nats.

    Args:
        model: the model.
        v: visible states, (rows, n_visible); anything, NaN even, where they aren't held.
        held: bool, (n_visible,) or (rows, n_visible).
        budget: of what has to be estimated.
        seed: of the estimates.
    """
    held = held.expand(v.shape)
    value, summed = exact_sums(model, v, held, PAIRS)
    left = torch.isnan(value).nonzero().flatten()
    nothing = torch.zeros_like(value)
    exact = RowEstimates(value, nothing, value, value, False, f"exact, sum over {' or '.join(summed)}")
    if len(left) == 0:
        return exact
    if model.constrained:
        raise ValueError(
            "model: a field with zero potentials, too wide for exact sums given these variables; one row at "
            "a time hm.log_partition(field.condition({variable: state, ...})) estimates log Z given them."
        )
    found = _exchanged(model, v[left], held[left], budget, seed)
    return found if len(left) == len(v) else _joined(exact, found, left)


def _exchanged(model: EnergyModel, v: Tensor, held: Tensor, budget: Budget, seed: int) -> RowEstimates:
    """Replica exchange for every row, so many rows at a time that their replicas fit into memory."""
    from harmonium.likelihood.row_exchange import exchanged

    width = sum(x.shape[1] for x in model.state_of(v[:1]))
    parts = torch.arange(len(v), device=v.device).split(max(1, NUMBERS // (REPLICAS * width)))
    if len(parts) == 1:
        return exchanged(model, v, held, budget, seed)
    found = []
    for k, rows in enumerate(parts):
        share = len(rows) / len(v)
        seconds = None if budget.seconds is None else budget.seconds * share
        own = Budget(budget.work * share, seconds, budget.progress)
        found.append(exchanged(model, v[rows], held[rows], own, derived_seed(seed, k)))
    return replace(
        found[0],
        value=torch.cat([part.value for part in found]),
        stderr=torch.cat([part.stderr for part in found]),
        low=torch.cat([part.low for part in found]),
        high=torch.cat([part.high for part in found]),
        warnings=tuple(dict.fromkeys(warning for part in found for warning in part.warnings)),
    )


def _joined(exact: RowEstimates, found: RowEstimates, left: Tensor) -> RowEstimates:
    """All rows from those that were summed and those `left` to estimates."""
    names = ("value", "stderr", "low", "high")
    whole = {name: getattr(exact, name).index_copy(0, left, getattr(found, name)) for name in names}
    method = f"{found.method}; {len(exact.value) - len(left)} of {len(exact.value)} rows {exact.method}"
    return RowEstimates(**whole, shared=False, method=method, warnings=found.warnings, details=found.details)


# -- sites -----------------------------------------------------------------------------------------------


def sites_of(space: Space | Units) -> list[tuple[Units | None, int]]:
    """(the layer it belongs to, its number of columns) for every visible site."""
    return [(variable.part, variable.width) for variable in space.variables()]


def by_site(space: Space | Units, held: Tensor) -> Tensor:
    """The mask by site instead of by column, from the first column of each; (..., sites)."""
    starts = np.cumsum([0] + [columns for _, columns in sites_of(space)])[:-1]
    return held[..., torch.from_numpy(starts).to(held.device)]


class _Sites(NamedTuple):
    """All visible sites side by side; short ones repeat their last state and column.

    Attributes:
        counts: number of states, float64, inf for infinitely many, (sites,).
        columns: (sites, most columns).
        values: (sites, most states, most columns).
    """

    counts: Tensor
    columns: Tensor
    values: Tensor


def _sites(model: EnergyModel) -> _Sites:
    counts, columns, values, start = [], [], [], 0
    for variable in model.visible_space.variables():
        width, count = variable.width, variable.cardinality
        few = count is not None and count <= COMPLETIONS
        states = variable.values().cpu() if few else torch.zeros(1, width)
        counts.append(math.inf if count is None else float(count))
        columns.append(torch.arange(start, start + width))
        values.append(states)
        start += width
    wide, many = max(len(c) for c in columns), max(len(x) for x in values)
    columns = [torch.cat([c, c[-1:].expand(wide - len(c))]) for c in columns]
    values = [torch.cat([x, x[:, -1:].expand(-1, wide - x.shape[1])], 1) for x in values]
    values = [torch.cat([x, x[-1:].expand(many - len(x), -1)]) for x in values]
    device = model.device
    return _Sites(
        torch.tensor(counts, dtype=torch.float64, device=device),
        torch.stack(columns).to(device),
        torch.stack(values).to(device, model.dtype),
    )


def states_of_free(model: EnergyModel, held: Tensor, most: int = COMPLETIONS) -> Tensor | None:
    """All states of the visible columns that aren't held, bool (n_visible,), (states, columns); None where
    there are more than `most`.
    """
    sites, free = _sites(model), ~by_site(model.visible_space, held)[None].to(model.device)
    count = torch.where(free, sites.counts, 1.0).prod(1)
    if float(count) > most:
        return None
    row = torch.zeros(1, len(held), dtype=model.dtype, device=model.device)
    return _completions(row, free, count.long(), sites)[:, ~held.to(model.device)]


# -- exact sums ------------------------------------------------------------------------------------------


@torch.no_grad()
def exact_sums(model: EnergyModel, v: Tensor, held: Tensor, most: int) -> tuple[Tensor, list[str]]:
    """(log sums of the rows for which they are cheap, NaN for all others, float64; over what, in words).

    Args:
        model: the model.
        v: visible states, (rows, n_visible).
        held: bool, likewise.
        most: pairs of a row and a state that are worth their time.
    """
    found = model.log_partitions(torch.where(held, v.double(), torch.nan))
    if found is not None:
        return found.to(v.device), ["states by contraction"]
    value, summed = v.new_full((len(v),), torch.nan, dtype=torch.float64), []
    free = ~by_site(model.visible_space, held)
    if model.has_free_energy():
        sites = _sites(model)
        counts = torch.where(free, sites.counts.log(), 0.0).sum(1).exp().round()
        order = counts.argsort(stable=True)
        few = order[(counts[order] <= COMPLETIONS) & (counts[order].cumsum(0) <= most)]
        if len(few):
            value[few] = _sum_completions(model, v[few], free[few], sites)
            told = counts[few].unique().tolist()
            summed.append(f"{told[0]:.0f} completions" if len(told) == 1 else "completions")
    left = torch.isnan(value).nonzero().flatten()
    pair = model.pair()
    if len(left) and pair is not None:
        states, own = pair.hidden.n_states, model.field_of_given(v[left])
        if states is not None and states * len(left) <= most:
            value[left] = _sum_hidden(pair, v[left], own, held[left], free[left])
            summed.append(f"{states} hidden states")
        elif pair.hidden.normal_precision is not None:
            value[left] = gaussian_sums(pair, v[left], own, held[left])
            if not bool(torch.isnan(value[left]).all()):
                summed.append("Gaussian units")
    return value, summed


GAUSSIAN_PATTERNS = 64  # of free columns, each with a matrix of its own


def gaussian_sums(pair: Pair, v: Tensor, own: Tensor | None, held: Tensor) -> Tensor:
    """log ∫ exp(-E) over all free columns and hidden units where these are Gaussian, (rows,), float64; NaN
    where they aren't.

    `own` is the field that given columns add to that of the others in each row (see `field_of_given`).
    With P the precision matrix of what is free and l its linear terms, it is ½ lᵀP⁻¹l - ½ log det(P/2π) and
    what the held columns cost.
    """
    value = v.new_full((len(v),), torch.nan, dtype=torch.float64)
    visible, hidden = pair.visible, pair.hidden
    precisions = [(part.width, part.normal_precision) for part in parts_of(visible)]
    precision = torch.cat(
        [value.new_full((width,), torch.nan) if p is None else p.double() for width, p in precisions]
    )
    patterns, which = torch.unique(held, dim=0, return_inverse=True)
    if len(patterns) > GAUSSIAN_PATTERNS or hidden.normal_precision is None:
        return value
    weight = pair.operator.dense().double()
    bias = visible.bias.double() + (0.0 if own is None else own.double())
    known = torch.where(held, v, 0.0).double()
    cost = visible.potential(torch.where(held, v, visible.mean(visible.bias[None]))).double()
    sites = by_site(visible, held)
    linear = (known * bias).sum(1) - torch.where(sites, cost, 0.0).sum(1)
    field = hidden.bias.double() + known @ weight
    for k, pattern in enumerate(patterns):
        rows, free = which == k, ~pattern
        if bool(torch.isnan(precision[free]).any()):
            continue
        square = torch.diag(torch.cat([precision[free], hidden.normal_precision.double()]))
        n = int(free.sum())
        square[:n, n:], square[n:, :n] = -weight[free], -weight[free].T
        root, failed = torch.linalg.cholesky_ex(square)
        if failed:
            continue
        terms = torch.cat([bias.expand(len(v), -1)[rows][:, free], field[rows]], 1)
        half = torch.linalg.solve_triangular(root, terms.T, upper=False).square().sum(0)
        log_det = 2.0 * root.diagonal().log().sum() - len(root) * math.log(2.0 * math.pi)
        value[rows] = linear[rows] + 0.5 * half - 0.5 * log_det
    return value


def _sum_completions(model: EnergyModel, v: Tensor, free: Tensor, sites: _Sites) -> Tensor:
    """log Σ exp(-F) over the completions of each row, (rows,), in order of rising number."""
    counts = torch.where(free, sites.counts, 1.0).prod(1).long()
    block = counts.cumsum(0) // max(1, CHUNK // v.shape[1])
    parts = []
    for rows in (block == k for k in block.unique()):
        full = _completions(v[rows], free[rows], counts[rows], sites)
        row = torch.arange(int(rows.sum()), device=v.device).repeat_interleave(counts[rows])
        energy = free_energies(model, full)
        least = torch.full((int(rows.sum()),), math.inf, dtype=torch.float64, device=v.device)
        least = least.scatter_reduce(0, row, energy, "amin").clamp(max=1e300)
        total = torch.zeros_like(least).index_add(0, row, (least[row] - energy).exp())
        parts.append(total.log() - least)
    return torch.cat(parts)


@torch.no_grad()
def completions(
    model: EnergyModel, states: Callable[[Tensor], Tensor], free: Tensor, most: int, in_all: int
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """(numbers of rows, their completions, the probabilities of these) for rows that have few.

    Shapes are (rows,), (completions, rows, n_visible) and (completions, rows), float64: rows with equally
    many completions come together, as long as there is room.

    Args:
        model: the model; nothing comes where it doesn't have its free energy.
        states: from numbers of rows to their visible states, (some, n_visible), NaN where a cell is free.
        free: whether it is, (rows, sites).
        most: completions of a row at most.
        in_all: completions of all rows at most; rows with few go first.
    """
    if not model.has_free_energy():
        return
    sites = _sites(model)
    logs = [torch.where(some, sites.counts.log(), 0.0).sum(1) for some in free.split(ROWS)]
    counts = torch.cat(logs).exp().round()
    order = counts.argsort(stable=True)
    few = order[(counts[order] <= most) & (counts[order].cumsum(0) <= in_all)]
    for count in counts[few].unique().long().tolist():
        equal = few[counts[few] == count]
        for rows in equal.split(max(1, CHUNK // (count * model.visible_space.width))):
            each = torch.full((len(rows),), count, device=free.device)
            full = _completions(states(rows), free[rows], each, sites)
            energies = free_energies(model, full).view(len(rows), count).T
            yield rows, full.view(len(rows), count, -1).transpose(0, 1), torch.softmax(-energies, 0)


def _completions(v: Tensor, free: Tensor, counts: Tensor, sites: _Sites) -> Tensor:
    """All completions of all rows, row by row, (sum of counts, n_visible)."""
    row = torch.arange(len(v), device=v.device).repeat_interleave(counts)
    number = torch.arange(len(row), device=v.device) - (counts.cumsum(0) - counts)[row]
    full = v[row]
    places = torch.argsort(free.int(), dim=1, descending=True, stable=True)  # free sites first
    for k in range(int(free.sum(1).max())):
        site, here = places[row, k], free[row, places[row, k]]
        many = torch.where(here, sites.counts[site], 1.0).long()
        value = sites.values[site, number % many]
        where = sites.columns[site]
        full.scatter_(1, where, torch.where(here[:, None], value, full.gather(1, where)))
        number = torch.div(number, many, rounding_mode="floor")
    return full


def _sum_hidden(pair: Pair, v: Tensor, own: Tensor | None, held: Tensor, free: Tensor) -> Tensor:
    """Given h, free units contribute their cumulants and held ones field times value: two products."""
    visible, hidden = pair.visible, pair.hidden
    count = int(hidden.n_states or 0)
    known, open_sites = torch.where(held, v, 0.0).double(), free.double()
    total = torch.full((len(v),), -math.inf, dtype=torch.float64, device=v.device)
    alike = own is None and visible.in_rows(v) is visible
    chunk = max(1, CHUNK // (max(len(v), visible.width) if alike else len(v) * visible.width))
    for start in range(0, count, chunk):
        h = hidden.states(torch.arange(start, min(start + chunk, count), device=v.device)).to(v)
        field = pair.visible_field(h)
        terms = torch.addmm(-hidden.energy(h).double(), known, field.double().T)
        if alike:
            terms.addmm_(open_sites, visible.cumulant(field).double().T)
        else:
            units = visible.in_rows(v.repeat_interleave(len(h), 0))
            each = field.expand(len(v), -1, -1) if own is None else own[:, None] + field
            sums = units.cumulant(each.flatten(0, 1)).double()
            terms += (open_sites[:, None] * sums.view(len(v), len(h), -1)).sum(2)
        if own is not None:
            terms += (known * own.double()).sum(1, keepdim=True)
        total = torch.logaddexp(total, torch.logsumexp(terms, 1))
    return total - torch.where(free, 0.0, visible.potential(v).double()).sum(1)
