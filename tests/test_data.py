"""Data sets: the bundled ones, how rows are split, and what values a table holds."""

import math

import numpy as np
import pytest

from harmonium import data
from harmonium.data import dataset, values
from harmonium.data.dataset import PARTS, shuffled, split
from written_files import ROWS, refusal, write

# ---------------------------------------------------------------- bundled sets


@pytest.mark.parametrize("name", data.BUNDLED)
def test_bundled_sets_are_described_checked_and_the_same_every_time(name):
    one, two = data.load(name), data.load(name)
    assert one.name == name
    assert data.BUNDLED[name].__doc__
    for part in PARTS:
        rows = one.part(part)
        assert rows.ndim == 2
        assert rows.shape[1] == one.width == (math.prod(one.shape) if one.shape else len(one.columns))
        assert np.array_equal(rows, two.part(part))
        assert one.labels is None or one.labels[part].shape == (len(rows),)
    assert one.support == data.describe_support(np.concatenate([one.train, one.valid, one.test]))
    assert data.fingerprint(name) == f"bundled:{name}"


def test_digits_are_those_of_scikit_learn_each_in_one_part():
    from sklearn.datasets import load_digits

    source = load_digits()
    counts, black, grey = (data.load(name) for name in ("digits-counts", "digits", "digits-grey"))
    rows = {tuple(row) for part in PARTS for row in counts.part(part)}
    assert rows == {tuple(row) for row in source.data.astype(int)}
    assert sum(len(counts.part(part)) for part in PARTS) == len(source.data)
    pictures = {tuple(row): label for row, label in zip(source.data.astype(int), source.target, strict=True)}
    for part in PARTS:
        assert np.array_equal(black.part(part), counts.part(part) >= 8)
        assert np.array_equal(grey.part(part) * 16, counts.part(part))
        assert [pictures[tuple(row)] for row in counts.part(part)] == counts.labels[part].tolist()
    assert (black.support, grey.support, counts.support) == ("binary", "unit interval", "counts")
    assert black.train.dtype == np.uint8


def test_bars_and_stripes_are_all_patterns_once():
    patterns = data.load("bars-and-stripes").train.reshape(-1, 4, 4)
    assert len(patterns) == len({picture.tobytes() for picture in patterns}) == 30
    for picture in patterns:
        assert (picture == picture[:1]).all() or (picture == picture[:, :1]).all()


def test_wine_is_standardised_by_its_train_rows():
    wine = data.load("wine")
    assert np.abs(wine.train.mean(axis=0)).max() < 1e-5
    assert np.abs(wine.train.std(axis=0) - 1).max() < 1e-5
    assert np.abs(wine.test.mean(axis=0)).max() > 1e-3
    assert "alcohol" in wine.columns


def test_a_data_set_prints_as_one_line():
    said = repr(data.load("digits"))
    assert said == "Dataset('digits': 64 columns, binary; rows: 1,439 train, 179 valid, 179 test)"


# ---------------------------------------------------------------- splitting and large files


def test_the_split_is_a_partition_fixed_for_all_time():
    assert sorted(shuffled(1000)) == list(range(1000))
    assert shuffled(10).tolist() == [4, 8, 9, 7, 1, 2, 5, 3, 6, 0]
    rows = split(105)
    assert [len(rows[part]) for part in PARTS] == [85, 10, 10]
    assert sorted(np.concatenate(list(rows.values()))) == list(range(105))
    assert all((np.diff(rows[part]) > 0).all() for part in PARTS)


def test_a_large_npy_stays_on_disk_and_is_split_from_its_end(tmp_path, monkeypatch):
    path = write(tmp_path / "x.npy", ROWS)
    monkeypatch.setattr(dataset, "IN_MEMORY", ROWS.nbytes - 1)
    monkeypatch.setattr("harmonium.data.readers.IN_MEMORY", ROWS.nbytes - 1)
    loaded = data.load(path)
    assert [loaded.part(part).tolist() for part in PARTS] == [
        ROWS[:16].tolist(),
        ROWS[16:18].tolist(),
        ROWS[18:].tolist(),
    ]
    assert all(isinstance(loaded.part(part), np.memmap) for part in PARTS)
    assert "too large to shuffle" in loaded.notes[0]
    assert isinstance(data.load_rows(path)[0], np.memmap)
    monkeypatch.undo()
    assert not isinstance(data.load_rows(path)[0], np.memmap)


def test_ten_rows_are_enough_and_nine_are_not(tmp_path):
    loaded = data.load(write(tmp_path / "x.npy", ROWS[:10]))
    assert [len(loaded.part(part)) for part in PARTS] == [8, 1, 1]
    nine = write(tmp_path / "nine.npy", ROWS[:9])
    assert "at least 10 rows to split off valid and test, got 9" in refusal(data.load, nine)
    assert len(data.load_rows(nine)[0]) == 9
    np.savez(tmp_path / "few.npz", train=ROWS[:3], test=ROWS[:1])
    assert "to split off valid, got 3" in refusal(data.load, tmp_path / "few.npz")
    np.savez(tmp_path / "all.npz", **dict.fromkeys(PARTS, ROWS[:1]))
    assert len(data.load(tmp_path / "all.npz").train) == 1


# ---------------------------------------------------------------- supports


@pytest.mark.parametrize(
    ("x", "support"),
    [
        ([[0, 1]], "binary"),
        ([[1, 1]], "binary"),
        ([[True, False]], "binary"),
        ([[-1, 1]], "spin"),
        ([[-1.0, -1.0]], "spin"),
        ([[-1, 0, 1]], "real"),
        ([[0, 2]], "counts"),
        ([[0.0, 16.0]], "counts"),
        ([[0.0, 0.5, 1.0]], "unit interval"),
        ([[1e-9, 1.0]], "unit interval"),
        ([[0.0, 1 + 1e-9]], "real"),
        ([[-1e-9, 1.0]], "real"),
        ([[-1, 3]], "real"),
        ([[0, 2.5]], "real"),
    ],
)
@pytest.mark.parametrize("chunk", [1, 2**24])
def test_support_is_the_narrowest_whatever_the_chunks(monkeypatch, x, support, chunk):
    monkeypatch.setattr(values, "CHUNK", chunk)
    row = np.array(x)
    assert data.describe_support(row) == support
    assert data.describe_support(row.T) == support
    assert data.describe_support(np.concatenate([row, row])[:, ::-1]) == support


def test_support_of_parts_is_that_of_all_rows(tmp_path):
    np.savez(tmp_path / "x.npz", train=[[1, 1]], valid=[[-1, 1]], test=[[-1, -1]])
    assert data.load(tmp_path / "x.npz").support == "spin"
    np.savez(tmp_path / "y.npz", train=[[1.0, 0.0]], valid=[[0.5, 1.0]], test=[[1.0, 0.0]])
    assert data.load(tmp_path / "y.npz").support == "unit interval"
