"""BernoulliRBM against scikit-learn's own tests and its own numbers."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import sklearn.neural_network
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from harmonium import likelihood
from harmonium.estimators import BernoulliRBM
from harmonium.learning import ALGORITHMS
from harmonium.store import from_sklearn, to_sklearn

X = load_digits().data[:400] / 16
THEIRS = Path(sklearn.neural_network.__file__).parent / "tests" / "test_rbm.py"
IMPORT = "from sklearn.neural_network import BernoulliRBM"

# Their tests become tests of this module, marks and parameters and all.
_source = THEIRS.read_text(encoding="utf-8")
assert IMPORT in _source
_source = _source.replace(IMPORT, "from harmonium.estimators import BernoulliRBM")
_source = _source.replace("@pytest.mark.thread_unsafe", "#")  # a mark that only their runner knows
_names: dict = {"__name__": "scikit_learn_test_rbm"}
exec(compile(_source, THEIRS, "exec"), _names)
_tests = {name: x for name, x in _names.items() if name.startswith("test_")}
assert len(_tests) >= 13 and _names["BernoulliRBM"] is BernoulliRBM
globals().update({name.replace("test_", "test_theirs_", 1): x for name, x in _tests.items()})


def as_they_declare(estimator):
    """The checks that scikit-learn expects its own BernoulliRBM to fail."""
    why = "score_samples flips values at random"
    return dict.fromkeys(("check_methods_subset_invariance", "check_methods_sample_order_invariance"), why)


@parametrize_with_checks([BernoulliRBM(n_iter=5)], expected_failed_checks=as_they_declare)
def test_it_keeps_the_contract_of_estimators(estimator, check):
    check(estimator)


@pytest.mark.parametrize("dtype, rtol", [(np.float64, 1e-9), (np.float32, 1e-3)])
def test_numbers_are_those_of_scikit_learn_from_the_same_random_state(dtype, rtol):
    settings = {"n_components": 16, "learning_rate": 0.1, "batch_size": 20, "n_iter": 3, "random_state": 5}
    rows = X.astype(dtype)
    theirs = sklearn.neural_network.BernoulliRBM(**settings).fit(rows)
    ours = BernoulliRBM(**settings).fit(rows)
    for name in ("components_", "intercept_hidden_", "intercept_visible_", "h_samples_"):
        assert getattr(ours, name).dtype == dtype
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=rtol, atol=rtol / 100)
    np.testing.assert_allclose(ours.transform(rows), theirs.transform(rows), rtol=rtol)
    np.testing.assert_allclose(ours.score_samples(rows), theirs.score_samples(rows), rtol=rtol)
    np.testing.assert_array_equal(ours.gibbs(rows), theirs.gibbs(rows))
    for _ in range(3):
        theirs.partial_fit(rows[:20])
        ours.partial_fit(rows[:20])
    assert ours.transform(rows).shape == (400, 16)


def test_partial_fit_is_that_of_scikit_learn():
    theirs = sklearn.neural_network.BernoulliRBM(8, batch_size=20, random_state=1)
    ours = BernoulliRBM(8, batch_size=20, random_state=1)
    for batch in np.split(X, 20):
        theirs.partial_fit(batch)
        ours.partial_fit(batch)
    np.testing.assert_allclose(ours.components_, theirs.components_, rtol=1e-9)


def test_a_pickled_estimator_goes_on_from_the_same_chains():
    for algorithm in ("sml", "pcd", "fpcd"):
        whole = BernoulliRBM(8, batch_size=40, random_state=1, algorithm=algorithm, gradient="natural")
        for batch in np.split(X, 10)[:5]:
            whole.partial_fit(batch)
        copy = pickle.loads(pickle.dumps(whole))
        for batch in np.split(X, 10)[5:]:
            whole.partial_fit(batch)
            copy.partial_fit(batch)
        np.testing.assert_array_equal(copy.components_, whole.components_)
        np.testing.assert_array_equal(copy.h_samples_, whole.h_samples_)


@pytest.mark.parametrize("algorithm", sorted(set(ALGORITHMS) - {"exact"}))
def test_every_algorithm_is_one_parameter_away(algorithm):
    rows = (X[:100, 18:30] > 0.5).astype(float)
    fresh = BernoulliRBM(4, n_iter=0, random_state=0).fit(rows)
    fitted = BernoulliRBM(4, n_iter=4, random_state=0, algorithm=algorithm).fit(rows)
    found = [likelihood.log_likelihood(from_sklearn(x), rows).value for x in (fresh, fitted)]
    assert found[1] > found[0] + 1.0


def test_the_exact_gradient_raises_the_likelihood_step_by_step():
    rows = (X[:100, 18:28] > 0.5).astype(float)

    def reached(updates):
        machine = BernoulliRBM(4, n_iter=updates, batch_size=100, random_state=0, algorithm="exact")
        return likelihood.log_likelihood(from_sklearn(machine.fit(rows)), rows).value

    found = [reached(updates) for updates in (1, 2, 4, 8, 16, 32)]
    assert found == sorted(found) and found[-1] > found[0] + 0.5


def test_from_and_to_scikit_learn():
    theirs = sklearn.neural_network.BernoulliRBM(8, n_iter=2, random_state=0).fit(X)
    model = from_sklearn(theirs)
    np.testing.assert_allclose(model.free_energy(X).detach(), theirs._free_energy(X), rtol=1e-9)
    again = to_sklearn(model)
    np.testing.assert_array_equal(again.components_, theirs.components_)
    np.testing.assert_array_equal(again.transform(X), theirs.transform(X))
    with pytest.raises(TypeError, match="fitted must be a fitted BernoulliRBM"):
        from_sklearn(sklearn.neural_network.BernoulliRBM())


def test_pipelines_searches_and_clones():
    y = load_digits().target[:400]
    pipe = make_pipeline(BernoulliRBM(n_iter=3, random_state=0), LogisticRegression(C=10.0, max_iter=500))
    found = [
        GridSearchCV(
            clone(pipe), {"bernoullirbm__n_components": [8, 32]}, cv=2, n_jobs=jobs, refit=False
        ).fit(X, y)
        for jobs in (1, 2)
    ]
    scores = [search.cv_results_["mean_test_score"] for search in found]
    np.testing.assert_array_equal(*scores)
    assert scores[0][1] > scores[0][0]


def test_set_output_gives_frames_with_names():
    frame = BernoulliRBM(3, n_iter=1).set_output(transform="pandas").fit_transform(X)
    assert list(frame.columns) == ["bernoullirbm0", "bernoullirbm1", "bernoullirbm2"]
