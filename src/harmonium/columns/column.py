"""A column of a schema."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harmonium import checks
from harmonium.columns.base import Kind, from_config
from harmonium.columns.facts import Facts
from harmonium.columns.storage import Storage


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


def column_of(said: Any) -> Column:
    """The column that a schema has written down, checked; a ValueError where it is none."""
    kind = from_config(said["kind"])
    if isinstance(said["name"], bool) or not isinstance(said["name"], (str, int)) or not kind.complete():
        raise ValueError(f"expected a column with a name and a whole kind, got {checks.describe(said)}")
    return Column(said["name"], kind, Storage.from_json(said["storage"]))
