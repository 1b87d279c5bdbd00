"""Rows that a model is asked about, from a file or a bundled set."""

from __future__ import annotations

from typing import Any

from harmonium import checks, data
from harmonium.cli.arrange import in_order, windows, windows_of
from harmonium.cli.folder import Saved
from harmonium.models import TemporalRBM
from harmonium.models.table import Table


def rows_to_measure(
    saved: Saved, source: str, split: str | None, *, unseen: bool = True
) -> tuple[Table, list[str]]:
    """(the rows of a source as the model takes them, notes on where they come from); frames of sequences
    beside those before them. Arguments are those of `rows_asked`.
    """
    facts, model = saved.about.get("data", {}), saved.model
    learned_from = facts.get("fingerprint") if unseen else None
    if not isinstance(model, TemporalRBM):
        return data.load_table(source, split, learned_from)
    sequence = facts.get("sequence")
    whole = data.load(source)
    if split is None and whole.numbers is not None and data.fingerprint(source) != learned_from:
        table = windows_of(in_order(whole), model.lags, sequence, whole.name)
        return table, [f"{whole.name}: {len(table):,} frames that have {model.lags} before them."]
    whole, split = windows(whole, model.lags, sequence), split or "test"
    table = whole.table(split)
    return table, [*whole.notes, f"{whole.name}: the {len(table):,} {split} frames."]


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
    if saved.model.schema is not None and table.frame is not None:
        frame = table.frame
    elif table.columns is not None:
        frame = pd.DataFrame(table.array(), columns=list(table.columns))
    else:
        frame = pd.DataFrame(table.array())
    if pd.api.types.is_integer_dtype(frame.index.dtype):
        frame = frame.set_axis(frame.index + 1, axis=0)
    return frame, notes
