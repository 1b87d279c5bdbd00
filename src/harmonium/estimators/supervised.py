"""Estimators with a target: one machine of features and target, asked for the target given the features."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
import torch
from sklearn.base import ClassifierMixin, RegressorMixin, _fit_context
from sklearn.utils import assert_all_finite
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_y,
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
)
from torch import Tensor

from harmonium import checks
from harmonium.answers.imputation import completions
from harmonium.estimators.base import RBMEstimator
from harmonium.estimators.columns import location_and_scale
from harmonium.learning import completion_log_probabilities
from harmonium.learning.discriminative import completions as with_values
from harmonium.likelihood.clamped import PAIRS, exact_sums
from harmonium.models import Objective
from harmonium.units import Categorical, Gaussian, Units

FEWEST_GIVEN = 1000  # updates where classes are learned given features: with fewer they stayed too uncertain
CELLS = 2**22  # of completed rows, looked at together
TAIL = 9.0  # deviations beyond the outermost means at which a density is over
FINE = 0.5  # deviations between points; sums over a normal are then exact to 1e-16


class _Supervised(RBMEstimator):
    """Features first, the target to their right."""

    @property
    def _label(self) -> slice:
        """Columns of the target."""
        return slice(self.columns_.width, None)

    def _label_units(self) -> Units:
        raise NotImplementedError

    def _units(self) -> Units:
        units = self.columns_.units(self._label_units())
        return units.to(device=checks.device("device", self.device), dtype=getattr(torch, self.dtype))

    def _log_conditional(self, X: Any, values: Tensor) -> np.ndarray:
        """log P(target = value | features) of every row and value, (rows, values)."""
        return self._over(self._seen(X), lambda states: self._of_states(states, values))

    def _of_states(self, states: Tensor, values: Tensor) -> Tensor:
        whole = torch.cat([states, states.new_full((len(states), values.shape[1]), torch.nan)], 1)
        found = states.new_empty(len(states), len(values))
        gaps = torch.isnan(states).any(1)
        for some, of_rows in ((~gaps, self._of_whole_rows), (gaps, self._of_rows_with_gaps)):
            for rows in some.nonzero().flatten().split(self._together(len(values))):
                if len(rows):
                    found[rows] = of_rows(whole[rows], values)
        return found

    def _together(self, number: int) -> int:
        """How many rows are looked at together, each with so many values or draws."""
        return max(1, CELLS // (number * self.model_.visible.width))

    def _of_whole_rows(self, v: Tensor, values: Tensor) -> Tensor:
        return completion_log_probabilities(self.model_, v, self._label, values)

    def _of_rows_with_gaps(self, v: Tensor, values: Tensor) -> Tensor:
        """The gaps are summed out where that is cheap; otherwise P is its mean over draws of them."""
        full = with_values(v, self._label, values)
        sums, _ = exact_sums(self.model_, full, ~torch.isnan(full), PAIRS)
        log_p = torch.log_softmax(sums.view(len(v), -1), 1)
        left = torch.isnan(log_p).any(1).nonzero().flatten()
        for rows, drawn in completions(self.model_, v[left].__getitem__, torch.arange(len(left)), self._seed):
            parts = drawn.states.flatten(0, 1).split(self._together(len(values)))
            each = torch.cat([self._of_whole_rows(part, values) for part in parts])
            weighted = each.unflatten(0, drawn.weights.shape) + drawn.weights.log()[..., None]
            log_p[left[rows]] = torch.logsumexp(weighted, 0)
        return log_p


class RBMClassifier(ClassifierMixin, _Supervised):
    """The class of a row, by the joint density of features and class: P(class | features) is exact, a sum
    over the classes in which Z cancels (Larochelle & Bengio 2008). Of features that aren't known it is also
    the sum where completions or hidden states are few, and otherwise a mean over draws of them.

    Args:
        n_hidden, steps, minutes, random_state, device, dtype, verbose, n_jobs: as of `RBMEstimator`.
        objective: "generative", log P(features, class); "discriminative", log P(class | features), by its
            exact gradient; "hybrid", both.
        generative_share: of the first in the hybrid one.

    Attributes:
        classes_: the labels.

    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(60, 2))
    >>> clf = RBMClassifier(n_hidden=4, steps=80, random_state=0).fit(X, np.where(X[:, 0] > 0, "yes", "no"))
    >>> clf.predict([[3.0, 0.0], [-3.0, 0.0]]).tolist()
    ['yes', 'no']
    """

    _parameter_constraints: dict = {
        **RBMEstimator._parameter_constraints,
        "objective": [StrOptions({"generative", "discriminative", "hybrid"})],
        "generative_share": [Interval(Real, 0, 1, closed="both")],
    }

    def __init__(  # noqa: PLR0913  # the parameters of an estimator are its arguments
        self,
        n_hidden: int | None = None,
        *,
        objective: str = "hybrid",
        generative_share: float = 0.01,
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
        self.objective = objective
        self.generative_share = generative_share

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> RBMClassifier:
        """Learn from the rows of X, (rows, columns), and their classes y, (rows,)."""
        rows, y = self._rows_and_classes(X, y)
        self.classes_ = np.unique(y)
        self._fit(rows, sample_weight, self._one_hot(y))
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> RBMClassifier:
        """Go on with these rows; the first call is told all `classes` there will be."""
        first = not hasattr(self, "model_")
        if first and classes is None:
            raise ValueError("classes must be given in the first call of partial_fit.")
        rows, y = self._rows_and_classes(X, y, reset=first)
        if first:
            self.classes_ = np.unique(classes)
        elif classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(
                f"classes must be those of the first call, {self.classes_.tolist()}, got others."
            )
        unknown = np.setdiff1d(y, self.classes_)
        if len(unknown):
            raise ValueError(f"y must hold classes of the first call, got {unknown.tolist()[0]!r} too.")
        self._partial_fit(rows, sample_weight, self._one_hot(y))
        return self

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """log P(class | features), (rows, classes), nats."""
        check_is_fitted(self, "model_")
        found = self._log_conditional(X, self._label_units().site_values())[:, : len(self.classes_)]
        return found - np.logaddexp.reduce(found, axis=1, keepdims=True)

    def predict_proba(self, X: Any) -> np.ndarray:
        """P(class | features), (rows, classes)."""
        return np.exp(self.predict_log_proba(X))

    def predict(self, X: Any) -> np.ndarray:
        """The most probable class of every row, (rows,)."""
        log_p = self.predict_log_proba(X)
        return self.classes_[log_p.argmax(1)]

    def _rows_and_classes(self, X: Any, y: Any, **asked: Any) -> tuple[Any, np.ndarray]:
        if y is None:
            raise ValueError(f"requires y to be passed, but the target y is None: {type(self).__name__}.")
        rows = self._rows(X, **asked)
        y = column_or_1d(y, warn=True)
        check_consistent_length(rows, y)
        _refuse_empty(y)
        assert_all_finite(y, input_name="y")
        check_classification_targets(y)
        return rows, y

    def _one_hot(self, y: np.ndarray) -> np.ndarray:
        return np.eye(self._label_units().width)[np.searchsorted(self.classes_, y)]

    def _label_units(self) -> Units:
        return Categorical(1, max(2, len(self.classes_)))

    def _recipe(self) -> dict[str, Any]:
        if self.objective == "generative":
            return {}
        share = self.generative_share if self.objective == "hybrid" else 0.0
        return {"objective": Objective(slice(0, self._label.start), share)}

    def _updates(self) -> tuple[int, int]:
        each, fewest = super()._updates()
        return each, fewest if self._judged_by_likelihood() else FEWEST_GIVEN

    def _judged_by_likelihood(self) -> bool:
        return self.objective == "generative"


def _refuse_empty(y: np.ndarray) -> None:
    """None and the like among labels, which can't be put in an order."""
    import pandas as pd

    empty = pd.isna(y) if y.dtype == object else np.zeros(0, bool)
    if empty.any():
        row = int(empty.argmax())
        raise ValueError(f"y must hold a class in every row, got {y[row]!r} in row {row}.")


