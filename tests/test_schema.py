"""Schemas: a table in, a table out, and every wrong table in one sentence that names the column."""

import copy
import json
import math
import time
import tracemalloc

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

import harmonium as hm
from harmonium import columns as kinds
from harmonium import likelihood, store
from harmonium.columns.facts import facts_of
from harmonium.columns.maps import MAPS, Map
from harmonium.models.intake import rows_of
from people_table import NAN, people


@pytest.fixture(scope="module")
def model():
    """Untrained, of columns without gaps."""
    frame = people().dropna(axis=1)
    schema = hm.Schema.of(frame)
    rbm = hm.RBM(schema.units(), hm.Bernoulli(3), seed=1)
    rbm.schema = schema
    return rbm


# -- there and back --------------------------------------------------------------------------------------


def test_a_table_comes_back_as_it_was():
    frame = people()
    schema = hm.Schema.of(frame)
    codes = schema.encode(frame)
    assert codes.shape == (len(frame), len(schema.columns)) and schema.columns == tuple(frame.columns[:-1])
    gaps = frame[list(schema.columns)].isna().to_numpy()
    assert np.array_equal(np.isnan(codes), gaps)
    back = schema.decode(codes)
    for name in frame:
        pd.testing.assert_series_equal(back[name], frame[name], check_exact=True)


def test_states_and_codes_come_back_alike():
    schema = hm.Schema.of(frame := people())
    states = schema.units().encode(torch.from_numpy(np.nan_to_num(schema.encode(frame))))
    assert states.shape == (len(frame), schema.width) and schema.units().violation(states) is None
    whole = schema.decode(states)
    known = ~frame.isna()
    pd.testing.assert_frame_equal(whole.where(known), frame.where(known), check_dtype=False)
    with pytest.raises(ValueError, match="x must have .* columns of states or 14 of codes, got the shape"):
        schema.decode(states[:, :3])


@pytest.mark.parametrize(
    "column",
    [
        pd.Series([True, False, None, True], dtype=object),
        pd.Series([1.5, 2.5, NAN, 1.5]),
        pd.Series([-1, 1, 1, -1]),
        pd.Series(["no", "yes", None, "no"], dtype="category"),
        pd.Series([0, 255, 3, 4], dtype="uint8"),
        pd.Series([0.1, 0.2, 7.3, 4.0], dtype="Float64"),
        pd.Series([1, 2, 3, 3], dtype=pd.ArrowDtype(pa.int64())),
        pd.Series(["a", "b", "c", "a"], dtype=pd.ArrowDtype(pa.string())),
        pd.Series(pd.Categorical([3, 1, 2, 1], ordered=True)),
        pd.Series([1, 2, None, 1], dtype="UInt8"),
    ],
    ids=lambda column: str(column.dtype),
)
def test_every_dtype_comes_back(column):
    frame = pd.DataFrame({"x": pd.concat([column] * 20, ignore_index=True), 7: [0, 1] * 40})
    schema = hm.Schema.from_json(hm.Schema.of(frame).to_json())
    pd.testing.assert_frame_equal(schema.decode(schema.encode(frame)), frame)


def test_columns_are_found_by_name_in_any_order():
    frame = people()
    schema = hm.Schema.of(frame)
    other = frame[list(reversed(frame.columns))]
    assert np.array_equal(schema.encode(other), schema.encode(frame), equal_nan=True)
    assert schema.order(frame) is None and schema.order(other)[0] == len(frame.columns) - 1
    arrow = pa.Table.from_pandas(frame.drop(columns="object"))
    mine = hm.Schema.of(arrow)
    whole = schema.encode(frame)[:, [n != "object" for n in schema.columns]]
    assert np.array_equal(mine.encode(arrow), whole, equal_nan=True)


def test_whole_numbers_with_gaps_are_whole_numbers():
    x = pd.DataFrame({"n": [0.0, 1, 2, NAN, 3, 1] * 20, "y": [0, 1] * 60})
    schema = hm.Schema.of(x)
    assert type(schema["n"]) in (kinds.Count, kinds.Whole, kinds.Category)
    back = schema.decode(schema.encode(x))
    pd.testing.assert_frame_equal(back, x)


def test_samples_have_the_columns_dtypes_and_categories_of_the_table(model):
    frame = people().dropna(axis=1)
    drawn = hm.sample(model, 50, seed=1, sweeps=4)
    assert drawn.dtypes.equals(frame.dtypes) and len(drawn) == 50
    assert (drawn["here"] == "yes").all() and set(drawn["sex"]) <= {"f", "m"}
    back = model.schema.decode(model.schema.encode(drawn))
    pd.testing.assert_frame_equal(back, drawn)


