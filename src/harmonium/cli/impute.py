"""`harmonium impute`: the missing cells of a table, given the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from harmonium.cli import screen
from harmonium.cli.folder import Saved, check_new_file, open_model, require_energy_model
from harmonium.cli.output import ENDINGS, Table, write
from harmonium.data.gaps import incomplete
from harmonium.models.table import Table as Rows
from harmonium.recipes.imputation import impute
from harmonium.units import Units


def run(model: Path, source: Path, out: Path, *, draw: bool, seed: int, force: bool) -> None:
    """Fill in, and write the whole table."""
    check_new_file(out, ENDINGS, force)
    saved = open_model(model)
    require_energy_model(saved.model)
    if not draw:
        check_units(saved)
    given, notes = incomplete(source)
    rows = rows_of_file(saved, given)
    filled = (
        impute(saved.model, rows, draws=1, seed=seed)[0] if draw else impute(saved.model, rows, seed=seed)
    )
    write(out, Table(_as_stored(given, filled), given.columns or saved.columns, saved.shape))
    for note in notes:
        screen.say(note)
    empty = np.asarray(given.frame.isna() if given.frame is not None else np.isnan(np.asarray(given.values)))
    how = "drawn" if draw else "filled in"
    screen.say(f"{int(empty.sum()):,} cells of {int(empty.any(1).sum()):,} rows {how}, in {out}")


def rows_of_file(saved: Saved, given: Rows) -> Any:
    """The rows of a file as the model takes them: a frame in the words of its schema, or the table."""
    return given.frame if saved.model.schema is not None and given.frame is not None else given


def check_units(saved: Saved) -> None:
    """Without units there is no telling what a mean means."""
    if not isinstance(saved.space, Units):
        raise ValueError(
            f"{saved.path} holds a {type(saved.model).__name__}: --draw fills gaps, but no best guess."
        )


def _as_stored(given: Rows, filled: Any) -> Any:
    """The filled table in the type that the file had, where that holds all of it."""
    if not isinstance(filled, np.ndarray):
        return filled
    rows = np.asarray(given.values)
    whole = rows.dtype.kind in "biu" or np.array_equal(filled, np.round(filled))
    narrow = filled.astype(rows.dtype) if rows.dtype.kind == "f" or whole else filled
    return narrow if np.array_equal(narrow, filled) else filled
