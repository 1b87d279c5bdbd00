"""Ways to step along the gradient, for the same processor time: test log-likelihoods.

    python -m benchmarks.optimisers                    the table of what was measured so far
    python -m benchmarks.optimisers --run [--seconds 15] [--sets plants,motifs] [--names adam,natural]

Everything but the step is the same: 100 hidden 0/1 units, biases that start at the data, batches of 256,
512 persistent chains with 2 sweeps between updates, a step size that is constant for half of the time and
then falls linearly to 2 %, parameters averaged over the last tenth of the updates, one thread. Each method is
tried at several step sizes; the one that is best on the validation rows is reported. `motifs` are made-up
DNA sequences of one-hot sites whose entropy is known; the others are .npz files in the folder --data, as in
`benchmarks.density`. What was measured is kept in benchmarks/results/optimisers.json.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import harmonium as hm
from benchmarks import _report
from benchmarks._motifs import LETTERS, log_probability, motifs
from benchmarks.density import log_partition
from harmonium import data
from harmonium.learning import (
    Average,
    Batches,
    Centring,
    GradientDescent,
    Learner,
    NaturalGradient,
    PersistentChains,
    StopTraining,
    Update,
    train,
)
from harmonium.learning.loop import Optimiser, Transform

HIDDEN, BATCH, CHAINS, SWEEPS = 100, 256, 512, 2
Row = dict[str, Any]


class Diagonal(NaturalGradient):
    """The natural gradient with the variances alone: what differs in scale is set right, what goes together
    is not.
    """

    def _inverse(self, covariance: Tensor, added: Tensor) -> Tensor:
        return torch.diag(1.0 / (covariance.diagonal() + added))


Maker = Callable[[list[Tensor]], Optimiser]
METHODS: dict[str, tuple[str, Callable[[], list[Transform]], Maker, list[float]]] = {
    "sgd": ("plain gradient", list, lambda p: GradientDescent(p, 1.0), [0.05, 0.15, 0.4]),
    "momentum": (
        "centred, momentum 0.9",
        lambda: [Centring()],
        lambda p: torch.optim.SGD(p, lr=1.0, momentum=0.9),
        [0.015, 0.05, 0.1],
    ),
    "centred": (
        "centred gradient",
        lambda: [Centring()],
        lambda p: GradientDescent(p, 1.0),
        [0.15, 0.4, 1.0],
    ),
    "rmsprop": ("RMSprop", list, lambda p: torch.optim.RMSprop(p, lr=1.0), [5e-4, 2e-3, 6e-3]),
    "adam": ("Adam", list, lambda p: torch.optim.Adam(p, lr=1.0), [5e-4, 2e-3, 6e-3]),
    "adam-centred": (
        "Adam on the centred gradient",
        lambda: [Centring()],
        lambda p: torch.optim.Adam(p, lr=1.0),
        [5e-4, 2e-3, 6e-3],
    ),
    "diagonal": (
        "centred, divided by the variances",
        lambda: [Diagonal()],
        lambda p: GradientDescent(p, 1.0),
        [0.1, 0.2, 0.4],
    ),
    "natural": (
        "natural gradient (the default)",
        lambda: [NaturalGradient()],
        lambda p: GradientDescent(p, 1.0),
        [0.1, 0.2, 0.4],
    ),
}
"""Title, transforms of the gradient, optimiser, step sizes tried."""


# ---------------------------------------------------------------- training
class Rows:
    """Visible states of a data set, the units for them, and what is known of it."""

    def __init__(self, name: str, folder: Path) -> None:
        if name == "motifs":
            rows = motifs()
            self.units: Callable[[], hm.Units] = lambda: hm.Categorical(rows.width, LETTERS)
            self.bound = float(log_probability(rows.test).mean())
        else:
            path = folder / f"{name}.npz"
            rows = data.load(str(path) if path.exists() else name)
            self.units = lambda: hm.Bernoulli(rows.width)
            self.bound = None
        layer, parts = self.units(), (rows.train, rows.valid, rows.test)
        states = [torch.from_numpy(x) for x in parts]
        if name == "motifs":
            states = [layer.encode(x) for x in states]
        self.train, self.valid, self.test = (x.float() for x in states)


class Clock:
    """The step size along the time there is, and the end of training. The first updates, which load what is
    compiled, don't count.
    """

    def __init__(self, seconds: float, size: float) -> None:
        self.seconds, self.size, self.start = seconds, size, math.inf

    def progress(self) -> float:
        return max(0.0, time.process_time() - self.start) / self.seconds

    def learning_rate(self, step: int) -> float:
        return self.size * min(1.0, max(0.02, 2.0 * (1.0 - self.progress())))

    def __call__(self, update: Update) -> None:
        if update.step == 4:
            self.start = time.process_time()
        if self.progress() >= 1.0:
            raise StopTraining


def learn(rows: Rows, name: str, size: float, seconds: float) -> tuple[hm.RBM, int]:
    """The averaged model of a method with a step size, and the number of updates made."""
    _, transforms, optimiser, _ = METHODS[name]
    rbm = hm.RBM(visible=rows.units(), hidden=hm.Bernoulli(HIDDEN), seed=0)
    rbm.visible.match(rows.train)
    source = PersistentChains(CHAINS, SWEEPS, seed=0)
    batches = Batches(rows.train, BATCH, lambda x, numbers, epoch: x)
    stepper = optimiser(list(rbm.parameters()))
    average, clock = Average(rbm), Clock(seconds, size)
    learner = Learner(rbm, batches, source, stepper, transforms(), clock.learning_rate)
    updates = train(learner, 2**40, [average, clock])
    return average.model, updates


# ---------------------------------------------------------------- measuring
def measure(rows: Rows, name: str, size: float, asked: argparse.Namespace) -> Row:
    """One method with one step size: mean log P of training, validation and test rows."""
    try:
        rbm, updates = learn(rows, name, size, asked.seconds)
    except FloatingPointError as error:
        return {"failed": str(error)}
    log_z = log_partition(rbm, asked.measure)
    found: Row = {"updates": updates, "seconds": asked.seconds, "bound": rows.bound}
    for part in ("train", "valid", "test"):
        e = hm.log_likelihood(rbm, getattr(rows, part), log_partition=log_z)
        found[part] = {"value": e.value, "low": e.low, "high": e.high}
    return found


def keep(row: Row) -> None:
    """Add a row to the file as it is now."""
    results = _report.load("optimisers") | {"machine": _report.machine(), "versions": _report.versions()}
    results["rows"][f"{row['data']} / {row['method']} / {row['size']:g}"] = row
    text = f"# Optimisers\n\n{_report.preamble(results)}\n{table(results['rows'])}\n"
    _report.save("optimisers", results, text)


# ---------------------------------------------------------------- the table
def cell(rows: list[Row]) -> str:
    """The test value of the step size that is best on the validation rows."""
    good = [row for row in rows if "failed" not in row]
    if not good:
        return "diverged" if rows else ""
    best = max(good, key=lambda row: row["valid"]["value"])
    test = best["test"]
    span = f"{test['value']:.2f} [{test['low']:.2f}, {test['high']:.2f}]"
    return f"{span}, {best['size']:g}, {best['updates']:,}"


def table(found: dict[str, Row]) -> str:
    """A line for each method, columns for data sets: test log P, step size, updates."""
    names = list(dict.fromkeys(row["data"] for row in found.values()))
    lines = ["| step | " + " | ".join(f"{n}: test, step size, updates" for n in names) + " |"]
    lines.append("|---" * (len(names) + 1) + "|")
    for method, (title, *_) in METHODS.items():
        cells = [
            cell([row for row in found.values() if (row["data"], row["method"]) == (name, method)])
            for name in names
        ]
        lines.append("| " + " | ".join([title, *cells]) + " |")
    return "\n".join(lines)


def every(found: dict[str, Row]) -> str:
    """All that was tried: validation log P at each step size."""
    lines = ["| data | step | validation log P at each step size |", "|---|---|---|"]
    for name in dict.fromkeys(row["data"] for row in found.values()):
        for method, (title, *_) in METHODS.items():
            rows = [row for row in found.values() if (row["data"], row["method"]) == (name, method)]
            cells = [
                f"{r['size']:g}: " + ("diverged" if "failed" in r else f"{r['valid']['value']:.2f}")
                for r in sorted(rows, key=lambda r: r["size"])
            ]
            if cells:
                lines.append(f"| {name} | {title} | {', '.join(cells)} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Measure what is missing, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--run", action="store_true", help="measure what isn't in optimisers.json")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--sets", default="accidents,plants,motifs")
    parser.add_argument("--names", default=",".join(METHODS))
    parser.add_argument("--again", action="store_true", help="also what is there already")
    parser.add_argument("--sizes", help="other step sizes to try, such as 0.1,0.2")
    parser.add_argument("--seconds", type=float, default=15.0, help="of processor time, each")
    parser.add_argument("--measure", type=float, default=4.0, help="seconds of one core for a log Z")
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    for data_name in asked.sets.split(",") if asked.run else []:
        rows = Rows(data_name, asked.data)
        for name in asked.names.split(","):
            sizes = [float(s) for s in asked.sizes.split(",")] if asked.sizes else METHODS[name][3]
            for size in sizes:
                if (
                    asked.again
                    or f"{data_name} / {name} / {size:g}" not in _report.load("optimisers")["rows"]
                ):
                    row = {"data": data_name, "method": name, "size": size}
                    keep(row | measure(rows, name, size, asked))
    found = _report.load("optimisers")["rows"]
    print(f"{table(found)}\n\n{every(found)}")


if __name__ == "__main__":
    main()
