"""Questions to a model about cells of a table: what is empty, what a column may hold, what is surprising."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch

import harmonium as hm
import registry
from harmonium import plots
from harmonium.answers import imputation, surprises
from harmonium.answers.imputation import impute
from harmonium.answers.surprises import conditional, surprise
from harmonium.models import intake
from harmonium.models import table as table_of_numbers
from harmonium.sampling import draw
from statistics_budget import z_threshold

NAN = float("nan")


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    numbers = np.random.default_rng(0)
    group = numbers.integers(0, 3, 300)
    return pd.DataFrame(
        {
            "kind": np.array(["red", "green", "blue"])[group],
            "smoker": numbers.random(300) < 0.1 + 0.4 * group,
            "age": numbers.normal(40 + 10 * group, 3, 300).round(1),
            "income": np.exp(numbers.normal(3 + group, 0.3, 300)),
            "kids": numbers.poisson(1 + group),
            "place": "here",
        },
        index=[f"person {k}" for k in range(300)],
    )


@pytest.fixture(scope="module")
def model(table: pd.DataFrame) -> hm.RBM:
    """A machine whose parameters come from nowhere: its answers are checked against itself."""
    schema = hm.Schema.of(table)
    rbm = hm.RBM(schema.units(), hm.Bernoulli(4), seed=0)
    registry.scatter(rbm, 3)
    with torch.no_grad():
        rbm.weight.mul_(0.5)
    rbm.schema = schema
    return rbm


def emptied(table: pd.DataFrame, share: float = 0.3, seed: int = 1) -> tuple[pd.DataFrame, np.ndarray]:
    gone = np.random.default_rng(seed).random(table.shape) < share
    return table.astype({"smoker": object}).mask(gone), gone


def exact_cells(model: hm.RBM, row: torch.Tensor) -> torch.Tensor:
    """⟨v | known⟩ of a machine of 0/1 units by all states."""
    states = model.visible.states(torch.arange(2**model.visible.n)).double()
    agree = (torch.isnan(row) | (states == row)).all(1)
    p = torch.softmax(torch.where(agree, -model.free_energy(states).detach(), -math.inf), 0)
    return p @ states


def test_only_empty_cells_change_and_all_of_them_do(model, table):
    gaps, gone = emptied(table)
    filled, doubt = impute(model, gaps, uncertainty=True)
    assert list(filled.columns) == list(table.columns) and filled.index.equals(table.index)
    assert not filled.isna().any().any()
    same = filled.astype(object).to_numpy() == table.astype(object).to_numpy()
    assert same[~gone].all()
    assert (doubt.to_numpy()[~gone] == 0).all()
    has_unit = np.array([name != "place" for name in table])
    assert (doubt.to_numpy()[:, has_unit][gone[:, has_unit]] > 0).all()
    assert (filled["place"] == "here").all()
    assert filled.dtypes["kids"] == table.dtypes["kids"] and filled["smoker"].dtype.kind == "b"


def test_columns_in_another_order_get_the_same_answers(model, table):
    gaps, _ = emptied(table.head(40))
    turned = gaps[list(reversed(gaps.columns))]
    assert impute(model, turned)[list(gaps.columns)].equals(impute(model, gaps))


def test_a_table_without_gaps_comes_back_as_it_is(model, table):
    assert impute(model, table).equals(table)
    assert all(drawn.equals(table) for drawn in impute(model, table, draws=2))


@pytest.mark.parametrize("by_chains", [False, True])
def test_guesses_and_doubts_are_those_of_all_states(monkeypatch, by_chains):
    """By completions, and by chains within 4.5 standard errors."""
    machine = hm.RBM(hm.Bernoulli(6), hm.Bernoulli(3), dtype=torch.float64, seed=0)
    registry.scatter(machine, 7)
    if by_chains:
        monkeypatch.setattr(imputation, "EXACT_STATES", 0)
        monkeypatch.setattr(imputation, "COPIES", 256)
    rows = torch.tensor([[1.0, NAN, 0, NAN, NAN, 1], [0, 1, NAN, 0, 0, 0], [1, 1, 0, 1, 0, 0]]).double()
    filled, doubt = impute(machine, rows, uncertainty=True)
    for row in range(3):
        means = exact_cells(machine, rows[row])
        free = torch.isnan(rows[row])
        clear = free & ((means - 0.5).abs() > 0.05)
        assert torch.equal(filled[row][clear], (means[clear] > 0.5).double())
        error = (doubt[row] - torch.minimum(means, 1 - means))[free].abs()
        assert bool((error < (4.5 * 0.5 / 1024**0.5 if by_chains else 1e-9)).all())


def test_expected_numbers_are_means_in_the_words_of_the_table(model, table):
    """Of a column with a logarithm the mean of exp, not exp of the mean: against draws."""
    gaps = table.head(6).copy()
    gaps["income"] = NAN
    filled, doubt = impute(model, gaps, uncertainty=True)
    many = pd.concat([gaps] * 400, ignore_index=True)  # rows are drawn independently, and in one go
    drawn = impute(model, many, draws=1)[0]["income"].to_numpy().reshape(400, 6)
    error = drawn.std(0) / 400**0.5
    assert (np.abs(filled["income"] - drawn.mean(0)) < 5 * error + 0.06 * drawn.mean(0)).all()
    assert np.allclose(doubt["income"], drawn.std(0), rtol=0.5)


@pytest.mark.parametrize("other", [False, True])
def test_amounts_are_guessed_by_the_one_next_to_their_mean_and_codes_by_the_most_probable(other):
    """P = 0.4, 0.35, 0.25 for 10, 0, 4 (in that order; half of that where there are others): mean 5, so 4."""
    p = np.array([0.4, 0.35, 0.25])
    frame = pd.DataFrame({"x": [NAN]})
    for amounts, guess, doubt in ((True, 4.0, (0.4 * 100 + 0.25 * 16 - 25) ** 0.5), (False, 10.0, None)):
        kind = hm.columns.Category((10, 0, 4), other=other, amounts=amounts)
        schema = hm.Schema.of(pd.DataFrame({"x": [0.0, 4.0, 10.0] * 9}), kinds={"x": kind})
        rbm = hm.RBM(schema.units(), hm.Bernoulli(1), seed=0, dtype=torch.float64)
        with torch.no_grad():
            rbm.weight.zero_()
            rbm.visible.bias.copy_(torch.from_numpy(np.log(np.append(p / 2, 0.5) if other else p)))
        rbm.schema = schema
        filled, spread = impute(rbm, frame, uncertainty=True)
        if amounts:
            assert spread["x"][0] == pytest.approx(doubt)
        if amounts or not other:
            assert filled["x"][0] == guess


def test_words_are_no_amounts():
    frame = pd.DataFrame({"word": ["a", "b", "c"] * 9})
    with pytest.raises(ValueError, match="^X: column 'word' must hold numbers to be amounts"):
        hm.Schema.of(frame, kinds={"word": hm.columns.Category(amounts=True)})
    with pytest.raises(ValueError, match="^values must be numbers to be amounts, got 'a' and 'b'[.]$"):
        hm.columns.Category(("a", "b"), amounts=True)


def test_draws_scatter_as_the_conditional_distribution_does():
    machine = hm.RBM(hm.Bernoulli(5), hm.Bernoulli(3), dtype=torch.float64, seed=0)
    registry.scatter(machine, 9)
    row = torch.tensor([[1.0, NAN, NAN, 0, 1]]).double()
    drawn = torch.stack(impute(machine, row.repeat(200, 1), draws=10)).flatten(0, 1)
    means = exact_cells(machine, row[0])
    assert torch.allclose(drawn.mean(0), means, atol=4.5 * 0.5 / 2000**0.5)
    both = (drawn[:, 1] * drawn[:, 2]).mean()
    states = machine.visible.states(torch.arange(32)).double()
    agree = (torch.isnan(row[0]) | (states == row[0])).all(1)
    p = torch.softmax(torch.where(agree, -machine.free_energy(states).detach(), -math.inf), 0)
    assert float(both) == pytest.approx(float(p @ (states[:, 1] * states[:, 2])), abs=4.5 * 0.5 / 2000**0.5)


@pytest.mark.parametrize("make", [np.asarray, torch.tensor, lambda x: pd.DataFrame(x)])
def test_rows_come_back_in_the_form_they_had(make):
    machine = hm.RBM(hm.Categorical(2, states=3), hm.Bernoulli(2), seed=0)
    codes = make([[0.0, NAN], [2.0, 1.0]])
    filled = impute(machine, codes)
    assert type(filled) is type(codes) and filled.shape == codes.shape
    states = np.array([[1.0, 0, 0, NAN, NAN, NAN], [0, 0, 1, 0, 1, 0]])
    assert impute(machine, states)[0, 3:].sum() == 1.0


@pytest.mark.parametrize("make", ["pyarrow", "polars"])
def test_frames_of_other_makes_go_through_every_door(make):
    module = pytest.importorskip(make)
    columns = {
        "yes": [True, False, None, True] * 10,
        "kind": ["a", "b", "c", None] * 10,
        "n": [None, 1, 4, 2] * 10,
        "x": [0.5, None, 2.5, 1.25] * 10,
    }
    table = module.table(columns) if make == "pyarrow" else module.DataFrame(columns)
    schema = hm.Schema.of(table)
    rbm = hm.RBM(schema.units(), hm.Bernoulli(2), seed=0)
    rbm.schema = schema
    hm.fit(rbm, table, steps=2, progress=False)
    filled, doubt = impute(rbm, table, uncertainty=True)
    assert type(filled) is type(doubt) is type(table)
    assert filled.schema == table.schema
    drawn = impute(rbm, table, draws=2)
    assert all(type(t) is type(table) and t.schema == table.schema for t in drawn)
    known, whole = table.to_pandas(), filled.to_pandas()
    assert not whole.isna().any().any()
    same = known.isna() | (known.astype(object) == whole.astype(object))
    assert same.all().all()
    rows = hm.log_likelihood(rbm, table).value
    assert rows == pytest.approx(hm.log_likelihood(rbm, known).value)
    assert list(hm.sample(rbm, 40, given=table).columns) == list(known.columns)
    assert len(conditional(rbm, table, "kind")) == len(surprise(rbm, table).rows) == 40


@pytest.mark.parametrize("make", ["Int64", "int64[pyarrow]", "pyarrow", "polars"])
def test_real_numbers_in_a_column_that_happens_to_be_whole_stay_real(make):
    r = np.random.default_rng(0)
    frame = pd.DataFrame({"x": r.normal(100, 20, 80).round(2), "n": r.poisson(3, 80)})
    schema = hm.Schema.of(frame)
    rbm = hm.RBM(schema.units(), hm.Bernoulli(2), seed=0)
    rbm.schema = schema
    rows: dict = {"x": [100, None, 90], "n": [4, 1, None]}
    if make in ("pyarrow", "polars"):
        module = pytest.importorskip(make)
        table = module.table(rows) if make == "pyarrow" else module.DataFrame(rows)
    else:
        table = pd.DataFrame({name: pd.array(cells, dtype=make) for name, cells in rows.items()})
    best = impute(rbm, pd.DataFrame(rows))
    for filled in (impute(rbm, table), impute(rbm, table, draws=1)[0]):
        assert type(filled) is type(table)
        types = [
            str(t).lower().split("[")[0]
            for t in (filled.dtypes if hasattr(filled, "dtypes") else filled.schema.types)
        ]
        assert types in (["float64", "int64"], ["double", "int64"])
    found = filled if isinstance(filled, pd.DataFrame) else filled.to_pandas()
    assert found["x"].tolist()[::2] == [100.0, 90.0] and found["x"][1] % 1.0 != 0.0
    whole = impute(rbm, table)
    whole = whole if isinstance(whole, pd.DataFrame) else whole.to_pandas()
    assert whole["x"].tolist() == best["x"].tolist() and whole["n"].tolist() == best["n"].tolist()


def test_conditional_probabilities_have_the_words_of_the_column(model, table):
    p = conditional(model, table.head(5), "kind")
    assert set(p.columns) == {"red", "green", "blue"} and list(p.index) == list(table.index[:5])
    assert np.allclose(p.sum(axis=1), 1.0)
    moved = table.head(5).assign(kind=list(table["kind"].iloc[1:6]))
    assert np.allclose(conditional(model, moved, "kind"), p, atol=1e-12)  # its own value counts for nothing
    empty = table.head(5).assign(kind=None)
    assert np.allclose(conditional(model, empty, "kind"), p, atol=1e-12)
    smoker = conditional(model, table.head(5), "smoker")
    assert list(smoker.columns) == [False, True]
    schema = hm.Schema.of(
        table[["kind", "smoker"]].assign(n=np.arange(len(table)) % 7), kinds={"n": hm.columns.Whole(0, 7)}
    )
    counted = hm.RBM(schema.units(), hm.Bernoulli(2), seed=0)
    counted.schema = schema
    labels = conditional(counted, schema.decode(np.zeros((1, 3))), "n").columns
    assert [repr(label) for label in labels] == [str(k) for k in range(8)]


def test_conditional_numbers_are_quantiles_in_the_words_of_the_column(model, table):
    p = conditional(model, table.head(5), "income")
    assert (p["5%"] < p["50%"]).all() and (p["50%"] < p["95%"]).all() and (p["mean"] > p["50%"]).all()
    several = conditional(model, table.head(5), ["smoker", "kids"])
    assert several["smoker"].shape == (5, 2) and (several["kids"]["50%"] >= 0).all()


def test_surprise_finds_the_one_wrong_cell(table):
    """Rows of a known law, of which one cell is against it."""
    schema = hm.Schema.of(table[["kind", "age"]])
    rbm = hm.RBM(schema.units(), hm.Bernoulli(6), seed=0)
    rbm.schema = schema
    hm.fit(rbm, table[["kind", "age"]], steps=300, progress=False, seed=0)
    wrong = table[["kind", "age"]].copy()
    wrong.iloc[17, 1] = 95.0
    found = surprise(rbm, wrong)
    top = found.top(1).iloc[0]
    assert (top["row"], top["column"], top["value"]) == ("person 17", "age", 95.0)
    assert plots.surprising_cells(found, 3).axes
    assert "person 17" in found._repr_html_()


def test_surprise_is_the_ratio_of_joint_probabilities(model, table):
    """log P(cell | rest) in the table's own units = log P(row) - log P(rest), for a pair by both values."""
    rows = table.head(4)
    found = surprise(model, rows)
    other = rows.assign(smoker=~rows["smoker"])
    gap = surprise(model, other).rows["log_p"] - found.rows["log_p"]
    expected = -np.log(np.exp(-found.cells["smoker"])) + np.log1p(-np.exp(-found.cells["smoker"]))
    assert np.allclose(gap, expected, atol=1e-5)
    assert found.cells["place"].isna().all()
    # of a number with a logarithm for a map, in the table's own units too
    other = surprise(model, rows.assign(income=1.7 * rows["income"]))
    gap = other.rows["log_p"] - found.rows["log_p"]
    assert np.allclose(gap, found.cells["income"] - other.cells["income"], atol=1e-4)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda m, t: impute(m, t, draws=3, uncertainty=True), "uncertainty"),
        (lambda m, t: impute(m, t, uncertainty="no"), "uncertainty must be True or False, got 'no'"),
        (lambda m, t: impute("no model", t), "model must be"),
        (lambda m, t: conditional(m, t, "height"), "columns: expected names"),
        (lambda m, t: conditional(m, t, "place"), "constant"),
        (lambda m, t: surprise(m, t.drop(columns="age")), "age"),
        (lambda m, t: surprise(m, t).top(0), "n must be"),
    ],
)
def test_wrong_questions_get_one_sentence(model, table, call, told):
    with pytest.raises((TypeError, ValueError), match=told):
        call(model, table.head(3))