def test_what_is_given_is_given_in_the_words_of_the_table(model):
    drawn = hm.sample(model, 6, given={"smoker": True, "age": 40, "here": "yes"}, sweeps=4)
    assert drawn["smoker"].all() and (drawn["age"] == 40).all() and (drawn["here"] == "yes").all()
    some = pd.DataFrame({"sex": ["f", None, "m"], "age": [30, 40, NAN]})
    drawn = hm.sample(model, 3, given=some, sweeps=4)
    assert (drawn["sex"][[0, 2]] == ["f", "m"]).all() and (drawn["age"][:2] == [30, 40]).all()
    with pytest.raises(ValueError, match=r"^given: expected one row, or 5 as are drawn, got 3\.$"):
        hm.sample(model, 5, given=some)
    for given, words in (
        ({"smokes": True}, r"^given: unknown column 'smokes'; the columns are sex, smoker,"),
        ({"sex": "x"}, r"^given: column 'sex' must hold 'f' or 'm', got 'x' in row 0\.$"),
    ):
        with pytest.raises(ValueError, match=words):
            hm.sample(model, 2, given=given)


def test_real_numbers_that_are_given_come_back_to_the_last_bit():
    r = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"x": r.normal(size=80), "n": r.integers(10**8, 2 * 10**8, 80), "s": ["a", "b"] * 40}
    )
    schema = hm.Schema.of(frame)
    model = hm.RBM(schema.units(), hm.Bernoulli(2), seed=0)
    model.schema = schema
    given = frame[["n", "x"]].head(6).copy()
    given.loc[2, "x"] = NAN
    drawn = hm.sample(model, 6, given=given, sweeps=2)
    assert drawn["n"].tolist() == given["n"].tolist() and drawn["n"].dtype == frame["n"].dtype
    known = given["x"].notna()
    assert drawn["x"][known].tolist() == given["x"][known].tolist() and drawn["x"].notna().all()
    schema = copy.copy(schema)
    schema["n"] = kinds.Count()
    counted = hm.RBM(schema.units(), hm.Bernoulli(2), seed=0)
    counted.schema = schema
    assert hm.sample(counted, 6, given=given, sweeps=2)["n"].tolist() == given["n"].tolist()
    drawn = hm.sample(model, 3, given={"x": 0.123456789123, "s": "a"}, sweeps=2)
    assert (drawn["x"] == 0.123456789123).all() and drawn["n"].nunique() == 3


def test_numbers_of_one_sign_go_straight_on_beyond_zero():
    r = np.random.default_rng(0)
    x = 100.0 * r.beta(3.0, 0.6, 500)
    for sign in (1.0, -1.0):
        kind = kinds.Number("power").fitted(facts_of(pd.Series(sign * x)))
        assert (kind.low, kind.high) == ((0.0, None) if sign > 0 else (None, 0.0))
        assert hm.columns.base.from_config(kind.config()) == kind
        t, beyond = kind.t(), -sign * np.array([1e-9, 0.5, 30.0, 4e3])
        assert t.forward(beyond) == pytest.approx(beyond / kind.unit)
        assert t.backward(t.forward(np.append(beyond, x * sign))) == pytest.approx(
            np.append(beyond, x * sign)
        )
        assert t.log_slope(beyond) == pytest.approx(-math.log(kind.unit))
        assert np.abs(kind.decode(np.linspace(-6, 6))).max() < 500
    both = kinds.Number("power").fitted(facts_of(pd.Series(np.append(x, -1.0))))
    assert both.low is None and both.high is None
    with pytest.raises(ValueError, match=r"^low, high: a power map has no bound but 0, got 5 and None\.$"):
        kinds.Number("power", low=5)


@pytest.mark.parametrize(
    ("kind", "least", "most"),
    [
        (kinds.Number("log", location=0.0, scale=1.0, decimals=0), 1.0, math.inf),
        (kinds.Number("log", location=0.0, scale=1.0, low=-2.0, decimals=1), -1.9, math.inf),
        (kinds.Number("logit", location=0.0, scale=1.0, low=0.0, high=1.0, decimals=2), 0.01, 0.99),
        (kinds.Number("logit", location=0.0, scale=1.0, low=0.0, high=100.0), 5e-324, np.nextafter(100, 0)),
    ],
)
def test_rounded_numbers_stay_where_their_map_is_defined(kind, least, most):
    codes = np.array([-800.0, -30.0, -3.0, 0.0, NAN, 3.0, 60.0])
    x = kind.decode(codes)
    assert np.isnan(x[4]) and np.nanmin(x) == least and np.nanmax(x) <= most
    assert np.isfinite(kind.encode(pd.Series(np.delete(x, 4)))).all()


