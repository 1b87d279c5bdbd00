"""Gibbs sweeps over a graph given as flat arrays: all sites of a colour, colour after colour, chains side by
side.

Two forms of a graph: 0/1 variables joined in pairs, where P(x_i = 1 | rest) is the sigmoid of a local field,
and variables of any number of states with log-potential tables over several of them. Draws are those of
``draw_bernoulli`` and ``draw_categorical`` in float32 at the same addresses: site k of the scan has the unit
``numbers[k]``, sweep t the step ``address.step + t``.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from harmonium.kernels import plain, processor
from harmonium.kernels.processor import taking_the_next
from harmonium.random import Address


@dataclass(frozen=True)
class Scan:
    """The order in which sites are visited, and the unit numbers of their draws."""

    sites: np.ndarray  # int64 (visits,)
    numbers: np.ndarray  # int64 (visits,), growing
    places: np.ndarray  # int64 (sites,), the number of every site, visited or not
    apart: bool = False  # sites whose numbers share a multiple of four don't touch

    @classmethod
    def of(cls, colours: Sequence[np.ndarray]) -> Scan:
        """Colours follow each other; units are numbered through all of them, each from a multiple of four.

        The sites of a colour don't touch, so their order doesn't matter.
        """
        numbers, begin = [np.empty(0, np.int64)], 0
        for sites in colours:
            numbers.append(np.arange(begin, begin + len(sites), dtype=np.int64))
            begin += -(-len(sites) // 4) * 4
        return cls._of(np.concatenate([*colours, np.empty(0, np.int64)]), np.concatenate(numbers), True)

    @classmethod
    def in_order(cls, sites: np.ndarray) -> Scan:
        """One site after another, all of which may touch."""
        return cls._of(sites, np.arange(len(sites)), False)

    @classmethod
    def _of(cls, sites: np.ndarray, numbers: np.ndarray, apart: bool) -> Scan:
        places = np.empty(len(sites), np.int64)
        sites = sites.astype(np.int64)
        places[sites] = numbers
        return cls(sites, numbers, places, apart)

    def without(self, sites: np.ndarray) -> Scan:
        """The same scan passing over some sites; draws of the others stay where they are."""
        keep = ~np.isin(self.sites, sites)
        return Scan(self.sites[keep], self.numbers[keep], self.places, self.apart)


@dataclass(frozen=True)
class Pairs:
    """0/1 variables: the field on i is bias_i + Σ weight·x over its neighbours (compressed sparse rows)."""

    start: np.ndarray  # int64 (sites + 1,), multiples of 4, at least 4 apart
    other: np.ndarray  # int32, each row filled up with the site itself
    weight: np.ndarray  # float32, filled up with zeros
    bias: np.ndarray  # float32 (sites,)

    @classmethod
    def of(cls, edges: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> Pairs:
        """From edges (edges, 2), their weights (edges,) and the biases (sites,)."""
        n = len(bias)
        ends, others = np.concatenate([edges[:, 0], edges[:, 1]]), np.concatenate([edges[:, 1], edges[:, 0]])
        order = np.argsort(ends, kind="stable")
        degree = np.bincount(ends, minlength=n)
        filled = np.maximum(-(-degree // 4) * 4, 4)  # the compiled loop takes four neighbours at a time
        start = np.concatenate([[0], np.cumsum(filled)])
        place = np.arange(len(ends)) + np.repeat(start[:-1] - np.cumsum(degree) + degree, degree)
        other, weights = np.repeat(np.arange(n, dtype=np.int32), filled), np.zeros(start[-1], np.float32)
        other[place] = others[order]
        weights[place] = np.concatenate([weight, weight])[order]
        return cls(start, other, weights, np.ascontiguousarray(bias, np.float32))

    @classmethod
    def dense(cls, joint: np.ndarray, bias: np.ndarray) -> Pairs:
        """From a symmetric matrix of weights (sites, sites) with zeros on its diagonal."""
        n = len(bias)
        width = -(-n // 4) * 4
        weight, other = np.zeros((n, width), np.float32), np.zeros((n, width), np.int32)
        weight[:, :n], other[:, :n] = joint, np.arange(n)
        start = np.arange(n + 1, dtype=np.int64) * width
        return cls(start, other.ravel(), weight.ravel(), np.ascontiguousarray(bias, np.float32))


@dataclass(frozen=True)
class Tables:
    """Variables with log-potential tables: for every site, the factors it is in and where it stands in
    them.
    """

    states: np.ndarray  # int32 (sites,), numbers of states
    factor: np.ndarray  # int64 (sites + 1,), where the entries of each site start
    offset: np.ndarray  # int64 (entries,), first number of the factor's table
    stride: np.ndarray  # int32 (entries,), of the site within that table
    member: np.ndarray  # int64 (entries + 1,), where the other members of each entry start
    members: np.ndarray  # int32, the other variables of the factor
    member_stride: np.ndarray  # int32, and their strides
    table: np.ndarray  # float32, all tables one after the other


@taking_the_next
def colour_classes(edges: np.ndarray, sites: int) -> list[np.ndarray]:
    """Sites by colour, such that no two joined by one of the edges (edges, 2) share one.

    Two colours wherever two will do (a first fit in breadth-first order).
    """
    ends = np.concatenate([edges[:, 0], edges[:, 1]])
    order = np.argsort(ends, kind="stable")
    start = np.concatenate([[0], np.cumsum(np.bincount(ends, minlength=sites))])
    other = np.concatenate([edges[:, 1], edges[:, 0]])[order].astype(np.int32)
    colours = np.empty(sites, np.int64)
    count = _colour()(start, other, colours)
    order = np.argsort(colours, kind="stable")
    return np.split(order, np.searchsorted(colours[order], np.arange(1, count)))


def _colour() -> Callable[[np.ndarray, np.ndarray, np.ndarray], int]:
    if processor.path() == "plain":
        return plain.colour
    from harmonium.kernels import graph_loops, launch

    return launch.function(graph_loops.COLOUR, graph_loops.colour)


@dataclass(frozen=True)
class Sweeps:
    """How chains are swept.

    Attributes:
        count: how many sweeps.
        beta: inverse temperature, one number per chain; 1 by default.
        held: bool, (sites,) or (chains, sites): True where a state is kept.
    """

    count: int = 1
    beta: Tensor | None = None
    held: Tensor | None = None


@taking_the_next
def sweep_pairs(x: Tensor, graph: Pairs, scan: Scan, address: Address, sweeps: Sweeps) -> Tensor:
    """0/1 states (chains, sites) after some sweeps, float32; P(x_i = 1 | rest) = σ(β·field_i)."""
    state = _fresh(x, torch.float32)
    if _plainly(scan, address, state, sweeps):
        plain.sweep_pairs(state, graph, scan, address, sweeps)
        return state
    other = scan.places.astype(np.int32)[graph.other]
    _run(
        "work_two", state, scan, address, sweeps, [graph.start, other, graph.weight, graph.bias, scan.places]
    )
    return state


@taking_the_next
def sweep_tables(x: Tensor, graph: Tables, scan: Scan, address: Address, sweeps: Sweeps) -> Tensor:
    """States (chains, sites) after some sweeps, int32; P(x_i = c | rest) ∝ exp(β Σ log-potentials).

    Raises:
        ValueError: every state of a site is forbidden given the others.
    """
    state = _fresh(x, torch.int32)
    arrays = [graph.states, graph.factor, graph.table, graph.offset, graph.stride, graph.member]
    arrays += [graph.members, graph.member_stride]
    if _plainly(scan, address, state, sweeps):
        stuck = plain.sweep_tables(state, graph, scan, address, sweeps)
    else:
        stuck = _run("work_many", state, scan, address, sweeps, arrays)
    if stuck:
        raise ValueError(
            "model: every state of some variable is forbidden given the others; the chain is stuck."
        )
    return state


def _plainly(scan: Scan, address: Address, state: Tensor, sweeps: Sweeps) -> bool:
    """Whether to sweep without compiled code; the addresses are looked at here."""
    address.check(len(state), int(scan.numbers[-1]) + 1 if len(scan.numbers) else 0, sweeps.count)
    return processor.path() == "plain" and len(scan.sites) > 0


def _fresh(x: Tensor, dtype: torch.dtype) -> Tensor:
    return x.to(device="cpu", dtype=dtype, copy=True).contiguous()


def _run(
    work: str, state: Tensor, scan: Scan, address: Address, sweeps: Sweeps, arrays: list[np.ndarray]
) -> bool:
    """Sweeps the states in place; whether some chain is stuck."""
    from harmonium.kernels import graph_loops, launch

    rows, sites = state.shape
    if rows == 0 or len(scan.sites) == 0:
        return False
    chains = address.chains(rows)
    betas = np.ones(rows, np.float32) if sweeps.beta is None else _numbers(sweeps.beta, rows)
    mask = None if sweeps.held is None else np.ascontiguousarray(sweeps.held.cpu().numpy(), np.uint8)
    counter, stuck = ctypes.c_int64(0), ctypes.c_int64(0)
    job = np.zeros(graph_loops.PLACES, np.int64)
    most = int(arrays[0].max()) if work == "work_many" else 2
    job[:10] = (
        *(ctypes.addressof(counter), rows, sites, sweeps.count, len(scan.sites)),
        *(np.uint64(address.seed).astype(np.int64), address.purpose, address.step, address.unit, most),
    )
    job[10:18] = (
        *(state.data_ptr(), chains.ctypes.data, scan.sites.ctypes.data, scan.numbers.ctypes.data),
        *(betas.ctypes.data, 0 if mask is None else mask.ctypes.data),
        *(sites if mask is not None and mask.ndim == 2 else 0, ctypes.addressof(stuck)),
    )
    job[18 : 18 + len(arrays)] = [array.ctypes.data for array in arrays]
    if work == "work_two":
        job[graph_loops.APART], job[graph_loops.LENGTH] = scan.apart, scan.places.max() // 4 * 4 + 4
    threads = min(launch.threads(True), -(-rows // graph_loops.LANES))
    launch.run(getattr(graph_loops, work), job, threads)
    return bool(stuck.value)


def _numbers(beta: Tensor, rows: int) -> np.ndarray:
    flat = beta.detach().cpu().flatten().to(torch.float32)
    if len(flat) not in (1, rows):
        raise ValueError(f"beta: expected one number, or one for each of {rows} chains, got {len(flat)}.")
    return np.ascontiguousarray(flat.expand(rows).numpy())
