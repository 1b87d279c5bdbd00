"""Rows that a model is asked about, from a file or a bundled set."""

from __future__ import annotations

from typing import Any

from harmonium import checks, data
from harmonium.cli.folder import Saved


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
    learned_from = saved.about.get("data", {}).get("fingerprint") if unseen else None
    table, notes = data.load_table(source, split, learned_from)
    if saved.model.schema is not None and table.frame is not None:
        frame = table.frame
    elif table.columns is not None:
        frame = pd.DataFrame(table.array(), columns=list(table.columns))
    else:
        frame = pd.DataFrame(table.array())
    if pd.api.types.is_integer_dtype(frame.index.dtype):
        frame = frame.set_axis(frame.index + 1, axis=0)
    return frame, notes
