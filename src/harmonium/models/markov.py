"""Markov random fields: any finite variables, any cliques."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from harmonium import checks
from harmonium.models import cliques, uai
from harmonium.models.answers import Answers
from harmonium.models.boltzmann import BoltzmannMachine
from harmonium.models.cliques import Name
from harmonium.models.contraction import Factor
from harmonium.models.factors import Factors, ScaledFactors, TableFactors

if TYPE_CHECKING:
    import networkx as nx

SPINS = torch.tensor([-1.0, 1.0], dtype=torch.float64)


class MarkovRandomField(Answers):
    """P(x) = (1/Z) Π_c ψ_c(x_c) over variables with finitely many states; E(x) = -Σ_c log ψ_c(x_c).

    A factor is a tuple of variables and its log-potentials: a table with one axis per variable, or a function
    (best an `nn.Module`) that takes all states of the clique, (states, variables), to (states,) and may be
    shared among cliques of one shape. Tables are parameters, so `hm.fit` learns them.

    By the theorem of Hammersley and Clifford the positive distributions with the Markov properties of a graph
    are those with potentials ψ > 0 on its cliques. Log-potentials of -inf (ψ = 0, hard constraints) are
    accepted; the theorem doesn't speak of these, and `notes` says so, as it does of graphs that are empty or
    fall apart.

    Exact answers (`log_partition`, `marginal`, `most_probable`, samples) sum variables out one by one. They
    need tables whose size grows exponentially with the width of the graph, and refuse where these exceed
    `memory_limit` bytes. Gibbs sampling, colour by colour, works at any width.

    States are whole numbers 0 … q-1, (batch, variables).

    Args:
        cardinalities: the number of states of every variable: a sequence (the variables are then 0, 1, …), or
            a mapping from their names.
        factors: [((variable, …), log-potentials), …]; the scope () adds a constant.
        dtype: float64 (default) or float32, of the parameters; exact answers are always in float64.

    Raises:
        TypeError, ValueError: an unknown or repeated variable, a table that doesn't fit its variables, NaN.

    >>> import harmonium as hm
    >>> field = hm.MarkovRandomField({"sky": 3, "rain": 2}, [(("sky", "rain"), [[2, 0], [1, 0], [0, 3]])])
    >>> f"{float(field.log_partition()):.4f}", [round(p, 4) for p in field.marginal(("rain",)).tolist()]
    ('3.5023', [0.3346, 0.6654])
    """

    def __init__(
        self,
        cardinalities: Sequence[int] | Mapping[Name, int],
        factors: Iterable[Any] = (),
        *,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        variables = cliques.Names(cardinalities)
        checks.one_of("dtype", dtype, (torch.float32, torch.float64))
        self._set_up(variables, cliques.grouped(variables, factors, dtype), dtype)

    # -- other ways to write one down ------------------------------------------------------------------------

    @classmethod
    def from_potentials(
        cls, cardinalities: Sequence[int] | Mapping[Name, int], factors: Iterable[Any]
    ) -> MarkovRandomField:
        """The field with these potentials ψ ≥ 0, given themselves instead of their logarithms.

        Raises:
            ValueError: a potential is negative; and as the constructor.
        """
        logs = []
        for k, factor in enumerate(factors):
            scope, table = cliques.pair(f"factors[{k}]", factor, "potentials")
            logs.append((scope, cliques.log_of_potentials(f"factors[{k}]", table)))
        return cls(cardinalities, logs)

    @classmethod
    def from_graph(
        cls,
        graph: nx.Graph,
        cardinalities: int | Mapping[Name, int] = 2,
        potentials: Mapping[tuple[Name, ...], Any] | Callable[[tuple[Name, ...]], Any] | None = None,
    ) -> MarkovRandomField:
        """One factor for every maximal clique of a networkx graph.

        Args:
            graph: an undirected graph; its nodes name the variables.
            cardinalities: the number of states, one for all variables or a mapping.
            potentials: log-potentials of each clique, from a mapping or a function of the clique (its
                variables in the order of the nodes); without them all are 0, to be learned.

        Raises:
            ValueError: a clique so large that its table has more than 2²⁴ entries, or one without potentials;
                potentials or a number of states for what isn't in the graph.
        """
        from networkx import find_cliques

        cliques.check_graph(graph)
        place = {name: k for k, name in enumerate(graph)}
        if isinstance(cardinalities, Mapping):
            _known("cardinalities", cardinalities, place)
            states = {name: cardinalities.get(name, 0) for name in graph}
        else:
            states = dict.fromkeys(graph, cardinalities)
        variables = cliques.Names(states)
        factors = []
        found_cliques = [tuple(sorted(found, key=place.__getitem__)) for found in find_cliques(graph)]
        if isinstance(potentials, Mapping):
            _known("potentials", potentials, found_cliques)
        for clique in found_cliques:
            shape = [states[name] for name in clique]
            if np.prod(shape, dtype=float) > cliques.LARGEST:
                raise ValueError(
                    f"graph: a clique of {len(clique)} variables has too many states for a table."
                )
            factors.append((clique, _potential(potentials, clique, shape)))
        return cls._of(variables, cliques.grouped(variables, factors, torch.float64))

    @classmethod
    def ising(
        cls,
        graph: nx.Graph | np.ndarray,
        couplings: Any,
        fields: Any = 0.0,
        *,
        dtype: torch.dtype = torch.float64,
    ) -> MarkovRandomField:
        """The Ising model E(s) = -Σ J_ij s_i s_j - Σ h_i s_i with s = 2x - 1: state 0 is spin -1, state 1 is
        +1.

        Args:
            graph: a networkx graph, or the (edges, 2) numbers of the nodes of its edges.
            couplings: J, a number for all edges, a mapping from edges (either way round, each once), one per
                edge in their order, or a symmetric matrix over the nodes, zero where there is no edge: its
                J_ij = J_ji is the coupling of the edge, counted once.
            fields: h, likewise for nodes: a number, a mapping (nodes missing in it have none), or one per
                node in the order of the graph.
            dtype: of the parameters.

        Raises:
            ValueError: a coupling or field of an edge or node that isn't in the graph, an edge that is given
                twice, or a matrix that isn't symmetric but for rounding.

        >>> import networkx as nx
        >>> ring = MarkovRandomField.ising(nx.cycle_graph(100), 1.0, 0.1)
        >>> f"{float(ring.log_partition()):.10f}"
        '115.9884919422'
        """
        names, edges = cliques.edges_of(graph)
        checks.one_of("dtype", dtype, (torch.float32, torch.float64))
        if not cliques.is_graph(graph) and np.ndim(fields) == 1 and len(fields) > len(names):
            names = tuple(range(len(fields)))  # nodes without edges
        j = torch.as_tensor(cliques.per_edge(couplings, edges, names).copy(), dtype=dtype)
        h = torch.as_tensor(cliques.per_node(fields, names).copy(), dtype=dtype)
        variables = cliques.Names(dict.fromkeys(names, 2))
        return cls._of(variables, _ising_groups(torch.from_numpy(edges), j, h), dtype)

    @classmethod
    def from_uai(cls, path: str | Path, evidence: str | Path | None = None) -> MarkovRandomField:
        """The field of a `.uai` file (MARKOV or BAYES), given the observations of an evidence file if there
        is one.

        Raises:
            ValueError: a file is missing or malformed; names the line.
        """
        states, factors = uai.read(path)
        field = cls.from_potentials(states, factors)
        return field if evidence is None else field.condition(uai.read_evidence(evidence, states))

    def to_uai(self, path: str | Path) -> None:
        """Write the field as a MARKOV file; the variables are numbered in their order.

        Raises:
            ValueError: a potential is beyond the range of float64.
        """
        factors = []
        for scope, table in self._log_factors():
            potentials = torch.exp(table)
            if bool(torch.isinf(potentials).any()) or bool(
                ((potentials < 1e-307) & (table > -torch.inf)).any()
            ):
                raise ValueError(
                    f"path: the file holds potentials, not logarithms; those over {scope} can't be written: "
                    "log-potentials must be between -706 and 709."
                )
            factors.append((scope, potentials.numpy()))
        uai.write(path, self._variables.states, factors)

    # -- Boltzmann machines ----------------------------------------------------------------------------------

    @classmethod
    def from_boltzmann_machine(cls, machine: BoltzmannMachine) -> MarkovRandomField:
        """The same distribution over all units, hidden ones after visible ones, as variables 0, 1, …; same
        log Z.

        State 0 is 0 (Bernoulli units) or -1 (spins).
        """
        joint, bias = (t.double().cpu() for t in machine.joint_couplings())
        edges = torch.nonzero(torch.triu(joint, 1))
        values = machine.visible.site_values().flatten().double()
        groups = _ising_groups(edges, joint[edges[:, 0], edges[:, 1]], bias, values)
        return cls._of(cliques.Names([2] * len(bias)), groups)

    def to_boltzmann_machine(self, hidden: Sequence[Name] = (), units: str = "spin") -> BoltzmannMachine:
        """The Boltzmann machine of a field of two-state variables in pairs; E agrees up to a constant.

        For an Ising model and spins the constant is 0, so log Z is the same too.

        Args:
            hidden: which variables become hidden units; the others are visible, each in the order of the
                field.
            units: "spin" or "bernoulli".

        Raises:
            ValueError: a variable of other than two states, a factor of more than two, a zero potential.
        """
        spins = checks.one_of("units", units, ("spin", "bernoulli")) == "spin"
        if any(q != 2 for q in self.cardinalities) or any(len(scope) > 2 for scope in self._scopes()):
            raise ValueError("field: expected variables of two states in factors of at most two, got others.")
        if not self.positive:
            raise ValueError("field: expected potentials above zero, got some that are zero.")
        joint, bias = _couplings(self._log_factors(), len(self.variables), spins)
        behind = self._variables.scope("hidden", hidden)
        order = [k for k in range(len(bias)) if k not in behind] + list(behind)
        n_visible = len(order) - len(behind)
        return BoltzmannMachine.from_couplings(joint[order][:, order], bias[order], n_visible, units=units)

    # -- files -----------------------------------------------------------------------------------------------

    def config(self) -> dict[str, Any]:
        names = None if self.variables == tuple(range(len(self.variables))) else list(self.variables)
        if names is not None and not all(isinstance(name, (str, int)) for name in names):
            raise TypeError(
                "A Markov random field can be saved if its variables are named by strings or numbers."
            )
        return {
            "type": "MarkovRandomField",
            "cardinalities": list(self.cardinalities),
            "names": names,
            "groups": [group.config() for group in self._groups()],
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> MarkovRandomField:
        """A field of the same shape, its potentials to be filled in."""
        states = config["cardinalities"]
        names = config["names"]
        variables = cliques.Names(states if names is None else dict(zip(names, states, strict=True)))
        groups: list[Factors] = []
        for facts in config["groups"]:
            shape = tuple(facts["shape"])
            scopes = cliques.as_variables([tuple(row) for row in facts["variables"]], len(shape))
            if facts["kind"] == "ScaledFactors":
                pattern = torch.tensor(facts["pattern"], dtype=torch.float64)
                groups.append(
                    ScaledFactors(scopes, shape, torch.zeros(len(scopes), dtype=torch.float64), pattern)
                )
            else:
                zeros = torch.zeros(len(scopes), *shape, dtype=torch.float64)
                groups.append(TableFactors(scopes, shape, zeros - torch.inf if facts["forbidden"] else zeros))
        return cls._of(variables, groups)

    def extra_repr(self) -> str:
        facts = f"{len(self.variables)} variables, {sum(group.count for group in self._groups())} factors"
        return "\n".join([facts, *self.notes])


def _known(what: str, named: Mapping[Any, Any], known: Container[Any]) -> None:
    """Refuse names of what isn't there, which would be passed over."""
    strange = [key for key in named if key not in known]
    if strange:
        kind = "a node" if what == "cardinalities" else "a maximal clique, in the order of its nodes,"
        raise ValueError(f"{what}: {strange[0]!r} isn't {kind} of the graph.")


