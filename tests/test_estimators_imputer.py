"""`RBMImputer` where `IterativeImputer` or `SimpleImputer` stood: words in arrays, bounds, empty columns."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sklearn.impute
import torch
from sklearn.datasets import load_iris
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from harmonium.estimators import RBMImputer
from statistics_budget import z_threshold

QUICK = {"n_hidden": 3, "steps": 15, "random_state": 0}
X = load_iris().data
GAPPY = np.where(np.random.default_rng(0).random(X.shape) < 0.2, np.nan, X)
WORDS = [["a", "b"], ["b", "a"], ["a", np.nan], ["b", "a"]] * 5


@pytest.mark.parametrize("make", [list, lambda rows: np.array(rows, dtype=object)], ids=["list", "array"])
def test_words_in_lists_and_arrays_are_filled_in_arrays_of_objects(make):
    imputer = RBMImputer(**QUICK).fit(make(WORDS))
    found = imputer.transform(make(WORDS))
    assert found.dtype == object and found.shape == (20, 2)
    assert not hasattr(imputer, "feature_names_in_")  # there were none
    assert imputer.get_feature_names_out().tolist() == ["x0", "x1"]
    assert set(found[:, 1]) == {"a", "b"} and found[0].tolist() == ["a", "b"]
    assert imputer.transform([[np.nan, np.nan]]).shape == (1, 2)  # no word is left in it
    beside = RBMImputer(**QUICK, add_indicator=True).fit_transform(make(WORDS))
    assert beside[2].tolist()[2:] == [True] and beside.dtype == object
    encoded = make_pipeline(RBMImputer(**QUICK), OneHotEncoder()).fit_transform(make(WORDS))
    assert encoded.shape == (20, 4)


@pytest.mark.parametrize("empty", [None, np.nan, pd.NA])
@pytest.mark.parametrize("dtype", [None, "category"])
def test_a_column_of_words_may_come_empty(empty, dtype):
    frame = pd.DataFrame({"a": X[:30, 0], "k": pd.Series(list("abc") * 10, dtype=dtype)})
    imputer = RBMImputer(**QUICK).fit(frame)
    found = imputer.transform(pd.DataFrame({"a": [5.0, np.nan], "k": [empty, empty]}, index=[7, 9]))
    assert found["k"].isin(["a", "b", "c"]).all() and found.index.tolist() == [7, 9]


def test_what_is_filled_in_stays_within_bounds():
    empty = np.isnan(GAPPY)
    free = RBMImputer(**QUICK).fit_transform(GAPPY)
    low, high = [5.5, -np.inf, 2.0, 0.5], [6.0, np.inf, 4.0, np.inf]
    found = RBMImputer(**QUICK, min_value=low, max_value=high).fit_transform(GAPPY)
    np.testing.assert_array_equal(found, np.where(empty, np.clip(free, low, high), GAPPY))
    assert (found != free).any()
    frame = pd.DataFrame(GAPPY, columns=list("abcd")).assign(k=["x", "y"] * 75)
    typed = RBMImputer(**QUICK, max_value=4.0).fit_transform(frame)[list("abcd")].to_numpy()
    assert typed[empty].max() == 4.0 and typed[~empty].max() == X[~empty].max()


def test_draws_within_bounds_are_those_given_the_bounds():
    rows = np.repeat([[6.0, 3.0, 4.5, np.nan]], 3000, axis=0)
    low, high = 1.6, 2.6
    imputer = RBMImputer(**QUICK, sample_posterior=True, min_value=low, max_value=high).fit(X)
    drawn = imputer.transform(rows)[:, 3]
    assert drawn.min() > low and drawn.max() < high
    whole = np.tile(rows[0], (4001, 1))
    whole[:, 3] = grid = np.linspace(low, high, 4001)
    states = torch.from_numpy(imputer.columns_.encode(whole))
    density = np.exp(-imputer.model_.free_energy(states).detach().numpy())
    shares = density / density.sum()
    assert (grid.mean() - shares @ grid) / (high - low) > 0.02  # the bounds aren't all that counts
    mean = shares @ grid
    error = np.sqrt(shares @ (grid - mean) ** 2 / len(drawn))
    assert abs(drawn.mean() - mean) <= z_threshold(comparisons=1) * error
    frame = pd.DataFrame(rows, columns=list("abcd")).assign(k="x")
    typed = imputer.fit(pd.DataFrame(X, columns=list("abcd")).assign(k=["x", "y"] * 75)).transform(frame)
    assert typed["d"].between(low, high).all() and typed["a"].eq(6.0).all()
    assert typed["d"].eq(low).mean() < 0.2  # it was clipped in more than half of the rows


def test_bounds_of_whole_numbers_are_whole():
    frame = pd.DataFrame({"n": [1, 5, None, 9] * 10, "k": ["x", "y", "x", "y"] * 10}).convert_dtypes()
    found = RBMImputer(**QUICK, min_value=6.5, max_value=7.5).fit_transform(frame)
    assert found["n"].dtype == "Int64" and found["n"][2] == 7
    with pytest.raises(ValueError, match=r"have no whole number between them, got 6\.2 and 6\.8"):
        RBMImputer(**QUICK, min_value=6.2, max_value=6.8).fit_transform(frame)


@pytest.mark.parametrize(
    "bounds, sentence",
    [
        ({"min_value": 1.0, "max_value": 0.0}, "min_value >= max_value"),
        ({"min_value": [1.0, 2.0]}, "'min_value' should be of shape"),
        ({"fill_value": "?", "keep_empty_features": True}, "fill_value must be a number"),
        ({"missing_values": "-1"}, "types are expected to be both numerical"),
    ],
)
def test_what_cannot_be_meant_is_refused(bounds, sentence):
    with pytest.raises(ValueError, match=sentence):
        RBMImputer(**QUICK, **bounds).fit_transform(X)


def test_columns_without_a_value_are_left_out_with_a_warning_or_kept():
    rows = np.insert(GAPPY, 1, np.nan, axis=1)
    imputer = RBMImputer(**QUICK).fit(rows)
    with pytest.warns(UserWarning, match=r"Skipping features without any observed values: \[1\]"):
        found = imputer.transform(rows)
    assert found.shape == X.shape and imputer.get_feature_names_out().tolist() == ["x0", "x2", "x3", "x4"]
    with pytest.warns(UserWarning, match=r"observed values: \['b'\]"):
        RBMImputer(**QUICK).fit_transform(pd.DataFrame(rows, columns=list("abcde")))
    kept = RBMImputer(**QUICK, keep_empty_features=True, fill_value=-3.0).fit_transform(rows)
    np.testing.assert_array_equal(kept, np.insert(found, 1, -3.0, axis=1))
    words = pd.DataFrame({"k": ["x", "y"] * 10, "e": [None] * 20})
    assert set(RBMImputer(**QUICK, keep_empty_features=True, fill_value="?").fit_transform(words)["e"]) == {
        "?"
    }


# Scikit-learn's tests become tests of this module: all that imputers have in common and, of the others,
# those that ask nothing of chained regressors.
THEIRS = Path(sklearn.impute.__file__).parent / "tests"
ASKED = (
    "imputation_deletion_warning",
    "imputation_deletion_warning_feature_names",
    "imputation_error_sparse_0",
    "iterative_imputer_min_max_array_like",
    "iterative_imputer_catch_min_max_error",
    "inconsistent_dtype_X_missing_values",
    "imputer_without_indicator",
    "imputer_transform_preserves_numeric_dtype",
)


def ours(strategy=None, tol=None, **parameters):
    """An imputer asked for by their parameters; how to begin and to end is nothing to ours."""
    return RBMImputer(2, steps=5, **{"random_state": 0} | parameters)


def taken_from(file, *replaced):
    source = (THEIRS / file).read_text(encoding="utf-8")
    for old, new in replaced:
        assert old in source
        source = source.replace(old, new)
    names = {"__name__": f"scikit_learn_{file}", "IterativeImputer": ours, "SimpleImputer": ours}
    exec(compile(source, THEIRS / file, "exec"), names)
    quiet = pytest.mark.filterwarnings("ignore:Skipping features")  # of columns without a value
    return {name[5:]: quiet(x) for name, x in names.items() if name.startswith("test_")}


_common = taken_from(
    "test_common.py",
    ("from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer", ""),
    ("[IterativeImputer(tol=0.1), KNNImputer(), SimpleImputer()]", "[IterativeImputer(tol=0.1)]"),
)
_others = taken_from(
    "test_impute.py",
    ("import IterativeImputer, KNNImputer, MissingIndicator, SimpleImputer", "import MissingIndicator"),
)
_tests = {name: x for name, x in _common.items() if "sparse" not in name}
assert len(_tests) >= 6
_tests |= {name: _others[name] for name in ASKED}
globals().update({f"test_theirs_{name}": x for name, x in _tests.items()})
