"""The import hook that checks signatures: what it refuses, and what it lets pass."""

import importlib
import sys

import pytest

import typecheck

SOURCE = '''"""A module."""
from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import networkx as nx


def half(x: float) -> float:
    return x / 2 if x else "none"


def first(pair: Pair) -> int:
    return pair.left


def drawn(graph: nx.Graph) -> int:
    return graph


def adding(this: int):
    def add(number: int, more: float = 0.5, *, times: int = 1) -> int | float:
        return this + number + more if times == 1 else "many"

    return add


@dataclass
class Pair:
    left: int
    right: int

    def swapped(self) -> Pair:
        return Pair(self.right, self.left) if self.left else None

    @staticmethod
    def of(numbers: list[int]) -> Pair:
        return Pair(*numbers)
'''


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "checked_module.py").write_text(SOURCE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("sys.meta_path", [*sys.meta_path])
    typecheck.install(["checked_module"])
    yield importlib.import_module("checked_module")
    sys.modules.pop("checked_module")


def test_calls_that_keep_to_the_signatures_pass(module):
    assert module.half(3) == 1.5  # a whole number is a float
    pair = module.Pair.of([1, 2])
    assert module.first(pair.swapped()) == 2
    assert module.drawn(5) == 5  # a hint for type checkers alone stays open
    assert module.half.__name__ == "half" and module.half.__module__ == "checked_module"


def test_inner_functions_are_checked_each_time_they_are_made_at_the_cost_of_once(module, monkeypatch):
    first = module.adding(1)
    assert first(1) == 2.5
    monkeypatch.setattr(typecheck, "beartype", None)  # nothing is left to make
    others = [module.adding(n) for n in (10, 100)]
    assert [add(1) for add in others] == [11.5, 101.5]  # each is itself
    assert first(2, more=0) == 3 and others[0](1, 0.25) == 11.25 and others[0].__name__ == "add"
    for wrong in (("1",), (1, "2")):
        with pytest.raises(TypeError, match="violates type hint"):
            others[1](*wrong)
    with pytest.raises(TypeError, match="violates type hint"):
        others[1](1, times=2)  # what it returns


@pytest.mark.parametrize(
    "call",
    [
        lambda m: m.half("3"),
        lambda m: m.half(0),  # what it returns
        lambda m: m.first(5),  # a class that stands further down
        lambda m: m.Pair("1", 2),
        lambda m: m.Pair(0, 2).swapped(),
        lambda m: m.Pair.of((1, 2)),
        lambda m: m.drawn([]),
    ],
)
def test_calls_that_do_not_are_refused(module, call):
    with pytest.raises(TypeError, match="violates type hint"):
        call(module)
