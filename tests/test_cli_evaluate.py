"""What the harmonium command tells of a model: `evaluate` and `inspect`."""

import json

import numpy as np
import torch

import harmonium as hm
from harmonium.cli.plain import plain


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
