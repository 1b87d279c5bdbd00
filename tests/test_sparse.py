"""Sparse rows: the same bits as dense ones, and never dense as a whole."""

import copy
import json

import numpy as np
import pytest
import scipy.sparse
import torch

import harmonium as hm
from harmonium import likelihood
from harmonium.cli import main
from harmonium.estimators import BernoulliRBM, RBMClassifier, RBMDensity, RBMOutlierDetector, RBMTransformer
from harmonium.models.sparse import SparseRows
from harmonium.models.table import CELLS

RNG = np.random.default_rng(0)
FEW = RNG.random((240, 12)) < 0.1  # the cells that aren't 0
VALUES = {
    "bernoulli": (hm.Bernoulli(12), FEW * 1.0),
    "probabilities": (hm.Bernoulli(12), FEW * RNG.random(FEW.shape)),
    "counts": (hm.Poisson(12), FEW * RNG.integers(1, 400, FEW.shape)),
    "codes": (hm.Categorical(12, states=3), FEW * RNG.integers(1, 3, FEW.shape)),
    "real": (hm.Gaussian(12), FEW * RNG.normal(size=FEW.shape)),
    "free": (hm.Bernoulli(12), np.where(FEW, np.where(RNG.random(FEW.shape) < 0.3, np.nan, 1.0), 0.0)),
}


def fitted(units, x, **settings):
    rbm = hm.RBM(units, hm.Bernoulli(6))
    history = hm.fit(rbm, x, steps=20, seed=3, **settings)
    clock = ("seconds", "updates_per_second")
    return rbm, [{k: v for k, v in record.items() if k not in clock} for record in history.records]


def same(one, other):
    return all(torch.equal(x, other.state_dict()[name]) for name, x in one.state_dict().items())


@pytest.mark.filterwarnings("ignore:Training diverged")
@pytest.mark.parametrize("kind", VALUES)
def test_sparse_rows_give_the_bits_of_dense_ones(kind):
    units, x = VALUES[kind]
    (dense, told), (sparse, told_too) = (
        fitted(copy.deepcopy(units), rows) for rows in (x, scipy.sparse.csr_array(x))
    )
    assert same(dense, sparse) and told == told_too
    if kind != "probabilities":
        found = [likelihood.log_probabilities(dense, rows).value for rows in (x, scipy.sparse.csr_array(x))]
        assert torch.equal(*found)


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
@pytest.mark.parametrize(
    "layout",
    [
        scipy.sparse.csr_matrix,
        scipy.sparse.csc_array,
        scipy.sparse.lil_array,
        lambda x: torch.from_numpy(x).to_sparse(),
        lambda x: torch.from_numpy(x).to_sparse_csr(),
    ],
)
def test_every_layout_will_do(layout):
    x = FEW * 1.0
    assert same(fitted(hm.Bernoulli(12), x)[0], fitted(hm.Bernoulli(12), layout(x))[0])


def test_equal_cells_are_added_up_and_zeros_may_be_stored():
    twice = scipy.sparse.coo_array(
        (np.array([0.25, 0.5, 0.0]), (np.array([0, 0, 1]), np.array([1, 1, 0]))), shape=(2, 2)
    )
    assert SparseRows(scipy.sparse.csr_array(twice)).dense(slice(None)).tolist() == [[0, 0.75], [0, 0]]


def test_a_model_can_be_told_by_sparse_rows():
    x = FEW * 1.0
    dense, sparse = (hm.fit(rows, steps=10).model for rows in (x, scipy.sparse.csr_array(x)))
    assert isinstance(sparse.visible, hm.Bernoulli) and same(dense, sparse)


def test_what_is_wrong_is_told_by_its_place():
    x = scipy.sparse.csr_array(FEW * 1.0)
    x.data[3] = 2.0
    row = int(np.searchsorted(x.indptr, 3, side="right")) - 1
    with pytest.raises(ValueError, match=f"got 2 in row {row}, column {x.indices[3]}"):
        hm.log_likelihood(hm.RBM(hm.Bernoulli(12), hm.Bernoulli(2)), x)
    with pytest.raises(ValueError, match="must have 12 columns"):
        hm.log_likelihood(hm.RBM(hm.Bernoulli(12), hm.Bernoulli(2)), x[:, :5])


