"""What an update costs in one process and in two, and what the cost model of docs/processes.md makes of it.

    python -m benchmarks.processes [--blocks 7] [--updates 10]
    python -m benchmarks.processes --forecast            the model's table for GPUs, which were not measured

Every process has one thread. Of each work the table shows, for an update: seconds of the processor in one
process with all chains and rows, in one with half of them, and in each of two processes that divide them; the
bytes of its sum, and seconds by the clock that sums of so many bytes take when two processes do nothing else.
Seconds are medians of blocks of updates. The model's forecast for two processes is the second column and what
the sum costs the processor; `ratio` is measured over forecast. Seconds of the processor, since the clock
measures whatever else a machine does.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import NamedTuple

os.environ["OMP_NUM_THREADS"] = os.environ["NUMBA_NUM_THREADS"] = "1"

import torch  # noqa: E402  # its threads are counted when it is imported
from torch import distributed  # noqa: E402
from torch.multiprocessing import get_context  # noqa: E402

import harmonium as hm  # noqa: E402
from harmonium import processes  # noqa: E402
from harmonium.learning import (  # noqa: E402
    Batches,
    Centring,
    GradientDescent,
    Learner,
    NaturalGradient,
    PersistentChains,
)
from harmonium.models.intake import rows_of  # noqa: E402


class Work(NamedTuple):
    """An update: width of both layers, rows of a batch, chains, and the method."""

    visible: int
    hidden: int
    batch: int
    chains: int
    method: str

    def halved(self) -> Work:
        """The same with half the rows and chains."""
        return self._replace(batch=self.batch // 2, chains=self.chains // 2)


WORKS = [
    Work(784, 500, 256, 512, "centred"),
    Work(784, 500, 256, 512, "natural"),
    Work(784, 500, 2048, 4096, "centred"),
    Work(64, 128, 256, 512, "natural"),
]


def learner(work: Work) -> Learner:
    """Everything that an update needs."""
    x = (torch.arange(4096 * work.visible).reshape(4096, -1) * 2654435761 % 97 < 31).to(torch.uint8)
    rbm = hm.RBM(hm.Bernoulli(work.visible), hm.Bernoulli(work.hidden))
    rows = rows_of(rbm, x)
    method = {"natural": NaturalGradient, "centred": Centring}[work.method]()
    phase = PersistentChains(work.chains, 2)
    phase.begin(rbm, rows.states(500))
    batches = Batches(rows.x, work.batch, rows.prepare)
    return Learner(rbm, batches, phase, GradientDescent(rbm.parameters(), 0.01), [method])


def seconds(step: Callable[[int], object], blocks: int, updates: int, clock: Callable[[], float]) -> float:
    """Of an update, the median over the blocks."""
    for k in range(3):
        step(k)
    found = []
    for block in range(blocks):
        begun = clock()
        for k in range(updates):
            step(3 + block * updates + k)
        found.append((clock() - begun) / updates)
    return statistics.median(found)


def of_update(work: Work, blocks: int, updates: int) -> tuple[float, int]:
    """(Seconds of the processor, bytes of the sum) of an update."""
    made, sizes, add = learner(work), [0], processes.add_

    def counted(tensors: list[torch.Tensor]) -> None:
        sizes.append(sum(x.numel() * x.element_size() for x in tensors))
        add(tensors)

    processes.add_ = counted  # type: ignore[assignment]  # to look at what is sent
    try:
        return seconds(made.update, blocks, updates, time.process_time), max(sizes)
    finally:
        processes.add_ = add


def of_sum(size: int, blocks: int, updates: int) -> tuple[float, float]:
    """Seconds that a sum of so many bytes takes: by the clock, and of the processor."""
    x = torch.zeros(max(size, 4) // 4)
    return (
        seconds(lambda k: processes.add_([x]), blocks, updates, time.perf_counter),
        seconds(lambda k: processes.add_([x]), blocks, updates, time.process_time),
    )


def _two(rank: int, folder: str, works: list[Work], blocks: int, updates: int) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    found = []
    for work in works:
        update, size = of_update(work, blocks, updates)
        found.append((update, size, *of_sum(size, blocks, updates)))
    if rank == 0:
        torch.save(found, f"{folder}/found.pt")
    distributed.destroy_process_group()


class Machine(NamedTuple):
    """What the model takes for granted of each process: products per second, bytes per second and seconds of
    a message between two, and seconds of an update that aren't divided.
    """

    flops: float
    bandwidth: float
    latency: float
    undivided: float


GPU = Machine(flops=40e12, bandwidth=50e9, latency=15e-6, undivided=300e-6)


def forecast(work: Work, count: int, machine: Machine, sweeps: int = 2) -> tuple[float, float]:
    """(Seconds of an update, of its sum alone) in so many processes."""
    n, m = work.visible, work.hidden
    flop = 4.0 * n * m * ((sweeps + 1) * work.chains + work.batch)
    numbers = n * m + 3 * (n + m)
    if work.method == "natural":  # every second update
        numbers += (n * n + m * m + n + m) / 2
    added = 0.0
    if count > 1:
        added = 2.0 * 4.0 * numbers * (count - 1) / count / machine.bandwidth
        added += 2.0 * math.log2(count) * machine.latency
    return flop / (count * machine.flops) + machine.undivided + added, added


def show_forecast(rows: int = 10**9) -> None:
    """The table for more and more GPUs."""
    print(f"{'work':38}{'GPUs':>6}{'ms':>9}{'sum':>7}{'times':>8}{'epoch s':>10}")
    for chains in (2**15, 2**17, 2**20):
        work = Work(784, 500, 2 * chains, chains, "centred")
        alone, _ = forecast(work, 1, GPU)
        for count in (1, 8, 64):
            update, added = forecast(work, count, GPU)
            name = f"{work.visible} x {work.hidden}, {work.batch}/{work.chains}"
            epoch = rows / work.batch * update
            shown = f"{1e3 * update:9.2f}{added / update:7.0%}{alone / update:8.1f}{epoch:10.0f}"
            print(f"{name:38}{count:6}{shown}")


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--blocks", type=int, default=7)
    parser.add_argument("--updates", type=int, default=10)
    parser.add_argument("--first", type=int, default=0, help="number of the work to begin with")
    parser.add_argument("--forecast", action="store_true")
    asked = parser.parse_args()
    if asked.forecast:
        show_forecast()
        return
    works = WORKS[asked.first :]
    torch.set_num_threads(1)
    context = get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        others = [
            context.Process(target=_two, args=(k, folder, works, asked.blocks, asked.updates))
            for k in range(2)
        ]
        for other in others:
            other.start()
        for other in others:
            other.join()
        two = torch.load(f"{folder}/found.pt")
    print(f"{'work':34}{'one ms':>9}{'half':>9}{'two':>9}{'bytes':>11}{'sum ms':>9}{'(cpu)':>9}{'ratio':>8}")
    for work, (update, size, by_clock, by_processor) in zip(works, two, strict=True):
        one, _ = of_update(work, asked.blocks, asked.updates)
        half, _ = of_update(work.halved(), asked.blocks, asked.updates)
        name = f"{work.visible} x {work.hidden}, {work.batch}/{work.chains}, {work.method}"
        shown = "".join(f"{1e3 * t:9.2f}" for t in (one, half, update))
        sums = "".join(f"{1e3 * t:9.2f}" for t in (by_clock, by_processor))
        print(f"{name:34}{shown}{size:11,}{sums}{update / (half + by_processor):8.2f}", flush=True)


if __name__ == "__main__":
    main()
