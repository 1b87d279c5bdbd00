"""The harmonium command: its face, and what `fit` leaves behind."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

import harmonium as hm
from harmonium import store
from harmonium.cli import entry, folder, main

FILES = {"model.safetensors", "metrics.jsonl", "report.html", "checkpoint.safetensors", "settings.json"}


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
