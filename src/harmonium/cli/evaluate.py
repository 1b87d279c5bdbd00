"""`harmonium evaluate`: how likely a model finds rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import Tensor

from harmonium import checks, data
from harmonium.cli import baseline, screen, values
from harmonium.cli.folder import Saved, open_model, require_energy_model
from harmonium.cli.plain import plain
from harmonium.likelihood import Estimate, log_likelihood, pseudo_likelihood, reconstruction_error
from harmonium.models import RBM, EnergyModel

PROXY_CELLS = 2**16
"""Cells of the rows whose pseudo-likelihood is taken: it costs some free energies for each."""


def run(
    model: Path, source: str, *, as_json: bool, split: str | None, seconds: float | None, seed: int
) -> None:
    """Measure, and print the Estimate for people or as JSON."""
    if seconds is not None:
        checks.positive("--seconds", seconds)
    if split is not None:
        checks.one_of("--split", split, data.PARTS)
    saved = open_model(model)
    require_energy_model(saved.model)
    learned_from = saved.about.get("data", {}).get("fingerprint")
    rows, notes = data.load_rows(source, split, learned_from)
    x, more = values.states(saved.model, rows, source, seed)
    with screen.waiting("measuring", quiet=as_json) as progress:
        estimate = log_likelihood(saved.model, x, seconds=seconds, seed=seed, progress=progress)
    if as_json:
        print(json.dumps(plain(estimate.to_dict()), allow_nan=False))
        return
    told = [*findings(saved, x, estimate), *proxies(saved.model, x), ("rows", " ".join(notes + more))]
    screen.table(f"{saved.path} on {source}", told)


def findings(saved: Saved, x: Tensor, estimate: Estimate) -> list[tuple[str, str]]:
    """What was found out, as names and values."""
    rows = [("log-likelihood", screen.interval(estimate))]
    spread = estimate.details.get("data_stderr")
    if isinstance(spread, float) and spread == spread:
        rows.append(("", f"± {spread:.2g} (standard error) with other rows from the same source"))
    rows += compared(saved.about, x, estimate.value)
    rows.append(("method", estimate.method))
    if estimate.low != estimate.high:
        rows.append(("effective samples", f"{estimate.ess:,.0f}"))
    return rows + [("warning", warning) for warning in estimate.warnings]


def proxies(model: EnergyModel, x: Tensor) -> list[tuple[str, str]]:
    """Cheaper measures that say less, where the model has them; of many rows an even choice."""
    found = []
    if model.visible_space.n_states is not None and model.has_free_energy():
        chosen = x[:: -(-x.numel() // PROXY_CELLS)]
        found.append(("pseudo-likelihood", f"{pseudo_likelihood(model, chosen).value:.4f}, a proxy"))
    if isinstance(model, RBM):
        chosen = x[:: -(-len(x) // 10_000)]
        error = reconstruction_error(model, chosen).value
        found.append(("reconstruction error", f"{error:.4g} per cell, squared; a proxy"))
    return found


def compared(about: dict[str, Any], x: Tensor, value: float) -> list[tuple[str, str]]:
    """The same rows under independent units, where the model's file knows them."""
    if "independent" not in about:
        return []
    reference = baseline.log_likelihood(baseline.from_json(about["independent"]), x)
    word = "better" if value >= reference else "worse"
    text = f"{reference:.4f}; the model is {word} by {abs(value - reference):.4f}"
    return [("independent units", text)]
