"""A product of potentials over cliques: its factors, its graph, its energy, its sweeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from harmonium.kernels import graph as sweeps_of
from harmonium.models import cliques
from harmonium.models.cliques import Name
from harmonium.models.contraction import Factor
from harmonium.models.factors import Factors
from harmonium.models.flat import FlatGraph
from harmonium.models.graph import GraphModel
from harmonium.random import Address

if TYPE_CHECKING:
    import networkx as nx

Field = TypeVar("Field", bound="FactorProduct")


class FactorProduct(GraphModel):
    """E(x) = -Σ_c log ψ_c(x_c) over named variables, the factors of one shape kept together in groups.

    What needs no more than the factors one by one: the graph, energies and their gradients, Gibbs sweeps.
    Sums over all states are in `answers`, the ways to write a field down in `markov`.
    """

    def _set_up(self, variables: cliques.Names, groups: Sequence[Factors], dtype: torch.dtype) -> None:
        super().__init__(states=variables.states)
        self._variables = variables
        self._dtype = dtype
        names = variables.names
        self.columns = None if names == tuple(range(len(names))) else tuple(str(name) for name in names)
        self.groups = nn.ModuleList(groups)
        self._flat: FlatGraph | None = None

    @classmethod
    def _of(
        cls: type[Field],
        variables: cliques.Names,
        groups: Sequence[Factors],
        dtype: torch.dtype = torch.float64,
    ) -> Field:
        field = cls.__new__(cls)
        field._set_up(variables, groups, dtype)
        return field

    # -- the parts -------------------------------------------------------------------------------------------

    @property
    def variables(self) -> tuple[Name, ...]:
        """The names of the variables."""
        return self._variables.names

    @property
    def cardinalities(self) -> tuple[int, ...]:
        """The number of states of every variable."""
        return self._variables.states

    @property
    def factors(self) -> list[tuple[tuple[Name, ...], Tensor]]:
        """Every factor as (variables, table of log-potentials), in float64."""
        names = self._variables.names
        return [(tuple(names[k] for k in scope), table) for scope, table in self._log_factors()]

    def _groups(self) -> list[Factors]:
        return list(self.groups)  # type: ignore[arg-type]  # a ModuleList forgets the type of its modules

    def _scopes(self) -> list[tuple[int, ...]]:
        return [tuple(row) for group in self._groups() for row in group.variables.tolist()]

    @torch.no_grad()
    def _log_factors(self) -> list[Factor]:
        found: list[Factor] = []
        for group in self._groups():
            tables = group.tables().detach().double().cpu()
            tables = tables.expand(group.count, group.entries).reshape(group.count, *group.shape)
            found += zip((tuple(row) for row in group.variables.tolist()), tables, strict=True)
        return found

    @property
    def graph(self) -> nx.Graph:
        """The graph of the field: an edge wherever two variables share a factor."""
        from networkx import Graph

        graph = Graph()
        graph.add_nodes_from(self.variables)
        for scope in self._scopes():
            named = [self.variables[k] for k in scope]
            graph.add_edges_from((a, b) for k, a in enumerate(named) for b in named[k + 1 :])
        return graph

    @property
    def positive(self) -> bool:
        """Whether every potential is above zero."""
        return all(bool(torch.isfinite(group.tables()).all()) for group in self._groups())

    @property
    def notes(self) -> tuple[str, ...]:
        """What is special about this field, in words."""
        notes = []
        if not self.variables:
            notes.append("There are no variables: one empty state, of probability 1.")
        elif not any(scope for scope in self._scopes()):
            notes.append("There are no factors: all states are equally probable.")
        else:
            from networkx import number_connected_components

            parts = number_connected_components(self.graph)
            if parts > 1:
                notes.append(
                    f"The graph has {parts} parts that are independent of each other: Z is a product."
                )
        if not self.positive:
            notes.append(
                "Some potentials are zero: hard constraints, to which the theorem of Hammersley and Clifford "
                "doesn't apply: more independences than those of the graph may hold, and single-site chains "
                "may not reach every state."
            )
        return tuple(notes)

    # -- energies --------------------------------------------------------------------------------------------

    def energy(self, *state: Any) -> Tensor:
        """E(x) = -Σ_c log ψ_c(x_c), (batch,), nats, for states (batch, variables); +inf where it is
        forbidden.

        Raises:
            ValueError: wrong shape, or values that are no states.
        """
        x = self._visible_rows(state[0], "x")
        if x.ndim != 2 or x.shape[1] != len(self.variables):
            raise ValueError(f"x: expected shape (batch, {len(self.variables)}), got {tuple(x.shape)}.")
        problem = self.visible_space.violation(x)
        if problem:
            raise ValueError(f"x: {problem}.")
        return self._energy(x.long())

    def _energy(self, x: Tensor) -> Tensor:
        total = torch.zeros(len(x), dtype=self._dtype, device=x.device)
        for group in self._groups():
            total = total + group.log_potential(x)
        return -total

    def accumulate_gradient(self, v: Tensor, weights: Tensor) -> None:
        """Add Σₙ wₙ ∂E(vₙ)/∂θ to the gradients: for a table minus its weighted counts."""
        x = v.long()
        for group in self._groups():
            group.accumulate(group.moments(x, weights))

    @property
    def dtype(self) -> torch.dtype:
        return self._dtype

    # -- chains ----------------------------------------------------------------------------------------------

    @property
    def flat(self) -> FlatGraph:
        """The structure as flat arrays, with the colours of the graph."""
        if self._flat is None:
            self._flat = FlatGraph(self._groups(), self.cardinalities)
        return self._flat

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
        x = state[0]
        if hidden_only:
            return state
        scan = self.flat.scan
        if held is not None and held.ndim == 1:
            scan, held = scan.without(np.flatnonzero(held.cpu().numpy())), None
        how = sweeps_of.Sweeps(sweeps, beta, held)
        if self.flat.pairwise and self.positive:
            moved = sweeps_of.sweep_pairs(x, self.flat.pairs(), scan, address, how)
        else:
            moved = sweeps_of.sweep_tables(x, self.flat.tables(), scan, address, how)
        return (moved.to(x),)
