"""The commands that ask a model about a table: what they print and write is what the library says."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import harmonium as hm
import registry
from harmonium import plots
from harmonium.cli import main


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a model whose parameters come from nowhere, a table of its columns, and one with gaps."""
    folder, numbers = tmp_path_factory.mktemp("answers"), np.random.default_rng(0)
    group = numbers.integers(0, 3, 40)
    table = pd.DataFrame(
        {
            "kind": np.array(["red", "green", "blue"])[group],
            "smoker": numbers.random(40) < 0.1 + 0.4 * group,
            "age": numbers.normal(40 + 10 * group, 3, 40).round(1),
            "kids": numbers.poisson(1 + group),
        }
    )
    schema = hm.Schema.of(table)
    model = hm.RBM(schema.units(), hm.Bernoulli(4), seed=0)
    registry.scatter(model, 3)
    with torch.no_grad():
        model.weight.mul_(0.5)
    model.schema = schema
    hm.save(model, folder / "m.safetensors")
    table.to_csv(folder / "full.csv", index=False)
    gone = numbers.random(table.shape) < 0.25
    table.astype({"smoker": object}).mask(gone).to_csv(folder / "gaps.csv", index=False)
    return folder


@pytest.fixture
def ask(place, tmp_path, capsys, monkeypatch):
    """Runs a command on the model and a table, in a folder of its own: (exit status, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def run(name, table, *more):
        status = main([name, str(place / "m.safetensors"), str(place / table), *map(str, more)])
        told = capsys.readouterr()
        return status, told.out, told.err

    return run


def of_library(place, name):
    return hm.load(place / "m.safetensors"), pd.read_csv(place / name)


def test_text_of_a_file_stays_text_where_it_looks_like_numbers(ask, place, tmp_path, capsys):
    r = np.random.default_rng(1)
    columns = {"gears": ["3", "4", "rotary"], "zip": ["007", "12", "none"], "moved": ["True", "False", "?!"]}
    table = pd.DataFrame({name: r.choice(words, 60) for name, words in columns.items()})
    schema = hm.Schema.of(table)
    model = hm.RBM(schema.units(), hm.Bernoulli(2), seed=0)
    model.schema = schema
    hm.save(model, tmp_path / "m.safetensors")
    later = table[(table.gears != "rotary") & (table.zip != "none") & (table.moved != "?!")].copy()
    assert len(later) > 5
    later.iloc[0] = None
    later.to_csv(tmp_path / "later.csv", index=False)
    some = ["--given", "later.csv", "-n", str(len(later))]
    for name, *more in (
        ("impute", "later.csv", "-o", "filled.csv"),
        ("sample", *some, "-o", "drawn.csv"),
        ("evaluate", "later.csv"),
        ("conditional", "later.csv", "--column", "zip"),
    ):
        assert main([name, "m.safetensors", *more]) == 0, capsys.readouterr().err
    for name in ("filled.csv", "drawn.csv"):
        found = pd.read_csv(tmp_path / name, dtype=str)
        assert (found.iloc[1:].to_numpy() == later.iloc[1:].to_numpy()).all()


def test_columns_that_are_left_out_come_back_as_they_were(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    r = np.random.default_rng(1)
    table = pd.DataFrame({"x": r.normal(size=20).round(2), "c": r.choice(["p", "q"], 20)})
    schema = hm.Schema.of(table.assign(number=1, code="a"), leave_out=["number", "code"])
    model = hm.RBM(schema.units(), hm.Bernoulli(2), seed=0)
    model.schema = schema
    hm.save(model, "m.safetensors")
    rows = ["1,01,0.5,p", ",007,,q", "3,,1.25,", "40,12,,p"]
    (tmp_path / "gaps.csv").write_text("\n".join(["number,code,x,c", *rows, ""]))
    assert main(["impute", "m.safetensors", "gaps.csv", "-o", "filled.csv"]) == 0, capsys.readouterr().err
    found = (tmp_path / "filled.csv").read_text().split()
    assert [line.rsplit(",", 2)[0] for line in found] == ["number,code", "1,01", ",007", "3,", "40,12"]
    assert not pd.read_csv("filled.csv")[["x", "c"]].isna().any(axis=None)


def test_guesses_are_written_with_their_uncertainty(ask, place):
    status, out, _ = ask("impute", "gaps.csv", "-o", "f.csv", "--uncertainty", "u.csv")
    model, gaps = of_library(place, "gaps.csv")
    count = int(gaps.isna().to_numpy().sum())
    assert status == 0 and f"{count} cells of" in out and "u.csv" in out
    filled, doubt = hm.impute(model, gaps, uncertainty=True)
    pd.testing.assert_frame_equal(
        pd.read_csv("f.csv"), filled, check_dtype=False, check_exact=True
    )  # 4.0 stays 4.0
    written = pd.read_csv("u.csv")
    assert np.allclose(written, doubt) and ((written > 0) == gaps.isna()).all().all()


def test_several_draws_are_several_tables_and_one_is_the_first_of_them(ask, place):
    status, out, _ = ask("impute", "gaps.csv", "-o", "d.csv", "--draws", 3, "--seed", 5)
    assert status == 0 and "drawn 3 times, in d-1.csv to d-3.csv" in out
    model, gaps = of_library(place, "gaps.csv")
    tables = [pd.read_csv(f"d-{k}.csv") for k in (1, 2, 3)]
    for found, expected in zip(tables, hm.impute(model, gaps, draws=3, seed=5), strict=True):
        pd.testing.assert_frame_equal(found, expected, check_dtype=False, check_exact=True)
    assert not tables[0].equals(tables[1])
    assert ask("impute", "gaps.csv", "-o", "d.csv", "--draw", "--seed", 5)[0] == 0
    assert pd.read_csv("d.csv").equals(tables[0])


def test_conditional_probabilities_are_printed_or_written(ask, place):
    status, out, _ = ask("conditional", "full.csv", "--column", "kind")
    assert status == 0 and "further rows" in out
    assert next(line for line in out.splitlines() if "blue" in line).split() == ["blue", "green", "red"]
    assert ask("conditional", "full.csv", "--column", "age", "-o", "age.csv")[0] == 0
    written = pd.read_csv("age.csv")
    assert list(written.columns) == ["mean", "std", "5%", "50%", "95%"]
    assert np.allclose(written, hm.conditional(*of_library(place, "full.csv"), "age"))


def test_columns_without_names_go_by_their_number(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = hm.RBM(hm.Bernoulli(3), hm.Bernoulli(2), seed=0)
    registry.scatter(model, 1)
    hm.save(model, "m.safetensors")
    rows = np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0]])
    np.save("x.npy", rows)
    assert main(["conditional", "m.safetensors", "x.npy", "--column", "2", "-o", "p.npy"]) == 0
    assert np.allclose(np.load("p.npy"), hm.conditional(model, rows, 2))
    assert main(["surprise", "m.safetensors", "x.npy", "--top", "2", "-o", "s.npy"]) == 0
    assert np.load("s.npy").shape == (2, 6)


def test_surprising_cells_are_printed_with_rows_as_files_count_them(ask, place):
    status, out, _ = ask("surprise", "full.csv", "--top", 2, "-o", "s.csv", "--png", "s.png")
    model, table = of_library(place, "full.csv")
    found = hm.surprise(model, table)
    first = found.top(1).iloc[0]
    line = next(line.split() for line in out.splitlines() if str(first["column"]) in line.split())
    assert status == 0 and line[:2] == [str(first["row"] + 1), first["column"]]
    assert math.isclose(float(line[-1]), first["excess"], rel_tol=1e-3)
    written = pd.read_csv("s.csv")
    assert np.allclose(written["log P"], found.rows["log_p"])
    assert np.allclose(written[list(table)], found.cells)
    with open("s.png", "rb") as file:
        assert file.read(8) == plots.png(plots.surprising_cells(found, 2))[:8]


QUESTIONS = {
    "evaluate": (),
    "surprise": (),
    "conditional": ("--column", "kind"),
    "report": ("-o", "r.html"),
    "impute": ("-o", "f.csv"),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_wrong_cell_is_named_as_the_file_has_it(ask, place, question):
    table = pd.read_csv(place / "full.csv").astype({"age": object})
    table.loc[5, "age"] = "old"  # by which pandas reads all ages as text
    table.to_csv("wrong.csv", index=False)
    status, out, err = ask(question, Path("wrong.csv").absolute(), *QUESTIONS[question])
    assert status == 2 and out == ""
    assert err.endswith("wrong.csv: column 'age' must hold numbers, got 'old' in row 6.\n")
    assert not list(Path().glob("[rf].*"))


def test_columns_to_learn_are_refused_by_rows_of_the_file(place, tmp_path, capsys):
    table = pd.read_csv(place / "full.csv")
    table.loc[5, "age"] = np.inf
    table.to_csv(tmp_path / "wrong.csv", index=False)
    assert main(["fit", str(tmp_path / "wrong.csv"), "--out", str(tmp_path / "run")]) == 2
    assert "column 'age' must hold finite numbers, got inf in row 6: a cell" in capsys.readouterr().err


def test_a_page_on_rows_of_which_nothing_is_known(ask, place):
    nothing = pd.read_csv(place / "full.csv").head(12).mask(np.full((12, 4), True))
    nothing.to_parquet("nothing.parquet")
    assert ask("report", Path("nothing.parquet").absolute(), "-o", "n.html")[0] == 0


def test_a_page_is_written_on_a_table_with_gaps(ask):
    status, out, _ = ask("report", "gaps.csv", "-o", "r.html")
    with open("r.html", encoding="utf-8") as file:
        page = file.read()
    assert status == 0 and "nats per row" in out and "r.html" in out
    assert all(word in page for word in ("Pairs of columns", "Surprising cells", "kids", "gaps.csv"))


def test_samples_given_a_table_of_words_keep_it(ask, place):
    pd.DataFrame({"smoker": [True], "kids": [4]}).to_csv("known.csv", index=False)
    status = main(["sample", str(place / "m.safetensors"), "-n", "6", "-o", "s.csv", "--given", "known.csv"])
    drawn = pd.read_csv("s.csv")
    assert status == 0 and list(drawn.columns) == ["kind", "smoker", "age", "kids"] and len(drawn) == 6
    assert drawn["smoker"].all() and (drawn["kids"] == 4).all() and drawn["age"].nunique() > 1


@pytest.mark.parametrize(
    ("name", "more", "told"),
    [
        ("impute", ["-o", "f.csv", "--draw", "--draws", "2"], "--draw is one draw"),
        ("impute", ["-o", "f.csv", "--draw", "--uncertainty", "u.csv"], "--uncertainty is about"),
        ("impute", ["-o", "f.csv", "--uncertainty", "f.csv"], "both name f.csv"),
        ("impute", ["-o", "f.csv", "--uncertainty", "u.txt"], "u.txt must end in"),
        ("impute", ["-o", "f.csv", "--draws", "0"], "--draws"),
        ("impute", ["-o", "f.npy"], "f.npy must end in"),
        ("conditional", ["--column", "height"], "'height'"),
        ("conditional", [], "--column"),
        ("conditional", ["--column", "age", "-o", "p.png"], "p.png must end in"),
        ("surprise", ["--top", "0"], "--top"),
        ("surprise", ["--png", "s.csv"], "s.csv must end in .png"),
        ("surprise", ["--split", "half"], "--split"),
        ("report", ["-o", "r.pdf"], "r.pdf must end in .html"),
    ],
)
def test_mistakes_get_one_sentence_and_status_two(ask, tmp_path, name, more, told):
    status, out, err = ask(name, "gaps.csv", *more)
    assert status == 2 and out == "" and err.startswith("harmonium: ") and err.count("\n") == 1
    assert told in err and not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["impute", "conditional", "surprise", "report"])
def test_each_command_explains_itself_with_examples(capsys, name):
    assert main([name, "--help"]) == 0
    assert f"harmonium {name} " in capsys.readouterr().out


WRITTEN = """\
id,kids,score,member,size,grade,seen
7,0,1.50,true,1.0,07,2024-05-01
8,,2.25,false,2.0,12,2024-05-02
9,2,,true,,07,
10,1,+3.0,,3.0,,2024-05-04
11,,1e1,false,1.0,12,NA
12,3,4,true,2.0,07,2024-05-06
"""


@pytest.fixture
def machine_of_text(tmp_path, monkeypatch):
    """A model of columns that had gaps when it learned, so that pandas held them as real numbers."""
    monkeypatch.chdir(tmp_path)
    Path("gaps.csv").write_text(WRITTEN)
    frame = pd.read_csv("gaps.csv", dtype={"grade": object})
    more = pd.concat([frame] * 4, ignore_index=True)
    kinds = {"kids": hm.columns.Count(), "score": hm.columns.Number(), "size": hm.columns.Category()}
    schema = hm.Schema.of(more, kinds=kinds, leave_out=["id", "seen"])
    model = hm.RBM(schema.units(), hm.Bernoulli(2), seed=0)
    model.schema = schema
    hm.save(model, "m.safetensors")
    return model


def test_only_empty_cells_of_a_file_change(machine_of_text, capsys):
    assert main(["impute", "m.safetensors", "gaps.csv", "-o", "filled.csv"]) == 0, capsys.readouterr().err
    before, after = (
        [line.split(",") for line in Path(name).read_text().splitlines()]
        for name in ("gaps.csv", "filled.csv")
    )
    names = before[0]
    for old, new in zip(before, after, strict=True):
        left_out = [names.index(name) for name in ("id", "seen")]
        assert [new[k] for k in left_out] == [old[k] for k in left_out]
        for k, cell in enumerate(old):
            assert new[k] == cell if cell else (k in left_out or new[k])
    found = dict(zip(names, zip(*after[1:], strict=True), strict=True))
    assert all(map(str.isdecimal, found["kids"])) and set(found["member"]) == {"true", "false"}
    assert set(found["size"]) == {"1.0", "2.0", "3.0"} and set(found["grade"]) == {"07", "12"}


def test_whole_numbers_stay_whole_in_files_of_other_kinds(machine_of_text, capsys):
    import pyarrow as pa
    import pyarrow.parquet as pq

    assert main(["impute", "m.safetensors", "gaps.csv", "-o", "f.parquet"]) == 0, capsys.readouterr().err
    types = {name: str(dtype) for name, dtype in pd.read_parquet("f.parquet").dtypes.items()}
    assert (types["kids"], types["score"], types["member"]) == ("int64", "float64", "bool")
    frame = pd.read_csv("gaps.csv", dtype={"grade": object}, true_values=["true"], parse_dates=["seen"])
    plain = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
    k = plain.column_names.index("kids")
    plain = plain.set_column(k, "kids", plain["kids"].cast(pa.int16()))
    pq.write_table(plain, "plain.parquet")
    frame.astype({"kids": "Int64", "member": "boolean"}).to_parquet("typed.parquet", index=False)
    for name, whole, yes in (("plain", pa.int16(), pa.bool_()), ("typed", pa.int64(), pa.bool_())):
        assert main(["impute", "m.safetensors", f"{name}.parquet", "-o", "f.parquet", "--force"]) == 0
        found = pq.read_table("f.parquet")
        assert (found.schema.field("kids").type, found.schema.field("member").type) == (whole, yes)
        assert found["seen"].null_count == 2 and not found["kids"].null_count
        old, new = pd.read_parquet(f"{name}.parquet"), found.to_pandas()
        assert (new["kids"][old["kids"].notna()] == old["kids"].dropna().astype(int)).all()
        assert main(["impute", "m.safetensors", f"{name}.parquet", "-o", "f.csv", "--force"]) == 0
        assert all(map(str.isdecimal, pd.read_csv("f.csv", dtype=str)["kids"]))


def test_numbers_written_in_another_way_are_written_as_numbers(tmp_path, monkeypatch, capsys):
    """Read once more, 1,5 beside 1.7 would be 15."""
    monkeypatch.chdir(tmp_path)
    x = np.random.default_rng(0).normal(size=60).round(3)
    rows = [f"{value};{k % 3}" for k, value in enumerate(x)]
    Path("gaps.csv").write_text(
        "\n".join(["x;n", *(row.replace(".", ",") for row in rows), ";1", "0,5;", ""])
    )
    schema = hm.Schema.of(pd.DataFrame({"x": x, "n": np.arange(60.0) % 3}))
    model = hm.RBM(schema.units(), hm.Bernoulli(2), seed=0)
    model.schema = schema
    hm.save(model, "m.safetensors")
    assert main(["impute", "m.safetensors", "gaps.csv", "-o", "filled.csv"]) == 0, capsys.readouterr().err
    found = pd.read_csv("filled.csv", dtype=str)
    assert np.array_equal(found["x"][:60].astype(float), x) and set(found["n"]) == {"0", "1", "2"}


def test_files_without_names_keep_their_text_too(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    hm.save(hm.RBM(hm.Bernoulli(3), hm.Bernoulli(2), seed=0), "m.safetensors")
    Path("gaps.csv").write_text("0,1,1\n1,,0\n0,0,\n1.0,1,0\n")
    assert main(["impute", "m.safetensors", "gaps.csv", "-o", "filled.csv"]) == 0, capsys.readouterr().err
    lines = Path("filled.csv").read_text().split()
    assert lines[0] == "0,1,1" and lines[3] == "1.0,1,0"
    assert lines[1] in ("1,0,0", "1,1,0") and lines[2] in ("0,0,0", "0,0,1")
