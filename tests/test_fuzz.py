"""Files of every format, damaged byte by byte: they are read, or refused in one sentence.

A few seconds in the suite; `make fuzz` takes ten minutes (HARMONIUM_FUZZ_SECONDS), with other damage for each
HARMONIUM_SEED.
"""

import itertools
import json
import os
import time
import warnings

import numpy as np
import pandas as pd
import pytest

import harmonium as hm
from harmonium import data, store
from harmonium.cli import folder
from harmonium.cli.options import FitOptions, resumed
from harmonium.models import uai

hypothesis = pytest.importorskip("hypothesis")
st = hypothesis.strategies

SECONDS = float(os.environ.get("HARMONIUM_FUZZ_SECONDS", "0"))
SEED = int(os.environ.get("HARMONIUM_SEED", "0"))
EXAMPLES = 400 if SECONDS else 40  # of a batch
ROWS = np.tile(np.eye(3), (8, 1))
UAI = b"MARKOV\n2\n2 3\n2\n1 0\n2 0 1\n# a comment\n2 0.5 1.5\n6 1 2 3 4 5 6\n"


def written(write, suffix, folder):
    path = folder / f"whole{suffix}"
    write(path)
    return path.read_bytes()


def to_h5(path):
    import h5py

    with h5py.File(path, "w") as file:
        file.create_dataset("train", data=ROWS, compression="gzip")


def to_npy(path):
    np.save(path, ROWS)


def read_settings(path):
    settings = folder.read_settings(path.parent)
    resumed(FitOptions("digits", path.parent), settings)


def to_settings(path):
    facts = {
        "options": {"source": "digits", "steps": 5, "minutes": None},
        "data": {"fingerprint": "x", "name": "d"},
    }
    del facts["options"]["minutes"]
    path.write_text(json.dumps(facts))


KINDS = {  # ending: how a whole file is written, and how any is read
    ".npy": (to_npy, data.load),
    ".npz": (lambda p: np.savez_compressed(p, train=ROWS, test=ROWS), data.load),
    ".csv": (lambda p: pd.DataFrame(ROWS, columns=list("abc")).to_csv(p), data.load),
    ".parquet": (lambda p: pd.DataFrame(ROWS, columns=list("abc")).to_parquet(p), data.load),
    ".h5": (to_h5, data.load),
    ".safetensors": (lambda p: hm.save(hm.RBM(hm.Bernoulli(3), hm.Bernoulli(2)), p), hm.load),
    ".checkpoint": (
        lambda p: store.save_tensors(p, {"x": hm.RBM(hm.Spin(2), hm.Spin(2)).weight}, {}),
        store.recover,
    ),
    ".uai": (lambda p: p.write_bytes(UAI), hm.MarkovRandomField.from_uai),
    ".evid": (lambda p: p.write_bytes(b"1\n2 0 1 1 2\n"), lambda p: uai.read_evidence(p, [2, 3])),
    "settings.json": (to_settings, read_settings),
}

damage = st.lists(
    st.tuples(
        st.sampled_from(["set", "cut", "drop", "insert", "number"]),
        st.floats(0.0, 1.0, exclude_max=True),
        st.integers(0, 255),
        st.integers(1, 40),
    ),
    min_size=1,
    max_size=4,
)
NUMBERS = [
    b"-1",
    b"0",
    b"1e999",
    b"nan",
    b"99999999999999999999",
    b"\xff\xff\xff\xff\xff\xff\xff\x7f",
    b"[[",
    b"\xc2\xb2",
]


def damaged(raw, changes):
    raw = bytearray(raw)
    for what, place, value, length in changes:
        at = int(place * len(raw))
        if what == "set" and raw:
            raw[at] = value
        elif what == "cut":
            del raw[at:]
        elif what == "drop":
            del raw[at : at + length]
        elif what == "insert":
            raw[at:at] = bytes([value]) * length
        elif what == "number":
            raw[at : at + 1] = NUMBERS[value % len(NUMBERS)]
    return bytes(raw)


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_is_read_or_refused_in_one_sentence(tmp_path, kind):
    write, read = KINDS[kind]
    path = tmp_path / (kind if "." in kind[1:] else f"file{kind}")
    whole = written(write, kind, tmp_path)
    end = time.monotonic() + SECONDS / len(KINDS)

    def look(changes):
        path.write_bytes(damaged(whole, changes))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of other libraries, about values
            try:
                read(path)
            except (ValueError, FileNotFoundError) as error:
                assert "\n" not in str(error) and str(path.parent) in str(error), repr(error)

    for batch in itertools.count():
        settings = hypothesis.settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        hypothesis.seed(1000 * SEED + batch)(settings(hypothesis.given(damage)(look)))()
        if time.monotonic() >= end:
            break


@pytest.mark.parametrize("method", ["natural", "centred", "adam"])
@pytest.mark.parametrize("times", [1e3, 1e6])
def test_far_too_large_steps_end_in_a_named_divergence_and_keep_the_last_good_state(tmp_path, method, times):
    from harmonium.recipes.settings import LEARNING_RATES

    rbm, path = hm.RBM(hm.Bernoulli(3), hm.Bernoulli(2)), tmp_path / "c.safetensors"
    rate = times * LEARNING_RATES[method]
    try:
        hm.fit(rbm, ROWS, steps=60, optimiser=method, learning_rate=rate, checkpoint=path)
    except FloatingPointError as error:
        assert "diverged" in str(error) or "Use a smaller" in str(error)
    assert all(bool(p.isfinite().all()) for p in rbm.parameters())
    hm.save(rbm, tmp_path / "m.safetensors")
    if path.exists():
        assert store.recover(path) is None
    rbm.weight.data[0, 0] = float("nan")
    with pytest.raises(ValueError, match="got NaN in weight, and was not saved"):
        hm.save(rbm, tmp_path / "m.safetensors")
    assert all(bool(p.isfinite().all()) for p in hm.load(tmp_path / "m.safetensors").parameters())


def test_columns_that_are_all_0_are_learned():
    x = np.zeros((200, 4))
    x[:, 1] = np.arange(200) % 2
    rbm = hm.RBM(hm.Bernoulli(4), hm.Bernoulli(2))
    hm.fit(rbm, x, steps=300)
    assert all(bool(p.isfinite().all()) for p in rbm.parameters())
    assert hm.log_likelihood(rbm, x).value > -1.0  # log 2 and a little
