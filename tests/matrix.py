"""Tests under every Python that harmonium admits, and with the oldest libraries: `make test-matrix`.

Each run has an environment of its own in .venv-matrix/. A Python that isn't there is named, not fetched.
TORCH says which torch to install; for the oldest libraries it is the lower bound, unless TORCH_OLDEST says
another.

    python tests/matrix.py [3.12 oldest ...] [-- pytest arguments]
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
PYTHONS = "3.11", "3.12", "3.13", "3.14"
OLDEST = "oldest"
TORCH = os.environ.get("TORCH", "torch==2.13.0")


def interpreter(version: str) -> str | None:
    """A Python of this version that runs: on the path, of pyenv, or of uv."""
    home = Path.home()
    known = [shutil.which(f"python{version}") or ""]
    known += [str(p) for p in sorted(home.glob(f".pyenv/versions/{version}.*/bin/python"))]
    known += [str(p) for p in sorted(home.glob(f".local/share/uv/python/cpython-{version}*/bin/python3"))]
    check = f"import sys; sys.exit('%d.%d' % sys.version_info[:2] != '{version}')"
    return next(
        (p for p in known if p and not subprocess.run([p, "-c", check], capture_output=True).returncode), None
    )


def lower_bounds() -> list[str]:
    """What harmonium depends on, each at the oldest version that pyproject.toml admits."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    oldest = [re.sub(r"([\w\[\]-]+)>=([\w.]+).*", r"\1==\2", need) for need in project["dependencies"]]
    torch = os.environ.get("TORCH_OLDEST")
    return [torch if torch and need.startswith("torch==") else need for need in oldest]


def run(name: str, python: str, arguments: list[str]) -> bool:
    """Make or renew an environment and run the tests in it."""
    folder = ROOT / ".venv-matrix" / name
    own = str(folder / "bin" / "python")
    pip = [own, "-m", "pip", "--disable-pip-version-check", "-q", "install", "--no-compile"]
    if not Path(own).exists():
        subprocess.run([python, "-m", "venv", str(folder)], check=True)
    # In one go: tools installed later would replace the oldest libraries by newer ones.
    wanted = lower_bounds() if name == OLDEST else [TORCH]
    try:
        subprocess.run([*pip, *wanted, "-e", ".[dev]"], cwd=ROOT, check=True)
    except subprocess.CalledProcessError:
        print(f"{name}: its libraries could not be installed")
        return False
    # Old libraries call what newer ones beside them (pyparsing, pytest) will take away one day.
    told = ["-W", "ignore::DeprecationWarning"] if name == OLDEST else []
    return subprocess.run([own, "-m", "pytest", "-q", *told, *arguments], cwd=ROOT).returncode == 0


def main(arguments: list[str]) -> int:
    """Run what is asked for, everything by default; 1 where something failed or nothing ran."""
    names, given = arguments, ["-n", "2"]
    if "--" in arguments:
        cut = arguments.index("--")
        names, given = arguments[:cut], arguments[cut + 1 :]
    said = {}
    for name in names or [*PYTHONS, OLDEST]:
        python = interpreter(PYTHONS[0] if name == OLDEST else name)
        said[name] = (
            "no such Python here" if python is None else "passed" if run(name, python, given) else "FAILED"
        )
    for name, words in said.items():
        print(f"{name:8} {words}")
    return int("FAILED" in said.values() or "passed" not in said.values())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
