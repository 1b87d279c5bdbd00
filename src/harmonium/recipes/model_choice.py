"""A model for a table that comes without one: units from its values, hidden units by trial."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from harmonium import checks, processes, store
from harmonium.columns import Schema
from harmonium.columns.frames import typed
from harmonium.data.values import Survey, chunks, joint, survey
from harmonium.diagnostics import MixingWatch
from harmonium.learning.loop import Callback
from harmonium.learning.state import part_of
from harmonium.likelihood.tempered import cost
from harmonium.models import RBM, EnergyModel
from harmonium.models.intake import Rows
from harmonium.models.support import greys
from harmonium.models.table import Table, as_table
from harmonium.models.words import encoded
from harmonium.random import derived_seed
from harmonium.recipes.run.checkpointing import same_settings
from harmonium.recipes.run.history import History
from harmonium.recipes.run.likelihoods import (
    DECISIVE,
    MEASURED_SHARE,
    SUBSET,
    conditional_log_weights,
    log_partition_anew,
    log_weights_of,
)
from harmonium.recipes.settings import UserSettings
from harmonium.recipes.split import split
from harmonium.recipes.start.real_columns import FEW
from harmonium.units import Bernoulli, Gaussian, Mixed, Spin, Tail, Units
from harmonium.units.mixed import parts_of

FEWEST, MOST = 8, 512  # hidden units that are tried
FACTORS = 16  # Gaussian hidden units at most


class Score(NamedTuple):
    """How a trial ended.

    Attributes:
        rows: log-likelihood of each validation row, (n,), nats.
        stderr: what all of them may be off by together, since log Z is an estimate.
    """

    rows: np.ndarray
    stderr: float

    def ahead_of(self, other: Score) -> tuple[float, float]:
        """(by how many nats per row this one is better, standard error), from row to row; a trial that failed
        is behind all others.
        """
        if -math.inf in (means := (float(self.rows.mean()), float(other.rows.mean()))):
            return 0.0 if means[0] == means[1] else means[0] - means[1], 0.0
        gain = self.rows - other.rows
        square = gain.var() / len(gain) + self.stderr**2 + other.stderr**2
        return float(gain.mean()), float(square**0.5)


Trial = Callable[[int, RBM], Score]


@dataclass
class Trials:
    """Short runs that are over before the recipe can see, and help, that chains keep to their modes. A trial
    whose chains were apart is made again with tempered chains, as are those after it: else the luck of the
    chains would choose.

    Attributes:
        run: trains a machine for a short while, given the name of its negatives and callbacks.
        valid: rows to judge it by.
        tempered: whether trials are made with tempered chains by now.
        scores: of the trials made, by the number of hidden units.
        told: called after each trial: checkpoints.
    """

    run: Callable[[RBM, str | None, Sequence[Callback]], History]
    valid: Rows
    tempered: bool = False
    scores: dict[int, Score] = field(default_factory=dict)
    told: Callable[[Trials], None] = lambda trials: None

    def __call__(self, hidden: int, rbm: RBM) -> Score:
        if hidden not in self.scores:
            self.scores[hidden] = self._made(rbm)
            self.told(self)
        return self.scores[hidden]

    def _made(self, rbm: RBM) -> Score:
        # a window of 32 looks is over within the shortest trial of a default run
        fresh, watch = copy.deepcopy(rbm), MixingWatch(every=8)
        try:
            history = self.run(rbm, "pt" if self.tempered else None, [watch])
        except FloatingPointError:  # of many hidden units: fewer may do
            return Score(np.full(len(self.valid), -np.inf), 0.0)
        persistent = "gibbs_steps" in history.records[-1]
        # in so short a window chains that will mix can still be at 2
        if persistent and watch.report is not None and watch.report.r_hat > 3.0:
            self.tempered = True
            return self._made(fresh)
        return scored(history, self.valid)

    def state_dict(self) -> dict[str, Tensor]:
        """All that is needed to go on."""
        state = {"tempered": torch.tensor(self.tempered)}
        for hidden, score in self.scores.items():
            state[f"rows/{hidden}"] = torch.from_numpy(score.rows)
            state[f"stderr/{hidden}"] = torch.tensor(score.stderr, dtype=torch.float64)
        return state

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from `state_dict`."""
        self.tempered = bool(state["tempered"])
        made = {int(hidden): rows for hidden, rows in part_of(state, "rows").items()}
        self.scores = {h: Score(rows.numpy(), float(state[f"stderr/{h}"])) for h, rows in made.items()}


