"""Draws at an address: by compiled loops, or by the reference on other devices and where nothing can be
compiled; the same bits either way.
"""

from __future__ import annotations

from types import ModuleType

import torch
from torch import Tensor

from harmonium.kernels import arguments, processor, reference
from harmonium.kernels.mixture import Mixture
from harmonium.kernels.processor import taking_the_next
from harmonium.random import Address


def _drawing(on_cpu: bool) -> ModuleType:
    """Who draws: compiled loops, or the reference on other devices and where nothing can be compiled."""
    if not on_cpu or processor.path() == "plain":
        return reference
    from harmonium.kernels import draws  # brings Numba, which takes a second

    return draws


@taking_the_next
def uniform(
    address: Address,
    shape: tuple[int, int],
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Uniforms in the open interval (0, 1).

    Args:
        address: where the block of draws lives.
        shape: (rows, units).
        dtype: torch.float32 (23 random bits) or torch.float64 (52 random bits, the first 23 the same).
        device: where the result lives.

    Returns:
        Tensor of shape (rows, units).

    Raises:
        TypeError: dtype is neither float32 nor float64, or address is no Address.
        ValueError: shape is not two numbers >= 0, or the block doesn't fit at the address.

    Example:
        >>> from harmonium.random import Address, Purpose
        >>> uniform(Address(seed=1, purpose=Purpose.TRIAL), (2, 3)).shape
        torch.Size([2, 3])
    """
    arguments.check_dtype("dtype", dtype)
    if len(shape) != 2 or any(not isinstance(n, int) or n < 0 for n in shape):
        raise ValueError(f"shape must be two numbers (rows, units) of at least 0, got {shape!r}.")
    arguments.check_address(address, shape[0], shape[1])
    device = torch.device(device)
    return _drawing(device.type == "cpu").uniform(address, shape, dtype, device)


@taking_the_next
def draw_bernoulli(field: Tensor, address: Address, out: Tensor | None = None) -> Tensor:
    """Draws 0/1 states with P(x = 1) = 1 / (1 + exp(-field)).

    Args:
        field: (rows, units), float32 or float64; infinite fields are allowed, NaN gives NaN.
        address: where the draws live; row r is chain r, column j is unit j, counted from the address.
        out: optional tensor for the result, like the field, with its columns next to each other; it may be
            the field itself, but must not overlap it otherwise.

    Returns:
        Tensor of 0. and 1. like the field.

    Raises:
        TypeError: field or out is no tensor or has the wrong dtype, or address is no Address.
        ValueError: a shape, device or stride is wrong, or the block doesn't fit at the address.

    Example:
        >>> from harmonium.random import Address, Purpose
        >>> draw_bernoulli(torch.tensor([[-torch.inf, torch.inf]]), Address(seed=1, purpose=Purpose.TRIAL))
        tensor([[0., 1.]])
    """
    out = arguments.checked(field, 1, address, out)
    return _drawing(field.is_cpu).draw_bernoulli(field, address, out)


@taking_the_next
def draw_spin(field: Tensor, address: Address, out: Tensor | None = None) -> Tensor:
    """Draws -1/+1 states with P(x = +1) = 1 / (1 + exp(-2 field)); otherwise as ``draw_bernoulli``.

    Example:
        >>> from harmonium.random import Address, Purpose
        >>> draw_spin(torch.tensor([[-torch.inf, torch.inf]]), Address(seed=1, purpose=Purpose.TRIAL))
        tensor([[-1.,  1.]])
    """
    out = arguments.checked(field, 1, address, out)
    return _drawing(field.is_cpu).draw_spin(field, address, out)


@taking_the_next
def draw_categorical(field: Tensor, states: int, address: Address, out: Tensor | None = None) -> Tensor:
    """Draws one-hot states with P(x = k) = exp(field_k) / sum_l exp(field_l) at each site.

    One uniform per site (the unit of the address is the site's number), by inversion of the distribution
    function. A field of -inf is a state that never occurs, +inf one that always does (several share equally);
    a site whose fields are all -inf, or of which one is NaN, gives NaN.

    Args:
        field: (rows, sites * states), the states of a site next to each other.
        states: number of states of each site.
        address: where the draws live; row r is chain r, site s is unit s, counted from the address.
        out: as in ``draw_bernoulli``.

    Returns:
        Tensor of 0. and 1. like the field, with a single 1. at each site.

    Raises:
        TypeError, ValueError: as ``draw_bernoulli``, and where the width is no multiple of ``states``.

    Example:
        >>> from harmonium.random import Address, Purpose
        >>> draw_categorical(torch.tensor([[0., -99., -99., 99.]]), 2, Address(seed=1, purpose=Purpose.TRIAL))
        tensor([[1., 0., 0., 1.]])
    """
    if not isinstance(states, int) or isinstance(states, bool):
        raise TypeError(f"states must be an integer, got {states!r}.")
    if states < 1:
        raise ValueError(f"states must be at least 1, got {states}.")
    out = arguments.checked(field, states, address, out)
    return _drawing(field.is_cpu).draw_categorical(field, states, address, out)


@taking_the_next
def draw_counts(field: Tensor, trials: int, address: Address, out: Tensor | None = None) -> Tensor:
    """Draws successes out of so many trials, P(x = k) ∝ (trials over k) exp(k field), or where `trials` is 0
    counts without a limit, P(x = k) ∝ exp(k field) / k!.

    Args:
        field: (rows, units), float64.
        trials: at most 2^53.
        address: as in ``draw_bernoulli``.
        out: as in ``draw_bernoulli``.

    Returns:
        Tensor of whole numbers like the field; -1 where their variance exceeds 1024, which is too much for
        sums, and NaN where the field is.

    Raises:
        TypeError, ValueError: as ``draw_bernoulli``, and where the field isn't float64.

    Example:
        >>> from harmonium.random import Address, Purpose
        >>> field = torch.tensor([[-torch.inf, torch.inf]], dtype=torch.float64)
        >>> draw_counts(field, 7, Address(seed=1, purpose=Purpose.TRIAL)).tolist()
        [[0.0, 7.0]]
    """
    out = arguments.checked(field, 1, address, out)
    if field.dtype is not torch.float64:
        raise TypeError(f"field must be torch.float64, got {field.dtype}.")
    return _drawing(field.is_cpu).draw_counts(field, trials, address, out)


@taking_the_next
def draw_mixture(field: Tensor, mixture: Mixture, address: Address) -> Tensor:
    """Draws each group of columns in its way, all in one call.

    Columns of the kind "uniform" get uniforms of the field's type, whatever their field; counts are drawn in
    float64, in a field of any type.

    Args:
        field: (rows, mixture.width), float32 or float64.
        mixture: the groups, which hold no column twice; a column of none gets what was in memory.
        address: as in ``draw_bernoulli``; the units of a group are counted on from its own.

    Returns:
        Tensor like the field: states, or uniforms.

    Raises:
        TypeError, ValueError: as ``draw_bernoulli``, and where the field has another width.

    Example:
        >>> from harmonium.kernels import Group, Mixture
        >>> from harmonium.random import Address, Purpose
        >>> groups = Group("bernoulli", 1, torch.tensor([1]), 0), Group("counts", 9, torch.tensor([0]), 4)
        >>> field = torch.tensor([[torch.inf, -torch.inf]])
        >>> draw_mixture(field, Mixture(groups, 2), Address(seed=1, purpose=Purpose.TRIAL))
        tensor([[9., 0.]])
    """
    out = arguments.checked(field, 1, address, None)
    if field.shape[1] != mixture.width:
        raise ValueError(f"field must have {mixture.width} columns, got {field.shape[1]}.")
    arguments.check_address(address, field.shape[0], mixture.units)
    return _drawing(field.is_cpu).draw_mixture(field, mixture, address, out)
