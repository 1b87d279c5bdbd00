"""Gaussian hidden units drawn with the free Gaussian visible ones integrated out.

Drawn in turn, v | g and g | v creep where couplings are strong: a sweep keeps s² of where g was, with s the
singular value of the coupling in units of the precisions. Given all other units, v and g are one normal
distribution. With the free columns of v integrated out,

    A = γ_g - Wᵀ γ_v⁻¹ W,     g ~ N(A⁻¹ I(v̄), A⁻¹),     v̄ = (a + W' h') / γ_v where v is free,

where h' are the other hidden units and I is the field of visible states on g; v | g, h' then completes the
draw of both. Such a sweep leaves the same distribution invariant (van Dyk & Park 2008).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from harmonium import kernels
from harmonium.models import EnergyModel
from harmonium.models.real_couplings import real_couplings
from harmonium.sampling.chains import Clamp

Place = slice | Tensor  # of columns, a slice where they are next to each other


@dataclass(frozen=True)
class RealBlocks:
    """What such draws need, for all sweeps of one call.

    Attributes:
        rows, columns: places of the Gaussian units in visible and hidden states.
        block: W between them.
        others: W between the Gaussian visible and all other hidden units, 0 for the Gaussian ones.
        bias: a, of the Gaussian visible units.
        precisions: γ of both.
        free: which Gaussian visible columns aren't held, (chains, columns), None for all.
        root: L⁻¹ of the Cholesky factor L of A, (q, q), or L itself, one for each chain.
    """

    rows: Place
    columns: Place
    block: Tensor
    others: Tensor
    bias: Tensor
    precisions: tuple[Tensor, Tensor]
    free: Tensor | None
    root: Tensor

    def redraw_(self, v: Tensor, h: Tensor, field: Tensor) -> None:
        """Draw the Gaussian units of hidden states anew, from the random numbers that they hold; in place.

        Args:
            v: visible states, (chains, n_visible).
            h: hidden states drawn given these.
            field: the field in which they were, like `h`.
        """
        visible, precision = self.precisions
        own, scale = field[:, self.columns], precision.sqrt()
        noise = torch.addcdiv(h[:, self.columns] * scale, own, scale, value=-1.0)
        moved = torch.addmm(self.bias, h, self.others.T).div_(visible).sub_(v[:, self.rows])
        if self.free is None:
            own = torch.addmm(own, moved, self.block)
            h[:, self.columns] = torch.addmm(noise, own, self.root.T) @ self.root
            return
        own = torch.addmm(own, torch.where(self.free, moved, 0.0), self.block)[..., None]
        with kernels.on_one_thread():  # whose number would be seen in the last bits
            half = torch.linalg.solve_triangular(self.root, own, upper=False) + noise[..., None]
            h[:, self.columns] = torch.linalg.solve_triangular(self.root.mT, half, upper=True)[..., 0]


def real_blocks(model: EnergyModel, clamp: Clamp | None) -> RealBlocks | None:
    """What is needed to draw the Gaussian units of both blocks of a model together; None where one block has
    none, and where Z is not finite.
    """
    machine = model.as_pairwise()
    real = None if machine is None or machine.context is not None else real_couplings(machine)
    if machine is None or real is None:
        return None
    (visible, precision), block = real.precisions, real.block
    free = None
    if clamp is None:
        square = torch.diag(precision) - block.T @ (block / visible[:, None])
    else:
        free = ~clamp.held[..., real.rows]
        free = free[None] if free.ndim == 1 else free
        pairs = (block[:, :, None] * block[:, None] / visible[:, None, None]).flatten(1)
        square = torch.diag(precision) - (free.to(pairs) @ pairs).unflatten(1, (len(precision), -1))
    with kernels.on_one_thread():
        root, failed = torch.linalg.cholesky_ex(square)
        if clamp is None:
            root = torch.linalg.solve_triangular(root, torch.eye(len(root)).to(root), upper=False)
    if bool(failed.any()):
        return None
    others = real.weight[real.rows].index_fill(1, real.columns, 0.0)
    bias = machine.layers[0].bias.detach()[real.rows]
    places = _place(real.rows), _place(real.columns)
    return RealBlocks(*places, block, others, bias, real.precisions, free, root)


def _place(columns: Tensor) -> Place:
    first, last = int(columns[0]), int(columns[-1])
    return slice(first, last + 1) if last - first + 1 == len(columns) else columns
