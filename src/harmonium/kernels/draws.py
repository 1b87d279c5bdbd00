"""Draws at an address by compiled loops, bit for bit those of ``reference``."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from harmonium.kernels import count_loops, draw_loops, launch, mixture_loops, reference
from harmonium.kernels.mixture import COUNTING, Group, Mixture
from harmonium.kernels.side import chain_numbers
from harmonium.random import Address

SERIAL = 8192  # numbers in a block below which starting threads costs more than it saves
MIXED = 2048  # numbers in a tile of mixed columns, whose rows are short
CLAIMS = 8  # claims per thread: enough to even out threads that are held up, few enough to cost nothing
FEW, CALL = (
    2**17,
    2**10,
)  # numbers that the reference draws sooner than a loop compiles; a call costs as many as CALL

_LOOPS: dict[tuple[int, torch.dtype], Callable[[Any], None]] = {
    (draw_loops.UNIFORM, torch.float32): draw_loops.uniforms32,
    (draw_loops.UNIFORM, torch.float64): draw_loops.uniforms64,
    (draw_loops.BERNOULLI, torch.float32): draw_loops.two_states32,
    (draw_loops.BERNOULLI, torch.float64): draw_loops.two_states64,
    (draw_loops.SPIN, torch.float32): draw_loops.two_states32,
    (draw_loops.SPIN, torch.float64): draw_loops.two_states64,
    (draw_loops.CATEGORICAL, torch.float32): draw_loops.categories32,
    (draw_loops.CATEGORICAL, torch.float64): draw_loops.categories64,
}
KINDS = {"bernoulli": draw_loops.BERNOULLI, "spin": draw_loops.SPIN, "categorical": draw_loops.CATEGORICAL}
_MIXED: dict[torch.dtype, Callable[[Any], None]] = {
    torch.float32: mixture_loops.mixtures32,
    torch.float64: mixture_loops.mixtures64,
}
SHORT = 64  # numbers in a row up to which several are drawn at a time, once the loop for mixtures is in use
_used: set[Callable[[Any], None]] = set()  # of the loops for mixtures
_drawn: dict[Callable[[Any], None], int] = {}  # numbers drawn by the reference in a loop's place


def loop_for(kind: str) -> int:
    """The address of the loop that draws float32 states of this kind, for other compiled code to call."""
    return launch.address(_LOOPS[KINDS[kind], torch.float32])


def piece(states: int) -> int:
    """How many sites are drawn at a time."""
    return draw_loops.TILE if states == 1 else max(16, draw_loops.TILE // states // 4 * 4)


def _few(loop: Callable[[Any], None], numbers: int) -> bool:
    """Whether so little has been asked of a loop that compiling it would take longer.

    Not in a forked child, where PyTorch's operations may wait for threads that there are no more.
    """
    if _drawn.get(loop, 0) > FEW or launch.forked():
        return False
    _drawn[loop] = _drawn.get(loop, 0) + numbers + CALL
    return _drawn[loop] <= FEW


def _draw(kind: int, address: Address, field: Tensor, out: Tensor, states: int = 1) -> None:
    if field.shape[1] <= SHORT and _MIXED[field.dtype] in _used:
        _draw_in_tiles(address, field, out, _alone(kind, states, field.shape[1]))
    else:
        _run(_LOOPS[kind, field.dtype], kind, address, field, out, states)


@functools.lru_cache(maxsize=64)
def _alone(kind: int, states: int, width: int) -> Mixture:
    """A layer of one kind as a mixture."""
    name = next(name for name, number in mixture_loops.KINDS.items() if number == kind)
    return Mixture([Group(name, states, torch.arange(width), 0)], width)


def _run(  # noqa: PLR0913
    loop: Callable[[Any], None], kind: int, address: Address, field: Tensor, out: Tensor, states: int = 1
) -> None:
    if field.stride(1) != 1:
        field = field.contiguous()
    rows, numbers = field.shape
    units, width = numbers // states, piece(states)
    _launch(loop, address, field, out, rows * -(-units // width), (kind, units, width, states))


def _launch(  # noqa: PLR0913
    loop: Callable[[Any], None],
    address: Address,
    field: Tensor,
    out: Tensor,
    tiles: int,
    what: tuple[int, int, int, int],
) -> None:
    """Runs a loop over so many tiles of a field whose columns are next to each other."""
    kind, units, width, states = what
    team, grain, counter = launch.threads(field.numel() >= SERIAL), tiles, None
    if team > 1:
        grain, counter = max(1, tiles // (team * CLAIMS)), ctypes.c_int64(0)
    item, rows = field.element_size(), field.shape[0]
    job = draw_loops.JOB.pack(
        *(kind, 0 if counter is None else ctypes.addressof(counter), grain, rows, units, width, states),
        *(field.data_ptr(), field.stride(0) * item, out.data_ptr(), out.stride(0) * item, item),
        *(address.seed, address.purpose, address.step, address.unit, *chain_numbers(address)),
    )
    launch.run(loop, job, team)


def draw_bernoulli(field: Tensor, address: Address, out: Tensor) -> Tensor:
    """As ``reference.draw_bernoulli``."""
    if _few(_LOOPS[draw_loops.BERNOULLI, field.dtype], field.numel()):
        return reference.draw_bernoulli(field, address, out)
    _draw(draw_loops.BERNOULLI, address, field, out)
    return out


def draw_spin(field: Tensor, address: Address, out: Tensor) -> Tensor:
    """As ``reference.draw_spin``."""
    if _few(_LOOPS[draw_loops.SPIN, field.dtype], field.numel()):
        return reference.draw_spin(field, address, out)
    _draw(draw_loops.SPIN, address, field, out)
    return out


def draw_categorical(field: Tensor, states: int, address: Address, out: Tensor) -> Tensor:
    """As ``reference.draw_categorical``."""
    if _few(_LOOPS[draw_loops.CATEGORICAL, field.dtype], field.numel()):
        return reference.draw_categorical(field, states, address, out)
    _draw(draw_loops.CATEGORICAL, address, field, out, states)
    return out


def draw_counts(field: Tensor, trials: int, address: Address, out: Tensor) -> Tensor:
    """As ``reference.draw_counts``."""
    if _few(count_loops.counts64, field.numel() * COUNTING):
        return reference.draw_counts(field, trials, address, out)
    _run(count_loops.counts64, trials, address, field, out)
    return out


def uniform(
    address: Address, shape: tuple[int, int], dtype: torch.dtype, device: torch.device | str
) -> Tensor:
    """As ``reference.uniform``."""
    loop = _LOOPS[draw_loops.UNIFORM, dtype]
    if _few(loop, shape[0] * shape[1]):
        return reference.uniform(address, shape, dtype, device)
    out = torch.empty(shape, dtype=dtype, device=device)
    _draw(draw_loops.UNIFORM, address, out, out)
    return out


def draw_mixture(field: Tensor, mixture: Mixture, address: Address, out: Tensor) -> Tensor:
    """As ``reference.draw_mixture``."""
    loop, rows = _MIXED[field.dtype], field.shape[0]
    # the reference takes a call for each group
    if _few(loop, rows * mixture.numbers + (len(mixture.groups) - 1) * CALL):
        return reference.draw_mixture(field, mixture, address, out)
    _draw_in_tiles(address, field, out, mixture)
    return out


def _draw_in_tiles(address: Address, field: Tensor, out: Tensor, mixture: Mixture) -> None:
    """Some rows at a time by the loop for mixtures, which is compiled by now or must be."""
    loop = _MIXED[field.dtype]
    if mixture.plan is None:
        mixture.plan = _plan(mixture)
    plan, height = mixture.plan  # held here, since another thread may set it too
    if field.stride(1) != 1:
        field = field.contiguous()
    tiles = -(-field.shape[0] // height)
    _launch(loop, address, field, out, tiles, (plan.data_ptr(), plan.numel(), height, 1))
    _used.add(loop)


def _plan(mixture: Mixture) -> tuple[Tensor, int]:
    """The groups as `mixture_loops` reads them, and how many rows are drawn at a time."""
    groups: list[int] = []
    blocks: tuple[list[int], list[int]] = ([], [])
    columns: list[int] = []
    for g in mixture.groups:
        own = blocks[g.kind == "counts"]
        kind = mixture_loops.KINDS[g.kind]
        groups += [kind, g.size, g.sites, g.states, len(columns), 4 * len(own)]
        own += range(g.unit // 4, g.unit // 4 + -(-g.sites // 4))
        columns += g.columns.tolist()
    most = max([1, *(len(g.columns) for g in mixture.groups)])
    head = [len(mixture.groups), len(blocks[0]), len(blocks[1]), most]
    height = max(1, MIXED // max(most, 4 * len(blocks[0]), 4 * len(blocks[1])))
    return torch.tensor([*head, *groups, *blocks[0], *blocks[1], *columns]), height