def test_draws_beyond_what_is_drawn_at_a_time_come_in_batches_of_their_own(monkeypatch):
    """7 draws of 60 rows, three at a time: each draws free cells anew, by the right probabilities."""
    machine = hm.RBM(hm.Bernoulli(12), hm.Bernoulli(3), dtype=torch.float64, seed=0)
    registry.scatter(machine, 5)
    rows = torch.tensor([[0.0, 1.0, 1.0] + 9 * [NAN]]).double().repeat(60, 1)
    monkeypatch.setattr(imputation, "NUMBERS", 3 * rows.numel())
    batches = []
    sample = imputation.completed_states

    def counted(model, given, *rest, **more):
        batches.append((len(given), more["seed"]))
        return sample(model, given, *rest, **more)

    monkeypatch.setattr(imputation, "completed_states", counted)
    drawn = torch.stack(list(impute(machine, rows, draws=7)))
    assert [n for n, _ in batches] == [180, 180, 60] and len({seed for _, seed in batches}) == 3
    assert (drawn[..., :3] == rows[0, :3]).all() and not drawn.isnan().any()
    assert not any(torch.equal(drawn[i], drawn[j]) for i in range(7) for j in range(i))
    exact = exact_cells(machine, rows[0])
    share = drawn.flatten(0, 1).mean(0)
    reach = z_threshold(9) * (exact * (1 - exact)).clamp(min=0.0).sqrt() / 420**0.5 + 1e-9
    assert ((share - exact).abs() <= reach).all()
    again = torch.stack(list(impute(machine, rows, draws=7)))
    assert torch.equal(again, drawn)


