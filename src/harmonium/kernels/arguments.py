"""Checks of what the kernels are given, each with one sentence that says what was expected and what came."""

from __future__ import annotations

import torch
from torch import Tensor

from harmonium.random import Address


def check_dtype(name: str, dtype: torch.dtype) -> None:
    """Raise a TypeError unless this is float32 or float64."""
    if dtype is not torch.float32 and dtype is not torch.float64:
        raise TypeError(f"{name} must be torch.float32 or torch.float64, got {dtype}.")


def check_address(address: Address, rows: int, units: int) -> None:
    """Raise an error unless a block of draws of this size lies at the address."""
    if not isinstance(address, Address):
        raise TypeError(f"address must be an Address, got {type(address).__name__}.")
    address.check(rows, units)


def checked(field: Tensor, states: int, address: Address, out: Tensor | None) -> Tensor:
    """The tensor for the result of a draw, after a look at all that was given for it."""
    if not isinstance(field, Tensor):
        raise TypeError(f"field must be a torch.Tensor, got {type(field).__name__}.")
    check_dtype("field", field.dtype)
    shape = field.shape
    if len(shape) != 2:
        raise ValueError(f"field must have two dimensions (rows, units), got shape {tuple(shape)}.")
    rows, width = shape
    if width % states:
        raise ValueError(f"field must have a multiple of {states} (states) columns, got {width}.")
    check_address(address, rows, width // states)
    if out is None:
        return torch.empty_like(field, memory_format=torch.contiguous_format)
    _check_out(out, field)
    return out


def _check_out(out: Tensor, field: Tensor) -> None:
    if not isinstance(out, Tensor):
        raise TypeError(f"out must be a torch.Tensor, got {type(out).__name__}.")
    if out.dtype is not field.dtype:
        raise TypeError(f"out must have the field's dtype {field.dtype}, got {out.dtype}.")
    if out.shape != field.shape or out.device != field.device:
        expected = f"shape {tuple(field.shape)} on {field.device}"
        raise ValueError(f"out must have the field's {expected}, got {tuple(out.shape)} on {out.device}.")
    if out.requires_grad:
        raise ValueError("out must not require a gradient: draws have none.")
    rows, width = out.shape
    stride, columns = out.stride()
    if (width > 1 and columns != 1) or (rows > 1 and stride < width):
        raise ValueError(
            f"out must have its columns next to each other and separate rows, got strides {out.stride()}."
        )
