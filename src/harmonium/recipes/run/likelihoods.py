"""How probable a model in training finds rows: log P(v) = log Σ exp(-E) over what v leaves open, minus log Z.

`log_weights` has the former, which is -F(v) for whole rows. log Z is summed where that is cheap
(`exactly_summable`), estimated from scratch (`log_partition_anew`), or told by replicas that stay on their
ladder while the model moves (`LogPartitionTrack`): an estimate from scratch spends most of a small budget on
placing the temperatures and on forgetting where its chains began. The model changes little between two
measurements, so the ladder and its replicas are kept, and go on at the model of the day (cf. Desjardins,
Courville & Bengio 2011). Every measurement stands for itself: nothing is added up along the way that could
run off, and the spread of the groups of replicas, which are independent of each other, is an error that
includes how badly they mix.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from functools import singledispatch

import numpy as np
import torch
from torch import Tensor

from harmonium.likelihood import log_partition, tempered
from harmonium.likelihood import rows as of_rows
from harmonium.likelihood.clamped import exact_sums
from harmonium.likelihood.interval import uncertainty
from harmonium.likelihood.partition import KNOWN, annealed_log_partition
from harmonium.likelihood.proxies import NORMAL_95
from harmonium.likelihood.row_exchange import annealed
from harmonium.likelihood.schedule import distances, replaced
from harmonium.models import BlockModel, EnergyModel, MarkovRandomField
from harmonium.models.enumeration import cheapest_block
from harmonium.models.gaussian_rest import states_beside_gaussians
from harmonium.models.intake import Rows
from harmonium.random import Address, Purpose
from harmonium.sampling.chains import State
from harmonium.sampling.free import filled
from harmonium.sampling.tempering import Ladder, Replicas, broad

EXACT_WORK = 2**25  # states × units that can be summed at every measurement without slowing training down
SUBSET, GAPPED = 4000, 500  # rows measured along the way; rows with gaps, which chains fill
MEASURED_SHARE = 0.15  # of the work of training, spent on estimates of log Z along the way
LEAST_WORK, DECISIVE = 0.03, 0.5  # seconds of one core for an estimate at least; for one that decides


def log_weights(model: EnergyModel, v: Tensor, seed: int) -> tuple[np.ndarray, float]:
    """(log Σ exp(-E) over all that each row leaves open, nats; standard error of their mean).

    -F(v) of whole rows. Of rows with gaps it is summed where that is cheap; where it isn't, a few annealed
    chains estimate it, for an even choice of the rows.

    Args:
        model: a model with a free energy.
        v: visible states, (rows, n_visible), NaN where free.
        seed: of the chains.
    """
    held = ~torch.isnan(v)
    if bool(held.all()):
        return -free_energies(model, v), 0.0
    value, _ = exact_sums(model, v, held, 2**20)  # pairs of a row and a state: cheap beside the chains
    if bool(torch.isnan(value).any()) and len(v) > GAPPED:
        some = torch.linspace(0, len(v) - 1, GAPPED, device=v.device).long()
        v, held, value = v[some], held[some], value[some]
    left = torch.isnan(value).nonzero().flatten()
    if len(left) == 0:
        return value.cpu().numpy(), 0.0
    value[left], error = annealed(model, v[left], held[left], seed)
    return value.cpu().numpy(), error * len(left) / len(v)


def log_weights_of(model: EnergyModel, rows: Rows, seed: int) -> tuple[np.ndarray, float]:
    """The same of rows of data, some at a time where they are whole."""
    if rows.free:
        return log_weights(model, rows.states(), seed)
    return np.concatenate([-free_energies(model, piece) for piece in rows.pieces()]), 0.0


def conditional_log_weights(
    model: EnergyModel, v: Tensor, held: Tensor, seed: int
) -> tuple[np.ndarray, float]:
    """(log P(v_A | v_B) of rows, nats; standard error of their mean), with the columns B `held`; as
    `log_weights`, which its arguments are those of.
    """
    clamped, error = log_weights(model, torch.where(held.to(v.device), v, torch.nan), seed)
    if len(clamped) < len(v):
        v = v[torch.linspace(0, len(v) - 1, len(clamped), device=v.device).long()]
    whole, own = log_weights(model, v, seed)
    return whole - clamped, math.hypot(error, own)


def free_energies(model: EnergyModel, v: Tensor) -> np.ndarray:
    """F(v), (rows,), float64, nats."""
    return of_rows.free_energies(model, v).cpu().numpy()


@singledispatch
def exactly_summable(model: EnergyModel) -> bool:
    """Whether log Z is so cheap that it can be had exactly at every measurement."""
    return _few_states(model)


@exactly_summable.register(MarkovRandomField)
def _(model: MarkovRandomField) -> bool:
    cheap = max(model.cardinalities) ** (model.width() + 1) <= 2**16  # the largest table of the contraction
    return cheap or _few_states(model)


@exactly_summable.register(BlockModel)
def _(model: BlockModel) -> bool:
    if model.closed_form_log_partition() is not None:
        return True
    _, states = cheapest_block(model)
    width = sum(layer.width for layer in model.layers)
    if math.isinf(states) and (machine := model.as_pairwise()) is not None:
        return states_beside_gaussians(machine) * width**2 <= EXACT_WORK
    return states * width <= EXACT_WORK


def _few_states(model: EnergyModel) -> bool:
    count = model.visible_space.n_states
    return count is not None and count <= 2**12 and model.has_free_energy()


def exact_value(model: EnergyModel) -> float:
    """log Z of a model that is `exactly_summable`, nats."""
    return log_partition(model).value


def log_partition_anew(model: EnergyModel, rows: Tensor, work: float, seed: int) -> tuple[float, float]:
    """(log Z, its standard error), nats, from scratch: it owes nothing to the chains of training."""
    if exactly_summable(model):
        return exact_value(model), 0.0
    whole = filled(model, rows, Address(seed, Purpose.CLAMP))
    found = annealed_log_partition(model, tempered.Budget(max(LEAST_WORK, work)), seed, whole)
    return found.value, (found.high - found.low) / 4.0


def log_likelihood(model: EnergyModel, rows: Tensor, work: float, seed: int) -> float:
    """Mean log P of rows, nats, with a log Z from scratch."""
    weights, _ = log_weights(model, rows, seed)
    log_z, _ = log_partition_anew(model, rows, work, seed)
    return float(weights.mean()) - log_z


class LogPartitionTrack:
    """Replicas of a two-block model in training, which tell its log Z whenever it is asked for.

    Args:
        seed: of the replicas.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._state: State | None = None  # sorted by group and rung
        self._positions = self._wanted = np.zeros(0)  # of the rungs, and where they are to be next
        self._step = 0

    @torch.no_grad()
    def measure(self, model: EnergyModel, work: float, rows: Tensor) -> tuple[float, float]:
        """(log Z, its standard error), nats, for so many seconds of one core.

        The first replicas begin at `rows`, (rows, n_visible), as well as at noise. The error is what a normal
        distribution with the same 95 % interval has.
        """
        model, budget = copy.deepcopy(model), tempered.Budget(work)
        run = self._begin(model, rows, budget) if self._state is None else self._go_on(model)
        run = tempered.Run(run.ladder, run.replicas, run.cold)  # without what placing the rungs has recorded
        tempered.measure(run, self.seed, budget)
        self._keep(run)
        found = run.bridged()
        return run.base + found.value, uncertainty(found)[1] / NORMAL_95

    def _begin(self, model: EnergyModel, rows: Tensor, budget: tempered.Budget) -> tempered.Run:
        chosen = torch.linspace(0, len(rows) - 1, min(len(rows), KNOWN), device=rows.device).long()
        return tempered.tuned(
            tempered.begin(model, self.seed, model.state_of(rows[chosen])), self.seed, budget, tempered.GROUPS
        )

    def _go_on(self, model: EnergyModel) -> tempered.Run:
        """The replicas, on the rungs that the last measurement has found to be right for them."""
        assert self._state is not None  # as there was one
        path, rungs = (broad(model), model), len(self._positions)
        rung = np.tile(np.arange(rungs), (len(self._state[0]) // rungs, 1))
        address = Address(self.seed, Purpose.ANNEALING, step=self._step)
        run = tempered.Run(
            Ladder(path, self._positions),
            Replicas(self._state, rung, address),
            tuple(x[:0] for x in self._state),
        )
        return tempered.on_rungs(run, Ladder(path, self._wanted), run.groups)

    def _keep(self, run: tempered.Run) -> None:
        self._state, self._step = run.replicas.sorted(), run.replicas.address.step
        self._positions = run.ladder.positions
        lengths = distances(run.bridges(tempered.BURN_INS[0]))
        self._wanted = replaced(self._positions, lengths, len(run.ladder.nodes))

    def state_dict(self) -> dict[str, Tensor]:
        """All that is needed to go on."""
        if self._state is None:
            return {}
        own = {"step": torch.tensor(self._step)}
        own |= {"positions": torch.from_numpy(self._positions), "wanted": torch.from_numpy(self._wanted)}
        return own | {f"block{i}": x for i, x in enumerate(self._state)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from `state_dict`."""
        if state:
            self._step = int(state["step"])
            self._positions, self._wanted = (state[name].cpu().numpy() for name in ("positions", "wanted"))
            self._state = tuple(state[f"block{i}"] for i in range(len(state) - 3))
