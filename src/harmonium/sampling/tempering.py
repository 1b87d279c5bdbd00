"""Replica exchange (parallel tempering) along a path of models.

Replicas of the chain live at the rungs of a ladder, a sequence of points on a path from a model that is easy
to sample to the one that is wanted, and neighbours exchange their places with the Metropolis rule. A chain
stuck in a mode can so climb to where modes are connected and come back elsewhere (Geyer 1991; Hukushima &
Nemoto 1996). Even and odd pairs take turns, which makes a replica travel in a straight line instead of
diffusing (Okabe et al. 2001; Syed et al. 2022).

One block is summed out in every exchange: what has to agree between neighbours is the free energy of the
    other blocks,
which overlaps more than the joint energy does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from harmonium import kernels
from harmonium.models import BlockModel
from harmonium.models.blocks import State
from harmonium.random import Address, Purpose
from harmonium.units import Units

SWAP_BLOCK = 64  # sweeps whose exchanges are drawn together


def summed_block(model: BlockModel) -> int:
    """The block summed out in closed form: the one with most sites, so that the fewest are left to chance."""
    sites = [layer.n for layer in model.layers]
    return max(range(len(sites)), key=lambda i: (sites[i], i))


@dataclass(frozen=True)
class Segment:
    """A straight piece (1-β) E₀ + β E₁ of a path, with β a (rows, 1) tensor: one temperature for each row."""

    start: BlockModel
    end: BlockModel

    def units(self, block: int, beta: Tensor) -> Units:
        """The units of `block` at β."""
        return self.start.conditional_units(block).interpolate(self.end.conditional_units(block), beta)

    def sample(self, block: int, fields: tuple[Tensor, Tensor], beta: Tensor, address: Address) -> Tensor:
        """A draw of `block` at β given its fields at both ends."""
        field = torch.lerp(fields[0], fields[1], beta)
        return self.units(block, beta).sample(field, self.end.block_address(block, address))

    def fields(self, block: int, state: State) -> tuple[Tensor, Tensor]:
        """The fields on `block` at both ends."""
        return self.start.field(block, state), self.end.field(block, state)

    def energies(self, block: int, state: State) -> tuple[Tensor, Tensor]:
        """The energies without `block` at both ends, float64."""
        start, end = self.start, self.end
        return start.energy_without(block, state).double(), end.energy_without(block, state).double()

    def marginal(
        self, block: int, fields: tuple[Tensor, Tensor], energies: tuple[Tensor, Tensor], beta: Tensor
    ) -> Tensor:
        """-log of the sum of exp(-E) over `block` at β, (rows,), float64, nats."""
        cumulant = self.units(block, beta).cumulant(torch.lerp(fields[0], fields[1], beta))
        return torch.lerp(energies[0], energies[1], beta.squeeze(-1).double()) - cumulant.double().sum(-1)


@dataclass(frozen=True)
class Ladder:
    """Rungs on a path through `nodes`, models over the same layers.

    Attributes:
        nodes: the models that the path joins by straight pieces.
        positions: increasing float64 numbers from 0 (the first node) to len(nodes) - 1 (the last); every node
            is a rung, so that two neighbours always lie on one straight piece.
    """

    nodes: tuple[BlockModel, ...]
    positions: np.ndarray

    def __post_init__(self) -> None:
        if (
            not np.isin(np.arange(len(self.nodes)), self.positions).all()
            or (np.diff(self.positions) <= 0).any()
        ):
            raise ValueError("positions: expected increasing numbers that include those of all nodes.")

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def summed(self) -> int:
        """The block summed out."""
        return summed_block(self.nodes[-1])

    def segments(self) -> np.ndarray:
        """The straight piece on which the pair (k, k+1) lies, (rungs - 1,)."""
        return np.floor(self.positions[:-1] + 1e-12).astype(int)


@dataclass(frozen=True)
class Replicas:
    """Chains on a ladder: `groups` independent sets of one replica for each rung.

    Attributes:
        state: one (groups · rungs, width) tensor per block; row g·rungs + r is replica r of group g.
        rung: int, (groups, rungs): where each replica is.
        address: where the next draws live; the chain of a row is its own number.
    """

    state: State
    rung: np.ndarray
    address: Address

    def at_rung(self, k: int) -> State:
        """The states at rung `k`, one row for each group."""
        groups, rungs = self.rung.shape
        rows = np.arange(groups) * rungs + np.argmax(self.rung == k, axis=1)
        return tuple(x[torch.from_numpy(rows).to(x.device)] for x in self.state)

    def sorted(self) -> State:
        """The states with row g·rungs + k at rung k."""
        groups, rungs = self.rung.shape
        rows = (np.argsort(self.rung, axis=1) + np.arange(groups)[:, None] * rungs).ravel()
        return tuple(x[torch.from_numpy(rows).to(x.device)] for x in self.state)


def partners(rungs: int, parity: int) -> np.ndarray:
    """The rung with which each rung may exchange: pairs (0,1), (2,3), … or (1,2), (3,4), …; itself where
    unpaired.
    """
    k = np.arange(rungs)
    other = np.where(k % 2 == parity, k + 1, k - 1)
    return np.where((other < 0) | (other >= rungs), k, other)


class Exchange:
    """Moves replicas: one exchange between neighbouring rungs, then one Gibbs sweep, per call of `step`.

    Args:
        ladder: the rungs.
        groups: number of independent sets of replicas.
        seed: of the exchanges.

    Attributes:
        round_trips: journeys of a replica from the last rung to the first, all groups together.
    """

    def __init__(self, ladder: Ladder, groups: int, seed: int) -> None:
        self.ladder, self.groups = ladder, groups
        self.round_trips = 0
        self._been_at_end = np.zeros((groups, len(ladder)), dtype=bool)
        self._swaps = Address(seed, Purpose.SWAP)
        self._drawn: tuple[int, np.ndarray] | None = None

    def _uniforms(self, step: int) -> np.ndarray:
        """One uniform for each group and rung at this step, (groups, rungs); drawn many steps at a time."""
        rungs = len(self.ladder)
        block = step // SWAP_BLOCK
        if self._drawn is None or self._drawn[0] != block:
            width = rungs * SWAP_BLOCK
            u = kernels.uniform(self._swaps.at(step=block), (self.groups, width), torch.float64, "cpu")
            self._drawn = (block, np.log(u.numpy()).reshape(self.groups, SWAP_BLOCK, rungs))
        return self._drawn[1][:, step % SWAP_BLOCK]

    @torch.no_grad()
    def step(self, replicas: Replicas) -> tuple[Replicas, np.ndarray]:
        """One exchange and one sweep.

        Returns:
            The replicas, and the work (groups, rungs): at rung k, the free energy at its partner rung minus
            that at k, of the state that was there before the exchange; NaN where k had no partner.
        """
        ladder, rung, address = self.ladder, replicas.rung, replicas.address
        rungs = len(ladder)
        pair = partners(rungs, address.step % 2)
        other = pair[rung]
        pieces = ladder.segments()[np.minimum(np.minimum(rung, other), rungs - 2)]
        pieces = np.where((rung == other) & (rung > 0), ladder.segments()[rung - 1], pieces)
        parts = [_Part(ladder, piece, replicas, pieces) for piece in np.unique(pieces)]
        work = np.empty(rung.shape)
        for part in parts:
            part.put(work, part.work(ladder.positions[rung], ladder.positions[other]))
        new_rung, by_rung = _exchange(rung, work, pair, self._uniforms(address.step))
        state = _sweep(parts, replicas.state, ladder.positions[new_rung], address)
        self._track(new_rung)
        return Replicas(state, new_rung, address.at(step=address.step + 1)), by_rung

    def _track(self, rung: np.ndarray) -> None:
        self._been_at_end |= rung == len(self.ladder) - 1
        home = self._been_at_end & (rung == 0)
        self.round_trips += int(home.sum())
        self._been_at_end &= ~home


def _exchange(
    rung: np.ndarray, work: np.ndarray, pair: np.ndarray, log_u: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(where each replica is afterwards, the work by rung)."""
    rungs = rung.shape[1]
    replica = np.argsort(rung, axis=1)  # the replica at each rung
    by_rung = np.take_along_axis(work, replica, 1)
    lower = np.minimum(np.arange(rungs), pair)
    # the work of both partners enters; one uniform, the lower rung's, decides for both
    accept = (log_u[:, lower] < -(by_rung + by_rung[:, pair])) & (pair != np.arange(rungs))
    moved = np.where(accept, pair, np.arange(rungs))
    by_rung = np.where(pair == np.arange(rungs), np.nan, by_rung)
    return np.take_along_axis(moved, rung, 1), by_rung


