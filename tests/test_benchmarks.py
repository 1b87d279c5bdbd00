"""The benchmarks fit the library as it is: they can be imported, and what they leave out is there."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

import benchmarks

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