def scored(history: History, rows: Rows) -> Score:
    """How a trial ended, by rows that it didn't learn from; log Z is measured for a share of its work."""
    model, plan = history.model, history.settings
    if model.objective is not None:
        v = torch.cat(list(rows.pieces()))
        return Score(*conditional_log_weights(model, v, model.objective.held(v.shape[1]), plan["seed"]))
    sweeps = history.records[-1]["step"] * (plan["gibbs_steps"] + 2)  # two for both phases
    work = max(DECISIVE, 2.0 * MEASURED_SHARE * sweeps * cost(model, plan["chains"]))
    log_z, stderr = log_partition_anew(model, rows.states(SUBSET), work, derived_seed(plan["seed"]))
    weights, error = log_weights_of(model, rows, plan["seed"])
    return Score(weights - log_z, math.hypot(stderr, error))


def units_for(x: Any, name: str = "X") -> Units:
    """Visible units for the columns of a table, as `told_by`.

    Raises:
        ValueError: whole numbers, which may be counts or categories.
    """
    table = as_table(x, name)
    units, found = told_by([table], name)
    if units is not None:
        return units
    width, (low, high) = table.width, (int(found.low), int(found.high))
    n, q = first_number(width), high - low + 1
    shifted = f" and {name} + {-low}" if low < 0 else ""
    rest = f"hm.RBM(hm.{'Gaussian' if low < 0 else 'Poisson'}({width}), hm.Bernoulli({n}))"
    raise ValueError(
        f"{name} holds whole numbers {f'from {low} ' * (low < 0)}up to {high}, which may be categories or"
        f" {'amounts' if low < 0 else 'counts'}; pass a model that says so as the first argument, such as"
        f" hm.RBM(hm.Categorical({width}, states={q}), hm.Bernoulli({n})){shifted} or {rest}"
        f"{greys(found.low, found.high, f'hm.Binomial({width}, trials=255)')}."
    )


def told_by(tables: Sequence[Table], name: str = "X") -> tuple[Units | None, Survey]:
    """(Visible units for the columns of tables of one kind, None where the values don't tell; their survey).

    Values of 0 and 1, or between → Bernoulli; of -1 and 1 → Spin. Where some columns are real, it goes column
    by column: 0 and 1 → Bernoulli, -1 and 1 → Spin, all others Gaussian, side by side. Whole numbers
    throughout, counts or from a small range about 0, may be categories.
    """
    found = joint(survey(name, table, free=True) for table in tables)
    width = tables[0].width
    if found.support in ("binary", "unit interval"):
        return Bernoulli(width), found
    if found.support == "spin":
        return Spin(width), found
    if found.support == "counts" or (found.whole and found.high - found.low < FEW):
        kinds = _kinds(tables)
        return None if Gaussian in kinds else _side_by_side(kinds), found
    return _side_by_side(_kinds(tables)), found


def _kinds(tables: Sequence[Table]) -> list[type[Units]]:
    """The type of each column by itself."""
    binary, spin = (np.ones(tables[0].width, dtype=bool) for _ in range(2))
    for table in tables:
        for _, block in chunks(table.values):
            free = np.isnan(block)
            binary &= ((block == 0) | (block == 1) | free).all(0)
            spin &= ((block == -1) | (block == 1) | free).all(0)
    return [Bernoulli if b else Spin if s else Gaussian for b, s in zip(binary, spin, strict=True)]


