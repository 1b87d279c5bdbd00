"""Evidence that differs from row to row, in one contraction.

Which row it is becomes one more variable R, the last: a factor that is cut at observed values turns into a
table over R and what is left of it, and a variable that only some rows observe gets a factor over R and
itself that forbids the other values. R is never summed out, so that every row has its own log Z, marginals
and samples.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from harmonium.models import contraction
from harmonium.models.contraction import Elimination, Factor
from harmonium.models.elimination import Order, best_order

TOGETHER = 2**22  # numbers in a table up to which rows that observe different variables share a contraction


def unique_evidence(given: Tensor) -> tuple[Tensor, Tensor]:
    """(the different rows of evidence, which of them each row is), NaN where free."""
    coded, kind = given.detach().cpu().double().nan_to_num(-1.0).unique(dim=0, return_inverse=True)
    return torch.where(coded < 0, torch.nan, coded), kind


@dataclass(frozen=True)
class Piece:
    """Some rows and the contraction that answers for them.

    Attributes:
        rows: their numbers, long.
        values: what they observe, (rows, variables), NaN where free.
        run: the elimination of all variables but R and those that every row observes.
        log_z: log Σ over the states that agree with each row, (rows,).
    """

    rows: Tensor
    values: Tensor
    run: Elimination
    log_z: Tensor


def contracted(
    factors: Sequence[Factor], cardinalities: Sequence[int], values: Tensor, memory: float, remember: bool
) -> Iterator[Piece] | None:
    """The pieces that all rows of `values` fall into, None where one of them needs more than `memory` bytes.

    Args:
        factors: (variables, log table) each.
        cardinalities: numbers of states.
        values: float64 (rows, variables), NaN where a variable is free; best without repeated rows.
        memory: bytes for the tables of a piece.
        remember: whether samples will be drawn.
    """
    everybody = torch.arange(len(values))
    whole = _plan(factors, cardinalities, values, memory)
    if whole is not None and whole.entries * len(values) <= TOGETHER:
        plans = [(everybody, whole)]
    else:
        _, same = torch.isnan(values).unique(dim=0, return_inverse=True)
        plans = []
        for k in range(int(same.max()) + 1 if len(same) else 0):
            rows = everybody[same == k]
            order = _plan(factors, cardinalities, values[rows], memory)
            if order is None:
                return None
            plans.append((rows, order))
    return _pieces(factors, cardinalities, values, memory, plans, remember)


def _pieces(  # noqa: PLR0913  # the two halves of `contracted`
    factors: Sequence[Factor],
    cardinalities: Sequence[int],
    values: Tensor,
    memory: float,
    plans: list[tuple[Tensor, Order]],
    remember: bool,
) -> Iterator[Piece]:
    for rows, order in plans:
        size = max(1, int(memory / (8.0 * max(order.entries, order.kept))))
        for some in rows.split(min(size, len(rows))):
            cut = _cut(factors, cardinalities, values[some])
            sizes = [*cardinalities, len(some)]
            run = contraction.eliminate(cut, order, sizes, remember=remember)
            log_z = contraction.total(run, (len(cardinalities),), sizes)
            yield Piece(some, values[some], run, log_z)


def _plan(
    factors: Sequence[Factor], cardinalities: Sequence[int], values: Tensor, memory: float
) -> Order | None:
    """The order for one row, None where it takes more than `memory` bytes."""
    held = set(_always(values))
    scopes = [tuple(v for v in scope if v not in held) for scope, _ in factors]
    order = best_order(scopes, cardinalities, held, memory / 8)
    return order if 8.0 * max(order.entries, order.kept) <= memory else None


def _always(values: Tensor) -> list[int]:
    """Variables that every row observes."""
    return torch.nonzero(~torch.isnan(values).any(0)).flatten().tolist()


def _cut(factors: Sequence[Factor], cardinalities: Sequence[int], values: Tensor) -> list[Factor]:
    """The factors given the rows, over R (the number of variables) and what is free in some row."""
    held, r = set(_always(values)), len(cardinalities)
    cut: list[Factor] = []
    for scope, table in factors:
        seen = [v for v in scope if v in held]
        if seen:
            left = [v for v in scope if v not in held]
            moved = table.permute([scope.index(v) for v in (*seen, *left)])
            scope, table = (r, *left), moved[tuple(values[:, v].long() for v in seen)]
        cut.append((scope, table))
    for v in torch.nonzero((~torch.isnan(values)).any(0)).flatten().tolist():
        if v not in held:
            observed = values[:, v, None]
            allowed = torch.isnan(observed) | (observed == torch.arange(cardinalities[v]))
            cut.append(((r, v), torch.where(allowed, 0.0, -math.inf).double()))
    return cut
