"""What people see while they wait, on stderr, and tables on stdout."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Progress = Callable[[float, str], None]


@contextmanager
def waiting(what: str, quiet: bool = False) -> Iterator[Progress | None]:
    """A bar on stderr for work of unknown length; yields None where nobody is watching.

    The bar is told the share of the work done, 0 to 1, and what is being done.
    """
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=1.0)
        yield lambda share, words: bar.update(task, completed=share, description=f"{what}: {words}")


def table(title: str, rows: list[tuple[str, str]]) -> None:
    """Two columns of text on stdout under a title, in plain text where stdout is no terminal."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    width = None if sys.stdout.isatty() else 110
    grid = Table(title=Text(title, "bold"), title_justify="left", box=SIMPLE_HEAD, show_header=False)
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in rows:
        grid.add_row(Text(name), Text(value))
    console = Console(width=width, highlight=False)
    with console.capture() as text:
        console.print(grid)
    print("\n".join(line.rstrip() for line in text.get().rstrip().splitlines()))


def say(text: str, quiet: bool = False) -> None:
    """A line on stdout."""
    if not quiet:
        print(text)


def interval(estimate: Any) -> str:
    """The value of an Estimate with its interval, or 'exact'."""
    if estimate.low == estimate.high:
        return f"{estimate.value:.4f} nats per row (exact)"
    return f"{estimate.value:.4f} nats per row, 95 % interval [{estimate.low:.4f}, {estimate.high:.4f}]"


def frame(rows: Any, index: bool = True) -> str:
    """A data frame as plain text, numbers with four significant digits."""
    return str(rows.to_string(index=index, float_format=lambda x: f"{x:.4g}", max_colwidth=24))
