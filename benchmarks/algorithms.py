"""What each way to train gives in the same time: test log-likelihoods.

    python -m benchmarks.algorithms [--data FOLDER] [--sets nltcs,plants] [--names cd,pcd] [--seconds 15]

FOLDER holds .npz files with 0/1 arrays `train`, `valid` and `test`, such as those of the DEBD collection.
Each machine is trained by `hm.fit(rbm, train, validation=valid, minutes=..., negatives=algorithm(name))`: the
same start, natural gradient, step sizes and averaging for all, but for the mean-field methods, which take
Adam. The seconds are those of one thread, whatever else the machine does. Without such a folder the bundled
digits are measured.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

import harmonium as hm
from harmonium import data
from harmonium.learning import ALGORITHMS, algorithm
from harmonium.recipes import plan

OWN: dict[str, dict[str, Any]] = {
    "tap": {"optimiser": "adam"},
    "mean-field": {"optimiser": "adam"},
}  # natural steps make them diverge
HIDDEN = {"nltcs": 40}  # a small table; 100 for all others
HEAD = "| data | algorithm | updates | test [95 % of log Z] |\n|---|---|---|---|"


def measure(source: str, name: str, asked: argparse.Namespace) -> tuple[int, hm.Estimate]:
    """(updates made, test log-likelihood) of one way to train on one data set."""
    rows = data.load(source)
    hidden = HIDDEN.get(Path(source).stem, 100)
    rbm = hm.RBM(visible=hm.Bernoulli(rows.width), hidden=hm.Bernoulli(hidden), seed=asked.seed)
    history = hm.fit(
        rbm,
        rows.train,
        validation=rows.valid,
        minutes=asked.seconds / 60.0,
        negatives=algorithm(name, seed=asked.seed),
        seed=asked.seed,
        progress=False,
        **OWN.get(name, {}),
    )
    log_z = hm.log_partition(rbm, seconds=asked.seconds / 2.5, seed=asked.seed)
    test = torch.from_numpy(rows.test).float()
    return history.records[-1]["step"], hm.log_likelihood(rbm, test, log_partition=log_z)


def line(source: str, name: str, asked: argparse.Namespace) -> str:
    """One row of the Markdown table; where a method fails, it says how."""
    try:
        updates, test = measure(source, name, asked)
    except (ValueError, TypeError, FloatingPointError) as error:
        return f"| {Path(source).stem} | {name} | | {error} |"
    found = f"{test.value:.3f} [{test.low:.3f}, {test.high:.3f}]"
    return f"| {Path(source).stem} | {name} | {updates:,} | {found} |"


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--sets", default="nltcs,plants")
    parser.add_argument("--names", default=",".join(ALGORITHMS))
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    plan.time = SimpleNamespace(monotonic=time.process_time)  # type: ignore[assignment]  # minutes of this thread
    files = [asked.data / f"{name}.npz" for name in asked.sets.split(",")]
    sources = [str(path) for path in files if path.exists()] or ["digits"]
    print(HEAD, flush=True)
    for source in sources:
        for name in asked.names.split(","):
            print(line(source, name, asked), flush=True)


if __name__ == "__main__":
    main()
