"""Rows with gaps: what an update costs, and what is learned where cells are missing for other reasons.

`python -m benchmarks.gaps` prints the two tables of `docs/gaps.md`.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch

import harmonium as hm
from harmonium import kernels
from harmonium.learning import Batches, FreeCells, GradientDescent, Learner, NaturalGradient, PersistentChains
from harmonium.random import Address, Purpose

ROWS, HIDDEN, BATCH, CHAINS, SWEEPS = 4096, 100, 256, 512, 2
MISSING = 0.3


def uniforms(seed: int, rows: int, columns: int) -> torch.Tensor:
    """Uniforms between 0 and 1."""
    return kernels.uniform(Address(seed, Purpose.TRIAL), (rows, columns))


def learner(width: int, share: float) -> Learner:
    """What hm.fit trains with, after its first passes over the rows."""
    model = hm.RBM(hm.Bernoulli(width), hm.Bernoulli(HIDDEN))
    x = (uniforms(1, ROWS, width) < 0.3).float()
    x = torch.where(uniforms(2, ROWS, width) < share, torch.nan, x)
    made = Learner(
        model,
        Batches(x, BATCH, lambda rows, numbers, epoch: rows),
        PersistentChains(CHAINS, SWEEPS),
        GradientDescent(model.parameters(), 1e-3),
        [NaturalGradient()],
        free_cells=FreeCells([x], model, SWEEPS) if share else None,
    )
    for step in range(2 * ROWS // BATCH):
        made.update(step)
    return made


def costs(updates: int) -> None:
    """Milliseconds of an update, whole rows and rows with gaps in turn."""
    print(
        f"{HIDDEN} hidden units, {BATCH} rows, {CHAINS} chains, {SWEEPS} sweeps of both, "
        f"{torch.get_num_threads()} threads"
    )
    for width in (784, 50):
        learners = {share: learner(width, share) for share in (0.0, 0.1, 0.5)}
        seconds: dict[float, list[float]] = {share: [] for share in learners}
        for step in range(updates):
            for share, made in learners.items():
                begin = time.perf_counter()
                made.update(2 * ROWS // BATCH + step)
                seconds[share].append(time.perf_counter() - begin)
        median = {share: statistics.median(times) for share, times in seconds.items()}
        told = ", ".join(
            f"{share:.0%} gaps {1e3 * t:.2f} ms ({t / median[0.0]:.2f})" for share, t in median.items()
        )
        print(f"{width} columns: {told}")


def teacher() -> hm.RBM:
    """Twelve columns that hang together."""
    model = hm.RBM(hm.Bernoulli(12), hm.Bernoulli(3), seed=2)
    with torch.no_grad():
        model.weight.mul_(120.0)
        model.visible.bias.sub_(0.5 * model.weight.sum(1))
        model.hidden.bias.sub_(0.5 * model.weight.sum(0))
    return model


def emptied(x: torch.Tensor, reason: str) -> torch.Tensor:
    """The table with about MISSING of its cells empty, for one of three reasons."""
    share = torch.full_like(x, MISSING)
    if reason == "at random, given column 0":  # which is always known
        share = torch.where(x[:, :1] > 0, 1.6 * MISSING, 0.4 * MISSING).expand(x.shape).clone()
        share[:, 0] = 0.0
    if reason == "not at random":  # a 1 is left out four times as often as a 0
        share = torch.where(x > 0, 1.6 * MISSING, 0.4 * MISSING)
    return torch.where(uniforms(3, *x.shape) < share, torch.nan, x)


def reasons(rows: int, steps: int) -> None:
    """Test log-likelihood of whole rows after learning from gaps, and the worst error of a column's mean."""
    truth = teacher()
    x, test = hm.sample(truth, rows, seed=1), hm.sample(truth, 10_000, seed=9)
    print(f"the truth: {hm.log_likelihood(truth, test).value:.3f}")
    tables = {"nothing": x}
    for reason in ("completely at random", "at random, given column 0", "not at random"):
        tables[reason] = emptied(x, reason)
    for reason, table in tables.items():
        filled = torch.where(torch.isnan(table), table.nanmean(0), table)
        whole = table[~torch.isnan(table).any(1)]
        for how, learned in {"gaps": table, "column means": filled, "whole rows only": whole}.items():
            if reason == "nothing" and how != "gaps":
                continue
            model = hm.RBM(hm.Bernoulli(12), hm.Bernoulli(8))
            hm.fit(model, learned, steps=steps, progress=False)
            value = hm.log_likelihood(model, test).value
            off = (hm.sample(model, 20_000, seed=5).mean(0) - test.mean(0)).abs().max()
            print(
                f"missing {reason}, learned from {how} ({len(learned)} rows): {value:.3f},"
                f" means off by {off:.3f}"
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--updates", type=int, default=100)
    parser.add_argument("--rows", type=int, default=3000)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--only", choices=("costs", "reasons"))
    asked = parser.parse_args()
    if asked.only != "reasons":
        costs(asked.updates)
    if asked.only != "costs":
        reasons(asked.rows, asked.steps)
