"""Samples given a part of a row, in the words of a table."""

import numpy as np
import pandas as pd
import pytest
import torch

import harmonium as hm
import registry

NAN = float("nan")
TABLE = pd.DataFrame(
    {
        "kind": ["red", "green", "blue"] * 20,
        "smoker": [True, False] * 30,
        "age": np.random.default_rng(0).normal(40, 9, 60).round(1),
        "kids": np.random.default_rng(1).poisson(2, 60),
    }
)


@pytest.fixture(scope="module")
def model():
    schema = hm.Schema.of(TABLE)
    rbm = hm.RBM(schema.units(), hm.Bernoulli(3), seed=0)
    registry.scatter(rbm, 5)
    with torch.no_grad():
        rbm.weight.mul_(0.5)
    rbm.schema = schema
    return rbm


def test_what_is_given_stays_and_the_rest_follows_from_it(model):
    """Shares of a free column among the draws, against its conditional probabilities averaged over them."""
    drawn = hm.sample(model, 1500, given={"smoker": True, "age": 40}, sweeps=40)
    assert drawn["smoker"].all() and (drawn["age"] == 40.0).all()
    assert (drawn.dtypes == TABLE.dtypes).all() and drawn["kids"].nunique() > 1
    expected = hm.conditional(model, drawn, "kind")
    for value in expected.columns:
        error = (drawn["kind"] == value) - expected[value]  # zero in the mean, if the draws are right
        assert abs(error.mean()) < 4.5 * error.std() / len(drawn) ** 0.5, value


def test_a_table_with_gaps_gives_each_row_its_own(model):
    given = pd.DataFrame({"age": [33.0, NAN, 51.5], "kind": ["red", "blue", None]})
    drawn = hm.sample(model, 3, given=given, sweeps=20)
    assert list(drawn.columns) == list(TABLE.columns) and not drawn.isna().any().any()
    known = given.notna()
    assert (drawn[["age", "kind"]][known] == given[known]).to_numpy()[known.to_numpy()].all()
    one = hm.sample(model, 4, given=given.iloc[[0]], sweeps=20)
    assert (one["kind"] == "red").all() and (one["age"] == 33.0).all()


@pytest.mark.parametrize(
    ("dtype", "wider"),
    [
        ("int64", "float64"),
        ("UInt8", "Float64"),
        ("int16[pyarrow]", "double[pyarrow]"),
        ("float32", "float32"),
    ],
)
def test_a_fraction_given_in_a_column_of_whole_numbers_is_not_cut_off(dtype, wider):
    table = pd.DataFrame({"weight": np.arange(80, 160).astype(int), "kids": 1}).astype({"weight": dtype})
    schema = hm.Schema.of(table.assign(kids=TABLE["kids"]), kinds={"weight": hm.columns.Number()})
    rbm = hm.RBM(schema.units(), hm.Bernoulli(2), seed=0)
    rbm.schema = schema
    drawn = hm.sample(rbm, 2, given={"weight": 100.25})["weight"]
    assert drawn.tolist() == [100.25, 100.25] and drawn.dtype == wider
    assert hm.sample(rbm, 2, given={"weight": 100})["weight"].dtype == dtype


def test_nothing_known_is_nothing_given(model):
    free = hm.sample(model, 3, given={"age": None, "kind": NAN}, sweeps=20)
    assert not free.isna().any().any()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"smokes": True}, r"given: unknown column 'smokes'; the columns are kind, smoker, age and kids"),
        ({"kind": "pink"}, r"given: column 'kind' .*'pink'"),
        ({"smoker": "perhaps"}, r"given: column 'smoker' .*'perhaps'"),
        ({"kids": -1}, r"given: column 'kids' .*-1"),
        (
            {"kind": ["red", "blue", "red"]},
            r"given: column 'kind' must hold text, numbers .* got list in row 0",
        ),
        ({"kids": 1.5}, r"given: column 'kids' .*1\.5"),
        ({"age": "old"}, r"given: column 'age' .*'old'"),
        ({"age": float("inf")}, r"given: column 'age' .*inf"),
        (pd.DataFrame({"age": [1.0, 2.0]}), r"given: expected one row, or 3 as are drawn, got 2\."),
        (pd.DataFrame({"height": [1.0, 2.0, 3.0]}), r"given.*height"),
    ],
)
def test_what_can_not_be_given_is_named(model, given, told):
    with pytest.raises((TypeError, ValueError), match=told):
        hm.sample(model, 3, given=given)
