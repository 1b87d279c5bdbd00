"""Bundled sets as described, every kind of file read back exactly, wrong input refused in a sentence."""

import io
import math
import warnings

import h5py
import numpy as np
import pandas as pd
import pytest

from harmonium import data
from harmonium.data import dataset, values
from harmonium.data.dataset import PARTS, shuffled, split
from harmonium.data.gaps import incomplete, load_gaps

ROWS = np.arange(60.0).reshape(20, 3) / 7


def write(path, x):
    """Writes one array as the kind of file that the path ends in."""
    frame = pd.DataFrame(x, columns=[f"c{i}" for i in range(np.shape(x)[1])]) if np.ndim(x) == 2 else None
    match path.suffix:
        case ".npy":
            np.save(path, x)
        case ".npz":
            np.savez(path, anything=x)
        case ".csv":
            frame.to_csv(path, index=False)
        case ".parquet":
            frame.to_parquet(path)
        case ".h5":
            with h5py.File(path, "w") as file:
                file["anything"] = x
    return path


def refusal(call, *arguments, **options):
    """The sentence of the DataError, checked to be one sentence."""
    with pytest.raises(data.DataError) as error:
        call(*arguments, **options)
    sentence = str(error.value)
    assert isinstance(error.value, ValueError)
    assert "\n" not in sentence
    assert sentence.endswith(".")
    return sentence


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


# ---------------------------------------------------------------- files read back


@pytest.mark.parametrize("ending", [".npy", ".npz", ".csv", ".parquet", ".h5"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
def test_one_array_is_read_back_and_split(tmp_path, ending, dtype):
    x = ROWS.astype(dtype)
    path = write(tmp_path / f"x{ending}", x)
    loaded = data.load(path)
    assert (len(loaded.train), len(loaded.valid), len(loaded.test)) == (16, 2, 2)
    together = np.concatenate([loaded.part(part) for part in PARTS])
    assert np.array_equal(np.unique(together.astype(dtype), axis=0), np.unique(x, axis=0))
    assert loaded.train.dtype == dtype or (ending == ".csv" and dtype == np.float32)
    assert loaded.columns == (("c0", "c1", "c2") if ending in (".csv", ".parquet") else None)
    assert any("train 16, valid 2, test 2" in note for note in loaded.notes)
    whole, notes = data.load_rows(str(path))
    assert np.array_equal(whole.astype(dtype), x)
    assert "all 20 rows" in notes[-1]


@pytest.mark.parametrize("ending", [".npz", ".h5"])
@pytest.mark.parametrize("given", [("train",), ("train", "valid"), ("train", "test"), PARTS])
def test_named_parts_are_kept_and_missing_ones_split_off_train(tmp_path, ending, given):
    path = tmp_path / f"x{ending}"
    stored = {part: ROWS + 100 * i for i, part in enumerate(given)}
    extra = {"labels": np.arange(20)} if len(given) > 1 else {}
    if ending == ".npz":
        np.savez(path, **stored, **extra)
    else:
        with h5py.File(path, "w") as file:
            for key, x in {**stored, **extra}.items():
                file[key] = x
            file.create_group("group")
    loaded = data.load(path)
    missing = [part for part in PARTS if part not in given]
    for part in given[1:] + (("train",) if not missing else ()):
        assert np.array_equal(loaded.part(part), stored[part])
    rest = np.concatenate([loaded.train, *(loaded.part(part) for part in missing)])
    assert np.array_equal(np.unique(rest, axis=0), ROWS)
    assert [len(loaded.part(part)) for part in missing] == [2] * len(missing)
    assert len(loaded.notes) == bool(missing) + bool(extra)
    assert np.array_equal(data.load_rows(path)[0], loaded.test)
    assert np.array_equal(data.load_rows(path, split="valid")[0], loaded.valid)


def test_rows_of_the_file_learned_from_are_the_held_out_ones(tmp_path):
    path, copy = write(tmp_path / "x.npy", ROWS), write(tmp_path / "copy.npy", ROWS)
    other = write(tmp_path / "other.npy", ROWS[:5])
    learned_from = data.fingerprint(path)
    test = data.load(path).test
    for source in (path, copy):
        assert np.array_equal(data.load_rows(source, learned_from=learned_from)[0], test)
    assert np.array_equal(data.load_rows(other, learned_from=learned_from)[0], ROWS[:5])
    assert np.array_equal(data.load_rows(path, split="train")[0], data.load(path).train)
    assert np.array_equal(data.load_rows("digits")[0], data.load("digits").test)
    with pytest.raises(ValueError, match="split must be 'train', 'valid' or 'test', got 'tset'"):
        data.load_rows(path, split="tset")


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("0,1\n1,0\n", None),
        ("a,b\n0,1\n1,0\n", ("a", "b")),
        ("\ufeffa,b\n0,1\n1,0\n", ("a", "b")),
        ("a;b\r\n0;1\r\n1;0\r\n", ("a", "b")),
        ('"a, b"\t"c"\n0\t1\n1\t0', ("a, b", "c")),
        ("\n\na, b\n\n0, 1\n1, 0\n\n", ("a", "b")),
        ("true,b\n", "refused"),
        ("x,y\nfalse,true\ntrue,false\n", ("x", "y")),
        ("False,True\nTrue,False\n", None),
        (",a,b\n0,0,1\n1,1,0\n", ("a", "b")),
        ("0 1\n1 0\n", None),
        ("   0   1\n   1   0\n", None),
        ("0.0e+00 1.0e+00\n1.0e+00 0.0e+00\n", None),
        ("a b\n0 1\n1 0\n", ("a", "b")),
        ("# a b\n0 1\n1 0\n", ("a", "b")),
        ('"a b" "c"\n0 1\n1 0\n', ("a b", "c")),
        ("a|b\n0|1\n1|0\n", ("a", "b")),
        ("a\tb c\n0\t1\n1\t0\n", ("a", "b c")),
    ],
)
def test_csv_in_its_dialects(tmp_path, text, columns):
    path = tmp_path / "x.csv"
    path.write_bytes(text.encode())
    if columns == "refused":
        assert "names or numbers in its first line" in refusal(data.load_rows, path)
        return
    rows, notes = data.load_rows(path)
    assert np.array_equal(rows, [[0, 1], [1, 0]])
    content = data.read(path)
    assert content.columns == columns
    assert len(notes) == 1 + text.startswith(",")


