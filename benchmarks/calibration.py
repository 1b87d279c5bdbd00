"""Do the intervals of log Z hold? Models whose log Z is known, many seeds, and how often each interval has
it.

    python -m benchmarks.calibration                          the table of what was measured so far
    python -m benchmarks.calibration --seeds 40               measure what results/calibration.csv lacks
    python -m benchmarks.calibration --seeds 40 --limit 170   the same in pieces: stop after so many seconds
    python -m benchmarks.calibration --seeds 4 --first-seed 1000 --cases 16x16 --file other.csv

For every case the table says how far the estimates are off on average (bias), how they scatter (sd), how wide
the intervals are, how many of them hold the truth, and what one estimate costs: less than the default, so
that all fits into an hour. Beside it stands annealed importance sampling as it is commonly done, at the same
cost in processor time: independent units of the model's own biases, evenly spaced temperatures, 128 chains,
±1.96 standard errors across chains.

A second table has the errors divided by their stated standard errors, z, of all cases and by kind. A standard
error comes from groups of chains, of which there are 8 to 16, so that z is one of Student's with a degree of
freedom less than groups, where all is well. P is how often an Anderson-Darling statistic as large as the one
found comes about then.
"""

from __future__ import annotations

import argparse
import csv
import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from harmonium import testsystems as known
from harmonium.likelihood.annealing import annealed_importance_sampling
from harmonium.likelihood.partition import annealed_log_partition
from harmonium.likelihood.tempered import Budget, warm_up

AIS_CHAINS = 128
RESULTS = Path(__file__).parent / "results" / "calibration.csv"

# the work of one estimate, in seconds of one core of a common server (8 by default), and the model
CASES: dict[str, tuple[float, Callable[[], known.KnownModel]]] = {
    "torus 16x16, K = 0.3": (1.5, lambda: known.torus(16, 0.3)),
    "torus 16x16, K_c": (4.0, lambda: known.torus(16, known.CRITICAL)),
    "torus 16x16, K = 0.6": (4.0, lambda: known.torus(16, 0.6)),
    "torus 32x32, K = 0.3": (5.0, lambda: known.torus(32, 0.3)),
    "torus 32x32, K_c": (4.0, lambda: known.torus(32, known.CRITICAL)),
    "ring of 100, K = 0.5": (0.5, lambda: known.ring(100, 0.5, 0.0)),
    "ring of 100, K = 1, h = 0.1": (0.8, lambda: known.ring(100, 1.0, 0.1)),
    "Curie-Weiss 100, beta = 0.5": (0.5, lambda: known.curie_weiss(100, 0.5)),
    "Curie-Weiss 100, beta = 1.2": (0.8, lambda: known.curie_weiss(100, 1.2)),
    "Hopfield 200, beta = 0.5": (0.5, lambda: known.hopfield(200, 0.5)),
    "Hopfield 200, beta = 1.2": (0.8, lambda: known.hopfield(200, 1.2)),
    "random couplings, weak": (0.5, lambda: known.random_couplings(0.1)),
    "random couplings, medium": (0.8, lambda: known.random_couplings(0.5)),
    "random couplings, strong": (0.8, lambda: known.random_couplings(2.0)),
    "8 planted patterns": (1.0, lambda: known.planted(8, 0.5)),
    "trained on bars and stripes": (1.0, lambda: known.trained(known.bars_and_stripes(4), 12, 6000)),
    "trained on digits": (1.0, lambda: known.trained(digits(), 16, 4000)),
    "torus 20x10, K = 0.6, h = 0.01": (2.0, lambda: known.magnet(20, 10, 0.6, 0.01)),
    "torus 60x4, K = 0.8": (3.0, lambda: known.magnet(60, 4, 0.8, 0.0)),
    "torus 20x10, K = -0.5, h = 0.3": (1.0, lambda: known.magnet(20, 10, -0.5, 0.3)),
    "random field 20x10, K = 0.7": (2.0, lambda: known.random_field(20, 10, 0.7, 0.5)),
    "spin glass 20x10, K = 1": (2.0, lambda: known.spin_glass(20, 10, 1.0, 0.0)),
    "spin glass 20x10, K = 2, h = 0.2": (3.0, lambda: known.spin_glass(20, 10, 2.0, 0.2)),
    "12 unequal planted patterns": (1.0, lambda: known.unequal(12, 1.0, 1.0)),
    "Potts 60, beta = 2.8": (0.6, lambda: known.potts(60, 2.8)),
    "Potts 200, beta = 2.8": (1.0, lambda: known.potts(200, 2.8)),
    "two wells, 0.16 : 0.84": (0.6, lambda: known.unequal(1, 1.0, 0.3)),
    "two wells, 0.008 : 0.992": (0.6, lambda: known.unequal(1, 1.0, 1.0)),
}

