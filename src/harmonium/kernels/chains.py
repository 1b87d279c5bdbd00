"""Chains of two coupled layers, swept or led along a path of models, on either path of the processor.

One compiled loop (``chain_loops``) makes both, and is given what it multiplies and draws by as addresses.
Draws are those of ``draw_bernoulli`` and its kin in the fields, at the same addresses.
"""

from __future__ import annotations

import ctypes
import functools
import struct
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from harmonium.kernels import chain_loops, cumulant_loops, draw_loops, draws, launch, memory, processor
from harmonium.kernels.side import Side, chain_numbers
from harmonium.random import Address

HEIGHT = 128  # chains in a panel at most: its fields then stay in the second-level cache
STEP = 32  # panels are multiples of this
SERIAL = 2**15  # draws below which starting threads costs more than it saves
WORKS = {
    "bernoulli": cumulant_loops.two_states,
    "spin": cumulant_loops.two_states,
    "categorical": cumulant_loops.categories,
}


def gibbs(
    weight: Tensor,
    sides: tuple[Side, Side],
    visible: Tensor,
    addresses: tuple[Address, Address],
    sweeps: int,
    beta: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """As ``kernels.gibbs``."""
    betas = visible.new_ones(visible.shape[0]) if beta is None else beta[:, 0].contiguous()
    return _run(weight, (sides, addresses, 1), visible, betas[None], sweeps, None)


def lead(
    weight: Tensor,
    sides: tuple[Side, Side],
    summed: int,
    given: Tensor,
    addresses: tuple[Address, Address],
    betas: Tensor,
) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """As ``kernels.lead``."""
    works = torch.zeros(len(given), dtype=torch.float64, device="cpu")
    states = _run(weight, (sides, addresses, summed), given, betas.contiguous(), betas.shape[0] - 1, works)
    return states, works


Layers = tuple[tuple[Side, Side], tuple[Address, Address], int]
"""Both sides, the addresses of their draws, and which one is drawn first."""


class Call(NamedTuple):
    """A call of the loop, described but for the states: where it starts, and where both layers go."""

    job: Any  # a ctypes array of `chain_loops.PLACES`
    threads: int
    multiplications: int  # of its largest product
    kept: tuple[Any, ...]  # what the job points to

    def start(self, given: Tensor) -> None:
        """Start at these states."""
        self.job[chain_loops.START] = given.data_ptr()
        self.job[chain_loops.START_STRIDE] = 4 * given.stride(0)

    def put(self, out: Sequence[Tensor], summed: int) -> None:
        """Leave the visible and the hidden states there."""
        for place, i in zip(OUTS, (summed, 1 - summed), strict=True):
            self.job[place] = out[i].data_ptr()


OUTS = [chain_loops.SIDES + i * chain_loops.PLACES_OF_SIDE + chain_loops.OUT for i in (0, 1)]


def _run(
    weight: Tensor, layers: Layers, given: Tensor, betas: Tensor, steps: int, works: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Visible and hidden states after `steps` steps; betas: one row for all of them, or steps + 1 rows."""
    rows = given.shape[0]
    out = [given.new_empty(rows, width) for width in weight.shape]
    for side, address in zip(*layers[:2], strict=True):
        address.check(rows, side.bias.shape[0] // side.states, steps)
    if rows == 0:
        return out[0], out[1]
    call = described(weight, layers, betas, (rows, steps), works)
    call.start(given)
    call.put(out, layers[2])
    with launch.multiplying(call.multiplications):
        launch.run(chain_loops.chains, call.job, call.threads)
    return out[0], out[1]


def described(
    weight: Tensor,
    layers: Layers,
    betas: Tensor,
    size: tuple[int, int],
    works: Tensor | None = None,
    space: Callable[[list[int]], list[int]] = memory.space,
) -> Call:
    """The call for so many chains and steps, with scratch memory from `space`."""
    (sides, addresses, summed), widths, (rows, steps) = layers, weight.shape, size
    threads = launch.threads(rows * sum(widths) * steps >= SERIAL)
    height = min(HEIGHT, STEP * -(-rows // (STEP * threads)))
    product = _product(weight, height)
    room = max(product.room, 0 if works is None else cumulant_loops.room(sides[summed].states))
    places = [chain_loops.OWN, chain_loops.OWN + 8 * height, chain_loops.OWN + 8 * height + room]
    own = -(-(places[2] + height * chain_loops.field_stride(max(widths))) // 64) * 64
    counters = (ctypes.c_int64 * 2)()
    drawing = [
        ctypes.create_string_buffer(_draw_job(*layer), draw_loops.JOB.size)
        for layer in zip(sides, addresses, widths, strict=True)
    ]
    places_of_sides: list[int] = []
    for i in (summed, 1 - summed):
        places_of_sides += [widths[i], *_ground(sides[i], widths[i]), product.weights[i], 0, 4 * widths[i]]
        places_of_sides += [ctypes.addressof(drawing[i]), draws.loop_for(sides[i].kind)]
    told, loop = _work_job(sides[summed], widths[summed]), 0
    work = ctypes.create_string_buffer(told, len(told))
    if works is not None:
        loop = launch.address(WORKS[sides[summed].kind])
    job = Job(
        *(ctypes.addressof(counters), rows, height, steps, space([threads * own])[0], own),
        *(betas.data_ptr(), 0 if betas.shape[0] == 1 else 4 * rows),
        *(0 if works is None else works.data_ptr(), ctypes.addressof(work), loop),
        *(addresses[0].step, *chain_numbers(addresses[0]), 0, 0),
        *(launch.address(product.loop), product.called, summed == 0, *places, *places_of_sides),
    )
    kept = (counters, drawing, work, betas, sides, addresses)
    return Call(job, min(threads, -(-rows // height)), height * widths[0] * widths[1], kept)


Job = ctypes.c_int64 * chain_loops.PLACES


class _Product(NamedTuple):
    loop: Callable[[Any], None]
    called: int  # what it's given to work with
    weights: tuple[int, int]  # addresses, for the fields of the visible and of the hidden layer
    room: int  # bytes of scratch memory


def _product(weight: Tensor, height: int) -> _Product:
    """The product of the present path."""
    if processor.path() == "matrix":
        from harmonium.kernels.matrix import product_loops, products, units

        room = height * product_loops.state_stride(max(weight.shape))
        visible, hidden = products.packed(weight, True, False)
        return _Product(product_loops.panel_product, units.LAYOUT.ctypes.data, (visible, hidden), room)
    from harmonium.kernels import library_loops

    weights = weight.data_ptr(), weight.data_ptr()
    return _Product(library_loops.library_product, processor.sgemm(), weights, library_loops.ROOM)


def _draw_job(side: Side, address: Address, width: int) -> bytes:
    """What is the same in all draws of a layer; the loop fills in the rest."""
    return draw_loops.JOB.pack(
        *(draws.KINDS[side.kind], 0, 2**62, 0, width // side.states, draws.piece(side.states), side.states),
        *(0, chain_loops.field_stride(width), 0, 4 * width, 4),
        *(address.seed, address.purpose, 0, address.unit, 0, 0),
    )


def _work_job(side: Side, width: int) -> bytes:
    """What is the same in all steps' works; the loop fills in the rest."""
    kind, states = draws.KINDS[side.kind], side.states
    return struct.pack(
        "=13q",
        0,
        chain_loops.field_stride(width),
        0,
        width,
        kind,
        states,
        *_ground(side, width),
        0,
        0,
        0,
        0,
        0,
    )


def _ground(side: Side, width: int) -> tuple[int, int]:
    """Addresses of bias and base."""
    return side.bias.data_ptr(), _zeros(width) if side.base is None else side.base.data_ptr()


@functools.cache
def _zeros(width: int) -> int:
    """The base of layers that have none."""
    _kept.append(np.zeros(width, np.float32))
    return int(_kept[-1].ctypes.data)


_kept: list[np.ndarray] = []
