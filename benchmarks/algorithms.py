"""What each way to train gives in the same time: test log-likelihoods.

    python -m benchmarks.algorithms                    the table of what was measured so far
    python -m benchmarks.algorithms --run [--sets nltcs,plants] [--names cd,pcd] [--seconds 15] [--again]

Each machine is trained by `hm.fit(rbm, train, validation=valid, minutes=..., negatives=algorithm(name))`: the
same start, natural gradient, step sizes and averaging for all, but for the mean-field methods, which take
Adam. The seconds are those of one thread, whatever else the machine does. --data is a folder of .npz files,
as in `benchmarks.density`; without one the bundled digits are measured. What was measured is kept in
benchmarks/results/algorithms.json.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch

import harmonium as hm
from benchmarks import _report
from benchmarks.density import count_own_time, interval, log_partition
from harmonium import data
from harmonium.learning import ALGORITHMS, algorithm

OWN: dict[str, dict[str, Any]] = {
    "tap": {"optimiser": "adam"},
    "mean-field": {"optimiser": "adam"},
}  # natural steps make them diverge
HIDDEN = {"nltcs": 40}  # a small table; 100 for all others
Row = dict[str, Any]


def measure(source: str, name: str, asked: argparse.Namespace) -> Row:
    """Updates made and test log-likelihood of one way to train on one data set; where it fails, how."""
    rows = data.load(source)
    hidden = HIDDEN.get(Path(source).stem, 100)
    rbm = hm.RBM(visible=hm.Bernoulli(rows.width), hidden=hm.Bernoulli(hidden), seed=asked.seed)
    cpu = time.process_time()
    try:
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
    except (ValueError, TypeError, FloatingPointError) as error:
        return {"failed": str(error)}
    cpu = time.process_time() - cpu
    e = hm.log_likelihood(
        rbm, torch.from_numpy(rows.test).float(), log_partition=log_partition(rbm, asked.measure)
    )
    test = {"value": e.value, "low": e.low, "high": e.high}
    updates = history.records[-1]["step"]
    return {"updates": updates, "cpu_seconds": cpu, "warnings": history.warnings, "test": test}


def keep(row: Row) -> None:
    """Add a row to the file as it is now."""
    results = _report.load("algorithms") | {"machine": _report.machine(), "versions": _report.versions()}
    results["rows"][f"{row['data']} / {row['algorithm']}"] = row
    _report.save("algorithms", results, page(results))


def page(results: dict[str, Any]) -> str:
    """What goes into algorithms.md."""
    text = f"# Algorithms\n\n{_report.preamble(results)}\n{table(results['rows'])}\n"
    return text + (f"\n{bars(results['bars'])}\n" if "bars" in results else "")


def table(found: dict[str, Row]) -> str:
    """A line for each algorithm, updates and test log P for each data set."""
    names = list(dict.fromkeys(row["data"] for row in found.values()))
    lines = ["| algorithm | " + " | ".join(f"{n}, updates | {n}, test" for n in names) + " |"]
    lines.append("|---" * (2 * len(names) + 1) + "|")
    for algorithm_name in ALGORITHMS:
        cells = []
        for name in names:
            row = found.get(f"{name} / {algorithm_name}")
            if row is None:
                cells += ["", ""]
            elif "failed" in row:
                cells += ["", row["failed"]]
            else:
                cells += [f"{row['updates']:,}", interval(row["test"])]
        lines.append("| " + " | ".join([f"`{algorithm_name}`", *cells]) + " |")
    return "\n".join(lines)


def bars(found: dict[str, Any]) -> str:
    """What `benchmarks.bars` found: a line for each way and source, mean log P of the patterns over seeds."""
    lines = [f"Bars and stripes, {found['updates']:,} updates, bound {found['bound']:.3f}:\n"]
    lines += ["| steps | negative particles | worst seed | median | best seed |", "|---|---|---|---|---|"]
    for row in found["rows"]:
        values = [f"{f(row['values']):.3f}" for f in (min, median, max)]
        lines.append("| " + " | ".join([row["way"], row["negatives"], *values]) + " |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Measure what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--run", action="store_true", help="measure what isn't in algorithms.json")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--sets", default="nltcs,plants")
    parser.add_argument("--names", default=",".join(ALGORITHMS))
    parser.add_argument("--seconds", type=float, default=15.0, help="of processor time, each")
    parser.add_argument("--measure", type=float, default=6.0, help="seconds of one core for a log Z")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--again", action="store_true", help="also what is there already")
    asked = parser.parse_args(arguments)
    if asked.run:
        torch.set_num_threads(1)
        count_own_time()
        files = [asked.data / f"{name}.npz" for name in asked.sets.split(",")]
        for source in [str(path) for path in files if path.exists()] or ["digits"]:
            for name in asked.names.split(","):
                head = {"data": Path(source).stem, "algorithm": name}
                if asked.again or " / ".join(head.values()) not in _report.load("algorithms")["rows"]:
                    keep(head | measure(source, name, asked))
    print(table(_report.load("algorithms")["rows"]))


if __name__ == "__main__":
    main()