class _Part:
    """The rows of all replicas that lie on one straight piece, with what both ends say about them."""

    def __init__(self, ladder: Ladder, piece: int, replicas: Replicas, pieces: np.ndarray) -> None:
        self.segment = Segment(ladder.nodes[piece], ladder.nodes[piece + 1])
        self.piece, self.block = piece, ladder.summed
        self.everything = bool((pieces == piece).all())
        self.mask = pieces == piece
        self.rows = np.flatnonzero(self.mask)
        self.index = torch.from_numpy(self.rows).to(replicas.state[0].device)
        state = self.take(replicas.state)
        self.fields = self.segment.fields(self.block, state)
        self.energies = self.segment.energies(self.block, state)
        self.dtype, self.device = state[0].dtype, state[0].device

    def take(self, state: State) -> State:
        return state if self.everything else tuple(x[self.index] for x in state)

    def put(self, target: np.ndarray, values: np.ndarray) -> None:
        target.reshape(-1)[self.rows] = values

    def beta(self, positions: np.ndarray) -> Tensor:
        local = positions.reshape(-1)[self.rows, None] - self.piece
        return torch.from_numpy(local).to(device=self.device, dtype=self.dtype)

    def work(self, here: np.ndarray, there: np.ndarray) -> np.ndarray:
        """Free energy there minus here."""
        at = [
            self.segment.marginal(self.block, self.fields, self.energies, self.beta(t)) for t in (there, here)
        ]
        return (at[0] - at[1]).cpu().numpy()


def _sweep(parts: list[_Part], state: State, positions: np.ndarray, address: Address) -> State:
    """One Gibbs sweep of every row at its position: the summed block first, whose fields are known, then the
    others.
    """
    new = list(state)
    order = [parts[0].block, *(b for b in reversed(range(len(state))) if b != parts[0].block)]
    for block in order:
        pieces = []
        for part in parts:
            here = address if part.everything else address.at(chain=part.rows)
            fields = part.fields if block == part.block else part.segment.fields(block, part.take(tuple(new)))
            pieces.append(part.segment.sample(block, fields, part.beta(positions), here))
        if parts[0].everything:
            new[block] = pieces[0]
        else:
            new[block] = new[block].clone()
            for part, piece in zip(parts, pieces, strict=True):
                new[block][part.index] = piece
    return tuple(new)
