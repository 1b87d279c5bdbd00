"""What to do in a run, and why: each rule goes from a measurement to an action and a sentence.

    KeepBest     model selection: the best parameters on the validation rows
    Temper       chains that don't mix: replica exchange (parallel tempering)
    RollBack     divergence: rollback to the best parameters
    Shrink       overfitting: a weight decay that follows the validation rows
    DecayEarly   a plateau: the learning-rate decay begins
    StopEarly    early stopping

A rule changes nothing by itself. `judge` is asked after each measurement, `conclude` once at the end; what
they return is done by the run. Rules are asked in the order of `standard_rules`, and what one remembers is in
its state. A new rule is a class here and a place in that order. `hm.fit(..., rules=...)` takes any of them;
`rules=()` trains plainly. What each is worth is measured by `python -m benchmarks.rules`, and stands in
docs/rules.md; the figures below are from there, or from docs/densities.md: test log-likelihoods in nats per
row, on an AMD EPYC (Zen 3), kernels of the wide path.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from harmonium.models import PairwiseModel
from harmonium.random import derived_seed
from harmonium.recipes.run.course import Action, Kept, Run
from harmonium.recipes.run.likelihoods import MEASURED_SHARE, SUBSET, log_likelihood
from harmonium.recipes.run.measurement import Measurement


class Rule:
    """A rule that never wants anything: what all others derive from."""

    def judge(self, run: Run, now: Measurement) -> Action | None:
        """What to do after a measurement, if anything."""
        return None

    def rescue(self, run: Run) -> Action | None:
        """What to do where an update has failed, after which the model is of no use; None to give it up."""
        return None

    def conclude(self, run: Run) -> Action | None:
        """What to do in the end, if anything."""
        return None

    def state_dict(self) -> dict[str, Tensor]:
        """All that is needed to go on."""
        return {}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from `state_dict`."""


def standard_rules() -> tuple[Rule, ...]:
    """The rules of the default call, in the order in which they judge."""
    return KeepBest(), Temper(), RollBack(), Shrink(), DecayEarly(), StopEarly()


