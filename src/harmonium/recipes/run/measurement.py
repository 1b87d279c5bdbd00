"""Measuring a run: likelihoods with their errors, how the chains mix, what the couplings look like.

Measuring touches nothing that is trained. What the instruments remember (replicas that tell log Z, the window
of the chains that is watched) is their own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from torch import Tensor

from harmonium.diagnostics import MixingReport, MixingWatch
from harmonium.learning import Average, Learner, Update, WeightDecay
from harmonium.learning.state import gathered, scattered
from harmonium.likelihood.partition import annealed_log_partition
from harmonium.likelihood.rows import hidden_sums
from harmonium.likelihood.tempered import Budget, cost
from harmonium.models import EnergyModel, Objective
from harmonium.models.intake import Rows
from harmonium.random import Address, Purpose, derived_seed
from harmonium.recipes.run.history import Record
from harmonium.recipes.run.learning_rate import Schedule
from harmonium.recipes.run.likelihoods import (
    GAPPED,
    LEAST_WORK,
    MEASURED_SHARE,
    SUBSET,
    LogPartitionTrack,
    conditional_log_weights,
    exact_value,
    exactly_summable,
    log_partition_anew,
    log_weights,
    log_weights_of,
)
from harmonium.recipes.settings import Settings
from harmonium.sampling.free import filled


@dataclass(frozen=True)
class Measurement:
    """What was seen after some update; None where it can't be had. Log-likelihoods in nats per row.

    Attributes:
        step, epoch: updates made, and passes through the rows.
        seconds, updates_per_second: the clock, and the pace since the last measurement.
        learning_rate, weight_decay, gibbs_steps: the settings that rules may change.
        gradient_norm: of the last update.
        free_energy_gap: mean log-probability of training rows minus that of validation rows, whatever log Z.
        log_partition: of the averaged model.
        train_log_likelihood, validation_log_likelihood: their standard errors, `…_stderr`, are those of
            log Z; `validation_spread` is that of the mean over rows that are a sample.
        weight_norm, singular_values: of the first coupling.
        inactive_hidden_units: whose mean hardly depends on the row (a standard deviation below 0.01).
        r_hat, chain_ess, autocorrelation_time: of the last full window of the chains.
        mixing: the report on a window that has become full since the last measurement.
    """

    step: int
    epoch: float
    seconds: float
    updates_per_second: float
    learning_rate: float
    gradient_norm: float
    free_energy_gap: float | None = None
    log_partition: float | None = None
    log_partition_stderr: float | None = None
    train_log_likelihood: float | None = None
    train_log_likelihood_stderr: float | None = None
    validation_log_likelihood: float | None = None
    validation_log_likelihood_stderr: float | None = None
    validation_spread: float | None = None
    weight_norm: float | None = None
    singular_values: list[float] | None = None
    inactive_hidden_units: int | None = None
    weight_decay: float | None = None
    gibbs_steps: int | None = None
    r_hat: float | None = None
    chain_ess: float | None = None
    autocorrelation_time: float | None = None
    mixing: MixingReport | None = field(default=None, repr=False, compare=False)

    @property
    def score(self) -> float:
        """What parameters are compared by: the likelihood, of validation rows where there are any."""
        found = (self.validation_log_likelihood, self.train_log_likelihood, -math.inf)
        return next(x for x in found if x is not None)

    @property
    def error(self) -> float:
        """Standard error of the score of validation rows."""
        return self.validation_log_likelihood_stderr or 0.0

    def record(self) -> Record:
        """What is known, as a row of `History`."""
        named = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "mixing"}
        return {name: value for name, value in named.items() if value is not None}

    @staticmethod
    def of(record: Mapping[str, Any]) -> Measurement:
        """The measurement of a row of `History`."""
        return Measurement(**record)


class Meter:
    """Measures the averaged model along training.

    Args:
        learner: what is being trained.
        average: the averaged parameters.
        schedule: the clock of the run.
        train: states of training rows, (rows, n_visible), NaN where free.
        valid: validation rows, if any.
        decay: the penalty that follows the validation rows, if any.
        objective: what is learned, where it isn't log P of whole rows: likelihoods are then those of some
            columns given the others.
    """

    def __init__(  # noqa: PLR0913  # what is measured, and by which clock
        self,
        learner: Learner,
        average: Average,
        schedule: Schedule,
        train: Tensor,
        valid: Rows | None,
        decay: WeightDecay | None,
        objective: Objective | None = None,
    ) -> None:
        self.learner, self.average, self.schedule = learner, average, schedule
        self.train, self.valid, self.decay = train, valid, decay
        self.known, self.objective = train, objective
        self.exact = exactly_summable(learner.model)
        self.track: LogPartitionTrack | None = None
        self.monitor = MixingWatch()
        self._reported: MixingReport | None = None
        self._saved = 0.0  # seconds not yet spent on estimates

    @property
    def settings(self) -> Settings:
        """Those of the run."""
        return self.schedule.settings

    def watch(self, update: Update) -> None:
        """Look at the chains after each update."""
        if self.learner.negatives.chains is not None:
            self.monitor(update)

    def restart(self) -> None:
        """The parameters are others from now on: the next measurement stands for itself."""
        self.track = None

    def measure(self, step: int, before: Measurement | None) -> Measurement:
        """Measure after update `step`; `before` is the last measurement."""
        self._fill()
        seconds = self.schedule.seconds
        last_step, last_seconds = (0, 0.0) if before is None else (before.step, before.seconds)
        return Measurement(
            step=step,
            epoch=step / self.learner.batches.per_epoch,
            seconds=round(seconds, 3),
            updates_per_second=round((step - last_step) / max(seconds - last_seconds, 1e-9), 2),
            learning_rate=self.schedule.learning_rate(step),
            gradient_norm=_gradient_norm(self.learner.model),
            weight_decay=None if self.decay is None else self.decay.strength,
            **self._likelihoods(step, step - last_step),
            **structure(self.average.model, self.train),
            **self._mixing(),
        )

    def _fill(self) -> None:
        """Let `train` be whole rows: some of the `known` ones, their free cells drawn from the model."""
        if self.learner.free_cells is not None:
            self.train = self._whole(self.known[:: -(-len(self.known) // GAPPED)])

    def judged(self) -> Tensor | None:
        """Validation rows as states, whole, if there are any."""
        if self.valid is None:
            return None
        return self._whole(self.valid.states(GAPPED)) if self.valid.free else self.valid.states(SUBSET)

    def _whole(self, v: Tensor) -> Tensor:
        return filled(self.average.model, v, Address(self.settings.seed, Purpose.CLAMP))

    def _likelihoods(self, step: int, updates: int) -> Record:
        model = self.average.model
        if not model.has_free_energy():
            return self._estimated(step, updates)
        seed = derived_seed(self.settings.seed, step)
        if self.objective is not None:
            return self._conditional(self.objective, seed)
        train, error = log_weights(model, self.known, seed)
        record: Record = {}
        if self.valid is not None:
            valid, valid_error = log_weights_of(model, self.valid, seed)
            # positive when training rows are more probable: what overfitting shows up in first
            record["free_energy_gap"] = float(train.mean() - valid.mean())
        found = self._log_partition(step, updates)
        if found is None:
            return record
        log_z, stderr = found
        record |= {"log_partition": log_z, "log_partition_stderr": stderr}
        record |= {
            "train_log_likelihood": float(train.mean()) - log_z,
            "train_log_likelihood_stderr": math.hypot(stderr, error),
        }
        if self.valid is not None:
            record |= {
                "validation_log_likelihood": float(valid.mean()) - log_z,
                "validation_log_likelihood_stderr": math.hypot(stderr, valid_error),
                "validation_spread": float(valid.std()) / len(valid) ** 0.5,
            }
        return record

    def _conditional(self, objective: Objective, seed: int) -> Record:
        """Likelihoods of what is learned, each row with a log Z of its own."""
        model, record = self.average.model, {}
        held = objective.held(self.known.shape[1])
        parts = {"train": self.known}
        if self.valid is not None:
            parts["validation"] = torch.cat(list(self.valid.pieces()))
        for name, rows in parts.items():
            found, error = conditional_log_weights(model, rows, held, seed)
            record[f"{name}_log_likelihood"] = float(found.mean())
            record[f"{name}_log_likelihood_stderr"] = error
        if self.valid is not None:
            record["validation_spread"] = float(found.std()) / len(found) ** 0.5
        return record

    def _estimated(self, step: int, updates: int) -> Record:
        """Likelihoods of a few rows, for a machine whose hidden units can't be summed out; when it can be
        afforded.
        """
        model, end = self.average.model, self.schedule.progress(step) >= 1.0
        self._saved += MEASURED_SHARE * self.work(updates)
        if model.graph_at() is None or not (
            end or updates == step or self._saved > 0.3
        ):  # about the seconds it takes
            return {}
        self._saved = 0.0
        few = 16  # rows whose hidden units are summed out by chains
        seed, n = derived_seed(self.settings.seed, step), min(few, len(self.known))
        parts = [self.known[:: len(self.known) // n][:n]]
        parts += [] if self.valid is None else [self.valid.states(few)]
        sums = hidden_sums(model, torch.cat(parts), Budget(LEAST_WORK), seed)
        log_z = annealed_log_partition(model, Budget(LEAST_WORK), seed, self.train)
        error = (log_z.high - log_z.low) / 4.0
        record: Record = {"log_partition": log_z.value, "log_partition_stderr": error}
        pairs = zip(sums.value.split(n), sums.stderr.split(n), strict=True)
        for name, (value, stderr) in zip(("train", "validation"), pairs, strict=False):
            spread = float(value.std()) / len(value) ** 0.5  # as these rows stand for all
            own = float(stderr.square().mean()) / len(value)
            record[f"{name}_log_likelihood"] = float(value.mean()) - log_z.value
            record[f"{name}_log_likelihood_stderr"] = (error**2 + own + spread**2) ** 0.5
        return record | ({} if self.valid is None else {"validation_spread": spread})

    def _log_partition(self, step: int, updates: int) -> tuple[float, float] | None:
        """(log Z, stderr) of the averaged model, nats, where it can be had along the way."""
        model = self.average.model
        if self.exact:
            return exact_value(model), 0.0
        work, seed = max(LEAST_WORK, MEASURED_SHARE * self.work(updates)), self.settings.seed
        if model.graph_at() is not None:
            return log_partition_anew(model, self.train, work, derived_seed(seed, step))
        if model.pair() is None:
            return None
        if self.track is None:
            self.track = LogPartitionTrack(derived_seed(seed))
        return self.track.measure(model, work, self.train)

    def work(self, updates: int) -> float:
        """About how many seconds of one core so many updates take, on any machine."""
        sweeps = updates * (self.settings.gibbs_steps + 2)  # two phases cost about as much as two sweeps
        return sweeps * cost(self.average.model, self.settings.chains)

    def _mixing(self) -> Record:
        """How the persistent chains mixed lately."""
        if self.learner.negatives.chains is None:
            return {}
        report, fresh = self.monitor.report, self.monitor.report is not self._reported
        self._reported = report
        record: Record = {"gibbs_steps": self.learner.negatives.k}
        if report is None:
            return record
        return record | {
            "r_hat": report.r_hat,
            "chain_ess": report.ess,
            "autocorrelation_time": report.autocorrelation_time,
            "mixing": report if fresh else None,
        }

    def state_dict(self) -> dict[str, Tensor]:
        """What the instruments remember."""
        state = gathered({"track": self.track, "monitor": self.monitor})
        reported = torch.tensor(self.monitor.report is self._reported)
        return state | {"saved": torch.tensor(self._saved, dtype=torch.float64), "reported": reported}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from `state_dict`."""
        if any(name.startswith("track/") for name in state):
            self.track = LogPartitionTrack(derived_seed(self.settings.seed))
        scattered({"track": self.track, "monitor": self.monitor}, state)
        self._reported = self.monitor.report if bool(state.get("reported", True)) else None
        self._saved = float(state["saved"])


@torch.no_grad()
def structure(model: EnergyModel, rows: Tensor) -> Record:
    """Size and singular values of the first coupling (the modes learned so far), and inactive units."""
    machine = model.as_pairwise()
    if machine is None or not machine.couplings():
        return {}
    operator, pair = machine.couplings()[0].operator, machine.pair()
    weight = operator.matrix()
    record: Record = {
        "weight_norm": float(operator.squared_norm() ** 0.5 if weight is None else weight.norm())
    }
    if weight is not None:
        found = torch.linalg.svdvals(weight.float())[:32]
        record["singular_values"] = [round(s, 4) for s in found.tolist()]
    if pair is not None:
        means = pair.hidden.mean(pair.hidden_field(rows))
        record["inactive_hidden_units"] = int((means.std(0, correction=0) < 0.01).sum())
    return record


def _gradient_norm(model: EnergyModel) -> float:
    squares = [float(p.grad.norm()) ** 2 for p in model.parameters() if p.grad is not None]
    return math.sqrt(sum(squares))
