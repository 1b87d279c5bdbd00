"""Rows as users give them become visible states, the same ones whatever they came in."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch

import harmonium as hm
from harmonium import likelihood
from harmonium.models.intake import known_states, states_of
from harmonium.models.table import as_numbers, as_table
from registry import build

NAN = float("nan")
BITS = [[0, 1, 1], [1, 0, 1]]


def sites():
    """Two sites of three states, a 0/1 column and a real one."""
    return hm.Mixed(hm.Categorical(2, states=3), hm.Bernoulli(1), hm.Gaussian(1))


CODES = [[2.0, 0.0, 1.0, -0.5], [1.0, 1.0, 0.0, 3.0]]
STATES = [[0, 0, 1, 1, 0, 0, 1, -0.5], [0, 1, 0, 0, 1, 0, 0, 3.0]]


@pytest.mark.parametrize(
    "make",
    [
        list,
        np.array,
        lambda x: np.array(x, np.uint8),
        lambda x: np.array(x, ">f4"),
        lambda x: np.array(x, bool),
        torch.tensor,
        lambda x: torch.tensor(x, dtype=torch.float64, requires_grad=True),
        pd.DataFrame,
        lambda x: pd.DataFrame(x).astype("Int64"),
        lambda x: pd.DataFrame(x).astype({0: bool, 1: float, 2: "boolean"}),
    ],
)
def test_rows_of_every_kind_are_the_same_states(make):
    rbm = hm.RBM(hm.Bernoulli(3), hm.Bernoulli(2))
    states = states_of(rbm, make(BITS))
    assert torch.equal(states, torch.tensor(BITS).float()) and not states.requires_grad
    assert hm.log_likelihood(rbm, make(BITS)).value == hm.log_likelihood(rbm, torch.tensor(BITS)).value


def test_rows_are_copied_not_shared():
    x = np.ones((2, 3), np.float32)
    x.setflags(write=False)  # as pandas hands out its columns
    rbm = hm.RBM(hm.Bernoulli(3), hm.Bernoulli(2))
    states_of(rbm, x).zero_()
    assert x.all()


def test_codes_and_states_of_one_hot_sites_are_told_apart_by_their_number_of_columns():
    rbm = hm.RBM(sites(), hm.Bernoulli(2))
    for rows in (CODES, STATES):
        assert torch.equal(states_of(rbm, rows), torch.tensor(STATES))
    codes, states = (likelihood.log_probabilities(rbm, rows).value for rows in (np.array(CODES), STATES))
    assert torch.equal(codes, states)
    baseline = likelihood.independent_log_likelihood
    assert baseline(sites(), CODES * 3 + [[0, 2, 1, 1.0]], CODES) == pytest.approx(
        baseline(sites(), STATES * 3 + [[1, 0, 0, 0, 0, 1, 1, 1.0]], STATES)
    )


def test_codes_are_encoded_from_arrays_too():
    units = sites()
    assert torch.equal(units.encode(np.array(CODES)).float(), torch.tensor(STATES))
    assert units.decode(torch.tensor(STATES)).tolist() == CODES


def test_gaps_in_codes_free_whole_sites():
    rbm = hm.RBM(sites(), hm.Bernoulli(2))
    gaps = pd.DataFrame({"a": [2, None], "b": [None, 1], "c": [1, None], "d": [NAN, 3.0]}, dtype="Float64")
    expected = torch.tensor([[0, 0, 1, NAN, NAN, NAN, 1, NAN], [NAN, NAN, NAN, 0, 1, 0, NAN, 3.0]])
    found = known_states(rbm, gaps, 2)
    assert torch.equal(found.isnan(), expected.isnan())
    assert torch.equal(found.nan_to_num(9.0), expected.nan_to_num(9.0))
    assert torch.equal(known_states(rbm, expected, 2).nan_to_num(9.0), expected.nan_to_num(9.0))


def test_samples_keep_the_sites_given_as_codes():
    rbm = build("Categorical", "Bernoulli")
    given = np.full(rbm.visible.n, np.nan)
    given[1] = 2
    drawn = rbm.visible.decode(hm.sample(rbm, 20, given, seed=1, sweeps=20))
    assert (drawn[:, 1] == 2).all() and len(torch.unique(drawn[:, 0])) > 1
    one_hot = known_states(rbm, given, 20)
    assert torch.equal(hm.sample(rbm, 20, one_hot, seed=1, sweeps=20), rbm.visible.encode(drawn))
    assert torch.equal(
        hm.sample(rbm, 2, pd.DataFrame([given] * 2), sweeps=5)[:, 3:6], one_hot[3:6].expand(2, 3)
    )


def test_a_mask_may_speak_of_sites():
    rbm = build("Categorical", "Bernoulli")
    v = hm.sample(rbm, 4, seed=0)
    by_site = torch.tensor([True] + [False] * (rbm.visible.n - 1))
    by_column = by_site.repeat_interleave(3)
    two = [likelihood.conditional_log_likelihood(rbm, v, mask).value for mask in (by_site, by_column)]
    assert two[0] == two[1]


WRONG = [
    (None, TypeError, r"^X must be a table of numbers, got None\.$"),
    ("digits", TypeError, r"^X must be a table of numbers, got 'digits'\.$"),
    ({"a": [1]}, TypeError, r"^X must be a table of numbers, got \{'a': \[1\]\}\.$"),
    (
        scipy.sparse.csr_matrix(np.eye(3)),
        TypeError,
        r"^X must be a dense table, got a csr_matrix; its toarray",
    ),
    ([[1, 2], [3]], ValueError, r"^X must be a table of numbers, rows of one length each\.$"),
    (np.array([["a"]]), TypeError, r"^X must hold real numbers, got text\.$"),
    (
        np.array([[1, object()]]),
        TypeError,
        r"^X must hold numbers, got <object .* in a table of objects, row 0, column 1\.$",
    ),
    (
        torch.ones(1, 3, dtype=torch.complex64),
        TypeError,
        r"^X must hold real numbers, got complex numbers\.$",
    ),
    (
        pd.DataFrame({"a": [1], "b": ["x"], "c": [2]}),
        TypeError,
        r"^X must hold numbers, got 'x' in column 'b', row 0\.$|got str in column 'b'",
    ),
    (pd.DataFrame({"a": ["1"]}).astype("category"), TypeError, r"got category in column 'a'\.$"),
    (np.ones(3), ValueError, r"^X must have the shape \(rows, columns\), got a one-dim.* of shape \(3,\)\.$"),
    (
        np.ones((0, 3)),
        ValueError,
        r"^X must hold at least one row .*, got an empty array of shape \(0, 3\)\.$",
    ),
]


@pytest.mark.parametrize(("rows", "kind", "words"), WRONG)
def test_what_is_no_table_is_one_sentence(rows, kind, words):
    with pytest.raises(kind, match=words):
        as_table(rows, "X")
    for call in (hm.fit, hm.log_likelihood):
        if rows is not None:  # hm.fit(model) asks for rows in its own words
            with pytest.raises(kind, match=words):
                call(hm.RBM(hm.Bernoulli(3), hm.Bernoulli(2)), rows)


def test_missing_cells_of_a_frame_are_nan_and_refused_where_rows_must_be_whole():
    frame = pd.DataFrame({"a": [1, None], "b": [0, 1]}, dtype="Int64")
    assert np.isnan(as_numbers(frame, "X")).tolist() == [[False, False], [True, False]]
    assert np.isnan(as_numbers(frame["a"], "X")).tolist() == [False, True]
    rbm = hm.RBM(hm.Bernoulli(2), hm.Bernoulli(2))
    words = r"^X must have a finite number in every cell, got 1 without one: the first in row 1, column 0 \(a\), is"
    for call in (hm.fit, hm.log_likelihood, likelihood.pseudo_likelihood):
        with pytest.raises(ValueError, match=words + r" missing \(NaN\); NaN marks a free cell"):
            call(rbm, frame)


def test_columns_that_are_neither_states_nor_codes_are_refused():
    rbm = hm.RBM(sites(), hm.Bernoulli(2))
    words = (
        r"X must have 8 columns \(states\) or 4 \(integer codes\), as the visible units of the model, got 5\."
    )
    for call in (hm.fit, hm.log_likelihood):
        with pytest.raises(ValueError, match=words):
            call(rbm, np.ones((2, 5)))
    with pytest.raises(
        ValueError,
        match=r"^X: values must be whole numbers from 0 to 2 \(Cat.*\), got 3 in row 0, column 0\.$",
    ):
        hm.log_likelihood(rbm, [[3, 0, 1, 0.0]])
    with pytest.raises(
        ValueError, match=r"^given: values .* from 0 to 2 .*, got 0\.5 in row 0, column 0; NaN marks"
    ):
        hm.sample(rbm, 1, [0.5, NAN, NAN, NAN])
