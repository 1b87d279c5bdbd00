"""Frames as other programs leave them go through every question, or are refused in one sentence."""

import decimal
import json
import warnings

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import harmonium as hm
from harmonium.columns.storage import Storage

ROWS = 40
R = np.random.default_rng(0)
WORDS = R.choice(["p", "q", "s"], ROWS)
FLAGS = R.random(ROWS) < 0.4
WHOLE = R.integers(0, 200, ROWS)
REAL = R.normal(size=ROWS)


def with_gaps(values, dtype):
    return pd.array([None if k % 6 == 0 else v for k, v in enumerate(values.tolist())], dtype=dtype)


def base(**more):
    return pd.DataFrame({"x": REAL.round(2), "c": WORDS, **more})


FRAMES = {
    "nullable": base(i=with_gaps(WHOLE, "Int64"), u=with_gaps(WHOLE, "UInt8"), b=with_gaps(FLAGS, "boolean")),
    "arrow": base(
        d=pd.array([decimal.Decimal(f"{v:.2f}") for v in REAL], dtype=pd.ArrowDtype(pa.decimal128(6, 2))),
        k=pd.array(pa.array(WORDS).dictionary_encode()),
        s=pd.array(WORDS.tolist(), dtype="string[pyarrow]"),
    ),
    "decimals": base(
        d=[None if k % 6 == 0 else decimal.Decimal(f"{v:.2f}") for k, v in enumerate(REAL)],
        l=[[None, decimal.Decimal("0.10"), decimal.Decimal("0.35")][k % 3] for k in range(ROWS)],
        f=np.array([0.1, 0.2, np.nan, 0.35], np.float32)[np.arange(ROWS) % 4],
    ),
    "unused levels": base(e=pd.Categorical(WORDS, ["z", "q", "p", "s"], ordered=True)),
    "whole labels": base().set_axis([3, "c"], axis=1),
    "two rows of labels": base().set_axis(pd.MultiIndex.from_tuples([("a", "x"), ("a", "c")]), axis=1),
    "letters without a glyph": base().set_axis(["价格", "c"], axis=1),
    "names left out": base(name=[f"n{k}" for k in range(ROWS)]),
}


ON_A_PAGE = ("nullable", "names left out", "two rows of labels", "letters without a glyph")


@pytest.mark.parametrize("case", FRAMES)
def test_every_question_is_answered(case):
    frame = FRAMES[case]
    left_out = [c for c in frame.columns if c == "name"]
    schema = hm.Schema.of(frame, leave_out=left_out)
    assert json.loads(schema.to_json()) and hm.Schema.from_json(schema.to_json()) == schema
    rbm = hm.RBM(schema.units(), hm.Bernoulli(2), seed=0)
    rbm.schema = schema
    rows = frame.head(8)
    gaps = rows.copy()
    gaps.isetitem(0, rows.iloc[:, 0].mask(np.arange(8) % 2 == 0))
    learned = [c for c in frame.columns if c not in left_out]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn = hm.sample(rbm, 20)
        filled = hm.impute(rbm, gaps)
        several = hm.impute(rbm, gaps, draws=2)
        surprise = hm.surprise(rbm, gaps)
        if case in ON_A_PAGE:
            assert np.isfinite(hm.report(rbm, gaps).log_likelihood.value)
        hm.sample(rbm, len(gaps), given=gaps)
        for name in schema.columns:
            assert len(hm.conditional(rbm, gaps, name)) == len(gaps)
    assert [str(c) for c in drawn.columns] == [str(c) for c in learned]
    assert [str(t) for t in drawn.dtypes] == [str(t) for t in frame[learned].dtypes]
    assert list(surprise.cells.columns) == list(surprise.values.columns) == learned
    assert surprise.cells.iloc[0].isna()[learned[0]] and len(surprise.top(3)) == 3
    for whole in (filled, *several):
        for name in learned:
            known = gaps[name].notna()
            assert not whole[name].isna().any() and whole[name][known].tolist() == gaps[name][known].tolist()


def test_decimals_stay_decimals_in_every_make_and_a_number_is_one_however_it_is_held():
    frame = FRAMES["decimals"]
    schema = hm.Schema.of(frame)
    assert schema["l"].values == (0.1, 0.35) and schema["f"].values == (0.1, 0.2, 0.35)
    rbm = hm.RBM(schema.units(), hm.Bernoulli(2), seed=0)
    rbm.schema = schema
    filled, drawn = hm.impute(rbm, frame), hm.sample(rbm, 5, given={"f": 0.2, "l": decimal.Decimal("0.1")})
    for cell in (*filled["d"], *filled["l"], *drawn["d"]):
        assert isinstance(cell, decimal.Decimal) and cell.as_tuple().exponent == -2
    assert (drawn["f"] == np.float32(0.2)).all() and set(drawn["l"]) == {decimal.Decimal("0.1")}
    table = pa.Table.from_pandas(frame)
    assert hm.impute(rbm, table).schema.field("d").type == table.schema.field("d").type
    view = pd.DataFrame({"x": REAL, "v": pd.array(WORDS.tolist(), "string")})
    if hasattr(pa, "string_view"):
        view["v"] = pd.Series(pd.arrays.ArrowExtensionArray(pa.array(WORDS.tolist()).cast(pa.string_view())))
        with pytest.raises(ValueError, match="column 'v' is of Arrow's type string_view, which pandas lacks"):
            hm.Schema.of(view)


