"""Chains at one temperature and at several, where modes are few and far apart: bars and stripes, 3 x 3.

    python -m benchmarks.bars [--seeds 6] [--updates 1500]

The 14 patterns are all that there is, each equally likely, so that the best mean log-likelihood is -ln 14.
12 hidden units, as many rows to sweep for both; log Z is exact. "plain steps" is `learning.train` with the
centred gradient and a step of 0.3 that stays; the others are `hm.fit` on the 14 rows. What comes
out is printed and kept in benchmarks/results/algorithms.json.
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import harmonium as hm
from benchmarks import _report
from benchmarks.algorithms import bars, page
from harmonium.learning import (
    Batches,
    Centring,
    GradientDescent,
    Learner,
    NegativePhase,
    PersistentChains,
    TemperedChains,
    train,
)

SIDE, HIDDEN = 3, 12
STEP = 0.3
SOURCES: dict[str, Callable[[int], NegativePhase]] = {
    "120 persistent chains": lambda seed: PersistentChains(120, k=1, seed=seed),
    "20 sets of 6 tempered ones": lambda seed: TemperedChains(20, rungs=6, k=1, seed=seed),
}
WAYS = ("plain steps", "hm.fit")
DEFAULT = "hm.fit, defaults (the exact gradient)"
Row = dict[str, Any]


def patterns() -> np.ndarray:
    """The distinct images whose rows, or whose columns, are each of one colour."""
    codes = np.array(list(itertools.product((0, 1), repeat=SIDE)), dtype=np.uint8)
    return np.unique(np.concatenate([np.repeat(codes, SIDE, axis=1), np.tile(codes, (1, SIDE))]), axis=0)


def machine(seed: int) -> hm.RBM:
    """One for these images, at random."""
    return hm.RBM(visible=hm.Bernoulli(SIDE**2), hidden=hm.Bernoulli(HIDDEN), seed=seed)


def plain(rbm: hm.RBM, x: torch.Tensor, source: NegativePhase, updates: int) -> None:
    """The centred gradient at a step size that stays."""
    batches = Batches(x, len(x), lambda rows, numbers, epoch: rows)
    train(Learner(rbm, batches, source, GradientDescent(rbm.parameters(), STEP), [Centring()]), updates)


def learnt(way: str, name: str, seed: int, updates: int) -> float:
    """Mean log P of the patterns, nats."""
    rbm, x = machine(seed), torch.from_numpy(patterns()).float()
    if way == "plain steps":
        plain(rbm, x, SOURCES[name](seed), updates)
    else:
        negatives = None if way == DEFAULT else SOURCES[name](seed)
        hm.fit(rbm, x, steps=updates, negatives=negatives, seed=seed, progress=False)
    return hm.log_likelihood(rbm, x).value


def main() -> None:
    """Measure and print all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--updates", type=int, default=1500)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    rows: list[Row] = []
    for way, name in [*itertools.product(WAYS, SOURCES), (DEFAULT, "all states")]:
        values = [learnt(way, name, seed, asked.updates) for seed in range(asked.seeds)]
        rows.append({"way": way, "negatives": name, "values": values})
    results = _report.load("algorithms")
    results["bars"] = {"bound": -math.log(len(patterns())), "updates": asked.updates, "rows": rows}
    results |= {"machine": _report.machine(), "versions": _report.versions()}
    _report.save("algorithms", results, page(results))
    print(bars(results["bars"]))


if __name__ == "__main__":
    main()
