"""From which update on does rounding show? The same training on two paths of a processor, update by update.

    python -m benchmarks.paths                      wide against plain, 300 updates
    python -m benchmarks.paths --updates 2000

The draws are the same bits in the same fields. Products round differently on each path, as on each processor,
so that weights differ in their last bits from the first update on; when a field lies within
that rounding of the number that it is held against, a state flips, and from then on the chains part.
"""

from __future__ import annotations

import argparse
import os

import torch
from torch import Tensor

import harmonium as hm
from harmonium import data
from harmonium.learning import Update

CASES = {
    "bars and stripes, 16 x 8, exact gradient": ("bars-and-stripes", 8, {"negatives": "exact"}),
    "digits, 64 x 64, natural gradient, PCD": ("digits", 64, {"negatives": "pcd"}),
    "digits, 64 x 64, centred gradient, PCD": ("digits", 64, {"negatives": "pcd", "optimiser": "centred"}),
}
LIMITS = 1e-6, 1e-3


def trained(path: str, source: str, hidden: int, updates: int, settings: dict[str, str]) -> list[Tensor]:
    """The weights after each update on a path."""
    x = torch.from_numpy(data.load(source).train).float()
    os.environ["HARMONIUM_PRODUCTS"] = path
    rbm, kept = hm.RBM(hm.Bernoulli(x.shape[1]), hm.Bernoulli(hidden)), []

    def keep(update: Update) -> None:
        kept.append(rbm.weight.detach().clone())

    options: dict[str, object] = dict(settings)
    hm.fit(rbm, x, steps=updates, rules=(), callbacks=[keep], progress=False, **options)  # type: ignore[arg-type]
    return kept


def first_over(gaps: list[float], limit: float) -> str:
    """The number of the first update after which the gap is larger."""
    return next((f"{k + 1:,}" for k, gap in enumerate(gaps) if gap > limit), "never")


def main(arguments: list[str] | None = None) -> None:
    """Train on both paths, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--updates", type=int, default=300)
    parser.add_argument("--paths", default="wide,plain", help="two of matrix, wide and plain")
    chosen = parser.parse_args([] if arguments is None else arguments)
    first, second = chosen.paths.split(",")
    print(
        f"| {first}, {second} | first difference | over 1e-6 | over 1e-3 | after {chosen.updates:,} updates |"
    )
    print("|---|---|---|---|---|")
    for name, (source, hidden, settings) in CASES.items():
        runs = [trained(path, source, hidden, chosen.updates, settings) for path in (first, second)]
        gaps = [float((a - b).abs().max()) for a, b in zip(*runs, strict=True)]
        cells = [name, *(first_over(gaps, limit) for limit in (0.0, *LIMITS)), f"{gaps[-1]:.1e}"]
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
