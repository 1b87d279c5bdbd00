"""`harmonium conditional`: what a column may hold in each row, given the rest of the row."""

from __future__ import annotations

from pathlib import Path

from harmonium.answers.surprises import conditional
from harmonium.cli import screen
from harmonium.cli.folder import check_new_file, open_model, require_energy_model
from harmonium.cli.output import NUMBERS, Table, write
from harmonium.cli.rows import rows_asked

SHOWN = 20
"""Rows that are printed."""


def run(
    model: Path, source: str, column: str, out: Path | None, *, split: str | None, seed: int, force: bool
) -> None:
    """Ask, and print or write the answer."""
    if out is not None:
        check_new_file(out, NUMBERS, force)
    saved = open_model(model)
    require_energy_model(saved.model)
    rows, notes = rows_asked(saved, source, split)
    nameless = saved.model.columns is None and column.isdecimal()
    found = conditional(saved.model, rows, int(column) if nameless else column, seed=seed)
    found.columns = [str(value) for value in found.columns]
    for note in notes:
        screen.say(note)
    if out is not None:
        write(out, Table(found, tuple(found.columns)))
        screen.say(f"{column} of {len(found):,} rows, given the rest of each, in {out}")
        return
    screen.say(screen.frame(found.head(SHOWN)))
    if len(found) > SHOWN:
        screen.say(f"and {len(found) - SHOWN:,} further rows; -o FILE writes all.")
