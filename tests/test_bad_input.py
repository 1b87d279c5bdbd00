"""docs/bad-input.md, the part on commands: each of its rows, and no others."""

import json
import os
import re
import struct
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import harmonium as hm
from bad_input_page import cases
from harmonium import store
from harmonium.cli import folder, main


def listing(place):
    return {p: p.read_bytes() if p.is_file() else None for p in sorted(Path(place).rglob("*"))}


@pytest.fixture
def refused(capsys, tmp_path):
    """Runs a command that must be refused with status 2, one sentence, and nothing changed on the disk."""

    def run(words, *arguments):
        before = listing(tmp_path)
        status = main([os.fspath(a) for a in map(_text, arguments)])
        out, err = capsys.readouterr()
        assert status == 2 and out == "", (status, out, err)
        assert re.fullmatch(f"harmonium: {words}\n", err), err
        assert listing(tmp_path) == before

    return run


def _text(argument):
    return argument if isinstance(argument, (str, os.PathLike)) else str(argument)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "m.safetensors"
    hm.save(hm.RBM(hm.Bernoulli(4), hm.Bernoulli(2)), path)
    return path


# ------------------------------------------------------------------------------------------- files of rows
ROWS = np.tile(np.eye(4), (10, 1))


def whole(path):
    """A good file of the ending that the path has."""
    kind = path.suffix
    if kind == ".npy":
        np.save(path, ROWS)
    elif kind == ".npz":
        np.savez_compressed(path, a=ROWS)
    elif kind == ".parquet":
        pd.DataFrame(ROWS, columns=list("abcd")).to_parquet(path)
    else:
        import h5py

        with h5py.File(path, "w") as file:
            file.create_dataset("a", data=ROWS)
    return path


def holding(name, content):
    def make(place):
        (place / name).write_bytes(content)
        return place / name

    return make


def cut(name, share=0.6):
    def make(place):
        path = whole(place / name)
        path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
        return path

    return make


def changed(name):
    def make(place):
        path = whole(place / name)
        raw = bytearray(path.read_bytes())
        raw[len(raw) // 3] ^= 255
        path.write_bytes(raw)
        return path

    return make


def folder_named(name):
    def make(place):
        (place / name).mkdir()
        return place / name

    return make


DATA = {
    "a missing file": lambda place: place / "x.npy",
    "a directory": folder_named("x.npy"),
    "an unknown ending": holding("x.xls", b"x"),
    "a name that isn't Unicode": lambda place: place / "x\udcff.csv",
    "an empty .npy": holding("x.npy", b""),
    "an empty .npz": holding("x.npz", b""),
    "an empty .csv": holding("x.csv", b""),
    "an empty .parquet": holding("x.parquet", b""),
    "an empty .h5": holding("x.h5", b""),
    "a truncated .npy": cut("x.npy"),
    "a truncated .npz": lambda place: _cut_npz(place),
    "a truncated .parquet": cut("x.parquet"),
    "a truncated .h5": cut("x.h5"),
    "a corrupt .npz": changed("x.npz"),
    "text that isn't UTF-8": holding("x.csv", b"a,b,c,d\n1,0,0,\xff\n"),
    "lines of different lengths": holding("x.csv", b"1,0,0,1\n0,1,0,0,0,1\n" * 10),
}


def _cut_npz(place):
    """Its middle is missing, its end is there."""
    path = whole(place / "x.npz")
    raw = path.read_bytes()
    path.write_bytes(raw[:40] + raw[80:])
    return path


@pytest.mark.parametrize("make, words", cases("Files of rows", DATA))
def test_rows(refused, tmp_path, model, make, words):
    path = make(tmp_path)
    refused(words, "fit", path, "--out", tmp_path / "run")
    refused(words, "evaluate", model, path)
    refused(words, "impute", model, path, "-o", tmp_path / "out.npy")
    refused(words, "conditional", model, path, "--column", "0")
    refused(words, "surprise", model, path)
    refused(words, "report", model, path, "-o", tmp_path / "out.html")


# -------------------------------------------------------------------------------------------------- models
def later(path):
    """The same file with the number of a format that is still to come."""
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    head = json.loads(raw[8 : 8 + length])
    head["__metadata__"] |= {"format": "9", "harmonium": "7.0"}
    text = json.dumps(head).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + raw[8 + length :])
    return path


