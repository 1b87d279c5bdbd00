"""The form in which rows came, so that answers come back in it: a table as a table, a tensor as a tensor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from harmonium.columns import Number, Schema
from harmonium.columns.column import Column
from harmonium.columns.frames import as_pandas, is_frame
from harmonium.columns.storage import WHOLE, WHOLES, Storage
from harmonium.models import EnergyModel
from harmonium.models.intake import Rows
from harmonium.models.support import sites_of
from harmonium.models.table import pieces
from harmonium.models.words import in_words

if TYPE_CHECKING:
    import pandas as pd


def codes_of(model: EnergyModel, states: Tensor) -> Tensor:
    """Visible states as one number for each site, (rows, sites), float64, NaN where free."""

    def code(x: Tensor) -> Tensor:
        if x.shape[1] == 1:
            return x[:, 0].double()
        return torch.where(torch.isnan(x[:, 0]), torch.nan, x.nan_to_num().argmax(1).double())

    return torch.stack([code(states[:, site.columns]) for site in sites_of(model)], 1)


@dataclass(frozen=True, eq=False)
class Filling:
    """A number for each empty cell of rows, which are few beside those that are known.

    Attributes:
        rows: of each site the numbers of the rows that are empty there, in order.
        values: of each site the numbers for these, float64, NaN as long as nothing is known.
    """

    rows: tuple[np.ndarray, ...]
    values: tuple[np.ndarray, ...]

    @classmethod
    def of(cls, empty: np.ndarray) -> Filling:
        """One for the cells that are `empty`, (rows, sites)."""
        return cls.at(tuple(np.flatnonzero(column) for column in empty.T))

    @classmethod
    def at(cls, rows: tuple[np.ndarray, ...]) -> Filling:
        """One for the cells of these rows of each site."""
        return cls(rows, tuple(np.full(len(some), np.nan) for some in rows))

    def put(self, site: int, rows: Tensor, values: Tensor) -> None:
        """Take values for a site in some of its rows, by their numbers."""
        places = np.searchsorted(self.rows[site], rows.cpu().numpy())
        self.values[site][places] = values.double().cpu().numpy()

    def into(self, table: np.ndarray, first: int = 0) -> np.ndarray:
        """The numbers put into a table of the rows from number `first` on, (some rows, sites)."""
        for site, (rows, values) in enumerate(zip(self.rows, self.values, strict=True)):
            begin, end = np.searchsorted(rows, (first, first + len(table)))
            table[rows[begin:end] - first, site] = values[begin:end]
        return table


@dataclass(frozen=True, eq=False)
class Form:
    """How some rows came.

    Attributes:
        X: as they came.
        model: which they are rows of.
        rows: what the intake made of them.
        schema: in whose words they are, None where they are states or codes.
    """

    X: Any
    model: EnergyModel
    rows: Rows
    schema: Schema | None

    @classmethod
    def of(cls, model: EnergyModel, X: Any, rows: Rows) -> Form:
        """That of X, of which the intake made `rows`."""
        schema = model.schema if model.schema is not None and in_words(model.schema, X) else None
        return cls(X, model, rows, schema)

    def filled(self, codes: Filling, numbers: Filling | None = None) -> Any:
        """The rows with their empty cells filled from codes, or where `numbers` has any, by these."""
        if self.schema is not None:
            return self._like(self._filled_table(self.schema, codes, numbers), as_they_were=True)
        x, space, first = self._stored(), self.model.observed_space, 0
        for states in self.rows.pieces():
            here = x[first : first + len(states)]
            values = codes.into(codes_of(self.model, states).cpu().numpy(), first)
            if x.shape[1] != values.shape[1]:
                values = space.encode(torch.from_numpy(values)).numpy()
            np.copyto(here, values, where=np.isnan(here))
            first += len(states)
        return self._shown(x)

    def of_cells(self, numbers: Filling) -> Any:
        """A number for each cell in the form of the rows; 0 where it isn't empty."""
        found = numbers.into(np.zeros((len(self.rows), len(numbers.rows))))
        if self.schema is not None:
            return self._like(self.frame_of_cells(found, 0.0))
        width = self._stored().shape[1]
        if width != found.shape[1]:
            found = found[:, np.repeat(np.arange(found.shape[1]), [s.width for s in sites_of(self.model)])]
        return self._shown(found)

    def frame_of_cells(self, numbers: np.ndarray, elsewhere: float = np.nan) -> pd.DataFrame:
        """One number for each cell as a data frame with the columns and the index of the table."""
        import pandas as pd

        if self.schema is None:
            names = self.rows.columns or range(numbers.shape[1])
            return pd.DataFrame(numbers, columns=list(names), index=self.index)
        frame = as_pandas(self.X)
        place = {name: k for k, name in enumerate(self.schema.columns)}
        found = {
            label: numbers[:, place[str(label)]] if str(label) in place else np.full(len(frame), elsewhere)
            for label in frame.columns
        }
        return pd.DataFrame(found, index=frame.index)

    @property
    def index(self) -> pd.Index:
        """What the rows are called."""
        import pandas as pd

        return as_pandas(self.X).index if is_frame(self.X) else pd.RangeIndex(len(self.rows))

    def _filled_table(self, schema: Schema, codes: Filling, numbers: Filling | None) -> pd.DataFrame:
        """Column by column, so that there are never two tables beside that of the user."""
        frame = as_pandas(self.X)
        filled, entries = frame.copy(deep=False), {str(c.name): c for c in schema.entries}
        sites = {name: k for k, name in enumerate(schema.columns)}
        for place, label in enumerate(frame.columns):
            column, entry, site = frame.iloc[:, place], entries.get(str(label)), sites.get(str(label))
            if entry is not None:
                empty = column.isna().to_numpy()
                own = np.zeros(len(empty)) if site is None else self._codes(codes, site)
                means = np.full(len(empty), np.nan)
                if numbers is not None and site is not None:
                    means[numbers.rows[site]] = numbers.values[site]
                column = _filled(column, empty, _decoded(entry, own[empty], means[empty]))
                column = _whole_again(column, entry.storage)
            filled.isetitem(place, column)  # pandas copies it, at the latest when one of both is changed
        return filled

    def _codes(self, codes: Filling, site: int) -> np.ndarray:
        """The codes of a site in all rows, (rows,), those of empty cells filled in."""
        stored = self.rows.x
        assert isinstance(stored, np.ndarray)  # the codes, since the table is in words
        own = stored[:, site].astype(np.float64)
        own[codes.rows[site]] = codes.values[site]
        return own

    def _stored(self) -> np.ndarray:
        """The numbers as they came, columns in the order of the model; a copy."""
        found: np.ndarray | None = None
        for numbers, piece in pieces(self.rows.x):
            found = np.empty((len(self.rows), piece.shape[1])) if found is None else found
            found[numbers] = piece.double().cpu().numpy()
        assert found is not None  # there are no tables without rows
        return found

    def _shown(self, x: np.ndarray) -> Any:
        """An array in the form of X, its columns back where they were."""
        import pandas as pd

        if self.rows.order is not None:
            x = x[:, np.argsort(self.rows.order)]
        if isinstance(self.X, Tensor):
            own = self.X.dtype if self.X.is_floating_point() else self.model.dtype
            return torch.from_numpy(x).to(self.X.device, own)
        if is_frame(self.X):
            frame = as_pandas(self.X)
            return self._like(pd.DataFrame(x, columns=frame.columns, index=frame.index))
        return x

    def _like(self, frame: pd.DataFrame, as_they_were: bool = False) -> Any:
        """A pandas frame as a frame of the make that X is of, perhaps with the types of its columns as far as
        these hold the values.
        """
        real = {str(name) for name, column in frame.items() if _holds_numbers(column) and not _whole(column)}
        make = type(self.X).__module__.partition(".")[0]
        if make == "polars":
            import polars

            made = polars.from_pandas(frame)
            wanted = {n: t for n, t in self.X.schema.items() if not (n in real and t.is_integer())}
            return made.cast(wanted) if as_they_were else made
        if make == "pyarrow":
            import pyarrow

            table = pyarrow.Table.from_pandas(frame, preserve_index=False)
            fields = [
                own.with_type(found.type) if own.name in real and pyarrow.types.is_integer(own.type) else own
                for own, found in zip(self.X.schema, table.schema, strict=True)
            ]
            return table.cast(pyarrow.schema(fields)) if as_they_were else table
        return frame


