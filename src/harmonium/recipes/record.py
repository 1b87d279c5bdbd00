"""Measurements along training, and what follows from them: the best model, early stopping, warnings."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harmonium.diagnostics import MixingReport, MixingWatch
from harmonium.learning import Average, Learner, PersistentChains, Source, StopTraining, Update
from harmonium.learning.loop import check_finite
from harmonium.likelihood.partition import annealed_log_partition
from harmonium.likelihood.tempered import Budget, cost
from harmonium.models import BlockModel, PairwiseModel
from harmonium.recipes.health import structure
from harmonium.recipes.history import History, Record
from harmonium.recipes.mixing import begin_anew, hopeless, more_sweeps, noisier, tempered_instead
from harmonium.recipes.plan import HALF, Plan, Schedule
from harmonium.recipes.rescue import MOST, go_back, ran_away
from harmonium.recipes.rows import Rows
from harmonium.recipes.shrinkage import ValidatedDecay
from harmonium.recipes.tracking import LogPartitionTrack, exact_value, exactly_summable, free_energies

BRIDGE_EVERY = 100  # updates between two bridges of the running log Z
WINDOW = 5  # records that are no better, together, than as many before them: time for smaller steps
PATIENCE = 0.25  # share of the run after which it ends if the best model was better beyond doubt
SUBSET = 4000  # rows measured along the way
MEASURED_SHARE = 0.15  # of the work of training, spent on estimates of log Z along the way
LATEST = 2.0 / 3.0  # share of the planned run after which there is no time to begin anew
UNKNOWN = 1e3  # nats: a standard error that leaves all to others
LEAST_WORK = 0.03  # seconds of one core that the shortest useful estimate costs


class Recorder:
    """A callback that measures the averaged model at even distances, keeps the best, and stops when it only
    gets worse.

    Args:
        learner: what is being trained.
        average: the averaged parameters, which are what is measured and kept.
        rows: (states of training rows to compare with, validation rows or None: then the last model is kept).
        plan: the settings of the run.
        schedule: the clock of the run.
        history: where records go.
    """

    def __init__(
        self,
        learner: Learner,
        average: Average,
        rows: tuple[Tensor, Rows | None],
        plan: Plan,
        schedule: Schedule,
        history: History,
    ) -> None:
        self.learner, self.average, self.plan, self.schedule = learner, average, plan, schedule
        self.train, self.valid = rows
        self.history = history
        self.exact = exactly_summable(learner.model)
        self.track: LogPartitionTrack | None = None
        self.best: tuple[float, dict[str, Tensor]] = (-math.inf, {})
        self.watch = MixingWatch()
        self.start: Callable[[Source], None] | None = None  # puts a fresh model where training starts
        self.after: list[Callable[[Record], None]] = []  # called after each record: checkpoints, displays
        self._next = 0.0
        self._step = 0
        self._judged: MixingReport | None = None  # reports already acted upon
        self._trusted = 0  # the update from which on the records are believed

    def __call__(self, update: Update) -> None:
        if isinstance(self.learner.negatives, PersistentChains):
            self.watch(update)
        if update.step % BRIDGE_EVERY == 0 or update.step == 1:
            self._bridge()
        progress = self.schedule.progress(update.step)
        if progress >= self._next or progress >= 1.0:
            self._next = math.floor(progress * self.plan.records + 1) / self.plan.records
            self._record(update)
        if progress >= 1.0:
            raise StopTraining
        self._turn_or_stop(update.step, progress)

    def _bridge(self) -> None:
        negatives = self.learner.negatives
        model = self.average.model
        if self.exact or not isinstance(negatives, PersistentChains) or negatives.chains is None:
            return
        if not isinstance(model, BlockModel) or len(model.layers) != 2:
            return
        if self.track is None:
            self.track = LogPartitionTrack(model, negatives.chains)
            self.track.lag = UNKNOWN  # the first measurement stands for itself
        else:
            self.track.bridge(model, negatives.chains)

    def log_partition(self) -> tuple[float, float] | None:
        """(log Z, stderr) of the averaged model, nats, where it can be had along the way."""
        if self.exact:
            return exact_value(self.average.model), 0.0
        model = self.average.model
        if not isinstance(model, BlockModel) or len(model.layers) != 2:
            return None
        self._bridge()
        budget = Budget(max(LEAST_WORK, MEASURED_SHARE * self._work_since()))
        found = annealed_log_partition(model, budget, self.plan.seed, self.train)
        if self.track is None:  # without persistent chains there is nothing to carry
            return found.value, (found.high - found.low) / 4.0
        self.track.correct(found)
        return self.track.value, self.track.stderr

    def _work_since(self) -> float:
        """About how many seconds of one core the updates since the last record took, on any machine."""
        records = self.history.records
        updates = self._step - (records[-1]["step"] if records else 0)
        sweeps = updates * (self.plan.gibbs_steps + 2)  # the two phases cost about as much as two sweeps
        return sweeps * cost(self.average.model, self.plan.chains)

    def _record(self, update: Update) -> None:
        self._step = update.step
        check_finite(self.learner.model, update.step)
        reason = self.average.model.reason_not_normalizable()
        if reason:
            raise FloatingPointError(f"after {update.step} updates {reason} Use a smaller learning rate.")
        seconds = self.schedule.seconds
        record: Record = {
            "step": update.step,
            "epoch": update.step / self.learner.batches.per_epoch,
            "seconds": round(seconds, 3),
            "updates_per_second": round(self._rate(update.step, seconds), 2),
            "learning_rate": self.schedule.learning_rate(update.step),
            "gradient_norm": _gradient_norm(self.learner.model),
        }
        record |= self._likelihoods()
        record |= structure(self.average.model, self.train)
        record |= self._shrinkage()
        record |= self._mixing()
        self.history.records.append(record)
        if ran_away(self._believed()):
            self._go_back(update.step)
        else:
            self._keep_best(record)
        for call in self.after:
            call(record)

    def _rate(self, step: int, seconds: float) -> float:
        earlier = self.history.records[-1] if self.history.records else {"step": 0, "seconds": 0.0}
        return float((step - earlier["step"]) / max(seconds - earlier["seconds"], 1e-9))

    def _likelihoods(self) -> Record:
        model = self.average.model
        train = -free_energies(model, self.train)
        valid = None
        if self.valid is not None:
            valid = -np.concatenate([free_energies(model, v) for v in self.valid.pieces()])
        record: Record = {}
        if valid is not None:
            # positive when training rows are more probable: what overfitting shows up in first
            record["free_energy_gap"] = float(train.mean() - valid.mean())
        found = self.log_partition()
        if found is None:
            return record
        log_z, stderr = found
        record["log_partition"], record["log_partition_stderr"] = log_z, stderr
        record["train_log_likelihood"] = float(train.mean()) - log_z
        record["train_log_likelihood_stderr"] = stderr
        if valid is not None:
            record["validation_log_likelihood"] = float(valid.mean()) - log_z
            record["validation_log_likelihood_stderr"] = stderr
        return record

    def _mixing(self) -> Record:
        """How the persistent chains mixed lately; where they stopped, more sweeps between updates."""
        negatives, report = self.learner.negatives, self.watch.report
        if not isinstance(negatives, PersistentChains):
            return {}
        record: Record = {"gibbs_steps": negatives.k}
        if report is None:
            return record
        if report.warning is not None and report is not self._judged:
            self._help(report)
        self._judged = report
        return record | {
            "r_hat": report.r_hat,
            "chain_ess": report.ess,
            "autocorrelation_time": report.autocorrelation_time,
        }

    def _help(self, report: MixingReport) -> None:
        """Do something about chains that don't mix, and say so."""
        before = self.learner.negatives
        assert isinstance(before, PersistentChains)
        early = self.schedule.spent(self._step) <= LATEST
        if early and self.start is not None and hopeless(self.learner, report):
            done: str | None = begin_anew(self.learner, self.average, self.start)
            self.schedule.scale *= noisier(self.plan.batch_size, before.n, tempered_instead(before).n)
            self.track, self.best, self._trusted = None, (-math.inf, {}), self._step
            self.schedule.turn_back()
        else:
            done = more_sweeps(self.learner)
        if done:
            self.history.warnings.append(
                f"After {self._step} updates the persistent chains hardly mixed (R-hat {report.r_hat:.2f});"
                f" {done}."
            )

    def _believed(self) -> list[Record]:
        return [r for r in self.history.records if r["step"] > self._trusted]

    def _shrinkage(self) -> Record:
        """Let the weight decay follow the validation rows in the second half, when training comes to rest."""
        model = self.average.model
        decay = next((t for t in self.learner.transforms if isinstance(t, ValidatedDecay)), None)
        if decay is None:
            return {}
        second = self.schedule.progress(self._step) >= HALF
        if second and self.valid is not None and isinstance(model, PairwiseModel):
            decay.adapt(model, self.train, self.valid.states(SUBSET))
        return {"weight_decay": decay.strength}

    def _go_back(self, step: int) -> None:
        """Return to the best parameters with half the step size, and say so."""
        self.schedule.scale /= 2.0
        if self.schedule.scale < 2.0**-MOST:
            raise FloatingPointError(
                f"training ran away {MOST + 1} times, the last time after {step} updates; use a smaller"
                " learning rate or more gibbs_steps."
            )
        go_back(self.learner, self.average, self.best[1], self.train)
        if self.track is not None and isinstance(self.learner.negatives, PersistentChains):
            assert isinstance(self.average.model, BlockModel) and self.learner.negatives.chains is not None
            self.track = LogPartitionTrack(self.average.model, self.learner.negatives.chains)
            self.track.lag = UNKNOWN  # the next measurement stands for itself
        rate = self.schedule.learning_rate(step)
        self.history.warnings.append(
            f"Training ran away before update {step}; it went on from update {self.history.best_step} with"
            f" the learning rate {rate:.3g}."
        )

    def _keep_best(self, record: Record) -> None:
        names = ("validation_log_likelihood", "train_log_likelihood", "step")
        score = float(next(record[name] for name in names if name in record))
        if score > self.best[0]:
            self.best = (score, copy.deepcopy(self.average.model.state_dict()))
            self.history.best_step = record["step"]

    def _turn_or_stop(self, step: int, progress: float) -> None:
        """Begin the second half of the run early, or end it, by the likelihood of the validation rows."""
        name = "validation_log_likelihood"
        records = [r for r in self._believed() if name in r]
        if not records or self.valid is None or records[-1]["step"] != step:
            return
        if isinstance(self.learner.negatives, PersistentChains) and self.watch.report is None:
            return  # a likelihood that stands still may be that of chains that do
        values = [r[name] for r in records]
        if progress < HALF + PATIENCE:
            flat = len(values) >= 2 * WINDOW and sum(values[-WINDOW:]) <= sum(values[-2 * WINDOW : -WINDOW])
            if flat and progress < HALF:
                self.schedule.turn_now(step)
            return
        best, newest = max(records, key=lambda r: r[name]), records[-1]
        waited = progress * (1.0 - best["step"] / step)
        if waited > PATIENCE and newest[name] < best[name] - 2.0 * _doubt(best, newest):
            raise StopTraining

    def choose(self) -> None:
        """Give the model its best parameters: the last ones, unless earlier ones were better beyond doubt.

        Measurements have errors, and the largest of many is often the luckiest; the last parameters, found at
        the smallest steps, are preferred where the errors leave room for that.
        """
        records = {r["step"]: r for r in self.history.records}
        best, last = records.get(self.history.best_step), self.history.records[-1]
        if best is None or "validation_log_likelihood" not in best or not self.best[1]:
            chosen, step = self.average.model.state_dict(), last["step"]
        else:
            name = "validation_log_likelihood"
            better = best[name] - last[name] > 2.0 * _doubt(best, last)
            chosen = self.best[1] if better else self.average.model.state_dict()
            step = best["step"] if better else last["step"]
        self.learner.model.load_state_dict(chosen)
        self.history.best_step = step

    def state_dict(self) -> dict[str, Tensor]:
        """All that is needed to go on, but for the records."""
        state = {f"best.{name}": p for name, p in self.best[1].items()}
        if self.track is not None:
            state |= {f"track.{name}": p for name, p in self.track.state_dict().items()}
        state |= {f"watch.{name}": t for name, t in self.watch.state_dict().items()}
        return state | {
            "score": torch.tensor(self.best[0], dtype=torch.float64),
            "next": torch.tensor(self._next, dtype=torch.float64),
            "turn": torch.tensor(self.schedule.turn, dtype=torch.float64),
            "trusted": torch.tensor(self._trusted),
            "scale": torch.tensor(self.schedule.scale, dtype=torch.float64),
        }

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from `state_dict`."""
        best = {name.removeprefix("best."): p for name, p in state.items() if name.startswith("best.")}
        self.best = (float(state["score"]), best)
        self._next, self._trusted = float(state["next"]), int(state["trusted"])
        self.schedule.turn, self.schedule.scale = float(state["turn"]), float(state["scale"])
        watch = {name.removeprefix("watch."): t for name, t in state.items() if name.startswith("watch.")}
        self.watch.load_state_dict(watch)
        self._judged = self.watch.report
        track = {name.removeprefix("track."): p for name, p in state.items() if name.startswith("track.")}
        model = self.average.model
        if track and isinstance(model, BlockModel):
            self.track = object.__new__(LogPartitionTrack)
            self.track.load_state_dict(track, model)


def _doubt(one: Record, other: Record) -> float:
    """Standard error of the difference of two records' validation likelihoods."""
    name = "validation_log_likelihood_stderr"
    return math.hypot(one[name], other[name])


def _gradient_norm(model: Any) -> float:
    squares = [float(p.grad.norm()) ** 2 for p in model.parameters() if p.grad is not None]
    return math.sqrt(sum(squares))