KINDS: dict[str, tuple[str, ...]] = {  # parts of the names
    "weak": ("K = 0.3", "K = 0.5", "beta = 0.5", "weak", "medium"),
    "critical": ("K_c",),
    "ordered, two or more modes": (
        "16x16, K = 0.6",
        "beta = 1.2",
        "h = 0.1",
        "h = 0.01",
        "K = 0.8",
        "K = -0.5",
        "strong",
    ),
    "first order": ("Potts", "two wells"),
    "disordered": ("random field", "spin glass"),
    "planted": ("planted",),
    "trained": ("trained",),
}

Row = dict[str, float]
FIELDS = ("error", "stderr", "width", "holds", "groups", "warned", "seconds", "cpu")
AIS_FIELDS = ("ais_error", "ais_stderr", "ais_holds", "ais_temperatures")


def digits() -> Tensor:
    """Scanned digits of 8 × 8 pixels, those above half on."""
    from sklearn.datasets import load_digits

    return torch.from_numpy((load_digits().data > 7.5).astype(np.float32))


# ---------------------------------------------------------------- measuring
def one(right: known.KnownModel, work: float, seed: int, ais: bool) -> Row:
    """One estimate, and annealed importance sampling at the same cost."""
    rbm, truth = right.model, right.log_partition
    wall, cpu = time.perf_counter(), time.process_time()
    e = annealed_log_partition(rbm, Budget(work), seed)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    row: Row = {"error": e.value - truth, "stderr": e.stderr, "width": e.high - e.low}
    row |= {"holds": e.low <= truth <= e.high, "groups": e.details["groups"]}
    row |= {"warned": len(e.warnings), "seconds": wall, "cpu": cpu}
    if ais:
        begun = time.process_time()
        annealed_importance_sampling(rbm, 60, AIS_CHAINS, seed)
        temperatures = max(60, int(60 * cpu / max(time.process_time() - begun, 1e-6)))
        plain = annealed_importance_sampling(rbm, temperatures, AIS_CHAINS, seed)
        row |= {"ais_error": plain.value - truth, "ais_stderr": plain.stderr}
        row |= {"ais_holds": plain.low <= truth <= plain.high, "ais_temperatures": temperatures}
    return row


def read(path: Path) -> dict[str, dict[int, Row]]:
    """What was measured so far, by case and seed."""
    found: dict[str, dict[int, Row]] = {}
    if path.exists():
        with path.open(newline="") as file:
            for record in csv.DictReader(file):
                case, seed = record.pop("case"), int(record.pop("seed"))
                found.setdefault(case, {})[seed] = {k: float(v) for k, v in record.items() if v}
    return found


def write(path: Path, results: dict[str, dict[int, Row]]) -> None:
    """Keep every single estimate."""
    path.parent.mkdir(exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("case", "seed", *FIELDS, *AIS_FIELDS))
        for case in sorted(results, key=list(CASES).index):
            for seed, row in sorted(results[case].items()):
                cells = [f"{row[k]:.4g}" if k in row else "" for k in (*FIELDS, *AIS_FIELDS)]
                writer.writerow((case, seed, *cells))


def extend(results: dict[str, dict[int, Row]], chosen: argparse.Namespace) -> None:
    """Measure what is missing, case by case, until the time is over."""
    begun = time.perf_counter()
    parts = [part for part in chosen.cases.split(",") if part]
    seeds = range(chosen.first_seed, chosen.first_seed + chosen.seeds)
    for name, (work, case) in CASES.items():
        rows = results.setdefault(name, {})
        missing = [seed for seed in seeds if seed not in rows]
        if not missing or (parts and not any(part in name for part in parts)):
            continue
        right = case()
        warm_up(right.model)  # compiling is no cost of an estimate, nor time for annealing
        for seed in missing:
            if time.perf_counter() - begun > chosen.limit:
                return
            rows[seed] = one(right, work, seed, ais=seed - chosen.first_seed < chosen.ais)
            write(chosen.file, results)


