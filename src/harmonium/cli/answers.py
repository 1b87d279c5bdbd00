"""The commands that ask a model about a table: all that `--help` shows of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harmonium.cli.arguments import FILE_HELP, Data, Force, Model, Seed, Split


def impute(
    model: Model,
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA", help="A file with empty or NaN cells: .csv, .parquet, .npy, .npz or .h5."
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            show_default=False,
            help="Where to: .npy, .npz, .csv, .parquet, .h5 or .png.",
        ),
    ],
    draw: Annotated[
        bool, typer.Option("--draw", help="Fill in a random draw in place of the best guess.")
    ] = False,
    draws: Annotated[
        int | None,
        typer.Option(
            "--draws",
            metavar="N",
            min=1,
            help="N such draws, in files of their own: FILE-1, ..., FILE-N.",
            show_default=False,
        ),
    ] = None,
    uncertainty: Annotated[
        Path | None,
        typer.Option(
            "--uncertainty",
            metavar="FILE",
            help="Where to write how uncertain the best guess for each cell is.",
            show_default=False,
        ),
    ] = None,
    seed: Seed = 0,
    force: Force = False,
) -> None:
    """Fill in the missing cells of DATA, given the other cells of their rows.

    The best guess for a cell is its most probable value; where cells hold
    real numbers it is their mean, for counts rounded. Its uncertainty is the
    probability that another value is the true one, or for numbers the
    standard deviation; 0 for cells that are known.

    With --draw, all missing cells of a row are drawn together from their
    conditional distribution, which keeps their spread and how they hang
    together. For an analysis take several --draws, analyse each, and pool.

    [bold]Examples[/bold]

      harmonium impute runs/votes gaps.csv -o filled.csv --uncertainty doubt.csv
      harmonium impute runs/votes gaps.csv -o drawn.csv --draws 20
    """
    from harmonium.cli.impute import run

    run(model, data, out, draw=draw, draws=draws, uncertainty=uncertainty, seed=seed, force=force)


def conditional(
    model: Model,
    data: Data,
    column: Annotated[
        str,
        typer.Option(
            "--column", metavar="NAME", help="Its name, or its number where it has none.", show_default=False
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help=FILE_HELP, show_default=False)
    ] = None,
    split: Split = None,
    seed: Seed = 0,
    force: Force = False,
) -> None:
    """Say what a column may hold in each row of DATA, given the rest of the row.

    The probability of each of its values; for real numbers and for counts
    without end the mean, the standard deviation and three quantiles. What
    DATA holds in this column counts for nothing.

    Without -o the first rows are printed.

    [bold]Examples[/bold]

      harmonium conditional runs/wine wine --column alcohol
      harmonium conditional runs/votes new.csv --column party -o party.csv
    """
    from harmonium.cli.conditional import run

    run(model, data, column, out, split=split, seed=seed, force=force)


def surprise(
    model: Model,
    data: Data,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help=FILE_HELP, show_default=False)
    ] = None,
    top: Annotated[int, typer.Option("--top", metavar="N", min=1, help="Cells to show.")] = 20,
    png: Annotated[
        Path | None,
        typer.Option("--png", metavar="FILE", help="Where to: a picture of them, .png.", show_default=False),
    ] = None,
    split: Split = None,
    seed: Seed = 0,
    force: Force = False,
) -> None:
    """Find the most surprising cells of DATA, each given the rest of its row.

    The surprise of a cell is -log P(cell | rest of the row), in nats, and its
    excess what it is above the surprise that the model expects there, by
    which columns of all kinds compare. Rows are counted from 1.

    FILE gets for each row log P of what is known of it, with its interval,
    and the surprise of each of its cells.

    [bold]Examples[/bold]

      harmonium surprise runs/wine wine
      harmonium surprise runs/votes new.csv --top 50 -o cells.csv --png cells.png
    """
    from harmonium.cli.surprise import run

    run(model, data, out, png, top=top, split=split, seed=seed, force=force)


def report(
    model: Model,
    data: Data,
    out: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="FILE", help="Where to: a page, .html.", show_default=False),
    ],
    split: Split = None,
    seed: Seed = 0,
    force: Force = False,
) -> None:
    """Write a page on what a model has made of DATA.

    The log-likelihood of its rows, each column and each pair of columns in
    the data and in samples of the model, and the most surprising cells.

    Rows are those of the part test of DATA, or all rows of a file that holds
    a single table, unless the model has learned from that very file.

    [bold]Examples[/bold]

      harmonium report runs/wine wine -o wine.html
      harmonium report runs/votes new.csv -o new.html
    """
    from harmonium.cli.page import run

    run(model, data, out, split=split, seed=seed, force=force)