def saved(place):
    hm.save(hm.RBM(hm.Bernoulli(4), hm.Bernoulli(2)), place / "m.safetensors")
    return place / "m.safetensors"


def altered(change):
    def make(place):
        path = saved(place)
        path.write_bytes(change(bytearray(path.read_bytes())))
        return path

    return make


def flipped(raw):
    raw[-3] ^= 1
    return raw


def of_another_library(place):
    from safetensors.torch import save_file

    save_file({"x": torch.ones(2)}, place / "m.safetensors")
    return place / "m.safetensors"


def checkpoint(place):
    rbm = hm.RBM(hm.Bernoulli(4), hm.Bernoulli(2))
    hm.fit(rbm, ROWS, steps=2, checkpoint=place / "m.safetensors")
    return place / "m.safetensors"


MODELS = {
    "no model": lambda place: place / "m.safetensors",
    "a folder without a model": folder_named("run"),
    "an empty model": altered(lambda raw: b""),
    "a truncated model": altered(lambda raw: raw[:-5]),
    "a model with a changed byte": altered(flipped),
    "a model of a later version": lambda place: later(saved(place)),
    "tensors of another library": of_another_library,
    "a checkpoint in place of a model": checkpoint,
}


@pytest.mark.parametrize("make, words", cases("Models", MODELS))
def test_models(refused, tmp_path, make, words):
    path = make(tmp_path)
    refused(words, "inspect", path)
    refused(words, "evaluate", path, "bars-and-stripes")
    refused(words, "sample", path, "-o", tmp_path / "out.npy")
    refused(words, "impute", path, "bars-and-stripes", "-o", tmp_path / "out.npy")
    refused(words, "conditional", path, "bars-and-stripes", "--column", "0")
    refused(words, "surprise", path, "bars-and-stripes")
    refused(words, "report", path, "bars-and-stripes", "-o", tmp_path / "out.html")


# ------------------------------------------------------------------------------------------- resumed runs
@pytest.fixture(scope="module")
def run_files(tmp_path_factory):
    """The files of a run that ended at its first checkpoints."""
    out = tmp_path_factory.mktemp("run") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("harmonium.cli.finish.report", lambda told: "a report")
        assert (
            main(["fit", "bars-and-stripes", "--out", str(out), "--steps", "2", "--hidden", "2", "-q"]) == 0
        )
    return {p.name: p.read_bytes() for p in out.iterdir() if p.name not in (folder.MODEL, folder.REPORT)}


def wrong(name, content):
    return lambda out: (out / name).write_bytes(content)


def only_checkpoint_damaged(out):
    (out / folder.PREVIOUS).unlink()
    wrong(folder.CHECKPOINT, b"x" * 99)(out)


def setting(change):
    def write(out):
        settings = json.loads((out / folder.SETTINGS).read_text())
        change(settings)
        (out / folder.SETTINGS).write_text(json.dumps(settings))

    return write


def option(name, value):
    return setting(lambda settings: settings["options"].update({name: value}))


RUNS = {
    "nothing to resume": lambda out: [p.unlink() for p in out.iterdir()],
    "damaged settings": wrong(folder.SETTINGS, b"\xff{"),
    "settings that are a list": wrong(folder.SETTINGS, b"[[1, 2]]"),
    "settings of options that there are not": option("colour", "red"),
    "settings of another type": option("steps", "many"),
    "settings of a later version": setting(lambda s: s.update(format=9, harmonium="7.0", options=[])),
    "settings of no version": setting(lambda s: s.update(format="one")),
    "the only checkpoint damaged": only_checkpoint_damaged,
    "a checkpoint of a later version": lambda out: later(out / folder.CHECKPOINT),
}


