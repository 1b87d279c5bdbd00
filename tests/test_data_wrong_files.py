"""Files that can't be read as rows: each is refused in one sentence, whatever is wrong with it."""

import gzip
import io
import warnings

import numpy as np
import pandas as pd
import pytest

from harmonium import data
from harmonium.data import values
from written_files import ROWS, refusal, write


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


def test_packed_files_are_to_be_unpacked(tmp_path):
    packed = gzip.compress(b"a,b\n1,2\n")
    for name, content, words in (
        ("x.csv.gz", packed, "got the ending '.gz'; unpack it first."),
        ("x.csv", packed, "can't be read as .csv: it is compressed: unpack it first."),
        ("y.csv", b"PK\x03\x04\x14\xff\xfe\n", "it is an archive or a spreadsheet"),
        ("x.dat", b"1 2\n", "a table of numbers in text can be named .csv."),
    ):
        (tmp_path / name).write_bytes(content)
        assert words in refusal(data.load_rows, tmp_path / name)


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
