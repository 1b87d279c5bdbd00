"""`harmonium sample`: rows from a model, on their own or given part of a row."""

from __future__ import annotations

from functools import singledispatch
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from harmonium import processes
from harmonium.cli import screen, torchrun, values
from harmonium.cli.arrange import sequences
from harmonium.cli.folder import Saved, check_new_file, open_model, require_energy_model
from harmonium.cli.output import ENDINGS, Table, write
from harmonium.cli.rows import incomplete_rows
from harmonium.data.gaps import incomplete
from harmonium.models import EnergyModel, TemporalRBM
from harmonium.models.intake import partly_known
from harmonium.models.table import Table as Rows
from harmonium.sampling import continuation, sample_states


def run(
    model: Path, out: Path, *, number: int, given: Path | None, sweeps: int | None, seed: int, force: bool
) -> None:
    """Draw, and write the rows."""
    with torchrun.joined():
        with processes.agreeing():
            if processes.first():
                check_new_file(out, ENDINGS, force)
            saved = open_model(model)
            require_energy_model(saved.model)
        drawn = _drawn(saved.model, Asked(saved, given, number, seed, sweeps))
        with processes.agreeing():
            if processes.first():
                columns = saved.columns and saved.columns[: drawn.shape[1]]
                write(out, Table(drawn, columns, saved.shape))
                screen.say(f"{number:,} samples in {out}")


class Asked(NamedTuple):
    """What is to be drawn."""

    saved: Saved
    given: Path | None
    number: int
    seed: int
    sweeps: int | None


@singledispatch
def _drawn(model: EnergyModel, asked: Asked) -> Any:
    """Rows as a table of the model's words."""
    rows, known = None, None
    if asked.given is not None:
        rows, known = _known(asked.saved, asked.given, asked.number)
    drawn = sample_states(model, asked.number, known, seed=asked.seed, sweeps=asked.sweeps)
    return values.rows_in_words(model, drawn, rows)


@_drawn.register(TemporalRBM)
def _(model: TemporalRBM, asked: Asked) -> Any:
    """The next frames after a sequence in a file, (number, columns), each given those before it."""
    if asked.given is None:
        raise ValueError(f"--given must name a sequence of at least {model.lags} frames to go on from.")
    told_apart = asked.saved.about.get("data", {}).get("sequence")
    found, _ = sequences(incomplete(asked.given)[0], told_apart, str(asked.given))
    return continuation(model, found[-1], asked.number, seed=asked.seed)[0].numpy()


def _known(saved: Saved, path: Path, number: int) -> tuple[Rows, Tensor]:
    """(What a file gives, as states)."""
    rows, notes = incomplete_rows(saved, path)
    if len(rows) not in (1, number):
        raise ValueError(f"{path} must hold 1 row or {number} (as many as -n asks for), got {len(rows)}.")
    found = partly_known(saved.model, rows, str(path))
    for note in notes + values.moved(found, str(path)):
        screen.say(note, not processes.first())
    known = found.states()
    return rows, known[0] if len(known) == 1 else known
