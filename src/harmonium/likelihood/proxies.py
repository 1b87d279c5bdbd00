"""Proxies: numbers that are cheaper than a likelihood and often move with it, but are none.

A model can have a good pseudo-likelihood and reconstruct well while its likelihood is poor, since neither
notices modes far from the data (Tieleman 2008; Fischer & Igel 2012).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from harmonium import kernels
from harmonium.likelihood.estimate import Estimate
from harmonium.likelihood.rows import free_energies, visible_states
from harmonium.models import RBM, EnergyModel
from harmonium.models.rbm import checked_rbm
from harmonium.models.space import Space
from harmonium.random import Address, Purpose
from harmonium.units import Units

PAIRS = 2**15  # changed rows per block of work
NORMAL_95 = 1.96


@torch.no_grad()
def pseudo_likelihood(model: EnergyModel, X: Any) -> Estimate:
    """Mean over the rows of Σᵢ log P(vᵢ | all other visible variables), nats per row; exact over all
    variables.

    A proxy of the log-likelihood (Besag 1975). stderr and interval are those of the mean over rows.

    Raises:
        ValueError: X has the wrong shape or values outside the support.
        TypeError: a visible variable has infinitely many states.

    >>> import harmonium as hm
    >>> rbm = hm.RBM(visible=hm.Bernoulli(4), hidden=hm.Bernoulli(2))
    >>> round(pseudo_likelihood(rbm, torch.zeros(1, 4)).value, 1)
    -2.8
    """
    v = visible_states(model, X)
    sites = finite_sites(model.visible_space)
    total = torch.zeros(len(v), dtype=torch.float64, device=v.device)
    chunk = max(1, PAIRS // max(len(values) for _, values in sites))
    for part, into in zip(v.split(chunk), total.split(chunk), strict=True):
        for columns, values in sites:
            into += _log_conditional(model, part, columns.expand(len(part), -1), values)
    return _over_rows(total, f"pseudo-likelihood over all {len(sites)} variables, a proxy")


@torch.no_grad()
def stochastic_pseudo_likelihood(model: EnergyModel, X: Any, seed: int = 0) -> Estimate:
    """The same estimated from one variable for each row, drawn at random: n log P(vᵢ | all others).

    Unbiased for the pseudo-likelihood, at 1/n of its cost; all visible variables must have equally many
    states.

    >>> import harmonium as hm
    >>> rbm = hm.RBM(visible=hm.Bernoulli(4), hidden=hm.Bernoulli(2))
    >>> round(stochastic_pseudo_likelihood(rbm, torch.zeros(3, 4)).value)
    -3
    """
    v = visible_states(model, X)
    sites = finite_sites(model.visible_space)
    if len({len(values) for _, values in sites}) != 1:
        raise TypeError("model: expected visible variables with equally many states, got different numbers.")
    u = kernels.uniform(Address(seed, Purpose.DIAGNOSE), (len(v), 1), torch.float64, v.device)
    columns = torch.stack([c for c, _ in sites])[(u[:, 0] * len(sites)).long()]
    values = sites[0][1]
    parts = zip(v.split(PAIRS), columns.split(PAIRS), strict=True)
    per_row = torch.cat([_log_conditional(model, rows, where, values) for rows, where in parts])
    return _over_rows(len(sites) * per_row, "pseudo-likelihood from one variable per row, a proxy")


def finite_sites(space: Space | Units) -> list[tuple[Tensor, Tensor]]:
    """(columns, values (states, columns)) of every visible variable."""
    sites, start = [], 0
    found: dict[tuple[int, int], Tensor] = {}  # values, once for all variables that have the same
    for variable in space.variables():
        part, width, count = variable
        if count is None:
            kind = type(part or space).__name__
            raise TypeError(f"model: expected visible variables with finitely many states, got {kind}.")
        if (id(part), count) not in found:
            found[id(part), count] = variable.values()
        sites.append((torch.arange(start, start + width), found[id(part), count]))
        start += width
    return sites


def _log_conditional(model: EnergyModel, v: Tensor, columns: Tensor, values: Tensor) -> Tensor:
    """log P(vᵢ | all others) with variable i at `columns` (rows, columns of a site), (rows,)."""
    columns, values = columns.to(v.device), values.to(v)
    own = v.gather(1, columns)
    energies = [_changed_free_energy(model, v, columns, value - own) for value in values]
    is_own = torch.stack([(own == value).all(1) for value in values])
    log_p = torch.log_softmax(-torch.stack(energies), 0)
    return (log_p * is_own).sum(0)


def _changed_free_energy(model: EnergyModel, v: Tensor, columns: Tensor, change: Tensor) -> Tensor:
    changed = v.scatter_add(1, columns, change)
    return free_energies(model, changed)


def reconstruction_error(model: RBM, X: Any) -> Estimate:
    """Mean over rows and columns of (v - ⟨v | ⟨h | v⟩⟩)², in squared units of v: a proxy, and a poor one.

    It falls when hidden units copy the visible ones, whatever the probability of the data (Hinton 2012).

    >>> import harmonium as hm
    >>> rbm = hm.RBM(visible=hm.Bernoulli(4), hidden=hm.Bernoulli(2))
    >>> round(reconstruction_error(rbm, torch.zeros(1, 4)).value, 2)
    0.25
    """
    v = visible_states(checked_rbm("model", model), X)
    with torch.no_grad():
        again = model.visible_given_hidden(model.hidden_given_visible(v))
    return _over_rows(((v - again) ** 2).double().mean(1), "reconstruction error, a proxy")


def free_energy_gap(model: EnergyModel, train: Any, validation: Any) -> Estimate:
    """Mean F(v) of validation rows minus that of training rows, nats: a proxy of overfitting.

    log Z cancels, so the gap is exactly the difference of the mean log-likelihoods; its error is that of the
    choice of rows. Near zero, the model fits both alike; a growing gap is overfitting (Hinton 2012).

    >>> import harmonium as hm
    >>> rbm = hm.RBM(visible=hm.Bernoulli(4), hidden=hm.Bernoulli(2))
    >>> free_energy_gap(rbm, torch.zeros(2, 4), torch.zeros(2, 4)).value
    0.0
    """
    a, b = (
        free_energies(model, visible_states(model, x, n))
        for x, n in ((train, "train"), (validation, "validation"))
    )
    means = [_over_rows(x, "") for x in (a, b)]
    value, stderr = means[1].value - means[0].value, math.hypot(means[0].stderr, means[1].stderr)
    reach = NORMAL_95 * stderr
    return Estimate(
        value, stderr, value - reach, value + reach, "free-energy gap, a proxy", float(min(len(a), len(b)))
    )


def _over_rows(per_row: Tensor, method: str) -> Estimate:
    """The mean over rows; with a single row its error isn't known."""
    n, value = len(per_row), float(per_row.mean())
    stderr = float(per_row.std()) / n**0.5 if n > 1 else math.nan
    reach = NORMAL_95 * stderr
    return Estimate(value, stderr, value - reach, value + reach, method, float(n), details={"rows": n})
