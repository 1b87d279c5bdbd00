"""What a report says about a model: measured once, after training."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harmonium.cli import baseline, screen, values
from harmonium.cli.plain import plain
from harmonium.data import Dataset
from harmonium.likelihood import Estimate, log_likelihood
from harmonium.models import EnergyModel
from harmonium.models.intake import observed, with_latent
from harmonium.models.words import log_jacobian
from harmonium.random import Address, Purpose
from harmonium.sampling import sample_states
from harmonium.sampling.free import filled
from harmonium.units import Units

SAMPLES = 1000
"""Rows drawn to compare with the data."""
ROWS = 2000
"""Training rows whose free energies are shown."""


@dataclass(frozen=True)
class Measured:
    """The findings.

    Args:
        test: log-likelihood of the test rows, None where the model has no probabilities.
        independent: units of the same types without couplings, fitted to the training rows.
        independent_test: log-likelihood of the test rows under these, nats per row.
        samples: states drawn from the model, (SAMPLES, n_visible), none where it has no probabilities; where
            something is given, a row for each test row.
        free_energies: of training rows, test rows and samples, by these names, nats; none where the model
            has none, or another Z for each context.
        notes: what was done to the test rows.
        problem: why there are no probabilities, if so.
        pictured: some training rows, cells that are empty drawn from the model.
        change: what the mean log P of states gained to become that of the table's own units, nats per row.
    """

    test: Estimate | None
    independent: Units
    independent_test: float
    samples: Tensor | None = None
    free_energies: dict[str, np.ndarray] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    problem: str | None = None
    pictured: np.ndarray | None = None
    change: float = 0.0

    def facts(self) -> dict[str, Any]:
        """What is kept beside the model."""
        independent = {**baseline.to_json(self.independent), "test": self.independent_test}
        return plain({"test": None if self.test is None else self.test.to_dict(), "independent": independent})


def _width(model: EnergyModel) -> int:
    return int(model.visible_space.width)


def mean_log_jacobian(model: EnergyModel, rows: Any) -> float:
    """What the mean log P of states gains to become that of a table's own units, nats; 0 without a schema.
    Columns that are given add nothing.
    """
    held = None if model.objective is None or model.context is None else model.objective.held(_width(model))
    found = log_jacobian(model, rows, held=held)
    return 0.0 if found is None else float(found.mean())


@torch.no_grad()
def measure(model: EnergyModel, data: Dataset, seed: int, quiet: bool = False) -> Measured:
    """Log-likelihood of the test rows, samples, and the baseline to compare with."""
    visible: Any = model.observed_space  # units, as those of all machines here
    independent = baseline.fit(visible, data.train)
    x, notes = values.states(model, data.table("test"), f"{data.name}: test", seed)
    change = mean_log_jacobian(model, data.table("test"))
    reference = baseline.log_likelihood(independent, without_context(model, x)) + change
    problem = model.reason_not_normalizable()
    if problem:
        return Measured(None, independent, reference, notes=notes, problem=problem, change=change)
    with screen.waiting("measuring", quiet) as progress:
        rows_measured = x if model.schema is None else data.table("test")  # in the table's own units
        test = log_likelihood(model, rows_measured, seed=seed, progress=progress)
        if progress is not None:
            progress(1.0, "drawing samples")
        samples = _samples(model, x, seed)
    some = replace(data.table("train"), values=data.train[:: -(-len(data.train) // ROWS)])
    train, _ = values.states(model, some, data.name, seed)
    named = {"training rows": train, "test rows": x, "samples of the model": samples}
    rows = {name: _whole(model, v, seed) for name, v in named.items()}
    energies = {}
    if model.has_free_energy() and model.context is None:  # else they compare with nothing
        energies = {name: model.free_energy(v.to(samples)).double().cpu().numpy() for name, v in rows.items()}
    pictured = values.table(visible, observed(model, rows["training rows"]))
    return Measured(test, independent, reference, samples, energies, notes, pictured=pictured, change=change)


def without_context(model: EnergyModel, x: Tensor) -> Tensor:
    """Rows in which what is given isn't told, (rows, columns): independent units don't model it either."""
    if model.context is None:
        return x
    x = x.clone()
    x[:, model.context] = torch.nan
    return x


def _samples(model: EnergyModel, x: Tensor, seed: int) -> Tensor:
    """Rows drawn from the model; where something is given, one for each of the test rows `x`."""
    if model.context is None:
        return sample_states(model, SAMPLES, seed=seed)
    known = torch.full_like(x[:SAMPLES], torch.nan)
    known[:, model.context] = x[:SAMPLES, model.context]
    return sample_states(model, len(known), known, seed=seed)


def _whole(model: EnergyModel, v: Tensor, seed: int) -> Tensor:
    """Rows with what is not known of them drawn from the model."""
    return filled(model, with_latent(model, v), Address(seed, Purpose.CLAMP))
