"""Does the log Z recorded along training tell the truth? Recorded against measured, on tables of many kinds.

    python -m benchmarks.running                         the table of what was measured so far
    python -m benchmarks.running --run [--data FOLDER] [--sets bars,plants] [--seeds 2] [--again]
    python -m benchmarks.running --quick                 two small tables, short runs, saved nowhere

Each run is the default call with fewer updates. At every record the averaged parameters are kept, and their
log Z is found anew when the run is over: exactly where the hidden layer is small (along the way it is then
estimated all the same, as if it were large), else by --measure seconds of replica exchange. Of

    z = (recorded - found) / √(stated error² + error of what was found²)

the table shows mean, root of the mean square and the share beyond 2 in either direction, beside the stated
errors, nats. Errors that are true have a root mean square of 1 and 5 % beyond 2. The last columns compare the
model that the run returned with the best of all that it kept, by log-likelihoods of the validation rows that
were found in the same way. Single values are kept in benchmarks/results/running.json.
"""

from __future__ import annotations

import argparse
import copy
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import torch

import harmonium as hm
from benchmarks import _report, rules
from benchmarks.density import log_partition
from harmonium import data
from harmonium.recipes.rules import Rule, standard_rules
from harmonium.recipes.run.course import Run
from harmonium.recipes.run.likelihoods import free_energies
from harmonium.recipes.run.measurement import Measurement

SMALL = 16  # hidden units whose states can all be summed
FILES = {"nltcs": 40, "plants": 100, "baudio": 100, "accidents": 100}
"""Data sets from files, and their hidden units."""
Row = dict[str, Any]


class Table(NamedTuple):
    """Rows, and the machine for them."""

    rows: np.ndarray
    hidden: int
    visible: Callable[[int], hm.Units] = hm.Bernoulli


# ---------------------------------------------------------------- tables
def made_up(name: str) -> Table:
    """One of the awkward tables of `benchmarks.rules`."""
    rows = rules.MADE_UP[name](np.random.default_rng(0), 2000)
    return Table(rows.train, SMALL, rows.visible)


def spins() -> Table:
    """A chain of 40 spins, ±1, each like its neighbour 9 times in 10."""
    numbers = np.random.default_rng(0)
    turns = np.where(numbers.random((2000, 40)) < 0.1, -1.0, 1.0)
    return Table(turns.cumprod(1) * numbers.choice([-1.0, 1.0], (2000, 1)), SMALL, hm.Spin)


def sites() -> Table:
    """A mixture of 4: 20 sites of 5 states, each in the mixture's own 7 times in 10."""
    numbers = np.random.default_rng(0)
    own = numbers.integers(0, 5, (4, 20))[numbers.integers(0, 4, 2000)]
    other = numbers.integers(0, 5, own.shape)
    return Table(
        np.where(numbers.random(own.shape) < 0.7, own, other), SMALL, lambda n: hm.Categorical(n, states=5)
    )


def normals() -> Table:
    """A mixture of 3 normal distributions in 12 dimensions that overlap."""
    numbers = np.random.default_rng(0)
    centres = numbers.normal(size=(3, 12))
    x = centres[numbers.integers(0, 3, 2000)] + numbers.normal(size=(2000, 12))
    return Table(x.astype(np.float32), SMALL, hm.Gaussian)


def from_file(path: Path, name: str) -> Table:
    """The training rows of a data set on disk."""
    return Table(data.load(str(path)).train, FILES[name])


def tables(folder: Path) -> dict[str, Callable[[], Table]]:
    """All tables by name; those from files where these are there."""
    digits = data.load("digits")
    found: dict[str, Callable[[], Table]] = {
        "digits": lambda: Table(digits.train, SMALL),
        "wide-digits": lambda: Table(digits.train, 100),
        "spins": spins,
        "sites": sites,
        "normals": normals,
    }
    found |= {name: lambda name=name: made_up(name) for name in rules.MADE_UP}
    paths = {name: folder / f"{name}.npz" for name in FILES}
    return found | {
        name: lambda name=name: from_file(paths[name], name) for name in FILES if paths[name].exists()
    }


# ---------------------------------------------------------------- measuring
class Snapshots(Rule):
    """Keeps every model that was measured with an error, and what was recorded of it."""

    def __init__(self) -> None:
        self.kept: list[tuple[Measurement, hm.EnergyModel]] = []
        self.run: Run | None = None

    def judge(self, run: Run, now: Measurement) -> None:
        self.run = run
        if now.log_partition_stderr:
            self.kept.append((now, copy.deepcopy(run.average.model)))

    def __deepcopy__(self, memo: dict[int, Any]) -> Snapshots:
        return self  # a run takes copies of its rules


