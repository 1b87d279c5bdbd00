"""`hm.fit`: from data to a trained model, with no other argument needed."""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch

from harmonium import __version__, checks
from harmonium.learning import Average, Batches, Learner, Source, train
from harmonium.learning.loop import Callback, Transform
from harmonium.models import RBM, EnergyModel
from harmonium.models.table import as_table
from harmonium.recipes import checkpoint as checkpoints
from harmonium.recipes import origin as origins
from harmonium.recipes.choice import Trials, choose, units_for
from harmonium.recipes.doubts import doubts
from harmonium.recipes.health import found_wrong
from harmonium.recipes.history import History
from harmonium.recipes.parts import optimiser_of, source_of, transforms_of
from harmonium.recipes.plan import Asked, Method, Plan, Schedule, settled
from harmonium.recipes.progress import ProgressBar
from harmonium.recipes.record import SUBSET, Recorder
from harmonium.recipes.rows import Rows
from harmonium.recipes.split import split
from harmonium.recipes.start import start
from harmonium.units import Bernoulli


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

    Two coupled blocks (RBMs of any units) start with the means and the principal directions of the data, and
    learn by the natural gradient with persistent chains that start at rows; other pairwise models learn by
    the centred gradient, any other energy by Adam; models with at most 2¹² visible states by the exact
    gradient. The parameters are averaged over the last updates; along the way log Z is carried from
    measurement to measurement. When the likelihood of the validation rows stops improving, the steps begin to
    fall early. The model returned is the last one, unless an earlier one was better for these rows beyond
    doubt. A run that runs away goes back to its best model and takes smaller steps. Chains that hardly mix
    make more sweeps between updates; where they keep to their modes, training begins anew with replicas at
    several temperatures. Gaussian columns far from zero are learned about their means, and that is what
    callbacks see; the model returned is again one of the rows as they are.

    Args:
        model: the model, as constructed or already trained; or the rows, and no X.
        X: (rows, columns): array, memory map, tensor or DataFrame of visible states. For 0/1 units values
            between 0 and 1 are taken as probabilities and drawn anew each epoch; for one-hot sites integers
            0 … q-1 will do.
        validation: rows to select the model on. By default a tenth of X is held out, if that leaves enough.
        seed: of everything random. The same seed gives the same model; another number of threads or another
            processor rounds differently, which after many updates shows.
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
            the validation rows; fewer rows, or rows that all repeat each other, are taken for the whole
            distribution.
        optimiser: "natural", "centred", "adam", or a `torch.optim` optimiser over the model's parameters,
            which gets the plain gradient (give `transforms` for another).
        negatives: how the negative phase is had: a name of `learning.ALGORITHMS` ("cd", "pcd", "fpcd", "pt",
            "trajectory", "restart", "exact", "pl", "stochastic-pl", "mean-field", "tap") or such an object.
            By default persistent chains, or the exact gradient for at most 2¹² visible states
            (fewer where fewer chains are asked for).
        transforms: changes to the gradient, e.g. regularisers, applied in order after the optimiser's own.
        callbacks: called after each update, and what they have as `record` with each new record.
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
    asked = Asked(steps, minutes, batch_size, chains, gibbs_steps, learning_rate, weight_decay)
    tried: dict[int, float] = {}
    if X is None:
        begun, X = time.monotonic(), model
        given = {"validation": validation, "sample_weight": sample_weight, "progress": progress}
        model, tried = _choose(X, seed, asked, given)
        asked = asked.after(time.monotonic() - begun)
    _check_model(model)
    rows, valid, weights = split(model, X, validation, sample_weight, checks.seed("seed", seed))
    named = negatives is None or isinstance(negatives, str)  # another's chains may be rows as they are
    origin = origins.origin_of(model, rows) if named else None
    if origin is not None:
        rows, valid = origins.about(rows, origin), None if valid is None else origins.about(valid, origin)
    plan = settled(model, rows, asked, Method(optimiser, negatives), seed)
    source = source_of(model, plan, negatives, gibbs_steps)
    with origins.seen_from(model, origin):
        fresh = {name: p.clone() for name, p in model.state_dict().items()}
        if not resume:
            start(model, rows, weights, source)
        schedule = Schedule(plan)
        learner = Learner(
            model,
            Batches(rows.x, plan.batch_size, rows.prepare, weights, seed),
            source,
            optimiser_of(model, plan, optimiser),
            [*transforms_of(model, plan, asked), *transforms],
            None if plan.optimiser == "given" and learning_rate is None else schedule.learning_rate,
        )
        said = doubts(model, rows) + origins.doubt(model, rows, origin)
        history = History(model, settings=_settings(plan, model, rows, valid), warnings=said)
        if tried:
            history.settings["hidden_tried"] = tried
        recorder = Recorder(learner, Average(model), (rows.states(SUBSET), valid), plan, schedule, history)
        if negatives is None:
            recorder.start = partial(_start_again, model, fresh, rows, weights)
        first = _attached(recorder, checkpoint, resume)
        with ProgressBar(schedule, progress) as bar:
            recorder.after += [c.record for c in (*callbacks, bar) if hasattr(c, "record")]
            train(learner, plan.steps, [recorder.average, *callbacks, bar, recorder], first)
        recorder.choose()
    history.warnings += found_wrong(history)
    return history


