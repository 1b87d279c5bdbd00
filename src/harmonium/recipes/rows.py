"""From what a user has to states of the visible units: shapes, supports, codes and probabilities."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harmonium import kernels
from harmonium.learning import batches
from harmonium.learning.batches import Selected, take
from harmonium.models import EnergyModel
from harmonium.models.rows import as_table, coded
from harmonium.random import Address, Purpose
from harmonium.units import Bernoulli

CELLS = 2**22  # looked at together, so that memory-mapped data needn't fit in memory


@dataclass(frozen=True)
class Rows:
    """Rows of data, as stored, with the way from there to visible states.

    Attributes:
        x: (rows, columns) as given: states, compact codes, or probabilities; a numpy array or memory map, a
            tensor, or a selection of their rows.
        kind: "states", "codes" (integers for one-hot sites) or "probabilities" (of 0/1 units, drawn anew
            each epoch).
        prepare: (rows, row numbers, epoch) to states, (n, n_visible).
    """

    x: batches.Rows
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

    def pieces(self) -> Iterator[Tensor]:
        """The states of `states()`, some rows at a time."""
        for numbers, rows in pieces(self.x):
            yield self.prepare(rows, numbers, 0)

    def part(self, numbers: np.ndarray) -> Rows:
        """The rows with these numbers; none is copied."""
        x = self.x
        chosen = Selected(x.x, x.numbers[numbers]) if isinstance(x, Selected) else Selected(x, numbers)
        return replace(self, x=chosen)


def pieces(x: batches.Rows) -> Iterator[tuple[np.ndarray, Tensor]]:
    """Successive (row numbers, rows as stored) of about CELLS cells."""
    n = len(x)
    size = max(1, CELLS // take(x, np.arange(1)).shape[1])
    for start in range(0, n, size):
        numbers = np.arange(start, min(start + size, n))
        yield numbers, take(x, numbers)


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
    x = as_table(data, name)
    space = model.visible_space
    in_codes = coded(space, x, name)
    binary = isinstance(space, Bernoulli)
    found: str | None = None
    for numbers, stored in pieces(x):
        start, piece = int(numbers[0]), stored.to(_exact_type(stored.dtype))
        if stored.is_floating_point():
            _finite(piece, name, start)
        problem = space.violation(_encode(space, piece, name) if in_codes else piece)
        if problem and not (binary and bool(((piece >= 0) & (piece <= 1)).all())):
            where = _first_offence(space, piece, start) if not in_codes else ""
            raise ValueError(f"{name}: {problem} ({_unit_name(space)} units){where}.")
        found = found or problem
    kind = "codes" if in_codes else "probabilities" if found else "states"
    return Rows(x, kind, _preparation(model, kind, seed))


def _exact_type(stored: torch.dtype) -> torch.dtype:
    """The smallest type that holds the values exactly and in which -1 is less than 0."""
    return torch.float32 if stored.itemsize <= 2 else torch.float64


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