def test_csv_written_with_the_index_of_pandas_leaves_it_out_and_says_so(tmp_path):
    path = tmp_path / "x.csv"
    pd.DataFrame(ROWS, columns=list("abc")).to_csv(path)
    loaded = data.load(path)
    assert loaded.columns == ("a", "b", "c")
    assert "numbers the rows, was not read" in loaded.notes[0]


@pytest.mark.parametrize("index", [[0, 1, 2], [2, 0, 1], False])
def test_csv_written_by_pandas_without_names_loses_the_line_that_numbers_the_columns(tmp_path, index):
    path = tmp_path / "x.csv"
    rows = np.array([[0, 3, 2, 1], [1, 1, 0, 5], [2, 0, 0, 0]])
    pd.DataFrame(rows, index=index or None).to_csv(path, index=bool(index))
    loaded, notes = data.load_rows(path)
    assert np.array_equal(loaded, rows)
    assert any("the first line, which numbers the columns, was not read" in note for note in notes)
    assert data.read(path).columns is None


@pytest.mark.parametrize(
    "text", ["0,1,2\n1,1,1\n", "0,1,2,4\n1,1,1,1\n", "1,2,3,4\n0,1,1,1\n", ",0,1,2\n5,1,1,1\n", ",0\n0,1\n"]
)
def test_a_first_line_that_may_be_a_row_is_one(tmp_path, text):
    path = tmp_path / "x.csv"
    path.write_text(text)
    assert len(data.read(path).parts["all"]) == 2


def test_a_data_set_prints_as_one_line():
    said = repr(data.load("digits"))
    assert said == "Dataset('digits': 64 columns, binary; rows: 1,439 train, 179 valid, 179 test)"