def _side_by_side(kinds: Sequence[type[Units]]) -> Units:
    parts = [kind(len(list(columns))) for kind, columns in groupby(kinds)]
    return parts[0] if len(parts) == 1 else Mixed(*parts)


def first_number(width: int) -> int:
    """The power of two next to the number of columns, between FEWEST and MOST."""
    return int(min(MOST, max(FEWEST, 2 ** round(math.log2(max(width, 1))))))


def hidden_units(visible: Units, number: int) -> Units:
    """So many 0/1 hidden units, and beside them Gaussian ones, as many as there are real columns.

    Straight lines between columns would take many 0/1 units, and are a factor each for Gaussian ones. There
    are none for a single real column, nor beside counts without a limit, which can't be coupled to them.
    """
    parts = parts_of(visible)
    real = sum(part.n for part in parts if type(part) is Gaussian)
    if real < 2 or any(part.tail is Tail.FACTORIAL for part in parts):
        return Bernoulli(number)
    return Mixed(Bernoulli(number), Gaussian(min(real, FACTORS)))


Maker = Callable[[int], RBM]
"""Makes a machine with so many hidden units."""


def schema_for(x: Any, name: str = "X") -> Schema | None:
    """The schema of a table whose columns have names or hold anything but numbers, None for plain numbers."""
    return Schema.of(x, name=name) if typed(x) else None


def machines_for(x: Any, schema: Schema | None, seed: int, units: Units | None = None) -> Maker:
    """What makes machines for a table: visible units by its schema or, without one, by its values, unless
    they are given; hidden units as `hidden_units`.

    Raises:
        ValueError: as `units_for`.
    """
    if units is None:
        units = units_for(x) if schema is None else schema.units()

    def make(hidden: int) -> RBM:
        dtype, device = units.bias.dtype, units.bias.device
        layers = copy.deepcopy(units), hidden_units(units, hidden)
        machine = RBM(*layers, seed=seed, dtype=dtype, device=device)
        machine.schema = schema
        return machine

    return make


