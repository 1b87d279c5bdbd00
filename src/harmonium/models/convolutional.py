"""The convolutional restricted Boltzmann machine, over pictures and sequences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from harmonium.couplings import Convolution
from harmonium.couplings.base import StepSize, no_step
from harmonium.models.rbm import RBM
from harmonium.units import Bernoulli, Categorical, Units
from harmonium.units.base import layer_of_units


class ConvolutionalRBM(RBM):
    """E(v, h) = U(v) - a·v + U(h) - Σ_k Σ_p h_kp (b_k + (w_k ⋆ v)_p), with filters w_k that slide over v.

    The same filter at every place p of the map k, and one bias b_k for the map: what is learned of a patch
    holds everywhere (Lee, Grosse, Ranganath & Ng 2009; Norouzi, Ranjbar & Mori 2009). With pools, the places
    of a block are the states of one categorical unit, of which the first is "off": P(off | v) =
    1 / (1 + Σ_p exp(field_p)), their probabilistic max-pooling. Visible biases are those of each pixel.

    Args:
        shape: (channels, length) of sequences or (channels, height, width) of pictures; a row of data holds
            the pixels of channel 0, then those of channel 1, …, or one-hot sites with a channel for a state.
        filters: how many.
        kernel: size of the filters, a number or one for each dimension.
        stride, padding: of the convolution, likewise.
        pool: size of the pools, which must fill the maps; 1 for none.
        visible: the visible units, as many as pixels; 0/1 by default.
        hidden: the type of the hidden units, such as `hm.Spin`, or one unit for each place of each map; pools
            are categorical units.
        dtype, device, seed: as of `RBM`.

    Raises:
        TypeError, ValueError: sizes that don't fit each other, or the units.

    >>> import harmonium as hm
    >>> crbm = hm.ConvolutionalRBM((1, 8, 8), filters=4, kernel=3, pool=2)
    >>> crbm.filters.shape, crbm.hidden
    (torch.Size([4, 1, 3, 3]), Categorical(36, 5))
    >>> crbm.maps(torch.zeros(10, 64)).shape
    torch.Size([10, 4, 6, 6])
    """

    def __init__(  # noqa: PLR0913  # the usual arguments of a convolution, each by its name
        self,
        shape: Sequence[int],
        filters: int,
        kernel: int | Sequence[int],
        *,
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int] = 0,
        pool: int | Sequence[int] = 1,
        visible: Units | None = None,
        hidden: Units | type[Units] = Bernoulli,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        seed: int = 0,
    ) -> None:
        last = isinstance(visible, Categorical)
        coupling = Convolution(shape, filters, kernel, stride, padding, pool, channels_last=last)
        g = coupling.geometry
        if visible is None:
            visible = Bernoulli(math.prod(g.shape))
        if layer_of_units("visible", visible).width != math.prod(g.shape):
            raise ValueError(
                f"visible: expected units of {math.prod(g.shape)} columns for shape {g.shape}, got"
                f" {visible.width}."
            )
        if isinstance(visible, Categorical) and visible.cardinality != g.shape[0]:
            raise ValueError(
                f"shape: expected a channel for each of the {visible.cardinality} states, got {g.shape[0]}."
            )
        if isinstance(hidden, type):
            hidden = hidden(g.pools) if g.pooled == 1 else Categorical(g.pools, g.pooled + 1)
        super().__init__(visible, hidden, couplings=coupling, dtype=dtype, device=device, seed=seed)
        self.coupling: Convolution

    @property
    def filters(self) -> nn.Parameter:
        """w, (filters, channels, *kernel)."""
        return self.coupling.filters

    @torch.no_grad()
    def maps(self, v: Any) -> Tensor:
        """⟨h | v⟩ of every place, (batch, filters, *places); of pools, the probabilities of their places."""
        return self.coupling.geometry.maps(self.hidden_given_visible(v))

    def bias_sums(self, block: int, x: Tensor) -> Tensor:
        """Sums over the places of each map, (batch, filters); visible columns as they are."""
        return x if block == 0 else self.coupling.geometry.maps(x).flatten(2).sum(2)

    def bias_spread(self, block: int, values: Tensor) -> Tensor:
        """A value for each map at all of its places, 0 for what is off."""
        if block == 0:
            return values
        g = self.coupling.geometry
        maps = values.reshape(1, -1, *(1 for _ in g.places)).expand(1, g.filters, *g.places)
        return g.units(maps)[0]

    @torch.no_grad()
    def settle(self, step: StepSize = no_step) -> None:
        """Keep the biases (and scales) of a map equal, and 0 those of what is off."""
        super().settle(step)
        g = self.coupling.geometry
        for parameter in self.hidden.parameters():
            if g.pooled > 1:
                states = parameter.unflatten(0, (-1, g.pooled + 1))
                states -= states[:, :1].clone()
            parameter.copy_(self.bias_spread(1, self.bias_sums(1, parameter[None])[0] / self.coupling.places))

    def config(self) -> dict[str, Any]:
        """What the constructor needs."""
        g = self.coupling.geometry
        sizes = {"shape": g.shape, "kernel": g.kernel, "stride": g.stride, "padding": g.padding}
        said = {name: list(size) for name, size in (sizes | {"pool": g.pool}).items()}
        units = {"visible": self.visible.config(), "hidden": self.hidden.config()}
        return {"type": "ConvolutionalRBM", "filters": g.filters, **said, **units}
