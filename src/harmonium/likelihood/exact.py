"""Exact log Z: by a formula, or by a sum over the states of all blocks but one."""

from __future__ import annotations

import math

from harmonium.likelihood.estimate import Estimate
from harmonium.models import BlockModel, EnergyModel
from harmonium.models.enumeration import cheapest_block, log_sum_over_states

EXACT_STATES = 2**20  # up to this many states the sum is quicker than an estimate


def exact_log_partition(model: EnergyModel) -> Estimate | None:
    """Log Z where a formula gives it or the states can be summed, otherwise None."""
    closed = model.closed_form_log_partition()
    if closed is not None:
        return _exact(float(closed), "exact, closed form")
    if not isinstance(model, BlockModel):
        return None
    block, states = cheapest_block(model)
    if states > EXACT_STATES:
        return None
    return _exact(log_sum_over_states(model, block), f"exact, sum over {count_in_words(states)} states")


def _exact(value: float, method: str) -> Estimate:
    return Estimate(value, 0.0, value, value, method)


def count_in_words(states: float) -> str:
    """A number of states, as a power of two where it is one.

    >>> count_in_words(2**16), count_in_words(81)
    ('2^16', '81')
    """
    bits = math.log2(states)
    return f"2^{bits:.0f}" if bits >= 10 and bits == int(bits) else f"{states:.0f}"
