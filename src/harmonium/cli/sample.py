"""`harmonium sample`: rows from a model, on their own or given part of a row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from harmonium import processes
from harmonium.cli import screen, torchrun, values
from harmonium.cli.arrange import sequences
from harmonium.cli.folder import Saved, check_new_file, open_model, require_energy_model
from harmonium.cli.output import ENDINGS, Table, write
from harmonium.data.gaps import incomplete
from harmonium.models import TemporalRBM
from harmonium.models.intake import partly_known
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
        if isinstance(saved.model, TemporalRBM):
            drawn = _onward(saved, given, number, seed)
        else:
            known = None if given is None else _known(saved, given, number)
            drawn = sample_states(saved.model, number, known, seed=seed, sweeps=sweeps)
        with processes.agreeing():
            if processes.first():
                columns = saved.columns and saved.columns[: drawn.shape[1]]
                write(out, Table(_in_words(saved, drawn), columns, saved.shape))
                screen.say(f"{number:,} samples in {out}")


def _in_words(saved: Saved, drawn: Tensor) -> Any:
    """The rows drawn as a table; frames of a sequence are numbers."""
    return drawn.numpy() if isinstance(saved.model, TemporalRBM) else values.rows_in_words(saved.model, drawn)


def _onward(saved: Saved, path: Path | None, number: int, seed: int) -> Tensor:
    """The next frames after a sequence in a file, (number, columns), each given those before it."""
    model = saved.model
    assert isinstance(model, TemporalRBM)  # as the caller has asked
    if path is None:
        raise ValueError(f"--given must name a sequence of at least {model.lags} frames to go on from.")
    found, _ = sequences(incomplete(path)[0], saved.about.get("data", {}).get("sequence"), str(path))
    return continuation(model, found[-1], number, seed=seed)[0]


def _known(saved: Saved, path: Path, number: int) -> Tensor:
    rows, notes = incomplete(path)
    if len(rows) not in (1, number):
        raise ValueError(f"{path} must hold 1 row or {number} (as many as -n asks for), got {len(rows)}.")
    found = partly_known(saved.model, rows, str(path))
    for note in notes + values.moved(found, str(path)):
        screen.say(note, not processes.first())
    known = found.states()
    return known[0] if len(known) == 1 else known
