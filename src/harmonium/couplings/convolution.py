"""Couplings that are the same at every place of a picture or a sequence."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # its usual name
from torch.nn.grad import conv1d_weight, conv2d_weight

from harmonium import checks
from harmonium.couplings.base import Kind, Operator, initial

DENSE = 2**16  # entries of W up to which compiled sweeps with the matrix beat the library's convolution


@dataclass(frozen=True)
class Geometry:
    """How filters slide over pictures, and where the maps that they make stand among the columns.

    Attributes:
        shape: (channels, length) or (channels, height, width).
        filters: how many.
        kernel, stride, padding: of each dimension.
        pool: of each dimension; without pooling all 1.
        last: whether the channels of a place stand next to each other, as the states of one-hot sites do.
    """

    shape: tuple[int, ...]
    filters: int
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    pool: tuple[int, ...]
    last: bool = False

    @property
    def places(self) -> tuple[int, ...]:
        """The size of a map."""
        sides = zip(self.shape[1:], self.kernel, self.stride, self.padding, strict=True)
        return tuple((n + 2 * p - k) // s + 1 for n, k, s, p in sides)

    @property
    def pooled(self) -> int:
        """Units of a pool, 1 without pooling."""
        return math.prod(self.pool)

    @property
    def pools(self) -> int:
        """Pools (or units, without pooling) of all maps."""
        return self.filters * math.prod(self.places) // self.pooled

    @property
    def widths(self) -> tuple[int, int]:
        """Columns of the visible and of the hidden block."""
        return math.prod(self.shape), self.pools * (1 if self.pooled == 1 else self.pooled + 1)

    def picture(self, x: Tensor) -> Tensor:
        """(n, channels, *size) from visible columns."""
        if self.last:
            return x.reshape(-1, *self.shape[1:], self.shape[0]).movedim(-1, 1).contiguous()
        return x.reshape(-1, *self.shape)

    def columns(self, picture: Tensor) -> Tensor:
        """The inverse of `picture`."""
        return (picture.movedim(1, -1) if self.last else picture).flatten(1)

    def units(self, maps: Tensor) -> Tensor:
        """Hidden columns from maps (n, filters, *places): pool by pool, the off state of each first."""
        if self.pooled == 1:
            return maps.flatten(1)
        inside = [size for n, p in zip(self.places, self.pool, strict=True) for size in (n // p, p)]
        blocks = maps.reshape(*maps.shape[:2], *inside)
        d = len(self.pool)
        order = [0, 1, *range(2, 2 + 2 * d, 2), *range(3, 3 + 2 * d, 2)]
        on = blocks.permute(order).flatten(2 + d).flatten(1, 1 + d)
        return F.pad(on, (1, 0)).flatten(1)

    def maps(self, units: Tensor) -> Tensor:
        """The inverse of `units`, without the off states."""
        if self.pooled == 1:
            return units.reshape(-1, self.filters, *self.places)
        on = units.reshape(len(units), -1, self.pooled + 1)[..., 1:]
        d = len(self.pool)
        counts = [n // p for n, p in zip(self.places, self.pool, strict=True)]
        blocks = on.reshape(-1, self.filters, *counts, *self.pool)
        order = [0, 1, *itertools.chain.from_iterable((2 + k, 2 + d + k) for k in range(d))]
        return blocks.permute(order).reshape(-1, self.filters, *self.places)

    def patches(self, x: Tensor) -> Tensor:
        """What each place sees of visible columns, (n, places, weights of a filter)."""
        picture = F.pad(self.picture(x), [p for p in reversed(self.padding) for _ in range(2)])
        for k, (size, step) in enumerate(zip(self.kernel, self.stride, strict=True)):
            picture = picture.unfold(2 + k, size, step)
        d = len(self.kernel)
        return picture.movedim(1, d + 1).flatten(d + 1).flatten(1, d)

    def seen(self) -> Tensor:
        """Which visible column each place sees through each weight of a filter: (places, weights), counted
        from 1, and 0 in the padding.
        """
        x = torch.arange(1, math.prod(self.shape) + 1, dtype=torch.float64)
        return self.patches(x)[0].long()


class Filters(Operator):
    """The convolution with given filters, (filters, channels, *kernel)."""

    def __init__(self, geometry: Geometry, filters: Tensor) -> None:
        self.geometry, self.filters = geometry, filters
        self.shape = geometry.widths

    def tensors(self) -> tuple[Tensor, ...]:
        return (self.filters,)

    def along(self, direction: Sequence[Tensor]) -> Operator:
        return Filters(self.geometry, direction[0])

    def product(self, x: Tensor, add: Tensor | None = None) -> Tensor:
        g = self.geometry
        slide = F.conv1d if len(g.kernel) == 1 else F.conv2d
        found = g.units(slide(g.picture(x), self.filters, None, g.stride, g.padding))
        return found if add is None else found + add

    def transposed(self, y: Tensor, add: Tensor | None = None) -> Tensor:
        g = self.geometry
        slide = F.conv_transpose1d if len(g.kernel) == 1 else F.conv_transpose2d
        sides = zip(g.shape[1:], g.places, g.kernel, g.stride, g.padding, strict=True)
        rest = [n - ((m - 1) * s - 2 * p + k) for n, m, k, s, p in sides]  # that no place sees
        found = g.columns(slide(g.maps(y), self.filters, None, g.stride, g.padding, rest))
        return found if add is None else found + add

    def statistics(self, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        g = self.geometry
        slid = conv1d_weight if len(g.kernel) == 1 else conv2d_weight
        maps = g.maps(y).contiguous()
        return (slid(g.picture(x), self.filters.shape, maps, g.stride, g.padding),)

    def each(self, x: Tensor, y: Tensor) -> Tensor:
        patches, maps = self.geometry.patches(x), self.geometry.maps(y).flatten(2)
        return torch.bmm(maps, patches).flatten(1)

    def _filled(self, flat: Tensor) -> Tensor:
        """Numbers of each weight, (filters, weights), at all entries of W, (rows, columns)."""
        g = self.geometry
        seen = g.seen().to(flat.device)
        where = seen.expand(g.filters, *seen.shape)
        empty = flat.new_zeros(g.filters, len(seen), self.shape[0] + 1)
        full = empty.scatter(2, where, flat[:, None, :].expand(where.shape))[..., 1:]
        return g.units(full.movedim(-1, 0).reshape(-1, g.filters, *g.places))

    def dense(self) -> Tensor:
        return self._filled(self.filters.flatten(1))

    def pull(self, gradient: Tensor) -> tuple[Tensor, ...]:
        g = self.geometry
        seen = g.seen().to(gradient.device)
        maps = F.pad(g.maps(gradient).flatten(2), (0, 0, 0, 0, 1, 0))  # (1 + rows, filters, places)
        found = maps.permute(1, 2, 0).gather(2, seen.expand(g.filters, *seen.shape))
        return (found.mul_(seen > 0).sum(1).reshape(self.filters.shape),)


class Convolution(Kind):
    """One small set of filters at every place of a picture or a sequence (Lee, Grosse, Ranganath & Ng 2009).

    Visible columns are the pixels of channel 0, then those of channel 1, …; hidden ones the places of the
    map of filter 0, then of filter 1, …. With pools, all units of a block of a map are the states of one
    categorical unit, of which state 0 is "off": at most one of them is on.

    Args:
        shape: (channels, length) of sequences or (channels, height, width) of pictures.
        filters: how many.
        kernel: size of the filters, a number or one for each dimension.
        stride: distance between two places.
        padding: zeros around the picture.
        pool: size of the pools, which must fill the maps; 1 for none.
        channels_last: whether the channels of a pixel stand next to each other, as one-hot states do.

    Raises:
        TypeError, ValueError: sizes that are no positive integers or don't fit each other.

    >>> import harmonium as hm
    >>> filters = Convolution((1, 8, 8), filters=4, kernel=3)
    >>> filters.geometry.places, filters.geometry.widths
    ((6, 6), (64, 144))
    >>> rbm = hm.RBM(hm.Bernoulli(64), hm.Bernoulli(144), couplings=filters)
    >>> rbm.coupling.filters.shape
    torch.Size([4, 1, 3, 3])
    """

    by_row = True
    filters: nn.Parameter

    def __init__(  # noqa: PLR0913  # the usual arguments of a convolution
        self,
        shape: Sequence[int],
        filters: int,
        kernel: int | Sequence[int],
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int] = 0,
        pool: int | Sequence[int] = 1,
        channels_last: bool = False,
    ) -> None:
        super().__init__()
        sizes = tuple(
            checks.positive_integer("shape", size) for size in checks.a_list("shape", shape, "sizes")
        )
        if len(sizes) not in (2, 3):
            raise ValueError(
                f"shape must be (channels, length) or (channels, height, width), got {tuple(shape)}."
            )
        d = len(sizes) - 1
        self.geometry = Geometry(
            sizes,
            checks.positive_integer("filters", filters),
            _sizes("kernel", kernel, d),
            _sizes("stride", stride, d),
            _sizes("padding", padding, d, low=0),
            _sizes("pool", pool, d),
            bool(channels_last),
        )
        g = self.geometry
        if min(g.places) < 1:
            raise ValueError(f"kernel must fit into the picture of {sizes[1:]}, got {g.kernel}.")
        if any(p >= k for p, k in zip(g.padding, g.kernel, strict=True)):
            raise ValueError(f"padding must be less than the kernel {g.kernel}, got {g.padding}.")
        if any(n % p for n, p in zip(g.places, g.pool, strict=True)):
            raise ValueError(f"pool must divide the maps of {g.places}, got {g.pool}.")
        self.shape = g.widths

    @property
    def places(self) -> int:  # type: ignore[override]  # derived, 1 elsewhere
        """How many places share a filter."""
        return math.prod(self.geometry.places)

    def begin(self, rows: int, columns: int, seed: int) -> None:
        self.check_shape(rows, columns)
        g = self.geometry
        weights = g.shape[0] * math.prod(g.kernel)
        drawn = initial(g.filters, weights, seed, 0.1 / weights**0.5)
        self.filters = nn.Parameter(drawn.reshape(g.filters, g.shape[0], *g.kernel))

    def at(self, tensors: Sequence[Tensor]) -> Operator:
        return Filters(self.geometry, tensors[0])

    def matrix(self) -> Tensor | None:
        return self.dense() if math.prod(self.shape) <= DENSE else None

    def by_unit(self) -> tuple[Tensor, Tensor | None]:
        grad = self.filters.grad
        return self.filters.flatten(1).T, None if grad is None else grad.flatten(1).T

    def config(self) -> dict[str, Any]:
        g = self.geometry
        sizes = {"shape": g.shape, "kernel": g.kernel, "stride": g.stride, "padding": g.padding}
        said = {name: list(size) for name, size in (sizes | {"pool": g.pool}).items()}
        return {"type": "Convolution", "filters": g.filters, **said, "channels_last": g.last}

    def extra_repr(self) -> str:
        g = self.geometry
        return f"{g.shape}, filters={g.filters}, kernel={g.kernel}, maps of {g.places}"


def _sizes(name: str, given: int | Sequence[int], d: int, low: int = 1) -> tuple[int, ...]:
    """One size for each dimension."""
    sizes = (given,) * d if isinstance(given, int) else tuple(checks.a_list(name, given, "sizes"))
    if len(sizes) != d:
        raise ValueError(f"{name} must be a number or {d} of them, got {sizes}.")
    return tuple(checks.integer(name, size, low=low) for size in sizes)
