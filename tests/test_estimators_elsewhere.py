"""Fitted models in other hands: skops, polars, frames of pandas, ArviZ, programs of PyTorch and of ONNX."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import harmonium as hm
from harmonium import diagnostics
from harmonium.estimators import (
    BernoulliRBM,
    RBMClassifier,
    RBMDensity,
    RBMImputer,
    RBMOutlierDetector,
    RBMRegressor,
    RBMTransformer,
)

RNG = np.random.default_rng(0)
X = np.c_[RNG.random((60, 2)) < 0.5, RNG.normal(size=(60, 2))]
y = (X[:, 0] + X[:, 2] > 0) * 1
QUICK = {"n_hidden": 3, "steps": 15, "random_state": 0}
TYPED = {"a": X[:, 0], "b": X[:, 2], "kind": np.where(y, "x", "y")}
PLAIN = {"a": X[:, 0], "b": X[:, 2]}


def asked(estimator, rows):
    names = ("predict_proba", "score_samples", "predict", "transform")
    return getattr(estimator, next(name for name in names if hasattr(estimator, name)))(rows)


ALL = (RBMDensity, RBMTransformer, RBMOutlierDetector, RBMClassifier, RBMRegressor, RBMImputer)
BERNOULLI = BernoulliRBM(n_components=3, n_iter=2, random_state=0)
ESTIMATORS = [*(cls(**QUICK) for cls in ALL), BERNOULLI]


@pytest.mark.parametrize("typed", [False, True])
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda x: type(x).__name__)
def test_a_round_trip_through_skops_keeps_every_bit(estimator, typed):
    skops = pytest.importorskip("skops.io")
    rows = X[:, :2] if estimator is BERNOULLI else pd.DataFrame(TYPED) if typed else X
    target = X[:, 2] + X[:, 3] if isinstance(estimator, RBMRegressor) else y
    written = skops.dumps(estimator.fit(rows, target))
    read = skops.loads(written, trusted=skops.get_untrusted_types(data=written))
    found, expected = (pd.DataFrame(asked(one, rows)) for one in (read, estimator))
    assert found.equals(expected)
    if hasattr(read, "partial_fit"):
        for one in (read, estimator):
            one.partial_fit(rows, target)
        assert pd.DataFrame(asked(read, rows)).equals(pd.DataFrame(asked(estimator, rows)))


@pytest.mark.parametrize("columns", [TYPED, PLAIN], ids=["typed", "plain"])
@pytest.mark.parametrize("estimator", ESTIMATORS[:-1], ids=lambda x: type(x).__name__)
def test_polars_frames_are_read_as_those_of_pandas(estimator, columns):
    polars = pytest.importorskip("polars")
    rows, frame = polars.DataFrame(columns), pd.DataFrame(columns)
    target = X[:, 3] if isinstance(estimator, RBMRegressor) else y
    found = [asked(estimator.fit(x, target), x) for x in (rows, frame)]
    assert type(found[0]) is (polars.DataFrame if isinstance(found[1], pd.DataFrame) else np.ndarray)
    first, second = (np.asarray(pd.DataFrame(np.asarray(x))) for x in found)
    assert (first == second).all()
    assert list(estimator.feature_names_in_) == list(columns)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_output_comes_as_frames_where_asked_for(library):
    pytest.importorskip(library)
    rows = pd.DataFrame(PLAIN, index=range(5, 65))
    pipe = make_pipeline(StandardScaler(), RBMTransformer(**QUICK)).set_output(transform=library)
    found = pipe.fit_transform(rows)
    assert type(found).__module__.startswith(library) and len(found) == 60
    assert list(found.columns) == ["rbmtransformer0", "rbmtransformer1", "rbmtransformer2"]
    gappy = rows.mask(RNG.random(rows.shape) < 0.2)
    filled = RBMImputer(**QUICK, add_indicator=True).set_output(transform=library).fit_transform(gappy)
    assert list(filled.columns) == ["a", "b", "missingindicator_a", "missingindicator_b"]
    if library == "pandas":
        assert found.index.equals(rows.index) and filled.index.equals(rows.index)


GAPPY = {"n": [1, 2, None, 4] * 10, "k": ["x", None, "y", "x"] * 10, "t": [True, False, None, True] * 10}


@pytest.mark.parametrize("draw", [False, True])
def test_filled_frames_of_polars_and_arrow_have_the_types_that_they_had(draw):
    pyarrow, imputer = pytest.importorskip("pyarrow"), RBMImputer(**QUICK, sample_posterior=draw)
    table = pyarrow.table({**GAPPY, "n": pyarrow.array(GAPPY["n"], pyarrow.int16())})
    found = imputer.fit_transform(table)
    assert found.schema.field("n").type == pyarrow.int16() and found.schema.field("t").type == pyarrow.bool_()
    assert sum(column.null_count for column in found.columns) == 0 and found["n"][0].as_py() == 1
    polars = pytest.importorskip("polars")
    frame = polars.from_arrow(table)
    for asked in ("default", "polars"):
        found = imputer.set_output(transform=asked).fit_transform(frame)
        assert found.schema == frame.schema and found.null_count().sum_horizontal()[0] == 0
    found = imputer.set_output(transform="pandas").fit_transform(frame)
    assert isinstance(found, pd.DataFrame) and found["n"].dtype == np.float64 and found["t"].dtype == bool


def test_chains_of_a_fitted_machine_are_an_inference_data():
    machine = RBMDensity(**QUICK).fit(X).model_
    tree = diagnostics.chain_diagnostics(machine, chains=4, steps=20)
    assert tree.posterior["energy"].dims[:2] == ("chain", "draw")
    assert tree.posterior["energy"].shape == (4, 20)


HIDDEN = [hm.Bernoulli(4), hm.Spin(4), hm.Categorical(2, states=3), hm.Gaussian(4), hm.Binomial(4, trials=3)]


@pytest.mark.parametrize("hidden", HIDDEN, ids=lambda x: type(x).__name__)
def test_an_exported_map_gives_the_same_features(hidden, tmp_path):
    rbm = hm.RBM(hm.Bernoulli(5), hidden, dtype=torch.float64, seed=1)
    hm.export_features(rbm, tmp_path / "features.pt2")
    program = torch.export.load(tmp_path / "features.pt2").module()
    for n in (1, 7):
        v = torch.from_numpy(RNG.integers(0, 2, (n, 5)) * 1.0)
        assert torch.equal(program(v), rbm.hidden_given_visible(v))
        assert not program(v).requires_grad and rbm.weight.requires_grad


def test_an_exported_map_runs_in_onnx(tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    rbm = hm.RBM(hm.Bernoulli(5), hm.Bernoulli(4))
    hm.export_features(rbm, tmp_path / "features.onnx")
    session = runtime.InferenceSession(tmp_path / "features.onnx")
    for n in (1, 7):
        v = RNG.integers(0, 2, (n, 5)).astype(np.float32)
        found = session.run(None, {session.get_inputs()[0].name: v})[0]
        assert np.allclose(found, rbm.hidden_given_visible(v).detach(), atol=1e-6)


def test_what_cannot_be_exported_is_told(tmp_path):
    with pytest.raises(TypeError, match=r"hidden units of a type among .*, got ReLU"):
        hm.export_features(hm.RBM(hm.Bernoulli(2), hm.ReLU(2)), tmp_path / "features.pt2")
    with pytest.raises(ValueError, match=r"must end in \.pt2 or \.onnx"):
        hm.export_features(hm.RBM(hm.Bernoulli(2), hm.Bernoulli(2)), tmp_path / "features.txt")
