"""A model for a table that comes without one: units from its values, hidden units by trial."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from harmonium.data.values import survey
from harmonium.models import RBM
from harmonium.recipes.history import History
from harmonium.recipes.rows import as_table
from harmonium.units import Bernoulli, Gaussian, Spin, Units

FEWEST, MOST = 8, 512  # hidden units that are tried
UNTRIED = 100  # with fewer rows nothing can be held out to choose on
BETTER = (
    0.002  # share of what was gained over independent units below which more hidden units aren't worth it
)

Trial = Callable[[RBM], History]


def units_for(x: Any, name: str = "X") -> Units:
    """Visible units for the columns of a table: 0/1 or between → Bernoulli, ±1 → Spin, real → Gaussian.

    Raises:
        ValueError: whole numbers, which may be counts or categories.
    """
    table = as_table(x, name)
    found = survey(name, np.asarray(table))
    width = table.shape[1]
    if found.support == "counts":
        q, n = int(found.high), first_number(width)
        raise ValueError(
            f"{name} holds whole numbers up to {q}, which may be categories or counts; pass a model that says"
            f" so as the first argument, such as hm.RBM(hm.Categorical({width}, states={q + 1}),"
            f" hm.Bernoulli({n})) or hm.RBM(hm.Poisson({width}), hm.Bernoulli({n}))."
        )
    kinds: dict[str, Callable[[int], Units]] = {
        "binary": Bernoulli,
        "unit interval": Bernoulli,
        "spin": Spin,
        "real": Gaussian,
    }
    return kinds[found.support](width)


def first_number(width: int) -> int:
    """The power of two next to the number of columns, between FEWEST and MOST."""
    return int(min(MOST, max(FEWEST, 2 ** round(math.log2(max(width, 1))))))


def choose(units: Callable[[], Units], n_rows: int, trial: Trial, seed: int) -> tuple[RBM, dict[int, float]]:
    """An RBM with as many 0/1 hidden units as pay, untrained.

    Short trials double the number, or halve it, while the likelihood of validation rows says so; the smallest
    number whose trial came close to the best one's is chosen.

    Args:
        units: makes visible units.
        n_rows: rows to learn from.
        trial: trains a machine for a short while.
        seed: of the weights.

    Returns:
        The machine, and log-likelihood of the validation rows by number of hidden units tried.
    """

    def machine(hidden: int) -> RBM:
        return RBM(units(), Bernoulli(hidden), seed=seed)

    def score(hidden: int) -> float:
        if hidden not in tried:
            records = trial(machine(hidden)).records
            tried[hidden] = max(r.get("validation_log_likelihood", -math.inf) for r in records)
        return tried[hidden]

    tried: dict[int, float] = {}
    number = first_number(units().width)
    if n_rows < UNTRIED:
        return machine(number), tried
    start = number
    while number < MOST and score(2 * number) > score(number) + _worth(tried):
        number *= 2
    if number == start:
        while number > FEWEST and score(number // 2) >= score(number) - _worth(tried):
            number //= 2
    return machine(number), tried


def _worth(tried: dict[int, float]) -> float:
    """Nats per row that a doubling must gain."""
    return BETTER * max(1.0, abs(max(tried.values())))