WITH_ROW_NAMES = {
    "R from 1": '"","a","b"\n"1",5,1\n"2",6,0\n"3",7,0\n',
    "R names": '"","a","b"\n"Mazda RX4",5,1\n"Datsun 710",6,0\n"Fiat 128",7,0\n',
    "R table": '"a" "b"\n"1" 5 1\n"2" 6 0\n"3" 7 0\n',
    "R table of names": '"a" "b"\n"Mazda RX4" 5 1\n"Datsun 710" 6 0\n"Fiat 128" 7 0\n',
    "shuffled": ",a,b\n2,5,1\n0,6,0\n1,7,0\n",
    "shuffled from 1": ",a,b\n2,5,1\n3,6,0\n1,7,0\n",
    "of real type": ",a,b\n2.0,5,1\n0.0,6,0\n1.0,7,0\n",
    "read back": "Unnamed: 0,a,b\n0,5,1\n1,6,0\n2,7,0\n",
    "twice": ",Unnamed: 0,a,b\n0,0,5,1\n1,1,6,0\n2,2,7,0\n",
    "three times": "Unnamed: 0.1,Unnamed: 0,a,b\n0,2,5,1\n1,0,6,0\n2,1,7,0\n",
    "with semicolons": ";a;b\n2;5;1\n0;6;0\n1;7;0\n",
}


@pytest.mark.parametrize("text", WITH_ROW_NAMES.values(), ids=WITH_ROW_NAMES)
def test_what_numbers_or_names_the_rows_is_left_out_and_a_note_says_so(tmp_path, text):
    path = tmp_path / "x.csv"
    path.write_text(text)
    content = data.read(path)
    assert content.columns == ("a", "b")
    assert content.parts["all"].tolist() == [[5, 1], [6, 0], [7, 0]]
    assert content.notes and all("s the rows, was not read" in note for note in content.notes)
    table, notes = incomplete(path)
    assert table.columns == ("a", "b") and notes == content.notes


def test_an_index_of_pandas_is_left_out_of_parquet_too(tmp_path):
    path = tmp_path / "x.parquet"
    pd.DataFrame({"Unnamed: 0": [2, 0, 1], "a": [5, 6, 7]}).to_parquet(path)
    assert data.read(path).columns == ("a",)
    assert data.read(path).notes == [
        "x.parquet: the first column, Unnamed: 0, which numbers the rows, was not read."
    ]


