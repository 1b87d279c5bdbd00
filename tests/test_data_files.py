"""Files are read back as they were written: arrays, tables, codes, gaps."""

import h5py
import numpy as np
import pandas as pd
import pytest

from harmonium import data
from harmonium.data import values
from harmonium.data.dataset import PARTS
from harmonium.data.gaps import incomplete, load_gaps
from written_files import ROWS, refusal, write


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


MARKED = """dose,paid,gate,level,hall,alley,zip
.,"1,200",*,0,-,NA,01
3.5,-,7,+,a,gravel,.
4,"3,400",12,-,b,n/a,02
"""


def test_marks_among_numbers_are_empty_cells_and_so_are_words_such_as_na(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text(MARKED)
    content = data.read(path)
    numbers = {"dose": [np.nan, 3.5, 4], "paid": [1200, np.nan, 3400], "gate": [np.nan, 7, 12]}
    for name, cells in numbers.items():
        assert np.array_equal(content.frame[name], cells, equal_nan=True)
    words = {"level": ["0", "+", "-"], "hall": ["-", "a", "b"], "alley": [None, "gravel", None]}
    for name, cells in {**words, "zip": ["01", None, "02"]}.items():
        assert content.frame[name].astype(object).where(content.frame[name].notna(), None).tolist() == cells
    assert [note.removeprefix("x.csv: ") for note in content.notes] == [
        ". among the numbers of columns 'dose' and 'zip' was read as an empty cell.",
        "- among the numbers of column 'paid' was read as an empty cell.",
        "* among the numbers of column 'gate' was read as an empty cell.",
        "the numbers of column 'paid' have commas between thousands, and were read as such.",
        "NA among the words of column 'alley' was read as an empty cell.",
        "n/a among the words of column 'alley' was read as an empty cell.",
        "the whole numbers of column 'zip' begin with zeros, and were read as text.",
    ]
    later = data.read(path, text=("dose", "alley"))
    assert later.frame["dose"].tolist() == [".", "3.5", "4"] and later.frame["gate"].isna()[0]


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
