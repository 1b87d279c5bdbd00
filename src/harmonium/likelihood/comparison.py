"""Two models on the same data: the difference has a smaller error than either of its terms."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from harmonium.likelihood import inputs
from harmonium.likelihood.estimate import Estimate
from harmonium.likelihood.exact import exact_log_partition
from harmonium.likelihood.interval import estimate
from harmonium.likelihood.partition import WORK
from harmonium.likelihood.partition import log_partition as estimate_log_partition
from harmonium.likelihood.rows import free_energies, visible_states
from harmonium.likelihood.tempered import Budget, Progress, run_exchange
from harmonium.models import EnergyModel


def compare(
    model: EnergyModel,
    other: EnergyModel,
    X: Any,
    *,
    seconds: float | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Estimate:
    """Mean log P(v) under `model` minus that under `other`, over the rows of X, nats per row.

    Positive where `model` is better. The interval is that of log Z' - log Z, which for models over the same
    units is estimated along a path that leads from one to the other, so that what both have in common
    cancels. `details["data_stderr"]` is the standard error of the mean difference over other rows from the
    same source; rows are paired, so it too is smaller than that of either mean.

    Args:
        model: the one.
        other: the other, over the same visible variables.
        X: visible states, (rows, n_visible).
        seconds: about how long an estimate may take.
        seed: same seed, same estimate.
        progress: called with the share of the work done and what is being done.

    Raises:
        ValueError: X has the wrong shape or values outside the support, or a Z may be infinite.

    >>> import harmonium as hm
    >>> rbm = hm.RBM(visible=hm.Bernoulli(3), hidden=hm.Bernoulli(2))
    >>> compare(rbm, rbm, torch.zeros(1, 3)).value
    0.0
    """
    v = visible_states(model, X)
    rows = free_energies(other, visible_states(other, X)) - free_energies(model, v)
    ratio = log_ratio(model, other, Budget(WORK, seconds, progress), seed)
    mean = float(rows.mean())
    data_stderr = float(rows.std()) / len(v) ** 0.5 if len(v) > 1 else math.nan
    return Estimate(
        mean + ratio.value,
        ratio.stderr,
        mean + ratio.low,
        mean + ratio.high,
        ratio.method,
        ratio.ess,
        ratio.warnings,
        {**ratio.details, "log_partition_ratio": ratio.value, "data_stderr": data_stderr, "rows": len(v)},
    )


@torch.no_grad()
def log_ratio(model: EnergyModel, other: EnergyModel, budget: Budget, seed: int) -> Estimate:
    """log Z of `other` minus log Z of `model`, nats."""
    for name, m in (("model", model), ("other", other)):
        inputs.normalizable(name, m)
    exact = [exact_log_partition(m, budget.seconds) for m in (model, other)]
    if exact[0] is not None and exact[1] is not None:
        value = exact[1].value - exact[0].value
        return Estimate(value, 0.0, value, value, exact[0].method)
    if not _same_layers(model, other):
        return _apart(model, other, budget, seed)
    # the path climbs from weak couplings to strong ones
    upward = _strength(model) <= _strength(other)
    near, far = (model, other) if upward else (other, model)
    run = run_exchange(far, seed, budget, nodes=(near,))
    first = int(np.flatnonzero(run.ladder.positions == 1.0)[0])
    result = estimate(run, 0.0, first=first)
    if upward:
        return result
    return Estimate(
        -result.value,
        result.stderr,
        -result.high,
        -result.low,
        result.method,
        result.ess,
        result.warnings,
        result.details,
    )


def _same_layers(model: EnergyModel, other: EnergyModel) -> bool:
    return bool(model.named_blocks) and inputs.layers(model) == inputs.layers(other)


def _strength(model: EnergyModel) -> float:
    return float(sum((p.double() ** 2).sum() for p in model.parameters()))


def _apart(model: EnergyModel, other: EnergyModel, budget: Budget, seed: int) -> Estimate:
    """Two estimates, whose errors are independent."""
    seconds = None if budget.seconds is None else budget.seconds / 2
    a, b = (
        estimate_log_partition(m, seconds=seconds, seed=seed + i, progress=budget.progress)
        for i, m in enumerate((model, other))
    )
    value = b.value - a.value
    down = math.hypot(b.value - b.low, a.high - a.value)
    up = math.hypot(b.high - b.value, a.value - a.low)
    return Estimate(
        value,
        math.hypot(a.stderr, b.stderr),
        value - down,
        value + up,
        f"difference of two estimates ({a.method}; {b.method})",
        min(a.ess, b.ess),
        (*a.warnings, *b.warnings),
    )
