"""How time and memory grow with visible units, hidden units, chains and rows.

    python -m benchmarks.growth [--quick] [--only visible,hidden,chains,rows,mapped]

Each size has a process of its own, whose memory is counted from what it holds after a tiny piece of the same
work. Expected are straight lines of slope 1 in log-log scale, with the cost of a call below. The last part
trains on a million rows of 784 bytes, from a memory-mapped file and from memory. Writes growth.json,
growth.md and growth.png to benchmarks/results.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks import _report
from benchmarks._workers import Worker, command

SHAPE = {"visible": 784, "hidden": 500}


class Axis(NamedTuple):
    """Sizes over two decades, and what is done at each: (name, work, settings that take the size as N)."""

    title: str
    sizes: list[int]
    works: list[tuple[str, str, dict[str, Any]]]


def axis(title: str, sizes: list[int], **sized: str) -> Axis:
    """Updates and sweeps in which the settings named in `sized` grow."""
    update = {**SHAPE, "batch": 256} | {sized["update"]: "N"}
    works = [("PCD-1 update", "update", update)]
    works.append(("10 sweeps", "sweep", {**SHAPE, "chains": 256} | {sized["sweep"]: "N"}))
    if title != "chains":
        works.append(("natural gradient", "update", {**update, "gradient": "natural"}))
    return Axis(title, sizes, works)


AXES = {
    "visible": axis("visible units", [80, 250, 800, 2500, 8000], update="visible", sweep="visible"),
    "hidden": axis("hidden units", [50, 160, 500, 1600, 5000], update="hidden", sweep="hidden"),
    "chains": axis("chains", [64, 200, 640, 2000, 6400], update="batch", sweep="chains"),
    "rows": Axis(
        "rows",
        [10_000, 32_000, 100_000, 320_000, 1_000_000],
        [("epoch", "epoch", {"n_rows": "N", "visible": 784, "hidden": 100})],
    ),
}
TINY = {"visible": 16, "hidden": 16, "chains": 16, "batch": 16, "n_rows": 64}


def point(work: str, settings: dict[str, Any], size: int) -> dict[str, Any]:
    """Seconds of one repetition and MB at the peak, in a process of its own."""
    real = {name: size if value == "N" else value for name, value in settings.items()}
    small = {name: TINY.get(name, value) for name, value in real.items()}
    with Worker("harmonium") as worker:
        worker.ask(make=work, settings=small)
        worker.ask(repeat=3)
        before = worker.ask(forget=True) or {}
        worker.ask(make=work, settings=real)
        timed = [worker.ask(repeat=1) or {} for _ in range(2)]  # the first may compile
        count = round(0.3 / timed[1]["seconds"])
        timed += [worker.ask(repeat=max(1, count // 5)) or {} for _ in range(5 if count else 0)]
        seconds = min(t["seconds"] for t in timed)  # other work on the machine only adds to them
    return {"size": size, "seconds": seconds, "MB": timed[-1]["peak"] - before["resident"]}


def slopes(points: list[dict[str, Any]], key: str) -> dict[str, float]:
    """In log-log scale: the fitted slope of the upper decade, and the steepest between neighbours anywhere,
    which would tell of a step.
    """
    size, value = (np.log([max(p[k], 1e-9) for p in points]) for k in ("size", key))
    upper = len(points) // 2
    fitted = np.polyfit(size[upper:], value[upper:], 1)[0]
    return {"upper": float(fitted), "steepest": float(np.max(np.diff(value) / np.diff(size)))}


def in_words(line: dict[str, Any], key: str) -> str:
    """Both slopes of a line."""
    return "{upper:.2f} ({steepest:.2f})".format(**line["slopes"][key])


def grow(name: str, quick: bool) -> list[dict[str, Any]]:
    """All lines of an axis."""
    title, sizes, works = AXES[name]
    lines = []
    for label, work, settings in works:
        points = [point(work, settings, size) for size in (sizes[:3] if quick else sizes)]
        lines.append(
            {
                "axis": title,
                "label": label,
                "points": points,
                "threads": _report.threads(),
                "slopes": {key: slopes(points, key) for key in ("seconds", "MB")},
            }
        )
        print(
            f"{title:13} {label:16}",
            *(f"{p['size']}: {_report.duration(p['seconds'])}, {p['MB']:.0f} MB;" for p in points),
            f"slopes {in_words(lines[-1], 'seconds')} of time, {in_words(lines[-1], 'MB')} of memory",
            flush=True,
        )
    return lines


def mapped(rows: int, steps: int) -> list[dict[str, Any]]:
    """Training by `hm.fit` from a file and from memory, twice each, taking turns."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.npy"
        file = np.lib.format.open_memmap(path, "w+", np.uint8, (rows, SHAPE["visible"]))
        random = np.random.default_rng(0)
        for start in range(0, rows, 2**14):
            piece = file[start : start + 2**14]
            piece[:] = random.integers(0, 2, piece.shape, dtype=np.uint8)
        del file
        found = []
        for mode in ("mapped", "memory") * 2:
            script = [*command("harmonium", "_fit_rows.py"), str(path), mode, str(steps)]
            done = subprocess.run(script, capture_output=True, text=True, check=True)
            found.append({"mode": mode, **json.loads(done.stdout.splitlines()[-1])})
            print(found[-1], flush=True)
    return found


