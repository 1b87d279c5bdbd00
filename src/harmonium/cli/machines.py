"""The machines that `harmonium fit` can make, by the name that --model has for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from harmonium.cli import values
from harmonium.models import RBM, BlockModel, DeepBoltzmannMachine
from harmonium.recipes.choice import first_number
from harmonium.units import Units

Place = dict[str, Any]
"""dtype, device and seed."""


def _rbm(visible: Units, hidden: Sequence[Units], place: Place) -> BlockModel:
    if len(hidden) > 1:
        raise ValueError("--hidden gives several layers, which --model rbm doesn't have; --model deep does.")
    return RBM(visible, hidden[0], **place)


def _deep(visible: Units, hidden: Sequence[Units], place: Place) -> BlockModel:
    return DeepBoltzmannMachine(visible, hidden, **place)


MACHINES: dict[str, Callable[[Units, Sequence[Units], Place], BlockModel]] = {"rbm": _rbm, "deep": _deep}


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


def made(name: str, visible: Units, hidden: Sequence[int] | None, kind: str, place: Place) -> BlockModel:
    """A machine with these visible units and so many hidden units of a kind; two layers of as many as there
    are columns, about, where no numbers are given.
    """
    numbers = [first_number(visible.width)] * 2 if hidden is None else hidden
    return MACHINES[name](visible, [values.hidden_units(kind, n) for n in numbers], place)
