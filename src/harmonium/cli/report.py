"""report.html: what a run has learned, for people to look at."""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np

from harmonium import __version__, plots
from harmonium.cli import hidden_units, values
from harmonium.cli.describe import interval_of, model_title, signed, weight_of
from harmonium.cli.measure import Measured
from harmonium.data import Dataset
from harmonium.models import EnergyModel
from harmonium.plots.charts import by_layer
from harmonium.plots.page import Card, Section, page
from harmonium.reports.table import columns_section, pairs_section

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Run:
    """All that the report tells about."""

    model: EnergyModel
    data: Dataset
    measured: Measured
    records: Sequence[Mapping[str, Any]]
    training: Mapping[str, Any]
    warnings: Sequence[str] = ()


def summary(run: Run) -> str:
    """The run in one sentence."""
    measured, title = run.measured, model_title(run.model)
    if measured.test is None:
        return f"{title}, {run.data.name}: no probabilities, since {measured.problem}"
    test, reference = measured.test, measured.independent_test
    gain = test.value - reference
    return (
        f"{title}, {run.data.name}: test log-likelihood {signed(test.value)} nats per row"
        f" {interval_of(test)}, independent units {signed(reference)}:"
        f" {'better' if gain >= 0 else 'worse'} by {abs(gain):.2f}."
    )


def report(run: Run) -> str:
    """The whole page."""
    sections = [
        _rows_and_samples(run),
        hidden_units.section(run.model, run.data, _rows(run)),
        _learning(run),
        _likelihood(run),
        _dependence(run),
        _spectrum(run),
        _data(run),
        _repeat(run),
    ]
    foot = (
        f"Written by harmonium {__version__}. Energies and log-likelihoods are in nats (1 nat = 1.443 bits)."
    )
    title = f"{run.data.name}: what the machine has learned"
    return page(title, summary(run), _cards(run), [s for s in sections if s is not None], foot)


def _cards(run: Run) -> list[Card]:
    test, reference = run.measured.test, run.measured.independent_test
    cards = []
    if test is not None:
        gain = test.value - reference
        cards = [
            Card("test log-likelihood", signed(test.value), f"nats per row {interval_of(test)}"),
            Card("independent units", signed(reference), "nats per row"),
            Card("better by" if gain >= 0 else "worse by", f"{abs(gain):.2f}", "nats per row"),
        ]
    parameters = sum(p.numel() for p in run.model.parameters())
    seconds = run.training["seconds"]
    return [
        *cards,
        Card("parameters", f"{parameters:,}", model_title(run.model)),
        Card("training", f"{seconds:.0f} s", f"{run.training['steps']:,} updates"),
    ]


def _table(run: Run, x: Any) -> np.ndarray:
    return values.table(run.model.observed_space, x)


def _rows(run: Run) -> np.ndarray:
    """Training rows, whole and dense: where cells are empty, or rows sparse, those that were filled in."""
    train, pictured = run.data.train, run.measured.pictured
    whole = isinstance(train, np.ndarray) and not (train.dtype.kind == "f" and np.isnan(train).any())
    return train if whole or pictured is None else pictured


def _typed(run: Run) -> tuple[pd.DataFrame, pd.DataFrame] | None:
    """(training rows, samples) of a typed table in its own words, None where rows are numbers of one kind."""
    schema, data = run.model.schema, run.data
    if schema is None or data.frame is None or data.numbers is None or run.measured.samples is None:
        return None
    table = data.frame.iloc[data.numbers["train"]].rename(columns=str)
    samples = schema.decode(run.measured.samples).rename(columns=str)
    return table[[name for name in table.columns if name in samples]], samples


def _rows_and_samples(run: Run) -> Section | None:
    typed = _typed(run)
    return columns_section(*typed) if typed is not None else _pictures(run)


def _dependence(run: Run) -> Section | None:
    typed = _typed(run)
    return pairs_section(*typed)[1] if typed is not None else _moments(run)


