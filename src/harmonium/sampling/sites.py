"""Chains over discrete variables from energies alone: nothing need be known of the model's structure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from harmonium import kernels
from harmonium.models import EnergyModel
from harmonium.random import Address
from harmonium.sampling.chains import Chains, Clamp, State, check_kernel


@dataclass(frozen=True)
class SiteGibbs:
    """One sweep over all discrete variables, each drawn given all the others.

    From energies alone: P(xᵢ = c | rest) ∝ exp(-E(x with xᵢ = c)).

    Costs q - 1 energies per variable of q states. Hidden variables come first, visible ones last and fresh;
    continuous visible variables stay as they are.

    Attributes:
        clamp: visible variables to hold fixed, if any.
        sweeps: sweeps made by one call.
        hidden_only: draw the hidden variables alone, which makes a chain for P(h | v).
    """

    clamp: Clamp | None = None
    sweeps: int = 1
    hidden_only: bool = False

    def __post_init__(self) -> None:
        check_kernel(self.clamp, sweeps=self.sweeps)

    @torch.no_grad()
    def __call__(self, model: EnergyModel, chains: Chains) -> Chains:
        for _ in range(self.sweeps):
            chains = self._sweep(model, chains)
        return chains

    def _sweep(self, model: EnergyModel, chains: Chains) -> Chains:
        state = [x.clone() for x in chains.state]
        energy = model.checked_energy(*state)
        for block, i, q in _sites(model, self.hidden_only):
            held = self.clamp.held if self.clamp is not None and block == 0 else None
            if held is not None and bool(held[..., i].all()):
                continue
            address = chains.address.at(unit=chains.address.unit + 4 * (i + block * state[0].shape[1]))
            chosen, new = _draw_site(model, state, (block, i, q), energy, address)
            if held is not None:
                keep = held[..., i].expand(len(chosen))
                chosen, new = torch.where(keep, state[block][:, i], chosen), torch.where(keep, energy, new)
            state[block][:, i] = chosen
            energy = new
        return chains.moved(tuple(state))


def _sites(model: EnergyModel, hidden_only: bool) -> Sequence[tuple[int, int, int]]:
    """(block, column, number of states) of every discrete variable, hidden ones first."""
    spaces = [(1, model.hidden_space)] + ([] if hidden_only else [(0, model.visible_space)])
    return [
        (block, i, q)
        for block, space in spaces
        if space is not None
        for i, q in enumerate(space.cardinalities)
        if q > 1
    ]


def _draw_site(
    model: EnergyModel, state: list[Tensor], site: tuple[int, int, int], energy: Tensor, address: Address
) -> tuple[Tensor, Tensor]:
    """A value of one variable given the others, and the energy then; `energy` is that of the present
    state.
    """
    block, i, q = site
    old = state[block][:, i].clone()
    energies = energy.new_empty(len(old), q)
    energies.scatter_(1, old.long()[:, None], energy[:, None])
    for shift in range(1, q):
        value = torch.remainder(old + shift, q)
        state[block][:, i] = value
        energies.scatter_(1, value.long()[:, None], model.checked_energy(*state)[:, None])
    state[block][:, i] = old
    one_hot = kernels.draw_categorical(-energies, q, address)
    choice = one_hot.argmax(1)
    if bool(one_hot.isnan().any()):
        raise ValueError(
            f"model: every state of variable {i} has infinite energy; a chain can't go on from there."
        )
    return choice.to(old), energies.gather(1, choice[:, None]).squeeze(1)


@dataclass(frozen=True)
class GibbsWithGradients:
    """Metropolis steps that flip one variable, chosen by the gradient of the energy (Grathwohl et al. 2021).

    The change of log P under xᵢ → c is estimated for all i and c at once as d(i, c) = -∂E/∂xᵢ (c - xᵢ), which
    is exact when E is linear in xᵢ; the flip is proposed with probability ∝ exp(d/2) and accepted by the
    ratio of Metropolis and Hastings, so the invariant distribution is exact whatever the quality of the
    estimate.

    The energy must be differentiable in x. `info["acceptance"]` reports the share of flips accepted.

    Attributes:
        clamp: visible variables to hold fixed, if any.
        steps: flips proposed by one call.
    """

    clamp: Clamp | None = None
    steps: int = 1

    def __post_init__(self) -> None:
        check_kernel(self.clamp, steps=self.steps)

    def __call__(self, model: EnergyModel, chains: Chains) -> Chains:
        accepted = 0.0
        for _ in range(self.steps):
            chains, share = self._step(model, chains)
            accepted += share
        return Chains(chains.state, chains.address, {"acceptance": accepted / self.steps})

    def _step(self, model: EnergyModel, chains: Chains) -> tuple[Chains, float]:
        moves = _Moves.of(model, chains.state, self.clamp)
        energy, logits = moves.propose(model, chains.state)
        total = logits.shape[1]
        with torch.no_grad():
            choice = kernels.draw_categorical(logits, total, chains.address)
            state = moves.apply(chains.state, choice)
        new_energy, back_logits = moves.propose(model, state)
        with torch.no_grad():
            came_from = moves.indicator(chains.state) * moves.of_site(choice)
            forward = (torch.log_softmax(logits, 1) * choice).nan_to_num(0.0).sum(1)
            backward = (torch.log_softmax(back_logits, 1) * came_from).nan_to_num(0.0).sum(1)
            log_ratio = energy - new_energy + backward - forward
            u = kernels.uniform(chains.address.at(unit=4), (len(energy), 1), energy.dtype, energy.device)
            accept = torch.log(u) < log_ratio[:, None]
            kept = tuple(torch.where(accept, new, old) for new, old in zip(state, chains.state, strict=True))
        return chains.moved(kept), float(accept.double().mean())


@dataclass(frozen=True)
class _Moves:
    """The columns (variable i, value c) of all single changes, for visible and hidden variables together."""

    variable: Tensor  # (columns,) which variable
    value: Tensor  # (columns,) to which value
    held: Tensor | None  # (columns,) or (chains, columns)
    widths: tuple[int, ...]

    @classmethod
    def of(cls, model: EnergyModel, state: State, clamp: Clamp | None) -> _Moves:
        spaces = [model.visible_space] + ([model.hidden_space] if model.hidden_space is not None else [])
        if any(len(space.cardinalities) < space.width for space in spaces):
            raise TypeError(f"model: expected discrete variables, got {type(model).__name__} with others.")
        cardinalities = [q for space in spaces for q in space.cardinalities]
        variable = [i for i, q in enumerate(cardinalities) for _ in range(q)]
        value = [c for q in cardinalities for c in range(q)]
        index = torch.tensor(variable, device=state[0].device)
        held = None
        if clamp is not None:
            hidden = clamp.held.new_zeros(*clamp.held.shape[:-1], len(cardinalities) - clamp.held.shape[-1])
            held = torch.cat([clamp.held, hidden], -1)[..., index]
        values = torch.tensor(value, dtype=state[0].dtype, device=state[0].device)
        return cls(index, values, held, tuple(x.shape[1] for x in state))

    def indicator(self, state: State) -> Tensor:
        """1 at the columns of the present values, (chains, columns)."""
        x = torch.cat(state, 1)
        return (x[:, self.variable] == self.value).to(x)

    def of_site(self, choice: Tensor) -> Tensor:
        """1 at all columns of the variable chosen, (chains, columns)."""
        chosen = self.variable[choice.argmax(1)]
        return (self.variable == chosen[:, None]).to(choice)

    def apply(self, state: State, choice: Tensor) -> State:
        """The state after the change that `choice` (one-hot) says."""
        x = torch.cat(state, 1)
        column = choice.argmax(1)
        x.scatter_(1, self.variable[column][:, None], self.value[column][:, None])
        return tuple(x.split(self.widths, 1))

    def propose(self, model: EnergyModel, state: State) -> tuple[Tensor, Tensor]:
        """(E, the logits d/2 of all changes; -inf where nothing would change or must not), without a
        graph.
        """
        x = torch.cat(state, 1).detach().requires_grad_(True)
        with torch.enable_grad():
            energy = model.checked_energy(*x.split(self.widths, 1))
            if not energy.requires_grad:
                raise _not_differentiable(model)
            slope = torch.autograd.grad(energy.sum(), x, allow_unused=True)[0]
        if slope is None:
            raise _not_differentiable(model)
        x = x.detach()
        logits = -0.5 * slope[:, self.variable] * (self.value - x[:, self.variable])
        logits = logits.masked_fill(x[:, self.variable] == self.value, -math.inf)
        if self.held is not None:
            logits = logits.masked_fill(self.held, -math.inf)
        return energy.detach(), logits


def _not_differentiable(model: EnergyModel) -> ValueError:
    return ValueError(
        f"model: GibbsWithGradients needs an energy differentiable in x, got {type(model).__name__} "
        "(does its energy use x.long()?); SiteGibbs needs no gradient."
    )
