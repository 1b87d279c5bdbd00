"""A data set: rows to learn from, to select on and to measure with."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from harmonium import checks
from harmonium.columns import Schema
from harmonium.data.values import DataError, as_table, joint, survey
from harmonium.models.table import Table
from harmonium.random import Address, Purpose

HELD_OUT = ("valid", "test")
PARTS = ("train", *HELD_OUT)
WHOLE = "all"
"""Stands for the one array of a file that names no parts."""
IN_MEMORY = 2**28
"""Bytes up to which rows are shuffled in memory; a larger .npy stays on disk, its rows in their order."""
LEAST_ROWS = 10
"""Rows needed to split off a part."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Rows of one kind in three parts, checked: finite real numbers, NaN where a cell is empty, equally
    wide, at least one row each.

    Args:
        name: of the bundled set, or the file.
        train: (rows, columns), an array, or `SparseRows`; what a model learns from.
        valid: (rows, columns); what its settings and its stopping are selected on.
        test: (rows, columns); what it is measured with.
        support: the narrowest that holds all values, see `describe_support`.
        shape: (height, width) where the rows are pictures.
        columns: their names, where known.
        labels: one array for each part where the rows have classes; never learned from.
        notes: sentences that a reader of the results should see, such as how the rows were split.
        read_as: those of them that say what in the file was read otherwise than it is written, or not at all.
        numbers: of the rows of each part in the file, where they were split off a single table.
        frame: that whole table in its own words, where its columns have names.
        schema: whose codes the parts are, None where they are values as in the file.
    """

    name: str
    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray
    support: str
    shape: tuple[int, int] | None = None
    columns: tuple[str, ...] | None = None
    labels: dict[str, np.ndarray] | None = None
    notes: list[str] = field(default_factory=list)
    read_as: tuple[str, ...] = ()
    numbers: dict[str, np.ndarray] | None = None
    frame: Any = None
    schema: Schema | None = None

    def part(self, name: str) -> np.ndarray:
        """The rows of 'train', 'valid' or 'test'."""
        rows: np.ndarray = getattr(self, checks.one_of("split", name, PARTS))
        return rows

    def table(self, name: str) -> Table:
        """The rows of a part with the names of their columns, as `hm.fit` and the likelihoods take them."""
        if self.schema is not None:
            return Table(self.part(name), self.schema.columns, first=1, coded=True)
        frame = None
        if self.frame is not None and self.numbers is not None:
            frame = self.frame.iloc[self.numbers[name]]
        return Table(self.part(name), self.columns, first=1, frame=frame)

    def encoded(self, schema: Schema) -> Dataset:
        """The same rows as codes of a schema of the whole table."""
        assert self.frame is not None and self.numbers is not None
        codes = schema.encode(self.frame, self.name, first=1)
        parts = {name: codes[self.numbers[name]] for name in PARTS}
        return replace(self, schema=schema, columns=schema.columns, support="mixed", **parts)

    def place(self, part: str, row: int, column: int) -> str:
        """Where a cell is: in the file if it holds a single table, otherwise in the part."""
        if self.numbers is None:
            return f"{part} {self.table(part).place(row, column)}"
        return self.table(part).place(int(self.numbers[part][row]), column)

    def __repr__(self) -> str:
        rows = ", ".join(f"{len(self.part(name)):,} {name}" for name in PARTS)
        return f"Dataset({self.name!r}: {self.width:,} columns, {self.support}; rows: {rows})"

    @property
    def width(self) -> int:
        """Number of columns."""
        return self.train.shape[1]


def shuffled(rows: int) -> np.ndarray:
    """The numbers 0 ... rows - 1 in an order that is the same everywhere and always.

    Sorted by the uniforms at (seed 0, purpose SPLIT, step 0, chain 0, unit = number of the row); from the
    reference, whose bits are everybody's, since compiling the kernel takes longer than this one draw.
    """
    import torch

    from harmonium.kernels import reference

    address = Address(seed=0, purpose=Purpose.SPLIT)
    uniforms = reference.uniform(address, (1, rows), torch.float64, torch.device("cpu"))
    return np.argsort(uniforms[0].numpy(), kind="stable")


def split(rows: int, wanted: tuple[str, ...] = HELD_OUT) -> dict[str, np.ndarray]:
    """Numbers (rising) of the rows of each wanted part, a tenth of all, and of those left to train."""
    order, tenth = shuffled(rows), rows // 10
    held = {part: np.sort(order[i * tenth : (i + 1) * tenth]) for i, part in enumerate(wanted)}
    return {"train": np.sort(order[len(wanted) * tenth :]), **held}


def complete(
    name: str, parts: dict[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray] | None, list[str]]:
    """All three parts from those that there are, the numbers of their rows in a file that names none, and a
    note on the parts that were split off.
    """
    source = parts.get("train", parts.get(WHOLE))
    if source is None:
        raise DataError(f"{name} must have the part train, got {' and '.join(parts)}.")
    missing = tuple(part for part in HELD_OUT if part not in parts)
    if not missing:
        return parts, None, []
    if len(source) < LEAST_ROWS:
        raise DataError(
            f"{name} must have at least {LEAST_ROWS} rows to split off {' and '.join(missing)},"
            f" got {len(source)}; a file .npz or .h5 can name train, valid and test itself."
        )
    if source.nbytes > IN_MEMORY:
        numbers = _cut(np.arange(len(source)), missing)
        cut, how = _cut(source, missing), "from the end, in the order of the file (too large to shuffle)"
    else:
        numbers = split(len(source), missing)
        cut = {part: source[rows] for part, rows in numbers.items()}
        how = "at random, the same ones every time"
    sizes = ", ".join(f"{part} {len(rows):,}" for part, rows in cut.items())
    origin = "rows" if WHOLE in parts else "train rows"
    tenths = ", a tenth as ".join(missing)
    note = f"{name}: a tenth of the {origin} was held out as {tenths}, {how} ({sizes})."
    return {**parts, **cut}, numbers if WHOLE in parts else None, [note]


def _cut(source: np.ndarray, wanted: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Views of a large array, nothing read: the last tenths are the wanted parts."""
    tenth = len(source) // 10
    bounds = [len(source) - i * tenth for i in range(len(wanted), -1, -1)]
    held = {part: source[bounds[i] : bounds[i + 1]] for i, part in enumerate(wanted)}
    return {"train": source[: bounds[0]], **held}


