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
        scipy.sparse.csr_matrix(1j * np.eye(3)),
        TypeError,
        r"^X must hold real numbers of at most 64 bits, got csr_matrix of shape \(3, 3\) and type complex128",
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
    words = r"^X must have a finite number .*, got 1 without one: the first in row 1, column 0 \(a\), is"
    for call in (likelihood.reconstruction_error, likelihood.pseudo_likelihood):
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
        match=r"^X: values must be whole numbers from 0 to 2 \(Cat.*\), got 3 in row 0, column 0; NaN marks",
    ):
        hm.log_likelihood(rbm, [[3, 0, 1, 0.0]])
    with pytest.raises(
        ValueError, match=r"^given: values .* from 0 to 2 .*, got 0\.5 in row 0, column 0; NaN marks"
    ):
        hm.sample(rbm, 1, [0.5, NAN, NAN, NAN])


# ---------------------------------------------------------------- every door, every kind of array

GAPS = [[0.0, NAN, 1.0], [1.0, 1.0, NAN]]
MASK = np.isnan(GAPS)
WITH_GAPS = {
    "masked": np.ma.array(np.where(MASK, 0, GAPS), mask=MASK),
    "masked whole numbers": np.ma.array(np.where(MASK, 1, GAPS).astype(np.int8), mask=MASK),
    "masked rows in a list": [
        np.ma.array(np.where(m, 0, r), mask=m) for r, m in zip(GAPS, MASK, strict=True)
    ],
    "masked cells in a list": [
        [np.ma.masked if m else x for x, m in zip(*r, strict=True)] for r in zip(GAPS, MASK, strict=True)
    ],
    "None": [[None if m else x for x, m in zip(*r, strict=True)] for r in zip(GAPS, MASK, strict=True)],
    "NA among objects": pd.DataFrame(GAPS).astype(object).where(~MASK, pd.NA),
    "nullable": pd.DataFrame(GAPS).astype("Int64"),
    "big-endian": np.array(GAPS, ">f4"),
    "half": np.array(GAPS, np.float16),
    "long double": np.array(GAPS, np.longdouble),
    "bfloat16": torch.tensor(GAPS, dtype=torch.bfloat16),
}


@pytest.mark.parametrize("gaps", WITH_GAPS.values(), ids=WITH_GAPS)
def test_free_cells_of_every_kind_are_free_as_evidence_and_refused_elsewhere(gaps):
    rbm = hm.RBM(hm.Bernoulli(3), hm.Bernoulli(2))
    known = known_states(rbm, gaps, 2)
    assert torch.equal(known.isnan(), torch.tensor(MASK)) and torch.equal(
        known.nan_to_num(), torch.tensor(GAPS).nan_to_num()
    )
    drawn = hm.sample(rbm, 2, given=gaps, seed=1)
    assert torch.equal(
        torch.where(torch.tensor(MASK), torch.tensor(GAPS), drawn).nan_to_num(), known.nan_to_num()
    )
    words = "^X must have a finite number in every cell, got 2 without one: the first in row 0, column 1, is"
    for call in (likelihood.pseudo_likelihood, likelihood.reconstruction_error):
        with pytest.raises(ValueError, match=words):
            call(rbm, gaps)
    for method in (rbm.free_energy, rbm.hidden_given_visible):
        if not isinstance(gaps, torch.Tensor):
            with pytest.raises(
                ValueError, match="^v must have a finite number in every cell, got 2 without one"
            ):
                method(gaps)


@pytest.mark.filterwarnings("ignore:The PyTorch API of MaskedTensors")
def test_masked_tensors_are_free_where_their_mask_is_false():
    rbm = hm.RBM(hm.Bernoulli(3), hm.Bernoulli(2))
    masked = torch.masked.masked_tensor(torch.tensor(GAPS).nan_to_num(), torch.tensor(~MASK))
    assert torch.equal(known_states(rbm, masked, 2).isnan(), torch.tensor(MASK))
    with pytest.raises(ValueError, match="^X must have a finite number in every cell, got 2 without one"):
        likelihood.pseudo_likelihood(rbm, masked)


@pytest.mark.parametrize(
    "kind", [">f4", ">f8", ">i2", ">u4", "f2", "g", "?", "u1", "u2", "u4", "u8", "i8", "O"]
)
def test_numbers_of_every_type_are_the_same_rows_at_every_door(kind):
    rbm = hm.RBM(hm.Bernoulli(3), hm.Bernoulli(2))
    bits = np.array(BITS * 10)
    x, plain = bits.astype(kind), torch.tensor(bits).float()
    assert torch.equal(states_of(rbm, x), plain)
    assert torch.equal(states_of(rbm, x.tolist()), plain)
    assert torch.equal(states_of(rbm, np.asfortranarray(x)[::-1]), plain.flip(0))
    for method in (rbm.free_energy, rbm.hidden_given_visible):
        assert torch.equal(method(x), method(plain))
    assert torch.equal(hm.sample(rbm, 2, given=x[0]), plain[[0, 0]])
    models = [hm.RBM(hm.Bernoulli(3), hm.Bernoulli(2)) for _ in range(2)]
    for model, rows in zip(models, (x, plain), strict=True):
        hm.fit(model, rows, validation=rows, steps=2)
    assert torch.equal(models[0].weight, models[1].weight)


def test_unsigned_tensors_are_rows_too():
    rbm = hm.RBM(hm.Bernoulli(3), hm.Bernoulli(2))
    for kind in (torch.uint16, torch.uint32, torch.uint64, torch.bool, torch.float16):
        assert torch.equal(states_of(rbm, torch.tensor(BITS).to(kind)), torch.tensor(BITS).float())


