"""From a table to what its columns are."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from harmonium import checks
from harmonium.columns.base import LEAVE_OUT, Kind, Refused
from harmonium.columns.choice import kind_of
from harmonium.columns.column import Column, asked_for
from harmonium.columns.discrete import Binary, Category, Constant
from harmonium.columns.facts import Facts, facts_of
from harmonium.columns.frames import (
    INDEX_OF_PANDAS,
    as_pandas,
    index_as_data,
    is_frame,
    listed,
    numbers_rows,
    refuse_unread,
)
from harmonium.columns.scatter import Rest
from harmonium.columns.storage import Storage

if TYPE_CHECKING:
    import pandas as pd

EMPTY = re.compile(
    r"\s*(NA|N/A|n/a|#N/A|<NA>|nan|NaN|NULL|null|[-\u2013\u2014.*?#_/]*)\s*"
)  # cells that say that they are
ALL_DIFFERENT = 50  # rows from which whole numbers that never repeat may be names
NAMED = 100  # columns that a sentence on those that can't be learned names
NUMBERED = 10  # rows from which a column 1, 2, 3, … is taken for their numbers


def columns_of(
    frame: pd.DataFrame, known: Mapping[str, Kind], leave_out: Sequence[str], name: str, first: int = 0
) -> tuple[list[Column], list[str]]:
    """(the columns that aren't left out, with the kinds that are known or that their values tell; warnings);
    the first row is called `first`.

    Raises:
        ValueError: as `Schema.of`.
    """
    _named("kinds", known, frame)
    _named("leave_out", leave_out, frame)
    both = [title for title in known if title in leave_out]
    if both:
        raise ValueError(f"kinds, leave_out: expected a column in one of them, got {listed(both)} in both.")
    binary = _all_binary(frame)
    rest = Rest(frame, [str(label) for label in frame.columns], list(leave_out))
    columns: list[Column] = []
    refused: dict[str, Refused] = {}
    for k, (label, column) in enumerate(frame.items()):
        title = str(label)
        if title in leave_out:
            continue
        if title not in known and _is_index(column, title):
            raise ValueError(index_as_data(name, title))
        try:
            facts = _facts(column, title, asked=title in known)
            if title in known:
                kind = asked_for(known[title], facts)
            else:
                kind = (binary and _zero_or_one(facts)) or _kind_of(facts, rest, k)
        except Refused as problem:
            refused[title] = problem
        else:
            columns.append(Column(_label(label), kind, Storage.used_by(column), facts))
    if refused:
        raise ValueError(_sentence(refused, name, first))
    return columns, warnings_of(columns, known, len(frame), name)


def _sentence(refused: Mapping[str, Refused], name: str, first: int) -> str:
    """The sentence on the first column that can't be learned, and what is wrong with the others in short."""
    (title, problem), *others = refused.items()
    said = problem.sentence(name, title, first)
    if not others:
        return said
    alike: dict[str, list[str]] = {}
    for title, problem in others[:NAMED]:
        alike.setdefault(problem.told(first), []).append(repr(title))
    told = [f"{', '.join(titles)} ({told})" for told, titles in alike.items()]
    told += [f"{len(others) - NAMED} more"] * (len(others) > NAMED)
    number, they = f"{len(others)} more columns", "they are"
    if len(others) == 1:
        number, they = "another column", "it is"
    return f"{said[:-1]}; {number} can't be learned as {they}: {', '.join(told)}."


def warnings_of(columns: Sequence[Column], known: Collection[str], rows: int, name: str) -> list[str]:
    """One sentence on all columns of which the same is to be said; those that are `known` are meant so."""
    told = [c for c in columns if str(c.name) not in known]
    said = [*_like_empty(told), *_like_another(told), *_constant(columns), *_like_names(told, rows)]
    return [f"{name}: {sentence}" for sentence in said]


def _words(column: Column) -> list[str]:
    """Those that a column may hold."""
    values = column.kind.values or () if isinstance(column.kind, (Binary, Category)) else ()
    return [value for value in values if isinstance(value, str)]


def _like_empty(columns: Sequence[Column]) -> list[str]:
    found = []
    for c in columns:
        alike = [repr(word) for word in _words(c) if EMPTY.fullmatch(word)]
        found += [f"{str(c.name)!r} ({listed(alike)})"] if alike else []
    if not found:
        return []
    return [
        f"of column{'s' * (len(found) > 1)} {listed(found)} cells that look empty are learned as words: if"
        " nothing is known there, leave them empty (NaN), else say what the column is (kinds=)."
    ]


def _like_another(columns: Sequence[Column]) -> list[str]:
    found = []
    for c in columns:
        first: dict[str, str] = {}
        pairs = [(first.setdefault(" ".join(w.split()).casefold(), w), w) for w in _words(c)]
        alike = next(((one, other) for one, other in pairs if one != other), None)
        found += [f"{str(c.name)!r} ({alike[0]!r} and {alike[1]!r})"] if alike else []
    if not found:
        return []
    return [
        f"column{'s' * (len(found) > 1)} {listed(found)}: words that differ in blanks or in capitals alone"
        " are learned as different ones; where they are the same, write them the same."
    ]


def _constant(columns: Sequence[Column]) -> list[str]:
    constant = [(str(c.name), c.kind.value) for c in columns if isinstance(c.kind, Constant)]
    if len(constant) == 1:
        return [f"column {constant[0][0]!r} is constant ({constant[0][1]!r}), and needs no unit."]
    if not constant:
        return []
    told = listed([f"{name!r} ({value!r})" for name, value in constant])
    return [f"{len(constant)} columns are constant, and need no units: {told}."]


def _like_names(columns: Sequence[Column], rows: int) -> list[str]:
    names = [
        repr(str(c.name))
        for c in columns
        if c.facts is not None and c.facts.whole and c.facts.distinct == rows >= ALL_DIFFERENT
    ]
    if len(names) > 1:
        return [
            f"{len(names)} columns hold another whole number in each of {rows:,} rows: {listed(names)}; those"
            " that name the rows should be left out (leave_out=, --leave-out)."
        ]
    return [
        f"column {name} holds another whole number in each of {rows:,} rows: if they name the rows,"
        " leave it out (leave_out=, --leave-out)."
        for name in names
    ]


def _kind_of(facts: Facts, rest: Rest, place: int) -> Kind:
    """The kind that the values of a column tell, of those that can be as narrow as it is given the rest."""
    kind = kind_of(facts)
    without: list[type[Kind]] = []
    while rest.excludes(kind, place):
        without.append(type(kind))
        kind = kind_of(facts, without)
    return kind


def _label(label: Any) -> str | int:
    if isinstance(label, np.integer):
        return int(label)
    return label if isinstance(label, (str, int)) and not isinstance(label, bool) else str(label)


def table_of(frame: Any, name: str) -> pd.DataFrame:
    """A table as pandas has it: rows, columns, no name twice."""
    refuse_unread(frame, name)
    if not is_frame(frame):
        raise TypeError(f"{name} must be a table whose columns have names, got {checks.describe(frame)}.")
    frame = as_pandas(frame)
    if 0 in frame.shape:
        raise ValueError(
            f"{name} must hold at least one row and one column, got {len(frame)} x {frame.shape[1]}."
        )
    found = [str(label) for label in frame.columns]
    twice = (
        [label for label in dict.fromkeys(found) if found.count(label) > 1]
        if len(set(found)) < len(found)
        else []
    )
    if twice:
        raise ValueError(f"{name} must have columns of different names, got {listed(twice)} more than once.")
    return frame


def _named(argument: str, names: Any, frame: pd.DataFrame) -> None:
    found = {str(label) for label in frame.columns}
    unknown = [str(name) for name in names if str(name) not in found]
    if unknown or isinstance(names, str):
        raise ValueError(
            f"{argument} must hold names of columns ({listed(sorted(found))}),"
            f" got {listed(unknown or [names])}."
        )


def _facts(column: pd.Series, title: str, asked: bool) -> Facts:
    facts = facts_of(column, meant=asked)
    if asked:
        return facts
    every = facts.whole and facts.distinct == facts.rows == len(column) >= NUMBERED
    if every and numbers_rows(column.to_numpy(dtype=float, na_value=np.nan)):
        raise Refused(
            f"numbers the rows, {facts.low:g} to {facts.high:g}, and can't be learned",
            remedy=LEAVE_OUT + ", or say what it is (kinds=)",
        )
    return facts


def _is_index(column: pd.Series, title: str) -> bool:
    """Whether a column without a name of its own numbers or names the rows."""
    if not INDEX_OF_PANDAS.fullmatch(title):
        return False
    return numbers_rows(column.to_numpy()) or (column.dtype.kind not in "iufb" and bool(column.is_unique))


def _zero_or_one(facts: Facts) -> Kind | None:
    """Binary for a table of nothing but 0 and 1, also where a column holds only one of them."""
    return Binary((0, 1)) if facts.values in ((0,), (1,)) else None


def _all_binary(frame: pd.DataFrame) -> bool:
    """Whether a table holds nothing but the numbers 0 and 1."""
    if any(dtype.kind not in "iuf" for dtype in frame.dtypes):
        return False
    return all(bool(frame.iloc[:, k].isin((0, 1)).all()) for k in range(frame.shape[1]))
