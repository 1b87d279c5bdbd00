"""What a graph says about independence: the Markov properties, as statements to be asked and tested."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import networkx as nx


class Statement(NamedTuple):
    """That `a` is independent of `b` given `given`; each is a tuple of variables."""

    a: tuple
    b: tuple
    given: tuple

    def __str__(self) -> str:
        sides = [", ".join(str(v) for v in side) for side in self]
        return f"{sides[0]} ⊥ {sides[1]}" + (f" | {sides[2]}" if self.given else "")


def separated(graph: nx.Graph, a: Collection, b: Collection, given: Collection) -> bool:
    """Whether every path from `a` to `b` passes through `given`."""
    from networkx import node_connected_component

    removed = set(given)
    left = graph.subgraph(v for v in graph if v not in removed)
    reached: set = set()
    for v in a:
        if v not in reached:
            reached |= node_connected_component(left, v)
    return not reached & set(b)


def pairwise(graph: nx.Graph) -> Iterator[Statement]:
    """Two variables that aren't neighbours are independent given all others."""
    nodes = list(graph)
    for k, a in enumerate(nodes):
        for b in nodes[k + 1 :]:
            if not graph.has_edge(a, b):
                yield Statement((a,), (b,), tuple(v for v in nodes if v not in (a, b)))


def local(graph: nx.Graph) -> Iterator[Statement]:
    """A variable is independent of all others given its neighbours."""
    for a in graph:
        near = set(graph[a])
        others = tuple(v for v in graph if v != a and v not in near)
        if others:
            yield Statement((a,), others, tuple(v for v in graph if v in near))
