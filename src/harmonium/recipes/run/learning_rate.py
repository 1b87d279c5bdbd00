"""How far a run has come, and the learning rate there."""

from __future__ import annotations

import time
from collections.abc import Mapping

import torch
from torch import Tensor

from harmonium import processes
from harmonium.recipes.settings import Settings


class Schedule:
    """How far training is, 0 to 1, and the learning rate there: constant in the first half, then falling
    linearly to 2 %.

    Progress is counted in updates, or in minutes where these are given; then results depend on the speed of
    the machine. A run that has stopped improving turns early, and its second half is as short as its first.

    Attributes:
        turn: share of the planned run at which the learning rate begins to fall.
        scale: factor of the learning rate, halved when training diverges.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.turn = 0.5
        self.scale = 1.0
        self.start = time.monotonic()
        self._said = (-1, 0.0)  # the step and the seconds that the first of several processes has said last

    @property
    def seconds(self) -> float:
        """Time spent in training, over all its resumptions."""
        return time.monotonic() - self.start

    def spent(self, step: int) -> float:
        """Share of the planned run, in updates or minutes, that is over."""
        spent = step / self.settings.steps
        if self.settings.minutes is not None:
            spent = max(spent, self._agreed(step) / (60.0 * self.settings.minutes))
        return spent

    def _agreed(self, step: int) -> float:
        """Seconds spent, in several processes by the clock of the first one, which says so once a step."""
        if not processes.together():
            return self.seconds
        if self._said[0] != step:
            self._said = (step, processes.from_first(self.seconds))
        return self._said[1]

    def begin_decay(self, step: int) -> None:
        """Let the learning rate begin to fall."""
        self.turn = min(0.5, self.spent(step))

    def resume_constant(self) -> None:
        """Take an early fall back."""
        self.turn = 0.5

    def progress(self, step: int) -> float:
        """Share of the run that is done."""
        return min(0.5 * self.spent(step) / self.turn, 1.0)

    def falling(self, step: int) -> bool:
        """Whether the learning rate falls by now."""
        return self.progress(step) >= 0.5

    def learning_rate(self, step: int) -> float:
        """The step size of update `step`."""
        return (
            self.scale * self.settings.learning_rate * min(1.0, max(0.02, 2.0 * (1.0 - self.progress(step))))
        )

    def state_dict(self) -> dict[str, Tensor]:
        """All that is needed to go on."""
        numbers = [self.turn, self.scale, self.seconds]
        return {"numbers": torch.tensor(numbers, dtype=torch.float64)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from `state_dict`."""
        self.turn, self.scale, seconds = state["numbers"].tolist()
        self.start = time.monotonic() - seconds
