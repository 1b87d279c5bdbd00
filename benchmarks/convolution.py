"""How fast convolutional machines learn the bundled digits, by the natural and by the centred gradient.

`python -m benchmarks.convolution` prints the figures of `docs/machines.md`.
"""

from __future__ import annotations

import argparse
import time

import torch

import harmonium as hm
from harmonium.data import load

MACHINES = {
    "16 filters of 5 x 5": (16, 5, 1),
    "32 filters of 7 x 7": (32, 7, 1),
    "32 filters of 7 x 7, pools of 2 x 2": (32, 7, 2),
}


def measure(name: str, seed: int, asked: argparse.Namespace, optimiser: str | None) -> None:
    """Train, and print the test log-likelihood."""
    data = load("digits")
    if name in MACHINES:
        filters, kernel, pool = MACHINES[name]
        model: hm.RBM = hm.ConvolutionalRBM((1, 8, 8), filters, kernel, pool=pool, seed=seed)
    else:
        model = hm.RBM(hm.Bernoulli(64), hm.Bernoulli(64), seed=seed)
    begin = time.process_time()
    rows = data.train[: asked.rows]
    history = hm.fit(
        model, rows, validation=data.valid, seed=seed, steps=asked.steps, optimiser=optimiser, progress=False
    )
    spent, found = time.process_time() - begin, hm.log_likelihood(model, data.test, seconds=asked.seconds)
    print(
        f"{name}, {history.settings['optimiser']}, seed {seed}: {found.value:.2f} [{found.low:.2f},"
        f" {found.high:.2f}], {spent:.1f} s of processor time {history.warnings}",
        flush=True,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--rows", type=int, help="training rows, all by default")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=20.0, help="of estimating log Z")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for seed in range(options.seeds):
        measure("RBM 64", seed, options, None)
        for name in MACHINES:
            for optimiser in ("centred", None):
                measure(name, seed, options, optimiser)