@pytest.mark.parametrize("damage, words", cases("Runs that are resumed", RUNS))
def test_runs(refused, tmp_path, run_files, damage, words):
    out = tmp_path / "run"
    out.mkdir()
    for name, content in run_files.items():
        (out / name).write_bytes(content)
    damage(out)
    refused(words, "fit", "bars-and-stripes", "--out", out, "--resume")


# ------------------------------------------------------------------------------------------ where to write
def in_place_of_the_folder(refused, place, words, model, patch):
    (place / "run").write_text("mine")
    refused(words, "fit", "bars-and-stripes", "--out", place / "run")


def under_a_file(refused, place, words, model, patch):
    (place / "run").write_text("mine")
    refused(words, "fit", "bars-and-stripes", "--out", place / "run" / "deeper")


def not_unicode(refused, place, words, model, patch):
    refused(words, "fit", "bars-and-stripes", "--out", place / "run\udcff")


def output_folder(refused, place, words, model, patch):
    (place / "x.npy").mkdir()
    refused(words, "sample", model, "-o", place / "x.npy", "--force")
    refused(words, "impute", model, whole(place / "d.npy"), "-o", place / "x.npy", "--force")


def output_there(refused, place, words, model, patch):
    (place / "x.npy").write_text("mine")
    refused(words, "sample", model, "-o", place / "x.npy")
    refused(words, "impute", model, whole(place / "d.npy"), "-o", place / "x.npy")


def output_nowhere(refused, place, words, model, patch):
    refused(words, "sample", model, "-o", place / "none" / "x.npy")


def not_allowed(refused, place, words, model, patch):
    """The superuser may write anywhere, so that the system is made to refuse."""
    patch.setattr("os.access", lambda *_: False)
    refused(words, "fit", "bars-and-stripes", "--out", place / "run")
    patch.undo()

    def touch(path, *_, **__):
        raise PermissionError(13, "Permission denied", os.fspath(path))

    patch.setattr(Path, "touch", touch)
    refused(words, "sample", model, "-n", 2, "-o", place / "x.npy")


PLACES = {
    "a file in place of the folder": in_place_of_the_folder,
    "a folder under a file": under_a_file,
    "a folder whose name isn't Unicode": not_unicode,
    "an output that is a directory": output_folder,
    "an output that is there": output_there,
    "an output in no folder": output_nowhere,
    "a folder that the system refuses": not_allowed,
}


@pytest.mark.parametrize("case, words", cases("Places to write to", PLACES))
def test_places(refused, tmp_path, model, monkeypatch, case, words):
    case(refused, tmp_path, words, model, monkeypatch)


def test_a_name_that_is_not_unicode_is_read_and_reported(tmp_path, capsys):
    try:
        whole(tmp_path / "plain.npy").rename(tmp_path / "x\udcff.npy")
    except OSError:
        pytest.skip("this file system has Unicode names only")
    out = tmp_path / "run"
    arguments = ["fit", str(tmp_path / "x\udcff.npy"), "--out", str(out), "--steps", "2", "--hidden", "2"]
    assert main(arguments) == 0, capsys.readouterr().err
    assert (out / folder.REPORT).exists() and store.read_facts(out / folder.MODEL)["about"]["data"]["rows"]
    assert main(["inspect", str(out)]) == 0


def test_every_command_is_refused_what_the_page_lists():
    """All but `doctor`, which takes no file."""
    import typer

    from harmonium.cli.app import app

    commands = set(typer.main.get_command(app).commands) - {"doctor"}
    used = set(re.findall(r'refused\(words, "(\w+)"', Path(__file__).read_text(encoding="utf-8")))
    assert commands == used
