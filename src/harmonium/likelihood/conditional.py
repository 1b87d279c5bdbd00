"""log P(v_A | v_B): some visible variables given the others.

With Z(v_B) the sum of exp(-E) over everything but the given variables,

    log P(v_A | v_B) = -F(v) - log Z(v_B),

and Z(v_B) is the partition function of a model again, with the given variables clamped: one for each row. It
is summed where the completions of a row, or the hidden states, are few; otherwise every row gets replica
exchange of its own, all rows at once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harmonium import checks
from harmonium.columns import Schema
from harmonium.columns.frames import listed
from harmonium.likelihood import schedule
from harmonium.likelihood.bridge import bridge
from harmonium.likelihood.estimate import Estimate
from harmonium.likelihood.interval import GUARD, student
from harmonium.likelihood.partition import WORK
from harmonium.likelihood.rows import RowEstimates, free_energies, in_codes, visible_states
from harmonium.likelihood.tempered import Budget, Progress, Run, advance
from harmonium.models import EnergyModel, MarkovRandomField, PairwiseModel
from harmonium.models.intake import log_jacobian
from harmonium.models.space import Discrete, Space
from harmonium.random import Address, Purpose
from harmonium.sampling import Clamp
from harmonium.sampling.tempering import Exchange, Ladder, Replicas, broad
from harmonium.units import Units
from harmonium.units.mixed import parts_of

COMPLETIONS = 2**12  # most completions of a row, and
PAIRS = 2**26  # most pairs of a row and a state, that are summed
CHUNK = 2**20  # pairs of a row and a state per block of work
GROUPS = 4  # sets of replicas for each row, half of them started at either end
TUNING = (16, 32, 64)
EVEN = np.linspace(0.0, 1.0, 8)  # rungs to begin with
TUNED = 64  # rows, an even choice, for which the rungs are placed
BURN_IN = 0.25
FEWEST = 48  # sweeps measured, however short the time


def conditional_log_likelihood(
    model: EnergyModel,
    X: Any,
    given: Any,
    *,
    seconds: float | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Estimate:
    """Mean over the rows of X of log P(v_A | v_B), nats per row, with a 95 % interval.

    Args:
        model: the model.
        X: complete visible states, (rows, n_visible).
        given: bool, (n_visible,) or one for each site: True for the variables B that are given, False for
            those of A. For a model with a schema also the names of B. For a Markov random field also the names of B, or a mapping from them to states, which
            the rows must agree with.
        seconds: about how long an estimate may take; more time gives a narrower interval.
        seed: same seed, same estimate.
        progress: called with the share of the work done and what is being done.

    Raises:
        ValueError: X or `given` has the wrong shape, X values outside the support, or what is given has
            probability zero.

    >>> import harmonium as hm
    >>> rbm = hm.RBM(visible=hm.Bernoulli(3), hidden=hm.Bernoulli(2))
    >>> e = conditional_log_likelihood(rbm, torch.zeros(1, 3), torch.tensor([True, True, False]))
    >>> round(e.value, 1), e.method
    (-0.7, 'exact, sum over 2 completions')
    """
    return conditional_log_probabilities(
        model, X, given, seconds=seconds, seed=seed, progress=progress
    ).mean()


def conditional_log_probabilities(
    model: EnergyModel,
    X: Any,
    given: Any,
    *,
    seconds: float | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> RowEstimates:
    """The same for every row, as `RowEstimates`; arguments and errors are those of
    `conditional_log_likelihood`.
    """  # noqa: D417  # described there
    X = in_codes(model, X)
    v = visible_states(model, X)
    held = _mask(model, given, v)
    if not model.has_free_energy():
        raise TypeError(f"model: expected a model with a free energy, got {type(model).__name__} without.")
    value = -free_energies(model, v)
    log_z = clamped_log_partitions(model, v, held, Budget(WORK, seconds, progress), seed)
    impossible = torch.nonzero(log_z.value == -math.inf).flatten()
    if len(impossible):
        raise ValueError(f"given: what row {int(impossible[0])} of X gives has probability zero.")
    found = RowEstimates(
        value=value - log_z.value,
        stderr=log_z.stderr,
        low=value - log_z.high,
        high=value - log_z.low,
        shared=False,
        method=log_z.method,
        warnings=log_z.warnings,
        details=log_z.details,
    )
    return found.plus(log_jacobian(model, X, held=held))


def _mask(model: EnergyModel, given: Any, v: Tensor) -> Tensor:
    if isinstance(model, MarkovRandomField):
        given = _by_name(model, given, v)
    elif model.schema is not None:
        given = _by_column(model.schema, given)
    try:
        held, columns = torch.as_tensor(given).to(v.device), _columns(model)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(
            f"given: expected a boolean mask of shape ({v.shape[1]},), True for the variables to condition on"
            f" at the values that X has for them, got {checks.describe(given)}."
        ) from None
    if held.dtype != torch.bool or held.shape not in (v.shape[1:], columns.shape):
        raise ValueError(
            f"given: expected a boolean mask of shape ({v.shape[1]},), got {held.dtype} of shape "
            f"{tuple(held.shape)}."
        )
    if held.shape == columns.shape:
        return held.repeat_interleave(columns)
    if not torch.equal(held, _by_site(model.visible_space, held).repeat_interleave(columns)):
        raise ValueError("given: expected all columns of a one-hot site to be given, or none of them.")
    return held


def _by_column(schema: Schema, given: Any) -> Any:
    """The mask that names of columns stand for; anything else as it is."""
    if not isinstance(given, (list, tuple)) or not all(isinstance(name, str) for name in given):
        return given
    slices = schema.slices()
    unknown = [name for name in given if name not in schema]
    if unknown:
        raise ValueError(f"given: unknown column {unknown[0]!r}; the columns are {listed(schema.names)}.")
    held = torch.zeros(schema.width, dtype=torch.bool)
    for name in given:
        held[slices.get(name, slice(0, 0))] = True
    return held


def _by_name(field: MarkovRandomField, given: Any, v: Tensor) -> Any:
    """The mask that names stand for; anything else as it is."""
    if isinstance(given, Mapping):
        row = field.evidence_row(given).to(v)
        held = ~torch.isnan(row)
        other = torch.nonzero((v[:, held] != row[held]).any(1)).flatten()
        if len(other):
            raise ValueError(
                f"given: row {int(other[0])} of X has other states than {dict(given)!r}; the rows say what "
                "is given, a mask or names say where."
            )
        return held
    if not isinstance(given, (list, tuple)) or all(isinstance(name, bool) for name in given):
        return given
    if all(name in field.variables for name in given):
        return torch.tensor([name in given for name in field.variables])
    return given


def _columns(model: EnergyModel) -> Tensor:
    """The number of columns of every visible site."""
    return torch.tensor([columns for _, columns in _sites(model.visible_space)], device=model.device)


def _sites(space: Space | Units) -> list[tuple[Units | None, int]]:
    """(the layer it belongs to, its number of columns) for every visible site."""
    if not isinstance(space, Units):
        return [(None, 1)] * space.width
    parts = parts_of(space)
    return [(part, part.width // part.n) for part in parts for _ in range(part.n)]


def _by_site(space: Space | Units, held: Tensor) -> Tensor:
    """The mask by site instead of by column, from the first column of each."""
    starts = np.cumsum([0] + [columns for _, columns in _sites(space)])[:-1]
    return held[torch.from_numpy(starts).to(held.device)]


# ---------------------------------------------------------------- log Z of clamped models
def clamped_log_partitions(
    model: EnergyModel, v: Tensor, held: Tensor, budget: Budget, seed: int
) -> RowEstimates:
    """log Σ exp(-E) over everything but the held visible variables, for every row of v, nats."""
    if isinstance(model, MarkovRandomField):
        values = model.log_partitions(torch.where(held, v.double(), torch.nan))
        if values is not None:
            return _exact(values.to(v.device), "states by contraction")
    free = ~_by_site(model.visible_space, held)
    completions = _completions(model, held, free)
    if completions is not None and model.has_free_energy() and len(completions) * len(v) <= PAIRS:
        return _exact(_sum_completions(model, v, held, completions), f"{len(completions)} completions")
    if isinstance(model, PairwiseModel) and len(model.layers) == 2:
        states = model.layers[1].n_states
        if states is not None and states * len(v) <= PAIRS:
            return _exact(_sum_hidden(model, v, held, free), f"{states} hidden states")
    if isinstance(model, MarkovRandomField) and not model.positive:
        raise ValueError(
            "model: a field with zero potentials, too wide for exact sums given these variables; one row at "
            "a time hm.log_partition(field.condition({variable: state, ...})) estimates log Z given them."
        )
    return _exchanged(model, v, held, budget, seed)


def _exact(value: Tensor, what: str) -> RowEstimates:
    return RowEstimates(value, torch.zeros_like(value), value, value, False, f"exact, sum over {what}")


def _completions(model: EnergyModel, held: Tensor, free: Tensor) -> Tensor | None:
    """All states of the free variables, (states, free columns), where they are few."""
    counts = [_cardinality(model, i) for i in free.nonzero().flatten().tolist()]
    if None in counts or math.prod(c for c in counts if c) > COMPLETIONS:
        return None
    rows = torch.zeros(1, 0)
    for i, count in zip(free.nonzero().flatten().tolist(), counts, strict=True):
        values = _values(model, i, count or 0)
        rows = torch.cat([rows.repeat_interleave(len(values), 0), values.repeat(len(rows), 1)], 1)
    return rows.to(device=model.device, dtype=model.dtype)


def _cardinality(model: EnergyModel, site: int) -> int | None:
    space = model.visible_space
    if isinstance(space, Discrete):
        return space.cardinalities[site]
    layer = _sites(space)[site][0]
    return None if layer is None else layer.cardinality


def _values(model: EnergyModel, site: int, count: int) -> Tensor:
    layer = _sites(model.visible_space)[site][0]
    return torch.arange(float(count))[:, None] if layer is None else layer.site_values()


@torch.no_grad()
def _sum_completions(model: EnergyModel, v: Tensor, held: Tensor, completions: Tensor) -> Tensor:
    parts = []
    for rows in v.split(max(1, CHUNK // len(completions))):
        full = rows.repeat_interleave(len(completions), 0)
        full[:, ~held] = completions.repeat(len(rows), 1)
        parts.append(torch.logsumexp(-free_energies(model, full).view(len(rows), -1), 1))
    return torch.cat(parts)


@torch.no_grad()
def _sum_hidden(model: PairwiseModel, v: Tensor, held: Tensor, free: Tensor) -> Tensor:
    """Given h, free units contribute their cumulants and held ones field times value: one matrix product."""
    visible, hidden = model.layers
    count = int(hidden.n_states or 0)
    total = torch.full((len(v),), -math.inf, dtype=torch.float64, device=v.device)
    chunk = max(1, CHUNK // max(len(v), visible.width))
    for start in range(0, count, chunk):
        h = hidden.states(torch.arange(start, min(start + chunk, count), device=v.device)).to(v)
        field = model.field(0, (v[:0], h))
        own = visible.cumulant(field)[:, free].double().sum(1) - hidden.energy(h).double()
        terms = own + v[:, held].double() @ field[:, held].double().T
        total = torch.logaddexp(total, torch.logsumexp(terms, 1))
    return total - visible.potential(v)[:, ~free].double().sum(1)


def _base(start: EnergyModel, v: Tensor, held: Tensor) -> Tensor:
    """log Σ exp(-E) of the reference with the held variables clamped, (rows,), float64."""
    free = ~_by_site(start.visible_space, held)
    if isinstance(start, PairwiseModel):
        visible, *others = start.layers
        total = visible.cumulant(visible.bias[None])[0, free].double().sum()
        total = total + sum(layer.cumulant(layer.bias[None]).double().sum() for layer in others)
        own = visible.potential(v)[:, ~free].sum(1) - v[:, held] @ visible.bias[held]
        return total - own.double()
    counts = [_cardinality(start, i) for i in free.nonzero().flatten().tolist()]
    if None in counts:
        raise TypeError("model: expected free variables with finitely many states, got others.")
    hidden = start.hidden_space
    log_states = sum(math.log(c) for c in counts if c) + (
        0.0 if hidden is None else math.log(hidden.n_states)
    )
    return torch.full((len(v),), log_states, dtype=torch.float64, device=v.device)


# ---------------------------------------------------------------- replica exchange for every row
@torch.no_grad()
def _exchanged(model: EnergyModel, v: Tensor, held: Tensor, budget: Budget, seed: int) -> RowEstimates:
    budget.start(model)
    some = torch.linspace(0, len(v) - 1, min(len(v), TUNED), device=v.device).long()
    run = _tuned(_begin(model, v[some], held, seed), seed, budget)
    if len(some) < len(v):
        run = _begin(model, v, held, seed, run.ladder.positions)
    run = Run(run.ladder, run.replicas, run.cold)
    exchange = Exchange(run.ladder, run.groups, seed)
    while len(run.works) < FEWEST or not budget.spent_up:
        budget.tell("exchanging replicas")
        left = budget.sweeps_left(model, run.groups * len(run.ladder))
        advance(run, exchange, int(min(32, max(left, 8))), budget)
    budget.tell("done")
    base = _base(run.ladder.nodes[0], v, held).cpu().numpy()
    return _estimates(run, base, len(v))


def _begin(model: EnergyModel, v: Tensor, held: Tensor, seed: int, positions: np.ndarray = EVEN) -> Run:
    """Groups GROUPS·i … GROUPS·i + 3 belong to row i; the first two begin at the reference, the others at
    v.
    """
    start = broad(model)
    address = Address(seed, Purpose.START)
    rungs, groups = len(positions), GROUPS * len(v)
    random = start.random_state(groups * rungs, address)
    known = tuple(x.repeat_interleave(GROUPS * rungs, 0) for x in model.state_of(v))
    cold = torch.arange(groups, device=v.device).remainder(GROUPS).ge(GROUPS // 2).repeat_interleave(rungs)
    state = tuple(torch.where(cold[:, None], k, r) for k, r in zip(known, random, strict=True))
    clamp = Clamp(held, v.repeat_interleave(GROUPS * rungs, 0))
    state = (clamp.apply(state[0]), *state[1:])
    rung = np.tile(np.arange(rungs), (groups, 1))
    return Run(
        Ladder((start, model), positions, clamp),
        Replicas(state, rung, Address(seed, Purpose.ANNEALING)),
        model.state_of(v),
    )


def _tuned(run: Run, seed: int, budget: Budget) -> Run:
    """Place the rungs where they suit the rows on average."""
    for sweeps in TUNING:
        budget.tell("placing the temperatures")
        advance(run, Exchange(run.ladder, run.groups, seed), sweeps, budget)
        lengths = schedule.distances(run.bridges(skip=0.5))
        positions = schedule.replaced(run.ladder.positions, lengths, 2)
        clamp = run.ladder.clamp
        assert clamp is not None
        rungs = len(run.ladder)
        values = clamp.values[::rungs].repeat_interleave(len(positions), 0)
        nearest = np.abs(positions[:, None] - run.ladder.positions).argmin(1)
        rows = torch.from_numpy((np.arange(run.groups)[:, None] * rungs + nearest).ravel())
        state = tuple(x[rows.to(x.device)] for x in run.replicas.sorted())
        rung = np.tile(np.arange(len(positions)), (run.groups, 1))
        ladder = Ladder(run.ladder.nodes, positions, Clamp(clamp.held, values))
        run = Run(ladder, Replicas(state, rung, run.replicas.address), run.cold)
    return run


def _estimates(run: Run, base: np.ndarray, rows: int) -> RowEstimates:
    """What the groups of every row say together, with one error for all rows: four groups alone say little of
    it.
    """
    works = run.bridges(BURN_IN)
    results = [bridge(works.groups(slice(GROUPS * i, GROUPS * (i + 1)))) for i in range(rows)]
    value = base + np.array([r.value for r in results])
    variance = float(np.mean([max(r.stderr**2, r.naive_variance) for r in results]))
    by_group = np.stack([r.by_group for r in results])
    gap = by_group[:, GROUPS // 2 :].mean(1) - by_group[:, : GROUPS // 2].mean(1)
    reach = GUARD * student((GROUPS - 1) * rows, 0.975) * variance**0.5
    warnings = []
    drawn_apart = float(np.abs(gap).max()) / max((4 * variance) ** 0.5, 1e-12)
    if drawn_apart > student((GROUPS - 1) * rows, 1 - 5e-4 / rows):
        reach = np.maximum(reach, np.abs(gap))
        warnings.append(
            "for some rows chains from the reference and chains from the data disagree, by up to "
            f"{np.abs(gap).max():.2g} nats; give more time"
        )
    method = f"replica exchange for every row, {len(run.ladder)} temperatures, {len(run.works)} sweeps"
    same = np.zeros(rows)
    value_, stderr, low, high = (
        torch.from_numpy(x + same) for x in (value, variance**0.5, value - reach, value + reach)
    )
    details = {
        "temperatures": run.ladder.positions.round(6).tolist(),
        "overlap": float(np.mean([r.overlaps.min() for r in results])),
        "disagreement": float(np.abs(gap).mean()),
    }
    return RowEstimates(value_, stderr, low, high, False, method, tuple(warnings), details)
