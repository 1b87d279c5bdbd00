"""Visible and hidden units, each coupled to all others: what follows from that energy."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from harmonium import checks
from harmonium.kernels import graph
from harmonium.models.graph import GraphModel
from harmonium.random import Address
from harmonium.units import Bernoulli, Spin, Units

HIDDEN_UNITS = 16  # up to this many, F(v) is a sum over the states of h
PAIRS = 2**22  # (row of v, state of h) pairs per block of work
LARGEST_SUM = 2**25  # pairs in all, up to which log Z is summed when it is asked for


class LateralMachine(GraphModel):
    """Energies, sums over hidden units and sweeps of a Boltzmann machine.

    `boltzmann` says what it is made of, and how it is written down in other forms.
    """

    n_visible: int
    n_hidden: int
    visible: Bernoulli | Spin
    hidden: Bernoulli | Spin | None
    weight: nn.Parameter
    visible_lateral: nn.Parameter | None
    hidden_lateral: nn.Parameter | None
    positive_phase: str
    _spins: bool

    # -- energies --------------------------------------------------------------------------------------------

    @property
    def visible_space(self) -> Units:
        """The visible units."""
        return self.visible

    @property
    def dtype(self) -> torch.dtype:
        return self.weight.dtype

    def energy(self, *state: Any) -> Tensor:
        """E(v, h) of paired rows, (batch,), nats; `energy(v)` for a machine without hidden units."""
        v = self._states("v", state[0], self.n_visible)
        if len(state) != (1 if self.hidden is None else 2):
            raise ValueError(f"state: expected {1 if self.hidden is None else 2} tensors, got {len(state)}.")
        energy = self.visible.energy(v) - _lateral(v, self.visible_lateral)
        if self.hidden is None:
            return energy
        h = self._states("h", state[1], self.n_hidden)
        return (
            energy
            + self.hidden.energy(h)
            - ((v @ self.weight) * h).sum(-1)
            - _lateral(h, self.hidden_lateral)
        )

    def _states(self, name: str, x: Any, width: int) -> Tensor:
        x = self._visible_rows(x, name) if name == "v" else self._hidden_rows(x, name)
        return checks.matrix(name, x, width).to(self.weight)

    def local_fields(self, *state: Any) -> tuple[Tensor, ...]:
        """The field on every unit given all the others: (batch, n_visible) and, with hidden units, (batch,
        n_hidden).
        """
        v = self._states("v", state[0], self.n_visible)
        on_v = self.visible.bias + _times(v, self.visible_lateral)
        if self.hidden is None:
            return (on_v,)
        h = self._states("h", state[1], self.n_hidden)
        return on_v + h @ self.weight.T, self.hidden.bias + v @ self.weight + _times(h, self.hidden_lateral)

    def conditional_means(self, *state: Any) -> tuple[Tensor, ...]:
        """⟨xᵢ | all other units⟩ for every unit: σ(field) for 0/1 units, tanh(field) for spins; shapes as
        above.
        """
        fields = self.local_fields(*state)
        layers = [self.visible] if self.hidden is None else [self.visible, self.hidden]
        return tuple(layer.mean(field) for layer, field in zip(layers, fields, strict=True))

    def log_conditionals(self, v: Tensor) -> Tensor | None:
        if self.hidden is not None:
            return None
        (field,) = self.local_fields(v)
        return (v * field).sum(1) - self.visible.cumulant(field).sum(1)

    # -- the hidden units summed out -------------------------------------------------------------------------

    def has_free_energy(self) -> bool:
        return self.hidden_lateral is None or len(self.hidden_lateral) <= HIDDEN_UNITS

    def free_energy(self, v: Any) -> Tensor:
        """F(v) = -log Σₕ exp(-E(v, h)), (batch,), nats.

        Raises:
            ValueError: more than 16 hidden units with lateral couplings.
        """
        v = self._states("v", v, self.n_visible)
        energy = self.visible.energy(v) - _lateral(v, self.visible_lateral)
        if self.hidden is None:
            return energy
        field = torch.addmm(self.hidden.bias, v, self.weight)
        if self._hidden_are_free():
            return energy - self.hidden.cumulant(field).sum(-1)
        h, own = self._hidden_states()
        parts = [torch.logsumexp(rows @ h.T - own, 1) for rows in field.split(max(1, PAIRS // len(h)))]
        return energy - torch.cat(parts)

    def _hidden_are_free(self) -> bool:
        if self.hidden_lateral is None:
            return True
        return not torch.is_grad_enabled() and not bool(off_diagonal(self.hidden_lateral).any())

    def _hidden_states(self) -> tuple[Tensor, Tensor]:
        """All states of h, and their own energies but for the biases."""
        assert self.hidden is not None and self.hidden_lateral is not None
        if not self.has_free_energy():
            raise ValueError(
                f"free_energy: expected at most {HIDDEN_UNITS} hidden units with lateral couplings to sum, "
                f"got {self.hidden.n}; learning uses states of h given v instead, see positive_phase."
            )
        h = self.hidden.states(torch.arange(2**self.hidden.n, device=self.device)).to(self.weight)
        return h, -_lateral(h, self.hidden_lateral)

    def hidden_given_visible(self, v: Any) -> Tensor:
        """⟨h | v⟩, (batch, n_hidden), exactly, where the free energy can be had."""
        if self.hidden is None:
            raise ValueError("hidden_given_visible: expected a machine with hidden units, got none.")
        field = torch.addmm(self.hidden.bias, self._states("v", v, self.n_visible), self.weight)
        if self._hidden_are_free():
            return self.hidden.mean(field)
        h, own = self._hidden_states()
        return torch.softmax(field @ h.T - own, 1) @ h

    def mean_field(self, v: Any, steps: int = 50) -> Tensor:
        """The solution μ of μ = ⟨h⟩ in the field b + Wᵀv + Mμ, (batch, n_hidden), by damped iteration."""
        if self.hidden is None:
            raise ValueError("mean_field: expected a machine with hidden units, got none.")
        field = torch.addmm(self.hidden.bias, self._states("v", v, self.n_visible), self.weight)
        mu = self.hidden.mean(field)
        for _ in range(0 if self.hidden_lateral is None else steps):
            mu = 0.5 * mu + 0.5 * self.hidden.mean(field + _times(mu, self.hidden_lateral))
        return mu

    def mean_field_free_energy(self, v: Any) -> Tensor:
        """⟨E(v, h)⟩ - entropy under independent h with means μ, (batch,), nats: an upper bound of F(v).

        So -mean_field_free_energy(v) - log Z bounds log P(v) from below (Saul, Jaakkola & Jordan 1996).
        """
        mu = self.mean_field(v)
        p = 0.5 * (1 + mu) if self._spins else mu
        entropy = torch.special.entr(p).sum(-1) + torch.special.entr(1 - p).sum(-1)
        return self.energy(v, mu) - entropy  # the energy is linear in each unit, so its mean is at the means

    def complete(self, v: Tensor, address: Address) -> tuple[Tensor, ...] | None:
        if self.positive_phase == "mean_field" and self.hidden is not None:
            return v, self.mean_field(v).detach()
        return None

    @torch.no_grad()
    def closed_form_log_partition(self) -> Tensor | None:
        """log Z, nats, float64, where (v, h) pairs or the visible states alone are few enough to sum,
        otherwise None.
        """
        n, h = self.n_visible, self.n_hidden
        if not self.has_free_energy() or 2 ** (n + (0 if self.hidden_lateral is None else h)) > LARGEST_SUM:
            return None
        parts = []
        for start in range(0, 2**n, 2**14):
            index = torch.arange(start, min(start + 2**14, 2**n), device=self.device)
            energy = self.free_energy(self.visible.states(index).to(self.weight))
            parts.append(torch.logsumexp(-energy.double(), 0))
        return torch.logsumexp(torch.stack(parts), 0)

    # -- chains ----------------------------------------------------------------------------------------------

    def state_of_spaces(self, chains: int, address: Address) -> tuple[Tensor, ...]:
        """Uniform states, one per chain."""
        fields = [self.weight.new_zeros(chains, self.visible.n)]
        state = [self.visible.sample(fields[0], address)]
        if self.hidden is not None:
            later = address.at(unit=address.unit + self.visible.unit_numbers)
            state.append(self.hidden.sample(self.weight.new_zeros(chains, self.hidden.n), later))
        return tuple(state)

    @torch.no_grad()
    def sweep(
        self,
        state: tuple[Tensor, ...],
        address: Address,
        sweeps: int = 1,
        *,
        beta: Tensor | None = None,
        held: Tensor | None = None,
        hidden_only: bool = False,
    ) -> tuple[Tensor, ...]:
        pairs, scan = self._flat()
        n = self.visible.n
        if hidden_only:
            scan = scan.without(np.arange(n))
            held = None
        if held is not None:
            held = torch.nn.functional.pad(held, (0, sum(x.shape[1] for x in state) - n))
        x = torch.cat(state, 1)
        x = 0.5 * (x + 1) if self._spins else x
        x = graph.sweep_pairs(x, pairs, scan, address, graph.Sweeps(sweeps, beta, held)).to(self.weight)
        x = 2 * x - 1 if self._spins else x
        return tuple(x.split([y.shape[1] for y in state], 1))

    def _flat(self) -> tuple[graph.Pairs, graph.Scan]:
        """The couplings as flat arrays over 0/1 variables, hidden units scanned before visible ones."""
        joint, bias = (t.double().cpu().numpy() for t in self.joint_couplings())
        if self._spins:  # s = 2x - 1 turns J s s' + b s into 4J x x' + 2(b - Σ J) x
            bias, joint = 2 * (bias - joint.sum(1)), 4 * joint
        n = self.visible.n
        order = np.concatenate([np.arange(n, len(bias)), np.arange(n)])  # every unit is a colour of its own
        return graph.Pairs.dense(joint, bias), graph.Scan.in_order(order)

    @torch.no_grad()
    def joint_couplings(self) -> tuple[Tensor, Tensor]:
        """(J, bias) of E(x) = -bias·x - ½ xᵀJ x over all units x = (v, h), J symmetric with zero diagonal."""
        n, m = self.n_visible, self.n_hidden
        joint = self.weight.new_zeros(n + m, n + m)
        joint[:n, n:], joint[n:, :n] = self.weight, self.weight.T
        if self.visible_lateral is not None:
            joint[:n, :n] = off_diagonal(self.visible_lateral)
        if self.hidden_lateral is not None:
            joint[n:, n:] = off_diagonal(self.hidden_lateral)
        bias = self.visible.bias if self.hidden is None else torch.cat([self.visible.bias, self.hidden.bias])
        return joint, bias.clone()


def off_diagonal(square: Tensor) -> Tensor:
    """The symmetric part off the diagonal."""
    half = 0.5 * (square + square.T)
    return half - torch.diag(half.diagonal())


def _times(x: Tensor, square: Tensor | None) -> Tensor:
    return torch.zeros_like(x) if square is None else x @ off_diagonal(square)


def _lateral(x: Tensor, square: Tensor | None) -> Tensor:
    """½ xᵀ S x with S symmetric and zero on the diagonal."""
    return 0.5 * (_times(x, square) * x).sum(-1)