def test_an_unnamed_column_that_may_number_the_rows_of_a_larger_table_is_doubted(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text(",a\n17,1\n3,0\n12,0\n8,1\n")
    content = data.read(path)
    assert content.columns == ("", "a")
    assert "so leave it out of the file if it numbers the rows" in content.notes[0]
    path.write_text(",a\n1.5,1\n3,0\n12,0\n8,1\n")
    assert data.read(path).notes == []


def test_an_unnamed_column_of_other_numbers_is_data(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text(",a\n5,1\n6,0\n")
    assert data.load_rows(path)[0].tolist() == [[5, 1], [6, 0]]


def test_parquet_with_booleans_nullable_integers_and_an_index(tmp_path):
    path = tmp_path / "x.parquet"
    frame = pd.DataFrame(
        {"a": [True, False], "b": pd.array([1, 0], dtype="Int64")}, index=pd.Index([7, 9], name="key")
    )
    frame.to_parquet(path)
    rows, notes = data.load_rows(path)
    assert rows.tolist() == [[1, 1], [0, 0]]
    assert "the index key was not read" in notes[0]


@pytest.mark.parametrize("dtype", [bool, np.int8, np.int64, np.float32, np.float64, ">f8", ">i4"])
def test_binary_data_of_any_type_take_a_byte_each(tmp_path, dtype):
    path = write(tmp_path / "x.npy", (ROWS > 3).astype(dtype))
    loaded = data.load(path)
    assert loaded.support == "binary"
    assert loaded.train.dtype == np.uint8
    assert np.array_equal(data.load_rows(path)[0], ROWS > 3)


def test_pictures_are_laid_out_in_rows_and_keep_their_shape(tmp_path):
    pictures = np.arange(20 * 2 * 3).reshape(20, 2, 3)
    loaded = data.load(write(tmp_path / "x.npy", pictures))
    assert loaded.shape == (2, 3)
    assert loaded.width == 6
    assert loaded.train[0].tolist() in pictures.reshape(20, 6).tolist()


def test_values_of_the_other_byte_order_are_kept(tmp_path):
    loaded = data.load_rows(write(tmp_path / "x.npy", ROWS.astype(">f4")))[0]
    assert loaded.dtype.isnative
    assert np.array_equal(loaded, ROWS.astype("f4"))


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


# ---------------------------------------------------------------- wrong input


@pytest.mark.parametrize("ending", [".npy", ".npz", ".h5"])
@pytest.mark.parametrize(
    ("x", "words"),
    [
        (np.arange(5.0), "got a one-dimensional array of shape (5,)"),
        (np.float64(3), "got a single number of shape ()"),
        (np.zeros((2, 2, 2, 2)), "got an array of 4 dimensions"),
        (np.zeros((0, 5)), "got an empty array of shape (0, 5)"),
        (np.zeros((5, 0)), "got an empty array of shape (5, 0)"),
        (np.ones((20, 3)) * 1j, "got complex numbers"),
        (np.full((20, 3), b"x"), "got text"),
    ],
)
def test_arrays_that_are_no_table(tmp_path, ending, x, words):
    path = write(tmp_path / f"x{ending}", x)
    assert words in refusal(data.load, path)
    assert words in refusal(data.load_rows, path)
    assert str(path) in refusal(data.load, path)


@pytest.mark.parametrize("value", [np.inf, -np.inf])
@pytest.mark.parametrize("chunk", [1, 2**24])
def test_infinite_values_are_counted_and_placed(tmp_path, monkeypatch, value, chunk):
    monkeypatch.setattr(values, "CHUNK", chunk)
    x = ROWS.copy()
    x[4, 2] = x[7, 0] = value
    for ending in (".npy", ".npz", ".h5"):
        refused = refusal(data.load, write(tmp_path / f"x{ending}", x))
        assert "must have a finite number in every cell that isn't empty, got 2 without one" in refused
        assert "the first in row 5, column 3, is infinite" in refused
    np.savez(tmp_path / "parts.npz", train=ROWS, test=x)
    assert "parts.npz: test must have a finite number" in refusal(data.load, tmp_path / "parts.npz")
    pictures = x.reshape(20, 3, 1)
    assert "the first in row 5, column 3, is" in refusal(data.load, write(tmp_path / "p.npy", pictures))
    for ending in (".csv", ".parquet"):
        words = "got 2 without one: the first in row 5, column 3 (c2), is infinite"
        assert words in refusal(data.load, write(tmp_path / f"x{ending}", x))
        x[0, 1] = np.nan  # a cell may be empty, and is no fault
        assert words in refusal(data.load, write(tmp_path / f"x{ending}", x))
        x[0, 1] = ROWS[0, 1]
    empty = write(tmp_path / "empty.npy", np.full((20, 3), np.nan))
    assert "must hold a number in some cell, got 20 rows of empty cells (NaN)." in refusal(data.load, empty)


@pytest.mark.parametrize("chunk", [1, 2**24])
@pytest.mark.parametrize("ending", [".npy", ".npz", ".h5", ".csv", ".parquet"])
def test_missing_cells_stay_missing(tmp_path, monkeypatch, ending, chunk):
    monkeypatch.setattr(values, "CHUNK", chunk)
    x = ROWS.copy()
    x[4, 2] = x[7, 0] = np.nan
    path = write(tmp_path / f"x{ending}", x)
    assert np.array_equal(data.load_rows(path)[0], x, equal_nan=True)
    parts = np.concatenate([data.load(path).part(part) for part in PARTS])
    assert len(parts) == len(x) and np.isnan(parts).sum(0).tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "got an empty file"),
        ("\n\n", "got an empty file"),
        ("a,b\n", "got a first line and nothing below"),
        ("a,b\n1,2\n3,x\n", "got 'x' in row 2, column 2 ('b')"),
        ("1,2\n3,x\n", "got 'x' in row 2, column 2."),
        ("1,2\n3,1.5.1\n", "got '1.5.1' in row 2, column 2."),
        ("1;2\n3;1,5\n", "got '1,5' in row 2, column 2."),
        ("1,2\n1,1+2j\n", "got '1+2j' in row 2, column 2."),
        (
            "5.1,3.5,setosa\n",
            "names or numbers in its first line, not both, got 'setosa' in line 1, column 3",
        ),
        ("a,b\nx,\n3,\n", "got 'x' in row 1, column 1 ('a')"),
        ("1,2\n3,4,5\n", "Expected 2 fields in line 2, saw 3"),
        ("a,b\n1,2,3\n", "2 cells in every line as in its first, got 3"),
        ("a,b,c\n1,2\n", "3 cells in every line as in its first, got 2"),
    ],
)
def test_csv_at_fault(tmp_path, text, words):
    path = tmp_path / "x.csv"
    path.write_text(text)
    assert words in refusal(data.load_rows, path)


