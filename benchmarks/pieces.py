"""Where the time of a sweep and of an update goes, against the plain matrix products of the same run.

    python -m benchmarks.pieces [--help]

All works of one shape are run in turn, again and again, so that a busy machine slows them alike. Printed are
the lower decile and the median in milliseconds, and the median as a multiple of the yardstick's. With one
thread the processor's own time is taken, which a busy machine disturbs less.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable

import torch

import harmonium as hm
from harmonium import kernels
from harmonium.kernels import processor
from harmonium.learning import Batches, Centring, Learner, NaturalGradient, PersistentChains
from harmonium.random import Address, Purpose
from harmonium.sampling import BlockGibbs, initial_chains

Work = Callable[[], object]
HERE = Address(seed=0, purpose=Purpose.TRIAL)
SHAPES = {
    "784 x 500, 256 chains": (784, 500, 1, 256),
    "784 x 500, 4096 chains": (784, 500, 1, 4096),
    "64 x 128, 100 chains": (64, 128, 1, 100),
    "200 sites of 21 states x 100, 200 chains": (200, 100, 21, 200),
}


def on(path: str, work: Work) -> Work:
    """The same work with products of one kind."""

    def run() -> None:
        os.environ["HARMONIUM_PRODUCTS"] = path
        work()

    return run


def _paths() -> list[str]:
    return ["wide"] if processor.no_matrix_units() else ["wide", "matrix"]


def sweeps(visible: int, hidden: int, states: int, chains: int) -> dict[str, Work]:
    """Two products as the yardstick, and sweeps by each kind of product."""
    layer = hm.Bernoulli(visible) if states == 1 else hm.Categorical(visible, states)
    rbm = hm.RBM(visible=layer, hidden=hm.Bernoulli(hidden))
    start, weight = initial_chains(rbm, chains, HERE), rbm.weight.detach()
    v, h = start.state
    out = torch.empty_like(v), torch.empty_like(h)

    def two_products() -> None:
        torch.mm(v, weight, out=out[1])
        torch.mm(h, weight.T, out=out[0])

    works: dict[str, Work] = {"two products, float32": two_products}
    for path in _paths():
        for count in (1, 10):
            works[f"{count} sweeps, {path}"] = on(path, lambda n=count: BlockGibbs(sweeps=n)(rbm, start))
    return works


def updates(visible: int, hidden: int, rows: int) -> dict[str, Work]:
    """One product as the yardstick, single pieces, and whole updates."""
    x = kernels.draw_bernoulli(torch.full((5000, visible), -1.0), HERE)
    weight, v = kernels.uniform(HERE, (visible, hidden)) - 0.5, x[:rows]
    h = torch.sigmoid(v @ weight)
    works: dict[str, Work] = {
        "product v W, float32": lambda: torch.mm(v, weight),
        "product v W, split": lambda: kernels.product(v, weight),
        "statistics v'h, float32": lambda: torch.mm(v.T, h),
        "statistics v'h, split": lambda: kernels.product(v, h, transposed=True),
        "draw": lambda: kernels.draw_bernoulli(h, HERE),
    }
    for name, k, transforms in (("PCD-1", 1, [Centring()]), ("PCD-10", 10, [Centring()])):
        for path in _paths():
            works[f"{name} update, centred, {path}"] = on(path, _update(x, hidden, k, transforms))
    works["PCD-1 update, natural, auto"] = on("auto", _update(x, hidden, 1, [NaturalGradient()]))
    return works


def _update(x: torch.Tensor, hidden: int, k: int, transforms: list) -> Work:
    rbm = hm.RBM(visible=hm.Bernoulli(x.shape[1]), hidden=hm.Bernoulli(hidden))
    optimiser = torch.optim.SGD(rbm.parameters(), lr=0.01)
    batches = Batches(x, 256, lambda rows, numbers, epoch: rows)
    learner, step = Learner(rbm, batches, PersistentChains(256, k), optimiser, transforms), iter(range(10**9))
    return lambda: learner.update(next(step))


def report(title: str, works: dict[str, Work], seconds: float) -> None:
    """Runs the works in turn for some time, and prints a table."""
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    times: dict[str, list[float]] = {name: [] for name in works}
    for work in works.values():
        work()
    begin = time.perf_counter()
    while time.perf_counter() - begin < seconds or len(next(iter(times.values()))) < 5:
        for name, work in works.items():
            before = clock()
            work()
            times[name].append(1e3 * (clock() - before))
    print(f"\n| {title} | lower decile, ms | median, ms | multiple |\n|---|---|---|---|")
    yardstick = statistics.median(next(iter(times.values())))
    for name, t in times.items():
        decile, median = sorted(t)[len(t) // 10], statistics.median(t)
        print(f"| {name} | {decile:.3f} | {median:.3f} | {median / yardstick:.2f} |")


def main() -> None:
    """Prints one table for each shape of sweeps, and one for updates."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--threads", type=int, default=torch.get_num_threads())
    options.add_argument("--seconds", type=float, default=5.0, help="for each table")
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    print(f"{chosen.threads} threads, torch {torch.__version__}, products of the kernels: {processor.path()}")
    if processor.path() != "matrix":
        print("no matrix units here: there are no rows of that name")
    for name, shape in SHAPES.items():
        with torch.no_grad():
            report(name, sweeps(*shape), chosen.seconds)
    report("784 x 500, batch and chains 256", updates(784, 500, 256), chosen.seconds)


if __name__ == "__main__":
    main()
