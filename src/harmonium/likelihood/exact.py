"""Exact log Z: by a formula, or by a sum over the states of all blocks but one."""

from __future__ import annotations

import copy
import math
from functools import singledispatch

import torch

from harmonium import kernels
from harmonium.likelihood.estimate import Estimate
from harmonium.models import BlockModel, EnergyModel
from harmonium.models.enumeration import cheapest_block, log_sum_over_states
from harmonium.models.gaussian_rest import log_sum_beside_gaussians, states_beside_gaussians
from harmonium.units import Units

# States times units of the block summed in closed form, up to which the sum is worth its time: some ten
# seconds of one core through the compiled sum, some five through the plain one.
COMPILED_WORK, PLAIN_WORK = 2**32, 2**28
COMPILED_RATE, PLAIN_RATE = 4e8, 5e7  # the same per second of one core


def exact_log_partition(model: EnergyModel, seconds: float | None = None) -> Estimate | None:
    """Log Z where a formula gives it or the states can be summed (within `seconds`, about), otherwise
    None.
    """
    closed = model.closed_form_log_partition()
    if closed is not None:
        return _exact(float(closed), "exact, closed form")
    return _summed(model, seconds)


@singledispatch
def _summed(model: EnergyModel, seconds: float | None) -> Estimate | None:
    """By a sum over states within reach; None without blocks."""
    return None


@_summed.register(BlockModel)
def _(model: BlockModel, seconds: float | None) -> Estimate | None:
    block, states = cheapest_block(model)
    work = states * model.layers[block].n
    most = (COMPILED_WORK, PLAIN_WORK) if seconds is None else (seconds * COMPILED_RATE, seconds * PLAIN_RATE)
    method = f"exact, sum over {count_in_words(states)} states" if math.isfinite(states) else ""
    if compilable(model, block) and work <= most[0]:
        value = compiled_sum(model, block)
        if value is not None:
            return _exact(value, method)
    if work <= most[1]:
        # in float32 energies of 1e7 nats were off by one, and no interval would have said so
        return _exact(log_sum_over_states(copy.deepcopy(model).double(), block), method)
    return _beside_gaussians(model, most[1])


def _beside_gaussians(model: BlockModel, work: float) -> Estimate | None:
    """With all Gaussian units integrated out, where there are some on both sides of couplings."""
    machine = model.as_pairwise()
    if machine is None:
        return None
    states = states_beside_gaussians(machine)
    width = sum(layer.width for layer in machine.layers)
    value = log_sum_beside_gaussians(machine) if states * width**2 <= work else None
    if value is None:
        return None
    return _exact(value, f"exact, sum over {count_in_words(states)} states and a Gaussian integral")


def _exact(value: float, method: str) -> Estimate:
    return Estimate(value, 0.0, value, value, method)


def count_in_words(states: float) -> str:
    """A number of states, as a power of two where it is one.

    >>> count_in_words(2**16), count_in_words(81)
    ('2^16', '81')
    """
    bits = math.log2(states)
    return f"2^{bits:.0f}" if bits >= 10 and bits == int(bits) else f"{states:.0f}"


def compilable(model: BlockModel, block: int) -> bool:
    """Whether the compiled sum knows how to sum `block` out: two-valued units facing one layer of finite
    ones.
    """
    if model.pair() is None:
        return False
    summed, other = model.layers[block], model.layers[1 - block]
    return summed.two_values is not None and other.cardinality is not None and other.n > 1


@torch.no_grad()
def compiled_sum(model: BlockModel, block: int) -> float | None:
    """Log Z with `block` summed in closed form and the other's states in two halves, float64; None if out of
    range.

    A field is linear in the states, so that it is a sum of what the high and the low half of the sites give:
    two short tables replace the long one.
    """
    from harmonium.kernels.enumeration import log_sum

    pair = model.pair()
    assert pair is not None  # as it is compilable
    summed, other = model.layers[block], model.layers[1 - block]
    weight = pair.operator.dense().double()  # to the summed units
    weight = weight if block else weight.T.contiguous()
    middle = other.n // 2
    low, high = half_states(other, 0, middle).double(), half_states(other, middle, other.n).double()
    a, b = high @ weight + summed.bias.double(), low @ weight
    energy_a, energy_b = (-_energy(other, x) for x in (high, low))
    if summed.two_values == (-1.0, 1.0):  # log 2cosh f = softplus(2f) - f
        energy_a, energy_b, a, b = energy_a - a.sum(-1), energy_b - b.sum(-1), 2 * a, 2 * b
    a, b, energy_a, energy_b = (x.cpu() for x in (a, b, energy_a, energy_b))
    return log_sum(a.numpy(), b.numpy(), energy_a.numpy(), energy_b.numpy(), torch.get_num_threads())


def _energy(layer: Units, x: torch.Tensor) -> torch.Tensor:
    return layer.potential(x).sum(-1) - kernels.along(x, layer.bias.double())


def half_states(layer: Units, first: int, last: int) -> torch.Tensor:
    """All joint states of the sites first … last-1 of a layer, (states, width), zero in all other columns."""
    assert layer.cardinality is not None
    columns = layer.width // layer.n
    index = torch.arange(layer.cardinality ** (last - first), device=layer.bias.device)
    # sites before `first` vary faster in a layer's own numbering: skip over them
    states = layer.states(index * layer.cardinality**first)
    states[:, : first * columns] = 0
    states[:, last * columns :] = 0
    return states
