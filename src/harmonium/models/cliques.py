"""From what a user writes down (names, tables, functions, graphs) to groups of factors."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harmonium import checks
from harmonium.models.factors import Factors, FunctionFactors, TableFactors
from harmonium.models.space import whole_numbers

Name = Hashable
LARGEST = 2**24  # entries of one table


class Names:
    """Variables by name: their numbers, their cardinalities, and errors for those that don't exist."""

    def __init__(self, cardinalities: Any) -> None:
        if isinstance(cardinalities, Mapping):
            self.names: tuple[Name, ...] = tuple(cardinalities)
            counts = list(cardinalities.values())
        elif isinstance(cardinalities, (str, int)) or not isinstance(cardinalities, Iterable):
            raise TypeError(
                "cardinalities: expected one number of states per variable, as in [2, 2, 3] or "
                f"{{'rain': 2, 'sky': 3}}, got {checks.describe(cardinalities)}."
            )
        else:
            counts = list(cardinalities)
            self.names = tuple(range(len(counts)))
        self.states = whole_numbers(counts, lambda k: f"cardinalities[{self.names[k]!r}]")
        self._numbers = {name: k for k, name in enumerate(self.names)}

    def number(self, what: str, name: Name) -> int:
        """The number of a variable; a ValueError where there is none of this name."""
        try:
            return self._numbers[name]
        except (KeyError, TypeError):
            shown = ", ".join(repr(known) for known in self.names[:8]) + (
                ", …" if len(self.names) > 8 else ""
            )
            raise ValueError(
                f"{what}: unknown variable {name!r}; the variables are {shown or 'none'}."
            ) from None

    def scope(self, what: str, variables: Any) -> tuple[int, ...]:
        """The numbers of some variables, all different."""
        if isinstance(variables, str) or not isinstance(variables, Iterable):
            raise TypeError(f"{what}: expected a tuple of variables, such as (0, 3), got {variables!r}.")
        variables = tuple(variables)
        scope = tuple(self.number(what, name) for name in variables)
        if len(set(scope)) < len(scope):
            raise ValueError(f"{what}: expected different variables, got {variables!r}.")
        return scope

    def evidence(self, given: Mapping[Name, int] | None) -> dict[int, int]:
        """{number: state} from {name: state}."""
        if given is not None and not isinstance(given, Mapping):
            raise TypeError(
                f"given: expected a mapping from variables to states, got {checks.describe(given)}."
            )
        found = {}
        for name, state in (given or {}).items():
            k = self.number("given", name)
            found[k] = checks.integer(f"given[{name!r}]", state, 0, self.states[k] - 1)
        return found


def grouped(names: Names, factors: Iterable[Any], dtype: torch.dtype) -> list[Factors]:
    """Factors of one shape together: tables stacked, cliques of one function side by side."""
    tables: dict[tuple[int, ...], tuple[list, list]] = {}
    functions: dict[tuple[int, tuple[int, ...]], tuple[list, Callable]] = {}
    for position, factor in enumerate(factors):
        what = f"factors[{position}]"
        if not isinstance(factor, (tuple, list)) or len(factor) != 2:
            raise TypeError(f"{what}: expected (variables, log-potentials), got {checks.describe(factor)}.")
        scope = names.scope(what, factor[0])
        shape = tuple(names.states[k] for k in scope)
        if callable(factor[1]) and not isinstance(factor[1], Tensor):
            functions.setdefault((id(factor[1]), shape), ([], factor[1]))[0].append(scope)
            continue
        scopes, found = tables.setdefault(shape, ([], []))
        scopes.append(scope)
        found.append(log_table(what, factor[0], factor[1], shape))
    groups: list[Factors] = [
        TableFactors(as_variables(scopes, len(shape)), shape, torch.stack(found).to(dtype))
        for shape, (scopes, found) in tables.items()
    ]
    for (_, shape), (scopes, function) in functions.items():
        groups.append(FunctionFactors(as_variables(scopes, len(shape)), shape, function, dtype))
    return groups


def as_variables(scopes: Sequence[tuple[int, ...]], arity: int) -> Tensor:
    """(cliques, arity), long."""
    return torch.tensor(scopes, dtype=torch.long).reshape(len(scopes), arity)


