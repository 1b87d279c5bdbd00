"""Nothing runs that came in a file, nothing is believed that it claims, and nothing is followed out of it."""

import io
import json
import os
import pickle
import struct
import zipfile

import h5py
import numpy as np
import pandas as pd
import pytest
import torch

import harmonium as hm
from harmonium import data, store
from harmonium.data import bounds

ran = []


class Bomb:
    """Says so where it is unpickled."""

    def __reduce__(self):
        return ran.append, ("a file ran code",)


def header(shape, dtype="<f8"):
    text = repr({"descr": dtype, "fortran_order": False, "shape": shape}).ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


def npz(path, member):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", member)


def pickled(path):
    with path.open("wb") as file:
        np.save(file, np.array([[Bomb(), 1.0]] * 12, dtype=object), allow_pickle=True)


def pickled_npz(path):
    file = io.BytesIO()
    np.save(file, np.array([[Bomb(), 1.0]] * 12, dtype=object), allow_pickle=True)
    npz(path, file.getvalue())


def pickled_h5(path):
    with h5py.File(path, "w") as file:
        file["a"] = [[pickle.dumps(Bomb()).hex()] * 2] * 12


def linked(path):
    with h5py.File(path.with_name("other.h5"), "w") as other:
        other["a"] = np.eye(20)
    with h5py.File(path, "w") as file:
        file["a"] = h5py.ExternalLink("other.h5", "a")


def linked_softly(path):
    with h5py.File(path, "w") as file:
        file["a"] = h5py.SoftLink("/nowhere")


def stored_elsewhere(path):
    path.with_name("secret").write_bytes(np.eye(20).tobytes())
    with h5py.File(path, "w") as file:
        file.create_dataset("a", (20, 20), "<f8", external=[(str(path.with_name("secret")), 0, 3200)])


def virtual(path):
    with h5py.File(path.with_name("other.h5"), "w") as other:
        other["a"] = np.eye(20)
    layout = h5py.VirtualLayout((20, 20), "<f8")
    layout[:] = h5py.VirtualSource("other.h5", "a", (20, 20))
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("a", layout)


