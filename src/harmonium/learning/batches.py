"""Batches of rows, addressed: batch number t is a pure function of (data, seed, t)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from harmonium import checks, kernels, processes
from harmonium.learning.particles import Particles, equally_weighted
from harmonium.models.table import Selected, Stored, take
from harmonium.random import Address, Purpose

CELLS = 2**16  # numbers that are read and prepared together, the batches of several updates if they are small


class Batches:
    """Shuffled batches over the rows of an array, which may be memory-mapped: only the rows of a batch, or of
    a few small ones, are read.

    Each epoch visits every row once, in an order of its own; a remainder that fills no batch waits for
    another epoch. Where several processes divide the work each has its own neighbouring rows, of which it
    takes those that are in the batch of all: it never reads any others.

    Args:
        x: rows, (n_rows, columns), or a selection of them.
        size: rows of a batch; n_rows or more gives all rows every time.
        prepare: (rows, row numbers, epoch) to states (size, n_visible), e.g. to encode or to binarise.
        weights: weight of each row, (n_rows,), or None for equal ones.
        seed: of the orders.
        fixed: whether `prepare` gives a row the same states in every epoch; those of a small table are then
            made once.
    """

    def __init__(  # noqa: PLR0913
        self,
        x: Stored,
        size: int,
        prepare: Callable[[Tensor, np.ndarray, int], Tensor],
        weights: Tensor | None = None,
        seed: int = 0,
        fixed: bool = False,
    ) -> None:
        self.x = x
        self.size = min(checks.positive_integer("batch_size", size), len(x))
        self.prepare = prepare
        self.weights = weights
        self.seed = seed
        self.per_epoch = len(x) // self.size
        self._order: tuple[int, np.ndarray] = (-1, np.arange(len(x)))
        columns = (x.x if isinstance(x, Selected) else x).shape[1]
        self._together = max(1, CELLS // (self.size * columns))  # batches
        self._whole = fixed and len(x) * columns <= CELLS
        self._all: Tensor | None = None  # the states of all rows, of a small table
        self._ready: dict[int, Tensor] = {}  # the states of updates to come, by their numbers
        self._equal = torch.empty(0)  # the last weights of as many rows as there are in a batch

    def _rows(self, epoch: int) -> np.ndarray:
        if self._order[0] != epoch:
            address = Address(self.seed, Purpose.ORDER, step=epoch)
            u = kernels.uniform(address, (len(self.x), 1), torch.float64).flatten()
            self._order = (epoch, torch.argsort(u).numpy())
        return self._order[1]

    def numbers(self, step: int) -> np.ndarray:
        """The numbers of the rows of update `step`, in all processes together."""
        epoch, place = divmod(step, self.per_epoch)
        if self.per_epoch == 1 and self.size == len(self.x):
            return np.arange(len(self.x))
        return self._rows(epoch)[place * self.size : (place + 1) * self.size]

    def places(self, numbers: np.ndarray) -> np.ndarray:
        """Which places of a batch of these rows are this process's."""
        own = processes.share(len(self.x))
        return np.flatnonzero((numbers >= own.start) & (numbers < own.stop))

    def batch(self, step: int) -> Particles:
        """The batch of update `step`, or this process's share of it."""
        rows = self.numbers(step)
        if processes.count() > 1:
            return self._share(rows, step)
        v = self._states(step)
        if self.weights is None:
            return Particles((v,), self._equally(v), 0, rows)
        w = self.weights[torch.from_numpy(rows)].to(v)
        return Particles((v,), w / w.sum(), rows=rows)

    def _states(self, step: int) -> Tensor:
        """The states of update `step`, made together with those of the next ones while they are few cells."""
        if step not in self._ready:
            epoch, place = divmod(step, self.per_epoch)
            together = min(self._together, self.per_epoch - place)
            rows = np.concatenate([self.numbers(step + k) for k in range(together)])
            v = self._prepared(rows, epoch)
            self._ready = dict(zip(range(step, step + together), v.split(self.size), strict=True))
        return self._ready.pop(step)

    def _prepared(self, rows: np.ndarray, epoch: int) -> Tensor:
        if not self._whole:
            return self.prepare(take(self.x, rows), rows, epoch)
        if self._all is None:
            everything = np.arange(len(self.x))
            self._all = self.prepare(take(self.x, everything), everything, epoch)
        return self._all.index_select(0, torch.from_numpy(rows).to(self._all.device))

    def _equally(self, v: Tensor) -> Tensor:
        """The same weight for each."""
        if len(self._equal) != v.shape[0] or self._equal.device != v.device:
            self._equal = equally_weighted(v).weights
        return self._equal

    def _share(self, rows: np.ndarray, step: int) -> Particles:
        places = self.places(rows)
        some = rows[places] if len(places) else np.array([processes.share(len(self.x)).start])
        v = self.prepare(take(self.x, some), some, step // self.per_epoch)
        if not len(places):  # a state that counts for nothing, so that no kernel meets an empty batch
            return Particles((torch.zeros_like(v),), v.new_zeros(1), rows=some)
        if self.weights is None:
            return equally_weighted(v, of=len(rows), chain=places)._replace(rows=some)
        w = self.weights[torch.from_numpy(rows)].to(v)
        return Particles((v,), w[places] / w.sum(), places, some)
