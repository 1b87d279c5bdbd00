"""Real columns must vary."""

from __future__ import annotations

import numpy as np
import torch

from harmonium.columns.frames import listed
from harmonium.models import BlockModel, EnergyModel
from harmonium.recipes.rows import Rows
from harmonium.units.base import Tail
from harmonium.units.mixed import parts_of


def refuse_constant(model: EnergyModel, train: Rows, rows: Rows) -> None:
    """A real column without spread has no density of largest likelihood to start a fresh model from."""
    if not isinstance(model, BlockModel) or bool((model.layers[0].bias != 0).any()):
        return
    parts = parts_of(model.layers[0])
    real = [part.tail is Tail.QUADRATIC for part in parts for _ in range(part.width)]
    if not any(real) or not any(constant := real & constant_columns(train)):
        return
    alone = train is not rows and not (constant & constant_columns(rows)).any()
    numbers = np.flatnonzero(constant).tolist()
    names = [rows.columns[i] for i in numbers] if rows.columns and len(rows.columns) == len(real) else numbers
    which = f"column {names[0]} is" if len(names) == 1 else f"{len(names)} columns are"
    where = " in the training rows, though not in those held out" if alone else ""
    kinds = dict.fromkeys(type(part).__name__ for part in parts if part.tail is Tail.QUADRATIC)
    raise ValueError(
        f"X: {which} constant{where}{f' ({listed(names)})' * (len(names) > 1)}, and {' and '.join(kinds)}"
        f" units need a spread; drop {'it' if len(names) == 1 else 'them'}{', or give validation=' * alone}."
    )


def constant_columns(rows: Rows) -> np.ndarray:
    """Which columns of the states have one value, (n_visible,), looking no further than all of them vary;
    free cells have none.
    """
    first, constant = rows.states(1)[0], None
    for piece in rows.pieces():
        same = piece == first
        if rows.free:
            unknown = torch.isnan(piece)
            found = piece[(~unknown).int().argmax(0), torch.arange(len(first), device=piece.device)]
            first = torch.where(torch.isnan(first), found, first)
            same = (piece == first) | unknown
        constant = same.all(0) if constant is None else constant & same.all(0)
        if not bool(constant.any()):
            break
    assert constant is not None
    return (constant & ~torch.isnan(first)).cpu().numpy()