def emptied(frame, gone):
    """The frame without some cells, its columns as pandas reads such a file; one that is empty is NaN."""
    columns = {c: frame[c].mask(gone[:, k]) for k, c in enumerate(frame)}
    return pd.DataFrame({c: np.nan if x.isna().all() else x for c, x in columns.items()}, index=frame.index)


ALL = np.ones((4, 6), bool)
PATTERNS = {
    "all": ALL,
    "a row": ALL & (np.arange(4) == 2)[:, None],
    "two columns": ALL & np.isin(np.arange(6), (1, 3)),
    "all but two columns": ALL & ~np.isin(np.arange(6), (1, 3)),
    "all but one cell": ALL & (np.arange(24) != 9).reshape(4, 6),
    "all but one of each row": ~np.eye(4, 6, dtype=bool),
}


@pytest.fixture(scope="module")
def mixed():
    """(a machine of six kinds of columns, four rows of its table)."""
    categories = pd.Categorical(WORDS, ["p", "q", "s", "z"])
    frame = base(flag=FLAGS, level=categories, many=R.poisson(4, ROWS), here="yes")
    frame = frame[["flag", "c", "x", "level", "many", "here"]]
    schema = hm.Schema.of(frame)
    rbm = hm.RBM(schema.units(), hm.Bernoulli(2), seed=0)
    rbm.schema = schema
    return rbm, frame.head(4)


@pytest.mark.parametrize("case", PATTERNS)
def test_cells_may_be_empty_in_every_pattern(mixed, case):
    rbm, whole = mixed
    gaps = emptied(whole, PATTERNS[case])
    log_p = hm.log_likelihood(rbm, gaps).value
    assert log_p == pytest.approx(0.0 if case == "all" else log_p, abs=1e-6)
    assert hm.log_likelihood(rbm, gaps[gaps.columns[::-1]]).value == pytest.approx(log_p, abs=1e-9)
    for filled in (hm.impute(rbm, gaps), *hm.impute(rbm, gaps, draws=2), hm.sample(rbm, 4, given=gaps)):
        assert not filled.isna().any(axis=None)
        hm.log_likelihood(rbm, filled)  # its values are those of the columns
        known = ~PATTERNS[case]
        assert (filled.to_numpy(object)[known] == whole.to_numpy(object)[known]).all()
    if case in ("all", "all but one of each row"):
        assert hm.surprise(rbm, gaps).cells.shape == (4, 6)
        assert len(hm.conditional(rbm, gaps, "flag")) == len(hm.conditional(rbm, gaps, ["x", "c"])) == 4


REFUSED = {
    "arrow's null": (pd.array([None] * ROWS, dtype=pd.ArrowDtype(pa.null())), "is empty in every row"),
    "empty strings' type": (pd.array([None] * ROWS, dtype="string[pyarrow]"), "is empty in every row"),
    "beyond squares": (REAL * 1e200, r"must hold numbers up to 1e\+150, got"),
    "below squares": (REAL * 1e-200, "must hold numbers that differ by 1e-150 at least"),
    "money": ([f"${v:.2f}" for v in REAL], r"holds numbers as text with a sign, such as '\$"),
    "units": ([f"{v:.2f} kg" for v in REAL], r"holds numbers as text with a unit, such as '-?\d"),
    "debts": ([f"({v:.2f})" if v > 0 else f"{-v:.2f}" for v in REAL], "holds numbers as text with a sign"),
    "minus of print": (
        [f"{v:.2f}".replace("-", "\u2212") for v in REAL],
        "holds numbers as text with a sign",
    ),
    "rooms": ([f"{k}{'ab'[k % 2]}" for k in range(ROWS)], "holds another text in each of 40 rows"),
    "shares": ([f"{v} %" for v in range(ROWS)], "holds numbers as text with a sign, such as '0 %'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_columns_that_cannot_be_learned_are_named(case):
    column, words = REFUSED[case]
    with pytest.raises(ValueError, match=f"^X: column 'e' {words}") as error, warnings.catch_warnings():
        warnings.simplefilter("error")
        hm.Schema.of(base(e=column))
    assert "\n" not in str(error.value)


def test_a_few_levels_with_signs_are_categories():
    schema = hm.Schema.of(base(dose=R.choice(["5%", "10%", "20%"], ROWS)))
    assert type(schema["dose"]) is hm.columns.Category


def test_a_type_that_pandas_lacks_is_said():
    class Odd:
        def __dataframe__(self, **_):
            raise NotImplementedError("no\nsuch type.")

    with pytest.raises(TypeError, match="has a column of a type that pandas lacks: no such type.$"):
        hm.Schema.of(Odd())


@pytest.mark.parametrize(
    ("dtype", "ends"),
    [
        ("uint8", (0, 255)),
        ("Int8", (-128, 127)),
        ("UInt16", (0, 65_535)),
        ("int64", (1 - 2**53, 2**53 - 1)),
        ("float16", (-65_504, 65_504)),
        ("arrow:halffloat", (-65_504, 65_504)),
        ("arrow:int16", (-32_768, 32_767)),
        ("arrow:decimal128(5, 2)", (decimal.Decimal("-999.99"), decimal.Decimal("999.99"))),
    ],
)
def test_numbers_beyond_a_type_end_where_it_does(dtype, ends):
    storage = Storage.from_json(Storage(dtype).to_json())
    assert tuple(storage.series(np.array([-1e18, 1e18]), "x")) == ends