def log_table(what: str, variables: Any, table: Any, shape: tuple[int, ...]) -> Tensor:
    """A float64 table of log-potentials of this shape, without NaN and +inf."""
    try:
        values = torch.as_tensor(table, dtype=torch.float64).detach().cpu()
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(
            f"{what}: expected a table of log-potentials of shape {shape}, got {checks.describe(table)}."
        ) from None
    if tuple(values.shape) != shape:
        raise ValueError(
            f"{what}: expected a table of shape {shape} for the variables {tuple(variables)!r}, "
            f"got {tuple(values.shape)}."
        )
    if bool(values.isnan().any()) or bool((values == math.inf).any()):
        raise ValueError(f"{what}: expected log-potentials below inf, got NaN or inf.")
    return values


def log_of_potentials(what: str, potentials: Any) -> Tensor:
    """log ψ, float64; a ValueError where a potential is negative, NaN or infinite."""
    values = torch.as_tensor(potentials, dtype=torch.float64).detach()
    if not bool(((values >= 0) & torch.isfinite(values)).all()):
        worst = values.flatten()[int(torch.argmin(torch.where(values >= 0, 0.0, -1.0).flatten()))]
        raise ValueError(f"{what}: expected finite potentials of at least 0, got {float(worst):g}.")
    return torch.log(values)


def edges_of(graph: Any) -> tuple[tuple[Name, ...], np.ndarray]:
    """(names of the nodes, edges as pairs of their numbers) of a networkx graph or an (edges, 2) array."""
    if is_graph(graph):
        check_graph(graph)
        names = tuple(graph.nodes)
        numbers = {name: k for k, name in enumerate(names)}
        pairs = np.array([(numbers[u], numbers[v]) for u, v in graph.edges], np.int64)
        return names, pairs.reshape(-1, 2)
    edges = np.asarray(graph)
    if edges.ndim != 2 or edges.shape[1] != 2 or edges.dtype.kind not in "iu":
        raise TypeError(
            "graph: expected a networkx graph or an (edges, 2) array of whole numbers, got "
            f"{checks.describe(graph)}."
        )
    if edges.size and (edges.min() < 0 or (edges[:, 0] == edges[:, 1]).any()):
        raise ValueError(
            "graph: expected edges between different nodes 0, 1, …, got a loop or a negative number."
        )
    return tuple(range(int(edges.max()) + 1 if edges.size else 0)), edges.astype(np.int64)


def is_graph(graph: Any) -> bool:
    """Whether this is a networkx graph; none can be where that library, slow to load, isn't loaded yet."""
    networkx = sys.modules.get("networkx")
    return networkx is not None and isinstance(graph, networkx.Graph)


def check_graph(graph: Any) -> None:
    """Refuse what is no simple undirected graph."""
    if not is_graph(graph) or graph.is_directed() or graph.is_multigraph():
        raise TypeError(f"graph: expected an undirected networkx.Graph, got {type(graph).__name__}.")
    loop = next((node for node in graph if graph.has_edge(node, node)), None)
    if loop is not None:
        raise ValueError(f"graph: expected edges between different nodes, got a loop at {loop!r}.")


def per_item(what: str, values: Any, items: Sequence[Any], default: float | None = None) -> np.ndarray:
    """One finite number per item, from a number for all, a mapping, or a sequence in their order.

    Items of a mapping that are pairs may be named either way round; `default` stands in for missing ones.
    """
    if isinstance(values, Mapping):
        found = _from_mapping(what, values, items, default)
    else:
        found = np.asarray(values.detach().cpu() if isinstance(values, Tensor) else values)
        if found.dtype.kind not in "iuf" or found.shape not in ((), (len(items),)):
            raise ValueError(
                f"{what}: expected a number, a mapping, or {len(items)} numbers, "
                f"got {checks.describe(values)}."
            )
        found = np.broadcast_to(found.astype(np.float64), (len(items),))
    if not np.isfinite(found).all():
        raise ValueError(f"{what}: expected finite numbers, got NaN or infinite ones.")
    return found


def _from_mapping(what: str, values: Mapping, items: Sequence[Any], default: float | None) -> np.ndarray:
    place = {item: k for k, item in enumerate(items)}
    found = np.full(len(items), math.nan if default is None else default)
    for key, value in values.items():
        k = place.get(key)
        if k is None and isinstance(key, tuple) and len(key) == 2:
            k = place.get(key[::-1])
        if k is None:
            raise ValueError(f"{what}: {key!r} isn't in the graph.")
        found[k] = checks.number(f"{what}[{key!r}]", value)
    if np.isnan(found).any():
        missing = items[int(np.isnan(found).argmax())]
        raise ValueError(f"{what}: expected a number for every edge, got none for {missing!r}.")
    return found
