"""Gibbs sampling on graphs: colour after colour, by compiled loops."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from harmonium.models import EnergyModel, GraphModel, Path, Reference
from harmonium.sampling.chains import Chains, Clamp, check_kernel


@dataclass(frozen=True)
class GraphGibbs:
    """Sweeps over all sites of a `GraphModel`, each drawn given its neighbours, the colours of the graph in
    turn.

    One call with many sweeps costs less than many calls: the chains are laid side by side once.

    Attributes:
        clamp: visible variables to hold fixed, if any.
        sweeps: sweeps made by one call.
    """

    divides: ClassVar[bool] = True  # no chain has anything to do with another

    clamp: Clamp | None = None
    sweeps: int = 1

    def __post_init__(self) -> None:
        check_kernel(self.clamp, sweeps=self.sweeps)

    @torch.no_grad()
    def __call__(self, model: EnergyModel, chains: Chains) -> Chains:
        graph, beta = on_path(model)
        if graph is None:
            raise TypeError(f"model: expected a model that is a graph, got {type(model).__name__}.")
        held = None if self.clamp is None else self.clamp.held
        state = graph.sweep(chains.state, chains.address, self.sweeps, beta=beta, held=held)
        return Chains(state, chains.address.at(step=chains.address.step + self.sweeps))


def on_path(model: EnergyModel) -> tuple[GraphModel | None, torch.Tensor | None]:
    """(the graph, β) of a graph model or of a point on the path to one from uniform variables."""
    if isinstance(model, GraphModel):
        return model, None
    if isinstance(model, Path):
        start, end = model.ends
        if isinstance(end, GraphModel) and isinstance(start, Reference):
            return end, torch.as_tensor(model.beta, dtype=torch.float64)
    return None, None
