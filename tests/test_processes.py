"""Several processes are one: the same chains, rows, decisions and files, sums up to their rounding."""

import pytest
import torch

import process_work
from harmonium import processes

ROUNDING = 1e-9  # of float64 sums in another order, after some updates


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    one = process_work.of_all(tmp_path_factory.mktemp("one"))
    return one, process_work.by_processes(2, tmp_path_factory.mktemp("two"), process_work.of_all)


NAMES = ["pcd", "pt", "cd", "restart", "stochastic-pl", "fpcd", "exact", "ancestral"]


@pytest.mark.parametrize("name", [*NAMES, "gaps", "real", "graphs", "one", "fit"])
def test_two_processes_do_what_one_does(both, name):
    one, two = (found[name] for found in both)
    assert one.keys() == two.keys()
    for key, x in one.items():
        assert x.shape == two[key].shape, key
        torch.testing.assert_close(
            two[key], x, rtol=ROUNDING, atol=ROUNDING, msg=lambda m, k=key: f"{k}: {m}"
        )


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
