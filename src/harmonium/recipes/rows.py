"""From what a user has to states of the visible units: shapes, supports, codes and probabilities."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harmonium import kernels
from harmonium.models import BlockModel, EnergyModel
from harmonium.random import Address, Purpose
from harmonium.units import Bernoulli, Units

CHUNK = 2**14  # rows looked at together, so that memory-mapped data needn't fit in memory


@dataclass(frozen=True)
class Rows:
    """Rows of data, as stored, with the way from there to visible states.

    Attributes:
        x: (rows, columns) as given: states, compact codes, or probabilities; a numpy array or memory map, or
            a tensor.
        kind: "states", "codes" (integers for one-hot sites) or "probabilities" (of 0/1 units, drawn anew
            each epoch).
        prepare: (rows, row numbers, epoch) to states, (n, n_visible).
    """

    x: np.ndarray | Tensor
    kind: str
    prepare: Callable[[Tensor, np.ndarray, int], Tensor]

    def __len__(self) -> int:
        return len(self.x)

    def states(self, limit: int | None = None) -> Tensor:
        """States of all rows, or of `limit` rows spread evenly over them; probabilities are drawn once, as
        epoch 0.
        """
        n = len(self.x)
        numbers = (
            np.arange(n) if limit is None or limit >= n else np.linspace(0, n - 1, limit).astype(np.int64)
        )
        return self.prepare(take(self.x, numbers), numbers, 0)


def take(x: np.ndarray | Tensor, numbers: np.ndarray) -> Tensor:
    """The rows with these numbers, read from disk only if they live there."""
    if isinstance(x, Tensor):
        return x[torch.from_numpy(numbers).to(x.device)]
    return torch.from_numpy(np.ascontiguousarray(x[numbers]))


def rows_of(model: EnergyModel, data: Any, name: str, seed: int = 0) -> Rows:
    """Check `data` against the visible units of `model`.

    Args:
        model: whose visible units decide what is valid.
        data: (rows, columns): a numpy array or memory map, a tensor, a DataFrame, or nested lists. Columns
            are those of the visible states or, for one-hot sites, one integer per site. Values between 0 and
            1 for a layer of 0/1 units are taken as probabilities.
        name: what to call it in error messages.
        seed: of the draws from probabilities.

    Raises:
        TypeError, ValueError: in one sentence, saying what was expected and what came.
    """
    x = _table(data, name)
    space = model.visible_space
    width, code_width = space.width, getattr(space, "code_width", space.width)
    if x.shape[1] not in (width, code_width):
        other = "" if width == code_width else f" (states) or {code_width} (integer codes)"
        raise ValueError(
            f"{name} must have {width} columns{other}, as the visible units of the model, got {x.shape[1]}."
        )
    coded = x.shape[1] != width
    binary = isinstance(space, Bernoulli)
    found: str | None = None
    for start in range(0, len(x), CHUNK):
        numbers = np.arange(start, min(start + CHUNK, len(x)))
        piece = take(x, numbers).to(torch.float64)
        _finite(piece, name, start)
        problem = space.violation(_encode(space, piece, name) if coded else piece)
        if problem and not (binary and bool(((piece >= 0) & (piece <= 1)).all())):
            where = _first_offence(space, piece, start) if not coded else ""
            raise ValueError(f"{name}: {problem} ({_unit_name(space)} units){where}.")
        found = found or problem
    kind = "codes" if coded else "probabilities" if found else "states"
    return Rows(x, kind, _preparation(model, kind, seed))


def _table(data: Any, name: str) -> np.ndarray | Tensor:
    x = data.to_numpy() if hasattr(data, "to_numpy") else data
    if not isinstance(x, (np.ndarray, Tensor)):
        try:
            x = np.asarray(x)
        except ValueError as error:
            raise ValueError(f"{name} must be a table of numbers, rows of one length each.") from error
    if isinstance(x, np.ndarray) and x.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold numbers, got an array of type {x.dtype}.")
    if isinstance(x, Tensor) and x.is_complex():
        raise TypeError(f"{name} must hold real numbers, got {x.dtype}.")
    if x.ndim != 2:
        raise ValueError(f"{name} must have two dimensions (rows, columns), got shape {tuple(x.shape)}.")
    if 0 in x.shape:
        raise ValueError(f"{name} must have at least one row and one column, got shape {tuple(x.shape)}.")
    return x


def _finite(piece: Tensor, name: str, start: int) -> None:
    bad = ~torch.isfinite(piece)
    if bool(bad.any()):
        row, column = torch.nonzero(bad)[0].tolist()
        raise ValueError(
            f"{name} must be finite, got {piece[row, column].item()} in row {start + row}, column {column}"
            f" ({int(bad.sum())} such values among the first {start + len(piece)} rows)."
        )


def _unit_name(space: Any) -> str:
    return type(space).__name__


def _first_offence(space: Any, piece: Tensor, start: int) -> str:
    """Where the first row that is no state lies."""
    for row in range(len(piece)):
        if space.violation(piece[row : row + 1]):
            low, high = piece[row].min().item(), piece[row].max().item()
            return f"; the first row that isn't is number {start + row}, with values from {low:g} to {high:g}"
    return ""


def _encode(space: Any, codes: Tensor, name: str) -> Tensor:
    try:
        return space.encode(codes)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _preparation(model: EnergyModel, kind: str, seed: int) -> Callable[[Tensor, np.ndarray, int], Tensor]:
    dtype, device, space = model.dtype, model.device, model.visible_space

    def states(x: Tensor, numbers: np.ndarray, epoch: int) -> Tensor:
        return x.to(device=device, dtype=dtype)

    def codes(x: Tensor, numbers: np.ndarray, epoch: int) -> Tensor:
        return space.encode(x.to(device)).to(dtype)  # type: ignore[union-attr]  # has codes

    def probabilities(x: Tensor, numbers: np.ndarray, epoch: int) -> Tensor:
        p = x.to(device=device, dtype=dtype)
        address = Address(seed, Purpose.DATA, step=epoch, chain=numbers)
        return (kernels.uniform(address, (len(p), p.shape[1]), dtype, device) < p).to(dtype)

    return {"states": states, "codes": codes, "probabilities": probabilities}[kind]


def visible_units(model: EnergyModel) -> Units | None:
    """The visible layer, where the model has one."""
    return model.layers[0] if isinstance(model, BlockModel) else None
