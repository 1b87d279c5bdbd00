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
