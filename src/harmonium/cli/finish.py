"""After training: the model on the disk, the report, and a few words on the screen."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harmonium import data, processes, store
from harmonium.cli import folder, screen
from harmonium.cli.measure import measure
from harmonium.cli.options import FitOptions
from harmonium.cli.plain import plain
from harmonium.cli.report import Run, report, summary
from harmonium.data import Dataset
from harmonium.learning import Update
from harmonium.models import EnergyModel
from harmonium.plots.charts import by_layer
from harmonium.recipes import History


def finish(
    options: FitOptions, model: EnergyModel, dataset: Dataset, history: History, seconds: float
) -> None:
    """Write the model, measure it, write what was found, and say so."""
    ends = [part[-1] for part in by_layer(history.records)]
    timed = bool(ends) and all("seconds" in end for end in ends)
    training = {
        "command": options.command(),
        "steps": sum(end["step"] for end in ends),
        "best_step": history.best_step,
        "seconds": sum(end["seconds"] for end in ends) if timed else seconds,
        "settings": {name: str(value) for name, value in history.settings.items()},
    }
    facts = processes.by_first(lambda: data_facts(options.data, dataset))
    facts |= {} if options.sequence is None else {"sequence": options.sequence}
    about = {"data": facts, "training": training}
    with processes.agreeing():
        if processes.first():  # at once: training must not be lost to anything that goes wrong after it
            store.save(model, options.out / folder.MODEL, about)
            write_metrics(options.out / folder.METRICS, history.records)
    measured = measure(model, dataset, options.seed, options.quiet or not processes.first())
    with processes.agreeing():
        if processes.first():
            store.save(model, options.out / folder.MODEL, {**about, **measured.facts()})
            told = Run(model, dataset, measured, history.records, training, history.warnings)
            with store.replacing(options.out / folder.REPORT) as new:
                new.write_text(report(told), encoding="utf-8", errors="backslashreplace")
            say(options, told)


def say(options: FitOptions, told: Run) -> None:
    """The summary on stdout."""
    screen.say(summary(told), options.quiet)
    for note in told.data.read_as:
        screen.say(f"Note: {note}", options.quiet)
    warnings = [*told.warnings, *(told.measured.test.warnings if told.measured.test else ())]
    for warning in warnings:
        screen.say(f"Warning: {warning}", options.quiet)
    screen.say(f"The report: {options.out / folder.REPORT}", options.quiet)


def data_facts(source: str, dataset: Dataset) -> dict[str, Any]:
    """What is kept about the data beside the model."""
    return {
        "name": dataset.name,
        "fingerprint": data.fingerprint(source),
        "rows": len(dataset.train),
        "width": dataset.width,
        "shape": dataset.shape,
        "columns": dataset.columns,
        "support": dataset.support,
    }


def write_metrics(path: Path, records: Sequence[Mapping[str, Any]]) -> None:
    """A line of JSON for each record; null where a number isn't finite."""
    with store.replacing(path) as new:
        new.write_text("".join(map(_line, records)), encoding="utf-8")


def _line(record: Mapping[str, Any]) -> str:
    return json.dumps(plain(dict(record)), allow_nan=False) + "\n"


class LiveMetrics:
    """A callback of `fit` that adds each record to a file as soon as it is measured.

    Args:
        path: of the file.
        before: records of the run that goes on.
    """

    def __init__(self, path: Path, before: Sequence[Mapping[str, Any]]) -> None:
        self.path = path
        write_metrics(path, before)

    def __call__(self, update: Update) -> None:
        """Nothing: only records are written."""

    def record(self, record: Mapping[str, Any]) -> None:
        """Add a line."""
        with store.naming(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(_line(record))
            file.flush()
            os.fsync(file.fileno())