def choose(make: Maker, trial: Trial | None) -> tuple[int, dict[int, float]]:
    """How many hidden units pay.

    Short trials double the number while the validation rows like that better by more than a standard error,
    then halve it while they can't tell it from the best: the smallest number that is as good is chosen
    (Breiman, Friedman, Olshen & Stone 1984; the error is that of differences row by row, and of log Z).

    Args:
        make: makes machines.
        trial: trains a machine for a short while; None where there are no rows to judge it by.

    Returns:
        The number, and mean log-likelihood of the validation rows by number of hidden units tried.
    """

    def score(hidden: int) -> Score:
        if hidden not in tried:
            assert trial is not None
            tried[hidden] = trial(hidden, make(hidden))
        return tried[hidden]

    def pays(more: int, fewer: int) -> bool:
        gain, stderr = score(more).ahead_of(score(fewer))
        worth = 0.002 * abs(float(score(more).rows.mean()))  # a smaller share isn't worth more hidden units
        return processes.from_first(gain > max(stderr, worth))

    tried: dict[int, Score] = {}
    best = number = first_number(make(1).visible.width)
    if trial is None:
        return number, {}
    while best < MOST and pays(2 * best, best):
        best = number = 2 * best
    while number > FEWEST and not pays(best, number // 2):
        number //= 2
    scores = {hidden: float(found.rows.mean()) for hidden, found in tried.items()}
    return number, {hidden: score for hidden, score in scores.items() if score > -math.inf}


def prepared(
    model: Any, X: Any, validation: Any, schema: Schema | None, seed: int
) -> tuple[Any, Any, Any, Maker | None]:
    """(model, rows, validation rows, what makes the model where there is none): tables in the words of a
    schema are encoded once, here.
    """
    if schema is not None and not isinstance(schema, Schema):
        raise TypeError(
            f"schema must be a hm.Schema, got {checks.describe(schema)}: hm.Schema.of(X) makes one."
        )
    if schema is not None and X is not None:
        raise ValueError("schema: a model brings its own; set model.schema, or call hm.fit(X, schema=...).")
    if isinstance(model, EnergyModel):
        if X is None:
            raise TypeError("X: expected rows to learn from, got none; call hm.fit(model, X), or hm.fit(X).")
        make, schema = None, model.schema
    elif X is None:
        X = model
        schema = schema_for(X) if schema is None else schema
        make = machines_for(X, schema, seed)
    elif isinstance(model, Units):
        make, schema = machines_for(X, None, seed, model), None
    else:
        make = model if callable(model) and not isinstance(model, type) else None
        schema = None if make is None else getattr(_made(make), "schema", None)
    if schema is not None:
        X = encoded(schema, X, "X")
        validation = None if validation is None else encoded(schema, validation, "validation")
    return model, X, validation, make


def _made(make: Maker) -> EnergyModel:
    """The smallest machine that a function of the user's makes."""
    made = make(1)
    if not isinstance(made, EnergyModel):
        raise TypeError(
            f"model: expected a function from a number of hidden units to a model, got one that returns"
            f" {checks.describe(made)}."
        )
    return made


def chosen(
    fit: Callable[..., History],
    make: Maker,
    X: Any,
    asked: UserSettings,
    given: dict[str, Any],
    kept: store.Checkpoint | None,
) -> tuple[RBM, UserSettings, dict[str, Any]]:
    """(a machine for a table that came without one, what is left to ask for, how it was found).

    Its visible units are those given, or told by the values.

    A trial takes an eighth of the run. The machine of a run that is resumed is read from its checkpoint:
    trials that are measured by a clock needn't end as they did.
    """
    saved: Mapping[str, Tensor] = {}
    begun, n_rows = time.monotonic(), len(as_table(X, "X"))
    if kept is not None and kept.begun:
        saved, facts = store.load_tensors(kept.path)
        if "trials" not in facts:
            return _found(make, asked, kept.path, facts.get("chosen"))
        same_settings(kept.path, facts["trials"], asdict(asked))
        begun -= facts["seconds"]
    _, valid, _ = split(make(1), X, given["validation"], given["sample_weight"], asked.seed)

    def short(rbm: RBM, negatives: str | None, callbacks: Sequence[Callback]) -> History:
        most = None if asked.minutes is None else asked.minutes / 16.0
        updates = None if asked.minutes is not None else max(1, asked.updates(rbm, n_rows) // 8)
        settings = given | {"seed": asked.seed, "steps": updates, "minutes": most}
        return fit(rbm, X, negatives=negatives, callbacks=callbacks, **settings)

    def keep(trials: Trials) -> None:
        if kept is not None:
            facts = {"trials": asdict(asked), "seconds": time.monotonic() - begun}
            kept.save(trials.state_dict(), facts)

    trials = None if valid is None else Trials(short, valid, told=keep)
    if trials is not None and saved:
        trials.load_state_dict(saved)
    number, tried = choose(make, trials)
    left = asked.after(processes.from_first(time.monotonic() - begun))
    found = {"hidden": number, "tried": tried, "minutes": asked.minutes, "left": left.minutes}
    return make(number), left, found


def _found(
    make: Maker, asked: UserSettings, path: Path, found: dict[str, Any] | None
) -> tuple[RBM, UserSettings, dict[str, Any]]:
    """The machine of a run that is resumed, whose trials are over."""
    if found is None:
        raise ValueError(
            f"resume: {path} is of a run whose model was given; give it again, hm.fit(model, X)."
        )
    same_settings(path, found, {"minutes": asked.minutes})
    found["tried"] = {int(hidden): score for hidden, score in found["tried"].items()}
    return make(found["hidden"]), replace(asked, minutes=found["left"]), found
