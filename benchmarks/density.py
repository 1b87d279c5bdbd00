"""Test log-likelihoods that the default call reaches on density benchmarks.

    python -m benchmarks.density [--data FOLDER] [--sets nltcs,plants] [--hidden 100] [--seeds 1] [--save]

FOLDER holds .npz files with 0/1 arrays `train`, `valid` and `test`, such as those of the DEBD collection.
Each model is trained by `hm.fit(rbm, train, validation=valid, seed=seed)` and nothing else: selection is on
the validation rows, the test rows are read once. Without such a folder the bundled digits are measured.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from pathlib import Path
from typing import Any

import torch

import harmonium as hm
from harmonium import data

PUBLISHED = {"nltcs": -5.99, "plants": -12.54, "baudio": -39.77, "accidents": -26.74}
"""Best figures of tractable models, as remembered from the literature (HCLT; ID-SPN for plants)."""
RESULTS = Path(__file__).parent / "results"


def measure(source: str, name: str, hidden: int, seed: int) -> dict[str, Any]:
    """Train on one data set and measure it."""
    rows = data.load(source)
    train, valid, test = (torch.from_numpy(x).float() for x in (rows.train, rows.valid, rows.test))
    rbm = hm.RBM(visible=hm.Bernoulli(rows.width), hidden=hm.Bernoulli(hidden))
    wall, cpu = time.perf_counter(), time.process_time()
    history = hm.fit(rbm, rows.train, validation=rows.valid, seed=seed, progress=sys.stderr.isatty())
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    log_z = hm.log_partition(rbm, seconds=30.0, seed=seed)
    parts = {
        part: hm.log_likelihood(rbm, x, log_partition=log_z)
        for part, x in (("train", train), ("valid", valid), ("test", test))
    }
    independent = hm.RBM(visible=hm.Bernoulli(rows.width), hidden=hm.Bernoulli(1))
    independent.visible.match(train)
    with torch.no_grad():
        independent.weight.zero_()
    return {
        "data": name,
        "hidden": hidden,
        "seed": seed,
        "seconds": wall,
        "cpu_seconds": cpu,
        "updates": history.records[-1]["step"],
        **{part: e.to_dict() for part, e in parts.items()},
        "independent": hm.log_likelihood(independent, test).value,
        "published": PUBLISHED.get(name),
    }


def line(row: dict[str, Any]) -> str:
    """One row of the Markdown table."""
    test = row["test"]
    published = "" if row["published"] is None else f"{row['published']:.2f}"
    return (
        f"| {row['data']} | {row['hidden']} | {row['seed']} | {row['updates']} | {row['seconds']:.0f} |"
        f" {row['cpu_seconds']:.0f} | {row['train']['value']:.3f} | {row['valid']['value']:.3f} |"
        f" **{test['value']:.3f}** [{test['low']:.3f}, {test['high']:.3f}] | {row['independent']:.3f} |"
        f" {published} |"
    )


HEAD = (
    "| data | hidden | seed | updates | s | CPU s | train | valid | test, 95 % of log Z | independent"
    " | published |\n|---|---|---|---|---|---|---|---|---|---|---|"
)


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--sets", default=",".join(PUBLISHED))
    parser.add_argument("--hidden", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--save", action="store_true", help="write benchmarks/results/density.json")
    asked = parser.parse_args()
    sources = {name: asked.data / f"{name}.npz" for name in asked.sets.split(",")}
    found = {name: str(path) for name, path in sources.items() if path.exists()} or {"digits": "digits"}
    rows = []
    print(HEAD, flush=True)
    for name, source in found.items():
        for seed in range(asked.seeds):
            rows.append(measure(source, name, asked.hidden, seed))
            print(line(rows[-1]), flush=True)
    if asked.save:
        RESULTS.mkdir(exist_ok=True)
        machine = {"processor": platform.processor(), "threads": torch.get_num_threads()}
        versions = {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "harmonium": hm.__version__,
        }
        text = json.dumps({"machine": machine | versions, "rows": rows}, indent=1)
        (RESULTS / "density.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
