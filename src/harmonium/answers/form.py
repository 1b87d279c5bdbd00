"""The form in which rows came, so that answers come back in it: a table as a table, a tensor as a tensor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from harmonium.columns import Number, Schema
from harmonium.columns.frames import as_pandas, is_frame
from harmonium.columns.storage import WHOLE
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

    def filled(self, codes: Tensor, numbers: Tensor | None = None) -> Any:
        """The rows with their empty cells filled from codes, (rows, sites), or where `numbers` has any, by
        these.
        """
        if self.schema is not None:
            return self._like(self._filled_table(self.schema, codes, numbers), as_they_were=True)
        x = self._stored()
        space = self.model.observed_space
        values = codes.cpu().numpy()
        if x.shape[1] != values.shape[1]:
            values = space.encode(codes.cpu()).numpy()
        return self._shown(np.where(np.isnan(x), values, x))

    def of_cells(self, numbers: Tensor) -> Any:
        """One number for each cell, (rows, sites), in the form of the rows; 0 in columns without a unit."""
        found = numbers.cpu().numpy()
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
            frame = as_pandas(self.X) if is_frame(self.X) else None
            return pd.DataFrame(numbers, columns=list(names), index=None if frame is None else frame.index)
        frame = as_pandas(self.X)
        place = {name: k for k, name in enumerate(self.schema.columns)}
        found = {
            label: numbers[:, place[str(label)]] if str(label) in place else np.full(len(frame), elsewhere)
            for label in frame.columns
        }
        return pd.DataFrame(found, index=frame.index)

    def _filled_table(self, schema: Schema, codes: Tensor, numbers: Tensor | None) -> pd.DataFrame:
        frame = as_pandas(self.X).copy()
        decoded = schema.decode(codes)
        kinds = {str(c.name): c for c in schema.entries}
        if numbers is not None:
            expected = numbers.cpu().numpy()
            for k, name in enumerate(schema.columns):
                kind = kinds[name].kind
                if isinstance(kind, Number):
                    known = ~np.isnan(expected[:, k])
                    label = decoded.columns[list(schema.names).index(name)]
                    column = decoded[label].to_numpy(dtype=float, na_value=np.nan).copy()
                    column[known] = kind.rounded(expected[known, k])
                    decoded[label] = kinds[name].storage.series(column, label)
        for place, label in enumerate(frame.columns):
            if str(label) in kinds:
                values = decoded.iloc[:, schema.names.index(str(label))]
                column = _filled(frame.iloc[:, place], values)
                if column.dtype.kind == "f" and values.dtype.kind in "iu":
                    column = column.astype(values.dtype)  # whole numbers, whose gaps had made them real
                frame.isetitem(place, column)
        return frame

    def _stored(self) -> np.ndarray:
        """The numbers as they came, columns in the order of the model."""
        return torch.cat([piece.double().cpu() for _, piece in pieces(self.rows.x)]).numpy()

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


def _filled(column: pd.Series, values: pd.Series) -> pd.Series:
    """A column with its empty cells filled; the others and, where it has room for the new ones, its dtype
    stay as they are.
    """
    import pandas as pd
    from pandas.api import types

    empty = column.isna().to_numpy()
    if not empty.any():
        return column
    was, new = (_holds_numbers(x) for x in (column, values))
    if was and not new:  # NaN throughout, since what is known would be words
        return values.set_axis(column.index).rename(column.name)
    if isinstance(column.dtype, pd.CategoricalDtype):
        more = values[empty].dropna().unique()
        column = column.cat.add_categories([v for v in more if v not in column.cat.categories])
    found = values.array[empty]
    if types.is_integer_dtype(column.dtype) and new and not _whole(values[empty]):
        column = column.astype("Float64" if not hasattr(column.dtype, "pyarrow_dtype") else "double[pyarrow]")
    cells = column.array.copy()
    cells[empty] = found if was and new else np.asarray(found, dtype=object)
    return pd.Series(cells, index=column.index, name=column.name).infer_objects()
