"""`harmonium impute`: the missing cells of a table, given the others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from harmonium.cli import screen, values
from harmonium.cli.folder import Saved, check_new_file, open_model, require_energy_model
from harmonium.cli.output import ENDINGS, Table, write
from harmonium.data.gaps import incomplete
from harmonium.models.intake import rows_of
from harmonium.recipes.completion import best_guess, conditional_means
from harmonium.sampling import sample_states
from harmonium.units import Units

if TYPE_CHECKING:
    import pandas as pd


def run(model: Path, source: Path, out: Path, *, draw: bool, seed: int, force: bool) -> None:
    """Fill in, and write the whole table."""
    check_new_file(out, ENDINGS, force)
    saved = open_model(model)
    require_energy_model(saved.model)
    if not draw:
        visible_units(saved)
    given, notes = incomplete(source)
    known = rows_of(saved.model, given, str(source), free=True)
    rows, x = np.asarray(known.x), known.states()
    missing = torch.isnan(x).any(1)
    if bool(missing.any()):
        gaps = x[missing]
        if draw:
            filled = sample_states(saved.model, len(gaps), gaps, seed=seed)
        else:
            means = conditional_means(saved.model, gaps, seed=seed)
            filled = torch.where(torch.isnan(gaps), best_guess(visible_units(saved), means), gaps)
        x[missing] = filled.to(x)
    if saved.model.schema is not None and given.frame is not None:
        table = filled_frame(given.frame, saved.model.schema.decode(x))
    else:
        table = _with_cells_given(rows, values.table(saved.space, x))
    if saved.model.schema is None and known.order is not None:  # the columns go back to where they were
        table = table[:, np.argsort(known.order)]
    write(out, Table(table, given.columns or saved.columns, saved.shape))
    for note in notes:
        screen.say(note)
    how = "drawn" if draw else "filled in"
    screen.say(f"{int(np.isnan(rows).sum()):,} cells of {int(missing.sum()):,} rows {how}, in {out}")


def visible_units(saved: Saved) -> Units:
    """The visible units, without which there is no telling what a mean means."""
    if not isinstance(saved.space, Units):
        raise ValueError(
            f"{saved.path} holds a {type(saved.model).__name__}: --draw fills gaps, but no best guess."
        )
    return saved.space


def filled_frame(given: pd.DataFrame, filled: pd.DataFrame) -> pd.DataFrame:
    """The table with its empty cells filled from another of the same rows; columns stay where they are."""
    whole = given.reset_index(drop=True)
    for label in filled.columns:
        column = whole[str(label)]
        if bool(column.isna().any()):
            gaps = column.isna().to_numpy()
            values = column.astype(object).where(~gaps, filled[label].astype(object))
            whole[str(label)] = values.astype(filled[label].dtype)
    return whole


def _with_cells_given(rows: np.ndarray, filled: np.ndarray) -> np.ndarray:
    """The cells that were there exactly as they were, whatever the model rounds to."""
    gaps = np.isnan(rows)
    if not gaps.any():
        return rows
    if np.array_equal(filled[~gaps], rows[~gaps]):
        return filled
    return np.where(gaps, filled.astype(rows.dtype), rows)
