"""How pandas stores a column: the dtype that its values come back in."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np

from harmonium import checks

if TYPE_CHECKING:
    import pandas as pd

LARGEST = 1e150  # number whose square float64 holds
WHOLE = 2**53  # up to which float64 holds all whole numbers


@dataclass(frozen=True)
class Storage:
    """The dtype of a column, in plain words.

    Attributes:
        dtype: as pandas names it.
        categories: of a categorical column, all that it declares.
        of: dtype of the categories.
        ordered: whether the categories have an order.
    """

    dtype: str
    categories: tuple[Any, ...] | None = None
    of: str | None = None
    ordered: bool = False

    @classmethod
    def used_by(cls, column: pd.Series) -> Storage:
        """That of a column."""
        import pandas as pd

        if isinstance(column.dtype, pd.ArrowDtype):  # whose own name may be that of another dtype
            return cls(f"{ARROW}{column.dtype.pyarrow_dtype}")
        if not isinstance(column.dtype, pd.CategoricalDtype):
            places = _places(column) if column.dtype == object else None
            return cls(str(column.dtype) if places is None else f"object of Decimal, {places} places")
        categories = column.cat.categories
        return cls("category", tuple(plain(categories)), str(categories.dtype), bool(column.cat.ordered))

    def series(self, values: np.ndarray, name: Any) -> pd.Series:
        """A column of this dtype; where cells are empty, or given in fractions, and the dtype has no room for
        that, pandas' usual wider one.
        """
        import pandas as pd

        if self.categories is not None:
            index = pd.Index(list(self.categories), dtype=self.of)
            codes = index.get_indexer(pd.Index(values)) if len(values) else []
            known = pd.Categorical.from_codes(codes, categories=index, ordered=self.ordered)
            return pd.Series(known, name=name)
        missing, dtype = pd.isna(values), self.dtype
        numpy = np.dtype(dtype) if dtype in NUMPY else None
        if of_decimal := OF_DECIMAL.fullmatch(dtype):
            made = [
                None if m else Decimal(f"{v:.{of_decimal[1]}f}") for v, m in zip(values, missing, strict=True)
            ]
            return pd.Series(made, name=name, dtype=object)
        values = _within(dtype.removeprefix(ARROW).lower(), values)
        if numpy is not None and numpy.kind in "biu" and missing.any():
            dtype = "object" if numpy.kind == "b" else "float64"
        if values.dtype.kind == "f" and WHOLES.fullmatch(dtype) and bool((values % 1 > 0).any()):
            dtype = "float64" if numpy is not None else f"{ARROW}double" if dtype[0] == "a" else "Float64"
        of_arrow = dtype.startswith(ARROW)
        target = pd.ArrowDtype(_arrow(dtype.removeprefix(ARROW))) if of_arrow else dtype
        if values.dtype == object and dtype != "object":
            return pd.Series(values, name=name, dtype=object).astype(target)
        return pd.Series(values, name=name).astype(target)

    def to_json(self) -> dict[str, Any]:
        """A JSON object of it."""
        return asdict(self)

    @classmethod
    def from_json(cls, said: Any) -> Storage:
        """What `to_json` wrote, checked."""
        if not isinstance(said, dict) or not isinstance(said.get("dtype"), str):
            raise ValueError(f"expected how a column is stored, got {checks.describe(said)}.")
        categories = said.get("categories")
        if categories is not None and (
            not isinstance(categories, list) or not all(map(is_plain, categories))
        ):
            raise ValueError(f"expected the categories of a column, got {checks.describe(categories)}.")
        of, ordered = said.get("of"), bool(said.get("ordered", False))
        return cls(said["dtype"], None if categories is None else tuple(categories), of, ordered)


NUMPY = {"bool", *(f"{u}int{b}" for u in ("", "u") for b in (8, 16, 32, 64)), "float16", "float32", "float64"}
FLOATS = {
    name: min(float(np.finfo(dtype).max), LARGEST)
    for dtype, names in {
        "f2": ("float16", "halffloat"),
        "f4": ("float32", "float"),
        "f8": ("float64", "double"),
    }.items()
    for name in names
}
"""The largest number of each type, as numpy, pandas and Arrow name it, that a column may hold."""
ARROW = "arrow:"
WHOLES = re.compile(r"(arrow:)?[Uu]?[Ii]nt\d+")
DECIMAL = re.compile(r"decimal(32|64|128|256)\((\d+), (\d+)\)")

OF_DECIMAL = re.compile(r"object of Decimal, (\d+) places")


def _places(column: pd.Series) -> int | None:
    """With how many decimals Python's Decimals are written, None where some cell is another thing."""
    cells = column.dropna()
    if not len(cells) or not all(isinstance(cell, Decimal) and cell.is_finite() for cell in cells):
        return None
    return max(max(0, -int(cell.as_tuple().exponent)) for cell in cells)


def _within(dtype: str, values: np.ndarray) -> np.ndarray:
    """Numbers with those beyond what a type of numpy, pandas or Arrow holds, or a table may, at its end."""
    if values.dtype.kind != "f":
        return values
    if decimal := DECIMAL.fullmatch(dtype):
        digits, behind = int(decimal[2]), int(decimal[3])
        most = np.nextafter(10.0 ** (digits - behind) - 10.0**-behind, 0.0)
        return np.clip(values, -most, most)
    if dtype in FLOATS:
        return np.clip(values, -FLOATS[dtype], FLOATS[dtype])
    if dtype not in NUMPY or np.dtype(dtype).kind not in "iu":
        return values
    limits = np.iinfo(dtype)
    return np.clip(values, max(limits.min, 1 - WHOLE), min(limits.max, WHOLE - 1))


def _arrow(name: str) -> Any:
    """The type that Arrow prints as this."""
    import pyarrow

    if decimal := DECIMAL.fullmatch(name):
        return getattr(pyarrow, f"decimal{decimal[1]}")(int(decimal[2]), int(decimal[3]))
    if of := re.fullmatch(r"dictionary<values=(\w+), indices=(\w+), ordered=([01])>", name):
        return pyarrow.dictionary(_arrow(of[2]), _arrow(of[1]), of[3] == "1")
    return pyarrow.type_for_alias(name)


def plain(values: Any) -> list[Any]:
    """Values as Python's own: text, numbers, True and False."""
    return [value.item() if isinstance(value, np.generic) else value for value in values]


def as_written(value: Any) -> Any:
    """A number by the digits that write it down, so that 0.1 is one whether float32, float64 or Decimal holds
    it; anything else as it is.

    >>> as_written(float(np.float32(0.1)))
    0.1
    """
    value = float(value) if isinstance(value, Decimal) else value
    if not isinstance(value, float) or not abs(value) < FLOATS["float32"]:
        return value
    narrow = np.float32(value)
    return float(str(narrow)) if float(narrow) == value else value


def is_plain(value: Any) -> bool:
    """Whether JSON holds the value as it is."""
    return isinstance(value, (str, bool, int)) or (isinstance(value, float) and bool(np.isfinite(value)))
