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
    for position, factor in enumerate(checks.a_list("factors", factors, "(variables, log-potentials)")):
        what = f"factors[{position}]"
        pair(what, factor, "log-potentials")
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


def pair(what: str, factor: Any, tables: str) -> tuple[Any, Any]:
    """A factor, if it is (variables, table)."""
    if not isinstance(factor, (tuple, list)) or len(factor) != 2:
        raise TypeError(f"{what}: expected (variables, {tables}), got {checks.describe(factor)}.")
    return factor[0], factor[1]


def as_variables(scopes: Sequence[tuple[int, ...]], arity: int) -> Tensor:
    """(cliques, arity), long."""
    return torch.tensor(scopes, dtype=torch.long).reshape(len(scopes), arity)


def log_table(what: str, variables: Any, table: Any, shape: tuple[int, ...]) -> Tensor:
    """A float64 table of log-potentials of this shape, without NaN and +inf."""
    try:
        if np.iscomplexobj(table):
            raise TypeError
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
    try:
        values = torch.as_tensor(potentials, dtype=torch.float64).detach()
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(
            f"{what}: expected a table of potentials, got {checks.describe(potentials)}."
        ) from None
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
    _check_once(edges)
    return tuple(range(int(edges.max()) + 1 if edges.size else 0)), edges.astype(np.int64)


def _check_once(edges: np.ndarray) -> None:
    """Refuse an edge that is listed twice, either way round: whether its couplings add up is anybody's
    guess.
    """
    _, first, inverse = np.unique(np.sort(edges, 1), axis=0, return_index=True, return_inverse=True)
    again = np.flatnonzero(first[inverse.ravel()] != np.arange(len(edges)))
    if len(again):
        a, b = (tuple(edges[k].tolist()) for k in (first[inverse.ravel()[again[0]]], again[0]))
        raise ValueError(f"graph: expected every edge once, got {a} and, in row {again[0]}, {b}.")


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


def per_node(fields: Any, names: Sequence[Name]) -> np.ndarray:
    """One finite number per node, from a number for all, a mapping, or a sequence in their order."""
    if isinstance(fields, Mapping):
        place = {(name,): k for k, name in enumerate(names)}
        named = {(name,): value for name, value in fields.items()}
        return _finite("fields", _from_mapping("fields", named, place, 0.0))
    if np.ndim(fields):
        check_order("fields", names)
    return _per_place("fields", fields, len(names))


def per_edge(couplings: Any, edges: np.ndarray, names: Sequence[Name]) -> np.ndarray:
    """One finite number per edge, from a number for all, a mapping (either way round, but once), a sequence
    in their order, or a symmetric matrix over the nodes.
    """
    if isinstance(couplings, Mapping):
        place = {}
        for k, (a, b) in enumerate(edges.tolist()):
            place[names[a], names[b]] = place[names[b], names[a]] = k
        return _finite("couplings", _from_mapping("couplings", couplings, place))
    if np.ndim(couplings) == 2:
        return _from_matrix(couplings, edges, names)
    return _per_place("couplings", couplings, len(edges))


def check_order(what: str, names: Sequence[Name]) -> None:
    """Refuse numbers by place where nodes 0, 1, … are held in another order: place and name would differ."""
    numbered = all(isinstance(name, int) for name in names) and set(names) == set(range(len(names)))
    if numbered and list(names) != list(range(len(names))):
        shown = ", ".join(str(name) for name in names[:6]) + (", …" if len(names) > 6 else "")
        raise ValueError(
            f"{what}: the graph holds its nodes in the order {shown}, so numbers by place could be meant by "
            "either; expected a mapping from nodes."
        )


def _per_place(what: str, values: Any, count: int) -> np.ndarray:
    found = np.asarray(values.detach().cpu() if isinstance(values, Tensor) else values)
    if found.dtype.kind not in "iuf" or found.shape not in ((), (count,)):
        raise ValueError(
            f"{what}: expected a number, a mapping, or {count} numbers, got {checks.describe(values)}."
        )
    return _finite(what, np.broadcast_to(found.astype(np.float64), (count,)))


def _finite(what: str, found: np.ndarray) -> np.ndarray:
    if not np.isfinite(found).all():
        raise ValueError(f"{what}: expected finite numbers, got NaN or infinite ones.")
    return found


def _from_mapping(
    what: str, values: Mapping, place: Mapping[Any, int], default: float = math.nan
) -> np.ndarray:
    """The values at the places of their keys; `place` knows all ways to write a key."""
    found = np.full(len(set(place.values())), default)
    written: dict[int, Any] = {}
    for key, value in values.items():
        shown = key[0] if isinstance(key, tuple) and len(key) == 1 else key
        k = place.get(key)
        if k is None:
            raise ValueError(f"{what}: {shown!r} isn't in the graph.")
        if k in written:
            raise ValueError(
                f"{what}: expected every edge once, got {written[k]!r} and {key!r}, which are the same."
            )
        written[k] = key
        found[k] = checks.number(f"{what}[{shown!r}]", value)
    if np.isnan(found).any():
        missing = next(key for key, k in place.items() if np.isnan(found[k]))
        raise ValueError(f"{what}: expected a number for every edge, got none for {missing!r}.")
    return found


def _from_matrix(couplings: Any, edges: np.ndarray, names: Sequence[Name]) -> np.ndarray:
    """J_ij of every edge from a symmetric matrix: once, not J_ij + J_ji."""
    check_order("couplings", names)
    joint = symmetric("couplings", couplings, len(names)).numpy()
    rest = joint.copy()
    rest[edges[:, 0], edges[:, 1]] = rest[edges[:, 1], edges[:, 0]] = 0.0
    if rest.any():
        a, b = (names[k] for k in np.argwhere(rest)[0])
        raise ValueError(f"couplings: {(a, b)!r} isn't in the graph, but has a coupling.")
    return joint[edges[:, 0], edges[:, 1]]


def symmetric(what: str, matrix: Any, n: int) -> Tensor:
    """A finite symmetric (n, n) matrix, float64, zero on its diagonal; asymmetry of rounding is averaged
    away.

    Rounding is up to 1e-8 of the largest entry, 1e-5 for a matrix in float32.

    Raises:
        TypeError, ValueError: it is none; says by how much, and where.
    """
    try:
        given = torch.as_tensor(matrix).detach().cpu()
        square = given.double()
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"{what}: expected a matrix of numbers, got {checks.describe(matrix)}.") from None
    if square.shape != (n, n):
        raise ValueError(f"{what}: expected a matrix of shape ({n}, {n}), got {tuple(square.shape)}.")
    checks.finite(what, square)
    single = given.is_floating_point() and given.dtype.itemsize < 8
    allowed = (1e-5 if single else 1e-8) * (float(square.abs().max()) if n else 0.0)
    gap = (square - square.T).abs()
    if n and float(gap.max()) > allowed:
        i, j = divmod(int(gap.argmax()), n)
        raise ValueError(
            f"{what}: expected a symmetric matrix, got {square[i, j]:.8g} at ({i}, {j}) and "
            f"{square[j, i]:.8g} at ({j}, {i}), {float(gap.max()):.2g} apart where rounding allows "
            f"{allowed:.2g}."
        )
    own = square.diagonal().abs()
    if n and float(own.max()) > allowed:
        i = int(own.argmax())
        raise ValueError(f"{what}: expected zeros on the diagonal, got {square[i, i]:.8g} at ({i}, {i}).")
    return (0.5 * (square + square.T)).fill_diagonal_(0.0)
