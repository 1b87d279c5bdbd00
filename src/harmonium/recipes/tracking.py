"""log Z carried along training, and corrected on the way.

The model changes little between two snapshots, so Bennett's ratio between them, from the persistent chains at
either end, is sharp (cf. Desjardins, Bengio & Courville 2011; Béreux et al. 2025). But chains lag behind a
model that learns fast, and their lag adds up. So each measurement also makes a short estimate of log Z from
scratch, and the two are joined by their variances, the carried one's enlarged by what it was found to be off
by the time before.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from harmonium.likelihood import Estimate, log_partition
from harmonium.likelihood.bridge import sigmoid, solve
from harmonium.models import BlockModel, EnergyModel, MarkovRandomField, independent
from harmonium.models.enumeration import cheapest_block
from harmonium.random import Address, Purpose
from harmonium.sampling import Chains, default_kernel

BRIDGED = 256  # chains that are bridged
SETTLE = 10  # sweeps that let copies of them settle at the averaged parameters
LARGEST_TABLE = 2**16  # of a contraction that costs little
EXACT_WORK = 2**25  # states × units that can be summed at every measurement without slowing training down


def exactly_summable(model: EnergyModel) -> bool:
    """Whether log Z is so cheap that it can be had exactly at every measurement."""
    if (
        isinstance(model, MarkovRandomField)
        and max(model.cardinalities) ** (model.width() + 1) <= LARGEST_TABLE
    ):
        return True
    if not isinstance(model, BlockModel):
        count = model.visible_space.n_states
        return count is not None and count <= 2**12 and model.has_free_energy()
    if model.closed_form_log_partition() is not None:
        return True
    block, states = cheapest_block(model)
    return states * sum(layer.width for layer in model.layers) <= EXACT_WORK


class LogPartitionTrack:
    """The running log Z of a model in training.

    Args:
        model: a two-block model before its first update; its chains start from it.
        chains: the persistent chains of the negative phase, drawn from the model.

    Attributes:
        value: log Z of the model last bridged to, nats.
        variance: of `value`, without the lag of the chains, nats².
        lag: by how much the carried value was off at the last measurement, nats.
    """

    def __init__(self, model: BlockModel, chains: Chains) -> None:
        start = independent(copy.deepcopy(model))
        closed = start.closed_form_log_partition()
        assert closed is not None  # always known without couplings
        self.value, self.variance, self.lag = float(closed), 0.0, 0.0
        self._model: BlockModel = start
        self._v = chains.visible[:BRIDGED]
        self._at = free_energies(start, self._v)
        self.bridge(model, chains)

    @property
    def stderr(self) -> float:
        """Standard error, nats."""
        return float((self.variance + self.lag**2) ** 0.5)

    @torch.no_grad()
    def bridge(self, model: BlockModel, chains: Chains) -> None:
        """Carry log Z on to `model`, near which `chains` are."""
        now = chains.address
        state = tuple(x[:BRIDGED] for x in chains.state)
        here = Chains(state, Address(now.seed, Purpose.BRIDGE, now.step, now.chain, now.unit))
        kernel = default_kernel(model)
        for _ in range(SETTLE):
            here = kernel(model, here)
        at = free_energies(model, here.visible)
        up = free_energies(model, self._v) - self._at
        down = free_energies(self._model, here.visible) - at
        step = solve(up[:, None], down[:, None])
        left, right = sigmoid(-up - step), sigmoid(step - down)
        scatter = left.var() / max(left.mean(), 1e-12) ** 2 + right.var() / max(right.mean(), 1e-12) ** 2
        self.value += step
        self.variance += float(scatter) / len(up)
        self._model, self._v, self._at = copy.deepcopy(model), here.visible, at

    def correct(self, estimate: Estimate) -> None:
        """Join the carried value with an estimate of log Z made from scratch."""
        off = self.value - estimate.value
        # half the interval rather than the standard error: it holds what the method suspects of itself
        fresh = max(estimate.high - estimate.low, 1e-6) ** 2 / 16.0
        carried = self.variance + max(self.lag**2, off**2 - fresh, 0.0)
        self.value -= off * carried / (carried + fresh)
        self.variance = carried * fresh / (carried + fresh) if carried > 0.0 else 0.0
        self.lag = max(off**2 - fresh, 0.0) ** 0.5 * (fresh / (carried + fresh))

    def state_dict(self) -> dict[str, Tensor]:
        """All that is needed to go on."""
        numbers = torch.tensor([self.value, self.variance, self.lag], dtype=torch.float64)
        own = {"numbers": numbers, "v": self._v, "at": torch.from_numpy(self._at)}
        return own | {f"model.{name}": p.detach() for name, p in self._model.named_parameters()}

    @staticmethod
    def like(model: BlockModel) -> LogPartitionTrack:
        """A track to load a state into, of a model of the shape of this one."""
        track = object.__new__(LogPartitionTrack)
        track._model = copy.deepcopy(model)
        return track

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from `state_dict`."""
        self.value, self.variance, self.lag = state["numbers"].tolist()
        self._v, self._at = state["v"].to(self._model.device), state["at"].cpu().numpy()
        for name, p in self._model.named_parameters():
            p.copy_(state[f"model.{name}"])


def free_energies(model: EnergyModel, v: Tensor) -> np.ndarray:
    """F(v), (rows,), float64, nats."""
    with torch.no_grad():
        return torch.cat([model.free_energy(part).double() for part in v.split(2**13)]).cpu().numpy()


def exact_value(model: EnergyModel) -> float:
    """log Z of a model that is `exactly_summable`, nats."""
    return log_partition(model).value
