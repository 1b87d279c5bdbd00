"""Test log-likelihoods that the default call reaches on density benchmarks, beside other libraries'.

    python -m benchmarks.density                       the tables of what was measured so far
    python -m benchmarks.density --run --sets nltcs,plants --seeds 0,1,2,3,4
    python -m benchmarks.density --run --libraries harmonium,rbms,sklearn [--again]
    python -m benchmarks.density --run --sets plants --hidden 200,chosen --minutes 6

--data is a folder of .npz files with 0/1 arrays `train`, `valid` and `test`, such as those of the DEBD
collection; without one the bundled digits are measured. Each model of harmonium is trained by
`hm.fit(rbm, train, validation=valid, seed=seed)` and nothing else: selection is on the validation rows, the
test rows are read once. The peers then get as many seconds of processor time, on one thread like harmonium,
at their own defaults and at the settings in PEERS, and their last models are measured in the same way. What
was measured is kept in benchmarks/results/density.json row by row and not measured again, unless --again
says so. HARMONIUM_PEERS names a Python that has the peers. With --minutes harmonium's call gets `minutes=`,
counted in processor time, and --hidden chosen leaves the model to `hm.fit(train, validation=valid)`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean, stdev
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

import harmonium as hm
from benchmarks import _report
from benchmarks._race import machine
from benchmarks._workers import MISSING, command
from harmonium import data
from harmonium.likelihood.exact import exact_log_partition
from harmonium.likelihood.partition import annealed_log_partition
from harmonium.likelihood.tempered import Budget
from harmonium.recipes import model_choice
from harmonium.recipes.run import learning_rate

PUBLISHED = {
    "nltcs": (-5.99, "HCLT"),
    "plants": (-12.26, "mixture of Chow-Liu trees"),
    "baudio": (-39.02, "mixture of Chow-Liu trees"),
    "accidents": (-26.74, "HCLT"),
}
"""Figures of tractable models, as remembered from the literature; there may be better ones."""
PEERS: dict[str, dict[str, dict[str, float]]] = {
    "rbms": {
        f"rate {rate}, {rows} rows and chains, PCD-{k}": dict(
            learning_rate=rate, batch=rows, chains=rows, k=k, every=20
        )
        for rate, rows, k in [
            (0.05, 256, 5),
            (0.02, 256, 5),
            (0.1, 512, 2),
            (0.2, 512, 1),
            (0.1, 256, 5),
            (0.2, 256, 5),
            (0.4, 512, 1),
            (0.8, 512, 1),
            (0.4, 512, 2),
        ]
    }
    | {"defaults": dict(learning_rate=0.01, batch=2000, chains=2000, k=100, every=1)},
    "sklearn": {
        f"rate {rate}, {rows} rows": dict(learning_rate=rate, batch=rows, every=1)
        for rate, rows in [
            (0.05, 128),
            (0.02, 64),
            (0.01, 32),
            (0.02, 128),
            (0.05, 32),
            (0.1, 64),
            (0.1, 256),
        ]
    }
    | {"defaults": dict(learning_rate=0.1, batch=10, every=1)},
}
"""Settings tried; scikit-learn's own number of epochs, 10, is left aside for the sake of equal times."""
CHOSEN = "chosen"
TITLES = {"harmonium": "harmonium", "rbms": "rbms", "sklearn": "scikit-learn"}
PARTS = ("train", "valid", "test")
Row = dict[str, Any]
Rows = dict[str, Row]


# ---------------------------------------------------------------- training
def count_own_time() -> None:
    """Let `minutes=` count the processor time of this process, whatever else the machine does."""
    clock: Any = SimpleNamespace(monotonic=time.process_time)
    model_choice.time = learning_rate.time = clock


def train_default(rows: Any, head: Row, minutes: float | None) -> tuple[hm.RBM, Row]:
    """The default call, for a model or without one, and what it took."""
    visible, hidden = hm.Bernoulli(rows.width), head["hidden"]
    given = [] if hidden == CHOSEN else [hm.RBM(visible=visible, hidden=hm.Bernoulli(int(hidden)))]
    own = {"validation": rows.valid, "seed": head["seed"], "minutes": minutes, "progress": False}
    wall, cpu = time.perf_counter(), time.process_time()
    history = hm.fit(*given, rows.train, **own)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    updates = history.records[-1]["step"]
    found = {"updates": updates, "seconds": wall, "cpu_seconds": cpu, "warnings": history.warnings}
    if not given:
        found |= {"took": history.model.hidden.width, "tried": history.settings["hidden_tried"]}
    return history.model, found


