"""Rows that a model is asked about, from a file or a bundled set."""

from __future__ import annotations

from functools import singledispatch
from pathlib import Path
from typing import Any, NamedTuple

from harmonium import checks, data
from harmonium.cli.arrange import in_order, windows, windows_of
from harmonium.cli.folder import Saved
from harmonium.data.gaps import incomplete
from harmonium.models import EnergyModel, TemporalRBM
from harmonium.models.intake import rows_of
from harmonium.models.table import Table


def rows_to_measure(
    saved: Saved, source: str, split: str | None, *, unseen: bool = True
) -> tuple[Table, list[str]]:
    """(the rows of a source as the model takes them, notes on where they come from); arguments are those of
    `rows_asked`.
    """
    facts = saved.about.get("data", {})
    asked = Asked(source, split, facts.get("fingerprint") if unseen else None, facts.get("sequence"))
    return _rows_for(saved.model, asked)


class Asked(NamedTuple):
    """Which rows are asked for."""

    source: str
    split: str | None
    learned_from: str | None
    sequence: str | None


@singledispatch
def _rows_for(model: EnergyModel, asked: Asked) -> tuple[Table, list[str]]:
    """The rows as they are."""
    text = () if model.schema is None else model.schema.of_text()
    return data.load_table(asked.source, asked.split, asked.learned_from, text)


@_rows_for.register(TemporalRBM)
def _(model: TemporalRBM, asked: Asked) -> tuple[Table, list[str]]:
    """Frames beside those before them."""
    whole, split = data.load(asked.source), asked.split
    if split is None and whole.numbers is not None and data.fingerprint(asked.source) != asked.learned_from:
        table = windows_of(in_order(whole), model.lags, asked.sequence, whole.name)
        return table, [f"{whole.name}: {len(table):,} frames that have {model.lags} before them."]
    whole, split = windows(whole, model.lags, asked.sequence), split or "test"
    table = whole.table(split)
    return table, [*whole.notes, f"{whole.name}: the {len(table):,} {split} frames."]


def incomplete_rows(saved: Saved, path: Path) -> tuple[Table, list[str]]:
    """(the one table of a file in the types of the model's, notes on how it was read)."""
    schema = saved.model.schema
    return incomplete(path, () if schema is None else schema.of_text())


def check(saved: Saved, table: Table, source: str) -> None:
    """Refuse rows that the model can't take, in a sentence that names the file and counts rows from 1."""
    rows_of(saved.model, table, source, free=True)


def rows_asked(
    saved: Saved, source: str, split: str | None, *, unseen: bool = False
) -> tuple[Any, list[str]]:
    """(rows as the library takes them, notes on where they come from): a data frame where columns have names,
    whose index counts from 1 as files do, otherwise an array.

    Args:
        saved: the model.
        source: a bundled set, or a file.
        split: a part of it; by default the whole of a file that holds one table, else its part test.
        unseen: whether of a file that the model has learned from only the test rows will do.
    """
    import pandas as pd

    if split is not None:
        checks.one_of("--split", split, data.PARTS)
    table, notes = rows_to_measure(saved, source, split, unseen=unseen)
    check(saved, table, source)
    if saved.model.schema is not None and table.frame is not None:
        frame = table.frame
    elif table.columns is not None:
        frame = pd.DataFrame(table.array(), columns=list(table.columns))
    else:
        frame = pd.DataFrame(table.array())
    if pd.api.types.is_integer_dtype(frame.index.dtype):
        frame = frame.set_axis(frame.index + 1, axis=0)
    return frame, notes
