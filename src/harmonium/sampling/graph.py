"""Gibbs sampling on graphs: colour after colour, by compiled loops."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch

from harmonium.models import EnergyModel
from harmonium.sampling.chains import Chains, Clamp, check_kernel


@dataclass(frozen=True)
class GraphGibbs:
    """Sweeps over all sites of a `GraphModel`, each drawn given its neighbours, the colours of the graph in
    turn.

    One call with many sweeps costs less than many calls: the chains are laid side by side once.

    Attributes:
        clamp: visible variables to hold fixed, if any.
        sweeps: sweeps made by one call.
        hidden_only: draw the hidden variables alone, which makes a chain for P(h | v).
    """

    divides: ClassVar[bool] = True  # no chain has anything to do with another

    clamp: Clamp | None = None
    sweeps: int = 1
    hidden_only: bool = False

    def __post_init__(self) -> None:
        check_kernel(self.clamp, sweeps=self.sweeps)

    @torch.no_grad()
    def __call__(self, model: EnergyModel, chains: Chains) -> Chains:
        found = model.graph_at()
        if found is None:
            raise TypeError(f"model: expected a model that is a graph, got {type(model).__name__}.")
        graph, beta = found
        held = None if self.clamp is None else self.clamp.held
        how = partial(graph.sweep, beta=beta, held=held, hidden_only=self.hidden_only)
        state = how(chains.state, chains.address, self.sweeps)
        return Chains(state, chains.address.at(step=chains.address.step + self.sweeps))
