"""A run that is killed, stopped, or out of room, is gone on with as if nothing had been: the same bits in the
model, the same records, the same figures.

`make soak` kills more often: HARMONIUM_KILLS says how often, HARMONIUM_SEED when.
"""

import json
import os
import random
import re
import resource
import signal
import time

import pytest
import torch

import harmonium as hm
from forks import Forks
from harmonium import store
from harmonium.cli import folder

KILLS = int(os.environ.get("HARMONIUM_KILLS", "3"))
SEED = int(os.environ.get("HARMONIUM_SEED", "0"))
FIT = ("fit", "bars-and-stripes", "--hidden", 5, "--steps", 150, "-q", "--out")
CLOCKS = ("seconds", "updates_per_second")


@pytest.fixture(scope="module")
def forks():
    with Forks() as server:
        yield server


@pytest.fixture(scope="module")
def whole(forks, tmp_path_factory):
    """The folder of a run that was never stopped, and the seconds that it took."""
    out = tmp_path_factory.mktemp("whole") / "run"
    begun = time.monotonic()  # everything is compiled by now
    assert forks.run(*FIT, out, log=out.parent / "log") == 0, (out.parent / "log").read_text()
    return out, time.monotonic() - begun


def records(path):
    """Those of a run without its clocks, which must all be whole lines."""
    found = [json.loads(line) for line in (path / folder.METRICS).read_text().splitlines()]
    return [{k: v for k, v in record.items() if k not in CLOCKS} for record in found]


def figures(path):
    """The pictures of a report but those of the clocks, and the numbers of its cards and tables."""
    page = (path / folder.REPORT).read_text()
    page = re.sub(r"[\d,.]+ s\b", "", page).replace(str(path), "")
    return [
        part
        for part in re.split(r"(?=<(?:svg|img|section|figure)\b)", page)
        if "updates per second" not in part
    ]


def same(path, other):
    model, whole = (hm.load(p / folder.MODEL).state_dict() for p in (path, other))
    assert all(torch.equal(x, whole[name]) for name, x in model.items()) and model.keys() == whole.keys()
    assert records(path) == records(other)
    assert figures(path) == figures(other)
    about = [store.read_facts(p / folder.MODEL)["about"] for p in (path, other)]
    assert about[0]["test"] == about[1]["test"] and about[0]["independent"] == about[1]["independent"]
    assert {p.name for p in path.iterdir()} == set(folder.FILES) - {folder.LAYERS}  # and nothing half-written


def kill(forks, seconds, out, log, writing, *more):
    """Begin or go on with a run, and kill it after some time, or in the middle of a file that is written
    then; whether it was killed.
    """
    pid = forks.start(*FIT, out, *more, log=log)
    end = time.monotonic() + seconds
    while time.monotonic() < end and not _over(pid):
        time.sleep(0.002)
    while writing and out.is_dir() and not _over(pid) and not any(n.startswith(".") for n in os.listdir(out)):
        pass
    os.kill(pid, signal.SIGKILL)
    status = forks.wait()
    assert status in (0, -signal.SIGKILL), log.read_text()
    return status != 0


def _over(pid):
    """Whether a process of ours has ended; it stays a zombie until its parent waits for it."""
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] == "Z"


def test_a_run_killed_again_and_again_ends_as_one_that_never_was(forks, whole, tmp_path):
    (reference, seconds), out, log = whole, tmp_path / "run", tmp_path / "log"
    moments, killed = random.Random(SEED), 0
    for k in range(KILLS):
        if (out / folder.REPORT).exists():
            same(out, reference)
            out = tmp_path / f"run-{k}"
        begun = (out / folder.SETTINGS).exists()
        killed += kill(forks, moments.uniform(0.0, seconds), out, log, k % 2, *["--resume"] * begun)
        if (out / folder.CHECKPOINT).exists():
            assert store.recover(out / folder.CHECKPOINT) is None  # what has its name is whole
    assert killed >= KILLS // 2
    more = ["--resume"] * (out / folder.SETTINGS).exists()
    assert forks.run(*FIT, out, *more, log=log) == 0, log.read_text()
    same(out, reference)


