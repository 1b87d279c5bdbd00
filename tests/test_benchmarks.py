"""The benchmarks fit the library as it is: they can be imported, and what they leave out is there."""

from __future__ import annotations

import importlib
import pkgutil
from itertools import count

import numpy as np
import pytest

import benchmarks
import harmonium as hm

PROGRAMS = sorted(m.name for m in pkgutil.iter_modules(benchmarks.__path__) if not m.name.startswith("_"))


@pytest.mark.parametrize("name", PROGRAMS)
def test_each_can_be_imported_and_says_how_to_run_it(name: str) -> None:
    told = importlib.import_module(f"benchmarks.{name}").__doc__
    assert f"python -m benchmarks.{name}" in told


def test_what_rules_leave_out_is_there() -> None:
    from benchmarks.rules import VARIANTS

    parts = [part for variant in VARIANTS.values() for part in variant.parts]
    assert len(parts) > 20
    for part in parts:
        pkgutil.resolve_name(f"harmonium.{part}")


def test_the_minutes_of_a_density_are_of_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks import density
    from harmonium.recipes import model_choice
    from harmonium.recipes.run import learning_rate

    for module in (model_choice, learning_rate):
        monkeypatch.setattr(module, "time", module.time)  # put back afterwards
    monkeypatch.setattr("time.process_time", count().__next__)  # a second passes between two looks at it
    density.count_own_time()
    rows = np.arange(200).reshape(50, 4) % 2
    history = hm.fit(hm.RBM(hm.Bernoulli(4), hm.Bernoulli(2)), rows, steps=400, minutes=1.0)
    assert history.records[-1]["step"] < 100
