"""`RBMImputer`: what is empty in a table, filled in by what the rest of each row says."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import TransformerMixin, _fit_context
from sklearn.impute import MissingIndicator
from sklearn.utils import check_random_state
from sklearn.utils._missing import is_scalar_nan
from sklearn.utils._param_validation import MissingValues
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted

from harmonium.columns.frames import is_frame
from harmonium.estimators.base import RBMEstimator
from harmonium.estimators.columns import TypedColumns
from harmonium.estimators.stored import Threads
from harmonium.estimators.streams import seed_from
from harmonium.models.sparse import SparseRows
from harmonium.recipes import impute


class RBMImputer(TransformerMixin, RBMEstimator):
    """Drop-in for `sklearn.impute.IterativeImputer`: empty cells are filled by `hm.impute`, from the joint
    density of all columns that `hm.fit` has learned; those that are known stay as they are.

    A cell of numbers gets its expected value given the known cells of its row, one of two values or of names
    the most probable. Data frames may hold words and categories, and come back as data frames.

    Args:
        n_hidden, steps, minutes, random_state, device, dtype, verbose, n_jobs: as of `RBMEstimator`.
        missing_values: what stands in an empty cell; in data frames all that pandas takes for empty, too.
        sample_posterior: whether cells are drawn, all of a row together, from their distribution given the
            known ones, anew in each call: for several tables that are analysed each (Rubin 1987).
        add_indicator: whether columns that say what was empty follow, as of
            `sklearn.impute.MissingIndicator`.
        keep_empty_features: whether columns that `fit` found empty are kept, filled with 0.

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
    }

    def __init__(  # noqa: PLR0913  # the parameters of an estimator are its arguments
        self,
        n_hidden: int | None = None,
        *,
        missing_values: Any = np.nan,
        sample_posterior: bool = False,
        add_indicator: bool = False,
        keep_empty_features: bool = False,
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

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> RBMImputer:
        """Learn from the rows of X, (rows, columns)."""
        rows, empty = self._blanked(X)
        self._known = ~empty.all(0)
        if not self._known.any():
            raise ValueError("X must hold a value that isn't missing, got none.")
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
        seed = seed_from(self.random_state_) if self.sample_posterior else self._seed
        with Threads(self.n_jobs):
            found = self._filled(self._learned(rows), seed)
        if self.keep_empty_features:
            found = self._with_empty_columns(rows, found)
        if getattr(X, "dtype", None) == np.float32 and not is_frame(X):
            found = found.astype(np.float32)
        if self.indicator_ is None:
            return found
        return self._beside(found, self.indicator_.transform(_nan_where(empty)))

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the columns of the filled table, and of the indicators beside them."""
        check_is_fitted(self, "model_")
        names = _check_feature_names_in(self, input_features)
        kept = names if self.keep_empty_features else names[self._known]
        more = [] if self.indicator_ is None else self.indicator_.get_feature_names_out(names)
        return np.concatenate([kept, more]).astype(object)

    # -- rows

    def _blanked(self, X: Any, reset: bool = True) -> tuple[Any, np.ndarray]:
        """(rows, NaN where nothing is known; where that is)."""
        import pandas as pd

        nan = bool(pd.isna(self.missing_values))
        rows = self._rows(_framed(X), reset=reset, finite="allow-nan" if nan else True)
        if is_frame(rows):
            if not nan:
                rows = rows.mask(rows.eq(self.missing_values).fillna(False).to_numpy(dtype=bool))
            return rows, rows.isna().to_numpy()
        if isinstance(rows, SparseRows):
            if self.missing_values == 0:
                raise ValueError("X must be dense where missing_values is 0. Provide a dense array.")
            rows = rows.dense(slice(None))  # as what is filled is
        empty = np.isnan(rows) if nan else rows == self.missing_values
        return np.where(empty, np.nan, rows), empty

    def _learned(self, rows: Any) -> Any:
        """The columns that `fit` found something in."""
        return rows.loc[:, self._known] if is_frame(rows) else rows[:, self._known]

    def _filled(self, rows: Any, seed: int) -> Any:
        typed, draws = isinstance(self.columns_, TypedColumns), 1 if self.sample_posterior else None
        found = impute(
            self.model_, rows if typed else self._tensor(self._states(rows)), draws=draws, seed=seed
        )
        found = found if draws is None else found[0]
        return found if typed else np.where(np.isnan(rows), self.columns_.decode(found.cpu().numpy()), rows)

    def _with_empty_columns(self, rows: Any, found: Any) -> Any:
        if is_frame(rows):
            return found.reindex(columns=rows.columns, fill_value=0)
        whole = np.zeros(rows.shape)
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


def _framed(X: Any) -> Any:
    """An array with words in it as a data frame, all else as it is."""
    import pandas as pd

    words = isinstance(X, np.ndarray) and X.ndim == 2 and X.dtype.kind in "OUS"
    words = words and any(isinstance(x, str) for x in X.flat)
    return pd.DataFrame(X, columns=[f"x{k}" for k in range(X.shape[1])]).infer_objects() if words else X


def _nan_where(empty: np.ndarray) -> np.ndarray:
    return np.where(empty, np.nan, 0.0)
