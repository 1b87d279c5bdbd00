"""What a model may know of its own structure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from harmonium.random import Address
from harmonium.units import Units

if TYPE_CHECKING:
    from harmonium.models.blocks import Pair
    from harmonium.models.graph import GraphModel
    from harmonium.models.pairwise import PairwiseModel


class Structure:
    """The questions by which the floors above choose what suits a model, with the answers of one of which
    only the energy is known. A kind of model that knows more says so here: nobody need ask for its class.
    """

    named_variables: tuple[Any, ...] = ()
    """Names of the visible variables of a graph, by which they may be given; none elsewhere."""

    whole_states: bool = False
    """Whether visible states are whole numbers, and shown as such."""

    constrained: bool = False
    """Whether the model says that it forbids some states, whatever it learns (see `obeys`)."""

    uniform: bool = False
    """Whether all states have the energy 0."""

    latent_means: bool = False
    """Whether learning takes `mean_of_latent` of a row, and no states, for the cells that no table holds."""

    def mean_of_latent(self, v: Tensor) -> Tensor:
        """Rows with means in the cells after those observed, (rows, n_visible)."""
        raise TypeError(f"{type(self).__name__} has no cells that no table holds.")

    @property
    def named_blocks(self) -> Sequence[Units]:
        """The units of each block that the model names, visible ones first; none here."""
        return ()

    def pair(self) -> Pair | None:
        """This model as two blocks and the operator between them, None where it is anything else."""
        return None

    def as_pairwise(self) -> PairwiseModel | None:
        """This model as blocks of units with pairwise couplings, None where its energy is anything else."""
        return None

    def field_of_given(self, v: Tensor) -> Tensor | None:
        """What visible columns that are always given add to the field on the others, (rows, n_visible), where
        rows of `v` differ in it; None where nothing does.
        """
        return None

    def visible_field(self, state: tuple[Tensor, ...]) -> Tensor | None:
        """The field of all other blocks of a state on the visible units, (rows, n_visible); None where the
        visible variables are no single block.
        """
        return None

    def log_conditionals(self, v: Tensor) -> Tensor | None:
        """Σᵢ log P(vᵢ | all other visible variables), (rows,), where one product gives all of them; None
        elsewhere.
        """
        return None

    def why_forbidden(self, x: Tensor) -> str:
        """Which constraint forbids a visible row, (n_visible,), in words."""
        return "a constraint of the model"

    def graph_at(self) -> tuple[GraphModel, Tensor | None] | None:
        """(a graph, β, one for all rows or one for each, None for 1) where this is exp(-βE)/Z of that graph;
        None where it is no graph.
        """
        return None

    def evidence_row(self, given: Mapping[Any, Any]) -> Tensor | None:
        """Values by the model's own names of its variables as a row, NaN where free, (n_visible,), float64;
        None where it has none.
        """
        return None

    # -- hard constraints ------------------------------------------------------------------------------------

    def obeys(self, x: Tensor) -> Tensor:
        """Whether each visible row keeps to the constraints, bool (rows,)."""
        return torch.ones(len(x), dtype=torch.bool, device=x.device)

    def obedient(self, x: Tensor, address: Address, given: Tensor | None = None) -> Tensor:
        """The visible rows, those that break a constraint replaced by others that agree with what is
        `given`, NaN where free.
        """
        return x

    # -- ways of its own ------------------------------------------------------------------------------------

    def log_partitions(self, given: Tensor) -> Tensor | None:
        """log Σ exp(-E) over the states that agree with each row of values (NaN where free), (rows,), nats,
        by a way of the model's own; None where there is none.
        """
        return None

    def importance_weights(self, v: Tensor, address: Address) -> Tensor | None:
        """log of unbiased estimates of Σₕ exp(-E(v, h)), one for each row, (rows,), by hidden variables that
        the model draws given v in a way of its own; None where it has none.
        """
        return None

    def complete(self, v: Tensor, address: Address) -> tuple[Tensor, ...] | None:
        """A model's own way from rows of data to joint states (v, h) for `accumulate_joint_gradient`; None
        here.

        `sampling.complete` asks for it before it starts clamped chains.
        """
        return None

    def accumulate_phases(
        self, data: tuple[Tensor, Tensor], negatives: tuple[Tensor, Tensor]
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]] | None:
        """A model's own way to both phases in one pass; None here, and nothing is added then.

        Args:
            data: visible states (n, n_visible) and their weights (n,), for the positive phase.
            negatives: the same for the negative phase, whose gradient is subtracted.

        Returns:
            The weighted means of every block in both phases, (width,) each.
        """
        return None
