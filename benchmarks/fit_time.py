"""Processor seconds to a machine as good as the best that scikit-learn's BernoulliRBM gets.

    python -m benchmarks.fit_time [--data FOLDER] [--hidden 64] [--seeds 0,1,2] [--seconds 20]

Digits of 64 pixels, on where above one half, a fifth of them test rows; and plants where FOLDER has
plants.npz, by its own split. scikit-learn trains for so many seconds at each of its learning rates and
sizes of a batch, and its parameters are looked at ten times; what counts is the first look at which its
log-likelihood of the test rows is within 0.05 nats of the best of all looks. Against it stand two ways,
each called again and again with half as many updates more, of which the first call counts whose machine is
as good: `hm.fit` with nothing but `steps`, its measuring and its rows held out included; and our
BernoulliRBM by the natural gradient, at one learning rate and size of a batch for all tables, which
measures no more than scikit-learn's does. One process and one thread for all, call by call in turn;
measuring afterwards, by `hm.log_likelihood`, isn't counted. scikit-learn's setting is chosen on the test
rows, for each seed; the rate and the batch of our BernoulliRBM were chosen once, on the digits with seeds 0
and 1, and plants had no part in it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.neural_network import BernoulliRBM

import harmonium as hm
from harmonium import estimators

SETTINGS = [(0.1, 10), (0.05, 10), (0.02, 10), (0.05, 64)]  # learning rates with sizes of a batch
CLOSE = 0.05  # nats from the best look that count as equal
LOOKS = 10


def tables(folder: Path | None) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """(name, rows to learn from, test rows)."""
    rows = (load_digits().data > 8).astype(np.float32)
    rows = rows[np.random.default_rng(0).permutation(len(rows))]
    yield "digits", rows[360:], rows[:360]
    if folder is not None:
        with np.load(folder / "plants.npz") as found:
            yield "plants", found["train"].astype(np.float32), found["test"].astype(np.float32)


def quality(rbm: hm.RBM, test: np.ndarray) -> float:
    """Mean log P of the test rows, nats."""
    log_z = hm.log_partition(rbm, seconds=0.2)
    return hm.log_likelihood(rbm, torch.from_numpy(test), log_partition=log_z).value


def theirs(
    rows: np.ndarray, hidden: int, setting: tuple[float, int], seed: int, seconds: float
) -> list[tuple[float, BernoulliRBM]]:
    """(Processor seconds so far, the machine) along its fit, epoch by epoch."""
    rate, batch = setting
    begun, looks = time.process_time(), []
    rng = np.random.RandomState(seed)
    machine = BernoulliRBM(hidden, learning_rate=rate, batch_size=batch, n_iter=1, random_state=rng)
    machine.fit(rows)
    measuring = 0.0
    while (spent := time.process_time() - begun - measuring) < seconds:
        if spent > len(looks) * seconds / LOOKS:
            looks.append((spent, hm.from_sklearn(machine)))
            measuring += time.process_time() - begun - measuring - spent
        for start in range(0, len(rows) - batch + 1, batch):  # what its fit does, without the report
            machine._fit(rows[start : start + batch], rng)
    return looks


def recipe(rows: np.ndarray, hidden: int, seed: int, steps: int) -> tuple[float, hm.RBM]:
    """(Processor seconds, the machine) of one call of `hm.fit`."""
    rbm = hm.RBM(hm.Bernoulli(rows.shape[1]), hm.Bernoulli(hidden), seed=seed)
    begun = time.process_time()
    hm.fit(rbm, torch.from_numpy(rows), steps=steps, seed=seed, progress=False)
    return time.process_time() - begun, rbm


def estimator(rows: np.ndarray, hidden: int, seed: int, steps: int) -> tuple[float, hm.RBM]:
    """(Processor seconds, the machine) of our drop-in with the natural gradient."""
    machine = estimators.BernoulliRBM(
        hidden,
        algorithm="pcd",
        gradient="natural",
        learning_rate=0.3,
        batch_size=BATCH,
        n_iter=max(1, round(steps * BATCH / len(rows))),
        random_state=seed,
    )
    begun = time.process_time()
    machine.fit(rows)
    return time.process_time() - begun, hm.from_sklearn(machine)


BATCH = 256
OURS: dict[str, Callable[[np.ndarray, int, int, int], tuple[float, hm.RBM]]] = {
    "hm.fit": recipe,
    "BernoulliRBM, natural gradient": estimator,
}


def race(rows: np.ndarray, test: np.ndarray, hidden: int, seed: int, seconds: float) -> dict[str, float]:
    """How many times as fast each way of ours is."""
    looks = [
        (spent, quality(machine, test), setting)
        for setting in SETTINGS
        for spent, machine in theirs(rows, hidden, setting, seed, seconds)
    ]
    goal = max(value for _, value, _ in looks) - CLOSE
    spent, value, setting = min(look for look in looks if look[1] >= goal)
    print(f"  scikit-learn, {setting}: {value:.2f} after {spent:.2f} s; goal {goal:.2f}", flush=True)
    ratios = {}
    for name, way in OURS.items():
        steps, found, own = 50, -np.inf, 0.0
        while found < goal and steps <= 6400:
            own, rbm = way(rows, hidden, seed, steps)
            found = quality(rbm, test)
            print(f"  {name}, {steps} updates: {found:.2f} after {own:.2f} s", flush=True)
            steps = int(1.5 * steps)
        ratios[name] = spent / own if found >= goal else 0.0
    return ratios


def main(arguments: list[str] | None = None) -> None:
    """Measure, and print a line for each table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--seconds", type=float, default=20.0)
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    for name, rows, test in tables(asked.data):
        for way in OURS.values():
            way(rows, asked.hidden, 0, 5)  # loops are compiled, or read
        found = [race(rows, test, asked.hidden, int(s), asked.seconds) for s in asked.seeds.split(",")]
        for way in OURS:
            ratios = [ratio[way] for ratio in found]
            each = ", ".join(f"{ratio:.1f}" for ratio in ratios)
            print(f"{name}, {way}: {median(ratios):.1f} times as fast ({each})")


if __name__ == "__main__":
    main()
