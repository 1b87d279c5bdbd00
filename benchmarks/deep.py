"""Deep machines: what an update costs beside that of an RBM.

`python -m benchmarks.deep` prints the figures of `docs/deep.md` on cost and on the options of training.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch

import harmonium as hm
from harmonium import kernels
from harmonium.data import load
from harmonium.learning import Batches, FreeCells, GradientDescent, Learner, NaturalGradient, PersistentChains
from harmonium.models.intake import rows_of
from harmonium.random import Address, Purpose
from harmonium.recipes import pretrain

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


def options() -> None:
    """Exact log-likelihoods of a small machine: by default, by mean field, after pretraining."""
    data = load("digits")
    train, valid, test = (
        part.reshape(-1, 8, 8)[:, 2:6, 2:6].reshape(-1, 16) for part in (data.train, data.valid, data.test)
    )
    for seed in range(3):
        for name in ("chains", "mean_field", "pretrained"):
            model = hm.DeepBoltzmannMachine(
                hm.Bernoulli(16),
                [hm.Bernoulli(10), hm.Bernoulli(6)],
                seed=seed,
                positive_phase="mean_field" if name == "mean_field" else "chains",
            )
            if name == "pretrained":
                pretrain(model, train, seed=seed, steps=300)
                print(f"seed {seed}, pretraining alone: {hm.log_likelihood(model, test).value:.4f}")
            hm.fit(model, train, validation=valid, seed=seed, steps=1000, progress=False)
            found, v = hm.log_likelihood(model, test).value, torch.as_tensor(test).float()
            bound = -float(model.mean_field_free_energy(v).mean()) - hm.log_partition(model).value
            print(f"seed {seed}, {name}: {found:.4f}, bound {found - bound:.4f} below", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--updates", type=int, default=60)
    parser.add_argument("--only", choices=("costs", "options"))
    asked = parser.parse_args()
    if asked.only != "options":
        costs(asked.updates)
    if asked.only != "costs":
        options()
