"""The commands and their options: all that `--help` shows. The work is done elsewhere, loaded when needed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harmonium import __version__
from harmonium.cli import answers, torchrun
from harmonium.cli.arguments import Data, Force, Model, Seed, Split

app = typer.Typer(
    add_completion=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    epilog="Every command says more with --help, as in: harmonium fit --help",
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"harmonium {__version__}")
        raise typer.Exit()


@app.callback(invoke_without_command=True)
def harmonium(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Restricted Boltzmann machines from the command line: learn, measure, ask.

    [bold]Quick start[/bold]

      harmonium fit digits --out runs/digits
      harmonium evaluate runs/digits digits
      harmonium sample runs/digits -n 100 -o samples.png

    Then open runs/digits/report.html.

    [bold]DATA[/bold] is the name of a bundled data set, or a file .npy, .npz,
    .csv, .parquet or .h5 with a row for each example and a column for each
    variable. An .npz or .h5 may hold the arrays train, valid and test.
    Columns that have names may hold text, and are found by them in any order.

    Energies and log-likelihoods are in nats. After a mistake in the options or
    the data the exit status is 2, and one sentence on stderr says what it was.
    """
    torchrun.check(context.invoked_subcommand)
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit()


@app.command()
def fit(
    data: Data,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for all results.", show_default=False)
    ],
    hidden: Annotated[
        str | None,
        typer.Option(
            "--hidden",
            metavar="N",
            help="Hidden units, of --model deep or belief layer by layer: 500,1000; filters of convolutional."
            " [dim]default: as many as short trials find to pay[/dim]",
        ),
    ] = None,
    steps: Annotated[int | None, typer.Option("--steps", min=1, help="Updates to make in all.")] = None,
    minutes: Annotated[
        float | None, typer.Option("--minutes", help="Minutes to train, in place of --steps.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Same seed, same model.")] = 0,
    model: Annotated[
        str,
        typer.Option(
            "--model",
            metavar="NAME",
            help="rbm, deep, belief, labelled, conditional, temporal or convolutional.",
        ),
    ] = "rbm",
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in DIR.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the run in DIR.")] = False,
    visible: Annotated[
        str | None,
        typer.Option(
            "--visible",
            metavar="TYPE",
            help="What the columns are. [dim]default: told by their values[/dim]",
        ),
    ] = None,
    leave_out: Annotated[
        str | None,
        typer.Option(
            "--leave-out",
            metavar="NAMES",
            help="Columns not to learn, such as names of persons: name,number",
            show_default=False,
        ),
    ] = None,
    hidden_type: Annotated[
        str | None,
        typer.Option(
            "--hidden-type",
            metavar="TYPE",
            help="What the hidden units are; bernoulli by default, and where their number is chosen some"
            " gaussian ones beside them for real columns.",
            show_default=False,
        ),
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(
            "--label",
            metavar="NAME",
            help="Column of the class, of --model labelled. [dim]default: the last[/dim]",
            show_default=False,
        ),
    ] = None,
    objective: Annotated[
        str | None,
        typer.Option(
            "--objective",
            metavar="NAME",
            help="generative, discriminative or hybrid, of --model labelled. [dim]default: hybrid[/dim]",
            show_default=False,
        ),
    ] = None,
    context: Annotated[
        str | None,
        typer.Option(
            "--context",
            metavar="NAMES",
            help="Columns that are given, of --model conditional: age,place; or how many of the last ones.",
            show_default=False,
        ),
    ] = None,
    frames: Annotated[
        int | None,
        typer.Option(
            "--frames",
            min=1,
            help="Frames before it that a frame depends on, of --model temporal. [dim]default: 1[/dim]",
            show_default=False,
        ),
    ] = None,
    sequence: Annotated[
        str | None,
        typer.Option(
            "--sequence",
            metavar="NAME",
            help="Column that tells sequences apart, of --model temporal. [dim]default: one sequence[/dim]",
            show_default=False,
        ),
    ] = None,
    kernel: Annotated[
        str | None,
        typer.Option(
            "--kernel",
            metavar="SIZE",
            help="Size of the filters, 7 or 5x7, of --model convolutional. [dim]default: 7[/dim]",
            show_default=False,
        ),
    ] = None,
    pool: Annotated[
        int | None,
        typer.Option(
            "--pool", min=1, help="Side of the pools, of --model convolutional.", show_default=False
        ),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option("--batch-size", min=1, help="Rows of each update.", show_default=False),
    ] = None,
    algorithm: Annotated[
        str | None,
        typer.Option(
            "--algorithm",
            metavar="NAME",
            help="pcd, fpcd, cd, pt, trajectory, restart, exact, pl, stochastic-pl, mean-field or tap."
            " [dim]default: pcd, or exact for few columns[/dim]",
            show_default=False,
        ),
    ] = None,
    shape: Annotated[
        str | None,
        typer.Option(
            "--shape", metavar="HxW", help="Height and width where rows are pictures, such as 28x28."
        ),
    ] = None,
    device: Annotated[str, typer.Option("--device", help="cpu, cuda, cuda:1, ...")] = "cpu",
    dtype: Annotated[str, typer.Option("--dtype", help="float32 or float64.")] = "float32",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no summary.")] = False,
) -> None:
    """Learn a Boltzmann machine from DATA, and report on it.

    DIR receives

      report.html              what it has learned: open this first
      model.safetensors        the model, for the other commands and hm.load
      metrics.jsonl            a line for each record of training
      checkpoint.safetensors   for --resume, as is settings.json

    The model learns from the part train of DATA; the report measures it on
    test. Of a file that holds a single table, a tenth of the rows is set
    aside for validation and another for test.

    Where the columns of a .csv or .parquet have names, each gets units for its
    values: two values, categories, counts, real numbers.

    [bold]NAME[/bold] of a machine, its options beside it

      rbm            restricted Boltzmann machine
      deep, belief   deep Boltzmann machine, deep belief network
      labelled       rows with a class: --label, --objective
      conditional    columns given others: --context
      temporal       rows are the frames of sequences: --frames, --sequence
      convolutional  filters for pictures or sequences: --shape, --kernel, --pool

    [bold]TYPE[/bold] of units

      bernoulli    0 or 1; values between are probabilities, drawn each epoch
      spin         -1 or +1
      categorical  whole numbers from 0; categorical:5 for five states
      binomial     counts up to a maximum; binomial:16
      poisson      counts
      gaussian     real numbers; standardise them first
      relu, drelu  real numbers from 0; real numbers with a kink at 0

    [bold]Examples[/bold]

      harmonium fit digits --out runs/digits
      harmonium fit votes.csv --out runs/votes --hidden 64 --minutes 5
      harmonium fit digits --out runs/deep --model deep --hidden 100,50
      harmonium fit votes.csv --out runs/party --model labelled --label party
      harmonium fit counts.npz --visible poisson --out runs/counts
      harmonium fit digits --out runs/digits --resume
    """
    from harmonium.cli.fit import run
    from harmonium.cli.options import FitOptions

    run(
        FitOptions(
            data=data,
            out=out,
            hidden=hidden,
            steps=steps,
            minutes=minutes,
            seed=seed,
            model=model,
            resume=resume,
            force=force,
            visible=visible,
            leave_out=leave_out,
            hidden_type=hidden_type,
            label=label,
            objective=objective,
            context=context,
            frames=frames,
            sequence=sequence,
            kernel=kernel,
            pool=pool,
            batch_size=batch_size,
            algorithm=algorithm,
            shape=shape,
            device=device,
            dtype=dtype,
            quiet=quiet,
        )
    )


