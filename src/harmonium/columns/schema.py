"""A schema: what the columns of a table are, between the table's own words and the states of units."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from harmonium import checks
from harmonium.columns import show
from harmonium.columns.base import Kind, Refused
from harmonium.columns.column import Column, asked_for, column_of
from harmonium.columns.frames import is_frame, labels_of, listed
from harmonium.columns.numeric import with_known
from harmonium.columns.told import columns_of, table_of, warnings_of
from harmonium.units import Mixed, Units

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 1


class Schema:
    """What the columns of a table are, and how its rows become states of visible units and rows again.

    `Schema.of(frame)` chooses the kinds (see `hm.columns`) by the values. Printed, it shows them; setting one
    changes it:

        schema["age"] = hm.columns.Count(max=120)

    A machine for such rows has `schema.units()` as its visible units, and `model.schema = schema` lets it
    speak the table's words: tables go in by the names of their columns, samples come out as tables, and
    likelihoods are those of the values in the table. `hm.fit(frame)` does all of this by itself.

    >>> import pandas as pd
    >>> import harmonium as hm
    >>> frame = pd.DataFrame({"smoker": [False, True, False, False], "age": [41, 37, 52, 60]})
    >>> schema = Schema.of(frame)
    >>> schema["age"] = hm.columns.Count(max=120)
    >>> schema
    Schema of 2 columns
      smoker  bool   False or True      Bernoulli
      age     int64  a count up to 120  Binomial of 120 trials
    >>> schema.encode(frame)[:2].tolist()
    [[0.0, 41.0], [1.0, 37.0]]
    >>> schema.decode(schema.encode(frame)).equals(frame)
    True
    """

    def __init__(
        self, columns: Sequence[Column], left_out: Sequence[str] = (), warnings: Sequence[str] = ()
    ) -> None:
        columns = checks.a_list("columns", columns, "columns")
        for column in columns:
            if not isinstance(column, Column):
                raise TypeError(f"columns must be a list of columns, got {checks.describe(column)} in it.")
        if not columns:
            raise ValueError("columns must be one or more, got none.")
        self._columns = {str(column.name): column for column in columns}
        self.left_out = tuple(left_out)
        self.warnings = tuple(warnings)
        self._fixed = False
        self._table: tuple[frozenset[str], int, str] | None = None  # kinds asked for, rows, what it is called

    @classmethod
    def of(
        cls,
        frame: Any,
        *,
        kinds: Mapping[str, Kind] | None = None,
        leave_out: Sequence[str] = (),
        name: str = "X",
        first: int = 0,
    ) -> Schema:
        """The schema of a table, from its values.

        Args:
            frame: (rows, columns), a data frame of pandas, polars or Arrow, or whatever speaks the
                interchange protocol.
            kinds: what some columns are, by name; the others are told by their values.
            leave_out: names of columns that say nothing, such as those of persons; tables may have them or
                not.
            name: what to call the table in sentences.
            first: what the first row is called in them.

        Raises:
            TypeError, ValueError: in a sentence that names the column: one is empty throughout, holds dates,
                infinite numbers, values of several types or another text in every row, numbers the rows, has
                too many categories, or a name that another has; or there is no row or no column.
        """
        frame, kinds = table_of(frame, name), dict(kinds or {})
        columns, warnings = columns_of(frame, kinds, leave_out, name, first)
        if not columns:
            raise ValueError(
                f"{name} must have a column that isn't left out, got {listed(leave_out)} left out."
            )
        found = cls(columns, leave_out, warnings)
        found._table = (frozenset(kinds), len(frame), name)
        if not found.columns:
            raise ValueError(f"{name} must have a column that varies, got none.")
        return found

    # -- what it holds ---------------------------------------------------------------------------------------

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all columns of a table, in its order."""
        return tuple(self._columns)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that have units, all but the constant ones: those of `encode`."""
        return tuple(str(column.name) for column in self._modelled())

    def _modelled(self) -> list[Column]:
        return [column for column in self._columns.values() if column.kind.unit_type() is not None]

    @property
    def entries(self) -> tuple[Column, ...]:
        """All columns with their kinds and dtypes."""
        return tuple(self._columns.values())

    def of_text(self) -> tuple[str, ...]:
        """Names of the columns that a file is read as text in: those whose values are text, and those left
        out, which are to come back as they were, as 0012 does.
        """
        return (*(name for name, column in self._columns.items() if column.kind.is_text()), *self.left_out)

    def __len__(self) -> int:
        return len(self._columns)

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __contains__(self, name: object) -> bool:
        return str(name) in self._columns

    def __getitem__(self, name: str) -> Kind:
        return self._column(name).kind

    def _column(self, name: Any) -> Column:
        if str(name) not in self._columns:
            raise KeyError(f"there is no column {name!r}; the columns are {listed(self.names)}.")
        return self._columns[str(name)]

    def __setitem__(self, name: str, kind: Kind) -> None:
        if self._fixed:
            raise ValueError(
                "schema: that of a model is fixed by its units; edit a copy (copy.copy) for a new model."
            )
        column = self._column(name)
        try:
            kind = asked_for(kind, column.facts)
        except Refused as refused:
            raise ValueError(refused.sentence("schema", name)) from None
        if not kind.complete():
            raise ValueError(
                f"schema: column {name!r} needs all of {type(kind).__name__}, since no data are known."
            )
        self._columns[str(name)] = replace(column, kind=kind)
        if self._table is not None:
            asked, rows, title = self._table
            self._table = (asked | {str(name)}, rows, title)
            self.warnings = tuple(warnings_of(self.entries, *self._table))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Schema) and self.config() == other.config()

    def __copy__(self) -> Schema:
        found = Schema(self.entries, self.left_out, self.warnings)
        found._table = self._table
        return found

    def __deepcopy__(self, memo: Any) -> Schema:
        found = self.__copy__()  # its columns don't change
        found._fixed = self._fixed
        return found

    def fixed(self) -> Schema:
        """A copy that can't be edited, for a model."""
        found = self.__copy__()
        found._fixed = True
        return found

    # -- units -----------------------------------------------------------------------------------------------

    def units(self, *more: Units) -> Units:
        """Fresh visible units for the columns, in their order, and `more` to their right; neighbours of one
        type are one part.
        """
        parts: list[Units] = []
        for (unit, options), columns in groupby(self._modelled(), _unit):
            assert unit is not None
            parts.append(unit(len(list(columns)), **dict(options)))
        parts += more
        return parts[0] if len(parts) == 1 else Mixed(*parts)

    def slices(self) -> dict[str, slice]:
        """Which columns of the visible states belong to each column that has a unit."""
        found, start = {}, 0
        for column in self._modelled():
            found[str(column.name)] = slice(start, start + column.kind.width)
            start += column.kind.width
        return found

    @property
    def width(self) -> int:
        """Number of columns of the visible states."""
        return sum(column.kind.width for column in self._modelled())

    # -- rows ------------------------------------------------------------------------------------------------

    def order(self, frame: Any) -> tuple[int, ...] | None:
        """Where in the table each column of `columns` is, as far as it is there; None where they are in one
        order.
        """
        found = {label: k for k, label in enumerate(labels_of(frame) or ())}
        order = tuple(found[column] for column in self.columns if column in found)
        return None if list(order) == sorted(order) else order

    def encode(self, frame: Any, name: str = "X", *, partial: bool = False, first: int = 0) -> np.ndarray:
        """A table as codes, (rows, len(columns)), float64: a number for each cell, NaN where it is empty.

        A code is the state of a unit, or which of its states it is in where it is one-hot. Units take them as
        they take states.

        Args:
            frame: (rows, columns); columns are found by their names, in any order.
            name: what to call it in sentences.
            partial: whether columns may be missing, whose cells are then empty.
            first: what the first row is called.

        Raises:
            TypeError, ValueError: in one sentence: columns are missing, unknown or there twice, a value is
                none of its column's, or of another type.
        """
        frame = self._matched(frame, name, partial)
        places = {str(label): k for k, label in enumerate(frame.columns)}
        codes = np.full((len(frame), len(self.columns)), np.nan)
        done = 0
        for column in self._columns.values():
            place = places.get(str(column.name))
            has_unit = column.kind.unit_type() is not None
            if place is not None:
                try:
                    found = column.kind.encode(frame.iloc[:, place])
                except Refused as refused:
                    raise ValueError(refused.sentence(name, str(column.name), first)) from None
                if has_unit:
                    codes[:, done] = found
            done += has_unit
        return codes

    def encode_known(self, known: Mapping[Any, Any], name: str = "given") -> np.ndarray:
        """Values by the names of their columns as one row of codes, (1, len(columns)), NaN where none is
        given.
        """
        import pandas as pd

        for key in known:
            if str(key) not in self._columns:
                raise ValueError(f"{name}: unknown column {key!r}; the columns are {listed(self.names)}.")
        return self.encode(
            pd.DataFrame({str(k): [v] for k, v in known.items()}, index=[0]), name, partial=True
        )

    def decode(self, x: Any, known: pd.DataFrame | None = None) -> pd.DataFrame:
        """Rows of a table from codes or from visible states, with its names, dtypes and categories; cells are
        empty where they are NaN.

        Args:
            x: (rows, len(columns)) or (rows, width).
            known: a table, perhaps of fewer columns, of one row for all or of them all, whose numbers are put
                in place of those that states hold less exactly.
        """
        import pandas as pd

        codes = self._codes(x)
        places = {str(label): k for k, label in enumerate(() if known is None else known.columns)}
        series, done = [], 0
        for column in self._columns.values():
            if column.kind.unit_type() is None:
                values = column.kind.decode(np.zeros(len(codes)))
            else:
                values = column.kind.decode(codes[:, done])
                done += 1
                place = places.get(str(column.name))
                if known is not None and place is not None:
                    values = with_known(column.kind, values, known.iloc[:, place])
            series.append(column.storage.series(values, column.name))
        frame = pd.concat(series, axis=1) if len(series) > 1 else series[0].to_frame()
        frame.columns = pd.Index([column.name for column in self._columns.values()])
        return frame

    def _codes(self, x: Any) -> np.ndarray:
        if isinstance(x, Tensor):
            x = x.detach().cpu().to(torch.promote_types(x.dtype, torch.float32))
        x = np.asarray(x)  # which becomes float64 column by column
        if x.ndim != 2 or x.shape[1] not in (self.width, len(self.columns)):
            raise ValueError(
                f"x must have {self.width} columns of states or {len(self.columns)} of codes,"
                f" got the shape {x.shape}."
            )
        if x.shape[1] == len(self.columns):
            return x.astype(np.float64, copy=False)
        codes = np.empty((len(x), len(self.columns)))
        for k, columns in enumerate(self.slices().values()):
            states = np.asarray(x[:, columns], dtype=np.float64)
            found = np.nan_to_num(states).argmax(1) if states.shape[1] > 1 else states[:, 0]
            codes[:, k] = np.where(np.isnan(states[:, 0]), np.nan, found)
        return codes

    def log_jacobian(self, x: Any, name: str = "X") -> np.ndarray:
        """log |∂ codes / ∂ values| of each row, (rows,), nats: what log P of states gains to become that of
        the table's own units. Empty cells add nothing.

        Args:
            x: a table, or codes of one, (rows, len(columns)).
            name: what to call it in sentences.
        """
        codes = self.encode(x, name) if is_frame(x) else self._codes(x)
        total = np.zeros(len(codes))
        for k, column in enumerate(self._modelled()):
            total += column.kind.log_jacobian(codes[:, k])
        return total

    def _matched(self, frame: Any, name: str, partial: bool) -> pd.DataFrame:
        frame = table_of(frame, name)
        found, expected = labels_of(frame) or (), self.names
        known = set(found)
        missing = [] if partial else [column for column in expected if column not in known]
        unknown = [c for c in found if c not in self._columns and c not in self.left_out]
        if missing or unknown:
            faults = {"missing": missing, "unknown": unknown}
            told = "; ".join(f"{fault}: {_names(columns)}" for fault, columns in faults.items() if columns)
            raise ValueError(
                f"{name} must have the columns that the model knows by name, in any order"
                f" ({listed(expected)}), got others ({told})."
            )
        return frame

    # -- in words and files ----------------------------------------------------------------------------------

    def __repr__(self) -> str:
        return show.text(self)

    def _repr_html_(self) -> str:
        return show.html(self)

    def config(self) -> dict[str, Any]:
        """The schema as a JSON object."""
        columns = [
            {"name": c.name, "kind": c.kind.config(), "storage": c.storage.to_json()}
            for c in self._columns.values()
        ]
        return json.loads(
            json.dumps({"format": FORMAT, "columns": columns, "left_out": self.left_out}, allow_nan=False)
        )

    def to_json(self) -> str:
        """The schema as text, which `from_json` reads."""
        return json.dumps(self.config(), indent=1, ensure_ascii=False)

    @classmethod
    def from_config(cls, said: Any) -> Schema:
        """The schema that `config` describes; a ValueError where it describes none."""
        try:
            if said["format"] > FORMAT:
                raise ValueError(f"it has the format {said['format']}, of a later harmonium")
            columns = [column_of(column) for column in said["columns"]]
            left_out = [str(name) for name in said["left_out"]]
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"the schema can't be read: {error}") from error
        if not columns or len({str(column.name) for column in columns}) < len(columns):
            raise ValueError("the schema can't be read: it has no column, or two of one name.")
        return cls(columns, left_out)

    @classmethod
    def from_json(cls, text: str) -> Schema:
        """The schema that `to_json` wrote; a ValueError where the text is none."""
        try:
            return cls.from_config(json.loads(text))
        except json.JSONDecodeError as error:
            raise ValueError(f"the schema can't be read: {error}.") from error


def _names(columns: Sequence[str]) -> str:
    """Names in a sentence, in quotation marks where blanks would be overlooked."""
    return listed([name if name == name.strip() != "" else repr(name) for name in columns])


def _unit(column: Column) -> tuple[type[Units] | None, tuple[tuple[str, int], ...]]:
    return column.kind.unit_type(), tuple(column.kind.options.items())
