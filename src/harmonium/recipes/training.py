"""`hm.fit`: from data to a trained model, with no other argument needed."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from harmonium import __version__, checks, processes, store
from harmonium.columns import Schema
from harmonium.learning import (
    Average,
    Batches,
    FreeCells,
    Learner,
    MeanCells,
    NegativePhase,
    WeightDecay,
)
from harmonium.learning.loop import Callback, Transform, divides
from harmonium.models import EnergyModel, Objective
from harmonium.models.energy import energy_model
from harmonium.models.forbidden import check_possible
from harmonium.models.intake import Rows
from harmonium.random import Address, Purpose
from harmonium.recipes import default_negatives, settings
from harmonium.recipes.layerwise import fit_layers
from harmonium.recipes.model_choice import chosen, prepared
from harmonium.recipes.rules import Rule, standard_rules
from harmonium.recipes.run.checkpointing import Interruption, checkpoint_at
from harmonium.recipes.run.course import Run
from harmonium.recipes.run.history import History, ProgressBar
from harmonium.recipes.run.learning_rate import Schedule
from harmonium.recipes.run.likelihoods import SUBSET
from harmonium.recipes.run.measurement import Meter
from harmonium.recipes.settings import Settings, UserSettings
from harmonium.recipes.split import split
from harmonium.recipes.start import counts, real_columns
from harmonium.recipes.start.initialisation import let_chains_jump, start
from harmonium.recipes.start.real_columns import centred_rows, few_valued, few_values_warning
from harmonium.recipes.user_warnings import data_warnings, training_warnings
from harmonium.sampling.free import filled


def fit(  # noqa: PLR0913  # the face of the package: each setting by its name, none needed
    model: Any,
    X: Any = None,
    *,
    schema: Schema | None = None,
    validation: Any = None,
    seed: int = 0,
    steps: int | None = None,
    minutes: float | None = None,
    sample_weight: Any = None,
    batch_size: int | None = None,
    chains: int | None = None,
    gibbs_steps: int | None = None,
    learning_rate: float | None = None,
    weight_decay: float | None = None,
    optimiser: str | torch.optim.Optimizer | None = None,
    negatives: str | NegativePhase | None = None,
    objective: Objective | None = None,
    transforms: Sequence[Transform] = (),
    callbacks: Sequence[Callback] = (),
    rules: Sequence[Rule] | None = None,
    progress: bool | None = None,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    state: Mapping[str, Tensor] | None = None,
) -> History:
    """Train `model` on the rows of `X` by maximum likelihood; the model is changed in place. In a process
    group every process makes the same call, and does its share (docs/processes.md).

    `hm.fit(X)` makes the model itself and returns it as `history.model`: an RBM with visible units for the
    values of X (column by column 0/1, ±1 or real), and as many 0/1 hidden units as short trials find to pay
    on held-out rows, beside Gaussian ones where several columns are real. A table whose columns have names
    gets a `hm.Schema` (see there how the kind of a column is told), or the one that is given, and
    `history.model` then takes and gives such tables. With visible units given, `hm.fit(hm.Poisson(8), X)`,
    or a function, `hm.fit(make, X)` with make(hidden units), hidden units are found likewise.

    Two coupled blocks (RBMs of any units) start with the means and the principal directions of the data, or
    with the separate clouds of its real columns, and learn by the natural gradient with persistent chains
    that start at rows; other pairwise models learn by the centred gradient, any other energy by Adam; models
    with at most 2¹² visible states by the exact gradient, and those with as many hidden ones from independent
    draws. The parameters are averaged over the last updates; along the way replicas at several temperatures
    follow the model and tell its log Z. When the likelihood of the validation rows stops improving, the steps
    begin to fall early. The model returned is the last one, unless an earlier one was better for these rows
    beyond doubt. A run that diverges goes back to its best model and takes smaller steps. Where chains keep
    to their modes, training begins anew with replicas at several temperatures. All of these are rules
    (`harmonium.recipes.rules`), and can be left out. Gaussian columns far from zero are learned about their
    means, and that is what callbacks see; the model returned is again one of the rows as they are.

    Args:
        model: the model, as constructed or already trained; or visible units; or the rows, and no X; or a
            function from a number of hidden units to a model, for which this number is chosen.
        X: (rows, columns): array, memory map, tensor or DataFrame of visible states. For 0/1 units values
            between 0 and 1 are taken as probabilities and drawn anew each epoch; for one-hot sites integers
            0 … q-1 will do.
        schema: what the columns of X are, where there is no model; a model has its own (`model.schema`).
        validation: rows to select the model on. By default a tenth of X is held out, if that leaves enough.
        seed: of everything random. The same seed gives the same model on any number of threads of a machine;
            another processor, or products without MKL, round differently, which shows (docs/kernels.md).
        steps: updates to make; by default 20,000 (10,000 for wide models, 3,000 for fewer than 5,000 rows,
            and three a row, but 400 at least, for fewer than 1,000 rows with real columns or counts and no
            exact log Z).
        minutes: time to spend instead. The result then depends on the speed of the machine.
        sample_weight: (rows,), weights of the rows of X, at least 0.
        batch_size: rows per update; default 256, or all rows up to 5,802 where the gradient is exact.
        chains: persistent chains; default 512.
        gibbs_steps: sweeps of the chains between updates; default 2.
        learning_rate: default 0.4 (natural; 1 for filters; less for many parameters; 1 for few classes given
            features), by the covariance of the rows (centred), 0.002 (adam; 0.02 with an exact gradient of
            all rows). It falls to 2 % over the second half, and is halved when training diverges.
        weight_decay: strength λ of the penalty (λ/2) Σ W². The default is a Gaussian prior of variance ½ on
            the couplings, λ = 2 / rows, for bounded visible units and 100 rows or more, which then follows
            the validation rows; fewer rows, or rows that all repeat each other, are taken for the whole
            distribution.
        optimiser: "natural", "centred", "adam", or a `torch.optim` optimiser over the model's parameters,
            which gets the plain gradient (give `transforms` for another).
        negatives: how the negative phase is had: a name of `learning.ALGORITHMS` ("cd", "pcd", "fpcd", "pt",
            "trajectory", "restart", "ancestral", "exact", "pl", "stochastic-pl", "mean-field", "tap") or a
            `learning.NegativePhase`. By default persistent chains, the exact gradient for at most 2¹² visible
            states, or independent draws for as many hidden ones (fewer where fewer chains are asked for).
        objective: what is made large instead of log P of whole rows, a `models.Objective`: log P of some
            columns given the others (discriminative learning), and a share of the former (hybrid). A model
            may have one of its own (`hm.LabelledRBM`, `hm.ConditionalRBM`).
        transforms: changes to the gradient, e.g. regularisers, applied in order after the optimiser's own.
        callbacks: called after each update, and what they have as `record` with each new record.
        rules: what to do on the way when a measurement asks for it, `recipes.rules.standard_rules()` by
            default; none, `()`, for plain training.
        progress: show a progress bar; by default when stderr is a terminal.
        checkpoint: file to write the run to at each measurement, each trial, and after the present update
            when Ctrl-C or SIGTERM stops the run. The one before it is kept beside it.
        resume: go on from `checkpoint`; the run then equals one that was never stopped. A damaged one is
            warned about, and the one before it used.
        state: `history.state` of an earlier call on this model, which this one goes on from, with its chains
            and what it knows of the curvature (a warm start): for rows that come piece by piece.

    Returns:
        The `History`: records, settings, warnings.

    Raises:
        TypeError, ValueError: wrong input, in one sentence. FloatingPointError: training diverged.

    >>> import harmonium as hm
    >>> rbm = hm.RBM(visible=hm.Bernoulli(4), hidden=hm.Bernoulli(3))
    >>> history = hm.fit(rbm, [[0, 0, 1, 1], [1, 1, 0, 0]] * 10, steps=20)
    >>> history.records[-1]["step"]
    20

    A lattice, and a machine with lateral couplings, learn by the same call:

    >>> import networkx
    >>> mrf = hm.MarkovRandomField.ising(networkx.path_graph(4), 0.0, 0.0)
    >>> history = hm.fit(mrf, [[0, 0, 1, 1], [1, 1, 0, 0]] * 10, steps=200)
    >>> hm.log_likelihood(mrf, [[0, 0, 1, 1]]).value > -2.0
    True
    >>> history = hm.fit(hm.BoltzmannMachine(4, 2), [[0, 0, 1, 1], [1, 1, 0, 0]] * 10, steps=20)
    >>> "train_log_likelihood" in history.records[-1]
    True
    """
    given = {name: value for name, value in locals().items() if name not in ("model", "X", "schema")}
    _check(given)
    seed = checks.seed("seed", seed)
    asked = UserSettings(seed, steps, minutes, batch_size, chains, gibbs_steps, learning_rate, weight_decay)
    by_layer = fit_layers(model, X, fit, given)
    if by_layer is not None:
        return by_layer
    kept, found = checkpoint_at(checkpoint, resume), None
    model, X, validation, make = prepared(model, X, validation, schema, seed)
    if make is not None:
        # what was saved may be of the trials, which ended before the run
        resume = resume and not (kept and "trials" in store.read_facts(kept.path))
        more = {"validation": validation, "sample_weight": sample_weight, "progress": progress}
        model, asked, found = chosen(fit, make, X, asked, more | {"rules": rules}, kept)
    _check_model(model)
    check_possible(model, X)
    check_possible(model, validation, "validation")
    rows, valid, weights = split(model, X, validation, sample_weight, seed)
    narrow = few_valued(model, rows)
    objective = default_negatives.objective_for(model, objective, negatives)
    negative_phase = default_negatives.negative_phase(model, asked, negatives, objective)
    origin = _origin(model, rows, negatives, state)
    if origin is not None:
        rows, valid = centred_rows(rows, origin), None if valid is None else centred_rows(valid, origin)
    plan = settings.resolve(model, rows, asked, optimiser, negative_phase, objective)
    divided = divides(model, negative_phase) and plan.batch_size >= processes.count()
    gauge = real_columns.without_gauge(model)
    with real_columns.centred(model, origin), gauge, processes.repeating(not divided):
        begin = partial(_begin, model, copy.deepcopy(model.state_dict()), rows, weights, seed)
        if not resume:
            begin(negative_phase)
        let_chains_jump(model, rows, weights, negative_phase)
        schedule = Schedule(plan)
        decay = WeightDecay(plan.weight_decay) if plan.weight_decay else None
        learner = Learner(
            model,
            Batches(rows.x, plan.batch_size, rows.prepare, weights, seed, fixed=rows.kind != "probabilities"),
            negative_phase,
            settings.optimiser_for(model, plan, optimiser),
            # the penalty first, so that the method measures both in the same way
            [*([] if decay is None else [decay]), *settings.preconditioner(model, plan), *transforms],
            None if plan.optimiser == "given" and learning_rate is None else schedule.learning_rate,
            free_cells=_free_cells(model, rows, plan),
        )
        average = Average(model)
        follows = None if weight_decay is not None or not settings.natural_gradient_fits(model) else decay
        if objective is not None:
            follows = None
        meter = Meter(learner, average, schedule, rows.states(SUBSET), valid, follows, objective)
        said = [] if model.schema is None else list(model.schema.warnings)
        said += data_warnings(model, rows) + few_values_warning(model, rows, narrow)
        said += default_negatives.unused(asked, negatives, negative_phase, len(rows))
        said += real_columns.distance_warning(model, rows, origin)
        history = History(model, settings=_settings(plan, model, rows, valid), warnings=said)
        history.settings |= {} if found is None else {"hidden_tried": found["tried"]}
        judges = standard_rules() if rules is None else copy.deepcopy(tuple(rules))
        run = Run(learner, average, schedule, meter, judges, history)
        run.begin = begin if negatives is None else None
        first = run.read(kept.path) if kept is not None and resume else 0
        if state is not None:
            run.go_on(state)

        def save(step: int) -> None:
            if kept is not None:
                run.write(kept, step, found)

        shown = progress if processes.first() else False
        with ProgressBar(schedule, shown) as bar, Interruption(kept, save) as interruption:
            run.told += [c.record for c in (*callbacks, bar) if hasattr(c, "record")]
            run.told += [lambda record: save(record["step"])]
            last = first if run.over else plan.steps
            limits = [*real_columns.limits(model, narrow), *counts.limits(model, rows)]
            made = run.made(last, [*limits, average, *callbacks, bar, run, interruption], first)
        run.finish(made)
        history.state = run.state(origin)
    history.warnings += training_warnings(history)
    return history


def _check(given: Mapping[str, Any]) -> None:
    """Refuse arguments of another kind, before any work is done.

    Args:
        given: the arguments of `hm.fit` by their names.

    Raises:
        TypeError, ValueError: naming the argument.
    """
    for name in ("transforms", "callbacks"):
        for k, each in enumerate(checks.a_list(name, given[name], "functions")):
            checks.function(f"{name}[{k}]", each)
    for rule in () if given["rules"] is None else checks.a_list("rules", given["rules"], "rules"):
        if not isinstance(rule, Rule):
            known = "rules such as recipes.rules.KeepBest()"
            raise TypeError(f"rules must hold {known}, got {checks.describe(rule)}.")
    optimiser, state = given["optimiser"], given["state"]
    if not isinstance(optimiser, (str, type(None))) and not all(
        hasattr(optimiser, n) for n in ("zero_grad", "step", "param_groups", "state_dict")
    ):
        raise TypeError(
            f"optimiser must be a name or a torch.optim optimiser, got {checks.describe(optimiser)}."
        )
    if not isinstance(state, (Mapping, type(None))):
        raise TypeError(
            f"state must be the history.state of an earlier call of hm.fit, got {checks.describe(state)}."
        )
    for name in ("progress", "resume"):
        if given[name] is not None:
            checks.boolean(name, given[name])


def _free_cells(model: EnergyModel, rows: Rows, plan: Settings) -> FreeCells | MeanCells | None:
    """What stands for cells that rows don't tell."""
    if model.latent_means:
        return MeanCells()
    return FreeCells(rows.pieces(), model, plan.gibbs_steps, plan.seed) if rows.free else None