@app.command()
def evaluate(
    model: Model,
    data: Data,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
    split: Split = None,
    seconds: Annotated[
        float | None,
        typer.Option("--seconds", help="About how long to estimate log Z; more time, narrower interval."),
    ] = None,
    seed: Seed = 0,
) -> None:
    """Measure a model: mean log-likelihood of rows of DATA, nats per row.

    Exact where the sum over all states is affordable, otherwise estimated,
    with a 95 % interval: how well log Z is known. Beside it stands how much
    the mean would vary with other rows from the same source, and for
    comparison the log-likelihood of independent units that were fitted to
    the rows that the model has learned from. Pseudo-likelihood and
    reconstruction error are proxies, quickly had and easily misread.

    Rows are those of the part test of DATA, or all rows of a file that holds
    a single table, unless the model has learned from that very file.

    With --json the fields are value, stderr, low, high, method, ess (null
    when exact), warnings and details.

    [bold]Examples[/bold]

      harmonium evaluate runs/digits digits
      harmonium evaluate runs/digits digits --split valid --seconds 60 --json
    """
    from harmonium.cli.evaluate import run

    run(model, data, as_json=as_json, split=split, seconds=seconds, seed=seed)


@app.command()
def sample(
    model: Model,
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            show_default=False,
            help="Where to: .npy, .npz, .csv, .parquet, .h5, or .png for a picture.",
        ),
    ],
    number: Annotated[int, typer.Option("--number", "-n", metavar="N", min=1, help="Rows to draw.")] = 100,
    given: Annotated[
        Path | None,
        typer.Option(
            "--given",
            metavar="FILE",
            help="Known values, empty or NaN where free: one row for all samples, or N rows.",
            show_default=False,
        ),
    ] = None,
    sweeps: Annotated[
        int | None,
        typer.Option("--sweeps", min=1, help="Length of each Markov chain.", show_default=False),
    ] = None,
    seed: Seed = 0,
    force: Force = False,
) -> None:
    """Draw rows from a model, on their own or given part of a row.

    Draws are exact where the states of one layer can be enumerated. Otherwise
    each row is the end of a Markov chain of its own, annealed from
    independent units.

    [bold]Examples[/bold]

      harmonium sample runs/digits -n 100 -o samples.png
      harmonium sample runs/votes -n 1000 -o votes.csv --given known.csv
    """
    from harmonium.cli.sample import run

    run(model, out, number=number, given=given, sweeps=sweeps, seed=seed, force=force)


for command in (answers.impute, answers.conditional, answers.surprise, answers.report):
    app.command()(command)


@app.command()
def inspect(model: Model) -> None:
    """Show what a model is: units, parameters, training, likelihood.

    [bold]Example[/bold]

      harmonium inspect runs/digits
    """
    from harmonium.cli.inspect import run

    run(model)


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> int:
    """Say what is installed here, and test whether it computes rightly.

    What a bug report should hold: versions, the processor and the path that
    products take on it, threads, the folder of compiled code, GPUs. Then some
    draws, a product and a log Z are held against what is known; where one is
    wrong, the exit status is 1.

    [bold]Examples[/bold]

      harmonium doctor
      harmonium doctor --json
    """
    from harmonium.cli.doctor import run

    return run(as_json=as_json)