@pytest.mark.parametrize("number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_present_update_and_everything_is_saved(forks, whole, tmp_path, number, status):
    out, log = tmp_path / "run", tmp_path / "log"
    pid = forks.start(*FIT, out, log=log)
    while not _over(pid) and not ((out / folder.METRICS).exists() and (out / folder.METRICS).stat().st_size):
        time.sleep(0.002)
    os.kill(pid, number)
    assert forks.wait() == status
    said = log.read_text()
    done = store.read_facts(out / folder.CHECKPOINT)["step"]
    assert (
        f"interrupted after {done} updates" in said and "--resume goes on" in said and said.count("\n") == 1
    )
    assert forks.run(*FIT, out, "--resume", log=log) == 0, log.read_text()
    same(out, whole[0])


def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(forks, whole, tmp_path):
    out, log = tmp_path / "run", tmp_path / "log"
    while not (out / folder.PREVIOUS).exists():
        kill(forks, 0.7 * whole[1], out, log, False, *["--resume"] * (out / folder.SETTINGS).exists())
    for name in (folder.CHECKPOINT, folder.METRICS):
        raw = bytearray((out / name).read_bytes())
        raw[len(raw) * 2 // 3] ^= 16
        (out / name).write_bytes(raw if name == folder.CHECKPOINT else raw[:-7])
    log.unlink()
    assert forks.run(*FIT, out, "--resume", log=log) == 0
    said = log.read_text()
    assert f"{out / folder.CHECKPOINT} is damaged" in said and "the checkpoint before it" in said
    assert said.count("\n") == 1
    same(out, whole[0])
    for name in (folder.CHECKPOINT, folder.PREVIOUS):
        (out / name).write_bytes(b"nothing of use")
    before = {p.name: p.read_bytes() for p in out.iterdir()}
    log.unlink()
    assert forks.run(*FIT, out, "--resume", log=log) == 2
    assert "are both damaged" in log.read_text() and log.read_text().count("\n") == 1
    assert {p.name: p.read_bytes() for p in out.iterdir()} == before


def test_two_processes_do_not_write_to_one_run(forks, tmp_path, capsys):
    from harmonium.cli import main

    out, log = tmp_path / "run", tmp_path / "log"
    pid = forks.start(*FIT[:-3], 10**9, "-q", "--out", out, log=log)
    while not (out / folder.CHECKPOINT).exists() and not _over(pid):
        time.sleep(0.01)
    try:
        for way in ("--resume", "--force"):
            assert main(["fit", "bars-and-stripes", "--out", str(out), way]) == 2
            assert "another process is writing to the run" in capsys.readouterr().err
        assert (out / folder.CHECKPOINT).exists()
    finally:
        os.kill(pid, signal.SIGKILL)
        forks.wait()


# ------------------------------------------------------------------------------------------- from the library
def rows(n=120):
    numbers = random.Random(4)
    return torch.tensor(
        [[float(numbers.random() < 0.4)] * 3 + [float(numbers.random() < 0.5)] for _ in range(n)]
    )


class Crash(Exception):
    pass


def test_trials_are_gone_on_with_and_not_made_again(tmp_path, monkeypatch):
    """Killed after each of its checkpoints in turn, `hm.fit(X)` goes on to the same model."""
    path, settings = tmp_path / "c.safetensors", {"steps": 24, "rules": ()}
    whole = hm.fit(rows(), **settings)
    assert len(whole.settings["hidden_tried"]) > 1
    write, made = store.Checkpoint.save, []

    def save(self, tensors, facts):
        write(self, tensors, facts)
        made.append("trial" if "trials" in facts else facts["step"])
        raise Crash

    monkeypatch.setattr(store.Checkpoint, "save", save)
    for k in range(20):
        try:
            history = hm.fit(rows(), checkpoint=path, resume=k > 0, **settings)
            break
        except Crash:
            pass
    monkeypatch.undo()
    assert made.count("trial") == len(whole.settings["hidden_tried"]) and made[-1] == 24
    assert history.settings == whole.settings
    for name, x in whole.model.state_dict().items():
        assert torch.equal(history.model.state_dict()[name], x), name
    assert [r["train_log_likelihood"] for r in history.records] == [
        r["train_log_likelihood"] for r in whole.records
    ]


def test_trials_of_other_settings_and_runs_that_were_given_a_model_are_told_apart(tmp_path, monkeypatch):
    path = tmp_path / "c.safetensors"
    monkeypatch.setattr(
        "harmonium.recipes.model_choice.choose", lambda make, trials: trials.told(trials) or 1 / 0
    )
    with pytest.raises(ZeroDivisionError):
        hm.fit(rows(), steps=24, checkpoint=path)
    with pytest.raises(ValueError, match=r"steps 24 \(now 30\)"):
        hm.fit(rows(), steps=30, checkpoint=path, resume=True)
    with pytest.raises(ValueError, match="checkpoint of the trials"):
        hm.fit(hm.RBM(hm.Bernoulli(4), hm.Bernoulli(2)), rows(), steps=24, checkpoint=path, resume=True)


@pytest.mark.parametrize("step", [2, 13, 29])
def test_ctrl_c_in_the_library_saves_the_very_update(tmp_path, step):
    path = tmp_path / "c.safetensors"

    def fit(**more):
        rbm = hm.RBM(hm.Bernoulli(4), hm.Bernoulli(16))
        return rbm, hm.fit(rbm, rows(), steps=40, negatives="pcd", chains=16, **more)

    def interrupt(update):
        if update.step == step:
            signal.raise_signal(signal.SIGINT)

    whole, told = fit()
    with pytest.raises(
        KeyboardInterrupt, match=f"stopped after {step} updates; .* is saved, and resume=True"
    ):
        fit(checkpoint=path, callbacks=[interrupt])
    assert store.read_facts(path)["step"] == step
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    again, history = fit(checkpoint=path, resume=True)
    assert torch.equal(again.weight, whole.weight)
    kept = [[{k: v for k, v in r.items() if k not in CLOCKS} for r in h.records] for h in (history, told)]
    assert kept[0] == kept[1]


@pytest.mark.parametrize("apart", [0.0, 2.0])
def test_a_second_signal_does_not_wait_but_one_that_is_passed_on_at_once_is_the_same(
    tmp_path, monkeypatch, apart
):
    def interrupt(update):
        signal.raise_signal(signal.SIGINT)
        now = time.monotonic()
        monkeypatch.setattr(time, "monotonic", lambda: now + apart)
        signal.raise_signal(signal.SIGINT)

    rbm = hm.RBM(hm.Bernoulli(4), hm.Bernoulli(3))
    with pytest.raises(KeyboardInterrupt):
        hm.fit(rbm, rows(), steps=40, checkpoint=tmp_path / "c", callbacks=[interrupt])
    assert (tmp_path / "c").exists() == (apart == 0.0)


def test_a_full_disk_costs_nothing_that_was_saved(tmp_path, monkeypatch):
    path = tmp_path / "c.safetensors"

    def fit(**more):
        rbm = hm.RBM(hm.Bernoulli(4), hm.Bernoulli(3))
        hm.fit(rbm, rows(), steps=200, checkpoint=path, **more)
        return rbm

    def fill(update):
        if update.step == 120:  # a process may write no more than so many bytes into a file
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with pytest.raises(OSError, match=r"File too large.*c\.safetensors'"):
            fit(callbacks=[fill])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["c.previous.safetensors", "c.safetensors"]
    resumed = fit(resume=True)
    assert torch.equal(resumed.weight, fit().weight)


def no_room(pid, out):
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))


