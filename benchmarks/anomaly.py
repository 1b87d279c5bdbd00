"""Rows that don't belong, found by log P, against the detectors of PyOD.

    python -m benchmarks.anomaly                       the table of what was measured so far
    python -m benchmarks.anomaly --run FOLDER [--tables glass,wbc] [--seeds 1,2,3]

The protocol of ADBench (Han, Hu, Huang, Jiang & Zhao 2022): of the tables of FOLDER, NAME.npz with X and y
(1 for an anomaly), 70 % of the rows, stratified, are learned from without their labels, and the others are
scored. What is compared is the area under the ROC curve and the average precision, and the mean rank over
tables and seeds. All detectors are at their defaults; columns are standardised by the rows learned from.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from scipy.stats import rankdata
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import train_test_split

from benchmarks import _report
from benchmarks._anomaly_works import METHODS, MISSING
from benchmarks._workers import command
from harmonium.estimators import RBMOutlierDetector

OURS = "harmonium"
Row = dict[str, Any]


def scores(train: np.ndarray, test: np.ndarray, seed: int) -> dict[str, tuple[np.ndarray, float]]:
    """Of every method, how strange it finds the test rows, and its processor seconds."""
    begun = time.process_time()
    found = RBMOutlierDetector(random_state=seed).fit(train)
    ours = -found.score_samples(test)
    all_of_them = {OURS: (ours, time.process_time() - begun)}
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder) / "rows.npz", train=train, test=test)
        done = subprocess.run(
            [*command("peers", "_anomaly_works.py"), folder, str(seed)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == MISSING:
            print("PyOD isn't installed there")
        for line in done.stdout.splitlines():
            name, seconds = line.split()
            all_of_them[name] = np.load(Path(folder) / f"{name}.npy"), float(seconds)
    return all_of_them


def measure(path: Path, seed: int) -> dict[str, Row]:
    """Every method on one table."""
    table = np.load(path)
    x, y = table["X"].astype(float), table["y"].astype(int)
    train, test, _, truth = train_test_split(x, y, test_size=0.3, stratify=y, random_state=seed)
    deviation = np.where(train.std(0) > 0, train.std(0), 1.0)
    train, test = (train - train.mean(0)) / deviation, (test - train.mean(0)) / deviation
    return {
        name: {
            "table": path.stem,
            "seed": seed,
            "method": name,
            "roc": float(roc_auc_score(truth, np.nan_to_num(score))),
            "precision": float(average_precision_score(truth, np.nan_to_num(score))),
            "seconds": seconds,
        }
        for name, (score, seconds) in scores(train, test, seed).items()
    }


def page(found: dict[str, Row]) -> str:
    """A line for each method: means, mean ranks (1 is best), and how often it is the best."""
    methods = [m for m in (OURS, *METHODS) if any(r["method"] == m for r in found.values())]
    by = {(r["table"], r["seed"], r["method"]): r for r in found.values()}
    cases = sorted({(r["table"], r["seed"]) for r in found.values()})
    cases = [c for c in cases if all((*c, m) in by for m in methods)]
    if not cases:
        return "Nothing was measured yet."
    lines = [
        f"{len({c[0] for c in cases})} tables, {len(cases)} cases with the seeds; rank 1 is best.",
        "",
        "| method | AUC-ROC | rank | AUC-PR | rank | seconds |",
        "|---|---|---|---|---|---|",
    ]
    ranks = {
        key: np.mean([rankdata([-by[(*c, m)][key] for m in methods]) for c in cases], axis=0)
        for key in ("roc", "precision")
    }
    for k, m in enumerate(methods):
        own = [by[(*c, m)] for c in cases]
        lines.append(
            f"| {m} | {mean(r['roc'] for r in own):.3f} | {ranks['roc'][k]:.2f} |"
            f" {mean(r['precision'] for r in own):.3f} | {ranks['precision'][k]:.2f} |"
            f" {mean(r['seconds'] for r in own):.2g} |"
        )
    lines += ["", "AUC-ROC by table, mean over seeds:", ""]
    lines += ["| table | " + " | ".join(methods) + " |", "|---" * (len(methods) + 1) + "|"]
    for table in sorted({c[0] for c in cases}):
        seeds = [c for c in cases if c[0] == table]
        cells = [f"{mean(by[(*c, m)]['roc'] for c in seeds):.3f}" for m in methods]
        lines.append(f"| {table} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Measure what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--run", type=Path, help="folder of the tables")
    parser.add_argument("--tables", default="")
    parser.add_argument("--seeds", default="1,2,3")
    asked = parser.parse_args(arguments)
    found = dict(_report.load("anomaly")["rows"])
    if asked.run is not None:
        for seed in map(int, asked.seeds.split(",")):
            for path in sorted(asked.run.glob("*.npz")):
                wanted = not asked.tables or path.stem in asked.tables.split(",")
                if not wanted or f"{path.stem} / {seed} / {OURS}" in found:
                    continue
                found |= {f"{path.stem} / {seed} / {m}": row for m, row in measure(path, seed).items()}
                results = {"machine": _report.machine(), "versions": _report.versions(), "rows": found}
                text = f"# Anomalies\n\n{_report.preamble(results)}\n{page(found)}\n"
                _report.save("anomaly", results, text)
    print(page(found))


if __name__ == "__main__":
    main()
