"""The path ``plain`` for graphs, tables and enumeration: their compiled loops in PyTorch's operations.

The draws are those of ``reference`` at the same addresses; sums are rounded in an order of their own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from harmonium.kernels import reference
from harmonium.random import Address

if TYPE_CHECKING:
    from harmonium.kernels.graph import Pairs, Scan, Sweeps, Tables

PIECE = 2**22  # numbers that are summed over at a time


def sweep_pairs(x: Tensor, graph: Pairs, scan: Scan, address: Address, sweeps: Sweeps) -> None:
    """As ``graph.sweep_pairs``, in place."""
    beta = _betas(sweeps, len(x))
    for u in _uniforms(x, scan, address, sweeps):
        for site, number in zip(scan.sites, scan.numbers, strict=True):
            here = slice(graph.start[site], graph.start[site + 1])
            weight = torch.from_numpy(graph.weight[here])
            others = x[:, torch.from_numpy(graph.other[here].astype(np.int64))]
            field = beta * (float(graph.bias[site]) + others @ weight)
            drawn = (u[:, number] * (reference.exp(-field) + 1.0) < 1.0).to(x)
            x[:, site] = _unless_held(drawn, x[:, site], sweeps, site)


def sweep_tables(x: Tensor, graph: Tables, scan: Scan, address: Address, sweeps: Sweeps) -> bool:
    """As ``graph.sweep_tables``, in place; whether some chain is stuck."""
    beta, stuck, table = _betas(sweeps, len(x)), False, torch.from_numpy(graph.table)
    for u in _uniforms(x, scan, address, sweeps):
        for site, number in zip(scan.sites, scan.numbers, strict=True):
            states = torch.arange(int(graph.states[site]))
            field = torch.zeros(len(x), len(states))
            for entry in range(graph.factor[site], graph.factor[site + 1]):
                members = slice(graph.member[entry], graph.member[entry + 1])
                others = torch.from_numpy(graph.members[members].astype(np.int64))
                strides = torch.from_numpy(graph.member_stride[members].astype(np.int64))
                index = int(graph.offset[entry]) + (x[:, others].long() * strides).sum(1)
                field += table[index[:, None] + states * int(graph.stride[entry])]
            one_hot = reference.chosen((beta[:, None] * field)[:, None], u[:, number, None])[:, 0]
            lost = one_hot[:, 0].isnan()
            stuck |= bool(lost.any())
            drawn = torch.where(lost, x[:, site].long(), one_hot.nan_to_num().argmax(1)).to(x)
            x[:, site] = _unless_held(drawn, x[:, site], sweeps, site)
    return stuck


def _uniforms(x: Tensor, scan: Scan, address: Address, sweeps: Sweeps) -> Iterator[Tensor]:
    """The uniforms of each sweep, (chains, units)."""
    units = int(scan.numbers[-1]) + 1
    for sweep in range(sweeps.count):
        here = address.at(step=address.step + sweep)
        yield reference.uniform(here, (len(x), units), torch.float32, "cpu")


def _betas(sweeps: Sweeps, rows: int) -> Tensor:
    if sweeps.beta is None:
        return torch.ones(rows)
    return sweeps.beta.detach().cpu().flatten().float().expand(rows)


def _unless_held(drawn: Tensor, before: Tensor, sweeps: Sweeps, site: int) -> Tensor:
    if sweeps.held is None:
        return drawn
    return torch.where(sweeps.held.cpu()[..., site].bool(), before, drawn)


def colour(start: np.ndarray, other: np.ndarray, colours: np.ndarray) -> int:
    """As ``graph_loops.colour``: a first fit in breadth-first order; the number of colours."""
    colours[:] = -1
    seen = np.zeros(len(colours), bool)
    for root in range(len(colours)):
        queue = deque([] if seen[root] else [root])
        seen[root] = True
        while queue:
            i = queue.popleft()
            neighbours = other[start[i] : start[i + 1]]
            taken = set(colours[neighbours].tolist())
            colours[i] = next(c for c in range(len(taken) + 1) if c not in taken)
            for k in neighbours[~seen[neighbours]].tolist():
                if not seen[k]:
                    seen[k] = True
                    queue.append(k)
    return int(colours.max(initial=-1)) + 1


def joined(scope: tuple[int, ...], parts: Sequence[tuple[tuple[int, ...], Tensor]]) -> Tensor:
    """As ``tables.join``."""
    sizes = {v: n for variables, table in parts for v, n in zip(variables, table.shape, strict=True)}
    total = torch.zeros([sizes[v] for v in scope], dtype=torch.float64)
    for variables, table in parts:
        order = sorted(range(len(variables)), key=lambda a: scope.index(variables[a]))
        shape = [sizes[v] if v in variables else 1 for v in scope]
        total = total + table.permute(order).reshape(shape)
    return total


def log_sum_of_pairs(a: np.ndarray, b: np.ndarray, linear_a: np.ndarray, linear_b: np.ndarray) -> float:
    """As ``enumeration.log_sum``."""
    low, linear = torch.from_numpy(b), torch.from_numpy(linear_b)
    parts = []
    for high, shift in zip(torch.from_numpy(a), linear_a.tolist(), strict=True):
        for piece, line in zip(
            low.split(PIECE // max(1, low.shape[1])), linear.split(PIECE // max(1, low.shape[1])), strict=True
        ):
            exponent = torch.nn.functional.softplus(high + piece).sum(1) + line + shift
            parts.append(torch.logsumexp(exponent, 0))
    return float(torch.logsumexp(torch.stack(parts), 0))
