"""How fast harmonium is, against its peers on the same machine in the same run.

    python -m benchmarks.speed [--quick] [--only GROUP,GROUP]        (make bench installs the peers)

Every library works in a process of its own and they take turns: a turn is about a fifth of a second, and
there are nine rounds, so that whatever else the machine does hits all alike. The table shows medians with
quartiles. Each run replaces the rows it measured in benchmarks/results/speed-PATH.json, where PATH is that of
the processor (`harmonium doctor` tells), and writes speed-PATH.md from it. HARMONIUM_PEERS names the Python
that has the peers.
"""

from __future__ import annotations

import argparse
import contextlib
from typing import Any, NamedTuple

from benchmarks import _imports, _race, _report
from benchmarks._report import threads
from benchmarks._workers import Contestant, Timing, Worker, compare
from harmonium.kernels.processor import path

LARGE, SMALL, POTTS = (784, 500), (64, 128), (100, 200)


PRODUCTS = "split products" if path() == "matrix" else "float32 products"
"""In the precision that the sweeps run in here."""


class Entry(NamedTuple):
    """Somebody's piece of work."""

    library: str
    work: str
    settings: dict[str, Any]


class Line(NamedTuple):
    """A line of the table: two entries of a group, and what is wanted of their ratio."""

    title: str
    ours: str
    peer: str | None
    least: float | None = None
    goal: float | None = None
    kind: str = "times"  # "times": peer / ours is wanted large; "share": ours / peer, small; "seconds": ours


class Group(NamedTuple):
    """Entries that take turns, and the lines made of them."""

    entries: dict[str, Entry]
    lines: list[Line]


def update(library: str, shape: tuple[int, int], **settings: Any) -> Entry:
    """A PCD update."""
    return Entry(library, "update", {"visible": shape[0], "hidden": shape[1], **settings})


def sweep(library: str, shape: tuple[int, int], work: str = "sweep", **settings: Any) -> Entry:
    """Gibbs sweeps, ten in one call."""
    return Entry(library, work, {"visible": shape[0], "hidden": shape[1], **settings})


def sweep_group(shape: tuple[int, int], chains: int) -> Group:
    """A sweep against its own matrix products."""
    size = f"{shape[0]} × {shape[1]}, {chains} chains"
    return Group(
        {
            "ours": sweep("harmonium", shape, chains=chains),
            "split products": sweep("harmonium", shape, "products", chains=chains, split=True),
            "float32 products": sweep("harmonium", shape, "products", chains=chains),
            "rbms": sweep("rbms", shape, chains=chains),
        },
        [
            Line(f"10 Gibbs sweeps, {size}, over their 20 products", "ours", PRODUCTS, 1.25, 1.1, "share"),
            Line(f"10 Gibbs sweeps, {size}, over float32 products", "ours", "float32 products", kind="share"),
            Line(f"10 Gibbs sweeps, {size}", "ours", "rbms"),
        ],
    )


def small_group(title: str, shape: tuple[int, int], **more: Any) -> Group:
    """Sweeps and updates of 100 chains against rbms."""
    return Group(
        {
            "sweep": sweep("harmonium", shape, chains=100, **more),
            "rbms sweep": sweep("rbms", shape, chains=100, **more),
            "update": update("harmonium", shape, batch=100, **more),
            "rbms update": update("rbms", shape, batch=100, **more),
        },
        [
            Line(f"10 Gibbs sweeps, {title}, 100 chains", "sweep", "rbms sweep", 4, 8),
            Line(f"PCD-1 update, {title}, 100 chains", "update", "rbms update", 4, 8),
        ],
    )


def twins(title: str, work: str, peer: str, least: float, goal: float | None, **settings: Any) -> Group:
    """The same work with the same settings here and there."""
    return Group(
        {"ours": Entry("harmonium", work, settings), "peer": Entry(peer, work, settings)},
        [Line(title, "ours", "peer", least, goal)],
    )


def alone(lines: dict[str, tuple[str, dict[str, Any], float]]) -> Group:
    """Work without a peer: a title, and (work, settings, most seconds)."""
    return Group(
        {title: Entry("harmonium", work, settings) for title, (work, settings, _) in lines.items()},
        [Line(title, title, None, most, None, "seconds") for title, (_, _, most) in lines.items()],
    )


def groups(quick: bool) -> dict[str, Group]:
    """All comparisons made by workers."""
    temperatures, bits, large = (100, 16, 18) if quick else (1000, 20, 22)
    title = "784 × 500, 256 rows and chains"
    return {
        "pcd1": Group(
            {
                "centred": update("harmonium", LARGE),
                "plain": update("harmonium", LARGE, gradient="plain"),
                "natural": update("harmonium", LARGE, gradient="natural"),
                "rbms": update("rbms", LARGE),
                "sklearn": update("sklearn", LARGE),
            },
            [
                Line(f"PCD-1 update, {title}, centred gradient", "centred", "rbms", 5, 8),
                Line(f"PCD-1 update, {title}, plain gradient", "plain", "sklearn", 3.5, 5),
                Line(f"PCD-1 update, {title}, natural gradient (the default)", "natural", "rbms"),
            ],
        ),
        "pcd10": Group(
            {
                "centred": update("harmonium", LARGE, k=10),
                "natural": update("harmonium", LARGE, k=10, gradient="natural"),
                "rbms": update("rbms", LARGE, k=10),
            },
            [
                Line(f"PCD-10 update, {title}, centred gradient", "centred", "rbms", 7, 12),
                Line(f"PCD-10 update, {title}, natural gradient (the default)", "natural", "rbms"),
            ],
        ),
        "sweep256": sweep_group(LARGE, 256),
        "sweep4096": sweep_group(LARGE, 4096),
        "small": small_group("64 × 128", SMALL),
        "categorical": small_group("100 sites of 21 states × 200", POTTS, states=21),
        "annealing": twins(
            f"AIS, {temperatures:,} temperatures × 256 chains, 784 × 500",
            "annealing",
            "rbms",
            6,
            10,
            visible=784,
            hidden=500,
            chains=256,
            temperatures=temperatures,
        ),
        "exact": twins(
            f"exact log Z, 2^{bits} states × 112", "exact", "rbms", 5, 20, visible=112, hidden=bits
        ),
        "ising": twins(
            "Ising 64² grid, 64 chains, 100 sweeps",
            "ising",
            "thrml",
            10,
            20,
            side=64,
            chains=64,
            sweeps=100,
            coupling=0.4,
        ),
        "contraction": twins(
            "exact log Z, 10 × 10 ternary grid", "contraction", "pgmpy", 10, None, side=10, states=3
        ),
        "building": alone(
            {
                "building a 512 × 512 grid, from edges": ("grid", {"side": 512, "networkx": False}, 2),
                "building a 512 × 512 grid, from networkx": ("grid", {"side": 512, "networkx": True}, 2),
                f"log Z of a user's energy, 2^{large} states": ("enumeration", {"n": large}, 10),
            }
        ),
    }


