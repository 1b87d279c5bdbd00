"""One sentence of the harmonium command for every mistake, and nothing written."""

import numpy as np
import pytest
import torch

import harmonium as hm


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
