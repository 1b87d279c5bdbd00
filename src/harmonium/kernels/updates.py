"""Chains and both phases of the gradient in one call on one thread: what an update of a small machine
computes, described once and repeated with other states, other draws and other values of the parameters.

The loops, the products and their rounding are those of `chains` and `phases`; what is saved is all that
Python and PyTorch do around them, which took twice as long at 64 x 128 units and 100 rows.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harmonium.kernels import (
    centre_loops,
    chain_loops,
    chains,
    launch,
    phase_loops,
    phases,
    processor,
    sequence_loops,
)
from harmonium.kernels.draws import KINDS
from harmonium.kernels.side import Side
from harmonium.random import Address

PRODUCT = struct.Struct("=9q2s6xff")  # as `library_loops` hands it over
A, B, C = 6, 7, 8  # places of 8 bytes in it where the matrices are
Product = ctypes.c_int64 * (PRODUCT.size // 8)
Phase = tuple[Tensor, Tensor]
"""Visible states (n, width) and their weights (n,)."""


def suits(weight: Tensor, sides: tuple[Side, Side], rows: tuple[int, int], sweeps: int) -> bool:
    """Whether all of it is for one thread, and of kinds that the loops know."""
    if weight.dtype is not torch.float32 or not weight.is_cpu or not weight.is_contiguous():
        return False
    if sides[1].kind == "categorical":
        return False
    visible, hidden = weight.shape
    many = rows[1] * (visible + hidden) * sweeps >= chains.SERIAL or sum(rows) * hidden >= phases.SERIAL
    large = max(rows) * weight.numel() >= launch.ALONE
    return launch.threads(many or large) == 1


class Update:
    """Sweeps of chains, then both phases, of sizes and at places in memory that stay.

    Each call overwrites `gradient` and `sums`.

    Args:
        weight: (visible width, hidden width); it, the sides and the number of rows such that `suits`.
        sides: the visible and the hidden layer.
        addresses: of the draws of both.
        rows: of the data, and of the chains.
        sweeps: at least 1.

    Attributes:
        gradient: as `kernels.two_phases` makes it, (visible width, hidden width).
        sums: Σ wₙ vₙ and Σ wₙ ⟨h | vₙ⟩ of the difference, of the data, of the negatives, six vectors.
    """

    def __init__(
        self,
        weight: Tensor,
        sides: tuple[Side, Side],
        addresses: tuple[Address, Address],
        rows: tuple[int, int],
        sweeps: int,
    ) -> None:
        self.rows, self.widths = rows, (weight.shape[0], weight.shape[1])
        self._memory: list[Any] = [sides, addresses]  # what jobs point to
        self._counters = (ctypes.c_int64 * 4)()
        self.gradient = weight.new_empty(self.widths)
        sums = weight.new_empty(3 * sum(self.widths))
        self.sums = sums.split(list(self.widths) * 3)
        self._chains = self._sweeps(weight, sides, addresses, sweeps)
        means = self._space([4 * sum(rows) * self.widths[1]])[0]
        self._phases = self._means(sides[1], means, sums)
        self._products = self._four_products(weight, means)
        self._steps = self._in_turn()
        self._centring: _Centring | None = None
        launch.compiled(sequence_loops.in_turn)

    def __call__(self, start: Tensor, data: Phase, weights: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """Visible and hidden states of the chains after their sweeps; all tensors float32 and contiguous.

        Args:
            start: visible states that the chains start from.
            data: the positive phase.
            weights: of the chains in the negative phase.
            step: of the first draw.
        """
        out = torch.empty(self.rows[1], self.widths[0]), torch.empty(self.rows[1], self.widths[1])
        self._chains.start(start)
        self._chains.put(out, 1)
        self._chains.job[chain_loops.STEP] = step
        place = phase_loops.PHASES
        for i, (v, w) in enumerate((data, (out[0], weights))):
            states = v.data_ptr()
            self._phases[place + phase_loops.STATES] = states
            self._phases[place + phase_loops.WEIGHTS] = w.data_ptr()
            self._products[i][B] = self._products[2 + i][B] = states
            place += phase_loops.PLACES_OF_PHASE
        with launch.multiplying(self._chains.multiplications):
            launch.run(sequence_loops.in_turn, self._steps, 1)
        return out

    def centre(self, offsets: tuple[Tensor, ...], rate: float) -> None:
        """Move the offsets of both layers towards the mean of the phases' means, in place, and take
        `gradient` and those of the biases, the first two of `sums`, in coordinates centred there.
        """
        if self._centring is None:
            self._centring = _Centring(self)
        self._centring(offsets, rate)

    def _space(self, sizes: list[int]) -> list[int]:
        """As `memory.space`, for this update alone."""
        made = [np.empty(size + 64, np.uint8) for size in sizes]
        self._memory += made
        return [-(-x.ctypes.data // 64) * 64 for x in made]

    def _sweeps(
        self, weight: Tensor, sides: tuple[Side, Side], addresses: tuple[Address, Address], sweeps: int
    ) -> chains.Call:
        betas, size = weight.new_ones(1, self.rows[1]), (self.rows[1], sweeps)
        call = chains.described(weight, (sides, addresses, 1), betas, size, space=self._space)
        call.job[chain_loops.COUNTERS] = ctypes.addressof(self._counters)
        return call

    def _means(self, hidden: Side, means: int, sums: Tensor) -> Any:
        """The job of `phase_loops.weigh`, states and weights left open."""
        visible, width = self.widths
        panels = sum(-(-n // phase_loops.PANEL) for n in self.rows)
        described: list[int] = []
        for n in self.rows:
            described += [0, 4 * visible, 0, n]
        self._memory.append(sums)
        return (ctypes.c_int64 * phase_loops.PLACES)(
            *(ctypes.addressof(self._counters) + 16, visible, width, KINDS[hidden.kind]),
            *(hidden.bias.data_ptr(), means, self._space([4 * (visible + width) * panels])[0]),
            *(sums.data_ptr(), *described),
        )

    def _four_products(self, weight: Tensor, means: int) -> list[Any]:
        """Fields of the data and of the chains, then statistics of both, states left open."""
        (v, h), (n, chains_), place = self.widths, self.rows, self.gradient.data_ptr()
        behind = means + 4 * n * h
        return [
            _product((h, n, v), (h, v, h), (weight.data_ptr(), 0, means)),
            _product((h, chains_, v), (h, v, h), (weight.data_ptr(), 0, behind)),
            _product((h, v, n), (h, v, h), (means, 0, place), b"NT"),
            _product((h, v, chains_), (h, v, h), (behind, 0, place), b"NT", 1.0),
        ]

    def _in_turn(self) -> Any:
        """The job of the whole."""
        sgemm = processor.sgemm()
        products = [(sequence_loops.SGEMM, sgemm, ctypes.addressof(p)) for p in self._products]
        first, second = _loop(chain_loops.chains, self._chains.job), _loop(phase_loops.weigh, self._phases)
        return _in_turn([first, *products[:2], second, *products[2:]], self._counters)


class _Centring:
    """Offsets that follow an update's means, and then `kernels.centre`, in one call."""

    def __init__(self, update: Update) -> None:
        widths, gradient = update.widths, update.gradient
        bands = -(-widths[0] // centre_loops.BAND)
        parts, *copies = update._space([4 * bands * widths[1], *(4 * width for width in widths)])
        biases, data, model = ([x.data_ptr() for x in update.sums[i : i + 2]] for i in (0, 2, 4))
        self._rate = ctypes.c_float()
        self._counters = (ctypes.c_int64 * 2)()
        layers = [
            (width, 0, d, m, bias, copy)
            for width, d, m, bias, copy in zip(widths, data, model, biases, copies, strict=True)
        ]
        self._follow = (ctypes.c_int64 * centre_loops.FOLLOW_PLACES)(
            ctypes.addressof(self._rate), *(x for layer in layers for x in layer)
        )
        self._centre = (ctypes.c_int64 * centre_loops.PLACES)(
            *(ctypes.addressof(self._counters), *widths, gradient.data_ptr(), 4 * gradient.stride(0)),
            *(*copies, 0, 0, *biases, parts, *launch.team(1)),
        )
        loops = _loop(centre_loops.follow, self._follow), _loop(centre_loops.centre, self._centre)
        self._steps = _in_turn(loops, self._counters)

    def __call__(self, offsets: tuple[Tensor, ...], rate: float) -> None:
        self._rate.value = rate
        for i, offset in enumerate(offsets):
            place = offset.data_ptr()
            self._follow[centre_loops.LAYERS + i * centre_loops.PLACES_OF_LAYER + centre_loops.OFFSETS] = (
                place
            )
            self._centre[centre_loops.MU + i] = place
        launch.run(sequence_loops.in_turn, self._steps, 1)


Step = tuple[int, int, int]  # its kind, the address of its code, and of what it's given


def _loop(loop: Callable[[Any], None], job: Any) -> Step:
    return sequence_loops.LOOP, launch.address(loop), ctypes.addressof(job)


def _in_turn(steps: Sequence[Step], counters: Any) -> Any:
    """The job of `sequence_loops.in_turn`."""
    head = len(steps), ctypes.addressof(counters), len(counters)
    return (ctypes.c_int64 * (sequence_loops.HEAD + sequence_loops.PLACES_OF_STEP * len(steps)))(
        *head, *(x for step in steps for x in step)
    )


def _product(
    sizes: tuple[int, int, int],
    strides: tuple[int, int, int],
    matrices: tuple[int, int, int],
    letters: bytes = b"NN",
    beta: float = 0.0,
) -> Any:
    """What sgemm is given, in its column-major eyes."""
    return Product.from_buffer_copy(PRODUCT.pack(*sizes, *strides, *matrices, letters, 1.0, beta))
