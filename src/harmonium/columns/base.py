"""What every kind of column provides, and what is wrong with a cell."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from harmonium import checks
from harmonium.units import Units

if TYPE_CHECKING:
    import pandas as pd

    from harmonium.columns.facts import Facts

REGISTRY: dict[str, type[Kind]] = {}
"""The kinds by their names, for what was saved; a class enters itself."""


LEAVE_OUT = "leave it out (leave_out= of hm.Schema.of, --leave-out on the command line)"


class Refused(ValueError):
    """A column that a kind can't take: the rest of a sentence on the column, the row where one is at fault,
    and the way out.
    """

    def __init__(self, problem: str, row: int | None = None, remedy: str = "") -> None:
        super().__init__(problem)
        self.problem, self.row, self.remedy = problem, row, remedy

    def sentence(self, name: str, column: Any, first: int = 0) -> str:
        """The whole sentence; rows are counted from `first`."""
        remedy = self.remedy and f": {self.remedy}"
        return f"{name}: column {column!r} {self.told(first)}{remedy}."

    def told(self, first: int = 0) -> str:
        """What is wrong, and in which row."""
        return self.problem if self.row is None else f"{self.problem} in row {self.row + first}"


class Outside(Refused):
    """A cell that is of the column's type and none of its values: a row of it has probability 0."""


def got(needs: str, value: Any, row: int, refused: type[Refused] = Refused) -> Refused:
    """What a cell must be, and what came."""
    return refused(f"{needs}, got {checks.describe(value)}", row)


@dataclass(frozen=True)
class Kind(ABC):
    """What the values of a column are: how a cell becomes one number, and back, and which unit it is.

    A code is that number: a state of the unit, or which of its states it is where the unit is one-hot. Kinds
    are values: they compare by what they hold, and don't change.
    """

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        REGISTRY[cls.__name__] = cls

    @property
    def options(self) -> dict[str, int]:
        """What the constructor of the unit takes besides the number of columns."""
        return {}

    @property
    def width(self) -> int:
        """Number of visible states' columns."""
        return 1

    @abstractmethod
    def unit_type(self) -> type[Units] | None:
        """The type of unit; None for a column that needs none."""

    @abstractmethod
    def fitted(self, facts: Facts) -> Kind:
        """The same with all that wasn't said taken from a column.

        Raises:
            Refused: the column isn't of this kind.
        """

    @abstractmethod
    def complete(self) -> bool:
        """Whether nothing is left to be taken from a column."""

    @abstractmethod
    def encode(self, column: pd.Series) -> np.ndarray:
        """Codes, (rows,), float64, NaN where a cell is empty.

        Raises:
            Refused: a cell is none of this kind.
        """

    @abstractmethod
    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Values from codes, (rows,): numbers with NaN, or objects with None where a cell is empty."""

    def log_jacobian(self, codes: np.ndarray) -> np.ndarray:
        """log |d code / d value| of each cell, (rows,), nats; 0 where values are counted, and where empty."""
        return np.zeros(len(codes))

    def is_text(self) -> bool:
        """Whether the values are text."""
        return False

    @abstractmethod
    def describe(self) -> str:
        """The kind in a few words."""

    def config(self) -> dict[str, Any]:
        """The kind as a JSON object, which `from_config` takes."""
        return {"kind": type(self).__name__, **asdict(self)}


def from_config(config: Any) -> Kind:
    """The kind that `Kind.config` describes, sizes and types checked.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(config, dict) or config.get("kind") not in REGISTRY:
        raise ValueError(f"expected a kind of column ({', '.join(REGISTRY)}), got {checks.describe(config)}.")
    said = {k: tuple(v) if isinstance(v, list) else v for k, v in config.items() if k != "kind"}
    try:
        return REGISTRY[config["kind"]](**said)
    except TypeError as error:
        raise ValueError(f"{config['kind']} can't be made from its description: {error}.") from error