@pytest.mark.parametrize("column", ["kind", "smoker", "age", "income"])
def test_uncertainty_is_that_of_the_law_that_made_the_table(model, column):
    """Rows drawn from the model, of which a column is taken away: 90 % intervals hold 90 %, deviations are
    root mean square errors, doubts the share of wrong guesses.
    """
    rows = 2000
    truth = hm.sample(model, rows, seed=5)
    gaps = truth.assign(**{column: pd.array([None] * rows, dtype=object)})
    guess, doubt = impute(model, gaps, uncertainty=True)
    found, d = guess[column], doubt[column].to_numpy(float)
    z = z_threshold(2)
    if column in ("kind", "smoker"):
        wrong = (found.to_numpy(object) != truth[column].to_numpy(object)).astype(float)
        assert wrong.mean() > 0.02
        assert abs((wrong - d).sum()) < z * np.sqrt((d * (1.0 - d)).sum())
        return
    x = truth[column].to_numpy(float)
    ends = conditional(model, gaps, column)
    inside = (ends["5%"].to_numpy() <= x) & (x <= ends["95%"].to_numpy())
    assert abs(inside.mean() - 0.9) < z * np.sqrt(0.09 / rows)
    square = ((x - found.to_numpy(float)) / d) ** 2
    assert abs(square.mean() - 1.0) < z * square.std() / np.sqrt(rows)


