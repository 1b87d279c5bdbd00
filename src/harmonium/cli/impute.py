"""`harmonium impute`: the missing cells of a table, given the others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from harmonium.cli import screen, values
from harmonium.cli.folder import Saved, check_new_file, open_model, require_energy_model
from harmonium.cli.output import ENDINGS, Table, write
from harmonium.data.gaps import load_gaps
from harmonium.models.rows import partly_known
from harmonium.recipes.completion import best_guess, conditional_means
from harmonium.sampling import sample
from harmonium.units import Units


def run(model: Path, source: Path, out: Path, *, draw: bool, seed: int, force: bool) -> None:
    """Fill in, and write the whole table."""
    check_new_file(out, ENDINGS, force)
    saved = open_model(model)
    require_energy_model(saved.model)
    if not draw:
        visible_units(saved)
    rows, columns = load_gaps(source)
    x = partly_known(saved.model, rows, str(source))
    missing = torch.isnan(x).any(1)
    if bool(missing.any()):
        gaps = x[missing].to(saved.model.dtype)
        if draw:
            filled = sample(saved.model, len(gaps), gaps, seed=seed)
        else:
            means = conditional_means(saved.model, gaps, seed=seed)
            filled = torch.where(torch.isnan(gaps), best_guess(visible_units(saved), means), gaps)
        x[missing] = filled.to(x)
    table = _with_cells_given(rows, values.table(saved.space, x))
    write(out, Table(table, columns or saved.columns, saved.shape))
    how = "drawn" if draw else "filled in"
    screen.say(f"{int(np.isnan(rows).sum()):,} cells of {int(missing.sum()):,} rows {how}, in {out}")


def visible_units(saved: Saved) -> Units:
    """The visible units, without which there is no telling what a mean means."""
    if not isinstance(saved.space, Units):
        raise ValueError(
            f"{saved.path} holds a {type(saved.model).__name__}: --draw fills gaps, but no best guess."
        )
    return saved.space


def _with_cells_given(rows: np.ndarray, filled: np.ndarray) -> np.ndarray:
    """The cells that were there exactly as they were, whatever the model rounds to."""
    gaps = np.isnan(rows)
    if not gaps.any():
        return rows
    if np.array_equal(filled[~gaps], rows[~gaps]):
        return filled
    return np.where(gaps, filled.astype(rows.dtype), rows)
