"""A product of potentials over cliques: its factors, its graph, its energy, its sweeps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from harmonium import kernels
from harmonium.kernels import graph as sweeps_of
from harmonium.models import cliques, constraints
from harmonium.models.cliques import Name
from harmonium.models.contraction import Factor
from harmonium.models.factors import Factors, TableFactors
from harmonium.models.flat import FlatGraph
from harmonium.models.graph import GraphModel
from harmonium.random import Address

if TYPE_CHECKING:
    import networkx as nx

Field = TypeVar("Field", bound="FactorProduct")
SEARCHES = 5  # for a state that obeys the constraints, each with other choices


class FactorProduct(GraphModel):
    """E(x) = -Σ_c log ψ_c(x_c) over named variables, the factors of one shape kept together in groups.

    What needs no more than the factors one by one: the graph, energies and their gradients, Gibbs sweeps.
    Sums over all states are in `answers`, the ways to write a field down in `markov`.
    """

    whole_states = True

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
    def named_variables(self) -> tuple[Name, ...]:  # type: ignore[override]  # derived, an attribute elsewhere
        return self._variables.names

    @property
    def constrained(self) -> bool:  # type: ignore[override]  # likewise
        return not self.positive

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

        The states may also be an array, a list of rows or a DataFrame.

        Raises:
            ValueError: wrong shape, or values that are no states.
        """
        return self._energy(self._states(state[0]))

    def free_energy(self, v: Any) -> Tensor:
        """The energy: nothing is hidden."""
        return self.checked_energy(self._states(v))

    def _states(self, x: Any) -> Tensor:
        """Rows of states, long (batch, variables), checked."""
        x = self._visible_rows(x, "x")
        if x.ndim != 2 or x.shape[1] != len(self.variables):
            raise ValueError(f"x: expected shape (batch, {len(self.variables)}), got {tuple(x.shape)}.")
        problem = self.visible_space.violation(x)
        if problem:
            raise ValueError(f"x: {problem}.")
        return x.long()

    def in_order(self, rows: Any) -> Any:
        """A DataFrame whose columns are the variables, by name, with these in the order of the field;
        anything else as it is.
        """
        columns = list(getattr(rows, "columns", []))
        named = self.variables != tuple(range(len(self.variables)))
        if named and len(columns) == len(self.variables) and set(columns) == set(self.variables):
            return rows[list(self.variables)]
        return rows

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

    # -- hard constraints ------------------------------------------------------------------------------------

    def softened(self: Field) -> Field:
        """The field with finite penalties in place of zero potentials: most of its mass is where they allow.

        Chains can cross what is forbidden there, at a price of the logarithm of 1000 times the number of
        forbidden entries, and of what a single variable can gain elsewhere. This field itself where no
        potential is zero.
        """
        if self.positive:
            return self
        tables = [table for _, table in self._log_factors()]
        forbidden = sum(int(torch.isinf(table).sum()) for table in tables)
        gains = torch.zeros(len(self.variables), dtype=torch.float64)
        for (scope, _), table in zip(self._log_factors(), tables, strict=True):
            finite = table[torch.isfinite(table)]
            if len(scope) and len(finite):
                gains[list(scope)] += finite.max() - finite.min()
        penalty = math.log(1000.0 * forbidden) + float(gains.max() if len(gains) else 0.0)
        groups: list[Factors] = []
        for group in self._groups():
            values = group.tables().detach()
            if bool(torch.isfinite(values).all()):
                groups.append(group)
                continue
            values = values.expand(group.count, group.entries)
            least = torch.where(torch.isfinite(values), values, math.inf).amin(1, keepdim=True)
            least = torch.where(torch.isfinite(least), least, 0.0)
            soft = torch.where(torch.isfinite(values), values, least - penalty)
            groups.append(TableFactors(group.variables, group.shape, soft))
        return self._of(self._variables, groups, self._dtype)

    def obeys(self, x: Tensor) -> Tensor:
        """Whether each row of states has a probability above zero, bool (rows,)."""
        with torch.no_grad():
            return torch.isfinite(self._energy(x.long()))

    def why_forbidden(self, x: Tensor) -> str:
        states = dict(zip(self.variables, x.long().tolist(), strict=True))
        for scope, table in self.factors:
            at = tuple(states[variable] for variable in scope)
            if float(table[at]) == -torch.inf:
                return f"the factor over {scope!r} has a zero potential at {at}"
        return super().why_forbidden(x)

    @torch.no_grad()
    def obedient(self, x: Tensor, address: Address, given: Tensor | None = None) -> Tensor:
        """The rows of states, those that break a constraint replaced by others that don't.

        A row takes the place of one with the same evidence; where there is none a state is searched for.

        Args:
            x: (rows, variables).
            address: where the choices are drawn.
            given: evidence, (variables,) or one for each row, NaN where free; rows agree with theirs.

        Raises:
            ValueError: no state was found, or there is none.
        """
        good = self.obeys(x)
        if bool(good.all()):
            return x
        x = x.clone()
        nothing = torch.full((x.shape[1],), math.nan, dtype=torch.float64)
        blank = (nothing if given is None else given.cpu().double()).expand(x.shape)
        known, kind = torch.unique(blank.nan_to_num(-1.0), dim=0, return_inverse=True)
        kind = kind.to(x.device)
        u = kernels.uniform(address, (len(x), 1), torch.float64, x.device).flatten()
        for k in torch.unique(kind[~good]).tolist():
            bad, others = (kind == k) & ~good, torch.nonzero((kind == k) & good).flatten()
            if len(others):
                x[bad] = x[others[(u[bad] * len(others)).long()]]
            else:
                row = int(torch.nonzero(bad)[0])
                x[bad] = self._search(known[k], address.at(step=address.step + 1, chain=row)).to(x)
        return x

    def _search(self, known: Tensor, address: Address) -> Tensor:
        """A state that obeys the constraints and agrees with `known`, which is -1 where free."""
        hard = [(scope, torch.isfinite(t).numpy()) for scope, t in self._log_factors()]
        if not all(table.all() for scope, table in hard if not scope):
            raise ValueError("field: a constant factor is zero, so every state has probability zero.")
        hard = [(scope, table) for scope, table in hard if scope and not table.all()]
        domains = [np.ones(q, bool) for q in self.cardinalities]
        for v, value in enumerate(known.long().tolist()):
            if value >= 0:
                domains[v] = np.arange(self.cardinalities[v]) == value
        given = " that agrees with what is given" if bool((known >= 0).any()) else ""
        for attempt in range(SEARCHES):
            here = address.at(unit=4 * len(domains) * attempt)
            u = kernels.uniform(here, (1, len(domains)), torch.float64, "cpu")[0].numpy()
            try:
                state = constraints.allowed_state(hard, domains, u)
            except constraints.GaveUp:
                continue
            if state is None:
                raise ValueError(f"field: every state{given} has probability zero; there is nothing to draw.")
            return torch.from_numpy(state)
        raise ValueError(
            f"field: no state{given} of probability above zero was found, neither by chains nor by search; "
            "there may be none."
        )

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
