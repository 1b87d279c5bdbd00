"""log P(v_A | v_B): some visible variables given the others.

With Z(v_B) the sum of exp(-E) over everything but the given variables,

    log P(v_A | v_B) = -F(v) - log Z(v_B),

and Z(v_B) is the partition function of a model again, with the given variables clamped: one for each row. It
is summed where the completions of a row, or the hidden states, are few; otherwise every row gets replica
exchange of its own, all rows at once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from harmonium import checks
from harmonium.columns import Schema
from harmonium.columns.frames import listed
from harmonium.likelihood.clamped import by_site, clamped_log_partitions, sites_of
from harmonium.likelihood.estimate import Estimate
from harmonium.likelihood.partition import WORK
from harmonium.likelihood.rows import RowEstimates, free_energies, in_codes, visible_states
from harmonium.likelihood.tempered import Budget, Progress
from harmonium.models import EnergyModel
from harmonium.models.words import log_jacobian


def conditional_log_likelihood(
    model: EnergyModel,
    X: Any,
    given: Any,
    *,
    seconds: float | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Estimate:
    """Mean over the rows of X of log P(v_A | v_B), nats per row, with a 95 % interval.

    Args:
        model: the model.
        X: complete visible states, (rows, n_visible).
        given: bool, (n_visible,) or one for each site: True for the variables B that are given, False for
            those of A. For a model with a schema, and for a Markov random field, also the names of B;
            for the latter also a mapping from them to states, which the rows must agree with.
        seconds: about how long an estimate may take; more time gives a narrower interval.
        seed: same seed, same estimate.
        progress: called with the share of the work done and what is being done.

    Raises:
        ValueError: X or `given` has the wrong shape, X values outside the support, or what is given has
            probability zero.

    >>> import harmonium as hm
    >>> rbm = hm.RBM(visible=hm.Bernoulli(3), hidden=hm.Bernoulli(2))
    >>> e = conditional_log_likelihood(rbm, torch.zeros(1, 3), torch.tensor([True, True, False]))
    >>> round(e.value, 1), e.method
    (-0.7, 'exact, sum over 2 completions')
    """
    return conditional_log_probabilities(
        model, X, given, seconds=seconds, seed=seed, progress=progress
    ).mean()


def conditional_log_probabilities(
    model: EnergyModel,
    X: Any,
    given: Any,
    *,
    seconds: float | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> RowEstimates:
    """The same for every row, as `RowEstimates`; arguments and errors are those of
    `conditional_log_likelihood`.
    """  # noqa: D417  # described there
    X = in_codes(model, X)
    v = visible_states(model, X)
    held = _mask(model, given, v)
    if not model.has_free_energy():
        raise TypeError(f"model: expected a model with a free energy, got {type(model).__name__} without.")
    value = -free_energies(model, v)
    log_z = clamped_log_partitions(model, v, held, Budget(WORK, seconds, progress), seed)
    impossible = torch.nonzero(log_z.value == -math.inf).flatten()
    if len(impossible):
        raise ValueError(f"given: what row {int(impossible[0])} of X gives has probability zero.")
    found = RowEstimates(
        value=value - log_z.value,
        stderr=log_z.stderr,
        low=value - log_z.high,
        high=value - log_z.low,
        shared=False,
        method=log_z.method,
        warnings=log_z.warnings,
        details=log_z.details,
    )
    return found.plus(log_jacobian(model, X, held=held))


def _mask(model: EnergyModel, given: Any, v: Tensor) -> Tensor:
    given = _by_name(model, given, v) if model.schema is None else _by_column(model.schema, given)
    try:
        held, columns = torch.as_tensor(given).to(v.device), _site_columns(model)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(
            f"given: expected a boolean mask of shape ({v.shape[1]},), True for the variables to condition on"
            f" at the values that X has for them, got {checks.describe(given)}."
        ) from None
    if held.dtype != torch.bool or held.shape not in (v.shape[1:], columns.shape):
        raise ValueError(
            f"given: expected a boolean mask of shape ({v.shape[1]},), got {held.dtype} of shape "
            f"{tuple(held.shape)}."
        )
    if held.shape == columns.shape:
        return held.repeat_interleave(columns)
    if not torch.equal(held, by_site(model.visible_space, held).repeat_interleave(columns)):
        raise ValueError("given: expected all columns of a one-hot site to be given, or none of them.")
    return held


def _by_column(schema: Schema, given: Any) -> Any:
    """The mask that names of columns stand for; anything else as it is."""
    if not isinstance(given, (list, tuple)) or not all(isinstance(name, str) for name in given):
        return given
    slices = schema.slices()
    unknown = [name for name in given if name not in schema]
    if unknown:
        raise ValueError(f"given: unknown column {unknown[0]!r}; the columns are {listed(schema.names)}.")
    held = torch.zeros(schema.width, dtype=torch.bool)
    for name in given:
        held[slices.get(name, slice(0, 0))] = True
    return held


def _by_name(model: EnergyModel, given: Any, v: Tensor) -> Any:
    """The mask that names stand for; anything else as it is."""
    row = model.evidence_row(given) if isinstance(given, Mapping) else None
    if row is not None:
        row = row.to(v)
        held = ~torch.isnan(row)
        other = torch.nonzero((v[:, held] != row[held]).any(1)).flatten()
        if len(other):
            raise ValueError(
                f"given: row {int(other[0])} of X has other states than {dict(given)!r}; the rows say what "
                "is given, a mask or names say where."
            )
        return held
    if not isinstance(given, (list, tuple)) or all(isinstance(name, bool) for name in given):
        return given
    if all(name in model.named_variables for name in given):
        return torch.tensor([name in given for name in model.named_variables])
    return given


def _site_columns(model: EnergyModel) -> Tensor:
    """The number of columns of every visible site."""
    return torch.tensor([columns for _, columns in sites_of(model.visible_space)], device=model.device)
