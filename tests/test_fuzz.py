"""Files of every format, damaged byte by byte: they are read, or refused in one sentence.

A few seconds in the suite; `make fuzz` takes ten minutes (HARMONIUM_FUZZ_SECONDS), with other damage for each
HARMONIUM_SEED.
"""

import copy
import itertools
import json
import os
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

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


def to_sparse(path):
    import scipy.sparse

    scipy.sparse.save_npz(path, scipy.sparse.csr_array(ROWS))


def to_words(path):
    pd.DataFrame({"kind": ["a", "b", "c"] * 8, "when": ["2024-01-02"] * 24, "n": range(24)}).to_csv(path)


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
    ".sparse.npz": (to_sparse, data.load),
    ".words.csv": (to_words, data.load),
    ".rbms": (lambda p: hm.save_rbms(hm.RBM(hm.Categorical(2, 3), hm.Bernoulli(2)), p), hm.load_rbms),
    ".julia": (lambda p: hm.save_julia(hm.RBM(hm.Spin(3), hm.Gaussian(2)), p), hm.load_julia),
    ".uai": (lambda p: p.write_bytes(UAI), hm.MarkovRandomField.from_uai),
    ".evid": (lambda p: p.write_bytes(b"1\n2 0 1 1 2\n"), lambda p: uai.read_evidence(p, [2, 3])),
    "settings.json": (to_settings, read_settings),
}

damage = st.lists(
    st.tuples(
        st.sampled_from(["set", "flip", "cut", "drop", "insert", "number"]),
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


def search(strategy, look, end):
    """Look at one batch of examples, or at more until the time is over."""
    for batch in itertools.count():
        settings = hypothesis.settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        hypothesis.seed(1000 * SEED + batch)(settings(hypothesis.given(strategy)(look)))()
        if time.monotonic() >= end:
            break


def damaged(raw, changes):
    raw = bytearray(raw)
    for what, place, value, length in changes:
        at = int(place * len(raw))
        if what == "set" and raw:
            raw[at] = value
        elif what == "flip" and raw:
            raw[at] ^= 1 << value % 8
        elif what == "cut":
            del raw[at:]
        elif what == "drop":
            del raw[at : at + length]
        elif what == "insert":
            raw[at:at] = bytes([value]) * length
        elif what == "number":
            raw[at : at + 1] = NUMBERS[value % len(NUMBERS)]
    return bytes(raw)


@pytest.fixture
def little_memory():
    """What a file claims must not be taken for it: so much is left beside what the process holds."""
    resource = pytest.importorskip("resource")
    try:
        held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except OSError:
        pytest.skip("counts memory in /proc")
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (held + 2**31, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.usefixtures("little_memory")
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

    search(damage, look, end)


# ------------------------------------------------- what a model says of itself, with a digest that is right
def of_table():
    frame = pd.DataFrame({"kind": ["a", "b", "c"] * 8, "size": np.linspace(0.0, 7.3, 24)})
    schema = hm.Schema.of(frame)
    model = hm.RBM(schema.units(), hm.Bernoulli(2))
    model.schema = schema
    return model


def of_mixed_units():
    parts = hm.Categorical(2, 3), hm.Gaussian(2), hm.Binomial(1, trials=4), hm.DReLU(1)
    return hm.RBM(hm.Mixed(*parts), hm.Spin(2))


MODELS = {
    "RBM": lambda: hm.RBM(hm.Bernoulli(3), hm.Bernoulli(2)),
    "table": of_table,
    "mixed": of_mixed_units,
    "deep": lambda: hm.DeepBoltzmannMachine(hm.Bernoulli(4), [hm.Bernoulli(3), hm.Spin(2)]),
    "field": lambda: hm.MarkovRandomField([2, 3], [((0, 1), torch.ones(2, 3)), ((1,), torch.ones(3))]),
    "convolution": lambda: hm.ConvolutionalRBM((4, 4), 2, 2),
    "labelled": lambda: hm.LabelledRBM(hm.Bernoulli(4), 3, hm.Bernoulli(2)),
    "conditional": lambda: hm.ConditionalRBM(hm.Bernoulli(4), 3, hm.Bernoulli(2)),
    "temporal": lambda: hm.TemporalRBM(hm.Bernoulli(4), 2, hm.Bernoulli(2)),
    "documents": lambda: hm.ReplicatedSoftmax(3, hm.Bernoulli(2)),
    "Boltzmann": lambda: hm.BoltzmannMachine(4, 2),
    "low rank": lambda: hm.RBM(hm.Bernoulli(6), hm.Bernoulli(4), couplings=hm.couplings.LowRank(2)),
}
VALUES = [
    None,
    -1,
    0,
    1,
    2,
    3,
    0.5,
    2**31,
    2**40,
    2**70,
    1e300,
    True,
    "",
    "RBM",
    "Bernoulli",
    [],
    [1],
    [[2]],
    {},
]


def places(tree, at=()):
    """The way to each value in a tree of JSON."""
    found = [at] if at else []
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        found += places(value, (*at, key)) if isinstance(value, (dict, list)) else [(*at, key)]
    return found


def put(tree, way, value):
    *most, last = way
    for key in most:
        tree = tree[key]
    if value is None and isinstance(tree, dict):
        del tree[last]
    else:
        tree[last] = copy.deepcopy(value)


changes_of_facts = st.lists(
    st.tuples(st.floats(0.0, 1.0, exclude_max=True), st.sampled_from(VALUES)), min_size=1, max_size=3
)


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("kind", MODELS)
def test_a_model_that_says_what_is_not_so_is_read_or_refused_in_one_sentence(tmp_path, kind):
    path, end = tmp_path / "m.safetensors", time.monotonic() + SECONDS / len(MODELS)
    hm.save(MODELS[kind](), path)
    tensors, facts = store.load_tensors(path)

    def look(changes):
        said = copy.deepcopy(facts)
        for place, value in changes:
            ways = places(said)
            if ways:
                put(said, ways[int(place * len(ways))], value)
        store.save_tensors(path, tensors, said)
        try:
            hm.load(path)
        except ValueError as error:
            assert "\n" not in str(error) and str(path) in str(error), repr(error)

    search(changes_of_facts, look, end)


@pytest.mark.parametrize("columns", [-1, "abc", [1, 2, 3], {"a": 1}])
def test_names_of_columns_that_are_none_are_refused(tmp_path, columns):
    path = tmp_path / "m.safetensors"
    hm.save(MODELS["RBM"](), path)
    tensors, facts = store.load_tensors(path)
    store.save_tensors(path, tensors, facts | {"columns": columns})
    with pytest.raises(ValueError, match="names of columns must be a list of texts"):
        hm.load(path)


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
