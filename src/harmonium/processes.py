"""Several processes as one: which of them this is, what its share is, and sums over all of them.

The engine is PyTorch's (`torch.distributed`). Whoever starts the processes makes the process group: the
command line under `torchrun`, or a program by `init_process_group`. All of them then run the same program on
the same arguments, each on its own share of chains and rows. Without a group there is one process, whose
share is everything, and nothing here costs anything.

What every process must come to alike is summed, gathered, or said by the first one. No object is pickled:
tensors are sent as they are, all else as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch import distributed as group

Answer = TypeVar("Answer")
RAISED = (FileNotFoundError, OSError, TypeError, FloatingPointError, ValueError)
"""Errors that the other processes raise as what they are; anything else becomes a RuntimeError."""

LOST = ("connection", "timed out", "timeout", "peer")
"""Words of what Gloo and NCCL say about a process that is gone."""


class LostProcess(ConnectionError):
    """Another process has ended in the middle of the work."""


_whole: ContextVar[bool] = ContextVar("whole", default=False)
_signals = {"own": 0, "any": 0}  # by which this process was told to stop, and any of them by the last sum


def together() -> bool:
    """Whether there are other processes."""
    return group.is_available() and group.is_initialized() and group.get_world_size() > 1


def count() -> int:
    """Among how many processes work is divided; 1 where each does the whole."""
    return group.get_world_size() if together() and not _whole.get() else 1


def rank() -> int:
    """The number of this process among those that divide the work."""
    return group.get_rank() if count() > 1 else 0


def number() -> int:
    """The number of this process, whether the work is divided or not."""
    return group.get_rank() if together() else 0


def first() -> bool:
    """Whether this is the process that writes and talks."""
    return number() == 0


@contextmanager
def repeating(when: bool = True) -> Iterator[None]:
    """Within this block every process does the whole: for work that can't be divided."""
    before = _whole.set(when or _whole.get())
    try:
        yield
    finally:
        _whole.reset(before)


# -- shares ----------------------------------------------------------------------------------------------


def share(n: int) -> slice:
    """Which of `n` things are this process's: neighbours, and as many as the others have, or one more.

    >>> share(10)
    slice(0, 10, None)
    """
    each, more = divmod(n, count())
    start = rank() * each + min(rank(), more)
    return slice(start, start + each + (rank() < more))


def share_of(name: str, n: int) -> slice:
    """The share of `n` things of which every process must have one."""
    if n < count():
        raise ValueError(f"{name}: expected one for each of {count()} processes at least, got {n}.")
    return share(n)


def size(part: slice) -> int:
    """How many things are in a share."""
    return int(part.stop - part.start)


def mine(x: Tensor) -> Tensor:
    """This process's share of the rows of x."""
    return x if count() == 1 else x[share(len(x))]


# -- what all processes know afterwards ------------------------------------------------------------------


@torch.no_grad()
def add_(tensors: Sequence[Tensor]) -> None:
    """Each tensor becomes the sum of those of all processes, in place, by one message.

    With it goes whether a process was told to stop (`told`).
    """
    if count() == 1:
        return
    hand = tensors[0].new_zeros(count())
    hand[rank()] = _signals["own"]
    flat = torch.cat([hand, *(x.reshape(-1) for x in tensors)])
    with _others():
        group.all_reduce(flat)
    hand, *sums = flat.split([count(), *(x.numel() for x in tensors)])
    _signals["any"] = int(hand.max())
    for x, total in zip(tensors, sums, strict=True):
        x.copy_(total.view(x.shape))


def gather(x: Tensor) -> Tensor:
    """The rows of all processes, one after the other; the numbers of rows may differ."""
    if count() == 1:
        return x
    return _gather(x)


def gather_array(x: np.ndarray) -> np.ndarray:
    """The same for an array."""
    return x if count() == 1 else _gather(torch.from_numpy(np.ascontiguousarray(x))).numpy()


def _gather(x: Tensor) -> Tensor:
    if x.dtype is torch.bool:
        return _gather(x.byte()).bool()
    n = group.get_world_size()
    lengths = torch.zeros(n, dtype=torch.int64, device=x.device)
    lengths[group.get_rank()] = len(x)
    with _others():
        group.all_reduce(lengths)
        padded = x.new_zeros(int(lengths.max()), *x.shape[1:])
        padded[: len(x)] = x
        found = [torch.empty_like(padded) for _ in range(n)]
        group.all_gather(found, padded)
    return torch.cat([part[:length] for part, length in zip(found, lengths.tolist(), strict=True)])


def from_first(value: Answer) -> Answer:
    """What the first process says, a number or anything else that JSON knows, for all to go on with."""
    if not together():
        return value
    return _shared(value, lambda told: told[0])


def broadcast_(tensors: Sequence[Tensor]) -> None:
    """Each tensor becomes that of the first process, in place."""
    if together():
        with _others():
            for x in tensors:
                group.broadcast(x, 0)


@contextmanager
def _others() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if not any(word in str(error).lower() for word in LOST):
            raise
        raise LostProcess("another process has ended, and this one can't go on without it.") from error


def _shared(value: Any, choose: Callable[[list[Any]], Any]) -> Any:
    told = torch.frombuffer(bytearray(json.dumps([value]).encode()), dtype=torch.uint8)
    ends = _gather(torch.tensor([len(told)])).cumsum(0).tolist()
    text = _gather(told).numpy().tobytes()
    return choose([json.loads(text[a:b])[0] for a, b in zip([0, *ends[:-1]], ends, strict=True)])


@contextmanager
def agreeing() -> Iterator[None]:
    """An error of one process within this block is one of all; no process waits for another inside."""
    if not together():
        yield
        return
    error: Exception | None = None
    try:
        yield
    except Exception as found:
        error = found
    own = None if error is None else [_kind(error), str(error)]
    kinds = {kind.__name__: kind for kind in RAISED}
    said = _shared(own, lambda told: next((each for each in told if each is not None), None))
    if error is not None:
        raise error
    if said is not None:
        raise kinds.get(said[0], RuntimeError)(said[1])


def _kind(error: Exception) -> str:
    return next((kind.__name__ for kind in RAISED if isinstance(error, kind)), "RuntimeError")


def by_first(function: Callable[[], Answer]) -> Answer:
    """What a function returns that only the first process calls; its error is one of all."""
    answer: Any = None
    with agreeing():
        if first():
            answer = function()
    return from_first(answer)


# -- when to stop ----------------------------------------------------------------------------------------


def stop(number: int) -> None:
    """Note that this process was told to stop, by the signal of this number."""
    _signals["own"] = number


def told() -> int:
    """The signal by which any of the processes was told to stop, 0 for none: the same answer for all.

    While work is divided it is that of the last `add_`, so that asking costs no message.
    """
    if not together():
        return _signals["own"]
    if count() > 1:
        return _signals["any"]
    hand = torch.tensor([_signals["own"]])
    with _others():
        group.all_reduce(hand, group.ReduceOp.MAX)
    return int(hand)


def go_on() -> None:
    """Forget what `stop` has noted."""
    _signals.update(own=0, any=0)
