"""Deep machines: what an update costs beside that of an RBM, and how likely they find unseen digits.

`python -m benchmarks.deep` prints the figures of `docs/deep.md`.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
import torch

import harmonium as hm
from harmonium import kernels
from harmonium.data import load
from harmonium.learning import Batches, FreeCells, GradientDescent, Learner, NaturalGradient, PersistentChains
from harmonium.models.intake import rows_of
from harmonium.random import Address, Purpose

ROWS, BATCH, CHAINS, SWEEPS = 512, 256, 512, 2
FIRST = 3 * ROWS // BATCH  # updates that are over when every cell has begun


def learner(model: hm.EnergyModel) -> Learner:
    """What hm.fit trains with, after its first passes over the rows."""
    x = (kernels.uniform(Address(1, Purpose.TRIAL), (ROWS, 784)) < 0.3).float()
    rows = rows_of(model, x)
    made = Learner(
        model,
        Batches(rows.x, BATCH, rows.prepare),
        PersistentChains(CHAINS, SWEEPS),
        GradientDescent(model.parameters(), 1e-3),
        [NaturalGradient()],
        free_cells=FreeCells(rows.pieces(), model, SWEEPS) if rows.free else None,
    )
    for step in range(FIRST):
        made.update(step)
    return made


def costs(updates: int) -> None:
    """Milliseconds of processor time of an update, RBM and deep machine in turn; one thread."""
    torch.set_num_threads(1)
    rbm = learner(hm.RBM(hm.Bernoulli(784), hm.Bernoulli(500)))
    deep = learner(hm.DeepBoltzmannMachine(hm.Bernoulli(784), [hm.Bernoulli(500), hm.Bernoulli(500)]))
    seconds: tuple[list[float], list[float]] = ([], [])
    for step in range(updates):
        for made, times in zip((rbm, deep), seconds, strict=True):
            begin = time.process_time()
            made.update(FIRST + step)
            times.append(time.process_time() - begin)
    one, two = (statistics.median(times) for times in seconds)
    print(f"784-500 {1e3 * one:.1f} ms, 784-500-500 {1e3 * two:.1f} ms, {two / one:.2f} times as long")


def digits(path: Path | None, layers: list[int], steps: int | None) -> None:
    """Test log-likelihood of an RBM, a deep Boltzmann machine and a deep belief network."""
    if path is None:
        data = load("digits")
        train, valid, test = data.train, data.valid, data.test
    else:
        with np.load(path) as parts:
            train, valid, test = (parts[name] for name in ("train", "valid", "test"))
    width = train.shape[1]

    def hidden() -> list[hm.Units]:
        return [hm.Bernoulli(n) for n in layers]

    for name, model in {
        "RBM": hm.RBM(hm.Bernoulli(width), hidden()[0]),
        "deep Boltzmann machine": hm.DeepBoltzmannMachine(hm.Bernoulli(width), hidden()),
        "deep belief network": hm.DeepBeliefNetwork(hm.Bernoulli(width), hidden()),
    }.items():
        begin = time.process_time()
        hm.fit(model, train, validation=valid, steps=steps, progress=False)
        spent = time.process_time() - begin
        found = hm.log_likelihood(model, test)
        bound = f", bound {found.details['bound']:.2f}" if "bound" in found.details else ""
        print(
            f"{name}: {found}{bound}; trained for {spent:.0f} s of processor time {found.warnings}",
            flush=True,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--updates", type=int, default=60)
    parser.add_argument("--data", type=Path, help=".npz of train, valid and test; bundled digits otherwise")
    parser.add_argument("--layers", default="100,50")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--only", choices=("costs", "digits"))
    asked = parser.parse_args()
    if asked.only != "digits":
        costs(asked.updates)
    if asked.only != "costs":
        digits(asked.data, [int(n) for n in asked.layers.split(",")], asked.steps)
