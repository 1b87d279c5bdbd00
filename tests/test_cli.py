"""The harmonium command: what each command leaves behind, and one sentence for every mistake."""

import json
import subprocess
import sys

import h5py
import numpy as np
import pandas as pd
import pytest
import torch

import harmonium as hm
from harmonium import store
from harmonium.answers import imputation
from harmonium.cli import entry, finish, folder, main
from harmonium.cli.plain import plain
from statistics_budget import z_threshold

FILES = {"model.safetensors", "metrics.jsonl", "report.html", "checkpoint.safetensors", "settings.json"}


@pytest.fixture
def command(capsys):
    """Runs a command and returns (exit status, stdout, stderr)."""

    def run(*arguments):
        status = main([str(a) for a in arguments])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


@pytest.fixture
def refused(command):
    """Runs a command that must be refused: status 2 and one sentence on stderr, which is returned."""

    def run(*arguments):
        status, out, err = command(*arguments)
        assert status == 2, (status, out, err)
        assert out == "" and "Traceback" not in err
        assert err.startswith("harmonium: ") and err.endswith(".\n") and err.count("\n") == 1, err
        return err

    return run


@pytest.fixture
def no_report(monkeypatch):
    """For tests that look at anything but the report, which takes longest."""
    monkeypatch.setattr(finish, "report", lambda told: "a report")


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """The folder of a small run on bars and stripes."""
    out = tmp_path_factory.mktemp("runs") / "bars"
    assert main(["fit", "bars-and-stripes", "--out", str(out), "--hidden", "8", "--steps", "40", "-q"]) == 0
    return out


# ---------------------------------------------------------------- the face