# -- models ----------------------------------------------------------------------------------------------


def test_a_model_takes_a_schema_of_its_units_alone(model):
    schema = copy.copy(model.schema)
    rbm = hm.RBM(hm.Bernoulli(len(schema)), hm.Bernoulli(2))
    with pytest.raises(
        ValueError, match="^schema must be one of the visible units of the model, got one for"
    ):
        rbm.schema = schema
    with pytest.raises(TypeError, match=r"^schema must be a hm\.Schema or None, got 'x'\.$"):
        rbm.schema = "x"
    with pytest.raises(ValueError, match="^schema: that of a model is fixed by its units"):
        model.schema["age"] = kinds.Number()
    assert copy.deepcopy(model).schema == schema and model.columns == schema.columns
    assert hm.RBM(hm.Bernoulli(2), hm.Bernoulli(2)).schema is None


def test_saved_and_loaded_models_speak_the_same_words(model, tmp_path):
    frame = people().dropna(axis=1)
    hm.save(model, tmp_path / "m.safetensors")
    again = hm.load(tmp_path / "m.safetensors")
    assert again.schema == model.schema and again.columns == model.columns
    other = frame[list(reversed(frame.columns))]
    assert hm.log_likelihood(again, other).value == hm.log_likelihood(model, frame).value
    pd.testing.assert_frame_equal(hm.sample(again, 3, sweeps=4), hm.sample(model, 3, sweeps=4))


def test_damaged_schemas_are_refused(model, tmp_path):
    said = model.schema.config()
    for change, words in (
        (lambda s: s.update(format=9), "of a later harmonium"),
        (lambda s: s["columns"][0].update(name=["x"]), "a column with a name and a whole kind"),
        (lambda s: s["columns"][0]["kind"].update(kind="Date"), "expected a kind of column"),
        (lambda s: s["columns"][0]["kind"].update(values=["a"]), "values must be two different ones"),
        (lambda s: s["columns"][0]["kind"].update(more=1), "can't be made from its description"),
        (lambda s: s["columns"][0]["storage"].update(dtype=3), "how a column is stored"),
        (lambda s: s.pop("columns"), "can't be read"),
        (lambda s: s.update(columns=said["columns"][:1] * 2), "two of one name"),
    ):
        broken = json.loads(json.dumps(said))
        change(broken)
        with pytest.raises(ValueError, match=words):
            hm.Schema.from_config(broken)
    facts = {"kind": "model", "config": model.config(), "schema": {"format": 1}}
    store.save_tensors(tmp_path / "m.safetensors", model.state_dict(), facts)
    with pytest.raises(ValueError, match="can't be read: the schema can't be read"):
        hm.load(tmp_path / "m.safetensors")


def test_plain_zeros_and_ones_train_as_arrays_do():
    x = (np.random.default_rng(0).random((120, 4)) < [0.9, 0.2, 0.5, 0.0]).astype(int)
    one, two = (hm.fit(rows, steps=4).model for rows in (x, pd.DataFrame(x, columns=list("abcd"))))
    assert torch.equal(one.weight, two.weight) and one.visible.config() == two.visible.config()
    assert one.schema is None and two.schema.columns == tuple("abcd")


def test_fit_makes_the_schema_or_takes_one():
    frame = people(120)[["sex", "age", "here"]]
    history = hm.fit(frame, steps=3)
    assert history.model.schema == hm.Schema.of(frame)
    assert "X: column 'here' is constant ('yes'), and needs no unit." in history.warnings
    schema = hm.Schema.of(frame)
    schema["age"] = kinds.Count(max=120)
    made = hm.fit(frame, schema=schema, steps=3).model
    assert made.schema == schema and made.visible.config()["parts"][1]["trials"] == 120
    with pytest.raises(ValueError, match="^schema: a model brings its own"):
        hm.fit(made.visible, frame, schema=schema, steps=1)
    with pytest.raises(TypeError, match=r"^schema must be a hm\.Schema, got \{.*: hm\.Schema\.of\(X\) "):
        hm.fit(frame, schema={"age": kinds.Count()}, steps=1)
    for row in (frame.iloc[0], frame.iloc[0].to_dict()):
        with pytest.raises(TypeError, match="^X must be a table whose columns have names, got a (Ser|dic)"):
            hm.log_likelihood(made, row)
    with pytest.raises(ValueError, match="missing: age; unknown: ' age'"):
        hm.log_likelihood(made, frame.rename(columns={"age": " age"}))
    with pytest.raises(ValueError, match="^schema: a model brings its own"):
        hm.fit(made, frame, schema=schema)
    hm.fit(made, frame[["here", "age", "sex"]], validation=frame.iloc[:20], steps=2)
    named = hm.fit(lambda n: hm.RBM(hm.Bernoulli(2), hm.Bernoulli(n)), [[0, 1], [1, 0]] * 60, steps=3)
    assert named.model.hidden.n in named.settings["hidden_tried"]


