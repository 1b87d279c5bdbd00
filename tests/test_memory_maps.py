"""Data larger than memory: read where they lie, a batch or a piece at a time."""

from pathlib import Path

import numpy as np
import pytest
import torch

import harmonium as hm
from harmonium.learning import Batches
from harmonium.learning.batches import CELLS
from harmonium.models import table
from harmonium.models.intake import rows_of
from harmonium.models.table import Selected
from harmonium.recipes import split

STATUS = Path("/proc/self/status")


def as_stored(x, numbers, epoch):
    return x


def mapped(path, x):
    np.save(path, x)
    return np.load(path, mmap_mode="r")


def held_memory():
    """Bytes of memory that are this process's own, mapped files not counted."""
    return int(STATUS.read_text().split("RssAnon:")[1].split()[0]) * 1024


def test_batches_of_a_selection_are_those_of_its_copy():
    x = np.arange(60, dtype=np.uint8).reshape(20, 3)
    numbers = np.array([19, 3, 7, 0, 11, 12])
    chosen, copy = (Batches(y, 4, as_stored, seed=1) for y in (Selected(x, numbers), x[numbers]))
    for step in range(5):
        assert torch.equal(chosen.batch(step).v, copy.batch(step).v)


def test_parts_of_rows_refer_to_the_table_itself(tmp_path):
    x = mapped(tmp_path / "x.npy", np.random.default_rng(0).integers(0, 2, (1000, 6), dtype=np.uint8))
    rbm = hm.RBM(hm.Bernoulli(6), hm.Bernoulli(2))
    weights = torch.ones(1000, dtype=torch.float64)
    weights[::4] = 0.0
    found, kept = split._weighed(rows_of(rbm, x, "X"), weights)
    train, valid, _ = split._hold_out(found, kept, seed=3)
    assert len(train) + len(valid) == len(kept) == 750
    for part in (found, train, valid):
        assert isinstance(part.x, Selected) and np.shares_memory(part.x.x, x)
    numbers = np.concatenate([train.x.numbers, valid.x.numbers])
    assert sorted(numbers) == [i for i in range(1000) if i % 4]
    assert torch.equal(train.states(), torch.from_numpy(x[train.x.numbers]).float())


def test_states_in_pieces_are_the_states(monkeypatch):
    rbm = hm.RBM(hm.Bernoulli(5), hm.Bernoulli(2))
    probabilities = np.random.default_rng(0).random((33, 5))
    found = rows_of(rbm, probabilities, "X", seed=4)
    monkeypatch.setattr(table, "CELLS", 20)  # 4 rows
    assert [len(v) for v in found.pieces()] == [4] * 8 + [1]
    assert torch.equal(torch.cat(list(found.pieces())), found.states())


def test_wrong_values_are_found_in_any_piece_and_type(monkeypatch):
    monkeypatch.setattr(table, "CELLS", 6)  # 2 rows
    spins = hm.RBM(hm.Spin(3), hm.Bernoulli(2))
    for kind in (np.int8, np.int64, np.float32):
        x = np.ones((7, 3), kind)
        x[2] = -1
        assert rows_of(spins, x, "X").kind == "states"
        x[5, 1] = 3
        with pytest.raises(
            ValueError, match=r"X: values must be -1 or \+1 \(Spin units\), got 3 in row 5, column 1\.$"
        ):
            rows_of(spins, x, "X")
    with pytest.raises(ValueError, match="got 255 in row 6, column 1"):  # 255 is not -1
        rows_of(spins, np.array([[1, 1, 1]] * 6 + [[1, 255, 1]], np.uint8), "X")


@pytest.mark.skipif(not STATUS.exists(), reason="the memory of a process is read from /proc")
def test_training_from_a_memory_map_holds_no_copy_of_it(tmp_path):
    size = (2**19, 512)  # 256 MB, a byte each; what pieces of it leave behind in the allocator is under 160
    on_disk = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.uint8, size)
    on_disk[::2, ::2] = 1
    del on_disk
    rbm = hm.RBM(hm.Bernoulli(512), hm.Bernoulli(4))
    held = []

    def fit(x):
        hm.fit(rbm, x, steps=2, chains=8, callbacks=[lambda update: held.append(held_memory())])

    fit(np.tile(np.eye(512, dtype=np.uint8), (20, 1)))  # loads and compiles what the next one needs
    fit(np.load(tmp_path / "x.npy", mmap_mode="r"))
    assert held[-1] - held[1] < 160e6


def test_states_of_a_small_table_are_made_once_where_they_stay_the_same():
    x, made = np.arange(60, dtype=np.uint8).reshape(20, 3), []

    def prepare(rows, numbers, epoch):
        made.append(len(numbers))
        return as_stored(rows, numbers, epoch)

    anew, once = (Batches(x, 6, prepare, seed=1, fixed=fixed) for fixed in (False, True))
    for step in range(9):  # three epochs
        assert torch.equal(anew.batch(step).v, once.batch(step).v)
    assert sorted(made) == [18, 18, 18, 20]
    large = Batches(np.zeros((CELLS, 2), dtype=np.uint8), 6, prepare, fixed=True)
    made.clear()
    large.batch(0)
    assert sum(made) < CELLS
