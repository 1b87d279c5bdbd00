"""`harmonium surprise`: the cells of a table that a model didn't expect."""

from __future__ import annotations

from pathlib import Path

from harmonium.answers.surprises import surprise
from harmonium.cli import screen
from harmonium.cli.folder import check_new_file, open_model, require_energy_model
from harmonium.cli.output import NUMBERS, Table, write
from harmonium.cli.rows import rows_asked
from harmonium.store import replacing

OF_ROWS = {"log_p": "log P", "low": "log P, low", "high": "log P, high"}
"""What a file calls the measures of whole rows, beside columns that may have any name."""


def run(
    model: Path,
    source: str,
    out: Path | None,
    png: Path | None,
    *,
    top: int,
    split: str | None,
    seed: int,
    force: bool,
) -> None:
    """Ask, print the cells, and write what is asked for."""
    import pandas as pd

    for path, endings in ((out, NUMBERS), (png, (".png",))):
        if path is not None:
            check_new_file(path, endings, force)
    saved = open_model(model)
    require_energy_model(saved.model)
    rows, notes = rows_asked(saved, source, split)
    found = surprise(saved.model, rows, seed=seed)
    if out is not None:
        table = pd.concat([found.rows.rename(columns=OF_ROWS), found.cells], axis=1)
        write(out, Table(table, tuple(map(str, table.columns))))
    if png is not None:
        from harmonium import plots

        with replacing(png) as new:
            new.write_bytes(plots.png(plots.surprising_cells(found, top)))
    for note in notes:
        screen.say(note)
    screen.say(screen.frame(found.top(top), index=False))
    for path in (out, png):
        if path is not None:
            screen.say(f"The {'cells' if path is png else 'rows'}: {path}")
