"""Estimators of densities, features, outliers, classes and numbers, against enumeration and scikit-learn."""

import json
import pickle

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import sklearn
import torch
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris
from sklearn.exceptions import DataConversionWarning, NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import get_scorer
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils.estimator_checks import check_regressors_train, parametrize_with_checks

import harmonium as hm
from harmonium.estimators import (
    RBMClassifier,
    RBMDensity,
    RBMImputer,
    RBMOutlierDetector,
    RBMRegressor,
    RBMTransformer,
)
from harmonium.estimators.columns import Columns
from harmonium.learning import (
    ConditionalCompletions,
    ExactNegatives,
    HybridNegatives,
    accumulate_phases,
    completion_log_probabilities,
    equally_weighted,
)
from harmonium.likelihood.rows import free_energies

ALL = (RBMDensity, RBMTransformer, RBMOutlierDetector, RBMClassifier, RBMRegressor)
QUICK = {"n_hidden": 3, "steps": 15, "random_state": 0}
RNG = np.random.default_rng(0)
X, y = load_iris(return_X_y=True)


def as_scikit_learn_declares(estimator):
    """What its own estimators that learn from chance draws are expected to fail, where it looks at them."""
    if isinstance(estimator, (RBMDensity, RBMImputer)):
        return {}  # it compares what rows are predicted or become
    why = "sample_weight is not equivalent to removing/repeating samples."
    return dict.fromkeys((f"check_sample_weight_equivalence_on_{x}_data" for x in ("dense", "sparse")), why)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks(
    [cls(n_hidden=2, steps=5) for cls in (*ALL, RBMImputer)],
    expected_failed_checks=as_scikit_learn_declares,
)
def test_the_contract_of_estimators(estimator, check):
    if check.func is check_regressors_train:  # the one that asks for good predictions
        estimator.set_params(n_hidden=3, steps=60)
    check(estimator)


# -- densities


def table(n=120, seed=0):
    """0/1, ±1, real, whole and constant columns side by side."""
    rng = np.random.default_rng(seed)
    z = rng.random(n) < 0.5
    real = 100.0 + 5.0 * rng.normal(size=n) + 20.0 * z
    return np.c_[
        z, np.where(rng.random(n) < 0.9, 2 * z - 1, 1 - 2 * z), real, rng.poisson(3 + 6 * z), 0 * z + 7.0
    ]


def test_a_density_is_normalised():
    rows = np.c_[table()[:, :2], table()[:, 4]]  # finitely many states
    fitted = RBMDensity(**QUICK).fit(rows)
    states = [[a, b, c] for a in (0, 1) for b in (-1, 1) for c in (7, 8)]
    assert fitted.columns_.kinds.tolist() == ["binary", "spin", "rare"]
    np.testing.assert_allclose(np.exp(fitted.score_samples(states)).sum(), 1.0, rtol=1e-9)


def test_a_density_of_real_columns_integrates_to_one():
    fitted = RBMDensity(**QUICK).fit(table()[:, 2:3])
    grid = np.linspace(0.0, 250.0, 20001)[:, None]
    total = np.exp(fitted.score_samples(grid)).sum() * float(grid[1, 0] - grid[0, 0])
    np.testing.assert_allclose(total, 1.0, rtol=1e-6)
    e = fitted.log_likelihood_
    np.testing.assert_allclose(fitted.score(table()[:, 2:3]), e.value, rtol=1e-9)
    assert e.low <= e.value <= e.high


def test_a_density_knows_more_than_one_normal():
    rows, other = table(400, 1)[:, 2:4], table(400, 2)[:, 2:4]
    fitted = RBMDensity(n_hidden=4, steps=300, random_state=0).fit(rows)
    assert fitted.score(other) > GaussianMixture(1).fit(rows).score(other)
    drawn = fitted.sample(4000, random_state=1)
    np.testing.assert_allclose(drawn.mean(0), rows.mean(0), atol=0.35 * rows.std(0).max())
    assert drawn.shape == (4000, 2) and (fitted.sample(5, 1) == fitted.sample(5, 1)).all()


