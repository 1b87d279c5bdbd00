"""How the kind of a column is told from its values, and which columns are refused."""

import datetime

import numpy as np
import pandas as pd
import pytest

import harmonium as hm
from harmonium import columns as kinds
from harmonium.columns.choice import kind_of
from harmonium.columns.facts import facts_of
from harmonium.columns.maps import FOLDS, Map, held_out
from people_table import people


def test_the_map_is_the_one_that_held_out_numbers_ask_for():
    r = np.random.default_rng(0)
    for x, name in (
        (r.normal(3, 2, 500), "linear"),
        (np.exp(r.normal(3, 1, 500)), "log"),
        (r.beta(0.5, 0.5, 500), "logit"),
        (r.exponential(5.0, 500) * (r.random(500) > 0.02), "power"),
    ):
        number = kinds.Number().fitted(facts_of(pd.Series(x)))
        assert number.map == name
        if name != "linear":
            assert held_out(number.t(), x).mean() > held_out(Map(), x).mean() + 0.05


@pytest.mark.parametrize("t", [Map(), Map("power", power=0.5, unit=2.0)])
def test_held_out_densities_are_normal_ones_fitted_to_the_other_folds(t):
    from scipy import stats

    r = np.random.default_rng(0)
    for x in (r.normal(1e3, 2, 23), np.append(r.normal(size=40), 1e12), np.repeat([2.0, 3.0], 11)):
        fold, found = np.arange(len(x)) % FOLDS, held_out(t, x)
        for k in range(FOLDS):
            others = t.forward(x[fold != k])
            law = stats.norm(others.mean(), others.std())
            expected = law.logpdf(t.forward(x[fold == k])) + t.log_slope(x[fold == k])
            assert found[fold == k] == pytest.approx(expected, rel=1e-9)


def test_kinds_of_whole_numbers():
    r = np.random.default_rng(0)
    for x, kind in (
        (r.poisson(3.0, 1000), kinds.Count),
        (r.binomial(12, 0.8, 1000), kinds.Whole),
        (r.choice([0, 5], 1000), kinds.Binary),
        (np.where(r.random(1000) < 0.5, 0, r.poisson(6.0, 1000)), kinds.Category),
        (r.negative_binomial(0.7, 0.02, 1000), kinds.Number),
        (r.integers(18, 90, 1000), kinds.Number),
        (r.choice([0.5, 1.5, 4.5], 1000), kinds.Category),
    ):
        found = kind_of(facts_of(pd.Series(x)))
        assert type(found) is kind, (found, kind)


def test_one_far_cell_does_not_outweigh_all_others():
    """The scatter of its loss would leave in doubt that a Poisson law, or a straight line, is wrong."""
    r = np.random.default_rng(0)
    prices = np.round(np.exp(r.normal(11.5, 0.4, 50)))
    prices[7] = 1.5e6
    assert type(kind_of(facts_of(pd.Series(prices.astype(int))))) is kinds.Number
    places = np.exp(r.normal(8.5, 1.2, 400))
    places[:2] = 0.0, 3e6
    number = kinds.Number().fitted(facts_of(pd.Series(places)))
    assert number.map == "power" and number.power < 0.2
    gain = held_out(number.t(), places) - held_out(Map("power", power=0.0, unit=places.std()), places)
    assert number.unit < 10_000 < places.std() and np.median(gain) > 0.5  # which bends small places as well


@pytest.mark.parametrize("rows", [3, 6, 9])
def test_few_large_whole_numbers_are_numbers(rows):
    wages = np.array([52_000, 81_500, 40_250, 46_000, 120_000, 61_300, 58_000, 39_900, 75_000])[:rows]
    for x, kind in ((wages, kinds.Number), (wages - 60_000, kinds.Number), (np.arange(rows), kinds.Count)):
        assert type(kind_of(facts_of(pd.Series(x)))) is kind


# -- wrong tables ----------------------------------------------------------------------------------------

