"""hm.report: columns and pairs against direct computations, and a page that loads nothing."""

import re

import numpy as np
import pandas as pd
import pytest
import torch

import harmonium as hm
import registry
from harmonium.cli import main
from harmonium.likelihood import rows
from harmonium.plots import typed
from harmonium.reports import table as page_of_a_table
from harmonium.reports.pairs import BINS, mutual_information
from harmonium.reports.table import pairs_section
from test_report import checked

NAN = float("nan")


def table_of(n: int = 120) -> pd.DataFrame:
    numbers = np.random.default_rng(0)
    group = numbers.integers(0, 3, n)
    return pd.DataFrame(
        {
            "kind": np.array(["red", "green", "blue"])[group],
            "smoker": numbers.random(n) < 0.1 + 0.4 * group,
            "age": numbers.normal(40 + 10 * group, 3, n).round(1),
            "kids": numbers.poisson(1 + group),
            "place": "here",
        },
        index=[f"person {k}" for k in range(n)],
    )


@pytest.fixture(scope="module")
def model() -> hm.RBM:
    schema = hm.Schema.of(table_of())
    rbm = hm.RBM(schema.units(), hm.Bernoulli(3), seed=0)
    registry.scatter(rbm, 3)
    with torch.no_grad():
        rbm.weight.mul_(0.3)
    rbm.schema = schema
    return rbm


def information(x: pd.Series, y: pd.Series) -> float:
    """I(X; Y) by a sum over the pairs of values, one after the other."""
    both = pd.DataFrame({"x": x, "y": y}).dropna()
    total = 0.0
    for a in both["x"].unique():
        for b in both["y"].unique():
            p = float(((both["x"] == a) & (both["y"] == b)).mean())
            if p > 0:
                total += p * np.log(p / float((both["x"] == a).mean() * (both["y"] == b).mean()))
    return total


# ---------------------------------------------------------------- mutual information


def test_information_of_names_is_the_sum_over_all_pairs_of_values():
    table = table_of()[["kind", "smoker", "kids"]]
    found = mutual_information(table, table)
    for i, first in enumerate(table):
        for j, second in enumerate(table):
            expected = 0.0 if i == j else information(table[first], table[second])
            assert found[i, j] == pytest.approx(expected, abs=1e-12)


def test_information_of_numbers_is_that_of_bins_of_equal_weight():
    table = table_of()[["kind", "age"]]
    distinct = table.assign(age=np.random.default_rng(1).permutation(np.linspace(0, 1, len(table))))
    bins = np.minimum((distinct["age"].rank() - 1) // (len(table) // BINS), BINS - 1)
    expected = information(table["kind"], bins)
    assert mutual_information(distinct, distinct)[0, 1] == pytest.approx(expected, abs=1e-12)


def test_a_row_counts_for_the_pairs_whose_cells_it_has():
    table = table_of()[["kind", "smoker", "kids"]].astype(object)
    gone = np.random.default_rng(2).random(table.shape) < 0.3
    gaps = table.mask(gone)
    found = mutual_information(gaps, gaps)
    assert found[0, 1] == pytest.approx(information(gaps["kind"], gaps["smoker"]), abs=1e-12)
    empty = gaps.assign(kind=None)
    assert mutual_information(empty, gaps)[0, 1] == 0.0


def test_of_independent_columns_there_is_only_the_bias_that_is_told():
    """2 n I is χ² with (a - 1)(b - 1) degrees of freedom: its mean within 4.5 standard errors."""
    numbers, n, tables = np.random.default_rng(3), 500, 200
    found = []
    for _ in range(tables):
        table = pd.DataFrame({"x": numbers.choice(list("abcd"), n), "y": numbers.choice(list("uvw"), n)})
        found.append(mutual_information(table, table)[0, 1])
    degrees = 3 * 2
    assert np.mean(found) == pytest.approx(
        degrees / (2 * n), abs=4.5 * np.sqrt(2 * degrees / tables) / (2 * n)
    )


def test_the_pair_that_samples_get_wrong_is_named_first():
    table = table_of(600)
    shuffled = table.assign(kids=np.random.default_rng(4).permutation(table["kids"]))
    named, section = pairs_section(table, shuffled)
    assert "kids" in set(named.loc[0, ["first", "second"]]) and section is not None
    first = named.iloc[0]
    assert first["data"] - first["model"] > 0.1
    assert "place" not in set(named["first"]) | set(named["second"])


# ---------------------------------------------------------------- the page


def loads_nothing(page: str) -> None:
    links = checked(page).links
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in links), links
    outside = set(re.findall(r"https?://[^\s\"'<]+", page))
    assert outside <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}