def _pictures(run: Run) -> Section | None:
    if run.measured.samples is None:
        return None
    most = 100
    chosen = _rows(run)
    chosen = chosen[:: max(1, len(chosen) // most)][:most]
    samples = _table(run, run.measured.samples[:most])
    figure = plots.side_by_side(chosen, samples, run.data.shape, run.data.columns)
    order = "" if run.data.shape else " Rows are in the order of the data's first principal component."
    text = "Training rows, and as many rows drawn from the model; none of the latter was chosen." + order
    return Section("Data and samples", text, [(figure, "rows of the data beside samples of the model")])


def _learning(run: Run) -> Section | None:
    figures = []
    part = run.model.objective is not None and run.model.context is None  # what is learned isn't log P(v)
    if any("train_log_likelihood" in r or "validation_log_likelihood" in r for r in run.records):
        reference = None if part else run.measured.independent_test - run.measured.change
        curve = plots.learning_curve(run.records, reference, run.training.get("best_step"))
        figures.append((curve, "log-likelihood of training and validation rows while learning"))
    panels = plots.panels(run.records)
    if panels is not None:
        figures.append((panels, "further measures while learning"))
    if not figures:
        return None
    text = (
        "Mean log-likelihood while learning, with its 95 % interval. Where the validation curve falls behind"
        " the other, the model is overfitting."
    )
    if part:
        text = text.replace("Mean log-likelihood", "Mean log-likelihood of some columns given the others")
    if len(by_layer(run.records)) > 1:
        text += (
            " Each layer has a line of its own; those above the first are of the features of the layer below,"
            " and can't be compared with it."
        )
    if run.model.schema is not None:
        text += " The curves are of the states of the units; all other figures are of the table's own values."
    return Section("Learning", text, figures, warnings=list(run.warnings))


def _likelihood(run: Run) -> Section:
    test = run.measured.test
    if test is None:
        return Section("Likelihood", warnings=[f"The model has no probabilities: {run.measured.problem}"])
    rows = [
        ("test rows", f"{signed(test.value)} nats per row"),
        ("95 % interval", interval_of(test)),
        ("independent units", f"{signed(run.measured.independent_test)} nats per row"),
        ("method", test.method),
    ]
    if test.low != test.high and math.isfinite(test.ess):
        rows.append(("effective samples", f"{test.ess:,.0f}"))
    spread = test.details.get("data_stderr")
    if isinstance(spread, float) and spread == spread:
        rows.append(("with other test rows", f"± {spread:.2g} (standard error)"))
    what = "P(v)" if run.model.context is None else "P(what is modelled | what is given)"
    text = f"Mean of log {what} over the test rows. The interval says how well log Z is known."
    figures = []
    if run.measured.free_energies:
        text += " Below, the free energies: a good model gives rows and its own samples the same ones."
        alt = "histograms of free energies of training rows, test rows and samples"
        figures.append((plots.free_energies(run.measured.free_energies), alt))
    return Section("Likelihood", text, figures, rows, warnings=list(test.warnings))


def _moments(run: Run) -> Section | None:
    if run.measured.samples is None:
        return None
    figure = plots.moments(_rows(run)[:10_000], _table(run, run.measured.samples))
    count = len(run.measured.samples)
    text = (
        f"Means and covariances of the columns in the data and in {count:,} samples: equal on the diagonal."
    )
    return Section("Moments", text, [(figure, "means and covariances in data and samples")])


def _spectrum(run: Run) -> Section | None:
    weight = weight_of(run.model)
    if weight is None:
        return None
    figure = plots.singular_values(run.records, weight.cpu().numpy(), run.training.get("best_step"))
    text = "Directions that the model has learned rise out of the noise of the first weights, one by one."
    return Section("Singular values of the weights", text, [(figure, "singular values of the weights")])


def _data(run: Run) -> Section:
    data = run.data
    sizes = (
        f"{len(data.train):,} for training, {len(data.valid):,} for validation, {len(data.test):,} for test"
    )
    rows = [("name", data.name), ("rows", sizes), ("columns", f"{data.width:,}"), ("values", data.support)]
    taken = run.training.get("settings", {}).get("data") == "probabilities"
    drawn = "Values between 0 and 1 were taken as probabilities, and drawn anew in each epoch."
    points = [*data.notes, *([drawn] if taken else []), *run.measured.notes]
    code = "" if run.model.schema is None else str(run.model.schema)
    return Section("Data", rows=rows, points=points, code=code)


def _repeat(run: Run) -> Section:
    settings = [(name, str(value)) for name, value in run.training.get("settings", {}).items()]
    text = "The same command, with the same versions, gives the same model."
    rows = [*settings, *((name, text) for name, text in versions().items())]
    return Section("To repeat this run", text, rows=rows, code=run.training["command"])


def versions() -> dict[str, str]:
    """Versions of what the numbers depend on."""
    found = {name: metadata.version(name) for name in ("torch", "numba", "numpy")}
    machine = f"{platform.system()} {platform.machine()}"
    return {"harmonium": __version__, "Python": platform.python_version(), **found, "machine": machine}
