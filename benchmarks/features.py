"""Features and classes, against what scikit-learn users have.

    python -m benchmarks.features                       the tables of what was measured so far
    python -m benchmarks.features --run [--only features,classes] [--more FOLDER] [--again METHOD]

Features: logistic regression (C by cross-validation among 0.001 … 10, a solver that converges) on raw
columns, on those of PCA, of scikit-learn's BernoulliRBM and of ours, as many of them for all; five folds.
Classes: our RBMClassifier against logistic regression, random forest, histogram boosting and naive Bayes on
tables of scikit-learn, and on those of FOLDER (NAME.npz with X and y, at most 1,500 rows of each to learn
from); 70 % of the rows, stratified. Test rows are whole, or lack 30 % of their cells: others get the means of
their columns there, boosting its own way with them. What is compared: -log P of the class, accuracy, and
calibration error (ten bins of the largest probability).
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from scipy.stats import rankdata
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import StratifiedKFold, cross_val_predict, train_test_split
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import BernoulliRBM as TheirRBM
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from benchmarks import _report
from harmonium.estimators import BernoulliRBM, RBMClassifier, RBMTransformer

Row = dict[str, Any]
Measured = Iterator[tuple[str, Row]]
LEAST = 1e-6  # probability that a wrong class has at least
MOST_ROWS = 1500
MISSING = 0.3


def tables(folder: Path | None) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """(name, columns, classes)."""
    for load in (load_iris, load_wine, load_breast_cancer, load_digits):
        x, y = load(return_X_y=True)
        yield load.__name__.removeprefix("load_"), x.astype(float), y
    for path in sorted(folder.glob("*.npz")) if folder else ():
        found = np.load(path)
        if found["y"].mean() > 0.04:  # classes of enough rows
            yield path.stem, found["X"].astype(float), found["y"].astype(int)


# -- features -----------------------------------------------------------------------------------------------


def feature_maps(columns: int, seed: int) -> dict[str, Any]:
    """What is put before the logistic regression, on columns between 0 and 1."""
    n = 100 if columns > 30 else 2 * columns
    return {
        "raw": None,
        "PCA": PCA(min(n, columns), random_state=seed),
        "scikit-learn's RBM": TheirRBM(n, learning_rate=0.06, n_iter=20, random_state=seed),
        "BernoulliRBM": BernoulliRBM(n, learning_rate=0.06, n_iter=20, random_state=seed),
        "RBMTransformer": RBMTransformer(n, random_state=seed),
    }


def chosen(methods: dict[str, Any], only: str | None) -> Iterator[tuple[str, Any]]:
    """All of them, or only the one of that name."""
    return ((name, found) for name, found in methods.items() if only in (None, name))


def features(name: str, x: np.ndarray, y: np.ndarray, seed: int, only: str | None = None) -> Measured:
    """Every feature map on one table."""
    x = MinMaxScaler().fit_transform(x)
    for method, found in chosen(feature_maps(x.shape[1], seed), only):
        begun = time.process_time()
        classifier = make_pipeline(
            StandardScaler(), LogisticRegressionCV(Cs=np.logspace(-3, 1, 5), max_iter=5000, cv=3)
        )
        whole = classifier if found is None else make_pipeline(found, classifier)
        folds = StratifiedKFold(5, shuffle=True, random_state=seed)
        p = cross_val_predict(whole, x, y, cv=folds, method="predict_proba")
        row = judged(y, p, np.unique(y)) | {"seconds": time.process_time() - begun}
        yield method, {"kind": "features", "table": name, "seed": seed, "method": method} | row


# -- classes ------------------------------------------------------------------------------------------------


def classifiers(seed: int) -> dict[str, Any]:
    """Ours and theirs, the latter with means in the place of what is missing."""
    fill = SimpleImputer()
    return {
        "RBMClassifier": RBMClassifier(random_state=seed),
        "logistic regression": make_pipeline(fill, LogisticRegression(max_iter=5000)),
        "random forest": make_pipeline(fill, RandomForestClassifier(300, random_state=seed)),
        "boosting": HistGradientBoostingClassifier(random_state=seed),
        "naive Bayes": make_pipeline(fill, GaussianNB()),
    }


def classes(name: str, x: np.ndarray, y: np.ndarray, seed: int, only: str | None = None) -> Measured:
    """Every classifier on one table, on whole rows and on rows with gaps."""
    most = min(int(0.7 * len(x)), MOST_ROWS)
    train, test, known, truth = train_test_split(
        x, y, train_size=most, test_size=min(len(x) - most, MOST_ROWS), stratify=y, random_state=seed
    )
    scale = StandardScaler().fit(train)
    train, test = scale.transform(train), scale.transform(test)
    gaps = np.where(np.random.default_rng(seed).random(test.shape) < MISSING, np.nan, test)
    for method, found in chosen(classifiers(seed), only):
        begun = time.process_time()
        found.fit(train, known)
        seconds = time.process_time() - begun
        for kind, rows in (("whole", test), ("gaps", gaps)):
            row = judged(truth, found.predict_proba(rows), np.unique(y)) | {"seconds": seconds}
            yield f"{method} / {kind}", {"kind": kind, "table": name, "seed": seed, "method": method} | row


def judged(y: np.ndarray, p: np.ndarray, labels: np.ndarray) -> Row:
    """Scores of probabilities."""
    p = np.clip(p, LEAST, None)
    p = p / p.sum(1, keepdims=True)
    sure, right = p.max(1), labels[p.argmax(1)] == y
    bins = np.minimum((10 * sure).astype(int), 9)
    apart = [abs(sure[bins == k].mean() - right[bins == k].mean()) * (bins == k).mean() for k in set(bins)]
    return {
        "loss": float(log_loss(y, p, labels=labels)),
        "accuracy": float(accuracy_score(y, labels[p.argmax(1)])),
        "calibration": float(sum(apart)),
    }


# -- the page -----------------------------------------------------------------------------------------------


def page(found: dict[str, Row]) -> str:
    """A table for features, one for whole rows and one for rows with gaps."""
    titles = {"features": "Features", "whole": "Classes, whole rows", "gaps": "Classes, rows with gaps"}
    parts = [table(title, [r for r in found.values() if r["kind"] == kind]) for kind, title in titles.items()]
    return "\n\n".join(part for part in parts if part) or "Nothing was measured yet."


def table(title: str, rows: list[Row]) -> str:
    """A line for each method: means over the cases that all have, and mean ranks."""
    methods = list(dict.fromkeys(r["method"] for r in rows))
    by = {(r["table"], r["seed"], r["method"]): r for r in rows}
    cases = sorted({(r["table"], r["seed"]) for r in rows})
    cases = [c for c in cases if all((*c, m) in by for m in methods)]
    if not cases:
        return ""
    ranks = np.mean([rankdata([by[(*c, m)]["loss"] for m in methods]) for c in cases], axis=0)
    lines = [
        f"## {title}: {len({c[0] for c in cases})} tables, {len(cases)} cases",
        "",
        "| method | -log P | rank (1 is best) | accuracy | calibration error | seconds |",
        "|---|---|---|---|---|---|",
    ]
    for m, rank in zip(methods, ranks, strict=True):
        own = [by[(*c, m)] for c in cases]
        values = [mean(r[k] for r in own) for k in ("loss", "accuracy", "calibration", "seconds")]
        lines.append(
            f"| {m} | {values[0]:.3f} | {rank:.2f} | {values[1]:.3f} | {values[2]:.3f} | {values[3]:.2g} |"
        )
    names = sorted({c[0] for c in cases})
    lines += ["", "-log P by table:", "", "| method | " + " | ".join(names) + " |"]
    lines.append("|---" * (len(names) + 1) + "|")
    for m in methods:
        cells = [f"{mean(by[(*c, m)]['loss'] for c in cases if c[0] == n):.3f}" for n in names]
        lines.append(f"| {m} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Measure what is missing, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--run", action="store_true", help="measure what isn't in features.json")
    parser.add_argument("--only", default="features,classes")
    parser.add_argument("--more", type=Path, help="a folder of further tables")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--tables", default="", help="their names; all by default")
    parser.add_argument("--again", help="a method that is measured anew where all were")
    asked = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    found = dict(_report.load("features")["rows"])
    works = {"features": features, "classes": classes}
    cases = [(w, t, int(s)) for s in asked.seeds.split(",") for t in tables(asked.more) for w in works]
    for work, (name, x, y), seed in cases if asked.run else ():
        done = any(key.startswith(f"{work} / {name} / {seed} / ") for key in found)
        wanted = work in asked.only.split(",") and (not asked.tables or name in asked.tables.split(","))
        if done != bool(asked.again) or not wanted or (work == "features" and name == "iris"):
            continue
        measured = works[work](name, x, y, seed, asked.again)
        found |= {f"{work} / {name} / {seed} / {m}": row for m, row in measured}
        results = {"machine": _report.machine(), "versions": _report.versions(), "rows": found}
        text = f"# Features and classes\n\n{_report.preamble(results)}\n{page(found)}\n"
        _report.save("features", results, text)
    print(page(found))


if __name__ == "__main__":
    main()
