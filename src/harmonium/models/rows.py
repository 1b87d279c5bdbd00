"""Rows as users give them (arrays, tensors, DataFrames, lists), and what they are as visible states."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from harmonium import checks
from harmonium.models.energy import EnergyModel
from harmonium.models.space import Space
from harmonium.random import Address, Purpose
from harmonium.units import Units
from harmonium.units.mixed import parts_of


def as_numbers(data: Any, name: str) -> np.ndarray | Tensor:
    """What was given as an array of real numbers, of any shape; missing cells of a DataFrame are NaN.

    Raises:
        TypeError, ValueError: it holds anything else, rows of different lengths, or is sparse.
    """
    if isinstance(data, (str, bytes, dict)) or data is None:
        raise TypeError(f"{name} must be a table of numbers, got {checks.describe(data)}.")
    if hasattr(data, "toarray"):
        raise TypeError(f"{name} must be a dense table, got a {type(data).__name__}; its toarray() is one.")
    x = data.to_numpy() if hasattr(data, "to_numpy") else data
    if not isinstance(x, (np.ndarray, Tensor)):
        try:
            x = np.asarray(x)
        except ValueError as error:
            raise ValueError(f"{name} must be a table of numbers, rows of one length each.") from error
    if isinstance(x, Tensor):
        if x.is_complex():
            raise TypeError(f"{name} must hold real numbers, got {x.dtype}.")
        return x.detach()
    if x.dtype == object and type(data).__module__.partition(".")[0] == "pandas":
        x = _numbers_of_frame(data, name)
    if x.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold numbers, got an array of type {x.dtype}.")
    if isinstance(x, np.memmap):
        x = x.view(np.ndarray)  # the same pages, without the bookkeeping of a subclass at each access
    return x


def as_table(data: Any, name: str) -> np.ndarray | Tensor:
    """What was given as a table of numbers, (rows, columns), its values not looked at."""
    x = as_numbers(data, name)
    if x.ndim != 2:
        raise ValueError(f"{name} must have two dimensions (rows, columns), got shape {tuple(x.shape)}.")
    if 0 in x.shape:
        raise ValueError(f"{name} must have at least one row and one column, got shape {tuple(x.shape)}.")
    return x


def _numbers_of_frame(data: Any, name: str) -> np.ndarray:
    """A pandas Series or DataFrame whose columns are numbers of several types, or have missing cells."""
    from pandas import DataFrame
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    frame = DataFrame(data)
    for column, dtype in frame.dtypes.items():
        if not (is_numeric_dtype(dtype) or is_bool_dtype(dtype)):
            raise TypeError(f"{name} must hold numbers in every column, got {dtype} in column {column!r}.")
    x = np.stack([c.to_numpy(dtype=float, na_value=np.nan) for _, c in frame.items()], axis=1)
    return x.reshape(data.shape)


def states_of(model: EnergyModel, X: Any, name: str = "X") -> Tensor:
    """Rows as visible states, (rows, n_visible), in the dtype of the model and on its device, all checked.

    Args:
        model: whose visible variables decide what is valid.
        X: states, or for one-hot sites integers 0 … q-1, a column for each site.
        name: what to call it in error messages.

    Raises:
        TypeError, ValueError: no table of numbers, of another width, or with values outside the support.

    >>> import harmonium as hm
    >>> rbm = hm.RBM(visible=hm.Categorical(2, states=3), hidden=hm.Bernoulli(2))
    >>> states_of(rbm, [[2, 0]])
    tensor([[0., 0., 1., 1., 0., 0.]])
    """
    v = encoded(model.visible_space, X, name).to(device=model.device, dtype=model.dtype)
    model.visible_space.check(v, name)
    return v


def encoded(space: Space | Units, X: Any, name: str) -> Tensor:
    """A table as a tensor of its own, one-hot where it held the integers of one-hot sites."""
    x = _tensor(as_table(X, name))
    if not coded(space, x, name):
        return x
    return _encode(space, x, name)


def partly_known(model: EnergyModel, X: Any, name: str = "given") -> Tensor:
    """Rows with NaN where a variable is free as float64 states with NaN there, (rows, n_visible), checked.

    For one-hot sites integers with NaN for a whole site will do, as will all their columns.

    Raises:
        TypeError, ValueError: as `states_of`, or a one-hot site of which only some columns are given.
    """
    space: Any = model.visible_space
    x = _tensor(as_table(X, name)).to(device=model.device, dtype=torch.float64)
    free = torch.isnan(x)
    valid = model.random_state(1, Address(0, Purpose.CLAMP))[0].detach().to(x)
    if coded(space, x, name):
        # a valid state takes the place of free cells, so that the others are checked by their own rule
        v = _encode(space, torch.where(free, space.decode(valid).to(x), x), name)
        free = free.repeat_interleave(columns_of_codes(space).to(x.device), 1)
        problem = None
    else:
        v = torch.where(free, valid, x)
        problem = space.mask_violation(~free) if isinstance(space, Units) else None
    problem = problem or space.violation(v)
    if problem:
        raise ValueError(f"{name}: {problem}; NaN marks free ones.")
    return torch.where(free, torch.nan, v)


def columns_of_codes(space: Units | Space) -> Tensor:
    """How many columns of a state each column of a table of codes stands for, (code_width,)."""
    if isinstance(space, Space):
        return torch.ones(space.width, dtype=torch.long)
    return torch.cat([torch.full((p.code_width,), p.width // p.code_width) for p in parts_of(space)])


def _tensor(x: np.ndarray | Tensor) -> Tensor:
    return x if isinstance(x, Tensor) else torch.from_numpy(np.array(x, x.dtype.newbyteorder("=")))


def coded(space: Space | Units, x: np.ndarray | Tensor, name: str) -> bool:
    """Whether the columns are compact codes; an error where they are neither these nor states."""
    codes = space.code_width if isinstance(space, Units) else space.width
    if x.shape[1] not in (space.width, codes):
        other = "" if space.width == codes else f" (states) or {codes} (integer codes)"
        raise ValueError(
            f"{name} must have {space.width} columns{other}, as the visible units of the model,"
            f" got {x.shape[1]}."
        )
    return x.shape[1] != space.width


def _encode(space: Any, codes: Tensor, name: str) -> Tensor:
    try:
        return space.encode(codes)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