def test_columns_come_back_as_they_were():
    rows = table()
    columns = Columns.of(rows)
    assert columns.kinds.tolist() == ["binary", "spin", "real", "real", "rare"]
    np.testing.assert_allclose(columns.decode(columns.encode(rows)), rows, rtol=1e-12)
    columns.units().check(torch.from_numpy(columns.encode(rows)))
    nearly = np.r_[np.zeros(500), 3.0, 5.0][:, None]
    assert Columns.of(nearly).kinds.tolist() == ["rare"]
    np.testing.assert_allclose(Columns.of(nearly).decode(np.array([[0.0], [1.0]])), [[0.0], [4.0]])


@pytest.mark.filterwarnings("ignore:Training diverged")  # rows 60 deviations apart, and few updates
def test_outliers_are_the_least_probable_rows():
    rows = np.r_[table(190)[:, 2:4], [[400.0 + k, 60.0] for k in range(10)]]
    for contamination in (0.05, 0.1):
        found = RBMOutlierDetector(contamination=contamination, **QUICK).fit(rows)
        assert (found.predict(rows) == -1).sum() == round(200 * contamination)
        np.testing.assert_array_equal(found.decision_function(rows) < 0, found.predict(rows) == -1)
        np.testing.assert_allclose(found.score_samples(rows) - found.offset_, found.decision_function(rows))
    auto = RBMOutlierDetector(contamination="auto", **QUICK).fit(table(190)[:, 2:4])
    assert auto.predict([[1000.0, 60.0]])[0] == -1 and (auto.predict(table(190, 3)[:, 2:4]) == 1).mean() > 0.9
    alone = RBMOutlierDetector(novelty=False, **QUICK)
    with pytest.raises(AttributeError, match="no attribute 'predict'"):
        alone.predict(rows)
    assert not hasattr(alone.fit(rows), "decision_function")
    others, both = (RBMOutlierDetector(novelty=novelty, **QUICK).fit(rows) for novelty in (True, None))
    assert not hasattr(others, "fit_predict") and hasattr(others, "predict") and hasattr(both, "fit_predict")
    np.testing.assert_array_equal(alone.fit_predict(rows), both.predict(rows))
    np.testing.assert_array_equal(alone.negative_outlier_factor_, both.score_samples(rows))


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("cls", [RBMDensity, RBMOutlierDetector])
def test_what_no_row_can_be_has_probability_zero(cls, sparse):
    rows = np.c_[table()[:, :2], table()[:, 0]]
    fitted = cls(**QUICK).fit(rows)
    others = np.array([[2.0, 1.0, 0.0], [1.0, -1.0, 1.0], [0.0, 0.5, 1.0], [np.nan, 1.0, 0.0]])
    found = fitted.score_samples(scipy.sparse.csr_array(others) if sparse else others)
    assert np.isneginf(found).tolist() == [True, False, True, False]
    np.testing.assert_array_equal(found[[1, 3]], fitted.score_samples(others[[1, 3]]))
    if cls is RBMOutlierDetector:
        assert fitted.predict(others)[[0, 2]].tolist() == [-1, -1]
    else:
        np.testing.assert_allclose(
            fitted.score(others, sample_weight=[0, 1, 0, 3]), found[[1, 3]] @ [0.25, 0.75]
        )


@pytest.mark.parametrize("cls", [RBMDensity, RBMOutlierDetector])
def test_words_that_no_row_had_have_probability_zero(cls):
    frame = words().dropna().assign(place="here")
    fitted = cls(**QUICK).fit(frame)
    known = frame.head(6)
    others = known.copy()
    others.iloc[1, 4], others.iloc[2, 4], others.iloc[4, 5] = "new", None, "there"
    found = fitted.score_samples(others)
    assert np.isneginf(found).tolist() == [False, True, False, False, True, False]
    np.testing.assert_array_equal(found[[0, 3, 5]], fitted.score_samples(known)[[0, 3, 5]])
    if cls is RBMOutlierDetector:
        assert fitted.predict(others)[[1, 4]].tolist() == [-1, -1]
    others["kind"] = others["kind"].astype(object)
    others.iloc[5, 4] = 3.0  # a mistake, not a rare word
    with pytest.raises(ValueError, match="column 'kind' must hold one of .*, got 3.0 in row 5"):
        fitted.score_samples(others)


