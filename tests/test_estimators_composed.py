"""Estimators inside of scikit-learn's own: searches, ensembles, several targets; rows of any make."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
from scipy import stats
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import (
    AdaBoostRegressor,
    BaggingClassifier,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
)
from sklearn.experimental import enable_halving_search_cv  # noqa: F401  # it makes the next import possible
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import (
    HalvingRandomSearchCV,
    RandomizedSearchCV,
    TunedThresholdClassifierCV,
    cross_val_predict,
)
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier, MultiOutputRegressor, RegressorChain
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.semi_supervised import SelfTrainingClassifier

from harmonium.estimators import BernoulliRBM, RBMClassifier, RBMImputer, RBMRegressor, RBMTransformer

RNG = np.random.default_rng(0)
QUICK = {"n_hidden": 2, "steps": 15, "random_state": 0}
CLASSES = RBMClassifier(2, steps=60, random_state=0)
NUMBERS, FEATURES = RBMRegressor(**QUICK), RBMTransformer(**QUICK)
X = RNG.normal(size=(80, 4))
GAPPY = np.where(RNG.random(X.shape) < 0.1, np.nan, X)
y = (X[:, 0] + X[:, 1] > 0) * 1
z = 2 * X[:, 0] + X[:, 1]
SOME = np.where(np.arange(80) % 2, y, -1)  # classes of which half are known
TWO = np.c_[y, X[:, 2] > 0]

OF_CLASSES = {
    "calibration": (CalibratedClassifierCV(CLASSES, cv=2, method="temperature"), GAPPY, y),
    "bagging": (BaggingClassifier(CLASSES, 2, max_features=0.8, random_state=0), GAPPY, y),
    "voting": (VotingClassifier([("a", CLASSES), ("b", CLASSES)], voting="soft"), GAPPY, y),
    "stacking": (StackingClassifier([("a", CLASSES)], final_estimator=CLASSES, cv=2), GAPPY, y),
    "threshold": (TunedThresholdClassifierCV(CLASSES, cv=2), GAPPY, y),
    "self-training": (SelfTrainingClassifier(CLASSES), GAPPY, SOME),
    "against the rest": (OneVsRestClassifier(CLASSES), GAPPY, y + (X[:, 2] > 0)),
    "against one": (OneVsOneClassifier(CLASSES), GAPPY, y + (X[:, 2] > 0)),
    "several": (MultiOutputClassifier(CLASSES), GAPPY, TWO),
    "a chain": (ClassifierChain(CLASSES, random_state=0), X, TWO),
    "halving over updates": (
        HalvingRandomSearchCV(
            RBMClassifier(random_state=0),
            {"n_hidden": stats.randint(2, 5)},
            resource="steps",
            min_resources=5,
            max_resources=15,
            cv=2,
            random_state=0,
        ),
        GAPPY,
        y,
    ),
    "distributions": (
        RandomizedSearchCV(
            CLASSES, {"generative_share": stats.loguniform(1e-3, 1)}, n_iter=2, cv=2, scoring="neg_log_loss"
        ),
        GAPPY,
        y,
    ),
}


@pytest.mark.parametrize("name", OF_CLASSES)
def test_classifiers_inside_of_others(name):
    whole, rows, target = OF_CLASSES[name]
    found = whole.fit(rows, target).predict(rows)
    assert (found == (y if target is SOME else target)).mean() > 0.6


OF_NUMBERS = {
    "transformed": (TransformedTargetRegressor(NUMBERS, func=np.sinh, inverse_func=np.arcsinh), GAPPY, z),
    "several": (MultiOutputRegressor(NUMBERS), GAPPY, np.c_[z, X[:, 2]]),
    "a chain": (RegressorChain(NUMBERS, random_state=0), X, np.c_[z, X[:, 2]]),
    "boosting": (AdaBoostRegressor(NUMBERS, n_estimators=2, random_state=0), X, z),
    "stacking": (StackingRegressor([("a", NUMBERS)], final_estimator=Ridge(), cv=2), X, z),
}


@pytest.mark.parametrize("name", OF_NUMBERS)
def test_regressors_inside_of_others(name):
    whole, rows, target = OF_NUMBERS[name]
    found = whole.fit(rows, target).predict(rows)
    assert found.shape == target.shape
    assert np.corrcoef(found.T, target.T)[0, len(found.T) if found.ndim > 1 else 1] > 0.5


def test_features_side_by_side_and_kept_from_a_fit_before(tmp_path):
    frame = pd.DataFrame(X, columns=list("abcd")).assign(k=np.where(y, "u", "v"))
    both = FeatureUnion([("p", FEATURES), ("q", FEATURES)]).set_output(transform="pandas")
    assert both.fit_transform(frame).shape == (80, 4)
    split = ColumnTransformer([("fill", RBMImputer(**QUICK), ["a", "k"])], remainder=FEATURES)
    names = list(split.set_output(transform="pandas").fit_transform(frame))
    assert names == ["fill__a", "fill__k", "remainder__rbmtransformer0", "remainder__rbmtransformer1"]
    pipe = make_pipeline(RBMImputer(**QUICK), FEATURES, LogisticRegression(), memory=str(tmp_path))
    first, again = (pipe.fit(GAPPY, y).predict_proba(GAPPY) for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_columns_that_matter_are_found():
    fitted = clone(CLASSES).fit(GAPPY, y)
    found = permutation_importance(fitted, GAPPY, y, scoring="neg_log_loss", random_state=0).importances_mean
    assert found[:2].min() > 10 * np.abs(found[2:]).max()
    apart, together = (cross_val_predict(CLASSES, GAPPY, y, cv=2, n_jobs=jobs) for jobs in (1, 2))
    np.testing.assert_array_equal(apart, together)


# -- rows of any make

PAIRS, QUARTERS, WHOLE = (X > 0) * 1.0, np.round(4 * X) / 4, np.round(4 * X)
NAMES = list("abcd")


def read_only(x):
    x = x.copy()
    x.flags.writeable = False
    return x


def framed(x, dtype):
    return pd.DataFrame(x, columns=NAMES).astype(dtype)


MAKES = {
    "Fortran": (X, np.asfortranarray),
    "read-only": (X, read_only),
    "strided": (X, lambda x: np.repeat(np.repeat(x, 2, 0), 2, 1)[::2, ::2]),
    "reversed": (X, lambda x: x[::-1].copy()[::-1]),
    "other bytes": (X, lambda x: x.astype(">f8")),
    "longdouble": (X, lambda x: x.astype(np.longdouble)),
    "objects": (X, lambda x: x.astype(object)),
    "lists": (X, lambda x: x.tolist()),
    "a tensor": (X, torch.from_numpy),
    "float16": (QUARTERS, lambda x: x.astype(np.float16)),
    "int8": (WHOLE, lambda x: x.astype(np.int8)),
    "booleans": (PAIRS, lambda x: x.astype(bool)),
    "a frame": (GAPPY, lambda x: framed(x, float)),
    "nullable": (GAPPY, lambda x: framed(x, "Float64")),
    "nullable, whole": (np.where(np.isnan(GAPPY), np.nan, WHOLE), lambda x: framed(x, "Int64")),
    "nullable, booleans": (np.where(np.isnan(GAPPY), np.nan, PAIRS), lambda x: framed(x, "boolean")),
    "Arrow's": (GAPPY, lambda x: framed(x, "double[pyarrow]")),
    "a sparse frame": (PAIRS, lambda x: framed(x, pd.SparseDtype(float, 0.0))),
    "Arrow": (GAPPY, lambda x: pytest.importorskip("pyarrow").Table.from_pandas(framed(x, float))),
    "polars": (GAPPY, lambda x: pytest.importorskip("polars").DataFrame(x, schema=NAMES).fill_nan(None)),
} | {kind: (PAIRS, getattr(scipy.sparse, f"{kind}_array")) for kind in ("csc", "coo", "lil", "dok", "bsr")}


@pytest.mark.parametrize("name", MAKES)
def test_rows_of_any_make_are_the_same_rows(name):
    plain, make = MAKES[name]
    rows, features = make(plain), RBMTransformer(2, steps=3, random_state=0)
    np.testing.assert_array_equal(features.fit_transform(rows), features.fit_transform(plain))
    if plain is PAIRS:
        theirs = BernoulliRBM(2, n_iter=1, random_state=0)
        np.testing.assert_array_equal(theirs.fit_transform(rows), theirs.fit_transform(plain))
