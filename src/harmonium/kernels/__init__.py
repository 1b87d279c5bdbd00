"""Draws at an address: the one place where a back end is chosen by device.

Every back end gives the same bits (``harmonium.kernels.reference`` is the definition): a state depends on the field
and the address alone, never on threads, on how a block is cut up, or on what was drawn before.

A NaN in a field becomes a NaN in the state, so that it can't pass for a draw.
"""

from __future__ import annotations

from types import ModuleType

import torch
from torch import Tensor

from harmonium.random import Address

__all__ = ["draw_bernoulli", "draw_categorical", "draw_spin", "uniform"]

_backends: dict[str, ModuleType] = {}


def _backend(device: torch.device) -> ModuleType:
    backend = _backends.get(device.type)
    if backend is None:
        from harmonium.kernels import reference as backend

        _backends[device.type] = backend
    return backend


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
        dtype: torch.float32 (23 random bits) or torch.float64 (52 random bits, of which the first 23 are the same).
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
    _check_dtype("dtype", dtype)
    if len(shape) != 2 or any(not isinstance(n, int) or n < 0 for n in shape):
        raise ValueError(f"shape must be two numbers (rows, units) of at least 0, got {shape!r}.")
    _check_address(address, shape[0], shape[1])
    device = torch.device(device)
    return _backend(device).uniform(address, shape, dtype, device)


def draw_bernoulli(field: Tensor, address: Address, out: Tensor | None = None) -> Tensor:
    """Draws 0/1 states with P(x = 1) = 1 / (1 + exp(-field)).

    Args:
        field: (rows, units), float32 or float64; infinite fields are allowed, NaN gives NaN.
        address: where the draws live; row r is chain r, column j is unit j, counted from the address.
        out: optional tensor for the result, like the field, with columns next to each other; may be the field itself,
            but must not overlap it otherwise.

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
    out = _check(field, address, field, out)
    return _backend(field.device).draw_bernoulli(field, address, out)


def draw_spin(field: Tensor, address: Address, out: Tensor | None = None) -> Tensor:
    """Draws -1/+1 states with P(x = +1) = 1 / (1 + exp(-2 field)); otherwise as ``draw_bernoulli``.

    Example:
        >>> from harmonium.random import Address, Purpose
        >>> draw_spin(torch.tensor([[-torch.inf, torch.inf]]), Address(seed=1, purpose=Purpose.TRIAL))
        tensor([[-1.,  1.]])
    """
    out = _check(field, address, field, out)
    return _backend(field.device).draw_spin(field, address, out)


def draw_categorical(field: Tensor, states: int, address: Address, out: Tensor | None = None) -> Tensor:
    """Draws one-hot states with P(x = k) = exp(field_k) / sum_l exp(field_l) at each site.

    One uniform per site (the unit of the address is the site's number), by inversion of the distribution function.
    A field of -inf is a state that never occurs, +inf one that always does; a site whose fields are all -inf, or of
    which one is NaN, gives NaN.

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
    _check_field(field)
    if field.shape[1] % states:
        raise ValueError(f"field must have a multiple of {states} (states) columns, got {field.shape[1]}.")
    out = _check(field, address, field[:, ::states], out)
    return _backend(field.device).draw_categorical(field, states, address, out)


def _check_dtype(name: str, dtype: torch.dtype) -> None:
    if dtype is not torch.float32 and dtype is not torch.float64:
        raise TypeError(f"{name} must be torch.float32 or torch.float64, got {dtype}.")


def _check_address(address: Address, rows: int, units: int) -> None:
    if not isinstance(address, Address):
        raise TypeError(f"address must be an Address, got {type(address).__name__}.")
    address.check(rows, units)


def _check_field(field: Tensor) -> None:
    if not isinstance(field, Tensor):
        raise TypeError(f"field must be a torch.Tensor, got {type(field).__name__}.")
    _check_dtype("field", field.dtype)
    if field.dim() != 2:
        raise ValueError(f"field must have two dimensions (rows, units), got shape {tuple(field.shape)}.")


def _check(field: Tensor, address: Address, units: Tensor, out: Tensor | None) -> Tensor:
    _check_field(field)
    _check_address(address, field.shape[0], units.shape[1])
    if out is None:
        return torch.empty(field.shape, dtype=field.dtype, device=field.device)
    if not isinstance(out, Tensor):
        raise TypeError(f"out must be a torch.Tensor, got {type(out).__name__}.")
    if out.dtype != field.dtype:
        raise TypeError(f"out must have the field's dtype {field.dtype}, got {out.dtype}.")
    if out.shape != field.shape or out.device != field.device:
        expected = f"shape {tuple(field.shape)} on {field.device}"
        raise ValueError(f"out must have the field's {expected}, got {tuple(out.shape)} on {out.device}.")
    rows, width = out.shape
    if (width > 1 and out.stride(1) != 1) or (rows > 1 and out.stride(0) < width):
        raise ValueError(f"out must have its columns next to each other and separate rows, got strides {out.stride()}.")
    return out
