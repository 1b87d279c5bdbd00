"""Tables in the words of a model's schema, and their codes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from harmonium.columns import Schema
from harmonium.columns.frames import as_pandas, is_frame, labels_of, numbered
from harmonium.models.energy import EnergyModel
from harmonium.models.table import Table, as_table, by_name

if TYPE_CHECKING:
    import pandas as pd


def table_of(
    model: EnergyModel, data: Any, name: str, columns: tuple[str, ...] | None = None
) -> tuple[Table, tuple[int, ...] | None]:
    """The data as a table of numbers, columns in the order of the model; and their numbers in the table
    given, None where nothing has moved.
    """
    if model.schema is None or not in_words(model.schema, data):
        _refuse_row(model.schema, data, name)
        return by_name(as_table(data, name), columns or model.columns, name)
    return encoded(model.schema, data, name), model.schema.order(frame_of(data))


def _refuse_row(schema: Schema | None, data: Any, name: str) -> None:
    """Refuse one row in the words of a schema, or a dictionary of columns, where a table is meant."""
    known = {} if schema is None or not is_one_row(data) else set(schema.names)
    if known and any(str(label) in known for label, _ in data.items()):
        raise TypeError(
            f"{name} must be a table whose columns have names, got a {type(data).__name__}:"
            " pandas.DataFrame makes one of a dictionary of columns, and of a list of rows such as [row]."
        )


def in_words(schema: Schema, data: Any) -> bool:
    """Whether data are in the words of a schema: their columns have names, and aren't encoded yet."""
    if isinstance(data, Table):
        return not data.coded and (data.frame is not None or data.columns is not None)
    return is_frame(data) and (numbered(schema.names) or not numbered(labels_of(data)))


def encoded(schema: Schema, data: Any, name: str, *, partial: bool = False) -> Table:
    """A table in the words of a schema as its codes; one that is encoded already stays as it is."""
    if not in_words(schema, data):
        return as_table(data, name)
    first = data.first if isinstance(data, Table) else 0
    codes = schema.encode(frame_of(data), name, partial=partial, first=first)
    return Table(codes, schema.columns, first, coded=True)


def known_codes(schema: Schema, given: Any, name: str) -> Any:
    """What is known of rows, in the words of a schema, as its codes; anything else as it is."""
    if is_one_row(given):
        codes = schema.encode_known({k: None if is_free(v) else v for k, v in given.items()}, name)
        return Table(codes, schema.columns, coded=True)
    return encoded(schema, given, name, partial=True) if in_words(schema, given) else given


def known_words(schema: Schema, given: Any) -> pd.DataFrame | None:
    """What is known of rows as a table of one row or all of them; None where it isn't in words."""
    import pandas as pd

    if is_one_row(given):
        return pd.DataFrame({str(k): [None if is_free(v) else v] for k, v in given.items()}, index=[0])
    return as_pandas(frame_of(given)) if in_words(schema, given) else None


def is_one_row(given: Any) -> bool:
    """Whether this is one row, values by the names of their columns."""
    return isinstance(given, Mapping) or type(given).__name__ == "Series" and hasattr(given, "to_frame")


def is_free(value: Any) -> bool:
    """Whether a value stands for an empty cell."""
    return value is None or type(value).__name__ == "NAType" or (isinstance(value, float) and value != value)


def log_jacobian(model: EnergyModel, data: Any, name: str = "X", held: Tensor | None = None) -> Tensor | None:
    """What log P of each row's states gains to become that of the table's own units, (rows,), nats; None for
    data that aren't in the words of a schema. Columns whose states are `held`, (n_visible,), add nothing.
    """
    if model.schema is None or not (isinstance(data, Table) and data.coded or in_words(model.schema, data)):
        return None
    codes = np.array(encoded(model.schema, data, name).values)
    if held is not None:
        codes[:, [bool(held[columns.start]) for columns in model.schema.slices().values()]] = np.nan
    return torch.from_numpy(model.schema.log_jacobian(codes)).to(model.device)


def frame_of(data: Any) -> Any:
    """The data frame of a table."""
    if not isinstance(data, Table):
        return data
    if data.frame is not None:
        return data.frame
    from pandas import DataFrame

    return DataFrame(data.array(), columns=list(data.columns or ()))
