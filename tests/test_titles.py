"""What sentences call a column: by its name in the table, not by its number among the states of a model."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

import harmonium as hm
from harmonium.estimators import RBMDensity
from harmonium.models.intake import rows_of, titles_of

NAMES = ["town", "job", "height", "speed"]


def machine(real: type[hm.Gaussian] = hm.Gaussian) -> hm.RBM:
    """Two columns of five values each, which are ten of states, before two real ones."""
    return hm.RBM(hm.Mixed(hm.Categorical(2, states=5), real(2)), hm.Bernoulli(2), seed=0)


def frame(**columns: object) -> pd.DataFrame:
    r = np.random.default_rng(0)
    made = {
        "town": r.integers(0, 5, 80) * 1.0,
        "job": r.integers(0, 5, 80) * 1.0,
        "height": r.normal(size=80),
        "speed": r.normal(size=80),
    }
    return pd.DataFrame(made | columns)


def states(table: pd.DataFrame) -> torch.Tensor:
    return machine().visible.encode(torch.tensor(table.to_numpy()))


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"speed": np.arange(80) % 2 * 1.0}, "X holds few values in column {} (0, 1), which"),
        ({"speed": 1e4 + np.random.default_rng(1).normal(size=80)}, "from 0 in column {}, where float32"),
        ({"speed": np.full(80, np.nan)}, "Column {} of X is empty"),
    ],
)
def test_warnings_name_the_column_of_the_table(columns, told):
    table = frame(**columns)
    found = hm.fit(machine(), table, steps=1, progress=False).warnings
    assert any(told.format("speed") in w for w in found), found
    codes = hm.fit(machine(), table.to_numpy(), steps=1, progress=False).warnings
    assert any(told.format(3) in w for w in codes), codes  # its number in the table that came
    if not table.isna().any(axis=None):
        whole = hm.fit(machine(), states(table), steps=1, progress=False).warnings
        assert any(told.format(11) in w for w in whole), whole


@pytest.mark.parametrize("real", [hm.Gaussian, hm.ReLU, hm.DReLU])
def test_refusals_name_the_column_of_the_table(real):
    table = frame(speed=1.0, height=np.abs(frame()["height"]))
    with pytest.raises(ValueError, match=rf"^X: column speed is constant, and {real.__name__} units need"):
        hm.fit(machine(real), table, steps=1, progress=False)
    with pytest.raises(ValueError, match=r"^X: column 3 is constant"):
        hm.fit(machine(real), table.to_numpy(), steps=1, progress=False)


def test_a_context_is_named():
    given = hm.Mixed(hm.Categorical(1, states=3), hm.Gaussian(1))
    model = hm.ConditionalRBM(visible=hm.Bernoulli(2), context=given, hidden=hm.Bernoulli(2))
    table = pd.DataFrame({"a": [0.0, 1], "b": [1.0, 1], "place": [2.0, np.nan], "hour": [0.5, 1.0]})
    with pytest.raises(ValueError, match=r"^X must give the context \(columns place and hour\) of every row"):
        hm.log_likelihood(model, table)


def test_estimators_name_an_empty_column():
    table = pd.DataFrame({"age": [1.0, 2.0], "size": [np.nan, np.nan]})
    with pytest.raises(ValueError, match="got none in column size"):
        RBMDensity(steps=2).fit(table)


def test_each_column_is_named_once():
    rows = rows_of(machine(), frame())
    assert titles_of(machine(), rows, range(12)) == NAMES
    assert titles_of(machine(), rows, [11, 3]) == ["speed", "town"]