def train_peer(rows: Any, library: str, settings: Row, seconds: float) -> tuple[hm.RBM, Row] | None:
    """The last model of a peer after so many processor seconds, or None where the peer is missing."""
    with tempfile.TemporaryDirectory() as folder:
        file, out = Path(folder) / "rows.npz", Path(folder) / "model.npz"
        np.savez(file, train=rows.train)
        text = json.dumps(settings | {"cpu": True})
        script = [*command(library, f"_{library}_race.py"), str(file), str(out), str(seconds), text]
        wall = time.perf_counter()
        status = subprocess.run(script, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"}).returncode
        wall = time.perf_counter() - wall
        if status == MISSING:
            return None
        if status:
            raise RuntimeError(f"training by {library} ended with status {status}")
        with np.load(out) as kept:
            arrays = {name: kept[name] for name in kept}
    found = {"updates": int(arrays["updates"]), "seconds": wall, "cpu_seconds": float(arrays["times"][-1])}
    return machine(arrays, -1), found


# ---------------------------------------------------------------- measuring
def log_partition(rbm: hm.RBM, work: float) -> hm.Estimate:
    """log Z, exact or for so many seconds of one core, whatever else the machine does."""
    return exact_log_partition(rbm) or annealed_log_partition(rbm, Budget(work), 0)


def judge(rbm: hm.RBM, rows: Any, work: float) -> Row:
    """Mean log P of train, valid and test rows with the interval of log Z."""
    if not all(bool(torch.isfinite(p).all()) for p in rbm.parameters()):
        return {"diverged": True}
    log_z = log_partition(rbm, work)
    found: Row = {"method": log_z.method, "doubts": list(log_z.warnings)}
    for part in PARTS:
        x = torch.from_numpy(getattr(rows, part)).float()
        e = hm.log_likelihood(rbm, x, log_partition=log_z)
        found[part] = {"value": e.value, "low": e.low, "high": e.high}
    return found


def independent(rows: Any) -> float:
    """Mean test log P of independent units at the means of the training rows."""
    rbm = hm.RBM(visible=hm.Bernoulli(rows.width), hidden=hm.Bernoulli(1))
    rbm.visible.match(torch.from_numpy(rows.train).float())
    with torch.no_grad():
        rbm.weight.zero_()
    return hm.log_likelihood(rbm, torch.from_numpy(rows.test).float()).value


def key(row: Row) -> str:
    """What tells one measurement from another."""
    return " / ".join(str(row[name]) for name in ("data", "library", "settings", "hidden", "seed"))


def keep(row: Row) -> None:
    """Add a row to the file as it is now, which another process may have written to."""
    results = _report.load("density")
    if not isinstance(results["rows"], dict):  # an older format
        results["rows"] = {}
    results |= {"machine": _report.machine(), "versions": _report.versions()}
    results["rows"][key(row)] = row
    _report.save("density", results, page(results))


def heads(name: str, library: str, seed: int, asked: argparse.Namespace) -> list[Row]:
    """What is to be measured of one library, data set and seed."""
    if library == "harmonium":
        settings = ["defaults" if asked.minutes is None else f"minutes={asked.minutes:g}"]
    else:
        settings = [s for s in PEERS[library] if asked.settings in s]
    numbers = [CHOSEN if h == CHOSEN else int(h) for h in asked.hidden.split(",")]
    return [
        {"data": name, "library": library, "settings": s, "hidden": h, "seed": seed}
        for h in numbers
        for s in settings
    ]


def measure(head: Row, rows: Any, asked: argparse.Namespace) -> None:
    """One row, if it isn't there yet."""
    kept, library = _report.load("density")["rows"], head["library"]
    if key(head) in kept and not asked.again:
        return
    if library == "harmonium":
        rbm, found = train_default(rows, head, asked.minutes)
        found["independent"] = independent(rows)
    else:
        own = kept.get(key(head | {"library": "harmonium", "settings": "defaults"}))
        if own is None:
            raise ValueError(f"{key(head)}: measure harmonium first, so that the peer gets the same time.")
        given = PEERS[library][head["settings"]] | {"hidden": head["hidden"], "seed": head["seed"]}
        trained = train_peer(rows, library, given, own["cpu_seconds"])
        if trained is None:
            print(f"{library} isn't installed", file=sys.stderr)
            return
        rbm, found = trained
    row = head | found | judge(rbm, rows, asked.measure)
    keep(row)
    print(line(row), flush=True)


# ---------------------------------------------------------------- tables
HEAD = (
    "| data | library | settings | hidden | seed | updates | CPU s | train | valid | test, 95 % of log Z |\n"
    "|---|---|---|---|---|---|---|---|---|---|"
)
SHORT = (
    "| data | hidden | CPU s | harmonium, test | rbms, same time | scikit-learn, same time |"
    " independent units | published (recalled) |\n|---|---|---|---|---|---|---|---|"
)


def interval(found: Row) -> str:
    """A value with its interval, or alone where it is exact."""
    if found["high"] - found["low"] < 1e-9:
        return f"{found['value']:.3f} (exact)"
    return f"{found['value']:.3f} [{found['low']:.3f}, {found['high']:.3f}]"


def line(row: Row) -> str:
    """One measurement."""
    hidden = row.get("took", row["hidden"])
    cells = [row["data"], TITLES[row["library"]], row["settings"], hidden, row["seed"]]
    cells += [f"{row['updates']:,}", f"{row['cpu_seconds']:.0f}"]
    if row.get("diverged"):
        cells += ["", "", "not finite"]
    else:
        doubt = " (doubtful)" if row["doubts"] else ""
        cells += [f"{row[part]['value']:.3f}" for part in PARTS[:2]] + [interval(row["test"]) + doubt]
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def spread(values: list[float]) -> str:
    """Mean and standard deviation over seeds and their number, or the one value."""
    if len(values) == 1:
        return f"{values[0]:.3f}"
    return f"{mean(values):.3f} ± {stdev(values):.3f} ({len(values)})"


def chosen(rows: list[Row], seed: int) -> str:
    """A peer's test value at the settings that are best on the validation rows of one seed, over all seeds
    they were tried with, and at its defaults.
    """
    fine = [row for row in rows if not row.get("diverged")]
    tried = [row for row in fine if row["seed"] == seed]
    if not tried:
        return "diverged" if rows else ""
    best = max(tried, key=lambda row: row["valid"]["value"])["settings"]
    told = f"{spread([row['test']['value'] for row in fine if row['settings'] == best])} ({best})"
    plain = [row for row in rows if row["settings"] == "defaults" and row["seed"] == seed]
    if plain and best != "defaults":
        value = "diverged" if plain[0].get("diverged") else f"{plain[0]['test']['value']:.3f}"
        told += f"; defaults {value}"
    return told


def summary(rows: list[Row]) -> str:
    """All that was measured on one data set with one number of hidden units, in a line."""
    own = [row for row in rows if is_default(row)]
    first = min(own, key=lambda row: row["seed"])
    cells = [first["data"], first["hidden"], f"{mean(row['cpu_seconds'] for row in own):.0f}"]
    cells.append(f"**{spread([row['test']['value'] for row in own])}**")
    for library in PEERS:
        cells.append(chosen([row for row in rows if row["library"] == library], first["seed"]))
    value, model = PUBLISHED.get(first["data"], (None, ""))
    cells += [f"{first['independent']:.3f}", "" if value is None else f"{value:.2f} ({model})"]
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def is_default(row: Row) -> bool:
    """Whether a row is the default call's."""
    return bool(row["library"] == "harmonium" and row["settings"] == "defaults")


def in_order(rows: Rows) -> list[Row]:
    """Rows by data set, hidden units, library and seed."""
    names = list(dict.fromkeys([*PUBLISHED, *(row["data"] for row in rows.values())]))
    libraries = list(TITLES)
    return sorted(
        rows.values(),
        key=lambda r: (names.index(r["data"]), str(r["hidden"]), libraries.index(r["library"]), r["seed"]),
    )


def tables(rows: Rows) -> str:
    """The summary and every single measurement, in Markdown."""
    ordered = in_order(rows)
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in ordered:
        groups.setdefault((row["data"], str(row["hidden"])), []).append(row)
    whole = [group for group in groups.values() if any(map(is_default, group))]
    short = "\n".join([SHORT, *map(summary, whole)])
    return f"{short}\n\n" + "\n".join([HEAD, *map(line, ordered)]) + "\n"


NOTE = """\
Mean log P of test rows, nats per row. harmonium: the default call, mean ± standard deviation (seeds).
Peers: as many processor seconds as harmonium took, one thread each; at their defaults, and at the best of the
settings below by the validation rows. Published: figures of tractable models, as remembered, not run here.
"""


def page(results: dict[str, Any]) -> str:
    """What goes into density.md."""
    return f"# Densities\n\n{NOTE}\n{_report.preamble(results)}\n{tables(results['rows'])}"


def main(arguments: list[str] | None = None) -> None:
    """Measure what is missing, or print what there is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--run", action="store_true", help="measure what isn't in density.json")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--sets", default=",".join(PUBLISHED))
    parser.add_argument("--libraries", default="harmonium")
    parser.add_argument("--settings", default="", help="only settings of a peer whose name holds this")
    parser.add_argument("--hidden", default="100", help="numbers of hidden units such as 100,200, or chosen")
    parser.add_argument("--minutes", type=float, help="of processor time, instead of the default length")
    parser.add_argument("--seeds", default="0", help="such as 0,1,2")
    parser.add_argument("--measure", type=float, default=20.0, help="seconds of one core for a log Z")
    parser.add_argument("--again", action="store_true", help="also what is there already")
    asked = parser.parse_args(arguments)
    if not asked.run:
        print(tables(_report.load("density")["rows"]))
        return
    torch.set_num_threads(1)
    count_own_time()
    paths = {name: asked.data / f"{name}.npz" for name in asked.sets.split(",")}
    sources = {name: str(path) for name, path in paths.items() if path.exists()} or {"digits": "digits"}
    print(HEAD, flush=True)
    for name, source in sources.items():
        rows = data.load(source)
        for seed in map(int, asked.seeds.split(",")):
            for library in asked.libraries.split(","):
                for head in heads(name, library, seed, asked):
                    measure(head, rows, asked)


if __name__ == "__main__":
    main()
