"""What a monotone map of a skewed or bounded column is worth, on columns of real tables.

    python -m benchmarks.maps [FILE ...]

Tables come with scikit-learn; others are files .csv or .parquet. Of each column of real numbers that isn't
whole, the log-density of held-out cells (five folds) under a normal distribution of t(x), the slope of t
counted, is compared with that of t(x) = x: for the map that `columns.Number` chooses, and for a monotone
spline through empirical quantiles (normal scores at KNOTS of them, cubic Hermite by Fritsch & Carlson 1980,
linear beyond). Nats per cell, with the standard error over rows.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import interpolate, special
from sklearn import datasets

from harmonium.columns import maps
from harmonium.columns.facts import facts_of

TABLES = {
    "breast_cancer": datasets.load_breast_cancer,
    "wine": datasets.load_wine,
    "diabetes": datasets.load_diabetes,
}
KNOTS = (5, 9)
SKEWED = 1.0  # skewness from which a column counts as skewed


def spline_density(known: np.ndarray, x: np.ndarray, knots: int) -> np.ndarray:
    """log-density of `x` where the spline through quantiles of `known` is standard normal, (n,), nats."""
    levels = (np.arange(knots) + 0.5) / knots
    at, keep = np.unique(np.quantile(known, levels), return_index=True)
    if len(at) < 2:
        return np.full(len(x), -np.inf)
    scores = special.ndtri(levels)[keep]
    inner = interpolate.PchipInterpolator(at, scores)
    slope = inner.derivative()
    ends = [(scores[k + 1] - scores[k]) / (at[k + 1] - at[k]) for k in (0, len(at) - 2)]
    t, low, high = inner(np.clip(x, at[0], at[-1])), x < at[0], x > at[-1]
    t = t + np.where(low, ends[0] * (x - at[0]), 0.0) + np.where(high, ends[1] * (x - at[-1]), 0.0)
    with np.errstate(divide="ignore"):
        log_slope = np.log(np.maximum(slope(np.clip(x, at[0], at[-1])), 0.0))
    log_slope = np.where(low, np.log(ends[0]), np.where(high, np.log(ends[1]), log_slope))
    return log_slope - 0.5 * t**2 - 0.5 * np.log(2.0 * np.pi)


def held_out_spline(x: np.ndarray, knots: int) -> np.ndarray:
    """The same for cells of folds that the spline hasn't seen."""
    fold, found = np.arange(len(x)) % maps.FOLDS, np.empty(len(x))
    for k in range(maps.FOLDS):
        found[fold == k] = spline_density(x[fold != k], x[fold == k], knots)
    return np.maximum(found, -50.0)  # a fold may have no slope at a cell


def chosen(x: np.ndarray) -> np.ndarray:
    """The same for the map that a column gets, chosen and fitted without the fold."""
    fold, found = np.arange(len(x)) % maps.FOLDS, np.empty(len(x))
    for k in range(maps.FOLDS):
        known, mine = x[fold != k], x[fold == k]
        t = maps.fitted(known, maps.Map(), None)
        image, inside = t.forward(known), t.inside(mine)
        scale = float(image.std()) or 1.0
        safe = np.where(inside, mine, known.mean())
        z = (t.forward(safe) - image.mean()) / scale
        log_p = t.log_slope(safe) - 0.5 * z**2 - np.log(scale) - 0.5 * np.log(2.0 * np.pi)
        found[fold == k] = np.where(inside, log_p, -50.0)
    return found


def told(gains: list[np.ndarray]) -> str:
    """The mean over all cells, and its standard error from row to row."""
    rows = np.mean(gains, 0)
    return f"{rows.mean():+.3f} ± {rows.std() / len(rows) ** 0.5:.3f}"


def tables(files: list[Path]) -> Iterator[tuple[str, pd.DataFrame]]:
    """(name, rows that know all their numbers, in no order)."""
    for name, load in TABLES.items():
        yield name, load(as_frame=True).frame.drop(columns="target")
    for file in files:
        yield file.stem, pd.read_csv(file) if file.suffix == ".csv" else pd.read_parquet(file)


def main() -> None:
    """Print a line for each table and kind of column."""
    print(f"{'':34}{'chosen map':>18}" + "".join(f"{f'spline of {k}':>18}" for k in KNOTS))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", type=Path)
    for name, frame in tables(parser.parse_args().files):
        real = frame.select_dtypes("floating").dropna()
        real = real[[c for c in real if not facts_of(real[c]).whole]].sample(frac=1.0, random_state=0)
        columns: dict[str, list[np.ndarray]] = {"skewed": [], "other": []}
        for x in real.to_numpy(float).T:
            columns[
                "skewed" if abs(((x - x.mean()) ** 3).mean()) > SKEWED * x.std() ** 3 else "other"
            ].append(x)
        for kind, found in columns.items():
            if not found:
                continue
            straight = [maps.held_out(maps.Map(), x) for x in found]
            ways = [chosen, *(lambda x, k=k: held_out_spline(x, k) for k in KNOTS)]
            gains = [[way(x) - own for x, own in zip(found, straight, strict=True)] for way in ways]
            print(f"{name + ', ' + kind:24}{len(found):3} columns" + "".join(f"{told(g):>18}" for g in gains))


if __name__ == "__main__":
    main()