# -- classes and numbers


def machine(visible):
    rbm = hm.RBM(visible, hm.Bernoulli(2), dtype=torch.float64, seed=3)
    with torch.no_grad():
        rbm.weight.mul_(20.0)
        rbm.visible.bias.copy_(torch.linspace(-0.5, 0.5, visible.width))
    return rbm


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_gradient_is_that_of_both_likelihoods(share):
    rbm, label = machine(hm.Mixed(hm.Bernoulli(3), hm.Categorical(1, 3))), slice(3, 6)
    rows = rbm.visible.encode(torch.tensor([[0, 1, 1, 2], [1, 0, 1, 0], [1, 1, 1, 1.0]]).double())
    data = equally_weighted(rows.to(rbm.dtype))
    values = torch.eye(3)
    phase = HybridNegatives(ConditionalCompletions(label, values), ExactNegatives(), share)
    accumulate_phases(rbm, data, phase.draw(rbm, data, 0))
    found = [p.grad.clone() for p in rbm.parameters()]
    rbm.zero_grad()
    y_of = rows[:, label].argmax(1)
    conditional = completion_log_probabilities(rbm, data.v, label, values)[torch.arange(3), y_of].mean()
    states = rbm.visible.states(torch.arange(24)).to(rbm.dtype)
    log_z = torch.logsumexp(-rbm.free_energy(states), 0)
    joint = (-rbm.free_energy(data.v) - log_z).mean()
    (-(1 - share) * conditional - share * joint).backward()
    for p, g in zip(rbm.parameters(), found, strict=True):
        torch.testing.assert_close(g, p.grad, rtol=1e-6, atol=1e-9)


def test_probabilities_of_classes_are_those_of_the_joint_model():
    fitted = RBMClassifier(**QUICK).fit(X, y)
    v = fitted.columns_.encode(X[:5])
    energy = np.stack(
        [
            fitted.model_.free_energy(torch.from_numpy(np.c_[v, np.tile(e, (5, 1))])).detach().numpy()
            for e in np.eye(3)
        ],
        1,
    )
    p = np.exp(-energy) / np.exp(-energy).sum(1, keepdims=True)
    np.testing.assert_allclose(fitted.predict_proba(X[:5]), p, rtol=1e-9)


@pytest.mark.parametrize("objective, least", [("generative", 0.6), ("discriminative", 0.9), ("hybrid", 0.9)])
def test_classes_of_iris(objective, least):
    clf = RBMClassifier(n_hidden=6, steps=200, objective=objective, random_state=0)
    assert cross_val_score(clf, X, np.array(["a", "b", "c"])[y], cv=3).mean() > least


def test_the_mean_of_a_target_is_the_integral_over_it():
    fitted = RBMRegressor(**QUICK).fit(X[:, :2], X[:, 2])
    t = np.linspace(-60.0, 60.0, 40001)
    for row in X[:3, :2]:
        v = np.c_[np.tile(fitted.columns_.encode(row[None]), (len(t), 1)), t]
        p = np.exp(-fitted.model_.free_energy(torch.from_numpy(v)).detach().numpy())
        mean = (t * p).sum() / p.sum() * fitted._scale + fitted._location
        np.testing.assert_allclose(fitted.predict(row[None]), [mean], rtol=1e-9)


def test_a_number_is_told_by_the_others():
    reg = RBMRegressor(n_hidden=6, steps=300, random_state=0)
    order = np.random.default_rng(0).permutation(150)
    assert cross_val_score(reg, X[order][:, :3], X[order][:, 3], cv=3).mean() > 0.8


def test_one_number_alone_is_told_back():
    rows = gappy(X[:, :3])
    np.testing.assert_array_equal(RBMRegressor(**QUICK).fit(rows, np.full(150, 7.5)).predict(rows[:3]), 7.5)
    with pytest.raises(ValueError, match="differ in the first call, got 7.5 alone"):
        RBMRegressor(**QUICK).partial_fit(rows, np.full(150, 7.5))


