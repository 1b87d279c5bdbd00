"""The options of `harmonium fit`."""

from __future__ import annotations

import csv
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

SETTINGS = "settings.json"
"""What `fit` was asked for, so that --resume need not be told again."""
KINDS: dict[str, Any] = {
    "int": int,
    "int | None": int,
    "float | None": (int, float),
    "str": str,
    "str | None": str,
}
"""What the options of a run may be in `SETTINGS`."""


@dataclass(frozen=True)
class FitOptions:
    """What to learn from, where to write, and how; the help of the command explains each."""

    data: str
    out: Path
    hidden: str | None = None
    steps: int | None = None
    minutes: float | None = None
    seed: int = 0
    model: str = "rbm"
    visible: str | None = None
    hidden_type: str | None = None
    leave_out: str | None = None
    label: str | None = None
    objective: str | None = None
    context: str | None = None
    frames: int | None = None
    sequence: str | None = None
    kernel: str | None = None
    pool: int | None = None
    batch_size: int | None = None
    algorithm: str | None = None
    shape: str | None = None
    device: str = "cpu"
    dtype: str = "float32"
    resume: bool = False
    force: bool = False
    quiet: bool = False

    def given(self) -> dict[str, Any]:
        """The options that shape the model, as far as they differ from the default."""
        plain = FitOptions(self.data, self.out)
        names = (f.name for f in fields(self) if f.name not in ("data", "out", "resume", "force", "quiet"))
        return {name: getattr(self, name) for name in names if getattr(self, name) != getattr(plain, name)}

    def command(self) -> str:
        """The command line that makes the same model.

        >>> FitOptions("my votes.csv", Path("runs/votes"), steps=500, quiet=True).command()
        "harmonium fit 'my votes.csv' --out runs/votes --steps 500"
        """
        words = ["harmonium", "fit", self.data, "--out", str(self.out)]
        for name, value in self.given().items():
            words += [flag(name), str(value)]
        return shlex.join(words)

    def to_json(self) -> dict[str, Any]:
        """What `resumed` needs."""
        return {"source": self.data, **self.given()}


def names_in(text: str | None) -> list[str]:
    """Names of columns that an option holds, separated by commas; one with a comma in quotation marks.

    >>> names_in('name,"weight, kg"'), names_in(None)
    (['name', 'weight, kg'], [])
    """
    return [name for name in next(csv.reader([text or ""], skipinitialspace=True)) if name]


def flag(name: str) -> str:
    """The option as it is written on the command line."""
    return f"--{name.replace('_', '-')}"


def resumed(options: FitOptions, settings: Mapping[str, Any]) -> FitOptions:
    """The options of the run that is resumed, which need not be given again.

    Raises:
        ValueError: an option is given, and differs from that of the run.
    """
    saved = {k: v for k, v in settings["options"].items() if k != "source"}
    if type(saved.get("hidden")) is int:  # as it was written when there was one layer
        saved["hidden"] = str(saved["hidden"])
    kinds = {f.name: KINDS.get(str(f.type)) for f in fields(FitOptions)}
    for name, value in saved.items():
        kind = kinds.get(name)
        if kind is None or not isinstance(value, kind):
            raise ValueError(
                f"{options.out / SETTINGS} is damaged, so that the run can't be resumed: it says {name!r}."
            )
    before = FitOptions(options.data, options.out, **saved)
    for name, value in options.given().items():
        old = getattr(before, name)
        if value != old:
            raise ValueError(
                f"{flag(name)} {value} is not what the run in {options.out} was started with"
                f" ({'the default' if name not in before.given() else old}); leave it out to go on."
            )
    return replace(before, resume=True, quiet=options.quiet)
