"""Run the benchmarks: `python -m benchmarks [NAME ...]`, all of them where no name is given.

A benchmark is a module of this package with a function `main()` that prints what it measured.
"""

import importlib
import pkgutil
import sys

import benchmarks


def names() -> list[str]:
    """The benchmarks present, in the order of the alphabet."""
    found = (module.name for module in pkgutil.iter_modules(benchmarks.__path__))
    return sorted(name for name in found if not name.startswith("_"))


def main(wanted: list[str]) -> int:
    """Run the benchmarks named, or all; 2 where a name is unknown."""
    present = names()
    print("benchmarks present:", ", ".join(present) or "none yet")
    unknown = [name for name in wanted if name not in present]
    if unknown:
        print(f"no benchmark of the name {', '.join(unknown)}", file=sys.stderr)
        return 2
    for name in wanted or present:
        print(f"\n== {name}", flush=True)
        importlib.import_module(f"benchmarks.{name}").main()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
