"""Sequences that go on: frame after frame given those before it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from harmonium import checks
from harmonium.models import TemporalRBM
from harmonium.random import derived_seed
from harmonium.sampling.draw import sample_states

SWEEPS = 50  # of the chain that draws a frame


@torch.no_grad()
def continuation(
    model: Any, past: Any, frames: int, *, n: int = 1, seed: int = 0, sweeps: int = SWEEPS
) -> Tensor:
    """`n` sequences that go on where `past` ends, (n, frames, columns): each frame is drawn given the k
    before it. Their mean over many is a forecast.

    Args:
        model: a machine of sequences.
        past: (length, columns) with length ≥ k; or (n, length, columns), a past for each.
        frames: to draw.
        n: how many sequences.
        seed: same seed, same frames.
        sweeps: length of the chain that draws a frame, from independent units.

    Raises:
        TypeError, ValueError: another model, a past shorter than k, of other columns or with gaps.

    >>> import harmonium as hm
    >>> model = hm.TemporalRBM(hm.Spin(2), 1, hm.Bernoulli(3))
    >>> continuation(model, torch.ones(1, 2), frames=4, n=3).shape
    torch.Size([3, 4, 2])
    """
    if not isinstance(model, TemporalRBM):
        raise TypeError(f"model: expected a hm.TemporalRBM, got {checks.describe(model)}.")
    frames, n = checks.positive_integer("frames", frames), checks.positive_integer("n", n)
    seed = checks.seed("seed", seed)
    past = torch.as_tensor(np.asarray(past), dtype=model.dtype)
    fits = past.ndim in (2, 3) and past.shape[-2] >= model.lags and past.shape[-1] == model.width
    if not fits or (past.ndim == 3 and len(past) != n) or not bool(torch.isfinite(past).all()):
        raise ValueError(
            f"past must have at least {model.lags} frames of {model.width} columns, none of them with gaps,"
            f" got shape {tuple(past.shape)}."
        )
    whole = list(past.expand(n, *past.shape[-2:]).unbind(1))
    for t in range(frames):
        open_frame = torch.full_like(whole[-1], torch.nan)
        given = torch.cat([open_frame, *reversed(whole[-model.lags :])], 1)
        drawn = sample_states(model, n, given, seed=derived_seed(seed, t), sweeps=sweeps)
        whole.append(drawn[:, : model.width].cpu())
    return torch.stack(whole[-frames:], 1)
