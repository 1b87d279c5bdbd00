"""Do the intervals of log Z hold? Models whose log Z is known, many seeds, and how often each interval has
it.

    python -m benchmarks.calibration --seeds 40
    python -m benchmarks.calibration --seeds 4 --cases torus-16 --no-ais

For every case the table says how far the estimates are off on average (bias), how they scatter (sd), how wide
the intervals are, how many of them hold the truth, and what one estimate costs. Beside it stands annealed
importance sampling as it is commonly done, at the same cost in processor time: independent units of the
    model's own biases,
evenly spaced temperatures, 128 chains, ±1.96 standard errors across chains.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import harmonium as hm
from harmonium import kernels
from harmonium.likelihood.annealing import annealed_importance_sampling
from harmonium.random import Address, Purpose

CRITICAL = 0.5 * math.log(1.0 + math.sqrt(2.0))
AIS_CHAINS = 128
RESULTS = Path(__file__).parent / "results"

Case = Callable[[], tuple[hm.RBM, float]]


# ---------------------------------------------------------------- models whose log Z has a formula
def kaufman(rows: int, columns: int, k: float) -> float:
    """log Z of the Ising torus with spins ±1 at coupling k (Kaufman 1949)."""

    def gamma(j: int) -> float:
        if j == 0:
            return 2 * k + math.log(math.tanh(k))
        return math.acosh(math.cosh(2 * k) / math.tanh(2 * k) - math.cos(math.pi * j / columns))

    half = 0.5 * rows * np.array([[gamma(2 * j + 1), gamma(2 * j)] for j in range(columns)])
    size = np.abs(half)
    log_cosh = (size + np.log1p(np.exp(-2 * size))).sum(0)
    log_sinh = (size + np.log(-np.expm1(-2 * size))).sum(0)
    sign = np.sign(half).prod(0)
    logs = np.concatenate([log_cosh, log_sinh])
    signs = np.concatenate([np.ones(2), sign])
    top = logs.max()
    total = float((signs * np.exp(logs - top)).sum())
    return -math.log(2) + 0.5 * rows * columns * math.log(2 * math.sinh(2 * k)) + float(top) + math.log(total)


@torch.no_grad()
def torus(side: int, k: float) -> tuple[hm.RBM, float]:
    """The torus as an RBM of 0/1 units: black sites visible, white ones hidden, weight 4k, biases -8k."""
    sites = [(i, j) for i in range(side) for j in range(side)]
    number = {s: n for colour in (0, 1) for n, s in enumerate(s for s in sites if sum(s) % 2 == colour)}
    half = side * side // 2
    rbm = hm.RBM(visible=hm.Bernoulli(half), hidden=hm.Bernoulli(half))
    rbm.weight.zero_()
    for i, j in sites:
        if (i + j) % 2 == 0:
            for di, dj in ((0, 1), (1, 0), (0, -1), (-1, 0)):
                rbm.weight[number[i, j], number[(i + di) % side, (j + dj) % side]] += 4 * k
    rbm.visible.bias.fill_(-8 * k)
    rbm.hidden.bias.fill_(-8 * k)
    return rbm, kaufman(side, side, k) - 2 * side * side * k


@torch.no_grad()
def ring(n: int, k: float, h: float) -> tuple[hm.RBM, float]:
    """The ring of spins in a field, even sites visible: log Z from its transfer matrix."""
    rbm = hm.RBM(visible=hm.Spin(n // 2), hidden=hm.Spin(n // 2))
    rbm.weight.copy_(k * (torch.eye(n // 2) + torch.eye(n // 2).roll(1, 0)))
    rbm.visible.bias.fill_(h)
    rbm.hidden.bias.fill_(h)
    root = math.sqrt(math.exp(2 * k) * math.sinh(h) ** 2 + math.exp(-2 * k))
    large, small = (math.exp(k) * math.cosh(h) + s * root for s in (1, -1))
    return rbm, n * math.log(large) + math.log1p((small / large) ** n)


@torch.no_grad()
def hopfield(n: int, beta: float, patterns: int) -> tuple[hm.RBM, float]:
    """exp(β Σ (ξ·s)²/2n) with one pattern (Curie-Weiss) or two orthogonal ones, each a Gaussian hidden
    unit.
    """
    pattern = torch.ones(n, patterns)
    pattern[n // 2 :, 1:] = -1
    rbm = hm.RBM(visible=hm.Spin(n), hidden=hm.Gaussian(patterns))
    rbm.weight.copy_(pattern * math.sqrt(beta / n))
    size = n // patterns  # with two patterns the sums over both halves of the spins decide
    ups = np.arange(size + 1)
    log_count = np.array(
        [math.lgamma(size + 1) - math.lgamma(u + 1) - math.lgamma(size - u + 1) for u in ups]
    )
    m = 2.0 * ups - size
    if patterns == 1:
        terms = log_count + beta * m**2 / (2 * n)
    else:
        squares = (m[:, None] + m[None]) ** 2 + (m[:, None] - m[None]) ** 2
        terms = (log_count[:, None] + log_count[None] + beta * squares / (2 * n)).ravel()
    log_z = float(terms.max() + np.log(np.exp(terms - terms.max()).sum()))
    return rbm, log_z + 0.5 * patterns * math.log(2 * math.pi)


# ---------------------------------------------------------------- models small enough for an exact sum
def normal(seed: int, *shape: int) -> Tensor:
    """Standard normal numbers at an address of their own."""
    columns = math.prod(shape[1:])
    u = kernels.uniform(Address(seed, Purpose.TRIAL), (shape[0], columns), torch.float64)
    return torch.special.ndtri(u).float().reshape(shape)


def summed(rbm: hm.RBM) -> tuple[hm.RBM, float]:
    """The model with its exact log Z."""
    return rbm, hm.log_partition(rbm, method="exact").value


@torch.no_grad()
def random_couplings(scale: float) -> tuple[hm.RBM, float]:
    """100 visible and 16 hidden units, normal couplings and biases."""
    rbm = hm.RBM(visible=hm.Bernoulli(100), hidden=hm.Bernoulli(16))
    rbm.weight.copy_(scale * normal(1, 100, 16))
    rbm.visible.bias.copy_(0.5 * normal(2, 100, 1)[:, 0])
    rbm.hidden.bias.copy_(0.5 * normal(3, 16, 1)[:, 0])
    return summed(rbm)


@torch.no_grad()
def planted(patterns: int, strength: float) -> tuple[hm.RBM, float]:
    """Hidden units that each stand for a random pattern of 100 visible ones, in the symmetric gauge: many
    modes.
    """
    rbm = hm.RBM(visible=hm.Bernoulli(100), hidden=hm.Bernoulli(patterns))
    rbm.weight.copy_(4 * strength * torch.sign(normal(4, 100, patterns)))
    rbm.visible.bias.copy_(-0.5 * rbm.weight.sum(1))
    rbm.hidden.bias.copy_(-0.5 * rbm.weight.sum(0))
    return summed(rbm)


def bars_and_stripes(side: int) -> Tensor:
    """All patterns of bars and of stripes on a square."""
    bits = torch.tensor([[m >> i & 1 for i in range(side)] for m in range(2**side)], dtype=torch.float32)
    bars, stripes = bits[:, :, None].expand(-1, -1, side), bits[:, None, :].expand(-1, side, -1)
    return torch.cat([bars, stripes]).reshape(-1, side * side)


def digits() -> Tensor:
    """Scanned digits of 8 × 8 pixels, those above half on."""
    from sklearn.datasets import load_digits

    return torch.from_numpy((load_digits().data > 7.5).astype(np.float32))


def trained(x: Tensor, hidden: int, steps: int) -> tuple[hm.RBM, float]:
    """An RBM after maximum-likelihood learning on the rows of x."""
    rbm = hm.RBM(visible=hm.Bernoulli(x.shape[1]), hidden=hm.Bernoulli(hidden))
    hm.fit(rbm, x, steps=steps, seed=0, progress=False)
    return summed(rbm)


CASES: dict[str, Case] = {
    "torus-16 K=0.3": lambda: torus(16, 0.3),
    "torus-16 K_c": lambda: torus(16, CRITICAL),
    "torus-16 K=0.6": lambda: torus(16, 0.6),
    "torus-32 K=0.3": lambda: torus(32, 0.3),
    "torus-32 K_c": lambda: torus(32, CRITICAL),
    "ring-100 K=0.5": lambda: ring(100, 0.5, 0.0),
    "ring-100 K=1 h=0.1": lambda: ring(100, 1.0, 0.1),
    "Curie-Weiss-100 0.5": lambda: hopfield(100, 0.5, 1),
    "Curie-Weiss-100 1.2": lambda: hopfield(100, 1.2, 1),
    "Hopfield-200 0.5": lambda: hopfield(200, 0.5, 2),
    "Hopfield-200 1.2": lambda: hopfield(200, 1.2, 2),
    "random weak": lambda: random_couplings(0.1),
    "random medium": lambda: random_couplings(0.5),
    "random strong": lambda: random_couplings(2.0),
    "planted-8": lambda: planted(8, 0.5),
    "bars and stripes": lambda: trained(bars_and_stripes(4), 12, 6000),
    "digits": lambda: trained(digits(), 16, 4000),
}


# ---------------------------------------------------------------- measuring
def cpu_seconds() -> float:
    """Processor time of this process, all threads."""
    return time.process_time()


def one(rbm: hm.RBM, truth: float, seed: int, ais: bool) -> dict[str, Any]:
    """One estimate, and annealed importance sampling at the same cost."""
    wall, cpu = time.perf_counter(), cpu_seconds()
    e = hm.log_partition(rbm, method="annealed", seed=seed)
    wall, cpu = time.perf_counter() - wall, cpu_seconds() - cpu
    row = {"seed": seed, "error": e.value - truth, "stderr": e.stderr, "width": e.high - e.low}
    row |= {"holds": e.low <= truth <= e.high, "warnings": list(e.warnings), "seconds": wall, "cpu": cpu}
    if ais:
        begun = cpu_seconds()
        annealed_importance_sampling(rbm, 60, AIS_CHAINS, seed)
        temperatures = max(60, int(60 * cpu / max(cpu_seconds() - begun, 1e-6)))
        plain = annealed_importance_sampling(rbm, temperatures, AIS_CHAINS, seed)
        row |= {"ais_error": plain.value - truth, "ais_stderr": plain.stderr}
        row |= {"ais_holds": plain.low <= truth <= plain.high, "ais_temperatures": temperatures}
    return row


def line(name: str, rows: list[dict[str, Any]]) -> str:
    """One line of the table."""
    error, width = np.array([r["error"] for r in rows]), np.mean([r["width"] for r in rows])
    cells = [name, f"{error.mean():+.3f}", f"{error.std(ddof=1) if len(rows) > 1 else math.nan:.3f}"]
    cells += [f"{width:.3f}", f"{sum(r['holds'] for r in rows)}/{len(rows)}"]
    cells += [f"{sum(bool(r['warnings']) for r in rows)}", f"{np.median([r['cpu'] for r in rows]):.1f}"]
    if "ais_error" in rows[0]:
        plain = np.array([r["ais_error"] for r in rows])
        cells += [f"{plain.mean():+.3f}", f"{np.sqrt((plain**2).mean()):.3f}"]
        cells += [f"{np.mean([2 * 1.96 * r['ais_stderr'] for r in rows]):.3f}"]
        cells += [f"{sum(r['ais_holds'] for r in rows)}/{len(rows)}"]
    return "| " + " | ".join(cells) + " |"


def heading(ais: bool) -> str:
    """The head of the table."""
    names = ["case", "bias", "sd", "width", "holds", "warned", "CPU s"]
    names += ["AIS bias", "AIS rms", "AIS width", "AIS holds"] if ais else []
    return "| " + " | ".join(names) + " |\n|" + "---|" * len(names)


def main(arguments: list[str] | None = None) -> None:
    """Run the cases and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=4, help="estimates per case (default 4)")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument(
        "--cases", default="", help="only cases whose names contain one of these, comma between"
    )
    parser.add_argument("--no-ais", action="store_true", help="leave out plain annealed importance sampling")
    parser.add_argument("--save", action="store_true", help="write benchmarks/results/calibration.json")
    chosen = parser.parse_args([] if arguments is None else arguments)
    parts = [part for part in chosen.cases.split(",") if part]
    threads = torch.get_num_threads()
    print(
        f"{chosen.seeds} seeds from {chosen.first_seed}, {threads} threads, {os.cpu_count()} processors,"
        " nats\n"
    )
    print(heading(not chosen.no_ais), flush=True)
    results: dict[str, Any] = {}
    for name, case in CASES.items():
        if parts and not any(part in name for part in parts):
            continue
        rbm, truth = case()
        seeds = range(chosen.first_seed, chosen.first_seed + chosen.seeds)
        results[name] = [one(rbm, truth, seed, not chosen.no_ais) for seed in seeds]
        print(line(name, results[name]), flush=True)
    if chosen.save:
        save(results, threads)


def save(results: dict[str, Any], threads: int) -> None:
    """Keep every single estimate, and on what machine they were made."""
    RESULTS.mkdir(exist_ok=True)
    about = {"threads": threads, "processors": os.cpu_count(), "machine": platform.machine()}
    about |= {"torch": torch.__version__, "python": platform.python_version()}
    (RESULTS / "calibration.json").write_text(json.dumps({"about": about, "cases": results}, indent=1))


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