def measure(group: Group, quick: bool) -> dict[str, Timing | None]:
    """Timings of the entries of a group, None where a library is missing."""
    with contextlib.ExitStack() as stack:
        contestants: list[Contestant] = [
            (stack.enter_context(Worker(entry.library)), entry.work, entry.settings)
            for entry in group.entries.values()
        ]
        timings = compare(contestants, *((3, 0.05) if quick else (9, 0.2)))
    return dict(zip(group.entries, timings, strict=True))


def rows_of(lines: list[Line], timings: dict[str, Timing | None]) -> list[dict[str, Any]]:
    """The lines with their numbers."""
    rows = []
    for line in lines:
        ours, peer = timings[line.ours], timings[line.peer] if line.peer else None
        if ours is None:
            continue
        ratio = None
        if peer is not None:
            ratio = ours.median / peer.median if line.kind == "share" else peer.median / ours.median
        rows.append(
            {
                "title": line.title,
                "kind": line.kind,
                "ours": ours.to_dict(),
                "against": line.peer,
                "peer": None if peer is None else peer.to_dict(),
                "ratio": ratio,
                "least": line.least,
                "threads": threads(),
                "goal": line.goal,
            }
        )
    return rows


def wanted(row: dict[str, Any], name: str) -> str:
    """A limit as the table shows it."""
    if row[name] is None:
        return ""
    return {"times": "{:g}×", "share": "≤ {:g}", "seconds": "≤ {:g} s"}[row["kind"]].format(row[name])


def markdown(row: dict[str, Any]) -> str:
    """One line of the table."""
    peer = row["peer"]
    other = f"{row['against']}: not there" if row["against"] else ""
    if peer is not None:
        other = f"{row['against']}: {_report.spread(peer)}"
    ratio = ""
    if row["ratio"] is not None:
        ratio = f"**{row['ratio']:.2f}**" if row["kind"] == "share" else f"**{row['ratio']:.1f}×**"
    cells = [row["title"], _report.spread(row["ours"]), other, ratio, wanted(row, "least")]
    return (
        "| "
        + " | ".join([*cells, wanted(row, "goal"), row.get("threads", ""), row["ours"]["path"] or ""])
        + " |"
    )


def table(results: dict[str, Any]) -> str:
    """The whole page."""
    order = [*groups(False), *OTHERS]
    head = "| work | harmonium | peer | ratio | at least | goal | threads | path |\n" + "|---" * 8 + "|\n"
    rows = [row for name in order for row in results["rows"].get(name, [])]
    return f"# Speed\n\n{_report.preamble(results)}\n{head}" + "\n".join(map(markdown, rows)) + "\n"


def race_rows(quick: bool) -> list[dict[str, Any]]:
    """Seconds to a given likelihood on plants."""
    if quick:
        return []
    title = f"seconds to validation log P of {_race.TARGET} on plants, from import"
    timings = _race.measure()
    lines = [Line(title, "harmonium", "rbms", 5, 10), Line(title, "harmonium", "sklearn", 5, 10)]
    return rows_of(lines, timings)


def import_rows(quick: bool) -> list[dict[str, Any]]:
    """What `import harmonium` costs over what `import torch` does."""
    title = "import harmonium over import torch"
    lines = [
        Line(title, "harmonium", "torch", 1.3, 1.1, "share"),
        Line(f"{title}, RBM, Bernoulli and fit looked up", "harmonium in use", "torch", 1.3, 1.1, "share"),
    ]
    return rows_of(lines, _imports.measure(3 if quick else 11))


OTHERS = {"race": race_rows, "import": import_rows}


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds and smaller sizes; saves nothing")
    parser.add_argument("--only", help="groups of rows: " + ", ".join([*groups(False), *OTHERS]))
    asked = parser.parse_args()
    available = groups(asked.quick)
    names = asked.only.split(",") if asked.only else [*available, *OTHERS]
    results = {"rows": {}} if asked.quick else _report.load(f"speed-{path()}")
    results |= {"machine": _report.machine(), "versions": _report.versions()}
    for name in names:
        if name in OTHERS:
            rows = OTHERS[name](asked.quick)
        else:
            rows = rows_of(available[name].lines, measure(available[name], asked.quick))
        results["rows"][name] = rows
        print(*map(markdown, rows), sep="\n", flush=True)
        if not asked.quick:
            _report.save(f"speed-{path()}", results, table(results))


if __name__ == "__main__":
    main()
