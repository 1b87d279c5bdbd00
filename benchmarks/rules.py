"""What each rule, start and default of `hm.fit` is worth: each left out in turn, several seeds.

    python -m benchmarks.rules                         the table of what was measured so far
    python -m benchmarks.rules --run [--data FOLDER] [--sets nltcs,bars] [--names Temper,Shrink] [--seeds 5]
    python -m benchmarks.rules --quick                 small tables and short runs, saved nowhere: a minute

The sets are the four density sets, as .npz files in --data with `train`, `valid` and `test`, where they are
there, and made-up tables that are awkward each in its own way (see `MADE_UP`). Each variant is the default
call but for one thing. The table shows the test log-likelihood of the default call, nats per row, and what
leaving the thing out changes, with the standard error over seeds of the difference where there are several;
positive means that the thing does harm. "-" stands where the thing did nothing in the default call, so that
leaving it out changes nothing either. log Z is exact or measured for --measure seconds. What was measured is
kept in benchmarks/results/rules.json.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from pkgutil import resolve_name
from statistics import mean, stdev
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import torch

import harmonium as hm
from benchmarks import _report
from benchmarks.density import log_partition
from harmonium import data
from harmonium.recipes.rules import standard_rules

DENSITIES = ("nltcs", "plants", "baudio", "accidents")
HUGE = 1e4  # nats, of which no digits matter
Row = dict[str, Any]


class Table(NamedTuple):
    """Rows to learn from, to select on (or None) and to test on, the machine for them, and what is asked for
    beside.
    """

    train: np.ndarray
    valid: np.ndarray | None
    test: np.ndarray
    hidden: int
    visible: Callable[[int], hm.Units] = hm.Bernoulli
    arguments: dict[str, Any] = {}  # noqa: RUF012  # of hm.fit, never changed


# ---------------------------------------------------------------- tables
def split(x: np.ndarray, rows: int, hidden: int, visible: Callable[[int], hm.Units] = hm.Bernoulli) -> Table:
    """The first `rows` to learn from, the rest to test on."""
    return Table(x[:rows], None, x[rows:], hidden, visible)


def bars(numbers: np.random.Generator, rows: int) -> Table:
    """Five bars of five columns, on or off: few modes, hard to cross."""
    on = numbers.random((2 * rows, 5)) < 0.4
    return split(on.repeat(5, 1).astype(np.float32), rows, 5)


def clusters(numbers: np.random.Generator, rows: int) -> Table:
    """Rows near one of eight centres far from each other."""
    centres = numbers.random((8, 60)) < 0.5
    flips = numbers.random((2 * rows, 60)) < 0.03
    return split((centres[numbers.integers(0, 8, 2 * rows)] ^ flips).astype(np.float32), rows, 14)


def few(numbers: np.random.Generator, rows: int) -> Table:
    """Fewer rows than the machine has parameters, with a common cause."""
    cause, n = numbers.random((2 * rows, 4)) < 0.5, max(60, rows // 10)
    x = (cause.repeat(8, 1) ^ (numbers.random((2 * rows, 32)) < 0.15)).astype(np.float32)
    return Table(x[:n], None, x[rows:], 14)


def repeated(numbers: np.random.Generator, rows: int) -> Table:
    """Sixteen patterns, each many times."""
    patterns = (numbers.random((16, 20)) < 0.5).astype(np.float32)
    return split(patterns[numbers.integers(0, 16, 2 * rows)], rows, 14)


def exclusive_or(numbers: np.random.Generator, rows: int) -> Table:
    """Triples of which each pair is independent."""
    a, b = (numbers.random((2, 2 * rows, 5)) < 0.5).astype(int)
    return split(np.concatenate([a, b, a ^ b], 1).astype(np.float32), rows, 20)


def far(numbers: np.random.Generator, rows: int) -> Table:
    """Two clusters of real columns, hundreds of deviations from zero and of very different scales."""
    side = numbers.integers(0, 2, (2 * rows, 1)) * 4.0 - 2.0
    x = side * [1.0, 0.5, -1.0, 0.0] + numbers.normal(size=(2 * rows, 4))
    return split(((x + 200.0) * [1.0, 10.0, 0.1, 1.0]).astype(np.float32), rows, 6, hm.Gaussian)


def chain(numbers: np.random.Generator, rows: int) -> Table:
    """A row of sixteen spins, each as its neighbour nine times of ten."""
    flips = numbers.random((2 * rows, 16)) < 0.1
    flips[:, 0] = numbers.random(2 * rows) < 0.5
    return split((flips.cumsum(1) % 2).astype(np.float32), rows, 16)


def constant(numbers: np.random.Generator, rows: int) -> Table:
    """Columns that are constant, nearly so, and copies of one another, among others."""
    cause = numbers.random((2 * rows, 3)) < 0.3
    x = cause.repeat(5, 1) ^ (numbers.random((2 * rows, 15)) < 0.1)
    rare = numbers.random((2 * rows, 1)) < 0.005
    x = np.concatenate([x, x[:, :1], rare, np.ones((2 * rows, 1), bool)], 1)
    return split(x.astype(np.float32), rows, 12)


def counts(numbers: np.random.Generator, rows: int) -> Table:
    """Counts that are nearly always 0, with bursts in common."""
    burst = numbers.random((2 * rows, 1)) < 0.05
    return split(numbers.poisson(0.05 + 1.5 * burst, (2 * rows, 12)).astype(np.float32), rows, 8, hm.Poisson)


def categories(numbers: np.random.Generator, rows: int) -> Table:
    """Answers of three kinds of people to ten questions with four answers."""
    shares = numbers.dirichlet([0.5] * 4, (3, 10)).cumsum(2)[numbers.integers(0, 3, 2 * rows)]
    x = (numbers.random((2 * rows, 10, 1)) > shares).sum(2).clip(max=3)
    return split(x, rows, 10, lambda n: hm.Categorical(n, 4))


def wide(numbers: np.random.Generator, rows: int) -> Table:
    """More columns than rows, rarely 1."""
    topic = numbers.integers(0, 6, 2 * rows)
    shares = numbers.beta(0.2, 4.0, (6, 300))[topic]
    x, n = (numbers.random((2 * rows, 300)) < shares).astype(np.float32), max(60, rows // 5)
    return Table(x[:n], None, x[rows:], 12)


def large_steps(numbers: np.random.Generator, rows: int) -> Table:
    """The row of spins, learned at a rate twenty times too large."""
    return chain(numbers, rows)._replace(arguments={"learning_rate": 8.0})


MADE_UP: dict[str, Callable[[np.random.Generator, int], Table]] = {
    "bars": bars,
    "clusters": clusters,
    "few": few,
    "repeated": repeated,
    "xor": exclusive_or,
    "far": far,
    "chain": chain,
    "constant": constant,
    "counts": counts,
    "categories": categories,
    "wide": wide,
    "large steps": large_steps,
}


def table(name: str, asked: argparse.Namespace) -> Table | None:
    """The table of this name; None where its file is missing."""
    if name in MADE_UP:
        return MADE_UP[name](np.random.default_rng(0), 200 if asked.quick else 1000)
    path = asked.data / f"{name}.npz"
    if not path.exists():
        return None
    rows = data.load(str(path))
    return Table(rows.train, rows.valid, rows.test, 40 if name == "nltcs" else 100)


# ---------------------------------------------------------------- what is left out
def given(answer: Any) -> bool:
    """Whether a part has answered."""
    return answer is not None


class Variant(NamedTuple):
    """The default call but for one thing: other arguments of it, a part that is switched off, and the parts
    of harmonium whose answers tell whether the thing does anything in the default call.
    """

    parts: tuple[str, ...] = ()
    acts: Callable[[Any], Any] = given
    arguments: Callable[[], dict[str, Any]] = dict
    without: Callable[[], AbstractContextManager[Any]] = nullcontext


START = "recipes.start.initialisation:"
RULES = tuple(type(rule).__name__ for rule in standard_rules())


def parts_of(rule: str) -> tuple[str, ...]:
    """The two questions that a rule is asked."""
    return f"recipes.rules:{rule}.judge", f"recipes.rules:{rule}.conclude"


def but(name: str) -> Variant:
    """All rules but one."""
    rules = [r for r in standard_rules() if type(r).__name__ != name]
    return Variant(parts_of(name), arguments=lambda: {"rules": rules})


def off(part: str, instead: Any, acts: Callable[[Any], Any] = given) -> Variant:
    """A part of the recipe replaced."""
    return Variant((part,), acts, without=lambda: patch("harmonium." + part.replace(":", "."), instead))


VARIANTS = {
    "default": Variant(),
    **{name: but(name) for name in RULES},
    "all rules": Variant(sum(map(parts_of, RULES), ()), arguments=lambda: {"rules": ()}),
    "principal directions": off(START + "couple_along_principal_directions", lambda *_: [], len),
    "bold couplings": off(START + "couple_boldly", lambda *_: None, lambda _: True),
    "clouds": off(START + "couple_to_clouds", lambda *_: False, bool),
    "jumps between clouds": off(START + "jumps", lambda *_: None),
    "chains from rows": off("learning:PersistentChains.begin", lambda *_: None, lambda _: True),
    "recentring": off("recipes.start.real_columns:far_column_means", lambda *_: None),
    "weight decay": Variant(
        ("recipes.settings:default_weight_decay",), lambda decay: decay > 0, lambda: {"weight_decay": 0.0}
    ),
    "prior that fades": off("recipes.settings:good_turing_unseen", lambda *_: 1.0, lambda u: u < 0.05),
    "natural gradient": Variant(
        ("recipes.settings:optimiser_name",), lambda name: name == "natural", lambda: {"optimiser": "centred"}
    ),
    "exact gradient of few states": off("recipes.default_negatives:few_states", lambda *_: False, bool),
    "independent draws": off("recipes.default_negatives:few_hidden_states", lambda *_: False, bool),
}
"""What is left out, by name."""


@contextmanager
def watching(acted: set[str]) -> Iterator[None]:
    """Within this block the names of the variants whose parts do something are noted."""

    def noted(name: str, variant: Variant, part: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any) -> Any:
            answer = part(*arguments)
            if variant.acts(answer):
                acted.add(name)
            return answer

        return called

    with ExitStack() as stack:
        for name, variant in VARIANTS.items():
            for part in variant.parts:
                found = noted(name, variant, resolve_name("harmonium." + part))
                stack.enter_context(patch("harmonium." + part.replace(":", "."), found))
        yield


# ---------------------------------------------------------------- measuring
def measure(rows: Table, variant: Variant, seed: int, asked: argparse.Namespace) -> Row:
    """Test log-likelihood and processor time of one run; where it fails, how."""
    rbm = hm.RBM(rows.visible(rows.train.shape[1]), hm.Bernoulli(rows.hidden), seed=seed)
    own = {"validation": rows.valid, "seed": seed, "progress": False, "steps": asked.steps} | rows.arguments
    cpu, acted = time.process_time(), set[str]()
    try:
        with variant.without() if variant.parts else watching(acted):
            history = hm.fit(rbm, rows.train, **own | variant.arguments())
    except (ValueError, TypeError, FloatingPointError) as error:
        return {"failed": str(error), "acted": sorted(acted)}
    cpu = time.process_time() - cpu
    found = hm.log_likelihood(rbm, rows.test, log_partition=log_partition(rbm, asked.measure))
    made = history.records[-1]["step"]
    return {
        "value": found.value,
        "stderr": found.stderr,
        "cpu_seconds": cpu,
        "steps": made,
        "acted": sorted(acted),
    }


def difference(rows: list[Row], default: list[Row]) -> str:
    """By how much a variant is better than the default call, over the seeds that both have."""
    pairs = [(a, b) for a, b in zip(rows, default, strict=False) if "value" in a and "value" in b]
    failed = sum("failed" in row for row in rows)
    if not pairs:
        return "failed" if failed else ""
    gains = [a["value"] - b["value"] for a, b in pairs]
    own = math.sqrt(sum(a["stderr"] ** 2 + b["stderr"] ** 2 for a, b in pairs)) / len(pairs)
    error = f" ± {math.hypot(own, stdev(gains) / len(gains) ** 0.5):.3f}" if len(gains) > 1 else ""
    seconds = mean(a["cpu_seconds"] for a, _ in pairs) - mean(b["cpu_seconds"] for _, b in pairs)
    gain = f"{mean(gains):+.3f}" if abs(mean(gains)) < HUGE else f"{mean(gains):+.0e}"
    return f"{gain}{error}, {seconds:+.0f} s" + (f", {failed} failed" if failed else "")


def page(found: dict[str, Row]) -> str:
    """A line for each thing left out, a column for each set."""
    sets = list(dict.fromkeys(row["data"] for row in found.values()))

    def runs(name: str, left_out: str) -> list[Row]:
        chosen = [r for r in found.values() if (r["data"], r["left_out"]) == (name, left_out)]
        return sorted(chosen, key=lambda r: r["seed"])

    lines = ["| left out | " + " | ".join(sets) + " |", "|---" * (len(sets) + 1) + "|"]
    cells = []
    for name in sets:
        good = [r for r in runs(name, "default") if "value" in r]
        values, seconds = [r["value"] for r in good], [r["cpu_seconds"] for r in good]
        cells.append(f"{mean(values):.3f}, {mean(seconds):.0f} s" if good else "failed")
    lines.append("| " + " | ".join(["nothing", *cells]) + " |")
    for left_out in list(VARIANTS)[1:]:
        cells = [difference(runs(name, left_out), runs(name, "default")) for name in sets]
        acted = [any(left_out in r["acted"] for r in runs(name, "default")) for name in sets]
        cells = [cell if told else "-" for cell, told in zip(cells, acted, strict=True)]
        if any(acted):
            lines.append("| " + " | ".join([left_out, *cells]) + " |")
    return "\n".join(lines)


def keep(found: dict[str, Row]) -> None:
    """Write what is known by now."""
    results = {"machine": _report.machine(), "versions": _report.versions(), "rows": found}
    _report.save("rules", results, f"# Rules\n\n{_report.preamble(results)}\n{page(found)}\n")


def main(arguments: list[str] | None = None) -> None:
    """Measure what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--run", action="store_true", help="measure what isn't in rules.json")
    parser.add_argument("--quick", action="store_true", help="small tables, short runs, nothing saved")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--sets", default=",".join([*DENSITIES, *MADE_UP]))
    parser.add_argument("--names", default=",".join(VARIANTS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, help="updates of a run; by default those of the default call")
    parser.add_argument("--measure", type=float, default=4.0, help="seconds of one core for a log Z")
    asked = parser.parse_args(arguments)
    if asked.quick:
        asked.sets, asked.seeds, asked.steps, asked.measure = "xor,far", 2, asked.steps or 60, 0.2
    torch.set_num_threads(1)
    found = {} if asked.quick else dict(_report.load("rules")["rows"])
    names = ["default", *(n for n in asked.names.split(",") if n != "default")]
    for source in asked.sets.split(",") if asked.run or asked.quick else []:
        rows = table(source, asked)
        for seed, left_out in [(s, n) for s in range(asked.seeds) for n in names if rows is not None]:
            head = {"data": source, "left_out": left_out, "seed": seed}
            key = " / ".join(map(str, head.values()))
            default = found.get(f"{source} / default / {seed}", {"acted": [left_out]})
            if key not in found and left_out in default["acted"]:
                assert rows is not None  # as just asked
                found[key] = head | measure(rows, VARIANTS[left_out], seed, asked)
                if not asked.quick:
                    keep(found)
    print(page(found))


if __name__ == "__main__":
    main()