def test_what_only_stands_for_a_table_is_refused_with_the_call_that_reads_it():
    class LazyFrame:
        def collect(self):
            raise AssertionError("a lazy frame isn't read here")

    rbm = hm.RBM(hm.Bernoulli(2), hm.Bernoulli(2))
    words = r"^X must be a table that has been read, got a LazyFrame: pass its collect\(\)\.$"
    for call in (hm.fit, hm.Schema.of, lambda x: hm.log_likelihood(rbm, x)):
        with pytest.raises(TypeError, match=words):
            call(LazyFrame())


def test_numbers_that_float64_would_round_are_refused():
    rbm = hm.RBM(hm.Gaussian(2), hm.Bernoulli(2))
    with pytest.raises(ValueError, match=r"X must hold whole numbers below 2\*\*53"):
        hm.log_likelihood(rbm, np.array([[2**53 + 1, 0]]))
    with pytest.raises(
        ValueError, match=r"exactly, got 9007199254740993 in a table of objects, row 0, column 0"
    ):
        hm.log_likelihood(rbm, np.array([[2**53 + 1, 0]], object))
    if np.finfo(np.longdouble).eps < np.finfo(float).eps:
        with pytest.raises(ValueError, match=r"exactly, got .* at \(0, 1\); astype"):
            hm.log_likelihood(rbm, np.array([[0, 1], [0, 0]], np.longdouble) / 3)


# ---------------------------------------------------------------- methods of models


def test_methods_of_models_take_what_the_other_doors_take():
    x = np.array(BITS)
    machine, rbm = hm.BoltzmannMachine(3, 2, seed=1), hm.RBM(hm.Bernoulli(3), hm.Bernoulli(2), seed=1)
    field = hm.MarkovRandomField([2, 2, 2], [((0, 2), [[0.1, 0.2], [0.3, 0.4]])])
    independent = hm.PairwiseModel(hm.Bernoulli(3))
    h = np.array([[0, 1], [1, 1]])
    for form in (x, x.tolist(), pd.DataFrame(x), x.astype(bool), x.astype(">i2")):
        v = torch.tensor(x).float()
        for model in (machine, rbm):
            assert torch.equal(model.hidden_given_visible(form), model.hidden_given_visible(v))
            assert torch.equal(model.energy(form, h), model.energy(v, torch.tensor(h).float()))
        for model in (machine, rbm, field, independent):
            assert torch.equal(model.free_energy(form), model.free_energy(v))
        assert torch.equal(field.energy(form), field.energy(v))
        assert torch.equal(machine.mean_field(form), machine.mean_field(v))
    hidden = torch.tensor(h).float()
    assert torch.equal(rbm.visible_given_hidden(h), rbm.visible_given_hidden(hidden))
    assert torch.equal(rbm.hidden_free_energy(h.tolist()), rbm.hidden_free_energy(hidden))
    for wrong, words in (
        (x[0], "^v must have the shape"),
        (x[:, :2], "^v must have 3 columns"),
        ("x", "^v must be a table"),
    ):
        with pytest.raises((TypeError, ValueError), match=words):
            rbm.free_energy(wrong)


def test_codes_and_names_reach_methods_too():
    rbm = hm.RBM(sites(), hm.Bernoulli(2))
    rbm.columns = ("a", "b", "c", "d")
    frame = pd.DataFrame(CODES, columns=rbm.columns)[["c", "a", "d", "b"]]
    expected = rbm.free_energy(torch.tensor(STATES))
    assert torch.equal(rbm.free_energy(frame), expected) and torch.equal(rbm.free_energy(CODES), expected)
    with pytest.raises(ValueError, match=r"^v: values must be whole .* got 3 in row 0, column 1 \(b\)"):
        rbm.free_energy(frame.assign(b=3))


# ---------------------------------------------------------------- sentences


def test_grey_values_are_told_from_pixels():
    rbm = hm.RBM(hm.Bernoulli(2), hm.Bernoulli(2))
    for call in (hm.log_likelihood, likelihood.pseudo_likelihood):
        with pytest.raises(
            ValueError, match=r"got 0.5 in row 1, column 0; values between 0 and 1 are probabilities"
        ):
            call(rbm, [[0, 1], [0.5, 1]])
        with pytest.raises(
            ValueError, match=r"got 255 in row 0, column 1; divide grey values .* by 255, or use"
        ):
            call(rbm, np.array([[0, 255], [17, 3]], np.uint8))
    with pytest.raises(ValueError, match=r"got 3 in row 0, column 1; NaN marks free cells\.$"):
        hm.log_likelihood(rbm, [[0, 3]])


def test_sentences_name_the_part_and_the_columns_of_a_site():
    rbm = hm.RBM(sites(), hm.Bernoulli(2))
    x = np.array(STATES)
    x[1, 3:6] = 1
    with pytest.raises(
        ValueError,
        match=r"^X: every 3 columns .* \(Categorical units\), got 1, 1, 1 in row 1, columns 3 to 5"
        r"; NaN marks free cells\.$",
    ):
        hm.fit(rbm, x)
    x = np.array(STATES)
    x[0, 7] = np.inf
    with pytest.raises(
        ValueError,
        match=r"^X: values must be finite \(Gaussian units\), got inf in row 0, column 7"
        r"; NaN marks free cells\.$",
    ):
        hm.fit(rbm, x)
    field = hm.MarkovRandomField({"a": 2, "b": 3}, [(("a", "b"), np.zeros((2, 3)))])
    with pytest.raises(
        ValueError,
        match=r"^X: values must be whole numbers from 0 to 2, got 3 in row 1, column 1 \(b\)"
        r"; NaN marks free cells\.$",
    ):
        hm.log_likelihood(field, pd.DataFrame({"b": [0, 3], "a": [1, 1]}))
