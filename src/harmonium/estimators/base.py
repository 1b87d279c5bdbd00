"""What the estimators have in common: from a table to a machine by `hm.fit`."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import numpy as np
import scipy.sparse
import torch
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import (
    _check_feature_names,
    _check_n_features,
    _check_sample_weight,
    check_is_fitted,
    validate_data,
)
from torch import Tensor

from harmonium import checks
from harmonium.columns.frames import as_pandas, is_frame
from harmonium.estimators.columns import TypedColumns, columns_of, has_words
from harmonium.estimators.stored import Stored, Threads
from harmonium.estimators.streams import seed_from
from harmonium.models import RBM
from harmonium.models.sparse import SparseRows
from harmonium.models.table import pieces
from harmonium.recipes import History, fit
from harmonium.recipes.model_choice import first_number, hidden_units
from harmonium.recipes.settings import default_steps
from harmonium.store import tensors_from_bytes, tensors_to_bytes
from harmonium.units import Bernoulli, Units

TRIED_FROM = 1000  # rows from which on trials find the number of hidden units; fewer hardly tell
STEPS_PER_ROW, FEWEST_STEPS = 5, 40  # updates on small tables, which are passed through often enough
BATCH = 256  # rows an update of a stream


class RBMEstimator(Stored, BaseEstimator):
    """A machine learned from a table by the recipe of `hm.fit`.

    Cells may be empty (NaN): what isn't known of a row is summed out, in learning and after. A data frame
    with columns that aren't numbers is read by an `hm.Schema`.

    Args:
        n_hidden: hidden units; by default found by short trials on held-out rows, for 1000 rows or more.
        steps: updates; by default those of `hm.fit`, fewer for small tables.
        minutes: time to spend instead.
        random_state: seed, or `numpy.random.RandomState`.
        device: where the machine learns and is evaluated, such as "cuda".
        dtype: "float32" or "float64", for learning; what has been learned is evaluated in float64.
        verbose: whether a progress bar is shown.
        n_jobs: threads, 1 by default; results depend on it by rounding, and on nothing else around.

    Attributes:
        model_: the machine, an `hm.RBM`.
        columns_: how the columns became its visible units.
        n_hidden_: its hidden units.
        n_iter_: updates made by the last call.
        history_: measurements along the way, one dictionary each.
        warnings_: what a careful user should know.
    """

    _parameter_constraints: dict = {
        "n_hidden": [Interval(Integral, 1, None, closed="left"), None],
        "steps": [Interval(Integral, 1, None, closed="left"), None],
        "minutes": [Interval(Real, 0, None, closed="neither"), None],
        "random_state": ["random_state"],
        "device": [str, torch.device],
        "dtype": [StrOptions({"float32", "float64"})],
        "verbose": ["verbose"],
        "n_jobs": [Integral, None],
    }

    def __init__(  # noqa: PLR0913  # the parameters of an estimator are its arguments
        self,
        n_hidden: int | None = None,
        *,
        steps: int | None = None,
        minutes: float | None = None,
        random_state: Any = None,
        device: Any = "cpu",
        dtype: str = "float32",
        verbose: int = 0,
        n_jobs: int | None = None,
    ) -> None:
        self.n_hidden = n_hidden
        self.steps = steps
        self.minutes = minutes
        self.random_state = random_state
        self.device = device
        self.dtype = dtype
        self.verbose = verbose
        self.n_jobs = n_jobs

    # -- learning

    def _fit(self, X: Any, sample_weight: Any, labels: np.ndarray | None = None) -> None:
        """Learn from rows, checked, anew; labels are states of the units to their right, (rows, columns)."""
        weights = self._begin(X, sample_weight)
        rows = self._joined(X, labels)
        machine, steps = self._machine(), self.steps
        if steps is None and self.minutes is None:
            each, fewest = self._updates()
            few = max(fewest, each * len(rows))
            steps = few if few < max(default_steps(machine, len(rows)), 3_000) else None
        tried = self.n_hidden is None and len(rows) >= TRIED_FROM and self._judged_by_likelihood()
        asked = {"steps": steps, "minutes": self.minutes} | self._recipe()
        self._learn(self._units() if tried else machine, rows, weights, asked)

    def _partial_fit(self, X: Any, sample_weight: Any, labels: np.ndarray | None = None) -> None:
        """Go on with rows, checked, from the same chains and with what is known of the curvature."""
        if hasattr(self, "model_"):
            weights = self._weights(sample_weight, X)
            model = copy.deepcopy(self.model_).to(getattr(torch, self.dtype))  # ours, should these rows fail
        else:
            weights = self._begin(X, sample_weight)
            model = self._machine()
        asked = {"rules": (), "steps": self.steps or -(-len(X) // BATCH), "state": self._state or None}
        self._learn(model, self._joined(X, labels), weights, self._recipe() | asked)

    def _begin(self, X: Any, sample_weight: Any) -> np.ndarray | None:
        weights = self._weights(sample_weight, X)
        self.columns_ = columns_of(X, weights, getattr(self, "feature_names_in_", None))
        self._seed = seed_from(self.random_state)
        self._state: dict[str, Tensor] = {}
        return weights

    # what an estimator that is for something else than the likelihood of rows has otherwise

    def _recipe(self) -> dict[str, Any]:
        """What to ask of `hm.fit` beside its own recipe."""
        return {}

    def _updates(self) -> tuple[int, int]:
        """Updates for each row of a small table, and the fewest."""
        return STEPS_PER_ROW, FEWEST_STEPS

    def _judged_by_likelihood(self) -> bool:
        """Whether the likelihood of rows held out tells how many hidden units are good."""
        return True

    def _first_number(self, width: int) -> int:
        """Hidden units for so many columns of states, where no trials are made."""
        return first_number(width)

    def _learn(
        self, model: RBM | Units, rows: np.ndarray | SparseRows, weights: Any, asked: dict[str, Any]
    ) -> None:
        with Threads(self.n_jobs):
            history = fit(
                model, rows, sample_weight=weights, seed=self._seed, progress=bool(self.verbose), **asked
            )
        self._keep(history)

    def _keep(self, history: History) -> None:
        assert isinstance(history.model, RBM)
        self.model_ = history.model.double()
        self.n_hidden_ = self.model_.hidden.width
        constant = self.columns_.schema.warnings if isinstance(self.columns_, TypedColumns) else ()
        self.history_, self.warnings_ = history.records, [*constant, *history.warnings]
        self.n_iter_ = history.records[-1]["step"]
        self._state = history.state
        for sentence in history.warnings:
            if sentence in history.notes:  # a rule had to help
                warnings.warn(sentence, ConvergenceWarning, stacklevel=4)

    def _units(self) -> Units:
        return self.columns_.units().to(
            device=checks.device("device", self.device), dtype=getattr(torch, self.dtype)
        )

    def _machine(self) -> RBM:
        units = self._units()
        number = self.n_hidden or self._first_number(units.width)
        of_rows = self.n_hidden is None and self._judged_by_likelihood()
        hidden = hidden_units(units, number) if of_rows else Bernoulli(number)
        return RBM(units, hidden, seed=self._seed, dtype=units.bias.dtype, device=self.device)

    # -- rows

    def _rows(self, X: Any, reset: bool = True, finite: bool | str = "allow-nan") -> Any:
        """X as scikit-learn takes it, an array of float64 or sparse rows, NaN where a cell is empty; or a
        data frame where its columns aren't all numbers.
        """
        if has_words(X) if reset else isinstance(self.columns_, TypedColumns):
            X = as_pandas(X) if is_frame(X) else X
            _check_feature_names(self, X, reset=reset)
            _check_n_features(self, X, reset=reset)
            return X
        asked = {"accept_sparse": "csr", "dtype": np.float64, "ensure_all_finite": finite}
        X = validate_data(self, X, reset=reset, **asked)
        return SparseRows(scipy.sparse.csr_array(X)) if scipy.sparse.issparse(X) else X

    def _seen(self, X: Any) -> np.ndarray | SparseRows:
        """Rows to look at, as states of the machine that has been fitted."""
        check_is_fitted(self, "model_")
        return self._states(self._rows(X, reset=False))

    def _states(self, X: Any) -> Any:
        return self.columns_.encode(X)

    def _joined(self, X: Any, labels: np.ndarray | None) -> np.ndarray | SparseRows:
        states = self._states(X)
        if labels is None:
            return states
        return states.beside(labels) if isinstance(states, SparseRows) else np.hstack([states, labels])

    def _over(self, states: np.ndarray | SparseRows, found: Callable[[Tensor], Tensor]) -> np.ndarray:
        """What is found of states, some rows at a time."""
        with torch.no_grad(), Threads(self.n_jobs):
            return torch.cat([found(self._tensor(piece)) for _, piece in pieces(states)]).cpu().numpy()

    def _tensor(self, states: np.ndarray | Tensor) -> Tensor:
        return torch.as_tensor(states).to(self.model_.device, torch.float64)

    @staticmethod
    def _weights(sample_weight: Any, X: Any) -> np.ndarray | None:
        if sample_weight is None:
            return None
        return _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)

    # -- in files

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        if "_state" in state:
            state["_state"] = tensors_to_bytes(state["_state"], {})
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "_state" in state:
            state = {**state, "_state": tensors_from_bytes(state["_state"])[0]}
        super().__setstate__(state)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = tags.input_tags.allow_nan = True
        tags.non_deterministic = self.random_state is None
        return tags


def in_precision_of(X: Any, found: Any) -> Any:
    """What was found of rows, an array, as float32 where scikit-learn takes them for such: an array of
    float32, or a data frame of pandas whose columns go into one.
    """
    dtypes = list(X.dtypes) if hasattr(X, "dtypes") else [getattr(X, "dtype", None)]
    numbers = all(isinstance(dtype, np.dtype) and dtype.kind in "biuf" for dtype in dtypes)
    if not isinstance(found, np.ndarray) or not numbers or np.result_type(*dtypes) != np.float32:
        return found
    return found.astype(np.float32)