def test_labels_in_a_column_are_warned_of_and_absent_ones_refused():
    with pytest.warns(DataConversionWarning):
        RBMClassifier(**QUICK).fit(X, y[:, None])
    with pytest.raises(ValueError, match="classes must be given"):
        RBMClassifier(**QUICK).partial_fit(X, y)
    with pytest.raises(ValueError, match="classes of the first call, got 2 too"):
        RBMClassifier(**QUICK).partial_fit(X, y, classes=[0, 1])
    going = RBMClassifier(**QUICK).partial_fit(X, y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="classes must be those of the first call"):
        going.partial_fit(X, y, classes=[0, 1, 2, 3])
    assert going.partial_fit(X, y, classes=[2, 1, 0]).n_iter_ == 15


def test_rows_without_a_class_are_named():
    labels = np.where(y > 0, "a", "b").astype(object)
    labels[3] = None
    with pytest.raises(ValueError, match="a class in every row, got None in row 3"):
        RBMClassifier(**QUICK).fit(X, labels)


def test_weights_that_cannot_be_written_to_are_read():
    weights = np.ones(len(X))
    weights.flags.writeable = False  # as a column of a data frame
    RBMClassifier(**QUICK).fit(X, y, sample_weight=weights)  # warnings are errors


# -- at home


@pytest.mark.parametrize("cls", ALL)
def test_pickles_hold_safetensors_and_give_the_same_numbers(cls):
    target = X[:, 0] if cls is RBMRegressor else y
    fitted = cls(**QUICK).fit(X[:, 1:], target)
    data = pickle.dumps(fitted)
    assert b"torch" not in data.replace(b'"torch"', b"")  # no code of torch is called by the pickle
    copy = pickle.loads(data)
    method = "transform" if cls is RBMTransformer else "predict" if cls is not RBMDensity else "score_samples"
    np.testing.assert_array_equal(getattr(copy, method)(X[:, 1:]), getattr(fitted, method)(X[:, 1:]))
    with pytest.raises(NotFittedError):
        getattr(clone(fitted), method)(X[:, 1:])


