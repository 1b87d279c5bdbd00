"""A filled table in the words of the file that had the gaps: what was known as it is written there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harmonium.data.tables import read_cells
from harmonium.data.written import PLAIN
from harmonium.models.table import Table

if TYPE_CHECKING:
    import pandas as pd

WHOLE = re.compile(r"[+-]?[0-9]+")


def as_in_file(source: Path, given: Table, names: Sequence[str] | None, filled: Any, out: Path) -> Any:
    """The filled rows of a file, (rows, columns), as they are to be written to `out`.

    Columns that hold whole numbers alone in the file stay such, which gaps make real to pandas. Text stays
    the text that it was, so that from one file .csv to another only empty cells change.

    Args:
        source: the file.
        given: what was read from it.
        names: of its columns, where they are known.
        filled: the same, filled in; an array or a data frame.
        out: the file to be written.
    """
    import pandas as pd

    if source.suffix.lower() == ".parquet" and isinstance(filled, pd.DataFrame):
        return _whole_again(filled, _whole_types(source))
    text = out.suffix.lower() == ".csv"
    if source.suffix.lower() != ".csv" or not (text or isinstance(filled, pd.DataFrame)):
        return filled
    rows = pd.DataFrame(given.array(), columns=names) if given.frame is None else given.frame
    cells = read_cells(source).set_axis(rows.columns, axis=1)
    known = {name: cells[name][rows[name].notna()] for name in rows}
    whole = {name: np.int64 for name, some in known.items() if all(map(WHOLE.fullmatch, some.unique()))}
    frame = _whole_again(pd.DataFrame(filled, columns=rows.columns), whole)
    if text:
        frame = pd.DataFrame({name: _text(cells[name], rows[name], frame[name]) for name in rows})
    return frame


def _whole_types(path: Path) -> dict[str, Any]:
    """The types of those columns of a Parquet file that hold whole numbers."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {field.name: field.type for field in pq.read_schema(path)}
    return {name: of.to_pandas_dtype() for name, of in types.items() if pa.types.is_integer(of)}


def _whole_again(frame: pd.DataFrame, types: dict[Any, Any]) -> pd.DataFrame:
    """The table with real columns in these types of whole numbers, as far as these hold what is in them."""
    whole = {}
    for name, dtype in types.items():
        if name in frame and frame[name].dtype.kind == "f":
            x, limits = frame[name].to_numpy(dtype=float, na_value=np.nan), np.iinfo(dtype)
            if ((x == np.floor(x)) & (x >= limits.min) & (x <= limits.max)).all():
                whole[name] = dtype
    return frame.astype(whole)


def _text(cells: pd.Series, rows: pd.Series, filled: pd.Series) -> pd.Series:
    """A filled column as text: known cells as they are in the file, others as the same value is written
    there, if it is. Numbers that are written in a way of their own, such as with decimal commas, are numbers.
    """
    from pandas.api import types

    known = rows.notna().to_numpy()
    number = types.is_numeric_dtype(rows.dtype) and not types.is_bool_dtype(rows.dtype)
    if number and not all(re.fullmatch(PLAIN, cell) for cell in cells[known].unique()):
        return filled
    first = known & ~rows.duplicated().to_numpy()
    written = dict(zip(rows[first], cells[first], strict=True))
    if number and not all(map(WHOLE.fullmatch, cells[first])):
        filled = filled.astype(float)  # 5.0, as the others are written
    text, new = cells.astype(object), ~known & filled.notna().to_numpy()
    text[new] = [written.get(value, value) for value in filled[new]]
    return text
