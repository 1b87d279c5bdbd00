"""What the code may ask of classes: models, spaces and units say themselves what they can do."""

import ast
import functools
from pathlib import Path

import pytest

import harmonium

ROOT = Path(harmonium.__file__).parent


@functools.cache
def trees():
    """Of every file, parsed by the worker that has these tests."""
    return {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text()) for path in ROOT.rglob("*.py")}


MOST = {"EnergyModel": 14, "Space": 4, "Units": 5}
"""So many tests of classes of each family are left: checks of arguments, what a user hands in without saying
of what kind it is, files of other programs, and assertions for the type checker. A question that depends on
the kind of model is a method with a default in its base class, or `functools.singledispatch` on the floor
that knows the answer; when one of these tests goes, its number here goes down too."""


def name_of(node):
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", None)


def families():
    """The names of all classes of each family; `Units` itself is asked for like a space."""
    bases = {
        node.name: {name_of(base) for base in node.bases}
        for tree in trees().values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }
    found = {root: {root} for root in MOST}
    for names in found.values():
        while more := {name for name, above in bases.items() if above & names} - names:
            names |= more
    found["Units"].remove("Units")
    found["Space"].add("Units")
    return found


def names_asked(tree):
    """For each `isinstance`, `issubclass` or `case` of a class: its line, and the names of its classes; names
    of a module's own tuples stand for what these hold.
    """
    own = {
        target.id: {name_of(n) for n in ast.walk(node.value)}
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        asked = None
        if isinstance(node, ast.Call) and name_of(node.func) in ("isinstance", "issubclass"):
            asked = node.args[1]
        elif isinstance(node, ast.MatchClass):
            asked = node.cls
        if asked is not None:
            names = {name_of(n) for n in ast.walk(asked)} - {None}
            yield node.lineno, names.union(*(own.get(name, ()) for name in names))


@pytest.mark.parametrize("family", MOST)
def test_few_places_ask_for_the_class_of_a_model_a_space_or_units(family):
    classes = families()[family]
    places = [
        f"{file}:{line}"
        for file, tree in trees().items()
        for line, names in names_asked(tree)
        if names & classes
    ]
    assert len(places) <= MOST[family], places


def test_only_models_count_their_blocks():
    """Whether a model is two coupled blocks is what `pair` says."""
    found = [
        f"{file}:{node.lineno}"
        for file, tree in trees().items()
        if not file.startswith("models/")
        for node in ast.walk(tree)
        if isinstance(node, ast.Compare)
        and isinstance(node.left, ast.Call)
        and name_of(node.left.func) == "len"
        and name_of(node.left.args[0]) == "layers"
        and [getattr(c, "value", None) for c in node.comparators] == [2]
    ]
    assert not found
