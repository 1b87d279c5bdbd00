"""Each machine that --model names: fitted from a table, saved, measured, drawn from and reported on."""

import json
import signal

import numpy as np
import pandas as pd
import pytest
import torch

import harmonium as hm
from harmonium.cli import main


@pytest.fixture
def run(capsys):
    """Runs a command that must succeed and returns what it printed."""

    def run(*arguments):
        assert main([str(a) for a in arguments]) == 0, capsys.readouterr().err
        return capsys.readouterr().out

    return run


@pytest.fixture
def refused(capsys):
    """Runs a command that must be refused with one sentence, which is returned."""

    def run(*arguments):
        assert main([str(a) for a in arguments]) == 2
        err = capsys.readouterr().err
        assert err.count("\n") == 1 and "Traceback" not in err, err
        return err

    return run


def frame(rows=120):
    """A table in which `party` follows from three answers, and `age` says a little."""
    rng = np.random.default_rng(0)
    votes = rng.random((rows, 3)) < 0.5
    table = pd.DataFrame(votes, columns=["a", "b", "c"])
    table.insert(1, "party", np.where(votes.sum(1) > 1, "left", "right"))
    table["age"] = rng.integers(20, 80, rows) + 0.5 * votes[:, 0]
    return table


def asked(run, out, data):
    """What evaluate says of all rows."""
    return json.loads(run("evaluate", out, data, "--json"))


def test_labelled_from_a_table_with_names(tmp_path, run):
    data, out = tmp_path / "votes.csv", tmp_path / "out"
    frame().rename(columns={"age": "age, years"}).to_csv(data, index=False)
    arguments = ("--model", "labelled", "--label", "party", "--objective", "discriminative")
    left_out = ("--leave-out", '"age, years"')
    run("fit", data, "--out", out, *arguments, *left_out, "--hidden", 6, "--steps", 150, "-q")
    model = hm.load(out / "model.safetensors")
    assert isinstance(model, hm.LabelledRBM)
    assert model.classes == ["left", "right"] and model.kind == "discriminative"
    new = tmp_path / "new.csv"
    rows = frame(40).drop(columns="age")
    rows.to_csv(new, index=False)
    found = asked(run, out, new)
    assert found["details"]["label_error"] < 0.2
    assert found["value"] == pytest.approx(hm.log_likelihood(model, rows).value, abs=1e-6)
    pd.DataFrame({"party": ["left"]}).to_csv(tmp_path / "left.csv", index=False)
    run("sample", out, "-n", 8, "--given", tmp_path / "left.csv", "-o", tmp_path / "rows.csv")
    assert (pd.read_csv(tmp_path / "rows.csv")["party"] == "left").all()
    page = (out / "report.html").read_text()
    assert "LabelledRBM" in run("inspect", out) and "Columns" in page
    assert "Mean log-likelihood of some columns given the others while learning" in page


def test_labelled_from_numbers_takes_the_last_column(tmp_path, run, refused):
    rng = np.random.default_rng(1)
    x = (rng.random((100, 4)) < 0.5).astype(int)
    rows = np.column_stack([x, x[:, 0] + x[:, 1]])
    np.save(tmp_path / "rows.npy", rows)
    run("fit", tmp_path / "rows.npy", "--out", tmp_path / "out", "--model", "labelled", "--steps", 40, "-q")
    model = hm.load(tmp_path / "out" / "model.safetensors")
    assert model.classes == [0, 1, 2] and model.label == slice(4, 7)
    assert asked(run, tmp_path / "out", tmp_path / "rows.npy")["details"]["label_error"] <= 1.0
    np.save(tmp_path / "rows.npy", rows + 0.5)
    words = refused("fit", tmp_path / "rows.npy", "--out", tmp_path / "no", "--model", "labelled")
    assert "the label, which is the last column" in words


