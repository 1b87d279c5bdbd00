"""Rows as a machine wants them: what is given, or a label, on the right; a frame beside those before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from harmonium import checks
from harmonium.cli import machines
from harmonium.cli.options import FitOptions, names_in
from harmonium.columns import Category, Schema
from harmonium.columns.frames import listed
from harmonium.data import PARTS, Dataset
from harmonium.data.tables import as_numbers
from harmonium.models.table import Table


def of_text(options: FitOptions) -> tuple[str, ...] | None:
    """Names of the columns to be read as text: none for a machine of numbers, else what looks like it."""
    numbers = options.model in ("temporal", "convolutional") or options.visible is not None
    return () if numbers else None


def arranged(options: FitOptions, dataset: Dataset) -> Dataset:
    """The data set as its machine learns it: codes of the schema that `hm.fit` would give its table, where it
    has names and the units aren't asked for; in the order of the machine.
    """
    if options.model == "temporal":
        return windows(dataset, options.frames or 1, options.sequence)
    if options.model == "convolutional" or dataset.frame is None or options.visible is not None:
        if options.leave_out:
            raise ValueError("--leave-out is for columns that have names and are told by their values.")
        return _last(dataset, _moved(options, dataset))
    last = _moved(options, dataset)
    frame = dataset.frame.rename(columns=str)
    _check(last, list(frame.columns), dataset.name)
    left_out = names_in(options.leave_out)
    kinds: dict[str, Any] = {last[0]: Category()} if options.model == "labelled" else {}
    ordered = frame[[*(name for name in frame.columns if name not in last), *last]]
    schema = Schema.of(ordered, leave_out=left_out, kinds=kinds, name=dataset.name, first=1)
    return replace(dataset, frame=ordered).encoded(schema)


def _moved(options: FitOptions, dataset: Dataset) -> list[str]:
    """Names of the columns that go to the right."""
    if options.model == "labelled":
        found = dataset.columns if dataset.frame is None else dataset.frame.columns
        names = list(map(str, range(dataset.width) if found is None else found))
        return [options.label] if options.label is not None else names[-1:]
    return machines.context_of(options, dataset) if options.model == "conditional" else []


def _check(wanted: Sequence[str], names: Sequence[str], title: str) -> None:
    for name in wanted:
        if name not in names:
            raise ValueError(f"{title} has no column {name!r}; its columns are {listed(tuple(names))}.")


def _last(dataset: Dataset, last: Sequence[str]) -> Dataset:
    """A data set of numbers with some of its columns moved to the right."""
    names = [str(k) for k in range(dataset.width)] if dataset.columns is None else list(dataset.columns)
    _check(last, names, dataset.name)
    if names[len(names) - len(last) :] == list(last):
        return dataset
    if dataset.columns is None:
        raise ValueError(f"{dataset.name} has columns without names, of which the last ones must be those.")
    order = [*(k for k, name in enumerate(names) if name not in last), *(names.index(x) for x in last)]
    parts: dict[str, Any] = {part: dataset.part(part)[:, order] for part in PARTS}
    return replace(dataset, columns=tuple(names[k] for k in order), frame=None, shape=None, **parts)


# -- sequences -------------------------------------------------------------------------------------------


def windows(dataset: Dataset, lags: int, sequence: str | None) -> Dataset:
    """Each frame of a sequence beside the `lags` before it; of a single table the first eight tenths to learn
    from, the next one to select on, and the last to test.
    """
    lags = checks.positive_integer("--frames", lags)
    if dataset.numbers is None:
        tables = {part: windows_of(dataset.table(part), lags, sequence, dataset.name) for part in PARTS}
        columns, notes = tables["train"].columns, dataset.notes
        parts: dict[str, Any] = {part: np.asarray(table.values) for part, table in tables.items()}
    else:
        table = windows_of(in_order(dataset), lags, sequence, dataset.name)
        rows, columns = np.asarray(table.values), table.columns
        tenth = max(1, len(rows) // 10)
        ends = len(rows) - 2 * tenth, len(rows) - tenth
        if ends[0] < 1:
            raise ValueError(f"{dataset.name} must have at least {lags + 3} frames, got {len(rows) + lags}.")
        parts = dict(zip(PARTS, np.split(rows, ends), strict=True))
        notes = [f"{dataset.name}: of its frames the last tenth is for test, the one before to select on."]
    return replace(
        dataset, columns=columns, notes=notes, numbers=None, frame=None, shape=None, labels=None, **parts
    )


def in_order(dataset: Dataset) -> Table:
    """All rows of a file that holds a single table, as they stand there."""
    assert dataset.numbers is not None
    rows = np.concatenate([dataset.part(part) for part in PARTS])
    order = np.argsort(np.concatenate([dataset.numbers[part] for part in PARTS]))
    return Table(rows[order], dataset.columns, 1, dataset.frame)


def windows_of(table: Table, lags: int, sequence: str | None, title: str) -> Table:
    """The frames of a table, each beside the `lags` before it; `sequence` names the column that tells
    sequences apart.
    """
    found, names = sequences(table, sequence, title)
    long = [x for x in found if len(x) > lags]
    if not long:
        raise ValueError(f"{title} must have a sequence of more than {lags} frames, got none.")
    shifted = [np.concatenate([x[lags - d : len(x) - d] for d in range(lags + 1)], 1) for x in long]
    columns = None
    if names is not None:
        columns = (*names, *(f"{name}, {d} before" for d in range(1, lags + 1) for name in names))
    return Table(np.concatenate(shifted), columns, 1)


def sequences(
    table: Table, sequence: str | None, title: str
) -> tuple[list[np.ndarray], tuple[str, ...] | None]:
    """(the sequences of a table, (frames, columns) each, names of the columns)."""
    names = None if table.columns is None else list(map(str, table.columns))
    values: Any = table.values
    which = np.zeros(len(values), dtype=int)
    if sequence is not None:
        _check([sequence], names or [], title)
        assert names is not None
        place = names.index(sequence)
        told = table.frame.iloc[:, place].astype(str) if table.frame is not None else values[:, place]
        which = np.unique(np.asarray(told), return_inverse=True)[1]
        values = np.delete(values, place, axis=1)
        names.remove(sequence)
    if values.dtype == object:
        frame = table.frame.rename(columns=str)
        values = as_numbers(Path(title), frame if names is None else frame[names])
    found = [np.asarray(values)[which == k] for k in range(which.max(initial=0) + 1)]
    return found, None if names is None else tuple(names)
