"""From the values of a table to units, and to states of units."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

import harmonium.units as types
from harmonium.data import Dataset
from harmonium.data.dataset import PARTS
from harmonium.data.values import chunks
from harmonium.models import EnergyModel
from harmonium.models.intake import Rows, observed, rows_of
from harmonium.models.space import Space
from harmonium.models.support import greys
from harmonium.models.table import Table
from harmonium.models.words import known_words
from harmonium.recipes.model_choice import told_by
from harmonium.units import Units

Test = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Kind:
    """A type of unit as the command line names it.

    Args:
        make: units from (number of them, number after the colon).
        needs: in words, what its values must be.
        allows: True where a value is one of them; it takes (values, number after the colon).
        option: what the number after the colon means, if the type takes one.
    """

    make: Callable[[int, int], Units]
    needs: str
    allows: Callable[[np.ndarray, int], np.ndarray]
    option: str | None = None


def _counts(x: np.ndarray, most: float = np.inf) -> np.ndarray:
    return (x >= 0) & (x <= most) & (x == np.floor(x))


KINDS = {
    "bernoulli": Kind(
        lambda n, _: types.Bernoulli(n), "0, 1 or a probability between", lambda x, _: (x >= 0) & (x <= 1)
    ),
    "spin": Kind(lambda n, _: types.Spin(n), "-1 or +1", lambda x, _: np.abs(x) == 1),
    "categorical": Kind(
        lambda n, q: types.Categorical(n, states=q),
        "a whole number from 0 to {last}",
        lambda x, q: _counts(x, q - 1),
        "states",
    ),
    "binomial": Kind(
        lambda n, t: types.Binomial(n, trials=t), "a whole number from 0 to {number}", _counts, "trials"
    ),
    "poisson": Kind(lambda n, _: types.Poisson(n), "a whole number from 0", lambda x, _: _counts(x)),
    "gaussian": Kind(lambda n, _: types.Gaussian(n), "a number", lambda x, _: np.isfinite(x)),
    "relu": Kind(lambda n, _: types.ReLU(n), "a number of at least 0", lambda x, _: x >= 0),
    "drelu": Kind(lambda n, _: types.DReLU(n), "a number", lambda x, _: np.isfinite(x)),
}
TAKE_NUMBER = [name for name, kind in KINDS.items() if kind.option]


def parse(option: str, text: str) -> tuple[str, int | None]:
    """('binomial', 16) from "binomial:16", ('spin', None) from "spin"; `option` is named if it is wrong."""
    name, colon, number = text.strip().lower().partition(":")
    if name not in KINDS:
        raise ValueError(f"{option} must be one of {', '.join(KINDS)}, got {text!r}.")
    if not colon:
        return name, None
    least = 2 if name == "categorical" else 1
    if name not in TAKE_NUMBER or not number.isdecimal() or int(number) < least:
        examples = " or ".join(f"{n}:{4}" for n in TAKE_NUMBER)
        raise ValueError(f"{option} takes a number only as in {examples}, got {text!r}.")
    return name, int(number)


def hidden_units(text: str | None, n: int) -> Units:
    """Hidden units of a type, such as "bernoulli", the default, or "categorical:3"."""
    name, number = parse("--hidden-type", text or "bernoulli")
    if KINDS[name].option and number is None:
        raise ValueError(f"--hidden-type {name} needs its {KINDS[name].option}, as in {name}:4.")
    return KINDS[name].make(n, number or 0)


def visible_units(data: Dataset, text: str | None) -> Units:
    """Visible units for the columns of a data set of numbers: of the type asked for, or of the one that its
    values say.

    Raises:
        ValueError: a value that is none of the type's, the first of which is named; or no type can be told.
    """
    if text is None:
        return _told_by(data)
    name, number = parse("--visible", text)
    if data.support == "words":
        raise ValueError(f"{data.name} has columns that aren't numbers, which --visible {name} needs.")
    kind = KINDS[name]
    if kind.option and number is None:
        number = max(1, int(_extremes(data)[1])) + (name == "categorical")
    number = number or 0
    found = first_offence(data, lambda x: kind.allows(x, number))
    if found:
        needs = kind.needs.format(number=number, last=number - 1)
        remedy = _for_greys(data) if name == "bernoulli" else ""
        raise ValueError(f"{found}, and --visible {name} needs {needs} in every cell{remedy}.")
    return kind.make(data.width, number)


def _told_by(data: Dataset) -> Units:
    """The units that `hm.fit` chooses, from the values of all parts."""
    units, _ = told_by([data.table(part) for part in PARTS], data.name)
    if units is not None:
        return units
    offence = first_offence(data, lambda x: (x >= 0) & (x <= 1))
    raise ValueError(
        f"{offence}, which is neither 0 or 1 nor a probability between; say what the columns are with"
        f" --visible (poisson, binomial, categorical or gaussian){_for_greys(data)}."
    )


def _for_greys(data: Dataset) -> str:
    return greys(*_extremes(data), "--visible binomial:255")


def _extremes(data: Dataset) -> tuple[float, float]:
    """The least and the largest value of all parts."""
    blocks = (block for part in PARTS for _, block in chunks(data.part(part)) if not np.isnan(block).all())
    low, high = zip(*((float(np.nanmin(x)), float(np.nanmax(x))) for x in blocks), strict=True)
    return min(low), max(high)


def first_offence(data: Dataset, allowed: Test) -> str | None:
    """The first value that isn't allowed, and where it is, as the start of a sentence."""
    for part in PARTS:
        for start, block in chunks(data.part(part)):
            bad = ~(allowed(block) | np.isnan(block))
            if bad.any():
                row, column = (int(i) for i in np.argwhere(bad)[0])
                value = float(block[row, column])
                return f"{data.name} holds {value:g} in {data.place(part, start + row, column)}"
    return None


def states(model: EnergyModel, rows: Table, title: str, seed: int = 0) -> tuple[Tensor, list[str]]:
    """Rows of a table as visible states, (rows, n_visible), NaN where free; and notes on what was done.

    Probabilities of 0/1 units are drawn, once. `title` names the table where its width or a value is wrong.
    """
    found = rows_of(model, rows, title, seed=seed, free=True)
    drawn = f"{title}: values between 0 and 1 are probabilities; of each, one draw was measured."
    return observed(model, found.states()), [drawn] * (found.kind == "probabilities") + moved(found, title)


def moved(rows: Rows, title: str) -> list[str]:
    """A note where columns were found by their names in another order."""
    return [] if rows.order is None else [f"{title}: its columns were put in the order of the model by name."]


def rows_in_words(model: EnergyModel, x: Tensor, given: Any = None) -> Any:
    """States as a table of the model's schema, with what was given, or of plain numbers where it has none."""
    if model.schema is None:
        return table(model.observed_space, x)
    return model.schema.decode(x, None if given is None else known_words(model.schema, given))


def table(space: Units | Space, x: Tensor) -> np.ndarray:
    """States as the rows of a table, (rows, columns), in the smallest of a few types that holds them."""
    rows = space.decode(x.detach()).cpu().numpy()
    if rows.dtype.kind == "f" and bool((rows == np.floor(rows)).all()):
        for dtype in (np.uint8, np.int8, np.int32):
            limits = np.iinfo(dtype)
            if rows.size and limits.min <= rows.min() and rows.max() <= limits.max:
                return rows.astype(dtype)
    return rows
