"""A run: what is trained, what has been measured, and what rules may do about it."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from harmonium import processes, store
from harmonium.learning import Average, Learner, NegativePhase, StopTraining, Update
from harmonium.learning.loop import Callback, check_finite, train
from harmonium.learning.state import gathered, part_of, scattered
from harmonium.models import EnergyModel
from harmonium.random import derived_seed
from harmonium.recipes.run.checkpointing import same_settings
from harmonium.recipes.run.history import History, Record
from harmonium.recipes.run.learning_rate import Schedule
from harmonium.recipes.run.likelihoods import DECISIVE, log_partition_anew
from harmonium.recipes.run.measurement import Measurement, Meter

if TYPE_CHECKING:
    from harmonium.recipes.rules import Rule


class Action(NamedTuple):
    """What a rule wants done, and the sentence that says so."""

    act: Callable[[], None]
    sentence: str
    warn: bool = False  # whether a careful user should know


class Kept(NamedTuple):
    """Parameters worth keeping, when they were had, how good they are, and the standard error of that.

    Attributes:
        anew: whether log Z was estimated anew for that.
    """

    score: float
    step: int
    parameters: dict[str, Tensor]
    error: float = 0.0
    anew: bool = False


class Run:
    """A callback that measures the averaged model at even distances and lets the rules judge.

    Args:
        learner: what is being trained.
        average: the averaged parameters, which are what is measured and kept.
        schedule: the clock of the run.
        meter: measures.
        rules: judge each measurement, in this order.
        history: where measurements and sentences go.

    Attributes:
        measured: all measurements, in order.
        best: the parameters with the best likelihood since training last began, if any.
        chosen: those that the model will have in the end, once training is over.
        begin: puts a fresh model where training starts; None where the model is not to begin anew.
        told: called with each new record: checkpoints, displays.
        stopped: whether a rule has ended the run.
        reached: updates made by now.
    """

    def __init__(
        self,
        learner: Learner,
        average: Average,
        schedule: Schedule,
        meter: Meter,
        rules: Sequence[Rule],
        history: History,
    ) -> None:
        self.learner, self.average, self.schedule, self.meter = learner, average, schedule, meter
        self.rules, self.history = rules, history
        self.measured: list[Measurement] = []
        self.best: Kept | None = None
        self.chosen: Kept | None = None
        self.begin: Callable[[NegativePhase], None] | None = None
        self.told: list[Callable[[Record], None]] = []
        self._next = 0.0  # progress at which to measure
        self._began = 0  # the update at which training last began
        self._restarts = 0
        self.stopped = False
        self.reached = 0
        self._replaced = False  # whether the parameters are others than those just measured

    # -- the course of the run

    def __call__(self, update: Update) -> None:
        """After an update: look, measure when it is time, and end when it is over."""
        self.reached = update.step
        self.meter.watch(update)
        progress = self.schedule.progress(update.step)
        if progress >= self._next or progress >= 1.0:
            records = self.schedule.settings.records
            self._next = math.floor(progress * records + 1) / records
            self._judge(self._measure(update.step))
            self._tell()
        if progress >= 1.0 or self.stopped:
            raise StopTraining

    def _measure(self, step: int) -> Measurement:
        if processes.together():  # what processors of different kinds have rounded differently ends here
            models = (self.learner.model, self.average.model)
            processes.broadcast_([p.data for model in models for p in model.parameters()])
        check_finite(self.learner.model, step)
        reason = self.average.model.reason_not_normalizable()
        if reason:
            raise FloatingPointError(f"after {step} updates {reason} Use a smaller learning rate.")
        now = self.meter.measure(step, self.measured[-1] if self.measured else None)
        if processes.together():
            now = replace(Measurement.of(processes.from_first(now.record())), mixing=now.mixing)
        self.measured.append(now)
        self.history.records.append(now.record())
        unknown = now.score == -math.inf  # then the latest are as good as any
        if self.best is None or now.score > self.best.score or unknown and self.best.score == now.score:
            self.best = self.kept(now)
        return now

    def _judge(self, now: Measurement) -> None:
        self._replaced = False
        for rule in self.rules:
            self._do(rule.judge(self, now))
            if self._replaced:  # the measurement says nothing of what the model is by now
                break

    def _do(self, action: Action | None) -> None:
        if action is not None:
            action.act()
            self.history.notes.append(action.sentence)
            if action.warn:
                self.history.warnings.append(action.sentence)

    def _tell(self) -> None:
        for call in self.told:
            call(self.history.records[-1])

    def finish(self, step: int) -> None:
        """Give the model the parameters that were chosen: the last ones, unless a rule prefers others."""
        if not self.measured or self.measured[-1].step != step:
            self._measure(step)
            self._tell()
        self.chosen = self.kept(self.measured[-1])
        for rule in self.rules:
            self._do(rule.conclude(self))
        self.learner.model.load_state_dict(self.chosen.parameters)
        self.history.best_step = self.chosen.step

    def made(self, steps: int, callbacks: Sequence[Callback], first: int) -> int:
        """Make updates first … steps-1, as `train`, with what rules do where one fails; returns how many were
        made in all.
        """
        self.reached = first
        while True:
            try:
                return train(self.learner, steps, callbacks, self.reached)
            except FloatingPointError as error:
                self._rescue(error)

    def _rescue(self, error: FloatingPointError) -> None:
        """Do what a rule would after an update that failed.

        Raises:
            FloatingPointError: no rule knows what to do; the model gets the best parameters that it had, if
                any.
        """
        for rule in self.rules:
            action = rule.rescue(self)
            if action is not None:
                return self._do(action)
        if self.best is None:
            raise error
        self.learner.model.load_state_dict(self.best.parameters)
        raise FloatingPointError(f"{error} The model is that of update {self.best.step}.") from error

    # -- what rules may ask

    @property
    def over(self) -> bool:
        """Whether the run ended with its last measurement."""
        return self.stopped or any(self.schedule.progress(m.step) >= 1.0 for m in self.measured[-1:])

    @property
    def believed(self) -> list[Measurement]:
        """The measurements since training last began."""
        return [m for m in self.measured if m.step > self._began]

    def at(self, step: int) -> Measurement:
        """What was measured after so many updates."""
        return next(m for m in reversed(self.measured) if m.step == step)

    def kept(self, now: Measurement) -> Kept:
        """The averaged parameters as they are, which `now` was measured of."""
        return Kept(now.score, now.step, copy.deepcopy(self.average.model.state_dict()), now.error)

    def better(self, best: Kept, last: Kept, errors: float, hint: float) -> bool:
        """Whether the validation rows like `best` more than `last` by so many standard errors: the largest of
        many records is often the luckiest, so where they say so by `hint` errors, log Z of both is estimated
        anew, for longer, and what is known of the best parameters is that from then on.
        """
        estimated = self.average.model.has_free_energy() and self.meter.objective is None
        error = math.hypot(best.error, last.error)
        if best.score - last.score > hint * error > 0.0 and estimated:
            best, last = self._measured_anew(best), self._measured_anew(last)
            if self.best is not None and self.best.step == best.step:
                self.best = best
        return best.score - last.score > errors * math.hypot(best.error, last.error)

    def _measured_anew(self, kept: Kept) -> Kept:
        """The same parameters, and how good they are by a log Z that took longer: 3 % of the work so far."""
        if kept.anew:
            return kept
        now, model = self.at(kept.step), copy.deepcopy(self.average.model)
        work = max(DECISIVE, 0.03 * self.meter.work(self.measured[-1].step))
        model.load_state_dict(kept.parameters)
        seed = derived_seed(self.schedule.settings.seed, now.step, 1)
        log_z, error = log_partition_anew(model, self.meter.train, work, seed)
        of_rows = max(now.error**2 - (now.log_partition_stderr or 0.0) ** 2, 0.0) ** 0.5  # with gaps
        score = now.score + (now.log_partition or 0.0) - log_z
        error = math.hypot(error, of_rows)
        score, error = processes.from_first((score, error))  # all have to go the same way
        return Kept(score, kept.step, kept.parameters, error, anew=True)

    # -- what rules may do

    def stop(self) -> None:
        """End the run after this measurement."""
        self.stopped = True

    def roll_back(self) -> None:
        """Go on from the best parameters with half the learning rate and chains that start from rows."""
        assert self.best is not None  # the measurement that asks for it is one to begin with
        self.schedule.scale /= 2.0
        self._return_to(self.best.parameters)

    def restart(self, negatives: NegativePhase) -> None:
        """Begin training anew with another negative phase."""
        assert self.begin is not None  # as the rule has looked
        before, batch = self.learner.negatives, self.learner.batches.size
        self.learner.negatives = negatives
        self.begin(negatives)
        self.schedule.scale *= _noisier(batch, before.n, negatives.n)
        self.schedule.resume_constant()
        self.best, self._began, self._restarts = None, self.measured[-1].step, self._restarts + 1
        self._return_to(copy.deepcopy(self.learner.model.state_dict()))

    def _return_to(self, parameters: Mapping[str, Tensor]) -> None:
        self.learner.restart(parameters, self.meter.train)
        self.average.restart(self.learner.model)
        self.meter.restart()
        self._replaced = True

    # -- the run on disk

    @property
    def _parts(self) -> dict[str, Any]:
        """Everything that the next update and the next judgement depend on."""
        rules = {f"rules/{type(rule).__name__}": rule for rule in self.rules}
        own = {"model": self.learner.model, "average": self.average, "learner": self.learner}
        return own | {"schedule": self.schedule, "meter": self.meter} | rules

    def write(self, checkpoint: store.Checkpoint, step: int, chosen: Mapping[str, Any] | None = None) -> None:
        """Write the run as it is after `step` updates, replacing an older checkpoint in one step.

        `chosen` says how the model was found, where the run chose it.
        """
        numbers = [self._next, self._began, self._restarts, self.stopped]
        numbers += [] if self.best is None else [self.best.score, self.best.error, self.best.anew]
        tensors = gathered(self._parts) | {"run": torch.tensor(numbers, dtype=torch.float64)}
        if self.best is not None:
            tensors |= {f"best/{name}": p for name, p in self.best.parameters.items()}
        facts: dict[str, Any] = {
            "settings": asdict(self.schedule.settings),
            "rules": [type(rule).__name__ for rule in self.rules],
            "chosen": chosen,
            "step": step,
            "records": self.history.records,
            "best": None if self.best is None else self.best.step,
            "warnings": self.history.warnings,
            "notes": self.history.notes,
        }
        checkpoint.save(tensors, facts)

    def read(self, path: Path) -> int:
        """Put the run back to where `write` saw it; returns how many updates were made.

        Raises:
            ValueError: the checkpoint is of a run with other settings or another model, naming them.
        """
        tensors, facts = store.load_tensors(path)
        if not {"settings", "records", "rules"} <= facts.keys():
            what = "the trials of hm.fit(X)" if "trials" in facts else "no run"
            raise ValueError(f"resume: {path} is a checkpoint of {what}, and not of a run of this model.")
        rules = [type(rule).__name__ for rule in self.rules]
        saved = {**facts["settings"], "rules": facts["rules"]}
        same_settings(path, saved, {**asdict(self.schedule.settings), "rules": rules})
        shapes = {name: tuple(x.shape) for name, x in self.learner.model.state_dict().items()}
        found = {name: tuple(x.shape) for name, x in part_of(tensors, "model").items()}
        if found != shapes:
            raise ValueError(f"resume: {path} is of another model, with parameters of the shapes {found}.")
        self._next, began, restarts, stopped, *of_best = tensors.pop("run").tolist()
        self._began, self._restarts, self.stopped = int(began), int(restarts), bool(stopped)
        for _ in range(self._restarts):
            tempered = self.learner.negatives.tempered()
            assert tempered is not None  # as it was before
            self.learner.negatives = tempered
        scattered(self._parts, tensors)
        self.history.records[:] = facts["records"]
        self.history.warnings[:], self.history.notes[:] = facts["warnings"], facts["notes"]
        self.measured = [Measurement.of(record) for record in facts["records"]]
        if facts["best"] is not None:
            now = self.at(facts["best"])
            score, error, anew = of_best or (now.score, now.error, False)  # as older checkpoints don't say
            self.best = Kept(score, facts["best"], part_of(tensors, "best"), error, bool(anew))
        return int(facts.get("step", self.measured[-1].step))

    def state(self, origin: Tensor | None) -> dict[str, Tensor]:
        """What a later call on the same model needs to go on, beside the parameters; rows were seen from
        `origin`.
        """
        made = self.learner.made + self.measured[-1].step
        found = gathered({"learner": self.learner}) | {"learner/made": torch.tensor(made)}
        found["parameters"] = torch.tensor(_size(self.learner.model))
        if origin is not None:
            found["origin"] = origin
        return {name: x.detach().clone() for name, x in found.items()}

    def go_on(self, state: Mapping[str, Tensor]) -> None:
        """Go on from the `state` of an earlier call."""
        if "learner/made" not in state:
            raise ValueError("state must be the history.state of an earlier call of hm.fit.")
        if int(state["parameters"]) != _size(self.learner.model):
            raise ValueError(
                f"state is of a model of {int(state['parameters'])} parameters, and this one has"
                f" {_size(self.learner.model)}."
            )
        self.learner.load_state_dict(part_of(state, "learner"))


def _size(model: EnergyModel) -> int:
    return sum(p.numel() for p in model.parameters())


def _noisier(batch: int, before: int | None, now: int | None) -> float:
    """By how much smaller steps must be that other numbers of particles give the model no larger kicks."""
    if before is None or now is None:
        return 1.0
    return float(((1.0 / batch + 1.0 / before) / (1.0 / batch + 1.0 / now)) ** 0.5)
