"""Rows of which few cells are other than 0: kept compressed, and made dense some at a time.

Whoever needs a batch gets it as if the table had been dense, with the same bits; the table as a whole is
never made dense.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from torch import Tensor

from harmonium import checks

BYTE = 255  # whole numbers up to this are kept in a byte each, so that a batch is small until it is encoded


class SparseRows:
    """Compressed sparse rows, (rows, columns).

    Args:
        x: a SciPy sparse array or matrix of real numbers, two-dimensional; equal cells are added up.
        encode: what becomes of some rows once they are dense, row by row; None for nothing.
        width: columns that `encode` makes; those of `x` by default.

    >>> import scipy.sparse
    >>> rows = SparseRows(scipy.sparse.csr_array(np.eye(3)))
    >>> len(rows), rows.shape, rows.dense(np.array([2, 0])).tolist()
    (3, (3, 3), [[0, 0, 1], [1, 0, 0]])
    """

    ndim = 2

    def __init__(
        self,
        x: Any,
        encode: Callable[[np.ndarray], np.ndarray] | None = None,
        width: int | None = None,
    ) -> None:
        self.x = x
        if not x.has_canonical_format:
            self.x = x.copy()
            self.x.sum_duplicates()
        self.encode = encode
        self.shape: tuple[int, int] = (x.shape[0], x.shape[1] if width is None else width)
        if _fits_in_a_byte(self.x.data):
            self.x = self.x.astype(np.uint8)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> SparseRows:
        """Some rows or, as (all, columns), some columns of rows that aren't encoded; sparse as before."""
        return SparseRows(self.x[key], self.encode, None if self.encode is None else self.shape[1])

    def encoded(self, encode: Callable[[np.ndarray], np.ndarray]) -> SparseRows:
        """The same rows, each to be encoded once it is dense; as many columns come of it."""
        return SparseRows(self.x, encode, self.shape[1])

    def beside(self, more: np.ndarray) -> SparseRows:
        """The same rows with more columns to their right, (rows, more columns), which aren't encoded."""
        import scipy.sparse

        columns, encode = self.x.shape[1], self.encode or np.asarray

        def left_encoded(x: np.ndarray) -> np.ndarray:
            return np.hstack([encode(x[:, :columns]), x[:, columns:]])

        joined = scipy.sparse.hstack([self.x, scipy.sparse.csr_array(more)], format="csr")
        return SparseRows(joined, left_encoded, self.shape[1] + more.shape[1])

    def each_column(self) -> Iterator[np.ndarray]:
        """One column after another, dense, (rows,), before it is encoded."""
        x = self.x.tocsc()
        for k in range(x.shape[1]):
            column = np.zeros(x.shape[0], self.dtype)
            own = slice(x.indptr[k], x.indptr[k + 1])
            column[x.indices[own]] = x.data[own]
            yield column

    @property
    def dtype(self) -> np.dtype:
        """Of the values, before they are encoded."""
        return self.x.data.dtype

    @property
    def binary(self) -> bool:
        """Whether all values are 0 or 1."""
        return bool(self.dtype == np.uint8 and (self.x.data <= 1).all())

    @property
    def nbytes(self) -> int:
        """Memory in use."""
        return self.x.data.nbytes + self.x.indices.nbytes + self.x.indptr.nbytes

    def dense(self, numbers: Any) -> np.ndarray:
        """The rows with these numbers, or of a slice, as an array."""
        x = self.x[numbers].toarray()
        return x if self.encode is None else self.encode(x)


def sparse_rows(data: Any, name: str) -> SparseRows:
    """A sparse array, matrix or tensor of any layout as rows; a cell of NaN is free.

    Raises:
        TypeError, ValueError: it has other than two dimensions, or holds anything but real numbers.
    """
    import scipy.sparse

    if isinstance(data, Tensor):
        data = _of_tensor(data)
    if data.ndim != 2:
        raise ValueError(f"{name} must have the shape (rows, columns), got {checks.describe(data)}.")
    if data.dtype.kind not in "biuf" or data.dtype.itemsize > 8:
        raise TypeError(f"{name} must hold real numbers of at most 64 bits, got {checks.describe(data)}.")
    return SparseRows(scipy.sparse.csr_array(data))


def _of_tensor(data: Tensor) -> Any:
    import scipy.sparse

    data = data.detach().cpu().to_sparse_coo().coalesce()
    return scipy.sparse.coo_array((data.values().numpy(), data.indices().numpy()), shape=tuple(data.shape))


def _fits_in_a_byte(values: np.ndarray) -> bool:
    if values.dtype == np.uint8 or not values.size:
        return False
    if values.dtype.kind == "b":
        return True
    with np.errstate(invalid="ignore"):
        whole = values == values.astype(np.uint8)
    return bool(whole.all())
