"""Choices that nobody should have to make: the settings of a run, from the shapes of model and data."""

from __future__ import annotations

import time
from dataclasses import dataclass

from harmonium.models import BlockModel, EnergyModel, PairwiseModel

NATURAL_WIDTH = 2048  # wider layers make the matrices of the natural gradient cost more than they save


@dataclass(frozen=True)
class Plan:
    """The settings of one run of `hm.fit`, as `history.settings` shows them."""

    seed: int
    steps: int
    minutes: float | None
    batch_size: int
    chains: int
    gibbs_steps: int
    learning_rate: float
    weight_decay: float
    records: int
    optimiser: str


def natural_gradient_fits(model: EnergyModel) -> bool:
    """Whether the model has the two coupled blocks of `learning.NaturalGradient`, and not too wide ones."""
    return (
        isinstance(model, PairwiseModel)
        and len(model.layers) == 2
        and len(model.couplings()) == 1
        and max(layer.width for layer in model.layers) <= NATURAL_WIDTH
    )


def default_optimiser(model: EnergyModel) -> str:
    """The method by name: natural for two coupled blocks, centred for other pairwise models, else adam."""
    if natural_gradient_fits(model):
        return "natural"
    leaves = isinstance(model, PairwiseModel) and all(c.weight.is_leaf for c in model.couplings())
    return "centred" if leaves else "adam"


HALF = 0.5
LEARNING_RATES = {"natural": 0.4, "centred": 0.05, "adam": 2e-3}
NOISE = 2.0  # nats by which the noise of one natural-gradient step may move the distribution


def default_learning_rate(model: EnergyModel, method: str, batch: int, chains: int) -> float:
    """The step size of a method.

    A natural-gradient step of size η moves the distribution by η²/2 · parameters · (1/batch + 1/chains) nats
    (Kullback-Leibler) even where there is nothing to learn, and the chains must be able to follow. So the
    size falls with the square root of the number of parameters.
    """
    size = LEARNING_RATES.get(method, 0.01)
    if method != "natural":
        return size
    parameters = sum(p.numel() for p in model.parameters())
    return float(min(size, (2.0 * NOISE / (parameters * (1.0 / batch + 1.0 / chains))) ** 0.5))


def default_steps(model: EnergyModel, n_rows: int) -> int:
    """Updates when neither steps nor minutes are given; a run that turns early ends before."""
    wide = isinstance(model, BlockModel) and sum(layer.width for layer in model.layers) > 1000
    if n_rows < 5000:
        return 3_000
    return 10_000 if wide else 20_000


class Schedule:
    """How far training is, 0 to 1, and the learning rate there: constant in the first half, then falling
    linearly to 2 %.

    Progress is counted in updates, or in minutes where these are given; then results depend on the speed of
    the machine. A run that has stopped improving turns early, and its second half is as short as its first.

    Attributes:
        turn: share of the planned run at which the learning rate begins to fall.
        scale: factor of the learning rate, halved when training runs away.
    """

    def __init__(self, plan: Plan, elapsed: float = 0.0) -> None:
        self.plan = plan
        self.turn = HALF
        self.scale = 1.0
        self.start = time.monotonic() - elapsed

    @property
    def seconds(self) -> float:
        """Time spent in training, over all its resumptions."""
        return time.monotonic() - self.start

    def _spent(self, step: int) -> float:
        spent = step / self.plan.steps
        if self.plan.minutes is not None:
            spent = max(spent, self.seconds / (60.0 * self.plan.minutes))
        return spent

    def turn_now(self, step: int) -> None:
        """Begin the second half."""
        self.turn = min(HALF, self._spent(step))

    def progress(self, step: int) -> float:
        """Share of the run that is done."""
        return min(HALF * self._spent(step) / self.turn, 1.0)

    def learning_rate(self, step: int) -> float:
        """The step size of update `step`."""
        return self.scale * self.plan.learning_rate * min(1.0, max(0.02, 2.0 * (1.0 - self.progress(step))))
