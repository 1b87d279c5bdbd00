"""An alarm for training: persistent chains that no longer mix are noticed while something can be done.

The negative phase takes the chains for the model. When they stop moving between its modes, the gradient
follows them instead, and nothing in the training curves shows it. What shows it is how slowly chains change
place along the directions in which they differ most.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from harmonium import checks, kernels, processes
from harmonium.diagnostics.mixing import STUCK, MixingReport, autocorrelation_time, split_r_hat
from harmonium.models import EnergyModel

DIRECTIONS = 3  # principal directions of the chains that are watched
ITERATIONS = 4  # of the power method that finds them


class MixingWatch:
    """Watches the chains of a training run; a callback for `hm.fit` and `learning.train`.

    For persistent chains, whose rows go on from update to update. Every so many updates it notes the free
    energies of some chains and where they are along the principal directions of all. When a window is full it
    judges them by split R̂ and autocorrelation time, each chain relative to the mean of all, so that what the
    model learns meanwhile doesn't count as mixing.

    Args:
        every: updates between two looks. A look costs a free energy of `chains` rows.
        window: looks after which it judges; the next window begins afresh.
        chains: how many chains to look at, the first ones.

    Attributes:
        report: the MixingReport of the last full window, times in updates; None before.
        warning: its warning, a sentence with the remedy, or None.

    >>> import harmonium as hm
    >>> rbm = hm.RBM(visible=hm.Bernoulli(12), hidden=hm.Bernoulli(3))
    >>> watch = MixingWatch(every=1, window=16)
    >>> history = hm.fit(rbm, torch.eye(12), steps=20, negatives="pcd", callbacks=[watch])
    >>> watch.warning is None, watch.report.r_hat < 1.2
    (True, True)
    """

    def __init__(self, every: int = 32, window: int = 32, chains: int = 64) -> None:
        self.every = checks.integer("every", every, low=1)
        self.window = checks.integer("window", window, low=8)
        self.chains = checks.integer("chains", chains, low=2)
        self.report: MixingReport | None = None
        self._looks: list[np.ndarray] = []
        self._centre = self._basis = torch.empty(0)

    @property
    def warning(self) -> str | None:
        """What the last full window gave reason to say, if anything."""
        return None if self.report is None else self.report.warning

    def __call__(self, update: Any) -> None:
        """Look at the chains after an update, one with `step`, `model` and `negatives.v`."""
        if update.step % self.every == 0:
            self.look(update.model, processes.gather(update.negatives.v))

    @torch.no_grad()
    def look(self, model: EnergyModel, v: Tensor) -> None:
        """Note where the chains are, (chains, n_visible), the same chains in the same rows every time."""
        if len(v) < 2:
            raise ValueError(f"v: expected at least 2 chains, got {len(v)}.")
        if not self._looks:
            self._centre, self._basis = principal_directions(v)
        rows = v[: self.chains]
        seen = (rows - self._centre) @ self._basis
        if model.has_free_energy():
            seen = torch.cat([seen, model.free_energy(rows)[:, None]], 1)
        self._looks.append(seen.double().cpu().numpy())
        if len(self._looks) == self.window:
            self.report = judged(np.stack(self._looks), self.every)
            self._looks = []

    def state_dict(self) -> dict[str, Tensor]:
        """All that is needed to go on: the window so far, and the last report."""
        state: dict[str, Tensor] = {}
        if self._looks:
            state |= {"looks": torch.from_numpy(np.stack(self._looks))}
            state |= {"centre": self._centre, "basis": self._basis}
        if self.report is not None:
            numbers = [self.report.ess, self.report.r_hat, self.report.autocorrelation_time]
            state["report"] = torch.tensor(numbers, dtype=torch.float64)
        return state

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from `state_dict`."""
        self._looks, self.report = [], None
        if "looks" in state:
            self._looks = list(state["looks"].cpu().numpy())
            self._centre, self._basis = state["centre"], state["basis"]
        if "report" in state:
            ess, r_hat, time = state["report"].tolist()
            self.report = reported(ess, r_hat, time, updates=self.every * self.window)


def principal_directions(v: Tensor) -> tuple[Tensor, Tensor]:
    """(mean, leading principal directions as columns) of the rows of v, by the power method."""
    centre = v.mean(0)
    x = v - centre
    basis = x[: min(DIRECTIONS, *x.shape)].T.contiguous()  # some rows are a start as good as any
    for _ in range(ITERATIONS):
        product = x.T @ (x @ basis)
        with kernels.on_one_thread():  # the same bits on any number of threads
            basis, _ = torch.linalg.qr(product)
    return centre, basis


def judged(looks: np.ndarray, every: int) -> MixingReport:
    """The report on the slowest observable of (looks, chains, observables), with times in updates."""
    x = looks - looks.mean(1, keepdims=True)
    spread = x.std((0, 1))
    moving = np.flatnonzero(spread > 1e-6 * max(float(spread.max()), 1e-6))
    found = [(split_r_hat(x[:, :, k]), autocorrelation_time(x[:, :, k])) for k in moving] or [(1.0, 1.0)]
    ratio, time = max(r for r, _ in found), max(t for _, t in found)
    return reported(looks[..., 0].size / time, ratio, every * time, updates=every * len(looks))


def reported(ess: float, r_hat: float, time: float, updates: int) -> MixingReport:
    """The report on a window of so many updates, with its warning where R̂ is too large."""
    if r_hat <= STUCK:
        return MixingReport(ess, r_hat, time, None)
    return MixingReport(
        ess,
        r_hat,
        time,
        f"the persistent chains have stopped mixing (R-hat {r_hat:.2f} over {updates} updates): they keep to "
        "their modes, and the gradient no longer follows the model; take more Gibbs steps per update, a "
        "smaller learning rate, or tempered chains (sampling.ParallelTempering as their kernel)",
    )
