"""Several processes are one: the same chains, rows, decisions and files, sums up to their rounding."""

import numpy as np
import pytest
import torch

import process_work
from harmonium import processes
from harmonium.learning import Batches

ROUNDING = 1e-9  # of float64 sums in another order, after some updates


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    one = process_work.of_all(tmp_path_factory.mktemp("one"))
    return one, process_work.by_processes(2, tmp_path_factory.mktemp("two"), process_work.of_all)


NAMES = ["pcd", "pt", "cd", "restart", "stochastic-pl", "fpcd", "exact", "ancestral"]


@pytest.mark.parametrize("name", [*NAMES, "gaps", "real", "filters", "graphs", "one", "fit", "parquet"])
def test_two_processes_do_what_one_does(both, name):
    one, two = (found[name] for found in both)
    assert one.keys() == two.keys()
    for key, x in one.items():
        assert x.shape == two[key].shape, key
        torch.testing.assert_close(
            two[key], x, rtol=ROUNDING, atol=ROUNDING, msg=lambda m, k=key: f"{k}: {m}"
        )


def test_a_parquet_file_laid_out_is_the_file(both):
    found = both[0]["parquet"]
    assert torch.equal(torch.cat(list(found.values())).double(), process_work.states(100, 5))
    assert [len(x) for x in found.values()] == [80, 10, 10]


def test_each_process_reads_its_own_rows_and_all_together_the_batch(monkeypatch):
    x, read, met = np.arange(40).reshape(20, 2), [], {"True": set(), "False": set()}

    def prepare(rows, numbers, epoch):
        read.extend(numbers)
        return rows.double()

    weights = torch.arange(1.0, 21.0, dtype=torch.float64)
    whole = [Batches(x, 6, prepare, w).batch(5) for w in (None, weights)]
    monkeypatch.setattr(processes, "count", lambda: 3)
    for rank in range(3):
        monkeypatch.setattr(processes, "rank", lambda rank=rank: rank)
        own, read[:] = processes.share(20), []
        for batch, w in zip(whole, (None, weights), strict=True):
            part = Batches(x, 6, prepare, w).batch(5)
            places = part.numbers()[part.weights.numpy() > 0.0]
            assert torch.equal(part.weights[part.weights > 0.0], batch.weights[places])
            assert not len(places) or torch.equal(part.v, batch.v[places])
            met[str(w is None)] |= set(places.tolist())
        assert all(own.start <= number < own.stop for number in read)
    assert met["True"] == met["False"] == set(range(6))


def test_one_process_has_all():
    assert (processes.count(), processes.rank(), processes.first()) == (1, 0, True)
    x = torch.arange(6.0).reshape(3, 2)
    assert processes.mine(x) is x and processes.gather(x) is x
    processes.add_([x])
    assert x.sum() == 15 and processes.from_first({"a": (1, 2)}) == {"a": (1, 2)}


def test_shares_are_neighbours_and_all(monkeypatch):
    monkeypatch.setattr(processes, "count", lambda: 3)
    parts = []
    for rank in range(3):
        monkeypatch.setattr(processes, "rank", lambda rank=rank: rank)
        parts.append(list(range(11))[processes.share(11)])
    assert sum(parts, []) == list(range(11)) and [len(part) for part in parts] == [4, 4, 3]
    with pytest.raises(ValueError, match="chains: expected one for each of 3 processes at least, got 2"):
        processes.share_of("chains", 2)
