"""A schema for people to read."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harmonium.columns.column import Column
    from harmonium.columns.schema import Schema

MOST = 60  # columns that are printed


def _cells(column: Column) -> tuple[str, str, str, str]:
    unit, kind = column.kind.unit_type(), column.kind
    said = [f" of {number} {option}" for option, number in kind.options.items()]
    return (
        str(column.name),
        column.storage.dtype,
        kind.describe(),
        "no unit" if unit is None else unit.__name__ + "".join(said),
    )


def _rest(schema: Schema) -> list[str]:
    more = len(schema) - MOST
    told = [f"… and {more} more columns"] if more > 0 else []
    left = [f"left out: {', '.join(schema.left_out)}"] if schema.left_out else []
    return [*told, *left, *(f"Warning: {warning}" for warning in schema.warnings)]


def _title(schema: Schema) -> str:
    return f"Schema of {len(schema)} column{'s' * (len(schema) != 1)}"


def text(schema: Schema) -> str:
    """A line for each column: name, dtype, kind and unit."""
    rows = [_cells(column) for column in schema.entries[:MOST]]
    wide = [max(len(row[k]) for row in rows) for k in range(4)]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, wide, strict=True)).rstrip() for row in rows]
    return "\n".join([_title(schema), *(f"  {line}" for line in [*lines, *_rest(schema)])])


def html(schema: Schema) -> str:
    """The same as a table for a notebook."""
    head = "".join(f"<th>{word}</th>" for word in ("column", "dtype", "values", "unit"))
    rows = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in _cells(column)) + "</tr>"
        for column in schema.entries[:MOST]
    )
    rest = "".join(f"<p>{escape(line)}</p>" for line in _rest(schema))
    return f"<p>{_title(schema)}</p><table><tr>{head}</tr>{rows}</table>{rest}"
