"""Centring a gradient in one pass over it."""

from __future__ import annotations

import ctypes

from torch import Tensor

from harmonium.kernels import centre_loops, launch, memory

SERIAL = 2**16  # numbers below which starting threads costs more than it saves


def centre(
    gradient: Tensor,
    biases: tuple[Tensor, Tensor],
    offsets: tuple[Tensor, Tensor],
    shifted: tuple[Tensor, Tensor],
) -> None:
    """As ``kernels.centre``."""
    visible, hidden = gradient.shape
    bands = -(-visible // centre_loops.BAND)
    threads = launch.threads(gradient.numel() >= SERIAL)
    counters = (ctypes.c_int64 * (1 + threads))()
    parts = memory.space([4 * bands * hidden])[0]
    job = centre_loops.JOB.pack(
        *(ctypes.addressof(counters), visible, hidden, gradient.data_ptr(), 4 * gradient.stride(0)),
        *(x.data_ptr() for x in (*biases, *offsets, *shifted)),
        *(parts, *launch.team(threads)),
    )
    launch.run(centre_loops.centre, job, threads)