def test_rows_are_taken_some_at_a_time_and_get_the_same_answers(monkeypatch, model, table):
    """Of a table larger than what is looked at together: no states of all rows, and the same bits."""
    gaps, _ = emptied(table)
    monkeypatch.setattr(imputation, "EXACT_STATES", 2)  # some rows by completions, most by chains
    monkeypatch.setattr(imputation, "NUMBERS", 2**14)
    alone = [*impute(model, gaps, uncertainty=True), *impute(model, gaps, draws=3)]
    sampled = hm.sample(model, 300, given=gaps, sweeps=20, seed=2)
    monkeypatch.setattr(table_of_numbers, "CELLS", 2**9)
    monkeypatch.setattr(draw, "CELLS", 2**9)
    assert hm.sample(model, 300, given=gaps, sweeps=20, seed=2).equals(sampled)
    asked = []
    states = intake.Rows.states
    monkeypatch.setattr(intake.Rows, "states", lambda rows: asked.append(len(rows)) or states(rows))
    parts = [*impute(model, gaps, uncertainty=True), *impute(model, gaps, draws=3)]
    assert 1 < max(asked) <= 2**9 // model.visible.width
    for whole, again in zip(alone, parts, strict=True):
        pd.testing.assert_frame_equal(whole, again, check_exact=True)


