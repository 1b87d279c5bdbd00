"""`hm.fit`: from data to a trained model, with no other argument needed."""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from harmonium import __version__, checks
from harmonium.learning import (
    Average,
    Batches,
    Centring,
    ExactNegatives,
    GradientDescent,
    Learner,
    NaturalGradient,
    PersistentChains,
    Source,
    WeightDecay,
    algorithm,
    train,
)
from harmonium.learning.loop import Callback, Optimiser, Transform
from harmonium.models import RBM, BlockModel, EnergyModel
from harmonium.recipes import checkpoint as checkpoints
from harmonium.recipes.choice import choose, units_for
from harmonium.recipes.health import found_wrong
from harmonium.recipes.history import History
from harmonium.recipes.plan import (
    LEARNING_RATES,
    Plan,
    Schedule,
    default_learning_rate,
    default_optimiser,
    default_steps,
    natural_gradient_fits,
)
from harmonium.recipes.progress import ProgressBar
from harmonium.recipes.record import SUBSET, Recorder
from harmonium.recipes.rows import Rows, as_table
from harmonium.recipes.shrinkage import ValidatedDecay
from harmonium.recipes.split import HOLD_OUT_FROM, split, start_at_data
from harmonium.units import Tail

EXACT_PACE = 10.0  # an exact gradient has no noise, so that Adam may take larger steps
EXACT_STATES = 2**10  # visible states up to which the exact gradient is cheaper than chains


