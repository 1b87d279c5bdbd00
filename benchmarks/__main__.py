"""Run the benchmarks: `python -m benchmarks [NAME ...] [OPTION ...]`, all of them where no name is given.

A benchmark is a module of this package that prints what it measured when run by itself, with its own options:
`python -m benchmarks.NAME --help`. Options are handed on to each.
"""

import pkgutil
import subprocess
import sys

import benchmarks


def names() -> list[str]:
    """The benchmarks present, in the order of the alphabet."""
    found = (module.name for module in pkgutil.iter_modules(benchmarks.__path__))
    return sorted(name for name in found if not name.startswith("_"))


def main(wanted: list[str]) -> int:
    """Runs the benchmarks named, or all; 2 where a name is unknown, 1 where a benchmark fails."""
    present = names()
    options = [text for text in wanted if text.startswith("-")]
    wanted = [text for text in wanted if not text.startswith("-")]
    print("benchmarks present:", ", ".join(present) or "none yet")
    unknown = [name for name in wanted if name not in present]
    if unknown:
        print(f"no benchmark of the name {', '.join(unknown)}", file=sys.stderr)
        return 2
    failed = []
    for name in wanted or present:
        print(f"\n== {name}", flush=True)
        if subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *options], check=False).returncode:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
