"""`harmonium fit`: from a table to a model, its report, and all that is needed to go on or to repeat it."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import torch

from harmonium import checks, data, store
from harmonium.cli import folder, values
from harmonium.cli.entry import Interrupted
from harmonium.cli.finish import LiveMetrics, data_facts, finish
from harmonium.cli.options import FitOptions, resumed
from harmonium.data import Dataset
from harmonium.learning import ALGORITHMS
from harmonium.models import RBM
from harmonium.recipes import History, fit


def run(options: FitOptions) -> None:
    """Train, measure and write. All input is checked before anything is written."""
    folder.check_writable(options.out, options.resume, options.force)
    if options.resume:
        options = resumed(options, folder.read_settings(options.out))
    check_options(options)
    dataset = with_shape(data.load(options.data), options.shape)
    facts = data_facts(options.data, dataset)
    if options.resume:
        check_same_data(options, facts["fingerprint"])
    model = new_model(options, dataset)
    reason = model.reason_not_normalizable()
    if reason:
        raise ValueError(f"these units can't be trained: {reason}")
    with folder.prepared(options.out, options.force) as created:
        if options.resume and not folder.recover(options.out):
            options = replace(options, resume=False)  # it was killed before its first checkpoint
        folder.write_settings(options.out, {"options": options.to_json(), "data": facts})
        try:
            learn(options, model, dataset)
        except BaseException as error:
            folder.drop_beginning(options.out, created)
            if isinstance(error, KeyboardInterrupt):
                raise Interrupted(folder.what_is_saved(options.out)) from None
            raise


def learn(options: FitOptions, model: RBM, dataset: Dataset) -> None:
    """Train and measure."""
    start = time.perf_counter()
    history = train(options, model, dataset)
    finish(options, model, dataset, history, time.perf_counter() - start)


def recorded(options: FitOptions) -> list[dict[str, Any]]:
    """What the run that goes on has measured so far."""
    if not options.resume:
        return []
    return list(store.read_facts(options.out / folder.CHECKPOINT).get("records", []))


def check_options(options: FitOptions) -> None:
    """Refuse options that are wrong by themselves."""
    if options.steps is not None and options.minutes is not None:
        raise ValueError("--steps and --minutes both say when to stop; give one of them.")
    if options.minutes is not None:
        checks.positive("--minutes", options.minutes)
    checks.seed("--seed", options.seed)
    if options.algorithm is not None:
        checks.one_of("--algorithm", options.algorithm, ALGORITHMS)
    checks.one_of("--dtype", options.dtype, ("float32", "float64"))
    try:
        torch.empty(0, device=options.device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"--device {options.device} can't be used here; 'cpu' always can.") from error


def check_same_data(options: FitOptions, fingerprint: str) -> None:
    """Refuse to go on with other rows than those that training began with."""
    before = folder.read_settings(options.out)["data"]
    if before["fingerprint"] != fingerprint:
        raise ValueError(
            f"{options.data} isn't what the run in {options.out} has learned from ({before['name']})."
        )


def with_shape(dataset: Dataset, text: str | None) -> Dataset:
    """The data set with its rows as pictures of the shape asked for, such as "28x28"."""
    if text is None:
        return dataset
    height, _, width = text.lower().partition("x")
    if not (height.isdecimal() and width.isdecimal()):
        raise ValueError(f"--shape must be height and width such as 28x28, got {text!r}.")
    if int(height) * int(width) != dataset.width:
        raise ValueError(
            f"--shape {text} makes {int(height) * int(width)} pixels of {dataset.width} columns."
        )
    return replace(dataset, shape=(int(height), int(width)))


def new_model(options: FitOptions, dataset: Dataset) -> RBM:
    """The machine before training: visible units for the columns, and the hidden units asked for."""
    visible = values.visible_units(dataset, options.visible)
    number = options.hidden or min(512, max(16, 2 * dataset.width))
    hidden = values.hidden_units(options.hidden_type, number)
    dtype = getattr(torch, options.dtype)
    return RBM(visible, hidden, dtype=dtype, device=options.device, seed=options.seed)


def train(options: FitOptions, model: RBM, dataset: Dataset) -> History:
    """The course of training."""
    return fit(
        model,
        dataset.table("train"),
        validation=dataset.table("valid"),
        seed=options.seed,
        steps=options.steps,
        minutes=options.minutes,
        batch_size=options.batch_size,
        negatives=options.algorithm,
        callbacks=[LiveMetrics(options.out / folder.METRICS, recorded(options))],
        progress=False if options.quiet else None,
        checkpoint=options.out / folder.CHECKPOINT,
        resume=options.resume,
    )
