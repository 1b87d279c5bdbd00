"""Rows to learn from, rows to select on, and how much each counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from harmonium import checks, kernels
from harmonium.columns.frames import listed
from harmonium.models import EnergyModel
from harmonium.models.intake import Rows, rows_of, titles_of
from harmonium.numerics import as_often_as_they_count
from harmonium.random import Address, Purpose
from harmonium.units.base import Tail
from harmonium.units.mixed import parts_of

HOLD_OUT_FROM = 100  # rows from which on a tenth is held out when no validation rows are given


def split(
    model: EnergyModel, X: Any, validation: Any, sample_weight: Any, seed: int
) -> tuple[Rows, Rows | None, Tensor | None]:
    """(rows to learn from, rows to select on or None, weights of the former or None), all of it checked.

    The model remembers the names of the columns, where X has names.
    """
    rows = rows_of(model, X, "X", seed=seed, free=True)
    _refuse_nothing(rows, "X")
    rows, weights = _weighed(rows, _weights(sample_weight, len(rows)))
    if validation is None:
        train, valid, weights = _hold_out(rows, weights, seed)
    else:
        train, valid = (
            rows,
            rows_of(model, validation, "validation", seed=seed, free=True, columns=rows.columns),
        )
        _refuse_nothing(valid, "validation")
    refuse_constant(model, train, rows)
    if rows.columns is not None:
        model.columns = rows.columns
    return train, valid, weights


def _refuse_nothing(rows: Rows, name: str) -> None:
    if rows.free and all(bool(torch.isnan(piece).all()) for piece in rows.pieces()):
        raise ValueError(f"{name} must have a cell that is known, got NaN in all of them.")


def _weights(sample_weight: Any, n: int) -> Tensor | None:
    if sample_weight is None:
        return None
    try:
        w = torch.from_numpy(np.array(sample_weight, dtype=np.float64))  # a copy: pandas' can't be written to
    except (TypeError, ValueError):
        w = torch.empty(0)
    if w.shape != (n,) or not bool(torch.isfinite(w).all()) or bool((w < 0).any()) or float(w.sum()) == 0.0:
        raise ValueError(
            f"sample_weight must hold {n} finite numbers of at least 0, not all 0, "
            f"got {checks.describe(sample_weight)}."
        )
    return w


def _weighed(rows: Rows, weights: Tensor | None) -> tuple[Rows, Tensor | None]:
    """The rows that have a weight: those of weight 0 say nothing, and a batch of them would be no batch."""
    if weights is None or bool((weights > 0).all()):
        return rows, weights
    kept = torch.nonzero(weights > 0).flatten().numpy()
    return rows.part(kept), weights[kept]


def _hold_out(rows: Rows, weights: Tensor | None, seed: int) -> tuple[Rows, Rows | None, Tensor | None]:
    """(training rows, a tenth held out or None when the rows are few, weights of the training rows)."""
    n = len(rows)
    if n < HOLD_OUT_FROM:
        return rows, None, weights
    u = kernels.uniform(Address(seed, Purpose.SPLIT), (n, 1), torch.float64).flatten()
    order = torch.argsort(u).numpy()
    held, kept = np.sort(order[: min(n // 10, 10_000)]), np.sort(order[min(n // 10, 10_000) :])
    return rows.part(kept), rows.part(held), None if weights is None else weights[kept]


def refuse_constant(model: EnergyModel, train: Rows, rows: Rows) -> None:
    """A real column without spread has no density of largest likelihood to start a fresh model from."""
    if not model.named_blocks or bool((model.named_blocks[0].bias != 0).any()):
        return
    parts = parts_of(model.named_blocks[0])
    real = [part.tail is Tail.QUADRATIC for part in parts for _ in range(part.width)]
    if not any(real) or not any(constant := real & constant_columns(train)):
        return
    alone = train is not rows and not (constant & constant_columns(rows)).any()
    names = titles_of(model, rows, np.flatnonzero(constant).tolist())
    which = f"column {names[0]} is" if len(names) == 1 else f"{len(names)} columns are"
    where = " in the training rows, though not in those held out" if alone else ""
    kinds = dict.fromkeys(type(part).__name__ for part in parts if part.tail is Tail.QUADRATIC)
    raise ValueError(
        f"X: {which} constant{where}{f' ({listed(names)})' * (len(names) > 1)}, and {' and '.join(kinds)}"
        f" units need a spread; drop {'it' if len(names) == 1 else 'them'}{', or give validation=' * alone}."
    )


def constant_columns(rows: Rows) -> np.ndarray:
    """Which columns of the states have one value, (n_visible,), looking no further than all of them vary;
    free cells have none.
    """
    first, constant = rows.states(1)[0], None
    for piece in rows.pieces():
        same = piece == first
        if rows.free:
            unknown = torch.isnan(piece)
            found = piece[(~unknown).int().argmax(0), torch.arange(len(first), device=piece.device)]
            first = torch.where(torch.isnan(first), found, first)
            same = (piece == first) | unknown
        constant = same.all(0) if constant is None else constant & same.all(0)
        if not bool(constant.any()):
            break
    assert constant is not None
    return (constant & ~torch.isnan(first)).cpu().numpy()


def most_rows(rows: Rows) -> int:
    """Of how many rows a start is made, at most: 10,000, or as many as have a million cells."""
    return max(10_000, 2**20 // rows.states(1).shape[1])


def seen_first(rows: Rows) -> Tensor:
    """The rows that a start is made from, as states: all, or an even choice of very many."""
    return rows.states(most_rows(rows))


def weighed_first(rows: Rows, weights: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """(the rows that a start is made from, their weights): of very many a choice in which each stands as
    often as it counts, and counts once.
    """
    most = most_rows(rows)
    if weights is None or len(rows) <= most:
        return rows.states(most), weights
    return rows.part(as_often_as_they_count(weights, most).cpu().numpy()).states(), None
