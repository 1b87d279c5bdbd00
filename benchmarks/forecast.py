"""Forecasts of real series: log density of each frame given those before it, by `hm.TemporalRBM` and by the
vector autoregression of statsmodels with as many lags.

The series come with statsmodels. `HARMONIUM_PEERS=PYTHON python -m benchmarks.forecast` prints the figures of
`docs/conditional.md`, where PYTHON has statsmodels. The first 70 % of the frames are learned, of which hm.fit
holds out rows to stop by; the others are the test, in units of the standard deviations of the first.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

import harmonium as hm
from benchmarks._workers import PEERS

BLOCKS = 20  # neighbouring frames are no independent rows: means of so many blocks are taken for such


def mean_of(rows: np.ndarray) -> str:
    """Their mean with a 95 % interval, by the spread of means of blocks."""
    means = np.array([block.mean() for block in np.array_split(rows, BLOCKS)])
    reach = 2.09 * means.std(ddof=1) / BLOCKS**0.5  # Student's quantile
    return f"{rows.mean():.3f} [{rows.mean() - reach:.3f}, {rows.mean() + reach:.3f}]"


def machines(width: int, lags: int, seed: int) -> dict[str, hm.TemporalRBM]:
    """Those that are tried."""
    few = max(1, width - 1)
    return {
        f"{few} Gaussian hidden": hm.TemporalRBM(hm.Gaussian(width), lags, hm.Gaussian(few), seed=seed),
        "8 binary hidden": hm.TemporalRBM(hm.Gaussian(width), lags, hm.Bernoulli(8), seed=seed),
    }


def measure(name: str, found: dict[str, np.ndarray], asked: argparse.Namespace) -> None:
    """Train on the first frames of a series, and print what the last ones say."""
    x, log_p = found[f"{name}/x"], found[f"{name}/log_p"]
    lags, first = int(found[f"{name}/lags"]), int(found[f"{name}/first"])
    print(f"{name}, {x.shape[0]} x {x.shape[1]}, {lags} lags: autoregression {mean_of(log_p)}", flush=True)
    for seed in range(asked.seeds):
        for what, model in machines(x.shape[1], lags, seed).items():
            rows = model.rows(x)
            begin = time.process_time()
            hm.fit(model, rows[: first - lags], seed=seed, steps=asked.steps, progress=False)
            spent = time.process_time() - begin
            own = hm.likelihood.log_probabilities(model, rows[first - lags :]).value.numpy()
            print(
                f"  {what}, seed {seed}: {mean_of(own)}, ahead by {mean_of(own - log_p)}, {spent:.0f} s",
                flush=True,
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "series.npz"
        work = Path(__file__).with_name("_statsmodels_works.py")
        subprocess.run([PEERS, str(work), str(file)], check=True)
        series = dict(np.load(file))
    for name in dict.fromkeys(key.partition("/")[0] for key in series):
        measure(name, series, options)
