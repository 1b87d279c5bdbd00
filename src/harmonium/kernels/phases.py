"""Both phases of the gradient of the weights in one go where there are no matrix units.

PyTorch makes the four products, and one pass over the means does what lies between them.
"""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from harmonium.kernels import launch, processor
from harmonium.kernels.side import Side

SERIAL = 2**16  # states and means below which starting threads costs more than it saves
Phase = tuple[Tensor, Tensor]
"""Visible states (n, width) and their weights (n,)."""


def two_phases(
    weight: Tensor, hidden: Side, data: Phase, negatives: Phase, add_to: Tensor | None
) -> tuple[Tensor, Tensor]:
    """As ``kernels.two_phases``."""
    with launch.multiplying(max(data[0].shape[0], negatives[0].shape[0]) * weight.numel()):
        if not _compilable(hidden, data, negatives):
            return together(weight, hidden, data, negatives, add_to)
        first, second = data[0].shape[0], negatives[0].shape[0]
        means = weight.new_empty(first + second, weight.shape[1])
        parts = means[:first], means[first:]
        torch.mm(data[0], weight, out=parts[0])
        torch.mm(negatives[0], weight, out=parts[1])
        sums = _weighted(means, hidden, data, negatives)
        out = torch.mm(data[0].T, parts[0]) if add_to is None else add_to.addmm_(data[0].T, parts[0])
        return out.addmm_(negatives[0].T, parts[1]), sums


def together(
    weight: Tensor, hidden: Side, data: Phase, negatives: Phase, add_to: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The same by PyTorch's operations alone, both phases as one matrix: the fewer operations, the better,
    since each takes microseconds however small it is.
    """
    states = torch.cat([data[0], negatives[0]])
    means = torch.addmm(hidden.bias, states, weight)
    means = means.sigmoid_() if hidden.kind == "bernoulli" else means.tanh_()
    first = data[0].shape[0]
    shares = weight.new_zeros(3, states.shape[0])
    shares[1, :first], shares[2, first:] = data[1], negatives[1]
    sums = torch.cat([shares @ states, shares @ means], 1)
    torch.sub(sums[2], sums[1], out=sums[0])  # of two sums, so that what is equal cancels
    means.mul_((shares[2] - shares[1])[:, None])
    return torch.mm(states.T, means) if add_to is None else add_to.addmm_(states.T, means), sums


def _compilable(hidden: Side, data: Phase, negatives: Phase) -> bool:
    for states, weights in (data, negatives):
        if not weights.is_cpu or weights.dtype is not torch.float32:
            return False
        if states.stride(1) != 1 or weights.stride(0) != 1 or not weights.numel():
            return False
    return hidden.bias.stride(0) == 1 and processor.path() != "plain"


def _weighted(means: Tensor, hidden: Side, data: Phase, negatives: Phase) -> Tensor:
    """Puts ∓wₙ ⟨h | vₙ⟩ in the place of the products vₙ W; the sums that ``kernels.two_phases`` returns."""
    from harmonium.kernels import memory, phase_loops
    from harmonium.kernels.draws import KINDS

    visible, (rows, columns) = data[0].shape[1], means.shape
    width, counters = visible + columns, (ctypes.c_int64 * 2)()
    sums = means.new_empty(3, width)
    described: list[int] = []
    for states, weights in (data, negatives):
        described += [states.data_ptr(), 4 * states.stride(0), weights.data_ptr(), states.shape[0]]
    panels = sum(-(-phase[0].shape[0] // phase_loops.PANEL) for phase in (data, negatives))
    job = phase_loops.JOB.pack(
        *(ctypes.addressof(counters), visible, columns, KINDS[hidden.kind], hidden.bias.data_ptr()),
        *(means.data_ptr(), memory.space([4 * width * panels])[0], sums.data_ptr(), *described),
    )
    launch.run(phase_loops.weigh, job, launch.threads(rows * width >= SERIAL))
    return sums
