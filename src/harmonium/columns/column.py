"""A column of a schema."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from harmonium import checks
from harmonium.columns.base import Kind, Refused, from_config
from harmonium.columns.facts import Facts
from harmonium.columns.storage import WHOLE, Storage


@dataclass(frozen=True)
class Column:
    """A column of a schema.

    Attributes:
        name: as the table has it, text or a whole number.
        kind: what its values are.
        storage: the dtype that they come back in.
        facts: what is known of the data, None where the schema was loaded.
    """

    name: str | int
    kind: Kind
    storage: Storage
    facts: Facts | None = None


def asked_for(kind: Any, facts: Facts | None) -> Kind:
    """A kind that somebody asks for, with all that wasn't said taken from the column, whose values it takes.

    Raises:
        TypeError: it is none.
        Refused: the column isn't of this kind.
    """
    import pandas as pd

    if not isinstance(kind, Kind):
        raise TypeError(f"kind must be one of hm.columns, such as Count(), got {checks.describe(kind)}.")
    if facts is None:
        return kind
    found, number = kind.fitted(facts), facts.family == "number"
    values = [facts.low, facts.high] if number and facts.values is None else facts.values
    whole = facts.whole and max(abs(facts.low), abs(facts.high)) < WHOLE
    dtype = (np.int64 if whole else np.float64) if number else None
    if values and found.complete() and not facts.declared:  # of which some may not come
        try:
            found.encode(pd.Series(values, dtype=dtype))
        except Refused as problem:
            raise Refused(problem.problem, remedy=problem.remedy) from None  # its row isn't one of the table
    return found


def column_of(said: Any) -> Column:
    """The column that a schema has written down, checked; a ValueError where it is none."""
    kind = from_config(said["kind"])
    if isinstance(said["name"], bool) or not isinstance(said["name"], (str, int)) or not kind.complete():
        raise ValueError(f"expected a column with a name and a whole kind, got {checks.describe(said)}")
    return Column(said["name"], kind, Storage.from_json(said["storage"]))
