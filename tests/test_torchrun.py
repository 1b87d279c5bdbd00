"""The command line in several processes, as torchrun starts them."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import harmonium as hm
from harmonium import store
from harmonium.cli import folder, main, torchrun
from harmonium.cli.options import FitOptions

FIT = (
    "fit",
    "bars-and-stripes",
    "--hidden",
    "6",
    "--algorithm",
    "pcd",
    "--steps",
    "200",
    "--dtype",
    "float64",
)
LONG = tuple("1000000" if word == "200" else word for word in FIT)
TWO = ("--standalone", "--nproc-per-node", "2", "--max-restarts", "2", "-m", "harmonium")
CLOCKS = ("seconds", "updates_per_second")


def started(*arguments, log):
    command = [sys.executable, "-m", "torch.distributed.run", *TWO, *map(str, arguments)]
    settings = {**os.environ, "OMP_NUM_THREADS": "1"}
    with log.open("w") as file:
        return subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, env=settings)


def worker(agent, rank):
    """The number of a process that torchrun has started."""
    for pid in Path(f"/proc/{agent.pid}/task/{agent.pid}/children").read_text().split():
        if f"RANK={rank}\0".encode() in Path(f"/proc/{pid}/environ").read_bytes().replace(b"_RANK", b""):
            return int(pid)
    raise AssertionError("no such process")


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds workers in /proc")
def test_a_killed_worker_starts_again_from_the_checkpoint_and_the_model_is_that_of_one_process(tmp_path):
    one, two, log = tmp_path / "one", tmp_path / "two", tmp_path / "log"
    assert main([*FIT, "-q", "--out", str(one)]) == 0
    agent = started(*FIT, "--out", two, log=log)
    while not (two / folder.CHECKPOINT).exists() and agent.poll() is None:
        time.sleep(0.01)
    os.kill(worker(agent, 1), signal.SIGKILL)
    try:
        assert agent.wait(timeout=600) == 0, log.read_text()
    finally:
        agent.terminate()
        agent.wait()
    said = log.read_text()
    assert "exitcode: -9" in said and said.count("The report: ") == 1
    models = [hm.load(path / folder.MODEL).state_dict() for path in (one, two)]
    for name, x in models[0].items():
        torch.testing.assert_close(models[1][name], x, rtol=1e-9, atol=1e-9)
    records = [
        [json.loads(line) for line in (p / folder.METRICS).read_text().splitlines()] for p in (one, two)
    ]
    for first, second in zip(*records, strict=True):
        assert first.keys() == second.keys()
        for name in first.keys() - CLOCKS:
            assert second[name] == pytest.approx(first[name], abs=1e-6), name


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="as above")
def test_torchrun_that_is_told_to_end_passes_it_on_and_the_run_is_saved(tmp_path):
    """Its workers have a session of their own, so that Ctrl-C reaches them through it alone."""
    out, log = tmp_path / "run", tmp_path / "log"
    agent = started(*LONG, "--out", out, log=log)
    while not (out / folder.CHECKPOINT).exists() and agent.poll() is None:
        time.sleep(0.01)
    agent.send_signal(signal.SIGTERM)
    try:
        assert agent.wait(timeout=600) != 0
    finally:
        agent.kill()
        agent.wait()
    done, said = store.read_facts(out / folder.CHECKPOINT)["step"], log.read_text()
    assert said.count(f"interrupted after {done:,} updates; ") == said.count("--resume goes on") == 1
    assert store.recover(out / folder.CHECKPOINT) is None
    with pytest.MonkeyPatch.context() as patch:  # and one process may go on where there were two
        patch.setattr("harmonium.cli.fit.learn", lambda options, *_: print(options.resume, options.steps))
        assert main(["fit", "bars-and-stripes", "--out", str(out), "--resume"]) == 0


@pytest.fixture
def in_torchrun(monkeypatch):
    names = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_RUN_ID")
    for name, value in zip(names, ("0", "2", "localhost", "1", "this"), strict=True):
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_commands_for_one_process_are_refused(in_torchrun, capsys):
    assert main(["inspect", "nothing"]) == 2
    assert "harmonium inspect is done by one process; start it without torchrun." in capsys.readouterr().err


def test_only_the_first_process_says_what_is_wrong(in_torchrun, capsys):
    in_torchrun.setenv("RANK", "1")
    assert main(["inspect", "nothing"]) == 2
    assert capsys.readouterr() == ("", "")


def test_only_a_run_of_the_same_start_is_gone_on_with(in_torchrun):
    options = FitOptions("digits", Path("run"), force=True)
    ours, others = {"launch": "this"}, {"launch": "another"}
    assert torchrun.restarted(options, ours) is options  # the first time
    in_torchrun.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    again = torchrun.restarted(options, ours)
    assert again.resume and not again.force
    assert torchrun.restarted(options, others) is options and torchrun.restarted(options, None) is options
    in_torchrun.delenv("TORCHELASTIC_RUN_ID")
    assert torchrun.restarted(options, {"launch": None}) is options