def _potential(potentials: Any, clique: tuple[Name, ...], shape: list[int]) -> Any:
    if potentials is None:
        return torch.zeros(shape, dtype=torch.float64)
    if not isinstance(potentials, Mapping):
        return potentials(clique)
    if clique not in potentials:
        raise ValueError(f"potentials: expected log-potentials for the clique {clique!r}, got none.")
    return potentials[clique]


def _ising_groups(edges: Tensor, couplings: Tensor, fields: Tensor, pattern: Tensor = SPINS) -> list[Factors]:
    nodes = torch.arange(len(fields))[:, None]
    pattern = pattern.to(fields.dtype)
    return [
        ScaledFactors(edges.long(), (2, 2), couplings, torch.outer(pattern, pattern)),
        ScaledFactors(nodes, (2,), fields, pattern),
    ]


def _couplings(factors: Sequence[Factor], n: int, spins: bool) -> tuple[Tensor, Tensor]:
    """(J, bias) of E = -bias·x - ½ xᵀJ x for factors of one and two variables of two states."""
    joint, bias = torch.zeros(n, n, dtype=torch.float64), torch.zeros(n, dtype=torch.float64)
    for scope, table in factors:
        for k, v in enumerate(scope):
            own = table.movedim(k, 0).reshape(2, -1)
            gain = own[1] - own[0]
            # a spin feels the difference averaged over its neighbour, a 0/1 unit that where the other is 0
            bias[v] += 0.5 * gain.mean() if spins else gain[0]
        if len(scope) == 2:
            j = table[0, 0] + table[1, 1] - table[0, 1] - table[1, 0]
            joint[scope] += 0.25 * j if spins else j
            joint[scope[::-1]] += 0.25 * j if spins else j
    return joint, bias
