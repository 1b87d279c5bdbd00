"""Data frames of any make as pandas', and what is said of names."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 12  # names or numbers in a sentence
INDEX_OF_PANDAS = re.compile(r"Unnamed: \d+(\.\d+)?")


def listed(items: Sequence[Any]) -> str:
    """Names or numbers in a sentence, a dozen at most.

    >>> listed(["a", "b", "c"]), listed(range(30))
    ('a, b and c', '0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 18 more')
    """
    *most, last = [str(x) for x in items[:SHOWN]] + [f"{len(items) - SHOWN} more"] * (len(items) > SHOWN)
    return f"{', '.join(most)} and {last}" if most else last


def labels_of(data: Any) -> tuple[str, ...] | None:
    """The names of the columns of a data frame or a structured array, None where it has none."""
    if isinstance(data, np.ndarray):
        return data.dtype.names
    labels = getattr(data, "columns", None)
    if hasattr(data, "column_names"):  # an Arrow table, whose columns are the arrays
        labels = data.column_names() if callable(data.column_names) else data.column_names
    return None if labels is None else tuple(str(label) for label in labels)


def numbered(names: Sequence[str] | None) -> bool:
    """Whether names are the numbers 0 … n - 1 in any order, as pandas gives them to columns without names."""
    return names is not None and {str(k) for k in range(len(names))} == set(names)


def numbers_rows(column: np.ndarray) -> bool:
    """Whether these are the numbers of the rows: 0 … n - 1 or 1 … n, in any order."""
    if column.dtype.kind not in "iuf" or not np.isfinite(column).all():
        return False
    ordered = np.sort(column)
    return any(np.array_equal(ordered, np.arange(len(column)) + start) for start in (0, 1))


def index_as_data(name: str, label: str) -> str:
    """The sentence on an index that pandas has written into a file and read back as a column."""
    return (
        f"{name} must hold data, got the numbers of the rows in column {label!r}, an index that was written"
        " into the file: drop the column, or read the file with index_col=0."
    )


def as_pandas(data: Any) -> pd.DataFrame:
    """A data frame of pandas, polars or Arrow, one that speaks the interchange protocol, or a structured
    array, as a pandas DataFrame; nothing is copied where it needn't be.

    Raises:
        TypeError: a column is of a type that pandas lacks.
    """
    import pandas as pd

    if isinstance(data, pd.DataFrame):
        return data
    if isinstance(data, pd.Series):
        return data.to_frame()
    if isinstance(data, np.ndarray):
        return pd.DataFrame(data)
    try:
        return data.to_pandas() if hasattr(data, "to_pandas") else _interchanged(data)
    except Exception as error:  # of two libraries, for types that pandas lacks
        make, reason = type(data).__module__.partition(".")[0], " ".join(str(error).split()).rstrip(".")
        raise TypeError(f"a table of {make} has a column of a type that pandas lacks: {reason}.") from error


def _interchanged(data: Any) -> pd.DataFrame:
    from pandas.api import interchange

    with warnings.catch_warnings():  # pandas means to end the protocol, of which its user here can't know
        warnings.filterwarnings("ignore", "(?s).*Interchange Protocol is deprecated")
        return interchange.from_dataframe(data)


def is_frame(data: Any) -> bool:
    """Whether it has columns with names: what `as_pandas` takes."""
    if hasattr(data, "__dataframe__") or hasattr(data, "to_pandas"):
        return True
    return isinstance(data, np.ndarray) and data.dtype.names is not None


def refuse_unread(data: Any, name: str) -> None:
    """Refuse what only stands for a table, as lazy frames do, and say which call reads it.

    Raises:
        TypeError: it does.
    """
    for call in ("collect", "compute"):
        if callable(getattr(data, call, None)) and not (is_frame(data) or hasattr(data, "__array__")):
            kind = type(data).__name__
            raise TypeError(f"{name} must be a table that has been read, got a {kind}: pass its {call}().")


def typed(data: Any) -> bool:
    """Whether a frame says more than an array would: its columns have names, or aren't all plain numbers."""
    if not is_frame(data):
        return False
    frame = as_pandas(data)
    return not numbered(labels_of(frame)) or any(
        dtype.kind not in "biufM" or not isinstance(dtype, np.dtype) and str(dtype) == "category"
        for dtype in frame.dtypes
    )