def markdown(results: dict[str, Any]) -> str:
    """The page of figures."""
    text = f"# Growth\n\n{_report.preamble(results)}\n"
    lines = [line for name in AXES for line in results["rows"].get(name, [])]
    if lines:
        text += "![time and memory against size](growth.png)\n\n| grows | work | sizes | seconds | MB |"
        text += " slope of time | slope of memory |\n|---|---|---|---|---|---|---|\n"
    for line in lines:
        formats = ("{size:,}", "{seconds:.3g}", "{MB:,.0f}")
        columns = ["; ".join(form.format(**p) for p in line["points"]) for form in formats]
        found = [in_words(line, key) for key in ("seconds", "MB")]
        text += "| " + " | ".join([line["axis"], line["label"], *columns, *found]) + " |\n"
    if lines:
        text += f"\nThreads: {', '.join(sorted({line['threads'] for line in lines}))}."
        text += " Slopes in log-log scale: fitted to the upper decade (steepest between neighbours).\n"
    if "mapped" in results["rows"]:
        text += (
            "\n| data | rows | update | until the first update | resident, highest | of it not the file's |\n"
        )
        text += "|---|---|---|---|---|---|\n"
    for run in results["rows"].get("mapped", []):
        times = [_report.duration(run[key]) for key in ("update", "start")]
        sizes = [f"{run[key]:.0f} MB" for key in ("resident_MB", "anonymous_MB")]
        text += "| " + " | ".join([run["mode"], f"{run['rows']:,}", *times, *sizes]) + " |\n"
    return text


def draw(results: dict[str, Any]) -> None:
    """The picture: a column for each axis, time above and memory below, dashed lines of slope 1."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = [name for name in AXES if name in results["rows"]]
    figure, panels = plt.subplots(2, len(names), figsize=(3.6 * len(names), 6.4), squeeze=False, sharex="col")
    for column, name in enumerate(names):
        for row, (key, unit) in enumerate((("seconds", "seconds"), ("MB", "MB at the peak"))):
            panel = panels[row, column]
            for line in results["rows"][name]:
                size, value = ([p[k] for p in line["points"]] for k in ("size", key))
                label = f"{line['label']}: slope {line['slopes'][key]['upper']:.2f}"
                (drawn,) = panel.loglog(size, value, "o-", markersize=4, label=label)
                straight = [value[-1] * s / size[-1] for s in size]
                panel.loglog(size, straight, "--", color=drawn.get_color(), alpha=0.5)
            panel.set_ylabel(unit if column == 0 else "")
            panel.set_ylim(
                bottom=0.5 * min(min(p[key] for p in line["points"]) for line in results["rows"][name])
            )
            panel.grid(alpha=0.3)
            panel.legend(fontsize=7.5, loc="upper left")
        panels[1, column].set_xlabel(AXES[name].title)
    figure.suptitle("Time (above) and memory (below) against size; dashed: slope 1 through the largest size")
    figure.tight_layout()
    figure.savefig(_report.RESULTS / "growth.png", dpi=110)
    plt.close(figure)


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the lower decade only; saves nothing")
    parser.add_argument("--only", help="any of " + ", ".join([*AXES, "mapped"]))
    asked = parser.parse_args()
    results = {"rows": {}} if asked.quick else _report.load("growth")
    results |= {"machine": _report.machine(), "versions": _report.versions()}
    for name in asked.only.split(",") if asked.only else [*AXES, "mapped"]:
        if name == "mapped":
            results["rows"][name] = mapped(*((20_000, 50) if asked.quick else (1_000_000, 200)))
        else:
            results["rows"][name] = grow(name, asked.quick)
        if not asked.quick:
            _report.save("growth", results, markdown(results))
            draw(results)


if __name__ == "__main__":
    main()
