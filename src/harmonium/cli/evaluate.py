"""`harmonium evaluate`: how likely a model finds rows."""

from __future__ import annotations

import json
import math
from functools import singledispatch
from pathlib import Path

import torch
from torch import Tensor

from harmonium import checks, data, processes
from harmonium.cli import baseline, screen, torchrun, values
from harmonium.cli.folder import Saved, open_model, require_energy_model
from harmonium.cli.measure import mean_log_jacobian, without_context
from harmonium.cli.plain import plain
from harmonium.cli.rows import rows_to_measure
from harmonium.likelihood import Estimate, log_likelihood, pseudo_likelihood, reconstruction_error
from harmonium.models import RBM, EnergyModel, LabelledRBM
from harmonium.models.intake import with_latent

PROXY_CELLS = 2**16
"""Cells of the rows whose pseudo-likelihood is taken: it costs some free energies for each."""


def run(
    model: Path, source: str, *, as_json: bool, split: str | None, seconds: float | None, seed: int
) -> None:
    """Measure, and print the Estimate for people or as JSON."""
    with torchrun.joined():
        _run(model, source, as_json=as_json, split=split, seconds=seconds, seed=seed)


def _run(
    model: Path, source: str, *, as_json: bool, split: str | None, seconds: float | None, seed: int
) -> None:
    if seconds is not None:
        checks.positive("--seconds", seconds)
    if split is not None:
        checks.one_of("--split", split, data.PARTS)
    with processes.agreeing():
        saved = open_model(model)
        require_energy_model(saved.model)
    rows, notes = rows_to_measure(saved, source, split)
    x, more = values.states(saved.model, rows, source, seed)
    with screen.waiting("measuring", not processes.first()) as progress:
        measured = x if saved.model.schema is None else rows  # in the table's own units
        estimate = log_likelihood(saved.model, measured, seconds=seconds, seed=seed, progress=progress)
        change = mean_log_jacobian(saved.model, rows)
        if progress is not None:
            progress(1.0, "proxies")
        more_figures = {**compared(saved, x, change), **proxies(saved.model, x)}
    if not processes.first():
        return
    if as_json:
        found = estimate.to_dict()
        found["details"] |= {**more_figures, "notes": notes + more}
        print(json.dumps(plain(found), allow_nan=False))
        return
    told = [*findings(estimate), *in_words(more_figures, estimate.value), ("rows", " ".join(notes + more))]
    screen.table(f"{saved.path} on {source}", told)


def findings(estimate: Estimate) -> list[tuple[str, str]]:
    """What was found out, as names and values."""
    rows = [("log-likelihood", screen.interval(estimate))]
    spread = estimate.details.get("data_stderr")
    if isinstance(spread, float) and spread == spread:
        rows.append(("", f"± {spread:.2g} (standard error) with other rows from the same source"))
    rows.append(("method", estimate.method))
    if estimate.low != estimate.high and math.isfinite(estimate.ess):
        rows.append(("effective samples", f"{estimate.ess:,.0f}"))
    return rows + [("warning", warning) for warning in estimate.warnings]


def proxies(model: EnergyModel, x: Tensor) -> dict[str, float]:
    """Cheaper measures that say less, where the model has them; of many rows an even choice."""
    found: dict[str, float] = {}
    if bool(torch.isnan(with_latent(model, x)).any()):  # they need whole rows
        return found
    finite = model.visible_space.n_states is not None and model.context is None
    if finite and model.has_free_energy():
        chosen = x[:: -(-x.numel() // PROXY_CELLS)]
        found["pseudo_likelihood"] = pseudo_likelihood(model, chosen).value
    wrong = label_error(model, x)
    if wrong is not None:
        found["label_error"] = wrong
    if isinstance(model, RBM) and model.context is None:
        chosen = x[:: -(-len(x) // 10_000)]
        found["reconstruction_error"] = reconstruction_error(model, chosen).value
    return found


@singledispatch
def label_error(model: EnergyModel, x: Tensor) -> float | None:
    """The share of rows whose most probable label is wrong; None for a model without labels."""
    return None


@label_error.register(LabelledRBM)
def _(model: LabelledRBM, x: Tensor) -> float:
    labels = x[:, model.label].argmax(1)
    return float((model.label_given_visible(x).argmax(1) != labels).double().mean())


def compared(saved: Saved, x: Tensor, change: float = 0.0) -> dict[str, float]:
    """The log-likelihood of the same rows under independent units, where the model's file knows them."""
    if "independent" not in saved.about:
        return {}
    x = without_context(saved.model, x)
    return {
        "independent": baseline.log_likelihood(baseline.from_json(saved.about["independent"]), x) + change
    }


def in_words(figures: dict[str, float], value: float) -> list[tuple[str, str]]:
    """The baseline and the proxies, as names and values for people."""
    rows = []
    if "independent" in figures:
        reference = figures["independent"]
        word = "better" if value >= reference else "worse"
        text = f"{reference:.4f}; the model is {word} by {abs(value - reference):.4f}"
        rows.append(("independent units", text))
    if "label_error" in figures:
        rows.append(("labels", f"{figures['label_error']:.2%} wrong, the most probable one given the rest"))
    if "pseudo_likelihood" in figures:
        rows.append(("pseudo-likelihood", f"{figures['pseudo_likelihood']:.4f}, a proxy"))
    if "reconstruction_error" in figures:
        error = figures["reconstruction_error"]
        rows.append(("reconstruction error", f"{error:.4g} per cell, squared; a proxy"))
    return rows
