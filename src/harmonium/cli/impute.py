"""`harmonium impute`: the missing cells of a table, given the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from harmonium.answers.imputation import impute
from harmonium.cli import screen
from harmonium.cli.as_in_file import as_in_file
from harmonium.cli.folder import Saved, check_new_file, open_model, require_energy_model
from harmonium.cli.output import ENDINGS, Table, write
from harmonium.cli.rows import check, incomplete_rows
from harmonium.models.table import Table as Rows


def run(
    model: Path,
    source: Path,
    out: Path,
    *,
    draw: bool,
    draws: int | None,
    uncertainty: Path | None,
    seed: int,
    force: bool,
) -> None:
    """Fill in, and write the whole table, or a table for each of several draws."""
    files = new_files(out, draw, draws, uncertainty, force)
    drawn = draw or draws is not None
    saved = open_model(model)
    require_energy_model(saved.model)
    if not drawn:
        check_units(saved)
    given, notes = incomplete_rows(saved, source)
    check(saved, given, str(source))
    rows, names = rows_of_file(saved, given), given.columns or saved.columns
    doubt = None
    if drawn:
        filled = impute(saved.model, rows, draws=len(files), seed=seed)
    elif uncertainty is None:
        filled = [impute(saved.model, rows, seed=seed)]
    else:
        guess, doubt = impute(saved.model, rows, uncertainty=True, seed=seed)
        filled = [guess]
    for path, table in zip(files, filled, strict=True):
        write(
            path, Table(as_in_file(source, given, names, _as_stored(given, table), path), names, saved.shape)
        )
    if uncertainty is not None:
        write(uncertainty, Table(doubt, names, saved.shape))
    for note in notes:
        screen.say(note)
    empty = np.asarray(given.frame.isna() if given.frame is not None else np.isnan(given.array()))
    how = ("drawn" if drawn else "filled in") + (f" {len(files)} times" if len(files) > 1 else "")
    where = str(out) if len(files) == 1 else f"{files[0]} to {files[-1].name}"
    screen.say(f"{int(empty.sum()):,} cells of {int(empty.any(1).sum()):,} rows {how}, in {where}")
    if uncertainty is not None:
        screen.say(f"How uncertain each of them is: {uncertainty}")


def new_files(out: Path, draw: bool, draws: int | None, uncertainty: Path | None, force: bool) -> list[Path]:
    """The files of the filled tables, which may be written as may the one of the uncertainty.

    Raises:
        ValueError: options that exclude each other, or a file that can't be written.
    """
    if draw and draws is not None:
        raise ValueError("--draw is one draw and --draws N are several; give one of them.")
    if uncertainty is not None and (draw or draws is not None):
        raise ValueError("--uncertainty is about the best guess, and draws tell theirs by their scatter.")
    if uncertainty is not None and uncertainty.absolute() == out.absolute():
        raise ValueError(f"--uncertainty and -o both name {out}, which can't hold both.")
    files = [out] if draws is None else [numbered(out, k + 1) for k in range(draws)]
    for path in files if uncertainty is None else [*files, uncertainty]:
        check_new_file(path, ENDINGS, force)
    return files


def numbered(path: Path, k: int) -> Path:
    """The file of one draw of several.

    >>> str(numbered(Path("drawn.csv"), 3))
    'drawn-3.csv'
    """
    return path.with_name(f"{path.stem}-{k}{path.suffix}")


def rows_of_file(saved: Saved, given: Rows) -> Any:
    """The rows of a file as the model takes them: a frame in the words of its schema, or the table."""
    return given.frame if saved.model.schema is not None and given.frame is not None else given


def check_units(saved: Saved) -> None:
    """Without units there is no telling what a mean means."""
    if any(variable.part is None for variable in saved.space.variables()):
        raise ValueError(
            f"{saved.path} holds a {type(saved.model).__name__}: --draw fills gaps, but no best guess."
        )


def _as_stored(given: Rows, filled: Any) -> Any:
    """The filled table in the type that the file had, where that holds all of it."""
    if not isinstance(filled, np.ndarray):
        return filled
    rows = given.array()
    whole = rows.dtype.kind in "biu" or np.array_equal(filled, np.round(filled))
    narrow = filled.astype(rows.dtype) if rows.dtype.kind == "f" or whole else filled
    return narrow if np.array_equal(narrow, filled) else filled
