"""docs/bad-input.md, the part on functions: each of its rows, no others, and no public name without one."""

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import bad_calls
import harmonium as hm
from bad_input_page import cases

REFUSALS = {"ValueError", "TypeError", "FileNotFoundError"}

WITHOUT = {  # names that need no row
    "__version__": "a text",
    "columns": "its names have rows of their own",
    "couplings": "its names have rows of their own",
    "estimators": "its names have rows of their own",
    "testsystems": "its names have rows of their own",
    "testsystems.CRITICAL": "a number",
    "testsystems.KnownModel": "what the functions of testsystems return; its method has a row",
    "show_versions": "takes nothing",
    "Estimate": "what functions return",
    "Chains": "what kernels take and return, without a look at it",
    "couplings.Coupling": "what models return",
    "couplings.Dense": "an operator, for tensors as they are",
    "couplings.Operator": "to be derived from; Python refuses to make one",
    "couplings.Kind": "to be derived from; Python refuses to make one",
    "columns.Kind": "to be derived from; Python refuses to make one",
    "columns.Schema": "the same as Schema",
    "BlockModel": "to be derived from, as EnergyModel is",
    "Units": "to be derived from, as Bernoulli is",
}


@pytest.fixture(scope="module")
def raised():
    """What each call has raised."""
    paths = [str(Path(__file__).parents[1] / "src"), os.environ.get("PYTHONPATH", "")]
    settings = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, bad_calls.__file__]
    return json.loads(subprocess.run(command, env=settings, stdout=subprocess.PIPE, check=True).stdout)


CASES = [
    (case.id, case.values[1]) for heading, made in bad_calls.ALL.items() for case in cases(heading, made)
]


@pytest.mark.parametrize("case, words", CASES)
def test_calls(raised, case, words):
    assert raised[case] is not None, "nothing was raised"
    kinds, said = raised[case]
    assert not REFUSALS.isdisjoint(kinds), (kinds, said)
    assert re.fullmatch(words, said), said
    assert "\n" not in said and said.endswith(".")


def public_names():
    packages = [name for name in hm.__all__ if hasattr(getattr(hm, name), "__path__")]
    inside = {p: importlib.import_module(f"harmonium.{p}").__all__ for p in packages}
    return [*hm.__all__, *(f"{p}.{name}" for p, names in inside.items() for name in names)]


def test_every_public_name_has_a_row():
    first = [case.split()[0] for made in bad_calls.ALL.values() for case in made]
    missing = [
        name
        for name in public_names()
        if name not in WITHOUT and not any(word == name or word.startswith(name + ".") for word in first)
    ]
    assert not missing, "docs/bad-input.md says nothing of these; add a row, or a reason to WITHOUT"
    assert not WITHOUT.keys() - set(public_names())
