"""Seconds from the import to a model of a given validation likelihood, in fresh processes.

Each library trains with the best settings found for it (docs/benchmarks.md names those tried). Models are
measured afterwards, all in the same way, by `hm.log_likelihood`, and that time isn't counted: a peer's time
is that of its first snapshot that is good enough. harmonium's is that of the whole `hm.fit`, which measures
along the way and must return a model that is good enough.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import torch

import harmonium as hm
from benchmarks._workers import MISSING, Timing, command

TARGET = -13.2
DATA = Path("../shared/data/plants.npz")
SETTINGS: dict[str, dict[str, float]] = {
    "harmonium": {"hidden": 100, "steps": 800, "batch_size": 128, "chains": 256, "gibbs_steps": 1},
    "rbms": {"hidden": 100, "learning_rate": 0.2, "batch": 512, "chains": 512, "k": 1, "every": 100},
    "sklearn": {"hidden": 100, "learning_rate": 0.05, "batch": 128, "every": 2},
}
LONGEST = 85.0
"""Seconds that a peer may take."""


def measure(rounds: int = 3) -> dict[str, Timing | None]:
    """Timings of all libraries, None for a library that is missing or that never got there."""
    timings: dict[str, Timing | None] = {name: Timing(name) for name in SETTINGS}
    if not DATA.exists():
        return dict.fromkeys(SETTINGS)
    for attempt in range(rounds):
        for name in SETTINGS:
            timing = timings[name]
            if timing is None or (attempt and name != "harmonium"):
                continue  # the peers take a minute each: once is enough
            found = run(name)
            if found is None:
                timings[name] = None
            else:
                timing.seconds.append(found[0])
                timing.value = found[1]
    return timings


def run(library: str, settings: dict[str, float] | None = None) -> tuple[float, float] | None:
    """(seconds, validation log P) of the first good model, or None."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "snapshots.npz"
        text = json.dumps(settings or SETTINGS[library])
        script = [*command(library, f"_{library}_race.py"), str(DATA), str(out), str(LONGEST), text]
        status = subprocess.run(script, check=False).returncode
        if status == MISSING:
            return None
        if status:
            raise RuntimeError(f"training by {library} ended with status {status}")
        with np.load(out) as file:
            return first_good({name: file[name] for name in file})


def first_good(snapshots: dict[str, np.ndarray]) -> tuple[float, float] | None:
    """The first snapshot that is good enough, found by halving, as likelihoods rise along training."""
    times = snapshots["times"]
    low, high = 0, len(times) - 1
    value = likelihood(snapshots, high)
    if value < TARGET:
        return None
    while low < high:
        middle = (low + high) // 2
        here = likelihood(snapshots, middle)
        if here >= TARGET:
            high, value = middle, here
        else:
            low = middle + 1
    return float(times[high]), value


def likelihood(snapshots: dict[str, np.ndarray], index: int) -> float:
    """Mean validation log P of a snapshot, nats per row."""
    rbm = machine(snapshots, index)
    with np.load(DATA) as file:
        valid = torch.from_numpy(file["valid"]).float()
    log_z = hm.log_partition(rbm, seconds=2.0)
    return hm.log_likelihood(rbm, valid, log_partition=log_z).value


def machine(snapshots: dict[str, np.ndarray], index: int) -> hm.RBM:
    """The RBM of a snapshot."""
    weight = torch.from_numpy(snapshots["weight"][index])
    rbm = hm.RBM(visible=hm.Bernoulli(weight.shape[0]), hidden=hm.Bernoulli(weight.shape[1]))
    with torch.no_grad():
        rbm.weight.copy_(weight)
        rbm.visible.bias.copy_(torch.from_numpy(snapshots["visible"][index]))
        rbm.hidden.bias.copy_(torch.from_numpy(snapshots["hidden"][index]))
    return rbm
