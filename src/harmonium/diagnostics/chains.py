"""Chains run only to see how they mix, handed to ArviZ."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from harmonium import checks
from harmonium.models import EnergyModel
from harmonium.random import Address, Purpose
from harmonium.sampling import Kernel, default_kernel, initial_chains

if TYPE_CHECKING:
    from xarray import DataTree

Observable = Callable[[tuple[Tensor, ...]], Tensor]
"""A function of the state, one tensor per block, with a number (or a row of numbers) for each chain."""


@torch.no_grad()
def chain_diagnostics(
    model: EnergyModel,
    observables: Mapping[str, Observable] | None = None,
    *,
    chains: int = 8,
    steps: int = 1000,
    kernel: Kernel | None = None,
    seed: int = 0,
) -> DataTree:
    """Run chains of the model and record observables, as a tree of ArviZ's groups.

    `arviz_stats.summary(result)` then has effective sample sizes, R̂ and Monte Carlo errors of every
    observable; `arviz_stats.ess`, `rhat` and the others, and the pictures of `arviz_plots`, take it too. The
    group `posterior` holds the observables, `sample_stats` what the kernel reports, such as an acceptance
    rate.

    Args:
        model: the model.
        observables: functions of the state by name; the energy of the joint state by default.
        chains: number of chains, from random starts, so that R̂ means something.
        steps: steps of each, all of them recorded: the start shows too.
        kernel: what moves the chains, `default_kernel(model)` by default.
        seed: same seed, same chains.

    >>> import harmonium as hm
    >>> rbm = hm.RBM(visible=hm.Bernoulli(4), hidden=hm.Bernoulli(2))
    >>> mean = {"mean": lambda state: state[0].mean(1)}
    >>> chain_diagnostics(rbm, mean, chains=4, steps=50).posterior["mean"].shape
    (4, 50)
    """
    n, length = checks.positive_integer("chains", chains), checks.positive_integer("steps", steps)
    for name, observable in (observables or {}).items():
        if not callable(observable):
            raise TypeError(f"observables: {name} must be a function of the state, got {observable!r}.")
    watched = observables or {"energy": lambda state: model.energy(*state)}
    move = kernel or default_kernel(model)
    now = initial_chains(model, n, Address(seed, Purpose.DIAGNOSE))
    seen: dict[str, list[np.ndarray]] = {name: [] for name in watched}
    told: dict[str, list[float]] = {}
    for _ in range(length):
        now = move(model, now)
        for name, observable in watched.items():
            seen[name].append(observable(now.state).double().cpu().numpy())
        for name, value in now.info.items():
            told.setdefault(name, []).append(value)
    return inference_data(
        {name: np.stack(rows) for name, rows in seen.items()},
        {name: np.tile(np.array(rows)[:, None], (1, n)) for name, rows in told.items()},
    )


def inference_data(traces: Mapping[str, Any], statistics: Mapping[str, Any] | None = None) -> DataTree:
    """Recorded observables as a tree of ArviZ's groups.

    Args:
        traces: by name, (steps, chains) or (steps, chains, …): as they come from chains, one row after the
            other.
        statistics: the same for what a kernel reported of its steps.

    >>> inference_data({"energy": np.zeros((100, 4))}).posterior["energy"].shape
    (4, 100)
    """
    for name, x in {**traces, **(statistics or {})}.items():
        if np.ndim(x) < 2:
            raise ValueError(f"{name}: expected (steps, chains) or more dimensions, got {np.shape(x)}.")
    groups: dict[str, Any] = {"posterior": {name: np.swapaxes(x, 0, 1) for name, x in traces.items()}}
    if statistics:
        groups["sample_stats"] = {name: np.swapaxes(x, 0, 1) for name, x in statistics.items()}
    from arviz_base import from_dict

    return from_dict(groups)
