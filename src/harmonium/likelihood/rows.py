"""Log-likelihoods of data: of rows, of sets of rows, and the baseline to compare them with."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from harmonium import checks
from harmonium.likelihood.estimate import Estimate
from harmonium.likelihood.exact import exact_log_partition
from harmonium.likelihood.partition import WORK, annealed_log_partition
from harmonium.likelihood.tempered import Budget, Progress
from harmonium.models import EnergyModel
from harmonium.units import Units

ROWS = 2**13  # rows per block of work


def log_likelihood(
    model: EnergyModel,
    X: Tensor | np.ndarray,
    *,
    seconds: float | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    log_partition: Estimate | None = None,
) -> Estimate:
    """Mean log P(v) = -F(v) - log Z over the rows of X, nats per row, with a 95 % interval.

    The interval is that of log Z: it says how well the mean over these very rows is known. How much it would
    change with other rows from the same source is kept apart, as `details["data_stderr"]`.

    Args:
        model: the model.
        X: visible states, (rows, n_visible).
        seconds: as in `log_partition`, as are `seed` and `progress`.
        seed: same seed, same estimate.
        progress: called with the share of the work done and what is being done.
        log_partition: an Estimate of log Z made before, which saves making one.

    Raises:
        ValueError: X has the wrong shape or values outside the support, or Z may be infinite.

    >>> import harmonium as hm
    >>> rbm = hm.RBM(visible=hm.Bernoulli(3), hidden=hm.Bernoulli(2))
    >>> round(hm.log_likelihood(rbm, torch.zeros(1, 3)).value, 1)
    -2.1
    """
    v = visible_states(model, X)
    log_z = log_partition
    if log_z is None:
        log_z = _log_partition(model, v, Budget(WORK, seconds, progress), seed)
    unnormalised = -free_energies(model, v)
    mean = float(unnormalised.mean())
    data_stderr = float(unnormalised.std()) / len(v) ** 0.5 if len(v) > 1 else float("nan")
    details = {**log_z.details, "log_partition": log_z.value, "data_stderr": data_stderr, "rows": len(v)}
    value, low, high = mean - log_z.value, mean - log_z.high, mean - log_z.low
    return replace(log_z, value=value, low=low, high=high, details=details)


def _log_partition(model: EnergyModel, v: Tensor, budget: Budget, seed: int) -> Estimate:
    """log Z, where chains may also begin at the rows of `v`."""
    reason = model.reason_not_normalizable()
    if reason:
        raise ValueError(f"model: {reason}")
    exact = exact_log_partition(model, budget.seconds)
    if exact is not None:
        return exact
    return annealed_log_partition(model, budget, seed, v)


def visible_states(model: EnergyModel, X: Tensor | np.ndarray, name: str = "X") -> Tensor:
    """X as visible states of the model in its dtype and on its device, checked against shape and support."""
    v = checks.matrix(name, torch.as_tensor(X))
    if len(v) == 0:
        raise ValueError(f"{name} must have at least 1 row, got none.")
    v = v.to(device=model.device, dtype=model.dtype)
    model.visible_space.check(v, name)
    return v


@torch.no_grad()
def free_energies(model: EnergyModel, v: Tensor) -> Tensor:
    """F(v) of every row, (rows,), float64, nats."""
    return torch.cat([model.free_energy(part).double() for part in v.split(ROWS)])


def independent_log_likelihood(
    units: Units, X_train: Tensor | np.ndarray, X_test: Tensor | np.ndarray
) -> float:
    """Mean log P of the rows of X_test under independent units fitted to X_train, nats per row.

    The baseline that a model must beat. `units` says of which type the columns are and isn't changed.

    >>> import harmonium as hm
    >>> X = torch.tensor([[0.0, 1.0], [1.0, 1.0]])
    >>> round(independent_log_likelihood(hm.Bernoulli(2), X, X), 3)
    -0.875
    """
    fitted = copy.deepcopy(units).double()
    train, test = (torch.as_tensor(x).to(fitted.bias) for x in (X_train, X_test))
    fitted.check(train, "X_train")
    fitted.check(test, "X_test")
    fitted.match(train)
    with torch.no_grad():
        log_z = fitted.cumulant(fitted.bias[None]).sum()
        return float((-fitted.energy(test)).mean() - log_z)
