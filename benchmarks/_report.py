"""Results on disk: one JSON file a benchmark, and the Markdown table made from it."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks._workers import PEERS

RESULTS = Path(__file__).parent / "results"
FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
LIBRARIES = ("rbms", "scikit-learn", "torch", "thrml", "jax", "pgmpy", "spflow", "numpy")
ASK = "import importlib.metadata as m, json, sys\nfound = {}\nfor name in sys.argv[1:]:\n    \
try: found[name] = m.version(name)\n    except m.PackageNotFoundError: pass\nprint(json.dumps(found))"


def machine() -> dict[str, Any]:
    """The processor, its cores and the vector units that matter here."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    flags = facts.get("flags", "").split()
    return {
        "processor": facts.get("model name", platform.processor()),
        "cores": os.cpu_count(),
        "vector units": [flag for flag in FLAGS if flag in flags],
        "system": f"{platform.system()} {platform.machine()}",
    }


def threads() -> str:
    """Of each library: what OMP_NUM_THREADS says, or all cores."""
    return os.environ.get("OMP_NUM_THREADS", str(os.cpu_count()))


def versions() -> dict[str, Any]:
    """Of this package's environment and of the peers'."""
    own = {"python": platform.python_version()}
    for name in ("harmonium", "torch", "numba", "numpy"):
        try:
            own[name] = version(name)
        except PackageNotFoundError:
            own[name] = "not installed"
    done = subprocess.run([PEERS, "-c", ASK, *LIBRARIES], capture_output=True, text=True, check=True)
    return {"own": own, "peers": json.loads(done.stdout)}


def load(name: str) -> dict[str, Any]:
    """What benchmarks/results/NAME.json holds; an empty set of results where there is none."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"rows": {}}


def save(name: str, results: dict[str, Any], text: str) -> None:
    """Write the results as JSON and as Markdown."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (RESULTS / f"{name}.md").write_text(text, encoding="utf-8")


def preamble(results: dict[str, Any]) -> str:
    """One paragraph on where the numbers come from."""
    here, made = results["machine"], results["versions"]
    units = ", ".join(here["vector units"]) or "none of " + ", ".join(FLAGS)
    own, peers = (
        ", ".join(f"{name} {number}" for name, number in made[side].items()) for side in ("own", "peers")
    )
    return (
        f"{here['processor']}, {here['cores']} cores, {here['system']}; vector"
        f" units: {units}. Own process: {own}. Peers' process: {peers}.\n"
    )


def duration(seconds: float) -> str:
    """Seconds in the unit that suits them."""
    units = (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6))
    unit, size = next((pair for pair in units if seconds >= pair[1]), units[-1])
    return f"{seconds / size:.3g} {unit}"


def spread(timing: dict[str, Any]) -> str:
    """The median with its quartiles."""
    low, high = timing["quartiles"]
    middle = duration(timing["seconds"])
    return f"{middle} ({duration(low)} to {duration(high)})" if timing["rounds"] > 1 else middle