@dataclass(frozen=True)
class Tables:
    """Arrays that passed the checks: each (rows, columns), with what all of them have in common."""

    parts: dict[str, np.ndarray]
    support: str
    shape: tuple[int, int] | None


def checked(name: str, parts: dict[str, np.ndarray], columns: tuple[str, ...] | None = None) -> Tables:
    """The arrays of a file as tables, or a DataError that names the file and the part at fault.

    Values are kept as they are; 0/1 data that fit in memory are stored in a byte each.
    """
    titles = {part: name if part == WHOLE else f"{name}: {part}" for part in parts}
    shapes = {part: x.shape[1:] for part, x in parts.items()}
    checked = {part: as_table(titles[part], x, columns) for part, x in parts.items()}
    _same_columns(name, shapes)
    support = joint([survey(titles[part], table, free=True) for part, table in checked.items()]).support
    tables: dict[str, Any] = {part: table.values for part, table in checked.items()}
    if support == "binary":
        tables = {part: _small(x) for part, x in tables.items()}
    shape = next(iter(shapes.values()))
    return Tables(tables, support, (shape[0], shape[1]) if len(shape) == 2 else None)


def assemble(
    name: str,
    parts: dict[str, np.ndarray],
    columns: tuple[str, ...] | None,
    notes: list[str],
    frame: Any = None,
) -> Dataset:
    """The data set of a file's arrays, checked, the missing parts split off.

    A table of words, which `frame` then is, is checked by the schema that it is encoded with.
    """
    words = all(x.dtype == object for x in parts.values())
    tables = Tables(parts, "words", None) if words else checked(name, parts, columns)
    three, numbers, split_notes = complete(name, tables.parts)
    return Dataset(
        name=name,
        train=three["train"],
        valid=three["valid"],
        test=three["test"],
        support=tables.support,
        shape=tables.shape,
        columns=columns,
        notes=[*notes, *split_notes],
        read_as=tuple(notes),
        numbers=numbers,
        frame=frame,
    )


def _same_columns(name: str, shapes: dict[str, tuple[int, ...]]) -> None:
    if len(set(shapes.values())) > 1:
        listed = ", ".join(f"{part} {' x '.join(map(str, shape))}" for part, shape in shapes.items())
        raise DataError(f"{name} must have equally many columns in every part, got {listed}.")


def _small(x: np.ndarray) -> np.ndarray:
    if x.dtype == np.uint8 or x.nbytes > IN_MEMORY or (x.dtype.kind == "f" and np.isnan(x).any()):
        return x
    return x.astype(np.uint8)
