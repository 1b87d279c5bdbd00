"""The deep belief network: an RBM on top, and layers below it that are drawn downwards."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from harmonium import checks
from harmonium.models.deep import checked_layers
from harmonium.models.energy import EnergyModel
from harmonium.models.rbm import RBM
from harmonium.models.visible_sums import HIDDEN_STATES
from harmonium.random import Address
from harmonium.units import Units

CHUNK = 2**22  # pairs of a row and a state per block of work


class DeepBeliefNetwork(EnergyModel):
    """P(v, h₁, …, h_L) = P(v | h₁) P(h₁ | h₂) … P(h_{L-1}, h_L): an RBM for the two topmost layers, and below
    it conditional distributions P(xₗ | xₗ₊₁) with the fields of RBMs of their own (Hinton, Osindero & Teh
    2006).

    Its energy is E = -Σₗ log P(xₗ | xₗ₊₁) + E_top(h_{L-1}, h_L), so that Z is that of the top RBM, and with
    the upward conditionals q(h | v) = Π P(xₗ₊₁ | xₗ) of the RBMs

        log P(v) ≥ ⟨log w⟩ over q,     P(v) = ⟨w⟩ over q,     w = Π P(xₗ | xₗ₊₁) exp(-F_top(h_{L-1})) / (q Z).

    `hm.fit` trains the RBMs one after the other, each on features of the one below, which makes the bound no
    worse as long as the new one is at least as likely as what it takes the place of.

    Args:
        visible: the visible units.
        hidden: the hidden units, layer by layer, at least one.
        dtype: float32 (default) or float64.
        device: where the parameters live.
        seed: of the initial weights.

    Attributes:
        machines: the RBMs, the lowest first. Their hidden units are the visible ones of the next.

    >>> import harmonium as hm
    >>> dbn = hm.DeepBeliefNetwork(hm.Bernoulli(6), [hm.Bernoulli(4), hm.Bernoulli(3)])
    >>> hm.sample(dbn, 5).shape, dbn.features(torch.zeros(2, 6)).shape
    (torch.Size([5, 6]), torch.Size([2, 3]))
    """

    def __init__(
        self,
        visible: Units,
        hidden: Sequence[Units],
        *,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        seed: int = 0,
    ) -> None:
        layers = checked_layers(visible, hidden)
        super().__init__()
        pairs = zip(layers, layers[1:], strict=False)
        place: dict[str, Any] = {"dtype": dtype, "device": device}
        self.machines = nn.ModuleList(
            RBM(copy.deepcopy(below), copy.deepcopy(above), seed=seed + k, **place)
            for k, (below, above) in enumerate(pairs)
        )

    @property
    def visible_space(self) -> Units:
        """The visible units."""
        return self.rbms()[0].visible

    @property
    def stack(self) -> tuple[Units, ...]:
        """The units of every layer, v first."""
        return (self.rbms()[0].visible, *(rbm.hidden for rbm in self.rbms()))

    @property
    def normaliser(self) -> RBM:
        """The RBM on top."""
        return self.rbms()[-1]

    def rbms(self) -> list[RBM]:
        """The RBMs, the lowest first."""
        return list(self.machines)  # type: ignore[arg-type]  # a ModuleList forgets the type of its modules

    def energy(self, *state: Any) -> Tensor:
        """E(v, h₁, …, h_L), (batch,), nats."""
        if len(state) != len(self.machines) + 1:
            raise ValueError(f"state: expected {len(self.machines) + 1} layers, got {len(state)}.")
        x = [self._visible_rows(state[0]), *(self._hidden_rows(h) for h in state[1:])]
        *below, top = self.rbms()
        energy = top.energy(*x[-2:])
        for rbm, lower, upper in zip(below, x, x[1:], strict=False):
            energy = energy - _log_conditional(rbm.visible, lower, rbm.field(0, (lower[:0], upper)))
        return energy

    def has_free_energy(self) -> bool:
        return all((rbm.hidden.n_states or HIDDEN_STATES + 1) <= HIDDEN_STATES for rbm in self.rbms()[:-1])

    def free_energy(self, v: Any) -> Tensor:
        """-log Σ exp(-E(v, h₁, …)) over all hidden layers, (batch,), nats, where the states of all but the
        topmost are few enough to be summed.

        Raises:
            ValueError: they are more than 2¹².
        """
        if not self.has_free_energy():
            raise ValueError(
                f"free_energy: expected at most {HIDDEN_STATES} states of each layer below the topmost to sum"
                " over, got more; hm.log_likelihood estimates log P(v)."
            )
        return self._free_energy(checks.matrix("v", self._visible_rows(v), self.visible_space.width), 0)

    def _free_energy(self, x: Tensor, level: int) -> Tensor:
        """The same of layer number `level`."""
        rbm = self.rbms()[level]
        x = x.to(rbm.visible.bias)
        if level == len(self.machines) - 1:
            return rbm.free_energy(x)
        h = rbm.hidden.states(torch.arange(int(rbm.hidden.n_states or 0), device=x.device)).to(x)
        field, above = rbm.field(0, (h[:0], h)), self._free_energy(h, level + 1)
        ground = rbm.visible.cumulant(field).sum(1) + above
        parts = [torch.logsumexp(rows @ field.T - ground, 1) for rows in x.split(max(1, CHUNK // len(h)))]
        return rbm.visible.potential(x).sum(1) - torch.cat(parts)

    # -- upwards and downwards -------------------------------------------------------------------------------

    @torch.no_grad()
    def features(self, v: Any, layer: int | None = None) -> Tensor:
        """Means of a hidden layer, counted from 1, when the means of the one below are passed upwards; the
        topmost by default, (batch, width).
        """
        top = len(self.machines)
        layer = top if layer is None else checks.integer("layer", layer, low=1, high=top)
        x = self._visible_rows(v)
        for rbm in self.rbms()[:layer]:
            x = rbm.hidden_given_visible(x)
        return x

    @torch.no_grad()
    def downwards(self, x: Tensor, address: Address) -> Tensor:
        """Visible states drawn from states of the topmost visible layer, (batch, n_visible)."""
        for rbm in reversed(self.rbms()[:-1]):
            x = rbm.visible.sample(rbm.field(0, (x[:0], x)), address)
            address = address.at(step=address.step + 1)
        return x

    @torch.no_grad()
    def importance_weights(self, v: Tensor, address: Address) -> Tensor:
        """log w + log Z for hidden layers drawn upwards from rows, once for each, (rows,), float64, nats."""
        total = torch.zeros(len(v), dtype=torch.float64, device=v.device)
        for rbm in self.rbms()[:-1]:
            field = rbm.field(1, (v, v[:, :0]))
            h = rbm.hidden.sample(field, address)
            down = _log_conditional(rbm.visible, v, rbm.field(0, (v[:0], h)))
            total += (down - _log_conditional(rbm.hidden, h, field)).double()
            v, address = h, address.at(step=address.step + 1)
        return total - self.normaliser.free_energy(v).double()

    def config(self) -> dict[str, Any]:
        """The types and sizes of all layers."""
        rbms = self.rbms()
        hidden = [rbm.hidden.config() for rbm in rbms]
        return {"type": "DeepBeliefNetwork", "visible": rbms[0].visible.config(), "hidden": hidden}


def _log_conditional(units: Units, x: Tensor, field: Tensor) -> Tensor:
    """log P(x | field), (batch,), nats."""
    own = units.potential(x) + units.cumulant(field)
    return (x * field).sum(-1) - own.sum(-1)
