"""Ctrl-C and SIGTERM with two processes: all stop after the same update, the first saves it and says how to
go on, and the run that goes on ends with the same bits.
"""

import os
import random
import signal
import socket
import time

import pytest
import torch

import harmonium as hm
from forks import Forks
from harmonium import store
from harmonium.cli import folder

SEED = int(os.environ.get("HARMONIUM_SEED", "0"))
FIT = ("fit", "bars-and-stripes", "--hidden", 5, "--algorithm", "pcd", "--steps", 150, "-q", "--out")
SAVED = ("--resume goes on", "is saved")


@pytest.fixture(scope="module")
def forks():
    with Forks() as server:
        yield server


def begin(forks, *arguments, log):
    """Two processes that find each other, as those of torchrun do; their numbers."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    meet = {"MASTER_ADDR": "localhost", "MASTER_PORT": port, "WORLD_SIZE": 2}
    return [forks.start(*arguments, log=log, RANK=rank, LOCAL_RANK=rank, **meet) for rank in range(2)]


def end(forks, pids):
    return [forks.wait(pid) for pid in pids]


def first_record(out):
    """Wait for it."""
    limit = time.monotonic() + 300
    while not ((out / folder.METRICS).exists() and (out / folder.METRICS).stat().st_size):
        assert time.monotonic() < limit
        time.sleep(0.002)


@pytest.fixture(scope="module")
def whole(forks, tmp_path_factory):
    """The model of two processes that were never stopped."""
    out = tmp_path_factory.mktemp("whole") / "run"
    log = out.parent / "log"
    assert end(forks, begin(forks, *FIT, out, log=log)) == [0, 0], log.read_text()
    return hm.load(out / folder.MODEL).state_dict()


@pytest.mark.parametrize(
    "number, status, told",
    [
        (signal.SIGINT, 130, [0, 1]),
        (signal.SIGTERM, 143, [1]),
        (signal.SIGTERM, 143, [0, 0, 1, 1]),
    ],
)
def test_two_processes_stop_after_the_same_update(forks, whole, tmp_path, number, status, told):
    """Whichever of them has heard it, and however often a launcher sends it."""
    out, log = tmp_path / "run", tmp_path / "log"
    pids = begin(forks, *FIT, out, log=log)
    first_record(out)
    time.sleep(random.Random(f"{SEED} {number} {told}").uniform(0.0, 0.2))
    for rank in told:
        os.kill(pids[rank], number)
    found = end(forks, pids)
    said = log.read_text()
    assert found == [status, status], said
    done = store.read_facts(out / folder.CHECKPOINT)["step"]
    assert said.count("\n") == 1 and f"interrupted after {done} updates" in said, said
    assert all(words in said for words in SAVED)
    assert end(forks, begin(forks, *FIT, out, "--resume", log=log)) == [0, 0], log.read_text()
    assert {p.name for p in out.iterdir()} == set(folder.FILES) - {folder.LAYERS}
    for name, x in hm.load(out / folder.MODEL).state_dict().items():
        assert torch.equal(x, whole[name]), name
