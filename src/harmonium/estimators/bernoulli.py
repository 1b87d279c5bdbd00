"""`BernoulliRBM`: scikit-learn's estimator over the learner of this library."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin, _fit_context
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from harmonium import checks
from harmonium.estimators.stored import Stored, Threads
from harmonium.estimators.streams import RandomStateChains, Slices, seed_from
from harmonium.learning import (
    ALGORITHMS,
    Centring,
    GradientDescent,
    Learner,
    NaturalGradient,
    NegativePhase,
    algorithm,
)
from harmonium.models import RBM
from harmonium.models.table import as_numbers, pieces
from harmonium.store.interchange import from_sklearn

GRADIENTS: dict[str, Callable[[], list[Any]]] = {
    "plain": list,
    "centred": lambda: [Centring()],
    "natural": lambda: [NaturalGradient()],
}


class BernoulliRBM(ClassNamePrefixFeaturesOutMixin, TransformerMixin, Stored, BaseEstimator):
    """Drop-in for `sklearn.neural_network.BernoulliRBM`: 0/1 units on both sides, values from 0 to 1 allowed.

    By default (`algorithm="sml"`, `gradient="plain"`) the draws are those of scikit-learn from the same
    `random_state`, and so are the numbers to rounding, as long as `batch_size` divides the rows; a shorter
    last batch counts the mean of the chains here, not their sum over fewer rows. Other ways to learn are one
    parameter away, such as `algorithm="pt", gradient="natural"`.

    Args:
        n_components: hidden units.
        learning_rate: step size.
        batch_size: rows of a batch, and number of persistent chains.
        n_iter: passes over the rows.
        verbose: whether each pass prints a line.
        random_state: seed, or `numpy.random.RandomState`.
        algorithm: "sml" for scikit-learn's stochastic maximum likelihood, or a name of
            `harmonium.learning.ALGORITHMS` ("cd", "pcd", "fpcd", "pt", …).
        gradient: "plain", "centred", or "natural".
        gibbs_steps: between two updates; by default what suits the algorithm, 1 for "sml".
        device: where the machine learns and is evaluated.
        n_jobs: threads, 1 by default; results depend on it by rounding, and on nothing else around.

    Attributes:
        components_: couplings, (n_components, n_features).
        intercept_hidden_, intercept_visible_: biases.
        h_samples_: hidden states of the chains, (batch_size, n_components); of zeros where the algorithm has
            no chains.

    >>> import numpy as np
    >>> X = np.array([[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 1]])
    >>> BernoulliRBM(n_components=2, random_state=0).fit(X).transform(X).shape
    (4, 2)
    """

    _parameter_constraints: dict = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "n_iter": [Interval(Integral, 0, None, closed="left")],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
        "algorithm": [StrOptions({"sml", *ALGORITHMS})],
        "gradient": [StrOptions(set(GRADIENTS))],
        "gibbs_steps": [Interval(Integral, 1, None, closed="left"), None],
        "device": [str, torch.device],
        "n_jobs": [Integral, None],
    }

    def __init__(  # noqa: PLR0913  # the parameters of an estimator are its arguments
        self,
        n_components: int = 256,
        *,
        learning_rate: float = 0.1,
        batch_size: int = 10,
        n_iter: int = 10,
        verbose: int = 0,
        random_state: Any = None,
        algorithm: str = "sml",
        gradient: str = "plain",
        gibbs_steps: int | None = None,
        device: Any = "cpu",
        n_jobs: int | None = None,
    ) -> None:
        self.n_components = n_components
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.n_iter = n_iter
        self.verbose = verbose
        self.random_state = random_state
        self.algorithm = algorithm
        self.gradient = gradient
        self.gibbs_steps = gibbs_steps
        self.device = device
        self.n_jobs = n_jobs

    # -- learning

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> BernoulliRBM:
        """Learn from the rows of X, dense or sparse, anew."""
        X = validate_data(self, X, accept_sparse="csr", dtype=(np.float64, np.float32))
        rng = check_random_state(self.random_state)
        self.__dict__.pop("_learned", None)
        self._begin(X.shape[1], X.dtype, rng)
        learner = self._learner = self._new_learner(rng)
        learner.batches = Slices(X, self.batch_size)
        with Threads(self.n_jobs):
            for iteration in range(1, self.n_iter + 1):
                begun = time.time()
                self._update(learner, learner.batches.per_epoch)
                if self.verbose:
                    self._report(iteration, X, time.time() - begun)
        learner.batches = None  # type: ignore[assignment]  # the rows needn't be kept
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any = None) -> BernoulliRBM:
        """Make one update by the rows of X, from the same chains and with the same optimiser."""
        first = not hasattr(self, "components_")
        X = validate_data(self, X, accept_sparse="csr", dtype=np.float64, reset=first)
        if not hasattr(self, "random_state_"):
            self.random_state_ = check_random_state(self.random_state)
        if first:
            self._begin(X.shape[1], X.dtype, self.random_state_)
        if not hasattr(self, "_learner"):
            self._learner = self._new_learner(self.random_state_)
        self._learner.batches = Slices(X, X.shape[0])
        with Threads(self.n_jobs):
            self._update(self._learner, 1)
        return self

    def _begin(self, width: int, dtype: Any, rng: Any) -> None:
        shape = self.n_components, width
        self.components_ = np.asarray(rng.normal(0, 0.01, shape), order="F", dtype=dtype)
        self.intercept_hidden_ = np.zeros(self.n_components, dtype)
        self.intercept_visible_ = np.zeros(width, dtype)
        self.h_samples_ = np.zeros((self.batch_size, self.n_components), dtype)
        self._n_features_out = self.n_components

    def _new_learner(self, rng: Any) -> Learner:
        model = from_sklearn(self).to(checks.device("device", self.device))
        learner = Learner(
            model,
            Slices(np.zeros((1, model.visible.width)), 1),
            self._negatives(model, rng),
            GradientDescent(model.parameters(), self.learning_rate),
            GRADIENTS[self.gradient](),
        )
        learned = self.__dict__.pop("_learned", None)  # of a pickle
        if learned is not None:
            learner.load_state_dict({name: torch.from_numpy(x) for name, x in learned.items()})
        return learner

    def _negatives(self, model: RBM, rng: Any) -> NegativePhase:
        if self.algorithm != "sml":
            return algorithm(self.algorithm, self.batch_size, self.gibbs_steps, seed_from(rng))
        return RandomStateChains(model, self.batch_size, self.gibbs_steps or 1, rng)

    def _update(self, learner: Learner, steps: int) -> None:
        for step in range(steps):
            learner.update(step)
        learner.made += steps
        self._show(learner)

    def _show(self, learner: Learner) -> None:
        """The parameters and chains of the learner as scikit-learn names them."""
        model, chains = learner.model, learner.negatives.chains
        assert isinstance(model, RBM)
        for name, x in (("components_", model.weight.T), *self._biases(model)):
            setattr(self, name, np.asarray(x.detach().cpu().numpy()))
        if chains is not None:
            self.h_samples_ = chains.state[1].cpu().numpy()

    @staticmethod
    def _biases(model: RBM) -> tuple[tuple[str, torch.Tensor], ...]:
        return ("intercept_hidden_", model.hidden.bias), ("intercept_visible_", model.visible.bias)

    def _report(self, iteration: int, X: Any, seconds: float) -> None:
        print(
            f"[{type(self).__name__}] Iteration {iteration}, pseudo-likelihood ="
            f" {self.score_samples(X).mean():.2f}, time = {seconds:.2f}s"
        )

    # -- what is learned

    def transform(self, X: Any) -> np.ndarray:
        """P(h = 1 | v) of every row, (rows, n_components)."""
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse="csr", reset=False, dtype=(np.float64, np.float32))
        return self._mean_hiddens(X)

    def score_samples(self, X: Any) -> np.ndarray:
        """The pseudo-likelihood of every row from one flipped value each, (rows,), nats: a noisy proxy of
        log P, scikit-learn's. `harmonium.estimators.RBMDensity` has log P itself.
        """
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse="csr", reset=False)
        columns = check_random_state(self.random_state).randint(0, X.shape[1], X.shape[0])
        model = self._machine()
        with torch.no_grad(), Threads(self.n_jobs):
            gain = [self._gain(model, v, columns[numbers]) for numbers, v in self._pieces(X)]
        return X.shape[1] * torch.nn.functional.logsigmoid(torch.cat(gain).cpu()).numpy()

    @staticmethod
    def _gain(model: RBM, v: torch.Tensor, columns: np.ndarray) -> torch.Tensor:
        """By how much the free energy grows where each row's value in this column is flipped, (rows,)."""
        flipped, rows = v.clone(), torch.arange(len(v))
        flipped[rows, columns] = 1 - flipped[rows, columns]
        return model.free_energy(flipped) - model.free_energy(v)

    def gibbs(self, v: Any) -> np.ndarray:
        """Visible rows one step of Gibbs sampling later, boolean (rows, n_features)."""
        check_is_fitted(self)
        if not hasattr(self, "random_state_"):
            self.random_state_ = check_random_state(self.random_state)
        h = self._sample_hiddens(v, self.random_state_)
        return self._sample_visibles(h, self.random_state_)

    def _machine(self) -> RBM:
        return from_sklearn(self).to(checks.device("device", self.device))

    def _pieces(self, v: Any) -> Iterator[tuple[np.ndarray, torch.Tensor]]:
        """(numbers of rows, these rows as states), sparse rows made dense some at a time."""
        like = torch.from_numpy(self.intercept_visible_)
        for numbers, rows in pieces(as_numbers(v, "X")):
            yield numbers, rows.to(like)

    def _mean_hiddens(self, v: Any) -> np.ndarray:
        model, rows = self._machine(), v if hasattr(v, "toarray") else np.atleast_2d(v)
        with torch.no_grad(), Threads(self.n_jobs):
            parts = [model.hidden_given_visible(x) for _, x in self._pieces(rows)]
            found = torch.cat(parts).cpu().numpy()
        return found[0] if np.ndim(v) == 1 else found

    def _sample_hiddens(self, v: Any, rng: Any) -> np.ndarray:
        p = self._mean_hiddens(v)
        return rng.uniform(size=p.shape) < p

    def _sample_visibles(self, h: np.ndarray, rng: Any) -> np.ndarray:
        with torch.no_grad():
            p = self._machine().visible_given_hidden(torch.from_numpy(h)).cpu().numpy()
        return rng.uniform(size=p.shape) < p

    # -- in files

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        learner = state.pop("_learner", None)
        if learner is not None:
            state["_learned"] = {name: x.cpu().numpy() for name, x in learner.state_dict().items()}
        return state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