class RBMRegressor(RegressorMixin, _Supervised):
    """A number from a row, by the joint density of features and target: the mean of the target given the
    features, an integral over one variable in which Z cancels.

    Parameters are those of `RBMEstimator`.

    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(60, 2))
    >>> RBMRegressor(n_hidden=4, steps=200, random_state=0).fit(X, X[:, 0]).predict(X).shape
    (60,)
    """

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> RBMRegressor:
        """Learn from the rows of X, (rows, columns), and their targets y, (rows,)."""
        rows, y = self._rows_and_targets(X, y)
        self._standard(y, self._weights(sample_weight, rows))
        self._fit(rows, sample_weight, self._standardised(y))
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> RBMRegressor:
        """Go on with these rows; location and scale of the target are told by the first call."""
        first = not hasattr(self, "model_")
        rows, y = self._rows_and_targets(X, y, reset=first)
        if first:
            self._standard(y, self._weights(sample_weight, rows))
            if self._scale == 0.0:
                raise ValueError(f"y must hold targets that differ in the first call, got {y[0]:g} alone.")
        self._partial_fit(rows, sample_weight, self._standardised(y))
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The mean of the target given the features, (rows,)."""
        check_is_fitted(self, "model_")
        grid = self._grid()
        shares = np.exp(self._log_conditional(X, grid))
        return (shares @ grid[:, 0].cpu().numpy()) * self._scale + self._location

    def _grid(self) -> Tensor:
        """Points that cover every density of the target, (points, 1): it is a mixture of normals of one
        width, whose means lie between those with all hidden units of one sign on.
        """
        units = self.model_.visible
        part = units.parts[-1]  # type: ignore[index]  # there is a feature beside the target
        precision = float(part.precision.detach())  # type: ignore[union-attr]
        weight, bias = self.model_.weight[-1].detach(), float(units.bias[-1].detach())
        width = precision**-0.5
        low = (bias + float(weight.clamp(max=0).sum())) / precision - TAIL * width
        high = (bias + float(weight.clamp(min=0).sum())) / precision + TAIL * width
        points = int((high - low) / (FINE * width)) + 2
        return torch.linspace(low, high, points, dtype=torch.float64, device=self.model_.device)[:, None]

    def _rows_and_targets(self, X: Any, y: Any, **asked: Any) -> tuple[Any, np.ndarray]:
        if y is None:
            raise ValueError(f"requires y to be passed, but the target y is None: {type(self).__name__}.")
        rows = self._rows(X, **asked)
        y = _check_y(column_or_1d(y, warn=True), y_numeric=True).astype(np.float64)
        check_consistent_length(rows, y)
        return rows, y

    def _standard(self, y: np.ndarray, weights: np.ndarray | None) -> None:
        """What is 0 and 1 to the machine: the mean of the targets, and their deviation."""
        shares = np.ones(len(y)) if weights is None else weights
        self._location, self._scale = location_and_scale(y, shares / shares.sum())

    def _standardised(self, y: np.ndarray) -> np.ndarray:
        if (
            self._scale == 0.0
        ):  # one number, which is all that there is to say: the features alone are learned
            return np.full((len(y), 1), np.nan)
        return ((y - self._location) / self._scale)[:, None]

    def _label_units(self) -> Units:
        return Gaussian(1)