# ---------------------------------------------------------------- the table
def line(name: str, rows: list[Row]) -> str:
    """One line of the table."""
    error = np.array([r["error"] for r in rows])
    scatter = error.std(ddof=1) if len(rows) > 1 else np.nan
    cells = [name, f"{error.mean():+.3f}", f"{scatter:.3f}", f"{np.mean([r['width'] for r in rows]):.3f}"]
    cells += [f"{sum(r['holds'] for r in rows):.0f}/{len(rows)}"]
    cells += [f"{sum(r['warned'] > 0 for r in rows)}", f"{np.median([r['cpu'] for r in rows]):.1f}"]
    ais = [r for r in rows if "ais_error" in r]
    if ais:
        off = np.array([r["ais_error"] for r in ais])
        cells += [f"{off.mean():+.3f}", f"{np.mean([2 * 1.96 * r['ais_stderr'] for r in ais]):.3f}"]
        cells += [f"{sum(r['ais_holds'] for r in ais):.0f}/{len(ais)}"]
    else:
        cells += ["", "", ""]
    return "| " + " | ".join(cells) + " |"


def table(results: dict[str, dict[int, Row]]) -> str:
    """Everything measured, in Markdown."""
    names = ["case", "bias", "sd", "width", "holds", "warned", "CPU s", "AIS bias", "AIS width", "AIS holds"]
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    return "\n".join(lines + [line(k, list(results[k].values())) for k in CASES if results.get(k)])


def anderson_darling(u: np.ndarray) -> tuple[float, float]:
    """(Statistic A² of n numbers that should be uniform, the probability of a larger one).

    The probability is that of long samples (Marsaglia & Marsaglia, J. Stat. Softw. 9, 2004), within 0.005 of
    the right one from 8 numbers on.
    """
    n, u = len(u), np.clip(np.sort(u), 1e-15, 1 - 1e-15)
    weights = 2 * np.arange(n) + 1
    a = float(-n - (weights * (np.log(u) + np.log1p(-u[::-1]))).mean())
    if a < 2:
        series = (2.00012, 0.247105, -0.0649821, 0.0347962, -0.011672, 0.00168691)
        below = math.exp(-1.2337141 / a) / math.sqrt(a) * sum(c * a**i for i, c in enumerate(series))
    else:
        series = (1.0776, -2.30695, 0.43424, -0.082433, 0.008056, -0.0003146)
        below = math.exp(-math.exp(sum(c * a**i for i, c in enumerate(series))))
    return a, 1.0 - below


def kind(name: str) -> str:
    """Of what kind a case is."""
    return next(k for k, parts in KINDS.items() if any(part in name for part in parts))


def z_line(name: str, rows: list[Row]) -> str:
    """One line of the table of errors in standard errors."""
    from scipy.stats import t

    error, stderr, groups = (np.array([r[k] for r in rows]) for k in ("error", "stderr", "groups"))
    z = error / stderr
    a, p = anderson_darling(t.cdf(z, groups - 1))
    expected = math.sqrt(float(np.mean((groups - 1) / (groups - 3))))
    cells = [name, f"{len(z)}", f"{z.mean():+.2f}", f"{math.sqrt((z**2).mean()):.2f} ({expected:.2f})"]
    cells += [f"{a:.2f}", f"{p:.4f}", f"{np.mean([r['holds'] for r in rows]):.1%}"]
    return "| " + " | ".join(cells) + " |"


def z_table(results: dict[str, dict[int, Row]]) -> str:
    """Errors divided by their stated standard errors, against Student's distribution, in Markdown."""
    names = ["kind", "estimates", "mean z", "root mean square of z (expected)", "A²", "P", "holds"]
    by_kind: dict[str, list[Row]] = {k: [] for k in KINDS}
    by_case = {}
    for name in CASES:
        rows = [r for r in results.get(name, {}).values() if "groups" in r]
        by_kind[kind(name)] += rows
        if len(rows) > 1:
            by_case[name] = rows
    groups = {"all": [r for rows in by_kind.values() for r in rows], **by_kind, **by_case}
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    return "\n".join(lines + [z_line(k, rows) for k, rows in groups.items() if len(rows) > 1])


def main(arguments: list[str] | None = None) -> None:
    """Measure what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=0, help="estimates per case (default: none, only print)")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--cases", default="", help="only cases whose names hold one of these, comma between")
    parser.add_argument("--ais", type=int, default=10, help="plain annealing for so many seeds (default 10)")
    parser.add_argument("--limit", type=float, default=float("inf"), help="stop after so many seconds")
    parser.add_argument("--file", type=Path, default=RESULTS, help="where the results are kept")
    chosen = parser.parse_args([] if arguments is None else arguments)
    results = read(chosen.file)
    if chosen.seeds:
        extend(results, chosen)
    print(table(results), z_table(results), sep="\n\n")


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
