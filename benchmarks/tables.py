"""A large table of mixed columns with gaps: time and memory of its schema, of learning, and of filling it.

    python -m benchmarks.tables [--rows 100000] [--updates 200]

Columns of two values, of categories, of real numbers, of counts and of whole numbers of a range, in turn; a
tenth of the cells are empty. Seconds are of the processor, one thread. Memory is what comes on top of the
table and of what the program itself needs once a small table has been learned, at its peak, as a multiple of
the table in pandas.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

import harmonium as hm

COLUMNS, EMPTY = 50, 0.1
MB = 2**20


def table(rows: int, seed: int = 0, empty: float = EMPTY) -> pd.DataFrame:
    """The table, whose columns hang together by three latent numbers a row."""
    r = np.random.default_rng(seed)
    latent = r.normal(size=(rows, 3))
    columns: dict[str, Any] = {}
    for k in range(COLUMNS):
        field = latent @ r.normal(size=3) * 0.6
        gone = r.random(rows) < empty
        if k % 5 == 0:
            column = pd.Series(np.where(field + r.logistic(size=rows) > 0, "yes", "no")).astype("category")
        elif k % 5 == 1:
            code = np.digitize(field + r.normal(size=rows), [-1.0, -0.3, 0.3, 1.0])
            column = pd.Series(np.array(["a", "b", "c", "d", "e"])[code]).astype("category")
        elif k % 5 == 2:
            column = pd.Series(
                np.exp(0.5 * field + 0.5 * r.normal(size=rows)) if k % 2 else field + r.normal(size=rows)
            )
        elif k % 5 == 3:
            column = pd.Series(r.poisson(np.exp(1.0 + 0.3 * field)).astype(float))
        else:
            column = pd.Series(r.binomial(20, 1.0 / (1.0 + np.exp(-0.5 * field))).astype(float))
        columns[f"{'bcrnw'[k % 5]}{k}"] = column.mask(gone)
    return pd.DataFrame(columns)


def resident(peak: bool = False) -> int:
    """Bytes in memory now, or at most since `begin`."""
    word = "VmHWM" if peak else "VmRSS"
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(word))


def measured(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """(what came out, processor seconds, bytes on top of those before at most)."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before, begun = resident(), time.process_time()
    out = work()
    return out, time.process_time() - begun, resident(peak=True) - before


def learned(frame: pd.DataFrame, updates: int) -> tuple[hm.RBM, list[float]]:
    """(a machine after so many updates by the defaults, the processor time at each)."""
    model = hm.RBM(hm.Schema.of(frame).units(), hm.Bernoulli(64), seed=0)
    model.schema = hm.Schema.of(frame)
    times: list[float] = []
    hm.fit(
        model, frame, steps=updates, progress=False, callbacks=[lambda _: times.append(time.process_time())]
    )
    return model, times


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--updates", type=int, default=200)
    parser.add_argument("--impute", type=int, default=0, help="rows to fill")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    learned(table(500, 1), 5)
    hm.impute(learned(table(500, 1), 2)[0], table(300, 1))
    frame = table(asked.rows)
    size = int(frame.memory_usage(deep=True).sum())
    print(f"{frame.shape[0]:,} x {frame.shape[1]}, {size / MB:.1f} MB in pandas")

    def told(what: str, seconds: float, most: float) -> None:
        print(f"{what:<12} {seconds:7.2f} s   {most / MB:7.1f} MB at most, {most / size:.2f} times the table")

    schema, seconds, most = measured(lambda: hm.Schema.of(frame))
    told("schema", seconds, most)
    told("encoding", *measured(lambda: schema.encode(frame))[1:])
    (model, times), seconds, most = measured(lambda: learned(frame, asked.updates))
    told(f"{asked.updates} updates", seconds, most)
    late = np.diff(times)[len(times) // 2 :]
    print(f"an update: {1e3 * np.median(late):.1f} ms (median of the second half)")
    if asked.impute:
        rows = frame.head(asked.impute)
        told(f"{asked.impute:,} filled", *measured(lambda: hm.impute(model, rows))[1:])
        told("and drawn", *measured(lambda: hm.impute(model, rows, draws=1))[1:])


if __name__ == "__main__":
    main()