def test_a_filled_table_shares_nothing_with_the_one_that_came(model, table):
    gaps, _ = emptied(table.head(20))
    before = gaps.copy()
    filled = impute(model, gaps)
    filled.loc[:, "income"] = -1.0
    filled.iloc[:, 0] = "red"
    assert gaps.equals(before)


def test_cells_are_looked_at_some_rows_at_a_time(monkeypatch, model, table):
    """Of whole rows the same answers, up to where the sum for an integral has its points; of others draws of
    their own.
    """
    rows = table.head(90)
    gaps, _ = emptied(rows)
    kind, age, found = (
        conditional(model, rows, "kind"),
        conditional(model, rows, "age"),
        surprise(model, rows),
    )
    both = conditional(model, gaps, ["kind", "age"], draws=8)
    asked = []
    asks = surprises.cells

    def counted(model, v, *rest, **more):
        asked.append(len(v))
        return asks(model, v, *rest, **more)

    monkeypatch.setattr(surprises, "cells", counted)
    monkeypatch.setattr(surprises, "rows_together", lambda model, draws: 40)
    pd.testing.assert_frame_equal(conditional(model, rows, "kind"), kind, check_exact=True)
    assert asked == [40, 40, 10]
    pd.testing.assert_frame_equal(conditional(model, rows, "age"), age, rtol=1e-3)
    again = surprise(model, rows)
    pd.testing.assert_frame_equal(again.cells, found.cells, rtol=1e-5)
    pd.testing.assert_frame_equal(again.values, found.values)
    pd.testing.assert_frame_equal(again.expected, found.expected, rtol=0.05)
    parts = conditional(model, gaps, ["kind", "age"], draws=8)
    pd.testing.assert_frame_equal(parts.head(40), conditional(model, gaps.head(40), ["kind", "age"], draws=8))
    assert parts.index.equals(both.index) and parts.columns.equals(both.columns)
    assert not parts.isna().any().any() and np.abs(parts - both)["kind"].to_numpy().mean() < 0.1
