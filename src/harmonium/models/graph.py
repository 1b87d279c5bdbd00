"""Models that are a graph of sites, swept by compiled loops."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor

from harmonium.models.energy import EnergyModel
from harmonium.random import Address


class GraphModel(EnergyModel):
    """An energy over the sites of a graph that knows how to draw each site given its neighbours.

    Gibbs sampling visits the colours of the graph in turn: sites of one colour don't touch, so they are
    independent of each other given the rest.
    """

    def graph_at(self) -> tuple[GraphModel, Tensor | None] | None:
        return self, None

    @abstractmethod
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
        """The states after some Gibbs sweeps of exp(-βE)/Z; sweep t draws at step `address.step + t`.

        Args:
            state: (visible,) or (visible, hidden), one row per chain.
            address: of the first sweep.
            sweeps: how many.
            beta: one number per chain, 1 by default.
            held: bool, (n_visible,) or (chains, n_visible): True where a visible variable is kept.
            hidden_only: keep all visible variables.
        """