def test_text_in_another_encoding_is_refused(tmp_path):
    (tmp_path / "x.csv").write_bytes("a,b\n1,é\n".encode("latin-1"))
    assert "its text must be in UTF-8, got the byte 0xe9: save it" in refusal(
        data.load_rows, tmp_path / "x.csv"
    )


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("a,b\n1,2\n3\n", [[1, 2], [3, np.nan]]),
        ("a,b\n,2\n3,\n", [[np.nan, 2], [3, np.nan]]),
        ("0 1 0\n1 1\n", [[0, 1, 0], [1, 1, np.nan]]),
    ],
)
def test_csv_with_gaps(tmp_path, text, rows):
    path = tmp_path / "x.csv"
    path.write_text(text)
    assert np.array_equal(data.load_rows(path)[0], rows, equal_nan=True)


CODED = """zip,improved,doses,asked,paid,month,grade
01234,None,3,True,"1,200",07,02
10115,Some,None,None,None,,2
90210,Marked,12,False,"3,400",12,-1
"""
CODES = {
    "zip": ["01234", "10115", "90210"],
    "improved": ["None", "Some", "Marked"],
    "month": ["07", None, "12"],
}


def test_codes_keep_their_zeros_and_none_among_words_is_a_word(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text(CODED)
    content = data.read(path)
    for name, cells in CODES.items():
        assert content.frame[name].astype(object).where(content.frame[name].notna(), None).tolist() == cells
    for name, cells in {"doses": [3, np.nan, 12], "paid": [1200, np.nan, 3400], "grade": [2, 2, -1]}.items():
        assert np.array_equal(content.frame[name], cells, equal_nan=True)
    assert content.frame["asked"].tolist()[::2] == [True, False] and content.frame["asked"].isna()[1]
    assert [note for note in content.notes if "paid" not in note] == [
        "x.csv: the whole numbers of columns 'zip' and 'month' begin with zeros, and were read as text.",
        "x.csv: None in column 'improved' was read as a word: cells that are empty hold nothing.",
    ]


def test_columns_that_a_schema_knows_as_text_are_text_however_they_look(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text('a,b,c,d\n"1,200",01,01,None\n"3,400",02,None,None\n')
    content = data.read(path, text=("a", "c", "d"))
    assert content.frame["a"].tolist() == ["1,200", "3,400"]
    assert content.frame["b"].tolist() == [1, 2]
    assert content.frame["c"].tolist() == ["01", "None"]
    assert content.frame["d"].tolist() == ["None", "None"]
    assert not content.notes
    assert np.array_equal(data.read(path, text=()).frame["c"], [1, np.nan], equal_nan=True)


@pytest.mark.parametrize("column", [[1.5, None], [None, True], pd.array([1, None], dtype="Int64")])
def test_parquet_with_gaps(tmp_path, column):
    path = tmp_path / "x.parquet"
    pd.DataFrame({"k": column}).to_parquet(path)
    expected = [[np.nan if pd.isna(value) else float(value)] for value in column]
    assert np.array_equal(data.load_rows(path)[0], expected, equal_nan=True)


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (["a", "b"], "got 'a' in row 1, column 1 ('k')"),
        ([None, None], "got 2 rows of empty cells"),
        (["1", "2"], "got '1' in row 1"),
        ([[1], [2]], "in row 1"),
        (pd.to_datetime(["2020-01-01", "2020-01-02"]), "got Timestamp('2020-01-01 00:00:00') in row 1"),
    ],
)
def test_parquet_at_fault(tmp_path, column, words):
    path = tmp_path / "x.parquet"
    pd.DataFrame({"k": column}).to_parquet(path)
    assert words in refusal(data.load_rows, path)


