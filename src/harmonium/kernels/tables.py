"""Log tables over several variables: added up along shared axes, and one variable summed out in the same
pass.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from harmonium.kernels import plain, processor
from harmonium.kernels.processor import taking_the_next

Part = tuple[tuple[int, ...], Tensor]  # variables, and a float64 table with one axis for each

PIECE = 1024  # entries of the output that share their offsets
SERIAL = 2**18  # entries below which starting threads costs more than it saves


@taking_the_next
def log_sum(scope: tuple[int, ...], parts: Sequence[Part]) -> Tensor:
    """log Σ exp(Σ of the tables) over the first variable of `scope`, a float64 table over the others.

    Shifted by the maximum of each sum, so large entries don't overflow; -inf stays -inf.

    >>> table = torch.tensor([[0.0, 1000.0], [-torch.inf, 1000.0]], dtype=torch.float64)
    >>> log_sum((0, 1), [((0, 1), table)])
    tensor([   0.0000, 1000.6931], dtype=torch.float64)
    """
    return _run("log_sum", scope, parts)


@taking_the_next
def maximum(scope: tuple[int, ...], parts: Sequence[Part]) -> Tensor:
    """The maximum over the first variable of `scope` of the sum of the tables."""
    return _run("maximum", scope, parts)


@taking_the_next
def join(scope: tuple[int, ...], parts: Sequence[Part]) -> Tensor:
    """The sum of the tables as one table with the axes of `scope`."""
    return _run("join", scope, parts)


def _run(mode: str, scope: tuple[int, ...], parts: Sequence[Part]) -> Tensor:
    if processor.path() == "plain":
        whole = plain.joined(scope, parts)
        return {"join": lambda x: x, "maximum": lambda x: x.amax(0), "log_sum": lambda x: x.logsumexp(0)}[
            mode
        ](whole)
    from harmonium.kernels import launch, table_loops

    size_of = {v: n for variables, table in parts for v, n in zip(variables, table.shape, strict=True)}
    sizes = [size_of[v] for v in scope]
    tables = [table.contiguous() for _, table in parts]
    jumps = np.zeros((len(parts), len(scope)), np.int64)
    for p, (variables, _) in enumerate(parts):
        for v, stride in zip(variables, tables[p].stride(), strict=True):
            jumps[p, scope.index(v)] = stride
    split, inner = len(scope), 1
    while split > 1 and inner * sizes[split - 1] <= PIECE:
        split -= 1
        inner *= sizes[split]
    offsets = np.zeros((len(parts), 1), np.int64)
    for axis in range(split, len(scope)):
        step = jumps[:, axis, None] * np.arange(sizes[axis])
        offsets = (offsets[:, :, None] + step[:, None, :]).reshape(len(parts), -1)
    outer = int(np.prod(sizes[1:split], dtype=np.int64))
    out = torch.empty(sizes if mode == "join" else sizes[1:], dtype=torch.float64)
    arrays = [
        np.array([table.data_ptr() for table in tables], np.int64),
        np.ascontiguousarray(jumps[:, 0]),
        np.ascontiguousarray(offsets),
        np.array(sizes[1:split], np.int64),
        np.ascontiguousarray(jumps[:, 1:split]),
        np.array([_kind(row) for row in offsets], np.int64),
    ]
    threads = launch.threads(outer * inner * sizes[0] >= SERIAL)
    grain = max(1, outer // (8 * threads))
    counter = ctypes.c_int64(0)
    number = {"log_sum": table_loops.LOG_SUM, "maximum": table_loops.MAXIMUM, "join": table_loops.JOIN}[mode]
    job = np.array(
        [ctypes.addressof(counter), grain, number, sizes[0], outer, inner, len(parts), split - 1]
        + [out.data_ptr(), *(array.ctypes.data for array in arrays)],
        np.int64,
    )
    launch.run(table_loops.work, job, threads)
    return out


def _kind(offsets: np.ndarray) -> int:
    from harmonium.kernels import table_loops

    if not offsets.any():
        return table_loops.CONSTANT
    return table_loops.CONTIGUOUS if (np.diff(offsets) == 1).all() else table_loops.SCATTERED