def _holds_numbers(column: pd.Series) -> bool:
    """Whether these are numbers, which True and False are to pandas."""
    from pandas.api import types

    return types.is_numeric_dtype(column.dtype) and not types.is_bool_dtype(column.dtype)


def _whole(values: pd.Series) -> bool:
    """Whether all numbers of a column are whole, and such as a type of whole numbers holds."""
    x = values.to_numpy(dtype=float, na_value=np.nan)
    return bool((np.isnan(x) | ((x == np.floor(x)) & (np.abs(x) < WHOLE))).all())


def _decoded(entry: Column, codes: np.ndarray, means: np.ndarray) -> pd.Series:
    """Some cells of a column from their codes or, of numbers, from what is expected in their own words, where
    that isn't NaN.
    """
    values = entry.storage.series(entry.kind.decode(codes), entry.name)
    known = ~np.isnan(means)
    if not isinstance(entry.kind, Number) or not known.any():
        return values
    exact = values.to_numpy(dtype=float, na_value=np.nan).copy()
    exact[known] = entry.kind.rounded(means[known])
    return entry.storage.series(exact, entry.name)


def _filled(column: pd.Series, empty: np.ndarray, values: pd.Series) -> pd.Series:
    """A column with its empty cells filled; the others and, where it has room for the new ones, its dtype
    stay as they are.
    """
    import pandas as pd
    from pandas.api import types

    if not empty.any():
        return column
    was, new = (_holds_numbers(x) for x in (column, values))
    if was and not new:  # NaN throughout, since what is known would be words
        return values.set_axis(column.index).rename(column.name)
    if isinstance(column.dtype, pd.CategoricalDtype):
        more = values.dropna().unique()
        column = column.cat.add_categories([v for v in more if v not in column.cat.categories])
    if types.is_integer_dtype(column.dtype) and new and not _whole(values):
        column = column.astype("Float64" if not hasattr(column.dtype, "pyarrow_dtype") else "double[pyarrow]")
    cells = column.array.copy()
    cells[empty] = values.array if was and new else np.asarray(values.array, dtype=object)
    return pd.Series(cells, index=column.index, name=column.name).infer_objects()


def _whole_again(column: pd.Series, storage: Storage) -> pd.Series:
    """A column in the dtype of whole numbers that it is stored in where it holds only such, whose gaps had
    made them real.
    """
    if column.dtype.kind != "f" or WHOLES.fullmatch(storage.dtype) is None:
        return column
    x = column.to_numpy(dtype=float, na_value=np.nan)
    whole = storage.series(x, column.name).set_axis(column.index)
    same = whole.dtype.kind in "iu" and np.array_equal(whole.to_numpy(dtype=float, na_value=np.nan), x)
    return whole if same else column
