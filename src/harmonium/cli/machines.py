"""The machines that `harmonium fit` can make, by the name that --model has for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from harmonium.cli import values
from harmonium.cli.options import FitOptions, flag, names_in
from harmonium.columns import Schema
from harmonium.data import PARTS, Dataset
from harmonium.models import (
    RBM,
    ConditionalRBM,
    ConvolutionalRBM,
    DeepBeliefNetwork,
    DeepBoltzmannMachine,
    EnergyModel,
    LabelledRBM,
    TemporalRBM,
)
from harmonium.recipes.model_choice import first_number
from harmonium.units import Units

FILTERS, KERNEL = 32, 7  # of a convolutional machine, where none are asked for


@dataclass(frozen=True)
class Wanted:
    """What a machine is to be made of: the options, arranged rows, and dtype, device and seed."""

    options: FitOptions
    data: Dataset
    place: dict[str, Any]

    def visible(self) -> Units:
        """Units of all columns."""
        schema = self.data.schema
        return values.visible_units(self.data, self.options.visible) if schema is None else schema.units()

    def parted(self, last: int) -> tuple[Units, Units]:
        """Units of the columns before the last ones, and of these."""
        schema = self.data.schema
        if schema is not None:
            both = Schema(schema.entries[:-last]), Schema(schema.entries[-last:])
            if not all(part.width for part in both):
                raise ValueError(
                    f"{self.data.name}: what is given, and what isn't, must have columns that vary."
                )
            return both[0].units(), both[1].units()
        asked = self.options.visible
        return (
            values.visible_units(columns_of(self.data, slice(0, -last)), asked),
            values.visible_units(columns_of(self.data, slice(-last, None)), None),
        )

    def hidden(self, numbers: Sequence[int]) -> list[Units]:
        """Layers of so many hidden units."""
        return [values.hidden_units(self.options.hidden_type, n) for n in numbers]

    def one_layer(self, width: int) -> Units:
        """The only layer of hidden units, about as many as columns where no number is given."""
        numbers = widths(self.options.hidden) or [first_number(width)]
        if len(numbers) > 1:
            raise ValueError(
                f"--hidden gives several layers, which --model {self.options.model} doesn't have;"
                " --model deep does."
            )
        return self.hidden(numbers)[0]


def columns_of(data: Dataset, columns: slice) -> Dataset:
    """A data set of numbers with some of its columns."""
    parts: dict[str, Any] = {part: data.part(part)[:, columns] for part in PARTS}
    return replace(data, columns=data.columns and data.columns[columns], shape=None, frame=None, **parts)


def _rbm(wanted: Wanted) -> EnergyModel:
    visible = wanted.visible()
    return RBM(visible, wanted.one_layer(visible.width), **wanted.place)


def _layers(wanted: Wanted) -> tuple[Units, list[Units]]:
    visible = wanted.visible()
    return visible, wanted.hidden(widths(wanted.options.hidden) or [first_number(visible.width)] * 2)


def _deep(wanted: Wanted) -> EnergyModel:
    return DeepBoltzmannMachine(*_layers(wanted), **wanted.place)


def _belief(wanted: Wanted) -> EnergyModel:
    return DeepBeliefNetwork(*_layers(wanted), **wanted.place)


def _labelled(wanted: Wanted) -> EnergyModel:
    schema = wanted.data.schema
    if schema is None:
        features = columns_of(wanted.data, slice(0, -1))
        visible = values.visible_units(features, wanted.options.visible)
        classes: Any = _classes(wanted.data)
    else:
        kind: Any = schema.entries[-1].kind
        visible, classes = Schema(schema.entries[:-1]).units(), list(kind.values)
    objective = wanted.options.objective or "hybrid"
    hidden = wanted.one_layer(visible.width)
    return LabelledRBM(visible, classes, hidden, objective=objective, **wanted.place)


def _classes(data: Dataset) -> int:
    """How many classes the last column of numbers tells apart."""
    labels = np.concatenate([np.asarray(data.part(part)[:, -1], dtype=float) for part in PARTS])
    labels = labels[~np.isnan(labels)]
    if not len(labels) or labels.min() < 0 or (labels != np.floor(labels)).any() or labels.max() < 1:
        raise ValueError(
            f"{data.name}: the label, which is the last column, must hold whole numbers from 0, at least two"
            " different ones."
        )
    return int(labels.max()) + 1


def _conditional(wanted: Wanted) -> EnergyModel:
    visible, context = wanted.parted(len(context_of(wanted.options, wanted.data)))
    return ConditionalRBM(visible, context, wanted.one_layer(visible.width), **wanted.place)


def context_of(options: FitOptions, data: Dataset) -> list[str]:
    """The columns that are given: by their names, or by their numbers from the left where they have none and
    --context says how many of the last ones.
    """
    text = options.context or ""
    if text.isdecimal() and 0 < int(text) < data.width:
        names = data.columns or [str(k) for k in range(data.width)]
        return list(names[-int(text) :])
    return names_in(text)


def _temporal(wanted: Wanted) -> EnergyModel:
    lags = wanted.options.frames or 1
    width = wanted.data.width // (lags + 1)
    frame = values.visible_units(columns_of(wanted.data, slice(0, width)), wanted.options.visible)
    return TemporalRBM(frame, lags, wanted.one_layer(width), **wanted.place)


def _convolutional(wanted: Wanted) -> EnergyModel:
    options, data = wanted.options, wanted.data
    visible = values.visible_units(data, options.visible)
    size = data.shape or (data.width,)
    channels = visible.cardinality if visible.one_hot else 1
    kernel = [min(KERNEL, n) for n in size]
    if options.kernel is not None:
        kernel = _sizes(options.kernel, len(size))
    filters = widths(options.hidden) or [FILTERS]
    if len(filters) > 1:
        raise ValueError("--hidden must be one number with --model convolutional, that of its filters.")
    hidden = type(values.hidden_units(options.hidden_type, 1))
    more = {"pool": options.pool or 1, "visible": visible, "hidden": hidden, **wanted.place}
    return ConvolutionalRBM((channels or 1, *size), filters[0], kernel, **more)


def _sizes(text: str, dimensions: int) -> list[int]:
    """One size for each dimension, from "5" or "5x7"."""
    found = text.lower().split("x")
    if not all(n.isdecimal() and int(n) for n in found) or len(found) not in (1, dimensions):
        raise ValueError(f"--kernel must be a size such as 5 or 5x7, got {text!r}.")
    return [int(n) for n in found] * (dimensions // len(found))


@dataclass(frozen=True)
class Machine:
    """How a machine is made, which options only it may take, and which only it needs."""

    make: Callable[[Wanted], EnergyModel]
    takes: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()


MACHINES = {
    "rbm": Machine(_rbm),
    "deep": Machine(_deep),
    "belief": Machine(_belief),
    "labelled": Machine(_labelled, ("label", "objective")),
    "conditional": Machine(_conditional, needs=("context",)),
    "temporal": Machine(_temporal, ("frames", "sequence")),
    "convolutional": Machine(_convolutional, ("kernel", "pool")),
}


def check(options: FitOptions) -> None:
    """Refuse options of another machine than that asked for, and one that is missing."""
    for name, machine in MACHINES.items():
        for option in machine.takes + machine.needs:
            if getattr(options, option) is not None and options.model != name:
                raise ValueError(f"{flag(option)} is for --model {name}, got --model {options.model}.")
    for option in MACHINES[options.model].needs:
        if not getattr(options, option):
            raise ValueError(f"--model {options.model} needs {flag(option)}.")


def widths(text: str | None) -> list[int] | None:
    """The numbers of hidden units, layer by layer, as --hidden says them.

    >>> widths("500,1000")
    [500, 1000]
    """
    if text is None:
        return None
    numbers = text.split(",")
    if not all(number.strip().isdecimal() and int(number) > 0 for number in numbers):
        raise ValueError(
            "--hidden must be a number of hidden units, or one for each layer such as 500,1000,"
            f" got {text!r}."
        )
    return [int(number) for number in numbers]
