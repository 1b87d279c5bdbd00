"""Tables from files, on the command line as from Python."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

import harmonium as hm
from harmonium import data
from harmonium.cli import main
from people_table import NAN, people


def test_files_and_frames_get_the_same_machine(tmp_path, no_report, capsys):
    frame = people(120)[["sex", "smoker", "colour", "age", "income"]].fillna({"colour": "red"})
    frame.to_csv(tmp_path / "x.csv", index=False)
    frame.to_parquet(tmp_path / "x.parquet")
    found = []
    for name in ("x.csv", "x.parquet"):
        out = tmp_path / name.replace(".", "-")
        assert main(["fit", str(tmp_path / name), "--out", str(out), "--steps", "8", "-q"]) == 0
        found.append(hm.load(out / "model.safetensors"))
    read = pd.read_csv(tmp_path / "x.csv")
    whole = hm.fit(read, steps=8)
    assert found[0].schema == whole.model.schema and found[0].visible.config() == whole.model.visible.config()
    assert found[1].schema == hm.Schema.of(pd.read_parquet(tmp_path / "x.parquet"))
    dataset = data.load(tmp_path / "x.csv")
    train, valid = (read.iloc[dataset.numbers[part]] for part in ("train", "valid"))
    history = hm.fit(train, validation=valid, schema=hm.Schema.of(read), steps=8)
    assert torch.equal(history.model.weight, found[0].weight)
    assert main(["sample", str(out), "-n", "5", "-o", str(tmp_path / "s.parquet"), "--sweeps", "4"]) == 0
    assert pd.read_parquet(tmp_path / "s.parquet").dtypes.equals(frame.dtypes)
    for file in ("x.csv", "x.parquet"):
        capsys.readouterr()
        assert main(["evaluate", str(out), str(tmp_path / file), "--split", "test", "--json"]) == 0
        said = json.loads(capsys.readouterr().out)
        rows = read.iloc[dataset.numbers["test"]]
        assert said["value"] == pytest.approx(hm.log_likelihood(found[1], rows).value, abs=1e-6)
    assert main(["sample", str(out), "-n", "5", "-o", str(tmp_path / "s.npy")]) == 2
    assert "must end in .csv or .parquet, since the columns hold more" in capsys.readouterr().err


def test_identifiers_of_files_are_left_out_where_asked(tmp_path, no_report, capsys):
    frame = people(60)[["sex", "age"]].assign(name=[f"person {k}" for k in range(60)])
    frame.to_csv(tmp_path / "x.csv", index=False)
    arguments = [
        "fit",
        str(tmp_path / "x.csv"),
        "--out",
        str(tmp_path / "r"),
        "--steps",
        "2",
        "-q",
        "--hidden",
        "2",
    ]
    assert main(arguments) == 2
    assert "column 'name' holds another text in each of 60 rows" in capsys.readouterr().err
    assert main([*arguments, "--leave-out", "name"]) == 0
    assert hm.load(tmp_path / "r" / "model.safetensors").schema.left_out == ("name",)


@pytest.mark.parametrize(
    ("text", "values", "note"),
    [
        ("a;b\n1,5;x\n-2,25;y\n", [1.5, -2.25], "have a decimal comma"),
        ("a;b\n1.234,5;x\n3;y\n", [1234.5, 3.0], "have a decimal comma"),
        ('a,b\n"1,234",x\n"12,000,000",y\n', [1234.0, 12e6], "have commas between thousands"),
        ("a;b\n1 234;x\n56;y\n", [1234.0, 56.0], "blanks or apostrophes between thousands"),
        ("a,b\n\u22121.5,x\n7,y\n", [-1.5, 7.0], "have a minus sign of print"),
        ("a;b\n\u22121.234,5;x\n3;y\n", [-1234.5, 3.0], "have a decimal comma"),
        ("a,b\n?,x\n7,y\n", [NAN, 7.0], None),
        (",a,b\n0,5,x\n1,6,y\n", [5, 6], "which numbers the rows, was not read"),
    ],
)
def test_numbers_are_read_as_people_write_them(tmp_path, text, values, note):
    path = tmp_path / "x.csv"
    path.write_text(text)
    table, notes = data.load_table(path)
    assert np.array_equal(table.frame["a"].to_numpy(float), values, equal_nan=True)
    assert list(table.frame["b"]) == ["x", "y"]
    assert note is None or any(note in said for said in notes)


def test_fit_says_how_a_file_was_read(tmp_path, no_report, capsys):
    r = np.random.default_rng(0)
    lines = [f"{x:.2f};{c}".replace(".", ",") for x, c in zip(r.normal(size=60), "pq" * 30, strict=True)]
    (tmp_path / "x.csv").write_text("\n".join(["a;b", *lines, ""]))
    asked = ["fit", str(tmp_path / "x.csv"), "--out", str(tmp_path / "r"), "--steps", "2", "--hidden", "2"]
    assert main(asked) == 0
    notes = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Note: ")]
    assert len(notes) == 1 and "column 'a' have a decimal comma, and were read as such." in notes[0]


def test_a_comma_that_may_be_either_is_refused(tmp_path):
    (tmp_path / "x.csv").write_text("a;b\n1,234;x\n5,678;y\n")
    with pytest.raises(ValueError, match="must say what its commas mean, got '1,234' in column 'a'"):
        data.load(tmp_path / "x.csv")
