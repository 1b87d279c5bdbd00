"""Tractable models on the density sets: hidden Chow-Liu trees, einsum networks, mixtures of Chow-Liu trees.

    python -m benchmarks.tractable                                    the table of what was measured so far
    python -m benchmarks.tractable --run [--data FOLDER] [--sets nltcs,plants] [--seconds 65] [--again]

Each is trained for --seconds of processor time on one thread on the training rows, chosen by the validation
rows, and measured exactly; the settings are in MODELS, whose it is in RACES. HARMONIUM_PEERS names a Python
that has spflow. Beside them stands the default call of `benchmarks.density`, where it has been measured. What
was measured is kept in benchmarks/results/tractable.json, a row for each number of seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import _report
from benchmarks._workers import MISSING, command
from harmonium import data

MODELS: dict[str, dict[str, Any]] = {
    "hidden Chow-Liu tree, 16 states": {"model": "hclt", "states": 16, "rate": 0.05, "batch": 256},
    "einsum network, depth 3, 10 sums, 8 repetitions": {
        "model": "einet",
        "depth": 3,
        "sums": 10,
        "repetitions": 8,
        "rate": 0.02,
        "batch": 256,
    },
    "continuous mixture of Chow-Liu trees, 1,024 points": {
        "model": "mixture",
        "latent": 4,
        "layers": 6,
        "points": 1024,
        "rate": 0.005,
        "point_rate": 0.01,
        "batch": 128,
        "share": 0.2,
    },
}
RACES = {
    "hclt": ("spflow", "_spflow_race.py"),
    "einet": ("spflow", "_spflow_race.py"),
    "mixture": ("torch", "_mixtures_race.py"),
}
"""The library that each kind of model needs, and its script."""
PARTS = ("train", "valid", "test")
HEAD = "| data | model | CPU s | passes or steps | train | valid | test |\n|---|---|---|---|---|---|---|"
Row = dict[str, Any]


def measure(rows: Any, settings: Row, seconds: float) -> Row | None:
    """What one model reaches, or None where its library is missing."""
    library, race = RACES[settings["model"]]
    with tempfile.TemporaryDirectory() as folder:
        file, out = Path(folder) / "rows.npz", Path(folder) / "found.json"
        np.savez(file, **{part: getattr(rows, part) for part in PARTS})
        script = [*command(library, race), str(file), str(out), str(seconds)]
        text = json.dumps(settings | {"seed": 0})
        one = os.environ | {"OMP_NUM_THREADS": "1"}
        status = subprocess.run([*script, text], check=False, env=one).returncode
        if status == MISSING:
            return None
        if status:
            raise RuntimeError(f"{race} ended with status {status}")
        return dict(json.loads(out.read_text(encoding="utf-8")))


def line(row: Row) -> str:
    """One measurement."""
    cells = [row["data"], row["model"], f"{row['cpu_seconds']:.0f}", f"{row['steps']:,}"]
    return "| " + " | ".join([*cells, *(f"{row[part]:.3f}" for part in PARTS)]) + " |"


def own(name: str) -> list[str]:
    """The default call's line on this data set."""
    kept = _report.load("density")["rows"].get(f"{name} / harmonium / defaults / 100 / 0")
    if kept is None:
        return []
    values = {part: kept[part]["value"] for part in PARTS}
    told = {"data": name, "model": "harmonium, 100 hidden units", "steps": kept["updates"]}
    return [line(told | {"cpu_seconds": kept["cpu_seconds"]} | values)]


def page(rows: dict[str, Row]) -> str:
    """All that was measured, by data set."""
    names = dict.fromkeys(row["data"] for row in rows.values())
    lines = [HEAD]
    for name in names:
        lines += own(name) + [line(row) for row in rows.values() if row["data"] == name]
    return "\n".join(lines) + "\n"


def keep(rows: dict[str, Row]) -> None:
    """Write what is known by now."""
    results = {"machine": _report.machine(), "versions": _report.versions(), "rows": rows}
    _report.save("tractable", results, f"# Tractable models\n\n{_report.preamble(results)}\n{page(rows)}")


def main(arguments: list[str] | None = None) -> None:
    """Measure what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--run", action="store_true", help="measure what isn't in tractable.json")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--sets", default="nltcs,plants")
    parser.add_argument("--models", default="", help="only models whose name holds this")
    parser.add_argument("--seconds", type=float, default=65.0, help="of processor time for each")
    parser.add_argument("--again", action="store_true", help="also what is there already")
    asked = parser.parse_args(arguments)
    found = dict(_report.load("tractable")["rows"])
    for name in asked.sets.split(",") if asked.run else []:
        for model, settings in MODELS.items():
            key = f"{name} / {model} / {asked.seconds:g} s"
            path = asked.data / f"{name}.npz"
            if asked.models not in model or not path.exists() or (key in found and not asked.again):
                continue
            row = measure(data.load(str(path)), settings, asked.seconds)
            if row is None:
                print(f"{model}: its library isn't installed", file=sys.stderr)
                continue
            found[key] = {"data": name, "model": model} | row
            keep(found)
            print(line(found[key]), flush=True)
    print(page(found))


if __name__ == "__main__":
    main()
