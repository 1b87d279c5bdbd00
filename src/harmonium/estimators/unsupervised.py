"""Estimators without a target: the density of rows, features of rows, rows that don't belong."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real
from typing import Any

import numpy as np
import torch
from sklearn.base import (
    ClassNamePrefixFeaturesOutMixin,
    DensityMixin,
    OutlierMixin,
    TransformerMixin,
    _fit_context,
)
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from harmonium.answers.imputation import completions
from harmonium.estimators.base import RBMEstimator, in_precision_of
from harmonium.estimators.stored import Threads
from harmonium.estimators.streams import seed_from
from harmonium.likelihood import Estimate, RowEstimates, log_partition, log_probabilities
from harmonium.models.sparse import SparseRows
from harmonium.models.table import pieces
from harmonium.recipes.model_choice import first_number
from harmonium.recipes.rules import RollBack
from harmonium.sampling import sample

FEATURE_CHAINS, FEWEST_FOR_FEATURES = 128, 100  # of updates the latter: see docs/estimators.md


class _Density(RBMEstimator):
    """Log P of what is known of rows: the density of real columns, times the probability of the others given
    them. It is -inf where a column holds what it can't, such as a word that no row learned from had.
    """

    log_partition_: Estimate | None
    log_likelihood_: Estimate

    def _measure(self, X: Any) -> None:
        """log Z, once, and with it log P of the rows learned from."""
        self.log_partition_ = self._log_partition()
        self.log_likelihood_ = self._log_probabilities(self._states(X)).mean()

    def _log_partition(self) -> Estimate:
        with Threads(self.n_jobs):
            return log_partition(self.model_, seed=self._seed)

    def _log_probabilities(self, states: np.ndarray | SparseRows) -> RowEstimates:
        if self.log_partition_ is None:
            self.log_partition_ = self._log_partition()
        with Threads(self.n_jobs):
            found = log_probabilities(self.model_, states, log_partition=self.log_partition_)
        more = [self.columns_.log_density(piece.numpy()) for _, piece in pieces(states)]
        return found.plus(torch.from_numpy(np.concatenate(more)))

    def _drawn(self, n: int, seed: int) -> np.ndarray:
        with Threads(self.n_jobs):
            return sample(self.model_, n, seed=seed).cpu().numpy()

    def _score_samples(self, X: Any) -> np.ndarray:
        check_is_fitted(self, "model_")
        rows = self._rows(X, reset=False)
        possible = self.columns_.possible(rows)
        found = np.full(len(possible), -np.inf)
        if possible.any():
            states = self._states(rows[possible])
            found[possible] = self._log_probabilities(states).value.cpu().numpy()
        return found


class RBMDensity(DensityMixin, _Density):
    """The density of rows of numbers, normalised, by a restricted Boltzmann machine.

    Parameters are those of `RBMEstimator`.

    Attributes:
        log_likelihood_: mean log P of the rows learned from, nats, an `hm.Estimate` with a 95 % interval; not
            there after `partial_fit` alone.
        log_partition_: log Z of the machine over its standardised columns, an `hm.Estimate`; None until it is
            needed after `partial_fit`.

    >>> import numpy as np
    >>> rows = np.random.default_rng(0).normal(size=(40, 2))
    >>> RBMDensity(n_hidden=4, steps=50, random_state=0).fit(rows).score_samples(rows).shape
    (40,)
    """

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> RBMDensity:
        """Learn from the rows of X, (rows, columns)."""
        rows = self._rows(X)
        self._fit(rows, sample_weight)
        self._measure(rows)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> RBMDensity:
        """Go on with the rows of X; what the columns are is told by the first call."""
        rows = self._rows(X, reset=not hasattr(self, "model_"))
        self._partial_fit(rows, sample_weight)
        self.log_partition_ = None
        return self

    def score_samples(self, X: Any) -> np.ndarray:
        """Log P of every row, (rows,), nats, normalised."""
        return self._score_samples(X)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Mean log P of the rows, nats, by their weights where given."""
        found = self.score_samples(X)
        weights = self._weights(sample_weight, found)
        counted = slice(None) if weights is None else weights > 0
        return float(np.average(found[counted], weights=None if weights is None else weights[counted]))

    def sample(self, n_samples: int = 1, random_state: Any = None) -> Any:
        """Rows drawn from the machine, (n_samples, columns), a data frame where one was learned from that
        isn't all numbers.
        """
        check_is_fitted(self, "model_")
        return self.columns_.decode(self._drawn(n_samples, seed_from(random_state)))


class RBMTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, RBMEstimator):
    """Features of rows of numbers: the mean of every hidden unit of a machine given the row.

    Parameters are those of `RBMEstimator`, with other defaults. The likelihood isn't what features are for:
    by default there are about two hidden units a column, without trials, and an update a row for up to some
    thousand rows, with fewer chains. Features of float32 rows are float32.

    >>> import numpy as np
    >>> rows = np.random.default_rng(0).normal(size=(40, 2))
    >>> RBMTransformer(n_hidden=4, steps=50).fit_transform(rows).shape
    (40, 4)
    """

    def _recipe(self) -> dict[str, Any]:
        return {"negatives": "pcd", "chains": FEATURE_CHAINS, "gibbs_steps": 1, "rules": (RollBack(),)}

    def _updates(self) -> tuple[int, int]:
        return 1, FEWEST_FOR_FEATURES

    def _judged_by_likelihood(self) -> bool:
        return False

    def _first_number(self, width: int) -> int:
        return first_number(2 * width)

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> RBMTransformer:
        """Learn from the rows of X, (rows, columns)."""
        self._fit(self._rows(X), sample_weight)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> RBMTransformer:
        """Go on with the rows of X; what the columns are is told by the first call."""
        self._partial_fit(self._rows(X, reset=not hasattr(self, "model_")), sample_weight)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """P(h = 1 | what is known of v) of every row and hidden unit, (rows, n_hidden_): where cells are
        empty the mean of P(h = 1 | v) over their values.
        """
        return in_precision_of(X, self._over(self._seen(X), self._features))

    def _features(self, states: torch.Tensor) -> torch.Tensor:
        model = self.model_
        gaps = torch.isnan(states).any(1).nonzero().flatten()
        found = model.hidden_given_visible(states)
        for rows, drawn in completions(model, states.__getitem__, gaps, self._seed):
            each = model.hidden_given_visible(drawn.states.flatten(0, 1))
            weighted = each.unflatten(0, drawn.weights.shape) * drawn.weights[..., None]
            found[rows] = weighted.sum(0)
        return found

    @property
    def _n_features_out(self) -> int:
        return self.n_hidden_

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _unless(novelty: bool, method: str) -> Callable[[RBMOutlierDetector], bool]:
    """Whether a method is there: not where the user has said what it isn't for."""

    def there(estimator: RBMOutlierDetector) -> bool:
        if estimator.novelty is not None and bool(estimator.novelty) is novelty:
            why = (
                "for rows other than those learned from: use predict"
                if novelty
                else "for the rows learned from alone: use fit_predict, or negative_outlier_factor_"
            )
            raise AttributeError(f"{method} is not available when novelty={novelty}, {why}.")
        return True

    return there


class RBMOutlierDetector(OutlierMixin, _Density):
    """Rows that don't belong: those of the least log P.

    Args:
        n_hidden, steps, minutes, random_state, device, dtype, verbose, n_jobs: as of `RBMEstimator`.
        contamination: share of the rows learned from that count as outliers, above 0 and at most 0.5; "auto"
            for rows less probable than 99 % of those that the machine itself draws.
        novelty: None for all methods, as in scikit-learn's `IsolationForest`. As in its `LocalOutlierFactor`,
            True leaves out `fit_predict`, and False leaves only that.

    Attributes:
        offset_: log P below which a row is an outlier, nats.
        negative_outlier_factor_: log P of the rows learned from, nats, (rows,), by the name that such scores
            have in `LocalOutlierFactor`.

    >>> import numpy as np
    >>> rows = np.random.default_rng(0).normal(size=(40, 2))
    >>> RBMOutlierDetector(n_hidden=4, steps=50, random_state=0).fit(rows).predict([[9.0, -9.0]])
    array([-1])
    """

    _parameter_constraints: dict = {
        **RBMEstimator._parameter_constraints,
        "contamination": [StrOptions({"auto"}), Interval(Real, 0, 0.5, closed="right")],
        "novelty": ["boolean", None],
    }

    def __init__(  # noqa: PLR0913  # the parameters of an estimator are its arguments
        self,
        n_hidden: int | None = None,
        *,
        contamination: float | str = 0.1,
        novelty: bool | None = None,
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
        self.contamination = contamination
        self.novelty = novelty

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> RBMOutlierDetector:
        """Learn from the rows of X, (rows, columns)."""
        self._learn_from(self._rows(X), sample_weight)
        return self

    @available_if(_unless(True, "fit_predict"))
    @_fit_context(prefer_skip_nested_validation=True)
    def fit_predict(self, X: Any, y: Any = None, **params: Any) -> np.ndarray:
        """1 for rows of X that belong and -1 for outliers among them, (rows,)."""
        self._learn_from(self._rows(X), params.get("sample_weight"))
        return self._signs(self.negative_outlier_factor_ - self.offset_)

    def _learn_from(self, rows: Any, sample_weight: Any) -> None:
        self._fit(rows, sample_weight)
        self._measure(rows)
        scores = self._log_probabilities(self._states(rows)).value.cpu().numpy()
        if self.contamination == "auto":
            own = self._log_probabilities(self._drawn(1000, self._seed)).value.cpu().numpy()
            self.offset_ = float(np.percentile(own, 1.0))
        else:
            self.offset_ = float(np.percentile(scores, 100.0 * float(self.contamination)))
        self.negative_outlier_factor_ = scores

    @staticmethod
    def _signs(decisions: np.ndarray) -> np.ndarray:
        return np.where(decisions < 0, -1, 1)

    @available_if(_unless(False, "score_samples"))
    def score_samples(self, X: Any) -> np.ndarray:
        """Log P of every row, (rows,), nats: the lower, the stranger."""
        return self._score_samples(X)

    @available_if(_unless(False, "decision_function"))
    def decision_function(self, X: Any) -> np.ndarray:
        """Log P above the offset, (rows,): negative for outliers."""
        return self._score_samples(X) - self.offset_

    @available_if(_unless(False, "predict"))
    def predict(self, X: Any) -> np.ndarray:
        """1 for rows that belong and -1 for outliers, (rows,)."""
        return self._signs(self._score_samples(X) - self.offset_)
