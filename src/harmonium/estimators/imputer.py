"""`RBMImputer`: what is empty in a table, filled in by what the rest of each row says."""

from __future__ import annotations

import warnings
from numbers import Real
from typing import Any

import numpy as np
from sklearn.base import TransformerMixin, _fit_context
from sklearn.impute import MissingIndicator
from sklearn.utils import check_random_state
from sklearn.utils._missing import is_scalar_nan
from sklearn.utils._param_validation import Interval, MissingValues
from sklearn.utils._set_output import _get_output_config
from sklearn.utils.validation import (
    _check_feature_names,
    _check_feature_names_in,
    _check_n_features,
    check_is_fitted,
)

from harmonium.answers import impute
from harmonium.columns.frames import is_frame
from harmonium.estimators.base import RBMEstimator, in_precision_of
from harmonium.estimators.columns import TypedColumns
from harmonium.estimators.stored import Threads
from harmonium.estimators.streams import seed_from
from harmonium.models.sparse import SparseRows
from harmonium.random import derived_seed

TRIES = 100  # draws of a row that has to lie within bounds
TOGETHER = 1000  # rows drawn at a time, as often as that allows


class RBMImputer(TransformerMixin, RBMEstimator):
    """Drop-in for `sklearn.impute.IterativeImputer`: empty cells are filled by `hm.impute`, from the joint
    density of all columns that `hm.fit` has learned; those that are known stay as they are.

    A cell of numbers gets its expected value given the known cells of its row, one of two values or of names
    the most probable. Data frames may hold words and categories, and come back as data frames; so may arrays
    and lists, which come back as arrays of objects.

    Args:
        n_hidden, steps, minutes, random_state, device, dtype, verbose, n_jobs: as of `RBMEstimator`.
        missing_values: what stands in an empty cell; in data frames all that pandas takes for empty, too.
        sample_posterior: whether cells are drawn, all of a row together, from their distribution given the
            known ones, anew in each call: for several tables that are analysed each (Rubin 1987).
        add_indicator: whether columns that say what was empty follow, as of
            `sklearn.impute.MissingIndicator`.
        keep_empty_features: whether columns that `fit` found empty are kept, filled with `fill_value`;
            otherwise they are left out, and a warning names them.
        fill_value: what stands in these, 0 by default.
        min_value, max_value: bounds of the numbers that are filled in, one for all columns or one for each;
            an expected value beyond them becomes the bound, and a row of which a drawn number lies beyond is
            drawn anew, so that draws are those given the bounds; what still does after 100 times becomes the
            bound too. Known cells stay as they are.

    Attributes:
        indicator_: the `MissingIndicator`, None without.
        n_features_with_missing_: columns with empty cells.

    >>> import numpy as np
    >>> rows = np.random.default_rng(0).normal(size=(40, 1)) * [1.0, 2.0]
    >>> imputer = RBMImputer(n_hidden=2, steps=20, random_state=0).fit(rows)
    >>> imputer.transform([[1.0, np.nan]]).shape
    (1, 2)
    """

    _parameter_constraints: dict = {
        **RBMEstimator._parameter_constraints,
        "missing_values": [MissingValues()],
        "sample_posterior": ["boolean"],
        "add_indicator": ["boolean"],
        "keep_empty_features": ["boolean"],
        "fill_value": "no_validation",
        "min_value": [None, Interval(Real, None, None, closed="both"), "array-like"],
        "max_value": [None, Interval(Real, None, None, closed="both"), "array-like"],
    }

    def __init__(  # noqa: PLR0913  # the parameters of an estimator are its arguments
        self,
        n_hidden: int | None = None,
        *,
        missing_values: Any = np.nan,
        sample_posterior: bool = False,
        add_indicator: bool = False,
        keep_empty_features: bool = False,
        fill_value: Any = None,
        min_value: Any = None,
        max_value: Any = None,
        steps: int | None = None,
        minutes: float | None = None,
        random_state: Any = None,
        device: Any = "cpu",
        dtype: str = "float32",
        verbose: int = 0,
        n_jobs: int | None = None,
    ) -> None:
        super().__init__(
            n_hidden,
            steps=steps,
            minutes=minutes,
            random_state=random_state,
            device=device,
            dtype=dtype,
            verbose=verbose,
            n_jobs=n_jobs,
        )
        self.missing_values = missing_values
        self.sample_posterior = sample_posterior
        self.add_indicator = add_indicator
        self.keep_empty_features = keep_empty_features
        self.fill_value = fill_value
        self.min_value = min_value
        self.max_value = max_value

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> RBMImputer:
        """Learn from the rows of X, (rows, columns)."""
        rows, empty = self._blanked(X)
        self._known = ~empty.all(0)
        if not self._known.any():
            raise ValueError("X must hold a value that isn't missing, got none.")
        self._min_value, self._max_value = self._limits()
        self.n_features_with_missing_ = int(empty.any(0).sum())
        self.indicator_ = (
            MissingIndicator(error_on_new=False).fit(_nan_where(empty)) if self.add_indicator else None
        )
        self.random_state_ = check_random_state(self.random_state)
        self._fit(self._learned(rows), sample_weight)
        if isinstance(self.columns_, TypedColumns):
            self.model_.schema = self.columns_.schema
        return self

    def transform(self, X: Any) -> Any:
        """The rows of X with their empty cells filled in; a data frame where there are words."""
        check_is_fitted(self, "model_")
        rows, empty = self._blanked(X, reset=False)
        if not (self._known.all() or self.keep_empty_features):
            self._warn_of_empty_columns()
        seed = seed_from(self.random_state_) if self.sample_posterior else self._seed
        with Threads(self.n_jobs):
            found = self._filled(self._learned(rows), seed)
        if self.keep_empty_features:
            found = self._with_empty_columns(rows, found)
        if not is_frame(X):
            found = np.asarray(found)  # of words in an array or a list, too
        found = in_precision_of(X, found)
        if self.indicator_ is not None:
            found = self._beside(found, self.indicator_.transform(_nan_where(empty)))
        make, asked = _make_of(X), _get_output_config("transform", self)["dense"]
        if not is_frame(found) or asked not in ("default", make):  # scikit-learn makes it one of pandas'
            return found
        return {"polars": _as_polars, "pyarrow": _as_arrow}.get(make, _as_it_is)(X, found)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the columns of the filled table, and of the indicators beside them."""
        check_is_fitted(self, "model_")
        names = _check_feature_names_in(self, input_features)
        kept = names if self.keep_empty_features else names[self._known]
        more = [] if self.indicator_ is None else self.indicator_.get_feature_names_out(names)
        return np.concatenate([kept, more]).astype(object)

    # -- rows

    def _rows(self, X: Any, reset: bool = True, finite: bool | str = "allow-nan") -> Any:
        """As of all estimators; an array or a list with words in it as a data frame too."""
        typed = _has_words(X) if reset else isinstance(self.columns_, TypedColumns)
        if is_frame(X) or not typed:
            return super()._rows(X, reset, finite)
        _check_feature_names(self, X, reset=reset)
        _check_n_features(self, X, reset=reset)
        names = getattr(self, "feature_names_in_", [f"x{k}" for k in range(self.n_features_in_)])
        return _framed(X, names)

    def _blanked(self, X: Any, reset: bool = True) -> tuple[Any, np.ndarray]:
        """(rows, NaN where nothing is known; where that is)."""
        import pandas as pd

        nan = bool(pd.isna(self.missing_values))
        rows = self._rows(X, reset=reset, finite="allow-nan" if nan else True)
        if is_frame(rows):
            if not nan:
                rows = rows.mask(rows.eq(self.missing_values).fillna(False).to_numpy(dtype=bool))
            return rows, rows.isna().to_numpy()
        if isinstance(rows, SparseRows):
            if self.missing_values == 0:
                raise ValueError("X must be dense where missing_values is 0. Provide a dense array.")
            rows = rows.dense(slice(None))  # as what is filled is
        if not nan and not isinstance(self.missing_values, Real):
            raise ValueError(
                "'X' and 'missing_values' types are expected to be both numerical. Got X.dtype="
                f"{rows.dtype} and type(missing_values)={type(self.missing_values)}."
            )
        empty = np.isnan(rows) if nan else rows == self.missing_values
        return np.where(empty, np.nan, rows), empty

    def _learned(self, rows: Any) -> Any:
        """The columns that `fit` found something in."""
        return rows.loc[:, self._known] if is_frame(rows) else rows[:, self._known]

    def _filled(self, rows: Any, seed: int) -> Any:
        """The rows with their empty cells filled in, within the bounds."""
        tries = TRIES if self.sample_posterior else 1
        left, tried, draws = np.arange(len(rows)), 0, 1
        parts, numbers = [], []
        while len(left):
            some, done = _rows_of(rows, left), np.zeros(len(left), bool)
            for found in self._completed(some, derived_seed(seed, tried) if tried else seed, draws):
                tried += 1
                clipped = self._clipped(found, some)
                new = ~done & (_alike(found, clipped) | (tried == tries))
                parts.append(_rows_of(clipped, new.nonzero()[0]))
                numbers.append(left[new])
                done |= new
            left = left[~done]
            draws = min(max(1, TOGETHER // max(1, len(left))), tries - tried)
        return _rows_of(_stacked(parts), np.argsort(np.concatenate(numbers)))

    def _completed(self, rows: Any, seed: int, draws: int) -> list[Any]:
        typed = isinstance(self.columns_, TypedColumns)
        x = rows if typed else self._tensor(self._states(rows))
        found = impute(self.model_, x, draws=draws if self.sample_posterior else None, seed=seed)
        tables = found if self.sample_posterior else [found]
        if typed:
            return tables
        return [np.where(np.isnan(rows), self.columns_.decode(v.cpu().numpy()), rows) for v in tables]

    def _clipped(self, found: Any, rows: Any) -> Any:
        """What was found, with the bound where a cell that was empty lies beyond it."""
        if not is_frame(found):
            return np.where(np.isnan(rows), np.clip(found, self._min_value, self._max_value), rows)
        found = found.copy()
        for name, *limits in zip(found, self._min_value, self._max_value, strict=True):
            if found[name].dtype.kind in "iuf" and np.isfinite(limits).any():
                low, high = _limits_of(found[name].dtype, *limits)
                found[name] = found[name].where(rows[name].notna(), found[name].clip(low, high))
        return found

    def _limits(self) -> np.ndarray:
        """The least and the greatest number for each column that `fit` found something in, (2, columns)."""
        n = self.n_features_in_
        limits = np.empty((2, n))
        asked = {"min_value": (self.min_value, -np.inf), "max_value": (self.max_value, np.inf)}
        for k, (name, (value, none)) in enumerate(asked.items()):
            limit = np.asarray(none if value is None else value, dtype=np.float64)
            if limit.shape not in {(), (n,)}:
                raise ValueError(
                    f"'{name}' should be of shape ({n},) when an array-like is provided. Got {limit.shape},"
                    " instead."
                )
            limits[k] = limit
        if not (limits[0] < limits[1]).all():
            raise ValueError("One (or more) features have min_value >= max_value.")
        return limits[:, self._known]

    def _warn_of_empty_columns(self) -> None:
        names = getattr(self, "feature_names_in_", np.arange(self.n_features_in_))
        warnings.warn(
            f"Skipping features without any observed values: {names[~self._known]}. At least one non-missing"
            " value is needed for imputation; keep_empty_features=True keeps them.",
            UserWarning,
            stacklevel=4,
        )

    def _with_empty_columns(self, rows: Any, found: Any) -> Any:
        value = 0 if self.fill_value is None else self.fill_value
        if is_frame(rows):
            return found.reindex(columns=rows.columns, fill_value=value)
        if not isinstance(value, Real):
            raise ValueError(f"fill_value must be a number for a table of numbers, got {value!r}.")
        whole = np.full(rows.shape, float(value))
        whole[:, self._known] = found
        return whole

    def _beside(self, found: Any, indicated: np.ndarray) -> Any:
        import pandas as pd

        if not is_frame(found):
            return np.hstack([found, indicated])
        names = self.get_feature_names_out()[found.shape[1] :]
        return pd.concat([found, pd.DataFrame(indicated, columns=names, index=found.index)], axis=1)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = is_scalar_nan(self.missing_values)
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        tags.input_tags.string = tags.input_tags.categorical = True
        tags.non_deterministic = tags.non_deterministic or self.sample_posterior
        return tags


def _has_words(X: Any) -> bool:
    """Whether there are words in an array, or a list of rows."""
    if isinstance(X, np.ndarray):
        return X.ndim == 2 and X.dtype.kind in "OU" and any(isinstance(x, str) for x in X.flat)
    nested = isinstance(X, list | tuple) and all(isinstance(row, list | tuple) for row in X)
    return nested and any(isinstance(x, str) for row in X for x in row)


def _framed(X: Any, names: Any) -> Any:
    import pandas as pd

    x = X if isinstance(X, np.ndarray) else np.array([list(row) for row in X], dtype=object)
    return pd.DataFrame(x, columns=names).infer_objects()


def _make_of(X: Any) -> str:
    return type(X).__module__.partition(".")[0]


def _as_it_is(X: Any, frame: Any) -> Any:
    return frame


# Whole numbers as wide as they were: pandas has none with gaps, unless they are of a type of its own.


def _as_polars(X: Any, frame: Any) -> Any:
    import polars

    found = polars.from_pandas(frame)
    whole = [name for name in frame if name in X.columns and X.schema[name].is_integer()]
    return found.cast({name: X.schema[name] for name in whole if (frame[name] % 1 == 0).all()})


def _as_arrow(X: Any, frame: Any) -> Any:
    import pyarrow

    found = pyarrow.Table.from_pandas(frame, preserve_index=False)
    for k, name in enumerate(found.column_names):
        dtype = X.schema.field(name).type if name in X.column_names else pyarrow.null()
        if pyarrow.types.is_integer(dtype) and (frame[name] % 1 == 0).all():
            found = found.set_column(k, name, found[name].cast(dtype))
    return found


def _rows_of(table: Any, numbers: np.ndarray) -> Any:
    return table.iloc[numbers] if is_frame(table) else table[numbers]


def _limits_of(dtype: Any, low: float, high: float) -> list[float | None]:
    """The outermost numbers of a dtype within two limits, None where there is none."""
    limits = (np.ceil(low), np.floor(high)) if dtype.kind in "iu" else (low, high)
    if limits[0] > limits[1]:
        raise ValueError(f"min_value and max_value have no whole number between them, got {low} and {high}.")
    return [dtype.type(x) if np.isfinite(x) else None for x in limits]


def _stacked(parts: list[Any]) -> Any:
    import pandas as pd

    return pd.concat(parts) if is_frame(parts[0]) else np.concatenate(parts)


def _alike(first: Any, second: Any) -> np.ndarray:
    """Whether each row is the same in two tables without a gap, (rows,)."""
    same = first == second
    return same.to_numpy(dtype=bool).all(1) if is_frame(same) else same.all(1)


def _nan_where(empty: np.ndarray) -> np.ndarray:
    return np.where(empty, np.nan, 0.0)