def test_the_command_loads_nothing_heavy_before_it_has_work_to_do():
    heavy = ["torch", "numpy", "numba", "pandas", "matplotlib", "scipy", "sklearn", "h5py", "pyarrow"]
    code = (
        "import sys, harmonium.cli, harmonium.cli.app\n"
        "from harmonium.cli import main\n"
        "assert main(['fit', '--help']) == 0\n"
        f"loaded = set({heavy}) & set(sys.modules)\n"
        "assert not loaded, loaded"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize("name", ["fit", "evaluate", "sample", "impute", "inspect", "doctor"])
def test_every_command_explains_itself_with_examples(command, name):
    status, out, _ = command(name, "--help")
    assert status == 0 and f"harmonium {name} " in out and "Example" in out
    assert name in command("--help")[1]


def test_without_a_command_there_is_help_and_the_version_is_told(command):
    assert command()[1] == command("--help")[1]
    assert command("--version")[1] == f"harmonium {hm.__version__}\n"


def test_python_m_harmonium_is_the_command():
    done = subprocess.run([sys.executable, "-m", "harmonium", "--version"], capture_output=True, check=True)
    assert done.stdout.decode().strip() == f"harmonium {hm.__version__}"


# ---------------------------------------------------------------- fit


def test_fit_leaves_a_model_metrics_a_report_and_a_checkpoint(run_folder):
    assert {p.name for p in run_folder.iterdir()} - {"checkpoint.previous.safetensors"} == FILES
    model = hm.load(run_folder / "model.safetensors")
    assert model.config() == hm.RBM(hm.Bernoulli(16), hm.Bernoulli(8)).config()
    lines = [json.loads(line) for line in (run_folder / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == 40 and "train_log_likelihood" in lines[-1]
    about = store.read_facts(run_folder / "model.safetensors")["about"]
    assert about["training"]["steps"] == 40 and about["data"]["fingerprint"] == "bundled:bars-and-stripes"
    assert about["training"]["command"].endswith("--hidden 8 --steps 40")


def test_what_fit_writes_down_is_what_the_library_says(run_folder):
    about = store.read_facts(run_folder / "model.safetensors")["about"]
    model = hm.load(run_folder / "model.safetensors")
    patterns = torch.from_numpy(hm.data.load("bars-and-stripes").test).float()
    assert about["test"]["value"] == pytest.approx(hm.log_likelihood(model, patterns).value, abs=1e-6)
    independent = hm.likelihood.independent_log_likelihood(hm.Bernoulli(16), patterns, patterns)
    assert about["independent"]["test"] == pytest.approx(independent, abs=1e-6)


def test_the_same_command_makes_the_same_model(tmp_path, command, no_report, run_folder):
    arguments = ("fit", "bars-and-stripes", "--hidden", 8, "--steps", 40)
    status, out, err = command(*arguments, "--out", tmp_path / "again")
    assert status == 0 and "independent units" in out and str(tmp_path / "again" / "report.html") in out
    assert command(*arguments, "--out", tmp_path / "other", "--seed", 1, "--quiet") == (0, "", "")
    first, again, other = (
        hm.load(f / "model.safetensors").weight for f in (run_folder, tmp_path / "again", tmp_path / "other")
    )
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_fit_takes_each_type_of_visible_units(tmp_path, command, no_report):
    rng = np.random.Generator(np.random.Philox(3))
    bits = rng.integers(0, 2, (60, 4))
    tables = {
        None: (bits * 2 - 1, hm.Spin(4)),
        "categorical": (bits + rng.integers(0, 2, (60, 4)), hm.Categorical(4, states=3)),
        "categorical:5": (bits, hm.Categorical(4, states=5)),
        "binomial": (bits * 3, hm.Binomial(4, trials=3)),
        "poisson": (bits * 2, hm.Poisson(4)),
        "gaussian": (bits + rng.normal(size=(60, 4)), hm.Gaussian(4)),
    }
    for i, (kind, (table, units)) in enumerate(tables.items()):
        np.save(tmp_path / f"{i}.npy", table)
        option = ["--visible", kind] if kind else []
        arguments = [
            "fit",
            tmp_path / f"{i}.npy",
            "--out",
            tmp_path / str(i),
            "--steps",
            4,
            "--hidden",
            3,
            *option,
        ]
        status, _, err = command(*arguments, "--dtype", "float64", "-q")
        assert status == 0, (kind, err)
        model = hm.load(tmp_path / str(i) / "model.safetensors")
        assert model.visible.config() == units.config() and model.weight.dtype == torch.float64
        status, _, err = command("sample", tmp_path / str(i), "-n", 3, "-o", tmp_path / f"{i}-samples.csv")
        assert status == 0, (kind, err)
        assert command("evaluate", tmp_path / str(i), tmp_path / f"{i}.npy")[0] == 0


def test_hidden_units_are_of_the_type_asked_for(tmp_path, command, no_report):
    arguments = ("fit", "bars-and-stripes", "--steps", 2, "--hidden", 3, "-q")
    assert command(*arguments, "--out", tmp_path / "a", "--hidden-type", "categorical:3")[0] == 0
    assert (
        hm.load(tmp_path / "a" / "model.safetensors").hidden.config() == hm.Categorical(3, states=3).config()
    )


def test_resuming_goes_on_with_the_options_of_the_run(tmp_path, command, refused, no_report, monkeypatch):
    out = tmp_path / "run"
    arguments = ("fit", "bars-and-stripes", "--out", out)
    real = hm.recipes.fit

    live = []

    def interrupted(model, x, **options):
        def stop(update):
            if update.step == 30:
                live.extend(json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines())
                raise KeyboardInterrupt

        options["callbacks"].append(stop)
        return real(model, x, **options)

    monkeypatch.setattr("harmonium.cli.fit.fit", interrupted)
    status, said, err = command(*arguments, "--steps", 60, "--hidden", 5, "-q")
    assert (status, said) == (130, "") and "checkpoint.safetensors is saved" in err and "--resume" in err
    monkeypatch.setattr("harmonium.cli.fit.fit", real)
    # each record is written as it is measured
    assert len(live) > 1 and 1 < live[-1]["step"] <= 30 and "train_log_likelihood" in live[-1]
    assert json.loads((out / "metrics.jsonl").read_text().splitlines()[-1]) == live[-1]

    assert f"harmonium fit DATA --out {out} --resume' would finish" in refused("inspect", out)
    assert "--hidden 6 is not what" in refused(*arguments, "--resume", "--hidden", 6)
    assert "isn't what the run" in refused("fit", "digits", "--out", out, "--resume")
    assert command(*arguments, "--resume", "-q")[0] == 0
    whole = tmp_path / "whole"
    assert command("fit", "bars-and-stripes", "--out", whole, "--steps", 60, "--hidden", 5, "-q")[0] == 0
    resumed, never = (hm.load(f / "model.safetensors") for f in (out, whole))
    assert torch.equal(resumed.weight, never.weight)
    about = store.read_facts(out / "model.safetensors")["about"]
    assert about["training"]["command"].endswith("--hidden 5 --steps 60")
    metrics = (out / "metrics.jsonl").read_text()
    assert command(*arguments, "--resume", "-q")[0] == 0  # a run that is over stays as it is
    assert torch.equal(hm.load(out / "model.safetensors").weight, never.weight)
    assert (out / "metrics.jsonl").read_text() == metrics


def test_an_interruption_before_anything_is_saved_says_so(tmp_path, command, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("harmonium.cli.fit.fit", interrupted)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").touch()
    for _ in range(2):  # nothing stands in the way of another beginning
        status, _, err = command("fit", "bars-and-stripes", "--out", tmp_path / "run")
        assert status == 130 and "nothing is saved" in err
        assert [p.name for p in (tmp_path / "run").iterdir()] == ["notes.txt"]


def test_a_run_that_fails_before_it_has_measured_anything_leaves_nothing(tmp_path, command, monkeypatch):
    class CompilerError(Exception):
        pass

    def fails(*_, **__):
        raise CompilerError

    monkeypatch.setattr("harmonium.learning.loop.Learner.update", fails)
    with pytest.raises(CompilerError):
        command("fit", "bars-and-stripes", "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()
    monkeypatch.setattr("harmonium.cli.folder.drop_beginning", lambda *_: None)  # as when the power fails
    with pytest.raises(CompilerError):
        command("fit", "bars-and-stripes", "--out", tmp_path / "run")
    assert {p.name for p in (tmp_path / "run").iterdir()} == {"settings.json", "metrics.jsonl"}
    monkeypatch.undo()
    assert command("fit", "bars-and-stripes", "--out", tmp_path / "run", "--steps", 2, "--hidden", 2)[0] == 0


def test_an_interruption_of_another_command_says_so(run_folder, command, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("harmonium.cli.evaluate.log_likelihood", interrupted)
    status, out, err = command("evaluate", run_folder, "bars-and-stripes")
    assert (status, out, err) == (130, "", f"harmonium: {entry.NOTHING_WRITTEN}\n")


def test_a_run_is_replaced_only_by_force(tmp_path, refused, command, no_report):
    arguments = ("fit", "bars-and-stripes", "--out", tmp_path / "run", "--steps", 2, "--hidden", 2)
    assert command(*arguments)[0] == 0
    before = {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()}
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "settings.json").touch()
    said = refused("fit", "bars-and-stripes", "--out", tmp_path / "other")
    assert "holds a run already (settings.json): --force replaces it." in said
    assert "--resume continues it, --force replaces it" in refused(*arguments)
    assert {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()} == before
    (tmp_path / "bad.csv").write_text("a,b\n1,x\n")
    refused("fit", tmp_path / "bad.csv", "--out", tmp_path / "run", "--force")
    assert {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()} == before
    assert command(*arguments, "--seed", 5, "--force")[0] == 0
    assert (tmp_path / "run" / "model.safetensors").read_bytes() != before["model.safetensors"]


def test_values_between_0_and_1_are_probabilities_and_the_report_says_so(tmp_path, command):
    rng = np.random.Generator(np.random.Philox(3))
    np.save(tmp_path / "grey.npy", rng.random((60, 3, 4)))
    out = tmp_path / "run"
    assert command("fit", tmp_path / "grey.npy", "--out", out, "--steps", 3, "--hidden", 2)[0] == 0
    assert hm.load(out / "model.safetensors").visible.config() == hm.Bernoulli(12).config()
    page = (out / "report.html").read_text()
    assert "taken as probabilities" in page and "drawn anew in each epoch" in page
    _, said, _ = command("evaluate", out, tmp_path / "grey.npy")
    assert "probabilities" in said


def test_training_that_diverges_is_no_mistake_of_the_users(tmp_path, command, monkeypatch):
    def diverged(*_, **__):
        raise FloatingPointError("weight is no longer finite after 7 updates: training diverged.")

    monkeypatch.setattr("harmonium.cli.fit.fit", diverged)
    status, out, err = command("fit", "bars-and-stripes", "--out", tmp_path / "run")
    assert (status, out) == (1, "") and "diverged" in err and err.count("\n") == 1


def test_a_bug_keeps_its_traceback(tmp_path, monkeypatch):
    monkeypatch.setattr("harmonium.cli.fit.fit", lambda *_, **__: np.zeros(2).reshape(3))
    with pytest.raises(ValueError, match="cannot reshape"):
        main(["fit", "bars-and-stripes", "--out", str(tmp_path / "run")])


# ---------------------------------------------------------------- wrong input


def write(path, what):
    """A file that can't be learned from."""
    path.parent.mkdir(exist_ok=True)
    if isinstance(what, str):
        path.write_text(what)
    elif isinstance(what, dict):
        np.savez(path, **what)
    else:
        np.save(path, what)
    return path


ROWS = np.eye(20)
WRONG_DATA = {
    "no such set": ("nothing", None, "must be a bundled data set"),
    "no such file": ("missing.csv", None, "there is no such file"),
    "another ending": ("table.xls", "x", "got the ending '.xls'"),
    "empty": ("empty.npy", np.empty((0, 3)), "empty array"),
    "empty text": ("empty.csv", "", "empty file"),
    "one-dimensional": ("flat.npy", np.ones(9), "one-dimensional"),
    "NaN": ("nan.npy", np.full((20, 3), np.nan), "NaN"),
    "infinite": ("infinite.npy", np.where(ROWS == 1, np.inf, 0.0), "infinite"),
    "text": ("text.csv", "1,0\n0,cat\n" * 10, "'cat'"),
    "objects": ("text.npy", np.array([["a", "b"]] * 12), "text"),
    "complex": ("complex.npy", ROWS * 1j, "complex"),
    "a torn file": ("torn.npy", "not numpy", "not in NumPy's format"),
    "few rows": ("few.npy", ROWS[:4], "at least 10 rows"),
    "widths": ("wide.npz", {"train": ROWS, "test": ROWS[:, :5]}, "equally many columns"),
    "keys": ("keys.npz", {"a": ROWS, "b": ROWS}, "train, valid and test"),
    "above 1": ("counts.npy", ROWS * 3, "holds 3 in row"),
    "below 0": ("real.npy", ROWS - 0.5, "columns are constant"),
}


@pytest.mark.parametrize("name, content, words", WRONG_DATA.values(), ids=WRONG_DATA)
def test_data_that_cannot_be_used_are_refused_and_nothing_is_written(tmp_path, refused, name, content, words):
    source = name if name == "nothing" else tmp_path / name
    if content is not None:
        write(tmp_path / name, content)
    assert words in refused("fit", source, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


WRONG_OPTIONS = {
    "no DATA": (["fit"], "missing argument 'DATA'"),
    "no DIR": (["fit", "digits"], "--out"),
    "unknown option": (["fit", "digits", "--out", "x", "--colour", "red"], "--colour"),
    "unknown command": (["train"], "no such command 'train'"),
    "hidden 0": (["fit", "digits", "--out", "x", "--hidden", "0"], "--hidden"),
    "hidden text": (["fit", "digits", "--out", "x", "--hidden", "many"], "--hidden"),
    "steps and minutes": (
        ["fit", "digits", "--out", "x", "--steps", "5", "--minutes", "1"],
        "give one of them",
    ),
    "minutes": (["fit", "digits", "--out", "x", "--minutes", "-1"], "--minutes must be"),
    "minutes nan": (["fit", "digits", "--out", "x", "--minutes", "nan"], "--minutes must be"),
    "seed": (["fit", "digits", "--out", "x", "--seed", str(2**64)], "--seed must be"),
    "visible": (["fit", "digits", "--out", "x", "--visible", "boson"], "--visible must be one of bernoulli"),
    "visible number": (
        ["fit", "digits", "--out", "x", "--visible", "spin:3"],
        "--visible takes a number only",
    ),
    "states": (
        ["fit", "digits", "--out", "x", "--visible", "categorical:1"],
        "--visible takes a number only",
    ),
    "value": (["fit", "digits", "--out", "x", "--visible", "spin"], "--visible spin needs -1 or +1"),
    "trials": (
        ["fit", "digits-counts", "--out", "x", "--visible", "binomial:9"],
        "needs a whole number from 0 to 9 in every cell",
    ),
    "hidden type": (["fit", "digits", "--out", "x", "--hidden-type", "binomial"], "needs its trials"),
    "pairing": (
        ["fit", "wine", "--out", "x", "--visible", "gaussian", "--hidden-type", "poisson"],
        "can't be coupled",
    ),
    "dtype": (
        ["fit", "digits", "--out", "x", "--dtype", "float16"],
        "--dtype must be 'float32' or 'float64'",
    ),
    "device": (
        ["fit", "digits", "--out", "x", "--device", "abacus"],
        "--device must be one that can be used here",
    ),
    "shape": (["fit", "digits", "--out", "x", "--shape", "8by8"], "--shape must be height and width"),
    "shape size": (["fit", "digits", "--out", "x", "--shape", "8x9"], "--shape 8x9 makes 72 pixels of 64"),
    "resume what": (["fit", "digits", "--out", "x", "--resume"], "no checkpoint.safetensors to resume from"),
    "resume by force": (["fit", "digits", "--out", "x", "--resume", "--force"], "give one of them"),
    "no model": (["inspect", "."], "holds no model.safetensors"),
    "no folder": (["inspect", "x"], "there is no such file"),
    "ending": (["sample", "x", "-o", "x.gif"], "x.gif must end in .npy"),
    "folder of output": (["sample", "x", "-o", "y/x.npy"], "there is no folder y"),
    "n": (["sample", "x", "-n", "0", "-o", "x.npy"], "--number"),
    "split": (["evaluate", "x", "digits", "--split", "best"], "--split must be"),
    "seconds": (["evaluate", "x", "digits", "--seconds", "0"], "--seconds must be"),
}


@pytest.mark.parametrize("arguments, words", WRONG_OPTIONS.values(), ids=WRONG_OPTIONS)
def test_wrong_options_are_refused_and_nothing_is_written(tmp_path, monkeypatch, refused, arguments, words):
    monkeypatch.chdir(tmp_path)
    assert words in refused(*arguments)
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_place_of_the_folder_is_refused(tmp_path, refused):
    (tmp_path / "run").write_text("mine")
    assert "is a file" in refused("fit", "digits", "--out", tmp_path / "run")
    assert "is not a folder" in refused("fit", "digits", "--out", tmp_path / "run" / "deeper")
    assert (tmp_path / "run").read_text() == "mine"


def test_what_the_operating_system_refuses_is_one_sentence(run_folder, refused, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device", "samples.npy")

    monkeypatch.setattr("harmonium.cli.sample.write", full)
    said = refused("sample", run_folder, "-o", tmp_path / "s.npy", "-n", 1)
    assert said == "harmonium: samples.npy: no space left on device.\n"


def test_a_model_and_data_of_different_widths_are_told_apart(run_folder, refused, tmp_path):
    assert "must have 16 columns" in refused("evaluate", run_folder, "digits")
    np.save(tmp_path / "x.npy", np.full((3, 7), np.nan))
    assert "must have 16 columns, as the visible units of the model, got 7" in refused(
        "impute", run_folder, tmp_path / "x.npy", "-o", "y.npy"
    )
    given = ("sample", run_folder, "-n", 3, "--given", tmp_path / "x.npy", "-o", tmp_path / "y.npy")
    assert "must have 16 columns, as the visible units of the model, got 7" in refused(*given)
    np.save(tmp_path / "x.npy", np.full((2, 16), np.nan))
    assert "must hold 1 row or 3" in refused(*given)
    np.save(tmp_path / "x.npy", np.full((3, 16), 0.5))
    assert "x.npy: values must be 0 or 1" in refused(*given)


def test_a_damaged_model_is_one_sentence(tmp_path, refused):
    (tmp_path / "model.safetensors").write_bytes(b"x" * 50)
    assert "damaged or not a harmonium file" in refused("inspect", tmp_path)


def test_a_model_without_probabilities_is_refused(tmp_path, refused, command):
    model = hm.RBM(hm.Gaussian(2), hm.Gaussian(2))
    with torch.no_grad():
        model.weight.fill_(5.0)
    hm.save(model, tmp_path / "m.safetensors")
    assert "may be infinite" in refused("sample", tmp_path / "m.safetensors", "-o", tmp_path / "x.npy")
    assert "may be infinite" in refused("evaluate", tmp_path / "m.safetensors", "wine")
    status, out, _ = command("inspect", tmp_path / "m.safetensors")
    assert status == 0 and "warning" in out


# ---------------------------------------------------------------- evaluate and inspect


def test_evaluate_prints_one_json_object_with_the_fields_of_the_estimate(run_folder, command):
    status, out, err = command("evaluate", run_folder, "bars-and-stripes", "--json")
    assert (status, err, out.count("\n")) == (0, "", 1)
    model = hm.load(run_folder / "model.safetensors")
    rows = torch.from_numpy(hm.data.load("bars-and-stripes").test).float()
    found, expected = json.loads(out), plain(hm.log_likelihood(model, rows).to_dict())
    assert found.keys() == {"value", "stderr", "low", "high", "method", "ess", "warnings", "details"}
    details = found.pop("details")
    own = {key: details.pop(key) for key in ("independent", "pseudo_likelihood", "reconstruction_error")}
    assert "test rows" in " ".join(details.pop("notes"))
    assert details == expected.pop("details") and found == expected
    assert own["pseudo_likelihood"] == hm.likelihood.pseudo_likelihood(model, rows).value
    assert own["independent"] < found["value"]


def test_evaluate_tells_the_baseline_the_method_and_the_rows(run_folder, command):
    status, out, _ = command("evaluate", run_folder, "bars-and-stripes", "--split", "train")
    assert status == 0
    for words in ("nats per row", "independent units", "the model is", "exact", "the 30 train rows"):
        assert words in out
    model = hm.load(run_folder / "model.safetensors")
    rows = torch.from_numpy(hm.data.load("bars-and-stripes").train).float()
    assert f"{hm.likelihood.pseudo_likelihood(model, rows).value:.4f}, a proxy" in out
    assert f"{hm.likelihood.reconstruction_error(model, rows).value:.4g} per cell" in out


def test_evaluate_reads_all_rows_of_a_table_that_the_model_has_not_learned_from(
    run_folder, command, tmp_path
):
    np.save(tmp_path / "new.npy", hm.data.load("bars-and-stripes").test[:13])
    told = command("evaluate", run_folder, tmp_path / "new.npy")[1]
    assert "all 13 rows" in " ".join(told.split())  # wherever the table breaks its lines


def test_numbers_that_json_cannot_hold_are_null(run_folder, command, tmp_path):
    np.save(tmp_path / "one.npy", hm.data.load("bars-and-stripes").test[:1])
    status, out, _ = command("evaluate", run_folder, tmp_path / "one.npy", "--json")
    assert status == 0 and json.loads(out)["details"]["data_stderr"] is None
    assert "standard error" not in command("evaluate", run_folder, tmp_path / "one.npy")[1]


def test_evaluate_within_seconds_prints_the_interval_the_method_and_warnings(command, tmp_path):
    """Too wide for an exact sum: an estimate, with its interval, and a warning where the time was too
    short.
    """
    rbm = hm.RBM(visible=hm.Bernoulli(40), hidden=hm.Bernoulli(40))
    hm.save(rbm, tmp_path / "wide.safetensors")
    np.save(tmp_path / "x.npy", np.eye(40))
    arguments = ("evaluate", tmp_path / "wide.safetensors", tmp_path / "x.npy", "--seconds")
    status, out, _ = command(*arguments, 0.5)
    assert status == 0 and "95 % interval [" in out and "replica exchange" in out
    assert "effective samples" in out and "a proxy" in out
    found = json.loads(command(*arguments, 0.001, "--json")[1])
    assert found["low"] < found["value"] < found["high"] and "sweeps only" in " ".join(found["warnings"])
    assert found["details"]["temperatures"][-1] == 1.0


def test_a_single_file_stands_for_its_folder(run_folder, command):
    one = command("evaluate", run_folder / "model.safetensors", "bars-and-stripes", "--json")
    assert one == command("evaluate", run_folder, "bars-and-stripes", "--json")


def test_inspect_tells_units_parameters_training_and_likelihood(run_folder, command):
    status, out, _ = command("inspect", run_folder)
    assert status == 0
    for words in ("RBM 16 × 8 Bernoulli", "152 of float32", "40 updates", "nats per row", "singular values"):
        assert words in out
    spectrum = torch.linalg.svdvals(hm.load(run_folder / "model.safetensors").weight.detach())
    assert f"{spectrum[0]:.3g}" in out


# ---------------------------------------------------------------- sample and impute

READ = {
    ".npy": np.load,
    ".npz": lambda p: np.load(p)["rows"],
    ".csv": lambda p: np.loadtxt(p, delimiter=","),
    ".parquet": lambda p: pd.read_parquet(p).to_numpy(),
    ".h5": lambda p: h5py.File(p)["rows"][()],
}


def test_samples_come_in_every_format_and_are_those_of_the_library(run_folder, command, tmp_path):
    expected = hm.sample(hm.load(run_folder / "model.safetensors"), 6, seed=2).numpy()
    for ending, read in READ.items():
        out = tmp_path / f"samples{ending}"
        assert command("sample", run_folder, "-n", 6, "-o", out, "--seed", 2)[0] == 0
        assert np.array_equal(read(out), expected), ending
        assert np.array_equal(hm.data.load_rows(out)[0], expected)


def test_samples_of_pictures_are_a_picture(run_folder, command, tmp_path):
    from matplotlib.image import imread

    assert command("sample", run_folder, "-n", 9, "-o", tmp_path / "s.png")[0] == 0
    pixels = imread(tmp_path / "s.png")
    assert pixels.shape[0] == pixels.shape[1] > 400


def test_outputs_are_replaced_only_by_force(run_folder, command, refused, tmp_path):
    out = tmp_path / "s.npy"
    out.write_text("mine")
    assert "--force would replace it" in refused("sample", run_folder, "-o", out)
    assert out.read_text() == "mine"
    assert command("sample", run_folder, "-o", out, "-n", 2, "--force")[0] == 0
    np.save(tmp_path / "x.npy", np.zeros((1, 16)))
    assert "--force would replace it" in refused("impute", run_folder, tmp_path / "x.npy", "-o", out)


def test_samples_given_part_of_a_row_keep_it(run_folder, command, tmp_path):
    known = "1,,0" + "," * 13
    (tmp_path / "known.csv").write_text(f"{known}\n")
    out = tmp_path / "s.npy"
    assert command("sample", run_folder, "-n", 7, "--given", tmp_path / "known.csv", "-o", out)[0] == 0
    drawn = np.load(out)
    assert drawn.shape == (7, 16) and (drawn[:, 0] == 1).all() and (drawn[:, 2] == 0).all()


def learned():
    """A model with strong couplings, whose conditionals are far from its means."""
    model = hm.RBM(hm.Bernoulli(6), hm.Bernoulli(3), dtype=torch.float64, seed=4)
    with torch.no_grad():
        model.weight *= 60.0
        model.visible.bias.copy_(torch.linspace(-1.0, 1.0, 6))
    return model


def exact_conditional_mean(model, row):
    """⟨v | known⟩ by enumeration over all visible states, most of which are thrown away."""
    every = model.visible.states(torch.arange(2**6)).double()
    known = ~torch.isnan(row)
    every = every[(every[:, known] == row[known]).all(1)]
    with torch.no_grad():
        weights = torch.softmax(-model.free_energy(every), 0)
    return weights @ every


def imputed_means(model, rows, seed=0):
    """⟨v | known⟩ of 0/1 cells from the likelier values and the probabilities of the others."""
    guess = imputation.guesses(model, rows, seed)
    return (guess.value - guess.doubt).abs()


def test_imputed_cells_are_the_most_probable_ones_and_known_ones_stay(command, tmp_path):
    model = learned()
    hm.save(model, tmp_path / "m.safetensors")
    rows = model.visible.states(torch.arange(64)).double()
    rows[torch.arange(64)[:, None] % 3 == torch.arange(6) % 3] = torch.nan
    np.save(tmp_path / "x.npy", rows.numpy())
    status, out, _ = command(
        "impute", tmp_path / "m.safetensors", tmp_path / "x.npy", "-o", tmp_path / "y.npy"
    )
    assert status == 0 and "128 cells of 64 rows" in out
    expected = torch.stack([exact_conditional_mean(model, row).round() for row in rows])
    filled = torch.from_numpy(np.load(tmp_path / "y.npy"))
    assert filled.dtype == torch.float64 and torch.equal(filled, expected)  # the type of the file


def test_conditional_means_are_exact_where_they_can_be_and_close_by_chains(monkeypatch):
    model = learned()
    row = torch.tensor([1.0, torch.nan, 0.0, torch.nan, torch.nan, torch.nan], dtype=torch.float64)
    expected = exact_conditional_mean(model, row)
    assert torch.allclose(imputed_means(model, row[None])[0], expected, atol=1e-12)
    monkeypatch.setattr(imputation, "EXACT_STATES", 0)
    copies = 200  # rows are independent, so their scatter gives the standard error of their mean
    means = imputed_means(model, row.repeat(copies, 1), seed=3)
    error = means.std(0) / copies**0.5
    free = torch.isnan(row)
    assert ((means.mean(0) - expected).abs()[free] <= z_threshold(4) * error[free]).all()
    assert torch.equal(means[:, ~free], row[~free].expand(copies, -1))


def test_draws_keep_the_conditional_distribution(command, tmp_path):
    model = learned()
    hm.save(model, tmp_path / "m.safetensors")
    row = torch.tensor([1.0, torch.nan, 0.0, torch.nan, torch.nan, torch.nan], dtype=torch.float64)
    n = 2000
    np.save(tmp_path / "x.npy", row.repeat(n, 1).numpy())
    arguments = ("impute", tmp_path / "m.safetensors", tmp_path / "x.npy", "-o", tmp_path / "y.npy", "--draw")
    assert command(*arguments)[0] == 0
    mean = torch.from_numpy(np.load(tmp_path / "y.npy")).double().mean(0)
    expected = exact_conditional_mean(model, row)
    error = (expected * (1 - expected) / n).sqrt()
    assert ((mean - expected).abs() <= z_threshold(6) * error + 1e-12).all()


def test_a_table_without_gaps_is_written_as_it_is(run_folder, command, tmp_path):
    rows = hm.data.load("bars-and-stripes").test
    pd.DataFrame(rows, columns=[f"pixel {i}" for i in range(16)]).to_csv(tmp_path / "x.csv", index=False)
    assert command("impute", run_folder, tmp_path / "x.csv", "-o", tmp_path / "y.csv")[0] == 0
    again = pd.read_csv(tmp_path / "y.csv")
    assert list(again.columns)[1] == "pixel 1" and np.array_equal(again.to_numpy(), rows)


def test_cells_of_every_type_are_filled_with_values_of_theirs(command, tmp_path):
    parts = (
        hm.Bernoulli(1),
        hm.Spin(1),
        hm.Categorical(2, states=3),
        hm.Gaussian(1),
        hm.Binomial(1, trials=4),
    )
    hm.save(hm.RBM(hm.Mixed(*parts), hm.Bernoulli(3)), tmp_path / "m.safetensors")
    rows = np.array([[1, np.nan, 2, np.nan, 0.25, np.nan], [np.nan, -1, np.nan, 0, np.nan, 4]])
    np.save(tmp_path / "x.npy", rows)
    assert command("impute", tmp_path / "m.safetensors", tmp_path / "x.npy", "-o", tmp_path / "y.npy")[0] == 0
    filled = np.load(tmp_path / "y.npy")
    gaps = np.isnan(rows)
    assert np.array_equal(filled[~gaps], rows[~gaps])
    assert filled[0, 1] in (-1, 1) and filled[0, 3] in (0, 1, 2) and filled[0, 5] in range(5)
    assert filled[1, 0] in (0, 1) and filled[1, 2] in (0, 1, 2) and abs(filled[1, 4]) < 1


def test_other_models_than_rbms_are_measured_drawn_from_and_completed(command, tmp_path, monkeypatch):
    machine = hm.BoltzmannMachine(4, 2)
    with torch.no_grad():
        machine.visible_lateral[0, 1] = machine.visible_lateral[1, 0] = 8.0
        machine.visible.bias[0] = -1.0
    path = tmp_path / "m.safetensors"
    hm.save(machine, path)
    assert "BoltzmannMachine of 4 visible variables" in command("inspect", path)[1]
    assert command("sample", path, "-n", 5, "-o", tmp_path / "s.npy")[0] == 0
    status, out, _ = command("evaluate", path, tmp_path / "s.npy", "--json")
    rows = torch.from_numpy(np.load(tmp_path / "s.npy")).float()
    assert status == 0 and json.loads(out)["value"] == hm.log_likelihood(machine, rows).value
    gaps = np.array([[1, np.nan, 0, 0], [0, 0, 1, np.nan]])
    np.save(tmp_path / "x.npy", gaps)
    assert command("impute", path, tmp_path / "x.npy", "-o", tmp_path / "y.npy")[0] == 0
    filled = np.load(tmp_path / "y.npy")
    assert filled[0].tolist() == [1, 1, 0, 0] and filled[1, :3].tolist() == [0, 0, 1]
    means = imputed_means(machine, torch.tensor(gaps[:1]).float())
    monkeypatch.setattr(imputation, "EXACT_STATES", 0)
    sampled = imputed_means(machine, torch.tensor(gaps[:1]).float().repeat(60, 1))
    error = sampled[:, 1].std() / 60**0.5
    assert abs(sampled[:, 1].mean() - means[0, 1]) <= z_threshold() * error


def test_what_is_saved_is_said_by_what_is_there(tmp_path):
    assert "nothing is saved" in folder.what_is_saved(tmp_path)
    hm.save(hm.RBM(hm.Bernoulli(2), hm.Bernoulli(1)), tmp_path / "checkpoint.safetensors")
    assert "--resume goes on" in folder.what_is_saved(tmp_path)
    (tmp_path / "checkpoint.safetensors").write_bytes(b"half of it")
    assert "is damaged, and there is none before it" in folder.what_is_saved(tmp_path)
    store.save_tensors(tmp_path / "checkpoint.previous.safetensors", {"x": torch.ones(2)}, {"step": 1200})
    said = folder.what_is_saved(tmp_path)
    assert "after 1,200 updates" in said and "checkpoint.previous.safetensors is saved" in said
    folder.drop_beginning(tmp_path)
    assert folder.what_is_saved(tmp_path) == said
    (tmp_path / "model.safetensors").touch()
    assert "after training" in folder.what_is_saved(tmp_path)