def test_the_table_is_never_dense_as_a_whole(monkeypatch):
    n, width = 12_000, 400
    x = scipy.sparse.random_array((n, width), density=0.005, random_state=0).ceil()
    seen = []

    def noted(self, numbers, dense=SparseRows.dense):
        found = dense(self, numbers)
        seen.append(found.shape[0])
        return found

    monkeypatch.setattr(SparseRows, "dense", noted)
    rbm = hm.RBM(hm.Bernoulli(width), hm.Bernoulli(8))
    hm.fit(rbm, x, steps=4)
    assert max(seen) * width <= CELLS < n * width and len(seen) > 4
    seen.clear()
    hm.log_likelihood(rbm, x)
    assert max(seen) * width <= CELLS or max(seen) <= 128


# -- estimators and files

MIXED = np.c_[FEW[:, :4], np.where(FEW[:, 4:7], RNG.normal(size=(240, 3)), 0.0), FEW[:, 7:] * 1.0]
QUICK = {"n_hidden": 3, "steps": 15, "random_state": 0}


@pytest.mark.parametrize("x", [FEW * 1.0, MIXED], ids=["binary", "mixed"])
@pytest.mark.parametrize("cls", [RBMDensity, RBMTransformer, RBMOutlierDetector, RBMClassifier])
def test_estimators_give_the_bits_of_dense_rows(cls, x):
    y = FEW[:, 0] * 1
    found = []
    for some in (x, scipy.sparse.csr_array(x)):
        estimator = cls(**QUICK).fit(some, y)
        ask = next(n for n in ("predict_proba", "score_samples", "transform") if hasattr(estimator, n))
        found.append(getattr(estimator, ask)(some))
    assert np.array_equal(*found)


def test_features_of_sparse_rows_come_piece_by_piece(monkeypatch):
    monkeypatch.setattr("harmonium.models.table.CELLS", 12 * 50)
    rows, seen = scipy.sparse.csr_array(FEW * 1.0), []

    def noted(self, numbers, dense=SparseRows.dense):
        seen.append(len(numbers))
        return dense(self, numbers)

    transformer = RBMTransformer(**QUICK).fit(rows)
    rbm = BernoulliRBM(n_components=4, n_iter=1, random_state=0).fit(rows)
    monkeypatch.setattr(SparseRows, "dense", noted)
    assert transformer.transform(rows).shape == (240, 3)
    assert np.allclose(rbm.transform(rows), rbm.transform(FEW * 1.0))
    assert np.allclose(rbm.score_samples(rows), rbm.score_samples(FEW * 1.0))
    assert max(seen) == 50


def test_a_file_of_sparse_rows_is_learned_from_and_measured(tmp_path, capsys):
    def harmonium(*arguments):
        assert main([*map(str, arguments)]) == 0
        return capsys.readouterr().out

    path, out = tmp_path / "rows.npz", tmp_path / "out"
    scipy.sparse.save_npz(path, scipy.sparse.csr_array(FEW * 1.0))
    harmonium("fit", path, "--out", out, "--steps", 20, "--hidden", 3, "--quiet")
    np.save(tmp_path / "dense.npy", FEW * 1.0)
    told = [harmonium("evaluate", out, p, "--json") for p in (path, tmp_path / "dense.npy")]
    values = [json.loads(x)["value"] for x in told]
    assert values[0] != values[1]  # of the file it learned from only the test rows are measured
    assert json.loads(harmonium("evaluate", out, path, "--json", "--split", "test"))["value"] == values[0]


def test_a_damaged_file_of_sparse_rows_is_refused_in_one_sentence(tmp_path):
    from harmonium import data

    x = scipy.sparse.csr_array(FEW * 1.0)
    x.indices[0] = 10**6
    scipy.sparse.save_npz(tmp_path / "rows.npz", x)
    with pytest.raises(data.DataError, match="can't be read as .npz"):
        data.load(tmp_path / "rows.npz")
    np.savez(tmp_path / "huge.npz", format="csr", shape=(1, 2**62), data=[1.0], indices=[0], indptr=[0, 1])
    with pytest.raises(data.DataError, match="can't be read"):
        data.load(tmp_path / "huge.npz")
