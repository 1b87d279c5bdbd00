"""`harmonium report`: a page on a model and a table."""

from __future__ import annotations

from pathlib import Path

from harmonium.cli import screen
from harmonium.cli.folder import check_new_file, open_model, require_energy_model
from harmonium.cli.rows import rows_asked
from harmonium.reports import report


def run(model: Path, source: str, out: Path, *, split: str | None, seed: int, force: bool) -> None:
    """Measure, and write the page."""
    check_new_file(out, (".html",), force)
    saved = open_model(model)
    require_energy_model(saved.model)
    rows, notes = rows_asked(saved, source, split, unseen=True)
    found = report(saved.model, rows, title=f"{source}: what the model makes of it", seed=seed)
    found.save(out)
    for note in notes:
        screen.say(note)
    screen.say(f"log-likelihood: {screen.interval(found.log_likelihood)}")
    screen.say(f"The report: {out}")
