"""States that obey hard constraints: found by search, where chance alone would take too long."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Allowed = tuple[tuple[int, ...], np.ndarray]  # variables, and a bool table with one axis for each
DEAD_ENDS = 2000  # after which a search gives up


class GaveUp(Exception):
    """The search came to no end."""


def allowed_state(
    constraints: Sequence[Allowed], domains: Sequence[np.ndarray], uniforms: np.ndarray
) -> np.ndarray | None:
    """A state that every table allows, int64 (variables,); None where there is none.

    Depth first, the variable with the fewest values left next, and after each step every value goes that some
    table no longer supports (generalised arc consistency; Mackworth 1977).

    Args:
        constraints: what is allowed, by tables.
        domains: for each variable which of its values may be taken, bool.
        uniforms: one for each variable: where to begin among its values.

    Raises:
        GaveUp: after 2000 dead ends.
    """
    around: list[list[int]] = [[] for _ in domains]
    for number, (scope, _) in enumerate(constraints):
        for v in scope:
            around[v].append(number)
    first = _supported(constraints, around, list(domains), range(len(constraints)))
    if first is None or any(not domain.any() for domain in first):
        return None
    stack, dead_ends = [(first, *_choice(first, uniforms))], 0
    while stack:
        now, v, values = stack[-1]
        if v < 0:
            return np.array([int(domain.argmax()) for domain in now], np.int64)
        if not values:
            stack.pop()
            continue
        only = np.zeros_like(now[v])
        only[values.pop()] = True
        tried = _supported(constraints, around, [*now[:v], only, *now[v + 1 :]], around[v])
        if tried is not None:
            stack.append((tried, *_choice(tried, uniforms)))
            continue
        dead_ends += 1
        if dead_ends > DEAD_ENDS:
            raise GaveUp
    return None


def _choice(domains: list[np.ndarray], uniforms: np.ndarray) -> tuple[int, list[int]]:
    """(the open variable with the fewest values, these), -1 where all are settled."""
    counts = np.array([int(domain.sum()) for domain in domains])
    if not (counts > 1).any():
        return -1, []
    v = int(np.where(counts > 1, counts + uniforms, np.inf).argmin())
    values = np.flatnonzero(domains[v])
    return v, np.roll(values, int(uniforms[v] * len(values))).tolist()


def _supported(
    constraints: Sequence[Allowed], around: list[list[int]], domains: list[np.ndarray], changed: Sequence[int]
) -> list[np.ndarray] | None:
    """The domains without the values that some table doesn't support, None where one is empty."""
    queue = dict.fromkeys(changed)
    while queue:
        number = next(iter(queue))
        del queue[number]
        scope, table = constraints[number]
        left = table
        for axis, v in enumerate(scope):
            left = left & domains[v].reshape([-1 if k == axis else 1 for k in range(len(scope))])
        for axis, v in enumerate(scope):
            possible = left.any(tuple(k for k in range(len(scope)) if k != axis))
            if not possible.any():
                return None
            if (possible != domains[v]).any():
                domains[v] = possible
                queue.update((other, None) for other in around[v] if other != number)
    return domains