def test_conditional_on_columns_by_name(tmp_path, run, refused):
    data, out = tmp_path / "votes.csv", tmp_path / "out"
    frame().to_csv(data, index=False)
    arguments = ("fit", data, "--model", "conditional", "--steps", 60, "--hidden", 3, "-q")
    run(*arguments, "--context", "a,age", "--out", out)
    model = hm.load(out / "model.safetensors")
    assert isinstance(model, hm.ConditionalRBM) and model.columns == ("party", "b", "c", "a", "age")
    assert model.context == slice(3, 5)
    new = tmp_path / "new.csv"
    frame(30).to_csv(new, index=False)
    found = asked(run, out, new)
    assert found["value"] == pytest.approx(hm.log_likelihood(model, frame(30)).value, abs=1e-6)
    # three fair coins, whatever the fourth and the age are
    assert found["details"]["independent"] == pytest.approx(-3.0 * np.log(2), abs=0.1)
    known = tmp_path / "known.csv"
    pd.DataFrame({"a": [True], "age": [30.0]}).to_csv(known, index=False)
    run("sample", out, "-n", 6, "--given", known, "-o", tmp_path / "rows.csv")
    assert (pd.read_csv(tmp_path / "rows.csv")["age"] == 30.0).all()
    assert "the context of every row" in refused("sample", out, "-n", 6, "-o", tmp_path / "no.csv")
    assert "P(what is modelled | what is given)" in (out / "report.html").read_text()
    assert "has no column 'z'" in refused(*arguments, "--context", "z", "--out", tmp_path / "no")
    assert "needs --context" in refused(*arguments, "--out", tmp_path / "no")


def waves(lengths):
    """Sine waves with a phase of their own, (frames, 2) below one another, and which is which."""
    rng = np.random.default_rng(2)
    found = []
    for k, length in enumerate(lengths):
        t = np.arange(length) / 5.0 + k
        x = np.stack([np.sin(t), np.cos(t)], 1) + 0.1 * rng.normal(size=(length, 2))
        found.append(pd.DataFrame({"run": f"n{k}", "x": x[:, 0], "y": x[:, 1]}))
    return pd.concat(found)


def test_temporal_from_sequences_of_unequal_length(tmp_path, run, refused):
    data, out = tmp_path / "waves.csv", tmp_path / "out"
    waves([60, 40, 30]).to_csv(data, index=False)
    arguments = ("fit", data, "--model", "temporal", "--frames", 2, "--steps", 60, "--hidden", 2, "-q")
    run(*arguments, "--sequence", "run", "--out", out)
    model = hm.load(out / "model.safetensors")
    assert isinstance(model, hm.TemporalRBM) and model.lags == 2
    assert model.columns == ("x", "y", "x, 1 before", "y, 1 before", "x, 2 before", "y, 2 before")
    new = waves([25, 20])
    new.to_csv(tmp_path / "new.csv", index=False)
    series = [np.array(new.loc[new["run"] == k, ["x", "y"]]) for k in ("n0", "n1")]
    found = asked(run, out, tmp_path / "new.csv")
    assert found["value"] == pytest.approx(hm.log_likelihood(model, model.rows(series)).value, abs=1e-4)
    run("sample", out, "-n", 7, "--given", tmp_path / "new.csv", "-o", tmp_path / "on.csv")
    drawn = pd.read_csv(tmp_path / "on.csv")
    ahead = hm.continuation(model, series[1], frames=7)[0]
    assert list(drawn.columns) == ["x", "y"]
    np.testing.assert_allclose(drawn.to_numpy(), ahead.numpy(), atol=1e-6)
    assert "sequence of at least 2 frames" in refused("sample", out, "-n", 3, "-o", tmp_path / "no.csv")


def test_the_last_frames_of_one_sequence_test_it(tmp_path, run):
    x = waves([100])[["x", "y"]].to_numpy(copy=True)
    np.save(tmp_path / "x.npy", x)
    out = tmp_path / "out"
    run("fit", tmp_path / "x.npy", "--out", out, "--model", "temporal", "--steps", 30, "--hidden", 2, "-q")
    model = hm.load(out / "model.safetensors")
    found = asked(run, out, tmp_path / "x.npy")["value"]
    rows = model.rows(torch.from_numpy(x))
    assert found == pytest.approx(hm.log_likelihood(model, rows[-9:]).value, abs=1e-4)


