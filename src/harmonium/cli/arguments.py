"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DATA_HELP = "A bundled data set (digits, digits-grey, digits-counts, bars-and-stripes, wine) or a file."
DIR_HELP = "A folder that [bold]fit[/bold] has written, or a .safetensors file that hm.save has."
FILE_HELP = "Where to: .npy, .npz, .csv, .parquet or .h5."

Data = Annotated[str, typer.Argument(metavar="DATA", help=DATA_HELP, show_default=False)]
Model = Annotated[Path, typer.Argument(metavar="DIR", help=DIR_HELP, show_default=False)]
Force = Annotated[bool, typer.Option("--force", help="Replace FILE where it exists.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Same seed, same numbers.")]
Split = Annotated[
    str | None,
    typer.Option("--split", help="train, valid or test. [dim]default: test[/dim]", show_default=False),
]