def measure(table: Table, seed: int, asked: argparse.Namespace) -> Row:
    """One run: what was recorded, and what was found afterwards."""
    rbm = hm.RBM(table.visible(table.rows.shape[1]), hm.Bernoulli(table.hidden), seed=seed)
    snapshots, cpu = Snapshots(), time.process_time()
    with patch("harmonium.recipes.run.likelihoods.EXACT_WORK", 0):
        history = hm.fit(
            rbm,
            table.rows,
            seed=seed,
            steps=asked.steps,
            progress=False,
            rules=(snapshots, *standard_rules()),
        )
    cpu = time.process_time() - cpu
    assert snapshots.run is not None  # as every run is measured
    valid = snapshots.run.meter.valid
    found = []
    for now, model in snapshots.kept:
        log_z = log_partition(model, asked.measure)
        row = {"step": now.step, "recorded": now.log_partition, "stated": now.log_partition_stderr}
        row |= {"found": log_z.value, "error": (log_z.high - log_z.low) / 4.0}
        if valid is not None:
            free = np.concatenate([free_energies(model, v) for v in valid.pieces()])
            row["likelihood"] = float(-free.mean()) - log_z.value
        found.append(row)
    chosen = history.best_step
    return {"cpu_seconds": cpu, "records": found, "chosen": chosen, "notes": history.notes}


def scores(records: list[Row]) -> np.ndarray:
    """z of each record."""
    return np.array([(r["recorded"] - r["found"]) / math.hypot(r["stated"], r["error"]) for r in records])


# ---------------------------------------------------------------- the table
HEAD = (
    "| data | records | mean z | root mean square of z | beyond 2 | stated error: median, most |"
    " behind the best kept model, nats |\n|---|---|---|---|---|---|---|"
)


def cells(z: np.ndarray, stated: np.ndarray) -> str:
    """What a line says of the records."""
    wrong, rms = int((abs(z) > 2.0).sum()), float((z**2).mean() ** 0.5)
    return (
        f"{len(z)} | {z.mean():+.2f} | {rms:.2f} | {wrong} ({wrong / len(z):.1%})"
        f" | {np.median(stated):.3f}, {stated.max():.3f}"
    )


def behind(row: Row) -> float | None:
    """By how much the returned model is worse for the validation rows than the best that was kept, nats."""
    seen = {r["step"]: r["likelihood"] for r in row["records"] if "likelihood" in r}
    return max(seen.values()) - seen[row["chosen"]] if row["chosen"] in seen else None


def page(found: dict[str, Row]) -> str:
    """A line for each data set, and one for all."""
    lines, everything = [HEAD], []
    for name in dict.fromkeys(row["data"] for row in found.values()):
        runs = [row for row in found.values() if row["data"] == name]
        records = [r for row in runs for r in row["records"]]
        lost = [x for x in map(behind, runs) if x is not None]
        if records:
            told = ", ".join(f"{x:.3f}" for x in lost)
            stated = np.array([r["stated"] for r in records])
            lines.append(f"| {name} | {cells(scores(records), stated)} | {told} |")
        everything += records
    if everything:
        stated = np.array([r["stated"] for r in everything])
        lines.append(f"| all | {cells(scores(everything), stated)} | |")
    return "\n".join(lines)


def keep(found: dict[str, Row]) -> None:
    """Write what is known by now."""
    results = {"machine": _report.machine(), "versions": _report.versions(), "rows": found}
    _report.save("running", results, f"# Running log Z\n\n{_report.preamble(results)}\n{page(found)}\n")


def main(arguments: list[str] | None = None) -> None:
    """Measure what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--run", action="store_true", help="measure what isn't in running.json")
    parser.add_argument("--again", action="store_true", help="also what is there already")
    parser.add_argument("--quick", action="store_true", help="two small tables, short runs, nothing saved")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--sets", help="by default all")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=1000, help="updates of a run")
    parser.add_argument("--measure", type=float, default=4.0, help="seconds of one core for a log Z")
    asked = parser.parse_args(arguments)
    if asked.quick:
        asked.sets, asked.seeds, asked.steps, asked.measure = asked.sets or "bars,xor", 1, 200, 0.5
    torch.set_num_threads(1)
    known = tables(asked.data)
    names = list(known) if asked.sets is None else asked.sets.split(",")
    found = {} if asked.quick else dict(_report.load("running")["rows"])
    for name in names if asked.run or asked.quick else []:
        for seed in range(asked.seeds):
            key = f"{name} / {seed}"
            if key not in found or asked.again:
                found[key] = {"data": name, "seed": seed} | measure(known[name](), seed, asked)
                if not asked.quick:
                    keep(found)
    print(page(found))


if __name__ == "__main__":
    main()