# -- likelihoods -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MAPS)
def test_maps_are_inverted_and_their_slopes_are_right(name):
    for t in (Map(name, 0.0, 3.0, power, 0.7) for power in (0.0, 0.4, 1.0, 2.0)):
        x = np.linspace(0.05, 2.9, 50)
        x = np.concatenate([-x, x]) if name in ("linear", "power") else x
        assert np.allclose(t.backward(t.forward(x)), x, rtol=1e-12)
        slope = (t.forward(x + 1e-6) - t.forward(x - 1e-6)) / 2e-6
        assert np.allclose(np.exp(t.log_slope(x)), slope, rtol=1e-6)


@pytest.mark.parametrize("name", MAPS)
def test_densities_of_a_table_integrate_to_one(name):
    x = np.random.default_rng(0).gamma(2.0, 0.1, 200)
    number = kinds.Number(name, decimals=9).fitted(facts_of(pd.Series(x)))
    frame = pd.DataFrame({"x": x, "y": [0, 1] * 100})
    schema = hm.Schema.of(frame, kinds={"x": number})
    rbm = hm.RBM(schema.units(), hm.Bernoulli(2), seed=3)
    rbm.schema = schema
    grid = {"linear": (-1.5, 2.0), "logit": (1e-4, 1 - 1e-4)}.get(name, (1e-4, 6.0))
    grid = np.linspace(*(grid if name != "power" else (-3.0, 6.0)), 20_001)
    total = 0.0
    for y in (0, 1):
        rows = pd.DataFrame({"x": grid, "y": y})
        total += np.trapezoid(likelihood.log_probabilities(rbm, rows).value.exp().numpy(), grid)
    assert total == pytest.approx(1.0, abs=2e-3)


def test_another_scale_or_map_of_one_distribution_has_one_likelihood():
    x = np.random.default_rng(0).normal(5.0, 2.0, 100)
    frame = pd.DataFrame({"x": x, "y": [0, 1] * 50})
    values = []
    for location, scale in ((0.0, 1.0), (5.0, 2.0)):
        number = kinds.Number("linear", location=location, scale=scale)
        schema = hm.Schema.of(frame, kinds={"x": number})
        rbm = hm.RBM(schema.units(), hm.Bernoulli(2), seed=3)
        rbm.schema = schema
        with torch.no_grad():
            rbm.weight.zero_()
        rbm.visible.match(rows_of(rbm, frame).states())
        values.append(hm.log_likelihood(rbm, frame).value)
        given = likelihood.conditional_log_likelihood(rbm, frame, ["y"]).value
        of_y = likelihood.conditional_log_likelihood(rbm, frame, ["x"]).value
        assert values[-1] == pytest.approx(given + of_y, abs=1e-4)  # x and y are independent
    assert values[0] == pytest.approx(values[1], abs=1e-4)
    expected = -0.5 * np.log(2 * np.pi * np.e * x.var()) - np.log(2)
    assert values[0] == pytest.approx(expected, abs=1e-3)


# -- editing and printing --------------------------------------------------------------------------------


