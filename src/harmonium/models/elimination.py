"""In which order to sum variables out: the order decides whether an exact sum fits into memory.

Summing a variable out of a product of factors joins all factors that contain it into one table over their
variables; what remains is a factor over the others. The width of an order is the largest number of variables
that remain in one step; the least width over all orders is the treewidth of the graph.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import opt_einsum

Scope = tuple[int, ...]
SMALL = 2000  # up to this many variables several heuristics compete, beyond it one has to do


@dataclass(frozen=True)
class Order:
    """An elimination order and what it costs.

    Attributes:
        variables: in the order in which they are summed out.
        width: the most variables that are left in a table after one is summed out of it.
        entries: numbers in the largest table.
        work: numbers in all tables.
        kept: numbers in what is left of all tables, which is remembered for walking back.
    """

    variables: tuple[int, ...]
    width: int
    entries: float
    work: float
    kept: float


def best_order(
    scopes: Sequence[Scope], cardinalities: Sequence[int], keep: Collection[int] = (), limit: float = math.inf
) -> Order:
    """The cheapest of some greedy orders that sum out every variable but those to `keep`.

    Candidates: least fill-in, fewest neighbours, the order of the numbers, and the order in which
    opt_einsum's greedy path sums indices away. An order is given up as soon as a table has more than `limit`
    entries.

    >>> best_order([(0, 1), (1, 2), (2, 3), (3, 0)], [2, 2, 2, 2]).width
    2
    """
    graph = neighbours(scopes, len(cardinalities))
    if len(cardinalities) > SMALL:
        return _follow(graph, cardinalities, keep, _fewest, limit)
    natural = [v for v in range(len(cardinalities)) if v not in keep]
    candidates = [
        _follow(graph, cardinalities, keep, _least_fill, limit),
        _follow(graph, cardinalities, keep, _fewest, limit),
        _replay(graph, cardinalities, natural, limit),
        _replay(graph, cardinalities, _einsum_order(scopes, cardinalities, keep), limit),
    ]
    complete = [order for order in candidates if order.entries <= limit]
    return min(complete or candidates, key=lambda order: order.work if complete else order.entries)


def neighbours(scopes: Sequence[Scope], n: int) -> list[set[int]]:
    """Which variables share a scope with each of `n` variables."""
    graph: list[set[int]] = [set() for _ in range(n)]
    for scope in scopes:
        for v in scope:
            graph[v].update(scope)
    for v, others in enumerate(graph):
        others.discard(v)
    return graph


Cost = Callable[[list[set[int]], Sequence[int], int], float]


def _fewest(graph: list[set[int]], cardinalities: Sequence[int], v: int) -> float:
    """Logarithm of the entries of the table that summing v out needs."""
    return math.log(cardinalities[v]) + sum(math.log(cardinalities[u]) for u in graph[v])


def _least_fill(graph: list[set[int]], cardinalities: Sequence[int], v: int) -> float:
    """Pairs of neighbours of v that become neighbours when v goes."""
    around = graph[v]
    return len(around) * (len(around) - 1) - sum(len(graph[u] & around) for u in around)


class _Elimination:
    """A graph from which variables are taken one by one, and what that has cost so far."""

    def __init__(self, graph: list[set[int]], cardinalities: Sequence[int], limit: float) -> None:
        self.graph = [set(others) for others in graph]
        self.cardinalities, self.limit = cardinalities, limit
        self.variables: list[int] = []
        self.width, self.entries, self.work, self.kept = 0, 1.0, 0.0, 0.0

    def take(self, v: int) -> set[int]:
        around, graph = self.graph[v], self.graph
        size = float(self.cardinalities[v]) * math.prod(float(self.cardinalities[u]) for u in around)
        self.width, self.entries = max(self.width, len(around)), max(self.entries, size)
        self.work += size
        self.kept += size / self.cardinalities[v]
        self.variables.append(v)
        for u in around:
            graph[u] |= around
            graph[u] -= {u, v}
        return around

    @property
    def hopeless(self) -> bool:
        return self.entries > self.limit

    def order(self) -> Order:
        return Order(tuple(self.variables), self.width, self.entries, self.work, self.kept)


def _replay(
    graph: list[set[int]], cardinalities: Sequence[int], variables: Sequence[int], limit: float
) -> Order:
    run = _Elimination(graph, cardinalities, limit)
    for v in variables:
        run.take(v)
        if run.hopeless:
            break
    return run.order()


def _follow(
    graph: list[set[int]], cardinalities: Sequence[int], keep: Collection[int], cost: Cost, limit: float
) -> Order:
    """Always take the variable of least cost; ties go to the smaller number."""
    run = _Elimination(graph, cardinalities, limit)
    now = {v: cost(run.graph, cardinalities, v) for v in range(len(graph)) if v not in keep}
    heap = [(c, v) for v, c in now.items()]
    heapq.heapify(heap)
    while heap and not run.hopeless:
        c, v = heapq.heappop(heap)
        if now.get(v) != c:
            continue  # an old price, or taken
        del now[v]
        around = run.take(v)
        # fill-in changes up to two steps away: a new edge is an old pair to whoever neighbours both its ends
        touched = set(around).union(*(run.graph[u] for u in around)) if cost is _least_fill else around
        for u in touched:
            if u in now:
                new = cost(run.graph, cardinalities, u)
                if new != now[u]:
                    now[u] = new
                    heapq.heappush(heap, (new, u))
    return run.order()


def _einsum_order(scopes: Sequence[Scope], cardinalities: Sequence[int], keep: Collection[int]) -> list[int]:
    """Variables in the order in which opt_einsum's greedy path sums them away."""
    inputs = [frozenset(scope) for scope in scopes if scope]
    sizes = dict(enumerate(cardinalities))
    output = frozenset(keep)
    alone = [v for v in range(len(cardinalities)) if v not in output and not any(v in s for s in inputs)]
    path = opt_einsum.paths.greedy(inputs, output, sizes) if len(inputs) > 1 else []
    order, left = alone, list(inputs)
    for pair in path:
        joined = frozenset().union(*(left[k] for k in pair))
        left = [scope for k, scope in enumerate(left) if k not in pair]
        kept = frozenset(v for v in joined if v in output or any(v in scope for scope in left))
        order += sorted(joined - kept)
        left.append(kept)
    seen = set(order)
    return order + [v for v in range(len(cardinalities)) if v not in seen and v not in output]