@pytest.mark.parametrize("ending", [".npy", ".npz", ".csv", ".parquet", ".h5"])
def test_gaps_are_nan_where_they_are_asked_for(tmp_path, ending):
    x = ROWS.copy()
    x[4, 2] = np.nan
    rows, columns = load_gaps(write(tmp_path / f"x{ending}", x))
    assert np.array_equal(rows, x, equal_nan=True)
    assert columns == (("c0", "c1", "c2") if ending in (".csv", ".parquet") else None)
    x[7, 0] = np.inf
    assert "must be finite or missing, got inf in row 8, column 1" in refusal(
        load_gaps, write(tmp_path / f"x{ending}", x)
    )


def test_parquet_without_rows_or_columns(tmp_path):
    path = tmp_path / "x.parquet"
    for frame in (pd.DataFrame({"a": np.zeros(0)}), pd.DataFrame(index=range(3))):
        frame.to_parquet(path)
        assert "at least one row and one column, got" in refusal(data.load, path)


def test_keys_missing_and_widths_that_differ(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, a=ROWS, b=ROWS)
    assert "a single array or the keys train, valid and test, got the keys a, b" in refusal(data.load, path)
    np.savez(path, valid=ROWS, test=ROWS)
    assert "got the keys valid, test" in refusal(data.load, path)
    np.savez(path)
    assert "got no array" in refusal(data.load, path)
    np.savez(path, train=ROWS, test=ROWS[:, :2])
    assert "equally many columns in every part, got train 3, test 2" in refusal(data.load, path)
    np.savez(path, train=ROWS.reshape(20, 3, 1), test=ROWS)
    assert "got train 3 x 1, test 3" in refusal(data.load, path)


def test_python_objects_are_never_loaded(tmp_path):
    objects = np.array([[1, "a"]] * 20, dtype=object)
    np.save(tmp_path / "x.npy", objects, allow_pickle=True)
    np.savez(tmp_path / "x.npz", x=objects)
    (tmp_path / "y.npy").write_bytes(b"\x80\x04K\x01.")
    for name in ("x.npy", "x.npz"):
        assert "holds Python objects, which are not loaded" in refusal(data.load, tmp_path / name)
    assert "not in NumPy's format" in refusal(data.load, tmp_path / "y.npy")


def test_names_and_paths_that_lead_nowhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.npy").mkdir()
    (tmp_path / "folder").mkdir()
    (tmp_path / "x.txt").write_text("1")
    for call in (data.load, data.load_rows):
        assert "'digit' must be a bundled data set (digits, digits-grey," in refusal(call, "digit")
        assert refusal(call, "none.npy").startswith("none.npy can't be read: ")
        assert "irectory" in refusal(call, "folder.npy")
        assert "folder" in refusal(call, "folder")
        assert "must be a file .npy, .npz, .csv, .parquet, .h5, got the ending '.txt'" in refusal(
            call, "x.txt"
        )
        with pytest.raises(
            TypeError, match="source must be a name or the path of a file, got ndarray of shape"
        ):
            call(np.zeros((3, 3)))


@pytest.mark.parametrize("ending", [".npy", ".npz", ".csv", ".parquet", ".h5"])
def test_junk_is_refused(tmp_path, ending):
    path = tmp_path / f"x{ending}"
    for junk in (b"", b"hello world", bytes(range(256)) * 8, b"\x93NUMPY", b"PK\x03\x04"):
        path.write_bytes(junk)
        assert str(path) in refusal(data.load, path)


@pytest.mark.parametrize("ending", [".npy", ".npz", ".parquet", ".h5"])
def test_damage_anywhere_is_refused_or_harmless(tmp_path, ending):
    good = write(tmp_path / f"good{ending}", ROWS).read_bytes()
    path = tmp_path / f"x{ending}"
    for i in range(80):
        at = i * len(good) // 80
        flipped = bytearray(good)
        flipped[at] ^= 0xFF
        for bad in (good[:at], bytes(flipped)):
            path.write_bytes(bad)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    loaded = data.load(path)
                except data.DataError as error:
                    assert "\n" not in str(error)
                else:
                    assert np.isfinite(loaded.train).all()


def test_a_file_without_permission_says_so(tmp_path, monkeypatch):
    def refuse(*_args, **_options):
        raise PermissionError(13, "Permission denied")

    path = write(tmp_path / "x.npy", ROWS)
    monkeypatch.setattr(io, "open", refuse)
    assert "can't be read as .npy: permission denied." in refusal(data.load, path)
