"""Rows at every door: what a user has, checked against a model in one pass, as visible states.

Training, likelihoods, samples given part of a row, imputation and the command line all take rows here. A cell
that is NaN is free. Columns go by their names where both the table and the model have names, in any order.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harmonium import checks, kernels, processes
from harmonium.columns.frames import labels_of, listed, numbered
from harmonium.models.energy import EnergyModel
from harmonium.models.space import Space
from harmonium.models.support import Support, between, sites_of
from harmonium.models.table import (
    Selected,
    Stored,
    Table,
    as_numbers,
    as_table,
    not_finite,
    pieces,
    rows_at_once,
    take,
)
from harmonium.models.words import encoded, frame_of, in_words, is_free, known_codes, table_of
from harmonium.random import Address, Purpose
from harmonium.units import Units

WHOLE = 2**53  # float64 holds every whole number below


@dataclass(frozen=True)
class Rows:
    """Rows of data, as stored, with the way from there to visible states.

    Attributes:
        x: (rows, columns) as given, columns in the order of the model: states, compact codes, or
            probabilities; a numpy array or memory map, a tensor, or a selection of their rows.
        kind: "states", "codes" (integers for one-hot sites) or "probabilities" (of 0/1 units, drawn anew
            each epoch).
        prepare: (rows, row numbers, epoch) to states, (n, n_visible), NaN where a cell is free.
        columns: names of the columns, where known.
        free: whether some cells are free.
        order: number in the table given of each column of `x`, None where both are in one order.
    """

    x: Stored
    kind: str
    prepare: Callable[[Tensor, np.ndarray, int], Tensor]
    columns: tuple[str, ...] | None = None
    free: bool = False
    order: tuple[int, ...] | None = None

    def __len__(self) -> int:
        return len(self.x)

    def states(self, limit: int | None = None) -> Tensor:
        """States of all rows, or of `limit` rows spread evenly over them; probabilities are drawn once, as
        epoch 0.
        """
        n = len(self.x)
        numbers = (
            np.arange(n) if limit is None or limit >= n else np.linspace(0, n - 1, limit).astype(np.int64)
        )
        size = rows_at_once(self.width) if len(numbers) > 1 else 1
        found = [self._prepared(numbers[k : k + size]) for k in range(0, max(len(numbers), 1), size)]
        return found[0] if len(found) == 1 else torch.cat(found)

    def _prepared(self, numbers: np.ndarray) -> Tensor:
        return self.prepare(take(self.x, numbers), numbers, 0)

    @property
    def width(self) -> int:
        """Number of columns of the states."""
        return self._prepared(np.arange(1)).shape[1]

    def pieces(self) -> Iterator[Tensor]:
        """The states of `states()`, some rows at a time."""
        for numbers, rows in pieces(self.x, width=self.width):
            yield self.prepare(rows, numbers, 0)

    def part(self, numbers: np.ndarray) -> Rows:
        """The rows with these numbers; none is copied."""
        x = self.x
        chosen = Selected(x.x, x.numbers[numbers]) if isinstance(x, Selected) else Selected(x, numbers)
        return replace(self, x=chosen)


def titles_of(model: EnergyModel, rows: Rows, columns: Sequence[int]) -> list[str]:
    """What the user calls columns of states, by their numbers: the columns of the table that they are of, by
    their names where there are any; each once.
    """
    sites, names = sites_of(model), rows.columns
    by_site = rows.kind == "codes" or names is not None and len(names) == len(sites)
    if by_site:  # of a one-hot site several columns of states are one of the table
        starts = [site.start for site in sites]
        columns = [bisect_right(starts, column) - 1 for column in columns]
    return [str(k) if names is None else names[k] for k in dict.fromkeys(columns)]


def rows_of(
    model: EnergyModel,
    data: Any,
    name: str = "X",
    *,
    seed: int | None = None,
    free: bool = False,
    columns: tuple[str, ...] | None = None,
) -> Rows:
    """Check `data` against the visible variables of `model`.

    Args:
        model: whose visible variables decide what is valid.
        data: (rows, columns): whatever `as_table` takes. Columns are those of the visible states or, for
            one-hot sites, one integer per site. Where the model has a schema, a table whose columns have
            names is in the words of that schema.
        name: what to call it in sentences.
        seed: of the draws from probabilities, values between 0 and 1 for a layer of 0/1 units; None where
            rows must be states.
        free: whether cells may be free.
        columns: names to go by, in place of those of the model.

    Raises:
        TypeError, ValueError: in one sentence, saying what was expected, what came, and where.

    >>> import harmonium as hm
    >>> rbm = hm.RBM(visible=hm.Categorical(2, states=3), hidden=hm.Bernoulli(2))
    >>> rows_of(rbm, [[2, 0]]).states()
    tensor([[0., 0., 1., 1., 0., 0.]])
    """
    space = model.observed_space
    table, order = table_of(model, data, name, columns)
    support = Support(space, coded(space, table, name))
    drawn, gaps = _looked_at(table, support, name, seed is not None, free)
    gaps = gaps or space.width < model.visible_space.width
    kind = "probabilities" if drawn else "codes" if support.coded else "states"
    names = None if numbered(table.columns) else table.columns
    rows = Rows(table.values, kind, _preparation(model, kind, seed or 0), names, gaps, order)
    if gaps and model.context is not None:
        _check_context(model, rows, model.context, name)
    return rows


def _looked_at(table: Table, support: Support, name: str, drawing: bool, free: bool) -> tuple[bool, bool]:
    """(Whether some cells are probabilities, whether some are free) of checked rows; each of several
    processes looks at a part.
    """
    if processes.count() == 1:
        return _checked(table, support, name, (drawing, free), slice(0, len(table)))
    with processes.agreeing():
        own = _checked(table, support, name, (drawing, free), processes.share(len(table)))
    found = processes.gather_array(np.array([own]))
    return bool(found[:, 0].any()), bool(found[:, 1].any())


def _checked(
    table: Table, support: Support, name: str, allowed: tuple[bool, bool], part: slice
) -> tuple[bool, bool]:
    """The same of some rows; `allowed` says whether there may be either."""
    drawn, gaps, (drawing, free) = False, False, allowed
    for numbers, stored in pieces(table.values, part, support.space.width):
        piece = _exact(stored, name)
        missing = torch.isnan(piece) if stored.is_floating_point() else None
        if missing is not None and bool(missing.any()):
            if not free:
                raise ValueError(not_finite(table, name))
            piece, gaps = support.filled(piece, missing, name), True
        if support.wrong(piece):
            if not drawing or support.space.two_values != (0.0, 1.0) or not between(piece):
                raise ValueError(f"{name}: {support.sentence(piece, table, int(numbers[0]), free)}")
            drawn = True
    return drawn, gaps


def _check_context(model: EnergyModel, rows: Rows, context: slice, name: str) -> None:
    """Refuse rows whose context has free cells: nothing says what these could be."""
    start = 0
    for states in rows.pieces():
        wrong = torch.isnan(states[:, context]).any(1).nonzero().flatten().tolist()
        start += len(states)
        if wrong:
            titles = titles_of(model, rows, range(context.start, context.stop))
            raise ValueError(
                f"{name} must give the context (column{'s' * (len(titles) > 1)} {listed(titles)}) of every"
                f" row, got none in row {start - len(states) + wrong[0]}."
            )


def states_of(model: EnergyModel, X: Any, name: str = "X") -> Tensor:
    """Whole rows as visible states, (rows, n_visible), in the dtype of the model and on its device; raises as
    `rows_of`, and a TypeError where no row is whole.
    """
    if model.observed_space.width < model.visible_space.width:
        raise TypeError(
            f"model: {type(model).__name__} has variables beside those that rows of {name} hold, and this"
            " needs rows that are whole; hm.log_likelihood estimates log P of them."
        )
    return rows_of(model, X, name).states()


def known_states(model: EnergyModel, given: Any, n: int, name: str = "given") -> Tensor:
    """Evidence as states with NaN where free: (n_visible,), or (n, n_visible) where every row has its own.

    Args:
        model: the model.
        given: a row or `n` rows, NaN where free; or known values by the names of their columns.
        n: number of rows to be drawn.
        name: what to call it in sentences.

    Raises:
        TypeError, ValueError: as `rows_of`; another number of rows; a name that the model doesn't know.
    """
    if model.schema is not None:
        given = known_codes(model.schema, given, name)
    if isinstance(given, Mapping) or (model.columns is not None and hasattr(given, "to_frame")):
        return rows_of(model, _evidence(model, dict(given.items()), name), name, free=True).states()[0]
    x, space = as_numbers(given, name), model.observed_space
    named = model.columns is not None and (labels_of(given) is not None or isinstance(given, Table))
    width = space.width
    fits = named or x.shape[-1:] in ((width,), (space.code_width,))
    if fits and named and len(x) not in (1, n):
        raise ValueError(f"{name}: expected one row, or {n} as are drawn, got {len(x)}.")
    if not fits or x.ndim not in (1, 2) or (x.ndim == 2 and len(x) not in (1, n)):
        raise ValueError(
            f"{name}: expected shape ({width},) or ({n}, {width}) with NaN where free, got {tuple(x.shape)}."
        )
    states = rows_of(model, x[None] if x.ndim == 1 else given, name, free=True).states()
    return states[0] if len(states) == 1 else states


def partly_known(model: EnergyModel, given: Any, name: str = "given") -> Rows:
    """Rows of which some cells are known: a table in words may lack columns too."""
    if model.schema is None or not in_words(model.schema, given):
        return rows_of(model, given, name, free=True)
    codes = encoded(model.schema, given, name, partial=True)
    return replace(rows_of(model, codes, name, free=True), order=model.schema.order(frame_of(given)))


def features_of(model: EnergyModel, v: Any, name: str = "v") -> Tensor:
    """Visible rows for a method that takes tensors, whose values it doesn't look at either; free cells are
    refused.

    Codes, frames and names are understood as everywhere.
    """
    table, _ = table_of(model, v, name)
    support = Support(model.observed_space, coded(model.observed_space, table, name))
    x = _whole(table, name)
    if support.coded and support.wrong(x):
        raise ValueError(f"{name}: {support.sentence(x, table, 0)}")
    return support.states(x).to(device=model.device, dtype=model.dtype)


def hidden_of(model: EnergyModel, h: Any, name: str = "h") -> Tensor:
    """Hidden rows for a method that takes tensors, likewise."""
    return _whole(as_table(h, name), name).to(device=model.device, dtype=model.dtype)


# -- columns ---------------------------------------------------------------------------------------------


def coded(space: Space | Units, table: Table, name: str) -> bool:
    """Whether the columns are compact codes; an error where they are neither these nor states."""
    codes = space.code_width
    if table.width not in (space.width, codes):
        other = "" if space.width == codes else f" (states) or {codes} (integer codes)"
        raise ValueError(
            f"{name} must have {space.width} columns{other}, as the visible units of the model,"
            f" got {table.width}."
        )
    return table.width != space.width


def _evidence(model: EnergyModel, known: dict[Any, Any], name: str) -> Table:
    """One row from values by the names of their columns, NaN where there is none."""
    known = {key: value for key, value in known.items() if not is_free(value)}
    own = model.evidence_row(known)
    if own is not None:
        return Table(own[None].numpy(), model.columns)
    if model.columns is None:
        width = model.observed_space.width
        raise ValueError(
            f"{name}: expected a row of {width} numbers with NaN where free, since the columns of this model"
            f" have no names, got {checks.describe(known)}."
        )
    row = np.full((1, len(model.columns)), np.nan)
    for key, value in known.items():
        if model.columns.count(str(key)) != 1:
            raise ValueError(f"{name}: unknown column {key!r}; the columns are {listed(model.columns)}.")
        value = int(value) if isinstance(value, (bool, np.bool_)) else value
        row[0, model.columns.index(str(key))] = checks.number(f"{name}[{key!r}]", value)
    return Table(row, model.columns)


# -- values ----------------------------------------------------------------------------------------------


def _exact(stored: Tensor, name: str) -> Tensor:
    """Stored values in the smallest type that holds them exactly and in which -1 is less than 0."""
    if stored.dtype in (torch.int64, torch.uint64) and bool((stored.double().abs() >= WHOLE).any()):
        raise ValueError(
            f"{name} must hold whole numbers below 2**53, since float64 rounds larger ones,"
            f" got {stored.double().abs().max():.0f}."
        )
    return stored.to(torch.float32 if stored.dtype.itemsize <= 2 else torch.float64)


def _whole(table: Table, name: str) -> Tensor:
    """All values of a table, none of them free or infinite."""
    x = torch.cat([_exact(piece, name) for _, piece in pieces(table.values)])
    if not bool(torch.isfinite(x).all()):
        raise ValueError(not_finite(table, name))
    return x


def _preparation(model: EnergyModel, kind: str, seed: int) -> Callable[[Tensor, np.ndarray, int], Tensor]:
    dtype, device, support = model.dtype, model.device, Support(model.observed_space, coded=True)
    latent = model.visible_space.width - model.observed_space.width

    def states(x: Tensor, numbers: np.ndarray, epoch: int) -> Tensor:
        return x.to(device=device, dtype=dtype)

    def codes(x: Tensor, numbers: np.ndarray, epoch: int) -> Tensor:
        return support.states(x.to(device)).to(dtype)

    def probabilities(x: Tensor, numbers: np.ndarray, epoch: int) -> Tensor:
        p = x.to(device=device, dtype=dtype)
        address = Address(seed, Purpose.DATA, step=epoch, chain=numbers)
        drawn = (kernels.uniform(address, (len(p), p.shape[1]), dtype, device) < p).to(dtype)
        return torch.where(p == p, drawn, p)  # a free cell stays one

    prepare = {"states": states, "codes": codes, "probabilities": probabilities}[kind]
    return prepare if latent == 0 else lambda x, *where: _with_empty(prepare(x, *where), latent)


def with_latent(model: EnergyModel, v: Tensor) -> Tensor:
    """States of the observed variables as visible states, NaN where a model has more than is observed."""
    latent = model.visible_space.width - model.observed_space.width
    return v if latent == 0 else _with_empty(v, latent)


def observed(model: EnergyModel, v: Tensor) -> Tensor:
    """Of visible states the columns that a table holds, (rows, n_observed)."""
    return v[:, : model.observed_space.width]


def _with_empty(v: Tensor, columns: int) -> Tensor:
    return torch.nn.functional.pad(v, (0, columns), value=torch.nan)