def test_a_schema_is_edited_and_printed():
    schema = hm.Schema.of(people())
    schema["age"] = kinds.Count(max=120)
    schema["colour"] = kinds.Category(other=True)
    assert schema["colour"] == kinds.Category(("blue", "green", "red"), other=True)
    text, html = repr(schema), schema._repr_html_()
    assert "age     int16     a count up to 120" in text and "Binomial of 120 trials" in text
    assert "one of 3 (&#x27;blue&#x27;, &#x27;green&#x27;, &#x27;red&#x27;), or another" in html
    assert "Warning: X: column 'here' is constant ('yes'), and needs no unit." in text
    assert "age" in schema and len(schema) == 15 == len(list(schema))
    for key, kind, error, words in (
        ("ages", kinds.Count(), KeyError, "there is no column 'ages'; the columns are sex,"),
        ("age", "count", TypeError, r"^kind must be one of hm\.columns, such as Count\(\), got 'count'\.$"),
        ("sex", kinds.Count(), ValueError, "^schema: column 'sex' must hold counts, whole numbers from 0"),
        ("age", kinds.Count(max=50), ValueError, "column 'age' must hold counts up to 50, got 89"),
        ("age", kinds.Whole(0, 30), ValueError, "column 'age' must hold whole numbers from 0 to 30, got 31"),
        ("age", kinds.Category((18, 19)), ValueError, "one of the categories 18 and 19, got 21[.]$"),
        ("age", kinds.Constant(3), ValueError, "must hold nothing but 3, .*, got 18[.]$"),
        ("sex", kinds.Binary(("f", "x")), ValueError, "column 'sex' must hold 'f' or 'x', got 'm'[.]$"),
        ("income", kinds.Number("log", low=5e6), ValueError, "column 'income' must hold numbers above 5e"),
    ):
        error, told = (ValueError, "^kinds must hold") if error is KeyError else (error, words)
        with pytest.raises(error, match=told.replace("^schema", "^X")):
            hm.Schema.of(people(), kinds={key: kind})
        with pytest.raises(KeyError if key == "ages" else error, match=words):
            schema[key] = kind
    schema["grade"] = kinds.Category(("low", "mid", "high"))  # which declares one that doesn't come
    with pytest.raises(ValueError, match="^kinds, leave_out: expected a column in one of them, got age"):
        hm.Schema.of(people(), kinds={"age": kinds.Count()}, leave_out=["age"])
    loaded = hm.Schema.from_json(schema.to_json())
    with pytest.raises(ValueError, match="column 'age' needs all of Number, since no data are known"):
        loaded["age"] = kinds.Number()


def test_a_state_is_kept_for_categories_that_come_later():
    frame = people()[["colour", "sex"]]
    schema = hm.Schema.of(frame, kinds={"colour": kinds.Category(other=True)})
    later = pd.DataFrame({"sex": ["f", "m"], "colour": ["mauve", "red"]})
    codes = schema.encode(later)
    assert codes[:, 0].tolist() == [3.0, 2.0] and schema.units().width == 5
    assert schema.decode(codes)["colour"].isna().tolist() == [True, False]
    with pytest.raises(
        ValueError, match="^X: column 'colour' must hold one of the categories 'blue', 'green'"
    ):
        hm.Schema.of(frame).encode(later)


def test_later_tables_are_held_against_the_schema(model):
    frame = people().dropna(axis=1)
    for table, words in (
        (frame.drop(columns="age"), r"in any order \(sex, .*\), got others \(missing: age\)\.$"),
        (frame.assign(extra=1), r"got others \(unknown: extra\)\.$"),
        (frame[["age", *frame.columns]], "columns of different names, got age more than once"),
        (frame.assign(sex="x"), r"^X: column 'sex' must hold 'f' or 'm', got 'x' in row 0\.$"),
        (frame.assign(sex=1), r"^X: column 'sex' must hold 'f' or 'm', got 1 in row 0\.$"),
        (frame.assign(age="old"), r"^X: column 'age' must hold numbers, got 'old' in row 0\.$"),
        (frame.assign(right=0.5), r"^X: column 'right' must hold .*whole numbers.*, got 0\.5 in row 0\.$"),
        (frame.assign(income=-1.0), r"^X: column 'income' must hold numbers above 0 .*got -1 in row 0\.$"),
        (
            frame.assign(here="no"),
            r"^X: column 'here' must hold nothing but 'yes', as when .*got 'no' in row 0",
        ),
    ):
        with pytest.raises(ValueError, match=words):
            hm.log_likelihood(model, table)


def test_arrays_go_by_position_as_ever(model):
    frame = people().dropna(axis=1)
    codes = model.schema.encode(frame)
    states = rows_of(model, frame).states()
    assert torch.equal(rows_of(model, codes).states(), states)
    expected = hm.log_likelihood(model, codes).value + model.schema.log_jacobian(frame).mean()
    assert hm.log_likelihood(model, frame).value == pytest.approx(expected, abs=1e-6)
    assert torch.equal(model.hidden_given_visible(frame), model.hidden_given_visible(states))


# -- size ------------------------------------------------------------------------------------------------


def test_encoding_takes_little_memory():
    r, rows = np.random.default_rng(0), 10_000
    frame = pd.DataFrame({f"n{k}": r.normal(size=rows) for k in range(20)})
    for k in range(10):
        frame[f"t{k}"] = pd.Series(r.choice(list("abcde"), rows))
        frame[f"b{k}"] = r.random(rows) < 0.4
    frame = frame.mask(r.random(frame.shape) < 0.1)
    begun = time.perf_counter()
    tracemalloc.start()
    codes = hm.Schema.of(frame).encode(frame)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert time.perf_counter() > begun and most < 4 * max(codes.nbytes, frame.memory_usage().sum())
