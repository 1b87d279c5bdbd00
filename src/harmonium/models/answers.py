"""Questions to a Markov random field that have exact answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from harmonium import checks
from harmonium.kernels import tables as log_tables
from harmonium.models import cliques, contraction, independence
from harmonium.models.cliques import Name
from harmonium.models.contraction import Elimination
from harmonium.models.elimination import Order, best_order
from harmonium.models.evidence import Piece, contracted, unique_evidence
from harmonium.models.factors import Factors
from harmonium.models.product import FactorProduct
from harmonium.random import Address

Given = Mapping[Any, int] | None
STAGES = 60  # sweeps that lead uniform states to what the constraints allow
SEARCH_STEPS = (
    2**40
)  # their draws are that many steps away from those of a chain that begins at the same address
MEMORY = 2**30  # bytes that the tables of an exact answer may take, if nothing else is said
Field = TypeVar("Field", bound="Answers")


class Answers(FactorProduct):
    """What follows from a product of factors by summing (or maximising) variables out one by one.

    See `contraction` for how, and `elimination` for in which order.
    """

    def _set_up(self, variables: cliques.Names, groups: Sequence[Factors], dtype: torch.dtype) -> None:
        super()._set_up(variables, groups, dtype)
        self.memory_limit = MEMORY
        self._orders: dict[tuple[int, ...], Order] = {}

    def condition(self: Field, given: Given) -> Field:
        """The field of the other variables given these: factors are cut at the states observed.

        Its log Z is `log_partition(given)` of this field. A copy: learning it leaves this field alone.

        Raises:
            ValueError: an unknown variable or a state that it doesn't have.
        """
        evidence = self._variables.evidence(given)
        left = {
            n: q
            for k, (n, q) in enumerate(zip(self.variables, self.cardinalities, strict=True))
            if k not in evidence
        }
        factors = []
        for scope, table in self._log_factors():
            cut = table[tuple(evidence.get(k, slice(None)) for k in scope)]
            factors.append((tuple(self.variables[k] for k in scope if k not in evidence), cut))
        variables = cliques.Names(left)
        field = self._of(variables, cliques.grouped(variables, factors, self._dtype), self._dtype)
        field.memory_limit = self.memory_limit
        return field

    # -- exact answers ---------------------------------------------------------------------------------------

    def width(self) -> int:
        """The width of the elimination order found: the most variables left in a table when one is summed
        out.

        An upper bound of the treewidth. Where the tables would exceed the memory limit the search stops
        early, and this is only the width that it had come to.
        """
        return self._order(()).width

    def _order(self, keep: tuple[int, ...]) -> Order:
        if keep not in self._orders:
            self._orders[keep] = best_order(self._scopes(), self.cardinalities, keep, self.memory_limit / 8)
        return self._orders[keep]

    def _eliminate(
        self,
        question: str,
        keep: tuple[int, ...] = (),
        reduce: Callable[..., Tensor] = log_tables.log_sum,
        remember: bool = False,
    ) -> Elimination:
        order = self._order(keep)
        needed = 8.0 * max(order.entries, order.kept if remember else 0.0)
        if needed > self.memory_limit:
            more = " or more" if len(order.variables) + len(keep) < len(self.variables) else ""
            raise ValueError(
                f"{question}: an exact answer sums over tables of up to {order.width + 1} variables (width "
                f"{order.width}{more}), which takes {needed * 1e-9:.3g} GB, more than the memory_limit of "
                f"{self.memory_limit * 1e-9:.3g} GB; chains work at any width: hm.sample, hm.log_partition."
            )
        return contraction.eliminate(self._log_factors(), order, self.cardinalities, reduce, remember)

    def _possible(self, question: str, log_z: Tensor) -> None:
        if not bool(log_z > -torch.inf):
            raise ValueError(
                f"{question}: every state has probability zero, so there is no distribution to ask."
            )

    def log_partition(self, given: Given = None) -> Tensor:
        """log Z exactly, nats, float64; with `given` = {variable: state} log Σ over the states that agree
        with it.

        So log P(given) = log_partition(given) - log_partition().

        Raises:
            ValueError: too wide (names the width and the memory), or an unknown variable or state.
        """
        if given:
            return self.condition(given).log_partition()
        run = self._eliminate("log_partition")
        return contraction.total(run, (), self.cardinalities)

    def marginal(self, variables: Sequence[Name], given: Given = None) -> Tensor:
        """P(variables | given) exactly, float64, one axis per variable in the order asked for.

        The variables needn't share a factor.

        Raises:
            ValueError: as `log_partition`, or every state has probability zero.
        """
        if given:
            self._not_given(variables, given)
            return self.condition(given).marginal(variables)
        keep = self._variables.scope("variables", variables)
        run = self._eliminate("marginal", keep)
        table = contraction.total(run, keep, self.cardinalities)
        log_z = torch.logsumexp(table.flatten(), 0)
        self._possible("marginal", log_z)
        return torch.exp(table - log_z)

    def marginals(self, given: Given = None) -> dict[Name, Tensor]:
        """P(x | given) of every variable that is not given, exactly, at about the cost of two log Z."""
        field = self.condition(given) if given else self
        run = field._eliminate("marginals", remember=True)
        field._possible("marginals", contraction.total(run, (), field.cardinalities))
        tables = contraction.marginals(run)
        found = {}
        for step, table in zip(run.steps, tables, strict=True):
            found[field.variables[step.variable]] = table.reshape(len(table), -1).sum(1)
        return {name: found[name] for name in field.variables}

    def clique_marginals(self) -> list[Tensor]:
        """P(x_c) of every factor, exactly, in the order of `factors`: the moments that learning matches."""
        run = self._eliminate("clique_marginals", remember=True)
        self._possible("clique_marginals", contraction.total(run, (), self.cardinalities))
        tables = contraction.marginals(run)
        found = []
        for number, scope in enumerate(self._scopes()):
            if not scope:
                found.append(torch.ones((), dtype=torch.float64))
                continue
            step = run.steps[run.home[number]]
            table = tables[run.home[number]]
            found.append(contraction.marginal_of(table, (step.variable, *step.rest), scope))
        return found

    def most_probable(self, given: Given = None) -> Tensor:
        """The most probable state (MAP) that agrees with `given`, exactly, long (variables,); one of them if
        tied.
        """
        state = torch.zeros(len(self.variables), dtype=torch.long)
        evidence = self._variables.evidence(given)
        field = self.condition(given) if given else self
        run = field._eliminate("most_probable", reduce=log_tables.maximum, remember=True)
        field._possible("most_probable", contraction.total(run, (), field.cardinalities))
        free = [k for k in range(len(self.variables)) if k not in evidence]
        state[free] = contraction.most_probable(run, torch.zeros(len(free), dtype=torch.long))
        for k, value in evidence.items():
            state[k] = value
        return state

    def _not_given(self, variables: Sequence[Name], given: Mapping[Name, int]) -> None:
        both = [name for name in variables if name in given]
        if both:
            raise ValueError(f"variables: {both[0]!r} is given.")

    def closed_form_log_partition(self) -> Tensor | None:
        """log Z by contraction where it fits into memory, otherwise None."""
        return self.log_partition() if 8.0 * self._order(()).entries <= self.memory_limit else None

    def exact_sample(self, n: int, address: Address, given: Tensor | None = None) -> Tensor | None:
        """Independent states, (n, variables), by contraction, or by enumeration where the tables exceed the
        memory limit; None where neither can be afforded.

        Args:
            n: how many.
            address: where they are drawn.
            given: values of some variables with NaN where free, for all rows (variables,) or for each (n,
                variables).

        Raises:
            ValueError: no state agrees with what is given (or every state has probability zero).
        """
        drawn = self._contracted_sample(n, address, given)
        return super().exact_sample(n, address, given) if drawn is None else drawn

    def _contracted_sample(self, n: int, address: Address, given: Tensor | None = None) -> Tensor | None:
        """The same by contraction alone."""
        if given is None:
            order = self._order(())
            if 8.0 * max(order.entries, order.kept) > self.memory_limit:
                return None
            run = self._eliminate("sample", remember=True)
            self._possible("sample", contraction.total(run, (), self.cardinalities))
            states = torch.zeros(n, len(self.variables), dtype=torch.long)
            return contraction.draw(run, states, address).to(self.dtype)
        rows, kind = unique_evidence(given if given.ndim == 2 else given[None])
        kind = kind if given.ndim == 2 else kind.expand(n)
        pieces = self._contracted(rows, remember=True)
        if pieces is None:
            return None
        drawn, numbers = torch.zeros(n, len(self.variables), dtype=torch.long), address.chains(n)
        for piece in pieces:
            for k in piece.rows[piece.log_z == -torch.inf].tolist():
                row = int(torch.nonzero(kind == k)[0])
                where = f"the values in row {row} have" if given.ndim == 2 else "these values have"
                raise ValueError(f"given: {where} probability zero, so there is nothing to draw.")
            place = torch.full((len(rows),), -1).index_copy(0, piece.rows, torch.arange(len(piece.rows)))
            mine = torch.nonzero(place[kind] >= 0).flatten()
            which = place[kind[mine]][:, None]
            states = torch.cat([piece.values[which[:, 0]].nan_to_num(0.0).long(), which], 1)
            states = contraction.draw(piece.run, states, address.at(chain=numbers[mine.numpy()]))
            drawn[mine] = states[:, :-1]
        return drawn.to(self.dtype)

    def log_partitions(self, given: Tensor) -> Tensor | None:
        """log Σ over the states that agree with each row of values (NaN where free), (rows,), nats; None
        where the tables exceed the memory limit. -inf for a row that no state agrees with.
        """
        rows, kind = unique_evidence(given)
        pieces = self._contracted(rows, remember=False)
        if pieces is None:
            return None
        found = torch.empty(len(rows), dtype=torch.float64)
        for piece in pieces:
            found[piece.rows] = piece.log_z
        return found[kind]

    def _contracted(self, rows: Tensor, remember: bool) -> Iterator[Piece] | None:
        return contracted(self._log_factors(), self.cardinalities, rows, self.memory_limit, remember)

    def evidence_row(self, given: Mapping[Any, Any]) -> Tensor:
        """{variable: state} as a row of values with NaN where free, (variables,)."""
        row = torch.full((len(self.variables),), torch.nan, dtype=torch.float64)
        for k, state in self._variables.evidence(given).items():
            row[k] = state
        return row

    def random_state(self, chains: int, address: Address) -> tuple[Tensor, ...]:
        """Uniform states; where constraints might forbid these, exact samples, or states that chains have
        found.
        """
        if self.positive:
            return super().random_state(chains, address)
        exact = self._contracted_sample(chains, address)
        if exact is not None:
            return (exact.to(self.device),)
        soft = self.softened()
        state = super().random_state(chains, address)
        for k in range(1, STAGES + 1):  # the penalties grow until almost nothing is forbidden
            beta = torch.full((chains,), k / STAGES, dtype=torch.float64)
            state = soft.sweep(state, address.at(step=address.step + SEARCH_STEPS + k), beta=beta)
        return (self.obedient(state[0], address.at(step=address.step + SEARCH_STEPS)),)

    # -- learning --------------------------------------------------------------------------------------------

    def accumulate_expected_gradient(self, weight: float = 1.0) -> None:
        """Add weight · ⟨∂E/∂θ⟩ over the model to the gradients, exactly: the negative phase without samples.

        The gradient of -log P at a mean over data is that of E at the data minus this; it vanishes where the
        clique marginals of model and data agree.
        """
        marginals = iter(self.clique_marginals())
        for group in self._groups():
            p = torch.stack([next(marginals).flatten() for _ in range(group.count)])
            group.accumulate(weight * p)

    # -- independence ----------------------------------------------------------------------------------------

    def independent(self, a: Sequence[Name], b: Sequence[Name], given: Sequence[Name] = ()) -> bool:
        """Whether the graph says that `a` and `b` are independent given `given` (the global Markov property).

        That is, whether `given` separates them. False doesn't mean that they depend: a table may say less
        than its graph allows; `dependence` asks the numbers.
        """
        sets = [self._variables.scope(name, names) for name, names in (("a", a), ("b", b), ("given", given))]
        if len({v for s in sets for v in s}) < sum(len(s) for s in sets):
            raise ValueError("a, b, given: expected sets without a common variable, got an overlap.")
        return independence.separated(self.graph, a, b, given)

    def independence_statements(self, property: str = "pairwise") -> Iterator[independence.Statement]:
        """All statements of the "pairwise" or the "local" Markov property of the graph, one after another."""
        checks.one_of("property", property, ("pairwise", "local"))
        return (independence.pairwise if property == "pairwise" else independence.local)(self.graph)

    def dependence(self, a: Sequence[Name], b: Sequence[Name], given: Sequence[Name] = ()) -> float:
        """The conditional mutual information I(a; b | given), nats, exactly: 0 where they are independent."""
        joint = self.marginal((*a, *b, *given))
        shape = [int(np.prod(joint.shape[: len(a)])), int(np.prod(joint.shape[len(a) : len(a) + len(b)])), -1]
        p = joint.reshape(shape)
        with_given = p.sum((0, 1), keepdim=True)
        ratio = p * with_given / (p.sum(1, keepdim=True) * p.sum(0, keepdim=True))
        return float((p * torch.log(torch.where(p > 0, ratio, torch.ones_like(p)))).sum())