def _start_again(
    model: EnergyModel,
    fresh: dict[str, torch.Tensor],
    rows: Rows,
    weights: torch.Tensor | None,
    source: Source,
) -> None:
    model.load_state_dict(fresh)
    start(model, rows, weights, source)


def _choose(X: Any, seed: int, asked: Asked, given: dict[str, Any]) -> tuple[RBM, dict[int, float]]:
    """A machine for a table that came without one; a trial takes an eighth of the run."""
    if isinstance(X, EnergyModel):
        raise TypeError("X: expected rows to learn from, got none; call hm.fit(model, X), or hm.fit(X).")
    units, n_rows = units_for(X), len(as_table(X, "X"))
    shape = RBM(copy.deepcopy(units), Bernoulli(1))
    _, valid, _ = split(shape, X, given["validation"], given["sample_weight"], checks.seed("seed", seed))

    def short(rbm: RBM, negatives: str | None, callbacks: Sequence[Callback]) -> History:
        most = None if asked.minutes is None else asked.minutes / 16.0
        updates = None if asked.minutes is not None else max(1, asked.updates(rbm, n_rows) // 8)
        settings = given | {"seed": seed, "steps": updates, "minutes": most}
        return fit(rbm, X, negatives=negatives, callbacks=callbacks, **settings)

    return choose(lambda: copy.deepcopy(units), None if valid is None else Trials(short, valid), seed)


def _check_model(model: Any) -> None:
    if not isinstance(model, EnergyModel):
        raise TypeError(f"model must be an energy-based model such as hm.RBM, got {checks.describe(model)}.")
    reason = model.reason_not_normalizable()
    if reason:
        raise ValueError(f"model: {reason}")


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


def _attached(recorder: Recorder, checkpoint: str | Path | None, resume: bool) -> int:
    """Let the run be written to its checkpoint, or go on from there; returns the updates made already."""
    path = None if checkpoint is None else Path(checkpoint)
    first = 0
    if resume:
        first, elapsed = checkpoints.read(_existing(path), recorder)
        recorder.schedule.start -= elapsed
    if path is not None:
        recorder.after.append(lambda record: checkpoints.write(path, record["step"], recorder))
    return first


def _existing(path: Path | None) -> Path:
    if path is None:
        raise ValueError("resume: expected the checkpoint to go on from, got checkpoint=None.")
    if not path.exists():
        raise ValueError(f"resume: there is no checkpoint at {path}.")
    return path