def no_more_files(pid, out):
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (0, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


def no_folder(pid, out):
    out.rename(out.with_name("away"))


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="sets limits of another process")
@pytest.mark.parametrize(
    "befall, words",
    [
        (no_room, "file too large; interrupted after "),
        (no_more_files, "too many open files; interrupted; "),
        (no_folder, "no such file or directory; interrupted, and there is no folder "),
    ],
)
def test_a_run_that_can_write_no_more_keeps_what_it_has_and_is_gone_on_with(
    forks, whole, tmp_path, befall, words
):
    out, log = tmp_path / "run", tmp_path / "log"
    pid = forks.start(*FIT, out, log=log)
    while not (out / folder.CHECKPOINT).exists() and not _over(pid):
        time.sleep(0.002)
    befall(pid, out)
    assert forks.wait() == 2
    said = log.read_text()
    assert words in said and said.startswith(f"harmonium: {tmp_path}") and said.count("\n") == 1, said
    if befall is no_folder:
        out.with_name("away").rename(out)
    assert {p.name for p in out.iterdir()} <= set(folder.FILES)
    assert store.recover(out / folder.CHECKPOINT) is None
    assert forks.run(*FIT, out, "--resume", log=log) == 0, log.read_text()
    same(out, whole[0])


def test_a_checkpoint_that_can_not_be_read_now_is_not_taken_for_a_damaged_one(tmp_path):
    path = tmp_path / "c.safetensors"
    kept = store.Checkpoint(path)
    for step in range(2):
        kept.save({"x": torch.ones(8)}, {"step": step})
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
        with pytest.raises(OSError, match="Too many open files"):
            store.recover(path)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert store.read_facts(path) == {"step": 1} and store.read_facts(store.previous(path)) == {"step": 0}