GOOD = {"y": [0, 1] * 15}
WRONG = {
    "empty": ([None] * 30, "is empty in every row: leave it out \\(leave_out="),
    "dates": (pd.date_range("2020-01-01", periods=30), r"holds dates or times \(datetime64.*\), of which no"),
    "date objects": ([datetime.date(2020, 1, 1 + k) for k in range(30)], r"holds dates or times \(date\)"),
    "dates as text": ([f"2020-01-{k + 1:02}" for k in range(30)], r"holds dates or times \(as text, such as"),
    "names": (
        [f"person {k}" for k in range(30)],
        "holds another text in each of 30 rows, which names the rows",
    ),
    "numbers of rows": (list(range(1, 31)), "numbers the rows, 1 to 30, and can't be learned"),
    "much text": (
        [f"t{k // 1.2:.0f}" for k in range(30)],
        "holds 25 different texts in 30 rows, too many for cat",
    ),
    "categories": (
        pd.Categorical(["a"] * 30, [f"c{k}" for k in range(40)] + ["a"]),
        "has 41 categories for 30",
    ),
    "intervals": (pd.cut(np.arange(30.0), 3), "has categories that are Intervals"),
    "infinite": ([1.0] * 29 + [np.inf], r"must hold finite numbers, got inf in row 29"),
    "mixed": (
        ["a", 1, 2.5] * 10,
        r"must hold values of one type, got text \('a'\) and numbers \(1\) in row 1",
    ),
    "lists among words": (["a", "b", ["c"]] * 10, r"must hold values of one type, got text"),
    "lists": ([[1], [2]] * 15, "must hold text, numbers or True and False, got list in row 0"),
    "complex": ([1j, 2j] * 15, "holds complex numbers"),
    "decimal commas": (["1,5", "2,75", "3"] * 10, "holds numbers as text, with decimal commas"),
    "numbers as text": (["1.5", "2.75", "3"] * 10, "holds numbers as text, such as '1.5'"),
    "a mark": (
        [str(k % 12) for k in range(29)] + ["?"],
        r"must hold .* text \('\?'\) in row 29: leave the cell empty where nothing is known \(na_values",
    ),
    "huge": ([2**60, 5, 6] * 10, r"must hold whole numbers below 2\*\*53"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_columns_are_named(case):
    column, words = WRONG[case]
    frame = pd.DataFrame({**GOOD, "x": column})
    with pytest.raises(ValueError, match=f"^X: column 'x' {words}") as error:
        hm.fit(frame, steps=1)
    assert str(error.value).endswith(".") and "\n" not in str(error.value)


def test_text_that_looks_like_numbers_or_dates_may_be_categories():
    for column in (
        [str(k % 12) for k in range(29)] + ["some"],
        [f"2020-01-{k % 3 + 1:02}" for k in range(30)],
    ):
        frame = pd.DataFrame({**GOOD, "x": column})
        schema = hm.Schema.of(frame, kinds={"x": kinds.Category()})
        assert set(schema["x"].values) == set(column)
        with pytest.raises(ValueError, match="^X: column 'x' must hold numbers"):
            hm.Schema.of(frame, kinds={"x": kinds.Number()})


def test_words_that_look_empty_are_told():
    frame = pd.DataFrame(
        {**GOOD, "a": ["   ", "no "] * 15, "b": ["NA", ".", "p"] * 10, "c": ["none", "No"] * 15}
    )
    schema = hm.Schema.of(frame)
    assert schema.warnings == (
        "X: of columns 'a' ('   ') and 'b' ('.' and 'NA') cells that look empty are learned as words: if"
        " nothing is known there, leave them empty (NaN), else say what the column is (kinds=).",
    )
    asked = {"a": kinds.Binary(), "b": kinds.Category()}
    assert not hm.Schema.of(frame, kinds=asked).warnings
    assert schema.warnings[0] in hm.fit(frame, steps=1).warnings


def test_words_that_differ_in_blanks_or_capitals_alone_are_told():
    frame = pd.DataFrame({**GOOD, "a": ["No", "No ", "Yes"] * 10, "b": ["Rome", "ROME", "Oslo"] * 10})
    assert hm.Schema.of(frame).warnings == (
        "X: columns 'a' ('No' and 'No ') and 'b' ('ROME' and 'Rome'): words that differ in blanks or in"
        " capitals alone are learned as different ones; where they are the same, write them the same.",
    )
    assert not hm.Schema.of(frame, kinds={"a": kinds.Category(), "b": kinds.Category()}).warnings


def test_warnings_follow_what_a_schema_is_changed_to():
    frame = pd.DataFrame({**GOOD, "a": ["?", "no"] * 15, "b": ["here"] * 30, "c": ["now"] * 30})
    schema = hm.Schema.of(frame)
    assert ["look empty" in said for said in schema.warnings] == [True, False]
    assert "'b' ('here') and 'c'" in schema.warnings[1]
    schema["a"], schema["b"] = kinds.Binary(), kinds.Category(("here", "there"))
    assert schema.warnings == ("X: column 'c' is constant ('now'), and needs no unit.",)


def test_a_table_whose_columns_are_all_left_out_is_refused():
    with pytest.raises(ValueError, match="^X must have a column that isn't left out, got y left out.$"):
        hm.Schema.of(pd.DataFrame(GOOD), leave_out=["y"])


def test_all_wrong_columns_are_named_in_one_sentence():
    wrong = {key: WRONG[key][0] for key in ("names", "empty", "infinite")}
    frame = pd.DataFrame({**GOOD, **wrong, "blank": [None] * 30})
    with pytest.raises(ValueError) as error:
        hm.Schema.of(frame, first=1, name="t.csv")
    assert str(error.value) == (
        "t.csv: column 'names' holds another text in each of 30 rows, which names the rows and can't be"
        " learned: leave it out (leave_out= of hm.Schema.of, --leave-out on the command line); 3 more columns"
        " can't be learned as they are: 'empty', 'blank' (is empty in every row), 'infinite' (must hold"
        " finite numbers, got inf in row 30)."
    )
    with pytest.raises(ValueError, match="; another column can't be learned as it is: 'blank'") as error:
        hm.Schema.of(frame, leave_out=["names", "infinite"])
    assert str(error.value).endswith("(is empty in every row).")


@pytest.mark.parametrize(
    ("times", "words"),
    [(1, "names the rows and can't be learned: "), (2, "too many for categories: join some of them, ")],
)
def test_codes_that_are_too_many_may_be_numbers(times, words):
    codes = [f"{k:05d}" for k in range(30)] + [f"{k:05d}" for k in range(10)] * (times - 1)
    frame = pd.DataFrame({"x": codes, "y": [0, 1] * (len(codes) // 2)})
    with pytest.raises(
        ValueError, match=f"{words}write them without leading zeros if they are numbers, or leave"
    ):
        hm.Schema.of(frame)


@pytest.mark.parametrize(
    "written",
    [
        "{0}/{1}/21",
        "{1}.{0}.2021",
        "{1} Jan 2021",
        "Jan {1}, 2021",
        "2021/{0}/{1} 12:30",
        "{0}:{1}0",
        "{0}:{1}0 pm",
    ],
)
def test_dates_and_times_are_known_as_they_are_written(written):
    frame = pd.DataFrame({"x": [written.format(k % 12 + 1, k % 5 + 1) for k in range(60)], "y": [0, 1] * 30})
    with pytest.raises(ValueError, match=r"^X: column 'x' holds dates or times \(as text, such as"):
        hm.Schema.of(frame)


def test_codes_and_words_are_no_dates():
    for written in ("A/B/{0}", "v{0}.1.2", "{0} men 20", "Jan {0}", "{0}-{1}"):
        frame = pd.DataFrame({"x": [written.format(k % 7, k % 2) for k in range(60)], "y": [0, 1] * 30})
        assert type(hm.Schema.of(frame)["x"]) is kinds.Category


@pytest.mark.parametrize("seed", range(3))
def test_counts_that_the_rest_tells_are_no_poisson_counts(seed):
    r = np.random.default_rng(seed)
    tilt = r.normal(size=400)
    frame = pd.DataFrame(
        {
            "told": r.binomial(
                20, 1 / (1 + np.exp(-0.5 * tilt))
            ),  # its variance is 9.6, as its mean; 5 given tilt
            "counted": r.poisson(np.exp(1.5 + 0.3 * tilt)),  # no narrower than its mean whatever is known
            "tilt": tilt.round(3),
            "side": np.where(tilt + r.normal(size=400) > 0, "left", "right"),
        }
    )
    assert type(hm.Schema.of(frame[["told"]])["told"]) is kinds.Count
    schema = hm.Schema.of(frame.mask(r.random(frame.shape) < 0.1))
    assert type(schema["told"]) is kinds.Number and type(schema["counted"]) is not kinds.Number
    assert type(hm.Schema.of(frame, leave_out=["tilt", "side", "counted"])["told"]) is kinds.Count


def test_codes_that_begin_with_0_are_names():
    frame = pd.DataFrame({"x": [f"{k % 15:03}" for k in range(59)] + ["136A"], "y": [0, 1] * 30})
    assert type(hm.Schema.of(frame)["x"]) is kinds.Category


def test_whole_numbers_that_never_repeat_are_said():
    frame = pd.DataFrame({"n": [1000 + 7 * k for k in range(60)], "y": [0, 1] * 30})
    (warning,) = hm.Schema.of(frame).warnings
    assert warning.startswith("X: column 'n' holds another whole number in each of 60 rows: if they name")
    assert not hm.Schema.of(frame, kinds={"n": kinds.Number()}).warnings
    assert not hm.Schema.of(frame.head(40)).warnings


def test_one_sentence_tells_of_many_columns():
    alike = {f"c{k}": k for k in range(30)}
    ids = {name: 1000 + np.random.default_rng(k).permutation(60) * 7 for k, name in enumerate("mn")}
    frame = pd.DataFrame({"x": np.random.default_rng(0).normal(size=60), **alike, **ids})
    constant, different = hm.Schema.of(frame).warnings
    assert constant.startswith("X: 30 columns are constant, and need no units: 'c0' (0), 'c1' (1), ")
    assert constant.endswith("'c11' (11) and 18 more.")
    assert different.startswith("X: 2 columns hold another whole number in each of 60 rows: 'm' and 'n'; ")


def test_wrong_tables_are_named():
    frame = people()
    for table, words in (
        (frame.iloc[:0], "X must hold at least one row and one column, got 0 x 15"),
        (frame[[]], "at least one row and one column"),
        (frame[["sex", "age", "sex"]], "columns of different names, got sex more than once"),
        (frame[["here"]], "X must have a column that varies, got none"),
    ):
        with pytest.raises(ValueError, match=words):
            hm.Schema.of(table)
    with pytest.raises(TypeError, match="X must be a table whose columns have names, got ndarray of shape"):
        hm.Schema.of(np.zeros((2, 2)))
    with pytest.raises(ValueError, match="leave_out must hold names of columns .*got name"):
        hm.Schema.of(frame, leave_out=["name"])


def test_identifiers_are_left_out_where_asked():
    frame = people(30).assign(name=[f"person {k}" for k in range(30)], number=range(30))
    schema = hm.Schema.of(frame, leave_out=["name"], kinds={"number": kinds.Number()})
    assert "name" not in schema and "number" in schema and schema.left_out == ("name",)
    codes = schema.encode(frame)
    assert np.array_equal(schema.encode(frame.drop(columns="name")), codes, equal_nan=True)
    assert "name" not in schema.decode(codes)