def hollow(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("a", (2**40, 8), "<f8", chunks=(64, 8), compression="gzip")


def many_rows(path):
    pd.DataFrame({"a": np.zeros(10_000), "b": np.ones(10_000)}).to_parquet(path)


def packed(path):
    npz(path, header((200_000, 8), "|u1") + bytes(1_600_000))


FILES = {  # name: how it is made, what is said about it
    "objects.npy": (pickled, "holds Python objects, which are not loaded"),
    "objects.npz": (pickled_npz, "holds Python objects, which are not loaded"),
    "objects.h5": (pickled_h5, "must hold numbers in a"),
    "claims.npy": (lambda p: p.write_bytes(header((2**40, 8)) + bytes(64)), "can't be read as .npy"),
    "claims.npz": (lambda p: npz(p, header((2**40, 8)) + bytes(64)), "says that it holds 70,368,744,177,664"),
    "claims.h5": (hollow, "a would take 65,536.0 GiB"),
    "negative.npz": (lambda p: npz(p, header((-1, 8)) + bytes(64)), "can't be read as .npz"),
    "link.h5": (linked, "got no array"),
    "soft.h5": (linked_softly, "got no array"),
    "elsewhere.h5": (stored_elsewhere, "lie in other files, which are not followed"),
    "virtual.h5": (virtual, "lie in other files, which are not followed"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_hostile_table_is_one_sentence(tmp_path, name):
    make, words = FILES[name]
    make(tmp_path / name)
    with pytest.raises(data.DataError, match=words) as caught:
        data.load(tmp_path / name)
    assert "\n" not in str(caught.value) and not ran


@pytest.mark.parametrize("name, make", [("many.parquet", many_rows), ("packed.npz", packed)])
def test_what_would_unpack_to_more_than_there_is_memory_for_is_refused(tmp_path, monkeypatch, name, make):
    make(tmp_path / name)
    assert data.load(tmp_path / name).width in (2, 8)
    assert (tmp_path / name).stat().st_size < 100_000
    monkeypatch.setattr(bounds, "memory", lambda: 100_000)
    with pytest.raises(data.DataError, match=r"would take 0\.0 GiB, and this machine has"):
        data.load(tmp_path / name)


def described(path, config):
    store.save_tensors(path, {"weight": torch.ones(4, 2)}, {"kind": "model", "config": config, "about": {}})


HUGE = {"type": "Bernoulli", "n": 2**40}
WIDE = {"type": "Bernoulli", "n": 2**19}
LARGE = {
    "units": {"type": "RBM", "visible": HUGE, "hidden": {"type": "Bernoulli", "n": 2}},
    "couplings": {"type": "RBM", "visible": WIDE, "hidden": WIDE},
    "parts": {"type": "RBM", "visible": {"type": "Mixed", "parts": [WIDE, WIDE]}, "hidden": WIDE},
    "states": {"type": "RBM", "visible": {"type": "Categorical", "n": 9, "states": 2**36}, "hidden": WIDE},
    "lateral": {"type": "BoltzmannMachine", "n_visible": 2**19, "n_hidden": 1, "lateral": "all"},
    "table": {
        "type": "MarkovRandomField",
        "cardinalities": [2**20, 2**20],
        "names": None,
        "groups": [{"kind": "TableFactors", "variables": [[0, 1]], "shape": [2**20] * 2, "forbidden": False}],
    },
}


@pytest.mark.parametrize("config", LARGE.values(), ids=LARGE)
def test_a_model_that_claims_to_be_large_takes_no_memory(tmp_path, config):
    described(tmp_path / "m", config)
    with pytest.raises(ValueError, match="describes a model larger than the 8 numbers that it holds"):
        hm.load(tmp_path / "m")


NONSENSE = (
    {"type": "MarkovRandomField"},
    {"type": "MarkovRandomField", "cardinalities": [2], "names": None, "groups": [{}]},
    {"type": "MarkovRandomField", "cardinalities": 3, "names": None, "groups": []},
    {"type": "RBM", "visible": HUGE | {"n": 2}, "hidden": HUGE | {"n": 2}, "device": "nowhere"},
    {"type": "RBM", "visible": HUGE | {"n": "2"}, "hidden": None},
    {"type": "EnergyModel"},
    {"type": "__import__"},
    {"type": "Mixed", "parts": [[[]]]},
    {"type": "Mixed", "parts": None},
)


@pytest.mark.parametrize("config", NONSENSE, ids=lambda config: json.dumps(config)[:60])
def test_a_description_that_makes_no_sense_is_one_sentence(tmp_path, config):
    described(tmp_path / "m", config)
    with pytest.raises(ValueError, match=r"/m ") as caught:
        hm.load(tmp_path / "m")
    assert "\n" not in str(caught.value)


def test_facts_without_end_are_one_sentence(tmp_path):
    path = tmp_path / "m"
    described(path, None)
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    head = json.loads(raw[8 : 8 + length])
    head["__metadata__"]["facts"] = "[" * 100_000
    text = json.dumps(head).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + raw[8 + length :])
    with pytest.raises(store.DamagedFile, match="can't be read"):
        hm.load(path)


def test_models_of_every_kind_are_as_large_as_they_say(tmp_path):
    import networkx

    for model in (
        hm.RBM(hm.Mixed(hm.Categorical(500, states=3), hm.Gaussian(2)), hm.Bernoulli(800)),
        hm.BoltzmannMachine(1100, 3),
        hm.MarkovRandomField.ising(networkx.path_graph(16), 0.5, 0.1),
    ):
        path = tmp_path / "m.safetensors"
        hm.save(model, path)
        again = hm.load(path)
        assert again.config() == model.config()
    assert os.listdir(tmp_path) == [path.name]


def put(file, name, make):
    place = f"update_1/params/{name}"
    del file[place]
    make(file, place)


def elsewhere(file, place):
    file[place] = h5py.ExternalLink("other.h5", "a")


def endless(file, place):
    file.create_dataset(place, (2**40, 2), "<f8", chunks=(64, 2), compression="gzip")


def of_numbers(x):
    return lambda file, place: file.create_dataset(place, data=x)


ARCHIVES = {
    "a link": ("vbias", elsewhere, "vbias is a link, which is not followed"),
    "a claim": ("weight_matrix", endless, "weight_matrix would take 17,592,186,044,416 bytes of memory"),
    "NaN": ("hbias", of_numbers([0.0, np.nan]), "hbias must hold finite numbers"),
    "whole numbers": ("hbias", of_numbers([0, 1]), "hbias must hold numbers of 32 or 64 bits, got int64"),
    "text": ("vbias", of_numbers([b"x", b"y", b"z"]), "vbias must hold numbers of 32 or 64 bits"),
    "another shape": ("vbias", of_numbers(np.ones(4)), "doesn't couple vbias (4,) to hbias (2,)"),
    "other axes": ("vbias", of_numbers(np.ones((3, 1))), "vbias can't have the shape (3, 1)"),
    "nothing": ("vbias", lambda file, place: None, "it holds no update_1/params/vbias"),
}


@pytest.mark.parametrize("name, make, words", ARCHIVES.values(), ids=ARCHIVES)
def test_an_archive_of_another_library_is_believed_nothing(tmp_path, name, make, words):
    path = tmp_path / "a.h5"
    hm.save_rbms(hm.RBM(hm.Bernoulli(3), hm.Bernoulli(2)), path)
    with h5py.File(path, "a") as file:
        put(file, name, make)
    with pytest.raises(ValueError) as caught:
        hm.load_rbms(path)
    assert words in str(caught.value) and str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
