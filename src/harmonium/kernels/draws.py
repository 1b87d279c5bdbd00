"""Draws at an address by compiled loops, bit for bit those of ``reference``."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from harmonium.kernels import count_loops, draw_loops, launch, reference
from harmonium.random import Address

SERIAL = 8192  # numbers in a block below which starting threads costs more than it saves
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
COUNTING = 30  # numbers that take about as long as a count
KINDS = {"bernoulli": draw_loops.BERNOULLI, "spin": draw_loops.SPIN, "categorical": draw_loops.CATEGORICAL}
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
    _run(_LOOPS[kind, field.dtype], kind, address, field, out, states)


def _run(  # noqa: PLR0913
    loop: Callable[[Any], None], kind: int, address: Address, field: Tensor, out: Tensor, states: int = 1
) -> None:
    stride, columns = field.stride()
    if columns != 1:
        field = field.contiguous()
        stride = field.stride(0)
    rows, numbers = field.shape
    item, units = field.element_size(), numbers // states
    width = piece(states)
    tiles = rows * -(-units // width)
    team, grain, counter = launch.threads(rows * numbers >= SERIAL), tiles, None
    if team > 1:
        grain, counter = max(1, tiles // (team * CLAIMS)), ctypes.c_int64(0)
    chain, chains = (address.chain, 0) if isinstance(address.chain, int) else (0, address.chain.ctypes.data)
    job = draw_loops.JOB.pack(
        *(kind, 0 if counter is None else ctypes.addressof(counter), grain, rows, units, width, states),
        *(field.data_ptr(), stride * item, out.data_ptr(), out.stride(0) * item, item),
        *(address.seed, address.purpose, address.step, address.unit, chain, chains),
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
