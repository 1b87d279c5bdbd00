"""`harmonium fit`: from a table to a model, its report, and all that is needed to go on or to repeat it."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from harmonium import checks, data, processes, store
from harmonium.cli import folder, machines, torchrun, values
from harmonium.cli.arrange import arranged, of_text
from harmonium.cli.entry import Interrupted, deafen, os_sentence
from harmonium.cli.finish import LiveMetrics, data_facts, finish
from harmonium.cli.options import FitOptions, resumed
from harmonium.data import Dataset
from harmonium.learning import ALGORITHMS
from harmonium.models import RBM, EnergyModel
from harmonium.recipes import History, fit
from harmonium.recipes.model_choice import Maker, hidden_units


def run(options: FitOptions) -> None:
    """Train, measure and write. All input is checked before anything is written."""
    with torchrun.joined(options.device) as device:
        _run(options, device)


def _run(options: FitOptions, device: str) -> None:
    options = torchrun.restarted(options, processes.by_first(partial(torchrun.written, options.out)))
    processes.by_first(partial(folder.check_writable, options.out, options.resume, options.force))
    if options.resume:
        options = resumed(options, processes.by_first(partial(folder.read_settings, options.out)))
    check_options(options)
    dataset = data.load(options.data, of_text(options))
    dataset = arranged(options, with_shape(dataset, options.shape))
    facts = processes.by_first(partial(data_facts, options.data, dataset))
    if options.resume:
        processes.by_first(partial(check_same_data, options, facts["fingerprint"]))
    model, make = before_training(options, dataset, device)
    reason = model.reason_not_normalizable()
    if reason:
        raise ValueError(f"these units can't be trained: {reason}")
    with ExitStack() as stack:
        prepare = partial(folder.prepared, options.out, options.force)
        created = processes.by_first(lambda: stack.enter_context(prepare()))
        if options.resume and not processes.by_first(partial(folder.recover, options.out)):
            options = replace(options, resume=False)  # it was killed before its first checkpoint
        settings = {"options": options.to_json(), "data": facts, "launch": torchrun.launch()}
        processes.by_first(partial(folder.write_settings, options.out, settings))
        try:
            learn(options, make or model, dataset)
        except BaseException as error:
            deafen()
            if processes.first():
                folder.drop_beginning(options.out, created)
            if isinstance(error, KeyboardInterrupt):
                raise Interrupted(folder.what_is_saved(options.out)) from None
            if isinstance(error, OSError):  # no room, no permission, or another process is gone
                kind = ConnectionError if isinstance(error, ConnectionError) else OSError
                raise kind(f"{os_sentence(error)[:-1]}; {folder.what_is_saved(options.out)}") from error
            raise


def learn(options: FitOptions, model: EnergyModel | Maker, dataset: Dataset) -> None:
    """Train and measure a machine, or one of those that `model` makes."""
    start = time.perf_counter()
    history = train(options, model, dataset)
    finish(options, history.model, dataset, history, time.perf_counter() - start)


def recorded(options: FitOptions) -> list[dict[str, Any]]:
    """What the run that goes on has measured so far."""
    if not options.resume:
        return []
    found = [options.out / name for name in (folder.LAYERS, folder.CHECKPOINT)]
    return [r for path in found if path.exists() for r in store.read_facts(path).get("records", [])]


def check_options(options: FitOptions) -> None:
    """Refuse options that are wrong by themselves."""
    if options.steps is not None and options.minutes is not None:
        raise ValueError("--steps and --minutes both say when to stop; give one of them.")
    if options.minutes is not None:
        checks.positive("--minutes", options.minutes)
    checks.seed("--seed", options.seed)
    if options.algorithm is not None:
        checks.one_of("--algorithm", options.algorithm, ALGORITHMS)
    checks.one_of("--model", options.model, machines.MACHINES)
    machines.check(options)
    machines.widths(options.hidden)
    checks.one_of("--dtype", options.dtype, ("float32", "float64"))
    checks.device("--device", options.device)


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


def before_training(options: FitOptions, dataset: Dataset, device: str) -> tuple[EnergyModel, Maker | None]:
    """(the machine on a device, what makes it from a number of hidden units where this is to be chosen)."""
    place = {"dtype": getattr(torch, options.dtype), "device": device, "seed": options.seed}

    wanted = machines.Wanted(options, dataset, place)

    def make(number: int) -> RBM:
        visible, kind = wanted.visible(), options.hidden_type
        hidden = hidden_units(visible, number) if kind is None else values.hidden_units(kind, number)
        machine = RBM(visible, hidden, **place)
        machine.schema = dataset.schema
        return machine

    if options.model == "rbm" and options.hidden is None:
        return make(1), make
    machine = machines.MACHINES[options.model].make(wanted)
    machine.schema = dataset.schema
    return machine, None


def train(options: FitOptions, model: EnergyModel | Maker, dataset: Dataset) -> History:
    """The course of training; a function that makes machines gets the number of hidden units that pays."""
    live = []
    with processes.agreeing():
        if processes.first():
            live = [LiveMetrics(options.out / folder.METRICS, recorded(options))]
    return fit(
        model,
        dataset.table("train"),
        validation=dataset.table("valid"),
        seed=options.seed,
        steps=options.steps,
        minutes=options.minutes,
        batch_size=options.batch_size,
        negatives=options.algorithm,
        callbacks=live,
        progress=False if options.quiet else None,
        checkpoint=options.out / folder.CHECKPOINT,
        resume=options.resume,
    )