def test_a_checkpoint_is_never_replaced_by_a_damaged_one(tmp_path):
    """Nor at the moment when the newest is damaged and the one before takes its place."""
    path = tmp_path / "c.safetensors"
    kept = store.Checkpoint(path)
    for step in range(3):
        kept.save({"x": torch.full((8,), float(step))}, {"step": step})
    assert store.read_facts(store.previous(path)) == {"step": 1}
    path.write_bytes(path.read_bytes()[:-3])
    (tmp_path / f".1-2-{path.name}").touch()  # of a writer that was killed
    said = store.recover(path)
    assert said is not None and said.startswith(f"{path} is damaged") and said.endswith("before it.")
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    assert store.recover(path) is None and store.read_facts(path) == {"step": 1}
    path.unlink()
    with pytest.raises(FileNotFoundError):
        store.recover(path)


def test_the_checkpoint_of_another_run_is_not_gone_back_to(tmp_path):
    path = tmp_path / "c.safetensors"
    for step in range(2):
        store.Checkpoint(path).save({"x": torch.ones(1)}, {"step": step})
    assert not store.previous(path).exists()


@pytest.mark.parametrize("bit", [0, 3, 6])
def test_every_changed_byte_of_a_checkpoint_is_noticed(tmp_path, bit):
    """Or leaves what is read as it was: blanks in the header, and the name of the digest."""
    path = tmp_path / "c.safetensors"
    tensors, facts = {"x": torch.arange(5.0), "n": torch.tensor(3)}, {"step": 5, "name": "a"}
    store.save_tensors(path, tensors, facts)
    raw = path.read_bytes()
    for place in range(len(raw)):
        changed = bytearray(raw)
        changed[place] ^= 1 << (place + bit) % 8
        path.write_bytes(changed)
        try:
            again, said = store.load_tensors(path)
        except ValueError as error:
            assert "\n" not in str(error)
            continue
        assert said == facts and again.keys() == tensors.keys()
        assert all(torch.equal(again[name], x) for name, x in tensors.items()), place


def test_a_checkpoint_that_is_cut_anywhere_gives_way_to_the_one_before_it(tmp_path):
    path = tmp_path / "c.safetensors"
    kept = store.Checkpoint(path)
    for step in range(2):
        kept.save({"x": torch.full((3,), float(step))}, {"step": step})
    whole, before = path.read_bytes(), store.previous(path).read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        store.previous(path).write_bytes(before)
        said = store.recover(path)
        assert said is not None and "\n" not in said and said.endswith("before it.")
        assert path.read_bytes() == before


def test_equal_tensors_make_equal_files(tmp_path):
    for k in range(8):
        store.save_tensors(tmp_path / str(k), {"x": torch.ones(3), "a": torch.ones(2)}, {"täxt": "“é”\n"})
    assert len({p.read_bytes() for p in tmp_path.iterdir()}) == 1