def fit(  # noqa: PLR0913  # the face of the package: each setting by its name, none needed
    model: Any,
    X: Any = None,
    *,
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
    negatives: str | Source | None = None,
    transforms: Sequence[Transform] = (),
    callbacks: Sequence[Callback] = (),
    progress: bool | None = None,
    checkpoint: str | Path | None = None,
    resume: bool = False,
) -> History:
    """Train `model` on the rows of `X` by maximum likelihood; the model is changed in place.

    `hm.fit(X)` makes the model itself and returns it as `history.model`: an RBM with visible units for the
    values of X (0/1, ±1 or real), and as many hidden units as short trials find to pay on held-out rows.

    Two coupled blocks (RBMs of any units) learn by the natural gradient with persistent chains, other
    pairwise models by the centred gradient, any other energy by Adam; models with at most 2¹⁰ visible states
    by the exact gradient. The parameters are averaged over the last updates; along the way log Z is carried
    from measurement to measurement. When the likelihood of the validation rows stops improving, the steps
    begin to fall early. The model returned is the last one, unless an earlier one was better for these rows
    beyond doubt. A run that runs away goes back to its best model and takes smaller steps.

    Args:
        model: the model, as constructed or already trained; or the rows, and no X.
        X: (rows, columns): array, memory map, tensor or DataFrame of visible states. For 0/1 units values
            between 0 and 1 are taken as probabilities and drawn anew each epoch; for one-hot sites integers
            0 … q-1 will do.
        validation: rows to select the model on. By default a tenth of X is held out, if that leaves enough.
        seed: of everything random. The same seed gives the same model, on any number of threads.
        steps: updates to make; by default 20,000 (10,000 for wide models, 3,000 for fewer than 5,000 rows).
        minutes: time to spend instead. The result then depends on the speed of the machine.
        sample_weight: (rows,), weights of the rows of X, at least 0.
        batch_size: rows per update; default 256.
        chains: persistent chains; default 512.
        gibbs_steps: sweeps of the chains between updates; default 2.
        learning_rate: default 0.4 (natural; less for more than 4,000 parameters), 0.05 (centred), 0.002
            (adam; 0.02 with an exact gradient). It falls to 2 % over the second half, and is halved when
            training runs away.
        weight_decay: strength λ of the penalty (λ/2) Σ W². The default is a Gaussian prior of variance ½ on
            the couplings, λ = 2 / rows, for bounded visible units and 100 rows or more, which then follows
            the validation rows; fewer rows are taken for the whole distribution.
        optimiser: "natural", "centred", "adam", or a `torch.optim` optimiser over the model's parameters,
            which gets the plain gradient (give `transforms` for another).
        negatives: how the negative phase is had: a name of `learning.ALGORITHMS` ("cd", "pcd", "fpcd", "pt",
            "trajectory", "restart", "exact", "pl", "stochastic-pl", "mean-field", "tap") or such an object.
            By default persistent chains, or the exact gradient for at most 2¹⁰ visible states.
        transforms: changes to the gradient, e.g. regularisers, applied in order after the optimiser's own.
        callbacks: called after each update.
        progress: show a progress bar; by default when stderr is a terminal.
        checkpoint: file to write the run to at each measurement.
        resume: go on from `checkpoint`; the run then equals one that was never stopped.

    Returns:
        The `History`: records, settings, warnings.

    Raises:
        TypeError, ValueError: wrong input, in one sentence. FloatingPointError: training diverged.

    >>> import harmonium as hm
    >>> rbm = hm.RBM(visible=hm.Bernoulli(4), hidden=hm.Bernoulli(3))
    >>> history = hm.fit(rbm, [[0, 0, 1, 1], [1, 1, 0, 0]] * 10, steps=20)
    >>> history.records[-1]["step"]
    20
    """
    tried: dict[int, float] = {}
    if X is None:
        X, given = model, {"validation": validation, "sample_weight": sample_weight, "progress": progress}
        begun = time.monotonic()
        model, tried = _choose(X, given, seed, steps, minutes)
        minutes = None if minutes is None else minutes - (time.monotonic() - begun) / 60.0
    _check_model(model)
    rows, valid, weights = split(model, X, validation, sample_weight, checks.seed("seed", seed))
    method = optimiser if isinstance(optimiser, str) else "given" if optimiser else default_optimiser(model)
    batch = min(len(rows), checks.positive_integer("batch_size", 256 if batch_size is None else batch_size))
    chains = checks.positive_integer("chains", 512 if chains is None else chains)
    own_rate = learning_rate is None and method == "given"  # the optimiser's, then
    if learning_rate is None:
        learning_rate = default_learning_rate(model, method, batch, chains)
        if method == "adam" and (_few_states(model) or negatives == "exact"):
            learning_rate *= EXACT_PACE
    plan = Plan(
        seed=seed,
        steps=_steps(model, len(rows), steps, minutes),
        minutes=None if minutes is None else checks.positive("minutes", minutes),
        batch_size=batch,
        chains=chains,
        gibbs_steps=checks.positive_integer("gibbs_steps", 2 if gibbs_steps is None else gibbs_steps),
        learning_rate=checks.positive("learning_rate", learning_rate),
        weight_decay=_weight_decay(model, len(rows), weight_decay),
        records=40 if steps is None else min(40, max(4, steps // 50)),
        optimiser=method,
    )
    source = _source(model, plan, negatives, gibbs_steps)
    if isinstance(source, ExactNegatives) and len(rows) <= 4096:
        plan = Plan(
            **{**asdict(plan), "batch_size": len(rows)}
        )  # an exact gradient deserves exact data means
    if not resume:
        start_at_data(model, rows, weights)
    validated = weight_decay is None and natural_gradient_fits(model)
    own, optim = _method(model, optimiser, plan, validated)
    schedule = Schedule(plan)
    learner = Learner(
        model,
        Batches(rows.x, plan.batch_size, rows.prepare, weights, seed),
        source,
        optim,
        [*own, *transforms],
        None if own_rate else schedule.learning_rate,
    )
    history = History(model, settings=_settings(plan, model, rows, valid))
    if tried:
        history.settings["hidden_tried"] = tried
    average = Average(model)
    recorder = Recorder(learner, average, (rows.states(SUBSET), valid), plan, schedule, history)
    first = 0
    path = None if checkpoint is None else Path(checkpoint)
    if resume:
        first, elapsed = checkpoints.read(_existing(path), plan, learner, average, recorder)
        schedule.start -= elapsed
    if path is not None:
        recorder.after.append(
            lambda record: checkpoints.write(path, record["step"], learner, average, recorder)
        )
    with ProgressBar(schedule, progress) as bar:
        recorder.after.append(bar.record)
        train(learner, plan.steps, [average, *callbacks, bar, recorder], first)
    recorder.choose()
    history.warnings += found_wrong(history)
    return history


def _choose(
    X: Any, given: dict[str, Any], seed: int, steps: int | None, minutes: float | None
) -> tuple[RBM, dict[int, float]]:
    """A machine for a table that came without one; a trial takes an eighth of the run."""
    if isinstance(X, EnergyModel):
        raise TypeError("X: expected rows to learn from, got none; call hm.fit(model, X), or hm.fit(X).")
    units = units_for(X)
    n_rows = len(as_table(X, "X"))

    def trial(rbm: RBM) -> History:
        most = minutes and minutes / 16.0
        updates = None if minutes else max(1, _steps(rbm, n_rows, steps, None) // 8)
        return fit(rbm, X, seed=seed, steps=updates, minutes=most, **given)

    return choose(lambda: copy.deepcopy(units), n_rows, trial, seed)


def _check_model(model: Any) -> None:
    if not isinstance(model, EnergyModel):
        raise TypeError(f"model must be an energy-based model such as hm.RBM, got {checks.describe(model)}.")
    reason = model.reason_not_normalizable()
    if reason:
        raise ValueError(f"model: {reason}")


def _steps(model: EnergyModel, n_rows: int, steps: int | None, minutes: float | None) -> int:
    if steps is not None:
        return checks.positive_integer("steps", steps)
    return default_steps(model, n_rows) if minutes is None else 2**40


def _weight_decay(model: EnergyModel, n_rows: int, given: float | None) -> float:
    if given is not None:
        return checks.number("weight_decay", given, 0.0)
    bounded = isinstance(model, BlockModel) and model.layers[0].tail is Tail.BOUNDED
    return 2.0 / n_rows if bounded and n_rows >= HOLD_OUT_FROM else 0.0


def _few_states(model: EnergyModel) -> bool:
    count = model.visible_space.n_states
    return count is not None and count <= EXACT_STATES and model.has_free_energy()


def _source(model: EnergyModel, plan: Plan, given: str | Source | None, k: int | None) -> Source:
    if isinstance(given, str):
        return algorithm(given, plan.chains, k, plan.seed)
    if given is not None:
        return given
    if _few_states(model):
        return ExactNegatives(EXACT_STATES)
    return PersistentChains(plan.chains, plan.gibbs_steps, plan.seed)


def _method(
    model: EnergyModel, given: str | torch.optim.Optimizer | None, plan: Plan, validated: bool
) -> tuple[list[Transform], Optimiser]:
    # the penalty comes before the natural gradient, which measures both in the same way
    own: list[Transform] = []
    if plan.weight_decay:
        own.append((ValidatedDecay if validated else WeightDecay)(plan.weight_decay))
    if given is not None and not isinstance(given, str):
        return own, given
    method = checks.one_of("optimiser", plan.optimiser, LEARNING_RATES)
    if method == "adam":
        return own, torch.optim.Adam(model.parameters(), lr=plan.learning_rate)
    own.append(NaturalGradient() if method == "natural" else Centring())
    return own, GradientDescent(model.parameters(), plan.learning_rate)


def _settings(plan: Plan, model: EnergyModel, rows: Rows, valid: Rows | None) -> dict[str, Any]:
    return asdict(plan) | {
        "rows": len(rows),
        "validation_rows": 0 if valid is None else len(valid),
        "data": rows.kind,
        "dtype": str(model.dtype).removeprefix("torch."),
        "device": str(model.device),
        "harmonium": __version__,
        "torch": torch.__version__,
    }


def _existing(path: Path | None) -> Path:
    if path is None:
        raise ValueError("resume: expected the checkpoint to go on from, got checkpoint=None.")
    if not path.exists():
        raise ValueError(f"resume: there is no checkpoint at {path}.")
    return path