def test_weights_are_routed_through_pipelines_and_searches():
    frame = pd.DataFrame(gappy(X), columns=list("abcd")).assign(kind=np.array(["x", "y"])[(y + 1) // 2])
    weights = np.where(y == 2, 0.0, 1.0)
    with sklearn.config_context(enable_metadata_routing=True):
        features = RBMTransformer(**QUICK).set_fit_request(sample_weight=True)
        columns = ColumnTransformer([("rbm", features, list("abcd")), ("words", OneHotEncoder(), ["kind"])])
        told = LogisticRegression().set_fit_request(sample_weight=True)
        right = get_scorer("accuracy").set_score_request(sample_weight=True)  # oldest: not by Pipeline.score
        numbers = {"columntransformer__rbm__n_hidden": [2]}
        search = GridSearchCV(make_pipeline(columns, told), numbers, cv=2, scoring=right)
        search.fit(frame, y, sample_weight=weights)
        learned = search.best_estimator_[0].named_transformers_["rbm"]
        alone = RBMTransformer(**QUICK | {"n_hidden": 2}).fit(frame[list("abcd")], sample_weight=weights)
        np.testing.assert_array_equal(
            learned.transform(frame[list("abcd")]), alone.transform(frame[list("abcd")])
        )
        density = (
            RBMDensity(**QUICK).set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        )
        found = GridSearchCV(density, {"n_hidden": [2, 3]}, cv=2).fit(X, sample_weight=weights + 0.5)
        assert np.isfinite(found.best_score_)


def test_searches_give_the_same_bits_on_any_number_of_jobs():
    pipe = make_pipeline(StandardScaler(), RBMClassifier(**QUICK))
    found = [
        GridSearchCV(pipe, {"rbmclassifier__n_hidden": [2, 4]}, cv=3, n_jobs=jobs, scoring="neg_log_loss")
        .fit(X, y)
        .cv_results_["mean_test_score"]
        for jobs in (1, 2)
    ]
    np.testing.assert_array_equal(*found)


def test_threads_around_a_fit_change_nothing():
    found = []
    before = torch.get_num_threads()
    for n in (1, 2):
        torch.set_num_threads(n)
        found.append(RBMTransformer(**QUICK).fit_transform(X))
        assert torch.get_num_threads() == n
    torch.set_num_threads(before)
    np.testing.assert_array_equal(*found)


def test_frames_in_column_transformers_and_out():
    frame = pd.DataFrame(X, columns=list("abcd")).assign(kind=y)
    pipe = ColumnTransformer([("rbm", RBMTransformer(**QUICK), ["a", "b"])], remainder="passthrough")
    out = pipe.set_output(transform="pandas").fit_transform(frame)
    assert list(out.columns)[:3] == [f"rbm__rbmtransformer{i}" for i in range(3)]


def test_a_stream_goes_on_from_the_same_chains():
    whole, batches = RBMDensity(**QUICK), np.split(np.random.default_rng(0).permutation(X), 3)
    for batch in batches[:2]:
        whole.partial_fit(batch)
    copy = pickle.loads(pickle.dumps(whole))
    for estimator in (whole, copy):
        assert estimator._state["learner/made"] == 30
        estimator.partial_fit(batches[2])
    np.testing.assert_array_equal(copy.score_samples(X), whole.score_samples(X))


@pytest.mark.parametrize("cls", [RBMDensity, RBMTransformer, RBMClassifier, RBMRegressor])
def test_a_batch_that_is_refused_leaves_the_estimator_as_it_was(cls):
    frame = pd.DataFrame(X, columns=list("abcd")).assign(kind=np.array(["x", "y"])[y % 2])
    target = {"classes": [0, 1, 2]} if cls is RBMClassifier else {}
    refused, spared = (cls(**QUICK).partial_fit(frame[::2], y[::2], **target) for _ in range(2))
    with pytest.raises(ValueError, match="column 'kind' must hold 'x' or 'y', got 'z'"):
        refused.partial_fit(frame.assign(kind="z"), y)
    for machine in (refused, spared):
        assert machine.model_.dtype == torch.float64
        machine.partial_fit(frame[1::2], y[1::2])
    for name, x in spared.model_.state_dict().items():
        assert torch.equal(refused.model_.state_dict()[name], x)


def test_hidden_units_are_tried_where_there_are_many_rows():
    rng = np.random.default_rng(0)
    rows = np.repeat(rng.random((1000, 1)) < 0.5, 6, axis=1) ^ (rng.random((1000, 6)) < 0.1)
    fitted = RBMDensity(steps=80, random_state=0).fit(rows)
    assert fitted.n_hidden_ >= 8 and json.dumps(fitted.history_)
    assert hm.fit(hm.Bernoulli(6), rows, steps=8).model.visible.width == 6  # units alone will do


@pytest.mark.parametrize("rows, updates", [(60, 100), (150, 150)])
def test_features_take_an_update_a_row_and_two_hidden_units_a_column(rows, updates):
    fitted = RBMTransformer(random_state=0).fit(X[:rows])
    assert (fitted.n_iter_, fitted.n_hidden_) == (updates, 8)
    assert len(fitted._state["learner/negatives/block.0"]) == 128 and fitted.warnings_ == []


def test_features_of_float32_rows_are_float32():
    fitted, rows = RBMTransformer(**QUICK).fit(X), X.astype(np.float32)
    assert fitted.transform(rows).dtype == np.float32 and fitted.transform(X).dtype == np.float64
    np.testing.assert_allclose(fitted.transform(rows), fitted.transform(X), atol=1e-5)


def frames_of(rows):
    """Frames of pandas that are narrow, wide, and neither."""
    narrow = pd.DataFrame(rows, columns=list("abcd")).astype(np.float32)
    yield narrow
    yield narrow.astype(np.float64)
    yield narrow.astype({"a": np.float64})
    yield narrow.assign(a=narrow["b"] > 3.0)
    yield narrow.assign(a=(10 * narrow["a"]).astype(np.int64))
    yield narrow.astype("Float32")


@pytest.mark.parametrize("cls", [RBMTransformer, RBMImputer])
def test_frames_of_float32_are_what_they_are_to_scikit_learn(cls):
    found = [cls(**QUICK).fit(frame).transform(frame).dtype for frame in frames_of(X)]
    assert found == [StandardScaler().fit_transform(frame).dtype for frame in frames_of(X)]
    assert set(found) == {np.dtype(np.float32), np.dtype(np.float64)}


def test_html_shows_the_fitted_numbers():
    fitted = RBMDensity(**QUICK).fit(X)
    assert "n_hidden_" in fitted._repr_html_() or not hasattr(fitted, "_get_fitted_attr_html")


# -- empty cells


def gappy(rows, share=0.2, seed=0):
    return np.where(np.random.default_rng(seed).random(rows.shape) < share, np.nan, rows)


def test_densities_of_rows_with_gaps_are_sums_over_them():
    rows = np.c_[table()[:, :2], table()[:, 4]]
    fitted = RBMDensity(**QUICK).fit(gappy(rows))
    both = [fitted.score_samples([[a, 1.0, 7.0] for a in (0.0, 1.0)])]
    np.testing.assert_allclose(
        fitted.score_samples([[np.nan, 1.0, 7.0]]), np.logaddexp.reduce(both, axis=1), rtol=1e-9
    )


def test_features_of_rows_with_gaps_are_means_over_them():
    rows = np.c_[table()[:, :2], table()[:, 4]]
    features = RBMTransformer(**QUICK).fit(rows)
    whole = np.array([[a, 1.0, 7.0] for a in (0.0, 1.0)])
    p = np.exp(-free_energies(features.model_, torch.from_numpy(features._seen(whole))).numpy())
    np.testing.assert_allclose(
        features.transform([[np.nan, 1.0, 7.0]])[0], p / p.sum() @ features.transform(whole), rtol=1e-7
    )


def test_classes_of_rows_with_gaps_are_those_of_the_joint_model():
    fitted = RBMClassifier(**QUICK).fit(gappy(X), y)
    row = X[:1].copy()
    grid = np.linspace(-8.0, 12.0, 4001)
    row = np.repeat(row, len(grid), 0)
    row[:, 0] = grid
    v = fitted.columns_.encode(row)
    weights = [
        float(
            fitted.model_.free_energy(torch.from_numpy(np.c_[v, np.tile(e, (len(v), 1))]))
            .detach()
            .neg()
            .exp()
            .sum()
        )
        for e in np.eye(3)
    ]
    row[0, 0] = np.nan
    found = fitted.predict_proba(row[:1])[0]
    np.testing.assert_allclose(found, np.array(weights) / sum(weights), rtol=1e-6)


@pytest.mark.parametrize("cls", [RBMClassifier, RBMRegressor])
def test_draws_of_gaps_say_what_the_sums_do(cls, monkeypatch):
    rows = gappy(X[:, :3], seed=1)
    fitted = cls(**QUICK).fit(rows, y if cls is RBMClassifier else X[:, 3])
    ask = fitted.predict_proba if cls is RBMClassifier else fitted.predict
    summed = ask(rows[:20])
    monkeypatch.setattr("harmonium.estimators.supervised.exact_sums", nothing_is_cheap)
    np.testing.assert_allclose(ask(rows[:20]), summed, atol=0.15)  # 128 draws each


def nothing_is_cheap(model, v, held, most):
    return torch.full((len(v),), torch.nan, dtype=torch.float64), []


def test_the_usual_value_of_a_column_is_known_in_float32_too():
    columns = Columns.of(np.c_[np.full(120, 0.1), X[:120, 0]])
    rows = np.array([[0.1, 5.0], [np.float32(0.1), 5.0], [0.1000001, 5.0], [np.nan, 5.0]])
    np.testing.assert_array_equal(columns.encode(rows)[:, 0], [0.0, 0.0, 1.0, np.nan])


@pytest.mark.parametrize("unit", [2.0**660, 2.0**-660])
def test_the_unit_of_a_column_makes_no_difference(unit):
    plain, other = (RBMTransformer(**QUICK).fit(x).transform(x) for x in (X, X * unit))
    np.testing.assert_array_equal(plain, other)
    found = [
        RBMRegressor(**QUICK).fit(X[:, 1:], t).predict(X[:, 1:]) / t[0] for t in (X[:, 0], X[:, 0] * unit)
    ]
    np.testing.assert_array_equal(*found)


def test_infinite_numbers_and_empty_columns_are_refused():
    with pytest.raises(ValueError, match="infinity"):
        RBMDensity(**QUICK).fit([[1.0, np.inf], [2.0, 3.0]])
    with pytest.raises(ValueError, match="none in column 1"):
        RBMDensity(**QUICK).fit([[1.0, np.nan], [2.0, np.nan]])


# -- frames of words


def words():
    frame = pd.DataFrame(gappy(X), columns=list("abcd")).assign(kind=np.array(["x", "y", "z"])[y])
    frame.loc[::7, "kind"] = None
    return frame


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
@pytest.mark.parametrize("cls", ALL)
def test_frames_with_words_are_read_by_their_schema(cls):
    frame = words()
    fitted = cls(**QUICK).fit(frame, X[:, 0] if cls is RBMRegressor else y)
    assert fitted.columns_.schema.names == tuple("abcd") + ("kind",)
    assert fitted.feature_names_in_.tolist() == [*"abcd", "kind"]
    method = "transform" if cls is RBMTransformer else "predict" if cls is not RBMDensity else "score_samples"
    found = getattr(pickle.loads(pickle.dumps(fitted)), method)(frame)
    assert len(found) == 150 and np.isfinite(found).all()
    with pytest.raises((TypeError, ValueError)):
        getattr(fitted, method)(X)


# -- an imputer


def test_an_imputer_is_better_than_the_means_and_keeps_what_is_known():
    rows = gappy(X)
    empty = np.isnan(rows)
    found = RBMImputer(n_hidden=4, steps=150, random_state=0).fit_transform(rows)
    np.testing.assert_array_equal(found[~empty], rows[~empty])
    errors = [
        np.sqrt(np.mean((f - X)[empty] ** 2)) for f in (found, np.broadcast_to(np.nanmean(rows, 0), X.shape))
    ]
    assert errors[0] < 0.65 * errors[1]


def test_drawn_cells_differ_from_call_to_call_as_those_of_scikit_learn_do():
    imputer = RBMImputer(**QUICK, sample_posterior=True).fit(gappy(X))
    first, second = (imputer.transform(gappy(X)) for _ in range(2))
    again = RBMImputer(**QUICK, sample_posterior=True).fit(gappy(X)).transform(gappy(X))
    assert (first != second).any()
    np.testing.assert_array_equal(first, again)


def test_words_are_filled_and_indicators_stand_beside():
    frame = words()
    found = RBMImputer(**QUICK, add_indicator=True).fit(frame).transform(frame)
    assert found["kind"].isin(["x", "y", "z"]).all() and not found.isna().any().any()
    known = frame["kind"].notna()
    assert (found["kind"][known] == frame["kind"][known]).all()
    assert (found["missingindicator_kind"] == ~known).all()
    other = frame.fillna({"kind": "?"})
    same = RBMImputer(**QUICK, missing_values="?").fit_transform(other)
    assert (same["kind"] == found["kind"]).all()


def test_filled_rows_are_as_wide_as_they_came():
    rows = np.where(RNG.random(X.shape) < 0.1, np.nan, X).astype(np.float32)
    assert RBMImputer(**QUICK).fit_transform(rows).dtype == np.float32
    assert RBMImputer(**QUICK).fit_transform(rows.astype(np.float64)).dtype == np.float64


def test_zeros_that_mean_empty_need_dense_rows():
    with pytest.raises(ValueError, match="must be dense where missing_values is 0"):
        RBMImputer(**QUICK, missing_values=0).fit(scipy.sparse.csr_array(X))


def test_a_column_of_ones_alone_may_hold_something_else_later():
    rows = np.c_[np.ones(40), np.zeros(40), X[:40, 0]]
    detector = RBMOutlierDetector(**QUICK).fit(rows)
    assert detector.columns_.kinds.tolist() == ["rare", "rare", "real"]
    assert detector.predict([[1.7, 0.0, 5.0], [1.0, -3.0, 5.0]]).tolist() == [-1, -1]
    states = np.array([[0.0, 0.0, 0.0], [1.0, 1.0, 0.0]])
    assert detector.columns_.decode(states)[:, :2].tolist() == [[1.0, 0.0], [0.0, 1.0]]