def _begin(
    model: EnergyModel,
    fresh: Mapping[str, Tensor],
    rows: Rows,
    weights: Tensor | None,
    seed: int,
    negatives: NegativePhase,
) -> None:
    """Put the model where training starts, and chains at rows."""
    model.load_state_dict(fresh)
    start(model, rows, weights)
    negatives.begin(model, filled(model, rows.states(SUBSET), Address(seed, Purpose.CLAMP)))


def _check_model(model: Any) -> None:
    reason = energy_model("model", model).reason_not_normalizable()
    if reason:
        raise ValueError(f"model: {reason}")


def _origin(
    model: EnergyModel, rows: Rows, negatives: Any, state: Mapping[str, Tensor] | None
) -> Tensor | None:
    """Where zero is to lie while training: chains that were handed in may be rows as they are."""
    if state is not None:
        return state.get("origin")
    if negatives is None or isinstance(negatives, str):
        return real_columns.far_column_means(model, rows)
    return None


def _settings(plan: Settings, model: EnergyModel, rows: Rows, valid: Rows | None) -> dict[str, Any]:
    return asdict(plan) | {
        "rows": len(rows),
        "validation_rows": 0 if valid is None else len(valid),
        "data": rows.kind,
        "dtype": str(model.dtype).removeprefix("torch."),
        "device": str(model.device),
        "harmonium": __version__,
        "torch": torch.__version__,
    }