@pytest.mark.parametrize("shape", ["4x4", None])
def test_convolutional_with_filters_in_the_report(tmp_path, run, refused, shape):
    rng = np.random.default_rng(3)
    np.save(tmp_path / "x.npy", (rng.random((80, 16)) < 0.4).astype(int))
    out = tmp_path / "out"
    arguments = ["fit", tmp_path / "x.npy", "--model", "convolutional", "--steps", 30, "-q"]
    arguments += ["--shape", shape] if shape else []
    run(*arguments, "--out", out, "--hidden", 3, "--kernel", 3, "--pool", 2)
    model = hm.load(out / "model.safetensors")
    assert model.filters.shape == ((3, 1, 3, 3) if shape else (3, 1, 3))
    assert model.hidden.cardinality == (5 if shape else 3)
    page = (out / "report.html").read_text()
    assert "What the filters look for" in page and "place by place" in page
    found = asked(run, out, tmp_path / "x.npy")
    assert np.isfinite(found["value"])
    run("sample", out, "-n", 5, "-o", tmp_path / "rows.npy")
    assert np.load(tmp_path / "rows.npy").shape == (5, 16)
    assert "--kernel must be a size" in refused(*arguments, "--out", tmp_path / "no", "--kernel", "a")
    assert "is for --model convolutional" in refused(
        "fit", tmp_path / "x.npy", "--out", tmp_path / "no", "--pool", 2
    )


def test_belief_layer_by_layer(tmp_path, run):
    out = tmp_path / "out"
    run("fit", "bars-and-stripes", "--out", out, "--model", "belief", "--hidden", "6,4", "--steps", 40, "-q")
    model = hm.load(out / "model.safetensors")
    assert [units.width for units in model.stack] == [16, 6, 4]
    found = asked(run, out, "bars-and-stripes")
    patterns = hm.data.load("bars-and-stripes").test
    assert found["value"] == pytest.approx(hm.log_likelihood(model, patterns).value, abs=1e-4)
    run("sample", out, "-n", 5, "-o", tmp_path / "rows.npy")
    assert np.load(tmp_path / "rows.npy").shape == (5, 16)
    told = run("inspect", out)
    assert "DeepBeliefNetwork 16 × 6 × 4" in told
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert {line["layer"] for line in lines} == {1, 2}
    ends = [[line["step"] for line in lines if line["layer"] == layer][-1] for layer in (1, 2)]
    assert f"{sum(ends)} updates in" in told and min(ends) > 0


MACHINES = {
    "deep": ("bars-and-stripes", "--hidden", "6,4"),
    "belief": ("bars-and-stripes", "--hidden", "6,4"),
    "labelled": ("votes.csv", "--label", "party", "--hidden", 4),
    "conditional": ("votes.csv", "--context", "party,age", "--hidden", 4),
    "temporal": ("waves.csv", "--sequence", "run", "--frames", 2, "--hidden", 2),
    "convolutional": ("bars-and-stripes", "--hidden", 3, "--kernel", 3),
}


@pytest.mark.parametrize("name", MACHINES)
def test_a_run_that_is_interrupted_and_resumed_ends_with_the_same_bits(name, tmp_path, run, monkeypatch):
    """Interrupted in the second half, of layer after layer in the second one."""
    frame().to_csv(tmp_path / "votes.csv", index=False)
    waves([40, 30]).to_csv(tmp_path / "waves.csv", index=False)
    ends, updates = [], []

    def kept(options, model, *rest):
        ends.append(model.state_dict())

    def stopped(*arguments, **settings):
        def stop(update):
            updates.append(update.step)
            if len(updates) == (50 if name == "belief" else 17):
                signal.raise_signal(signal.SIGINT)

        return hm.fit(*arguments, **settings | {"callbacks": [*settings["callbacks"], stop]})

    data, *more = MACHINES[name]
    data = tmp_path / data if data.endswith("csv") else data
    arguments = ("fit", data, "--model", name, *more, "--steps", 30, "-q", "--out")
    monkeypatch.setattr("harmonium.cli.fit.finish", kept)
    run(*arguments, tmp_path / "whole")
    monkeypatch.setattr("harmonium.cli.fit.fit", stopped)
    assert main([str(a) for a in (*arguments, tmp_path / "cut")]) == 130
    made = len(updates)
    run("fit", data, "--resume", "-q", "--out", tmp_path / "cut")
    assert updates[made] == updates[made - 1] + 1  # it goes on where it was
    whole, again = ends
    assert whole.keys() == again.keys()
    assert all(torch.equal(x, again[key]) for key, x in whole.items())