def test_a_page_on_a_table_tells_what_the_library_says(model, tmp_path, monkeypatch):
    estimate, made = rows._log_partition, []
    monkeypatch.setattr(rows, "_log_partition", lambda *a: made.append(estimate(*a)) or made[-1])
    table = table_of().astype({"smoker": object})
    table.iloc[3, 1] = None
    found = hm.report(model, table, title="Persons <b>")
    assert len(made) == 1  # for all that the page says
    loads_nothing(found.html)
    said = " ".join(checked(found.html).texts)
    for words in ("Columns", "Pairs of columns", "Surprising cells", "What the columns are", "Persons <b>"):
        assert words in said, words
    assert found.html.count("<svg") == found.html.count("</svg>") >= 3
    assert found.log_likelihood.value == pytest.approx(hm.log_likelihood(model, table).value)
    cell = hm.surprise(model, table).top(1).iloc[0]
    assert f"row {cell['row']}, {cell['column']}" in said and "0.8% empty" in said
    assert found.save(tmp_path / "r.html").read_text(encoding="utf-8") == found.html


def test_in_a_wide_table_fewer_rows_are_looked_through(model, monkeypatch):
    table, columns = table_of(), len(model.schema.columns)
    monkeypatch.setattr(page_of_a_table, "LOOKED", 7 * columns)
    assert "The most surprising cells of 7 rows" in " ".join(checked(hm.report(model, table).html).texts)


@pytest.mark.parametrize("make", [np.asarray, torch.tensor, lambda x: pd.DataFrame(x, columns=list("abc"))])
def test_rows_of_numbers_have_a_page_too(make):
    machine = hm.RBM(hm.Bernoulli(3), hm.Bernoulli(2), seed=0)
    registry.scatter(machine, 1)
    rows = machine.visible.states(torch.arange(8)).double().tolist()
    rows[2][1] = NAN
    found = hm.report(machine, make(rows))
    loads_nothing(found.html)
    assert list(found.pairs.columns) == ["first", "second", "data", "model"] and len(found.pairs) == 3


def test_a_report_of_no_model_is_refused():
    with pytest.raises(TypeError, match="model must be"):
        hm.report("no model", [[0.0]])


def test_fit_reports_on_a_typed_table_column_by_column(tmp_path, capsys):
    table = table_of().astype({"smoker": object})
    table.iloc[5, 2] = None
    table.to_csv(tmp_path / "t.csv", index=False)
    out = tmp_path / "run"
    assert main(["fit", str(tmp_path / "t.csv"), "-o", str(out), "--hidden", "2", "--steps", "10", "-q"]) == 0
    page = (out / "report.html").read_text(encoding="utf-8")
    loads_nothing(page)
    said = " ".join(checked(page).texts)
    assert "Pairs of columns" in said and "bars for values" in said
    assert "Data and samples" not in said and "Moments" not in said


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([0.0, 2.0, 1.0], ["0", "1", "2"]),
        ([0.5, 2.0, 1.0], ["0.5", "1.0", "2.0"]),
        ([3, 1, 2], ["1", "2", "3"]),
    ],
)
def test_whole_numbers_that_gaps_made_real_are_labelled_as_whole(values, labels):
    data = pd.DataFrame({"kids": [*values, *values]})
    axes = typed.columns(data, data).axes[0]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == labels