@dataclass
class Temper(Rule):
    """Chains that keep to their modes: begin anew with replica exchange, chains at several temperatures.

    What chains that don't move have taught is not worth keeping: they let the model deepen the modes that
    they happen to be in, and no ladder of temperatures leads out of these any more. The best model so far is
    put aside, and returned if in the end the new one is worse by a log Z that owes nothing to any chains of
    training. Only for negative phases that the run has chosen itself.

    Figure: ten clusters of 100 columns end at -15.93, without it at -23.59 (truth -15.79), 60 columns
    copied from six coins at -5.31, without it at -6.66 (-5.02); three clusters of one-hot sites lose 0.24.

    Attributes:
        r_hat: beyond which more sweeps don't help.
        latest: share of the planned run after which there is no time to begin anew.
    """

    r_hat: float = 1.8
    latest: float = 2.0 / 3.0

    def __post_init__(self) -> None:
        self.before: Kept | None = None

    def judge(self, run: Run, now: Measurement) -> Action | None:
        if now.mixing is None or now.mixing.r_hat <= self.r_hat or run.begin is None:
            return None
        other = run.learner.negatives.tempered()
        late = run.schedule.spent(now.step) > self.latest
        if other is None or late or not run.learner.model.has_free_energy():
            return None

        def act() -> None:
            self.before = run.best
            run.restart(other)

        return Action(
            act,
            f"After {now.step} updates the persistent chains hardly mixed (R-hat {now.mixing.r_hat:.2f});"
            " training began anew with replicas at several temperatures that exchange places.",
            warn=True,
        )

    def conclude(self, run: Run) -> Action | None:
        if self.before is None or run.chosen is None:
            return None
        rows = run.meter.known if run.meter.valid is None else run.meter.valid.states(SUBSET)
        work = MEASURED_SHARE * run.meter.work(run.measured[-1].step)
        model, found = copy.deepcopy(run.average.model), []
        for kept in (self.before, run.chosen):
            model.load_state_dict(kept.parameters)
            seed = derived_seed(run.schedule.settings.seed, kept.step, 1)
            found.append(log_likelihood(model, rows, work, seed))
        if found[0] <= found[1]:
            return None
        return Action(
            partial(setattr, run, "chosen", self.before),
            f"The model of update {self.before.step}, before training began anew, was better in the end"
            f" ({found[0]:.2f} against {found[1]:.2f} nats per row), and was kept.",
            warn=True,
        )

    def state_dict(self) -> dict[str, Tensor]:
        if self.before is None:
            return {}
        parameters = {f"parameters.{name}": p for name, p in self.before.parameters.items()}
        return parameters | {"numbers": torch.tensor(self.before[:2], dtype=torch.float64)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        if state:
            score, step = state["numbers"].tolist()
            found = {k.removeprefix("parameters."): p for k, p in state.items() if k != "numbers"}
            self.before = Kept(score, int(step), found)


@dataclass
class RollBack(Rule):
    """Divergence: rollback to the best parameters, with half the learning rate and chains from rows.

    Likelihoods of training rows rise, up to noise: a deep fall means that the chains have lost the model. So
    does an update that fails between two measurements.

    Figure: a row of spins learned at a rate twenty times too large ends at -5.72, and without this in a
    `FloatingPointError`; so do sparse counts, at -3.74, where without any rule they end at -4e14.

    Attributes:
        nats, gain, errors: a fall of so many nats, plus this share of the gain so far, plus so many standard
            errors.
        most: times; a run that diverges more often is given up.
    """

    nats: float = 1.0
    gain: float = 0.2
    errors: float = 5.0
    most: int = 6

    def __post_init__(self) -> None:
        self.times = 0

    def judge(self, run: Run, now: Measurement) -> Action | None:
        if not self.diverged(run.believed) or run.best is None:
            return None
        if self.times == self.most:
            raise FloatingPointError(
                f"training diverged {self.most + 1} times, the last time after {now.step} updates; use a"
                " smaller learning rate or more gibbs_steps."
            )

        return self._back(run, now.step, now.learning_rate)

    def rescue(self, run: Run) -> Action | None:
        if run.best is None or self.times == self.most:
            return None
        return self._back(run, run.reached + 1, run.schedule.learning_rate(run.reached))

    def _back(self, run: Run, step: int, rate: float) -> Action:
        assert run.best is not None  # as the rule has looked

        def act() -> None:
            self.times += 1
            run.roll_back()

        return Action(
            act,
            f"Training diverged before update {step}; it went on from update {run.best.step} with the"
            f" learning rate {0.5 * rate:.3g}.",
            warn=True,
        )

    def diverged(self, measured: Sequence[Measurement]) -> bool:
        """Whether the newest likelihood of the training rows lies far below the best one."""
        seen = [(x, m) for m in measured if (x := m.train_log_likelihood) is not None]
        if not seen:
            return False
        first, best, (newest, last) = seen[0][0], max(x for x, _ in seen), seen[-1]
        error = last.log_partition_stderr or 0.0
        return newest < best - (self.nats + self.gain * (best - first) + self.errors * error)

    def state_dict(self) -> dict[str, Tensor]:
        return {"times": torch.tensor(self.times)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self.times = int(state["times"])


@dataclass
class Shrink(Rule):
    """Overfitting: let the weight decay follow the validation rows once training comes to rest.

    Write s for the mean over rows of the fluctuating part of the interaction, Σᵢⱼ (vᵢ-μᵢ) Wᵢⱼ (⟨hⱼ|v⟩-ηⱼ).
    Scaling W by 1+ε changes the log-likelihood of a set of rows by ε (s_rows - s_model). Training with the
    penalty (λ/2) Σ W² comes to rest where s_train - s_model = λ ΣW², and the likelihood of the validation
    rows is stationary where s_valid - s_model = 0. Both hold for

        λ = (s_train - s_valid) / Σ W²,

    in which the model's own mean, the part that is hard to know, has cancelled. It is the fixed point of
    MacKay (1992) with the effective number of parameters replaced by what the validation rows say.

    Figure: baudio ends at -38.61, without it at -38.81 (one run each, errors of log Z 0.01 and 0.03; by an
    earlier recipe -38.65 and -38.85). nltcs and the made-up tables are the same to three digits.

    Attributes:
        widest: the strength stays between what it was at first and this many times as much.
        pace: share of the way, on a logarithmic scale, that one measurement moves it.
        least: relative change that is worth making.
    """

    widest: float = 16.0
    pace: float = 0.5
    least: float = 0.01

    def judge(self, run: Run, now: Measurement) -> Action | None:
        decay, model, valid = run.meter.decay, run.average.model, run.meter.valid
        falling = run.schedule.falling(now.step)
        if decay is None or valid is None or not falling or (machine := model.as_pairwise()) is None:
            return None
        first = run.schedule.settings.weight_decay
        judged = run.meter.judged()
        assert judged is not None  # as there are validation rows
        strength = self.wanted(decay.strength, first, machine, (run.meter.train, judged))
        if math.isclose(strength, decay.strength, rel_tol=self.least):
            return None
        return Action(
            partial(setattr, decay, "strength", strength),
            f"After {now.step} updates the weight decay became {strength:.3g}.",
        )

    def wanted(
        self, strength: float, first: float, model: PairwiseModel, rows: tuple[Tensor, Tensor]
    ) -> float:
        """The strength closer to where shrinking no longer helps the validation rows, never below the first.

        `rows` are training and validation rows.
        """
        gap, square = interaction_gap(model, *rows)
        wanted = min(max(gap / max(square, 1e-12), first), first * self.widest)
        return float(strength ** (1 - self.pace) * wanted**self.pace)


@torch.no_grad()
def interaction_gap(model: PairwiseModel, train: Tensor, valid: Tensor) -> tuple[float, float]:
    """(s_train - s_valid, Σ W²) of a two-block model (see `Shrink`); rows are (n, n_visible)."""
    pair = model.pair()
    assert pair is not None  # since only then the decay may follow
    means = [pair.hidden.mean(pair.hidden_field(v)) for v in (train, valid)]
    centre_v, centre_h = train.mean(0), means[0].mean(0)
    s = [
        float((pair.operator.product(v - centre_v) * (h - centre_h)).sum(1, dtype=torch.float64).mean())
        for v, h in zip((train, valid), means, strict=True)
    ]
    return s[0] - s[1], float(pair.operator.squared_norm())


@dataclass
class DecayEarly(Rule):
    """A plateau of the validation rows: let the learning-rate decay begin.

    The noise of the steps then hides what there is still to gain, and smaller steps find it.

    Figure: sparse counts are learned in 900 updates instead of 1,800, and end at -3.739 instead of -3.741;
    plants takes 14,500 of 20,000 updates and baudio 10,700, to the same likelihood within 0.02.

    Attributes:
        window: measurements that are no better, together, than as many before them.
    """

    window: int = 5

    def judge(self, run: Run, now: Measurement) -> Action | None:
        if run.schedule.falling(now.step) or unknown_mixing(run, now):
            return None
        values = _validated(run)
        flat = sum(values[-self.window :]) <= sum(values[-2 * self.window : -self.window])
        if len(values) < 2 * self.window or not flat:
            return None
        return Action(
            partial(run.schedule.begin_decay, now.step),
            f"After {now.step} updates the validation rows gained nothing more; the learning rate began to"
            " fall.",
        )


@dataclass
class StopEarly(Rule):
    """Early stopping (Prechelt 1998): end a run whose best model lies far back and was better beyond doubt.

    Figure: it saves a quarter of the updates of rows that are few or wide (1,350 of 1,800 made), and two
    fifths of the time; the model returned is the same. By records alone a run on plants ended 0.06 too low.

    Attributes:
        patience: share of the run for which the best model must have been waited on.
        errors: standard errors of a difference that are beyond doubt.
    """

    patience: float = 0.25
    errors: float = 2.0

    def judge(self, run: Run, now: Measurement) -> Action | None:
        progress, best = run.schedule.progress(now.step), run.best
        if progress < 0.5 + self.patience or unknown_mixing(run, now) or not _validated(run) or best is None:
            return None
        waited = progress * (1.0 - best.step / now.step)
        if waited <= self.patience or not run.better(best, run.kept(now), self.errors, self.errors):
            return None
        return Action(
            run.stop,
            f"Training ended after {now.step} updates: the validation rows liked the model of update"
            f" {best.step} better.",
        )


@dataclass
class KeepBest(Rule):
    """Return the model that the validation rows liked best, if it was better than the last beyond doubt.

    The last parameters, found at the smallest steps, are preferred where errors leave room for that.

    Figure: 100 rows of 32 columns end 6.1 ± 0.3 nats lower without it, 200 rows of 300 columns 0.12 ± 0.09.
    With records alone for a judge, clusters in `benchmarks.running` ended 0.80 nats behind the best model.

    Attributes:
        errors: standard errors of a difference that are beyond doubt.
        hint: of the difference of two records that are worth asking anew.
    """

    errors: float = 2.0
    hint: float = 1.0

    def conclude(self, run: Run) -> Action | None:
        best, last = run.best, run.chosen
        if best is None or last is None or run.measured[-1].validation_log_likelihood is None:
            return None
        if not run.better(best, last, self.errors, self.hint):
            return None
        return Action(
            partial(setattr, run, "chosen", best), f"The model returned is that of update {best.step}."
        )


def unknown_mixing(run: Run, now: Measurement) -> bool:
    """Whether nothing is known of the chains yet: a likelihood may stand still because they do."""
    return run.learner.negatives.chains is not None and now.r_hat is None


def _validated(run: Run) -> list[float]:
    return [x for m in run.believed if (x := m.validation_log_likelihood) is not None]
