"""Draws at an address and the products around them: the one place where a back end is chosen, by device and
by `processor.path`.

Every back end gives the same bits (``harmonium.kernels.reference`` is the definition): a state depends on the
field and the address alone, never on threads, on how a block is cut up, or on what was drawn before.

A NaN in a field becomes a NaN in the state, so that it can't pass for a draw.
"""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from harmonium.kernels import phases, processor
from harmonium.kernels.drawing import (
    draw_bernoulli,
    draw_categorical,
    draw_counts,
    draw_mixture,
    draw_spin,
    uniform,
)
from harmonium.kernels.launch import along, multiplying, on_one_thread
from harmonium.kernels.mixture import Group, Mixture
from harmonium.kernels.processor import taking_the_next
from harmonium.kernels.side import Side
from harmonium.random import Address

if TYPE_CHECKING:
    from harmonium.kernels.updates import Update

__all__ = [
    "Group",
    "Mixture",
    "Side",
    "along",
    "centre",
    "draw_bernoulli",
    "draw_categorical",
    "draw_counts",
    "draw_mixture",
    "draw_spin",
    "gibbs",
    "lead",
    "multiplying",
    "on_one_thread",
    "product",
    "repeated_update",
    "sweeps_suit",
    "two_phases",
    "unchanged",
    "uniform",
]


NOTHING = contextlib.nullcontext()
ROWS = 2**12  # rows summed over at a time: one after another, a million in float32 were off by 1.6 %, and
# by 0.01 % in matrix units


@taking_the_next
def product(
    left: Tensor,
    right: Tensor,
    bias: Tensor | None = None,
    *,
    transposed: bool = False,
    add_to: Tensor | None = None,
) -> Tensor:
    """left @ right + bias, to about 16 bits where the processor multiplies faster that way, else to all bits.

    In float32 on such a processor an entry is off by at most 2^-14 of the product of the absolute values, and
    by 2^-16 of it where the left matrix holds numbers of 8 bits such as states; and by the sum's rounding.

    Args:
        left: (rows, depth), or (depth, rows) where `transposed`.
        right: (depth, columns).
        bias: (columns,), or None.
        transposed: multiply by the transpose of `left`.
        add_to: (rows, columns), to add the product to in place.

    Returns:
        (rows, columns); `add_to` itself where given.

    Example:
        >>> product(torch.eye(2), torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.ones(2))
        tensor([[2., 3.],
                [4., 5.]])
    """
    if transposed and len(left) > ROWS:
        out = right.new_zeros(left.shape[1], right.shape[1], dtype=torch.float64)
        for rows, others in zip(left.split(ROWS), right.split(ROWS), strict=True):
            out += product(rows, others, transposed=True)
        out = (out if bias is None else out + bias).to(right.dtype)
        return out if add_to is None else add_to.add_(out)
    if _on_units((left,), right, add_to):
        from harmonium.kernels.matrix import products

        return products.product(left, right, bias, transposed=transposed, add_to=add_to)
    left = left.T if transposed else left
    with multiplying(left.numel() * right.shape[1]):
        if add_to is not None:
            return add_to.addmm_(left, right) if bias is None else add_to.addmm_(left, right).add_(bias)
        return torch.mm(left, right) if bias is None else torch.addmm(bias, left, right)


def _on_units(lefts: tuple[Tensor, ...], right: Tensor, add_to: Tensor | None) -> bool:
    columns = right.shape[1]
    for matrix in lefts:
        if matrix.numel() * columns < 2**19:
            return False
    if processor.path() != "matrix":
        return False
    matrices = (*lefts, right) if add_to is None else (*lefts, right, add_to)
    for matrix in matrices:
        if not matrix.is_cpu or matrix.dtype is not torch.float32 or matrix.stride(1) != 1:
            return False
    return not (right.requires_grad or any(m.requires_grad for m in lefts))


@taking_the_next
def two_phases(
    weight: Tensor,
    hidden: Side,
    data: tuple[Tensor, Tensor],
    negatives: tuple[Tensor, Tensor],
    add_to: Tensor | None = None,
) -> tuple[Tensor, Tensor] | None:
    """Σₙ wₙ vₙ ⟨h | vₙ⟩ᵀ over the negatives minus the same over the data, where there is a fast way.

    The rounding is that of `product`; which number is added when depends on the particles alone.

    Args:
        weight: (visible width, hidden width).
        hidden: the hidden layer.
        data: visible states (n, visible width) and their weights (n,).
        negatives: the same for the negative phase.
        add_to: as `weight`, to add the result to in place.

    Returns:
        (visible width, hidden width), or `add_to`; and Σ wₙ vₙ, then Σ wₙ ⟨h | vₙ⟩, in three rows: of the
        difference, of the data, of the negatives. None where this kernel won't do: other units, precision or
        processor, small products, or states too fine for bfloat16.
    """
    if hidden.kind not in ("bernoulli", "spin"):
        return None
    weight, hidden = weight.detach(), replace(hidden, bias=hidden.bias.detach())
    if max(len(data[0]), len(negatives[0])) > ROWS:
        return _in_blocks(weight, hidden, data, negatives, add_to)
    if _on_units((data[0], negatives[0]), weight, add_to):
        from harmonium.kernels.matrix import phases as on_units

        if not _plain(data[1], negatives[1], hidden.bias):
            return None
        return on_units.two_phases(weight, hidden, data, negatives, add_to)
    if any(x.dtype is not weight.dtype for x in (*data, *negatives, hidden.bias)):
        return None
    return phases.two_phases(weight, hidden, data, negatives, add_to)


def _in_blocks(
    weight: Tensor,
    hidden: Side,
    data: tuple[Tensor, Tensor],
    negatives: tuple[Tensor, Tensor],
    add_to: Tensor | None,
) -> tuple[Tensor, Tensor] | None:
    """`two_phases` of many particles: as many blocks of both, summed in float64."""
    blocks = -(-max(len(data[0]), len(negatives[0])) // ROWS)
    total = torch.zeros_like(weight, dtype=torch.float64)
    sums = total.new_zeros(3, sum(weight.shape))
    for v, w, other, its in zip(*(x.tensor_split(blocks) for x in (*data, *negatives)), strict=True):
        done = two_phases(weight, hidden, (v, w), (other, its))
        if done is None:
            return None
        total += done[0]
        sums += done[1]
    out = total.to(weight.dtype)
    return out if add_to is None else add_to.add_(out), sums.to(weight.dtype)


def _plain(*vectors: Tensor) -> bool:
    return all(x.is_cpu and x.dtype is torch.float32 and x.is_contiguous() for x in vectors)


def unchanged() -> AbstractContextManager[None]:
    """Tells the kernels that weights stay as they are within this block, so that they are laid out only once.

    Changes that PyTorch is told of, by operations in place, are noticed all the same.
    """
    products = sys.modules.get("harmonium.kernels.matrix.products")
    return NOTHING if products is None else products.Unchanged()


@taking_the_next
def centre(
    gradient: Tensor,
    biases: tuple[Tensor, Tensor],
    offsets: tuple[Tensor, Tensor],
    shifted: tuple[Tensor, Tensor],
) -> None:
    """In place: G ← G - a λᵀ - μ bᵀ, then a' ← a' - G λ and b' ← b' - Gᵀ μ.

    Args:
        gradient: G, (rows, columns).
        biases: a (rows,) and b (columns,).
        offsets: μ (rows,) and λ (columns,).
        shifted: a' (rows,) and b' (columns,), other tensors than a and b.

    Example:
        >>> gradient, shifted = torch.ones(1, 2), (torch.zeros(1), torch.zeros(2))
        >>> centre(gradient, (torch.ones(1), torch.zeros(2)), (torch.ones(1), torch.ones(2)), shifted)
        >>> gradient
        tensor([[0., 0.]])
    """
    here = processor.path() != "plain" and gradient.dtype is torch.float32 and gradient.stride(1) == 1
    if here and _plain(*biases, *offsets, *shifted):
        from harmonium.kernels import centring

        centring.centre(gradient, biases, offsets, shifted)
        return
    (a, b), (mu, lam) = biases, offsets
    gradient.addmm_(torch.stack([a, mu], 1), torch.stack([lam, b]), alpha=-1.0)
    shifted[0].sub_(gradient @ lam)
    shifted[1].sub_(gradient.T @ mu)


def sweeps_suit(weight: Tensor) -> bool:
    """Whether `gibbs` can run on these weights: float32, on a GPU or with a product it can call."""
    if weight.dtype is not torch.float32:
        return False
    if weight.is_cuda:
        return importlib.util.find_spec("triton") is not None
    return weight.is_cpu and weight.is_contiguous() and processor.path() != "plain"


@taking_the_next
def gibbs(
    weight: Tensor,
    sides: tuple[Side, Side],
    visible: Tensor,
    addresses: tuple[Address, Address],
    sweeps: int,
    beta: Tensor | None = None,
) -> tuple[Tensor, Tensor] | None:
    """Draws the hidden layer given the visible one, then the visible given the hidden one, `sweeps` times.

    The same draws in the same fields as by the functions above, but the fields come from products of its own,
    whose rounding `docs/kernels.md` states.

    Args:
        weight: (visible width, hidden width), such that `sweeps_suit`.
        sides: the visible and the hidden layer.
        visible: states to start from, (chains, visible width), float32.
        addresses: of the draws of both sides in the first sweep; the step grows by one with each sweep.
        sweeps: at least 1.
        beta: (chains, 1) or (1, 1), float32: inverse temperatures; 1 by default.

    Returns:
        Visible and hidden states after the last sweep, or None where the visible states are too fine for the
        products in use, or one of the layers is of a kind that the back end doesn't know.
    """
    visible = _rows_apart(visible)
    if weight.is_cuda:
        from harmonium.kernels import gpu

        return (
            gpu.gibbs(weight.detach(), sides, visible, addresses, sweeps, beta) if gpu.suits(sides) else None
        )
    if beta is not None:
        beta = beta.expand(len(visible), 1)
    if processor.path() == "matrix":
        from harmonium.kernels.matrix import sweeps as loops

        return loops.gibbs(weight.detach(), sides, visible, addresses, sweeps, beta)
    if processor.path() == "plain":  # since its loops have just been found not to compile
        return None
    from harmonium.kernels import chains

    return chains.gibbs(weight.detach(), sides, visible, addresses, sweeps, beta)


@taking_the_next
def repeated_update(
    weight: Tensor,
    sides: tuple[Side, Side],
    addresses: tuple[Address, Address],
    rows: tuple[int, int],
    sweeps: int,
) -> Update | None:
    """`gibbs`, and then `two_phases` with the chains for negatives, as one call that is described once and
    made again and again: the same bits, without what is done around small products.

    Args:
        weight: (visible width, hidden width).
        sides: the visible and the hidden layer.
        addresses: of the draws of both sides; each call says at which step.
        rows: of the data, and of the chains.
        sweeps: at least 1.

    Returns:
        The call (`kernels.updates.Update`), for as long as weight and biases stay where they are in memory;
        None where there is none, or the work is large enough for several threads.
    """
    if processor.path() != "wide" or max(rows) > ROWS:
        return None
    from harmonium.kernels import updates

    weight = weight.detach()
    sides = (replace(sides[0], bias=sides[0].bias.detach()), replace(sides[1], bias=sides[1].bias.detach()))
    suits = updates.suits(weight, sides, rows, sweeps)
    return updates.Update(weight, sides, addresses, rows, sweeps) if suits else None


@taking_the_next
def lead(
    weight: Tensor,
    sides: tuple[Side, Side],
    summed: int,
    given: Tensor,
    addresses: tuple[Address, Address],
    betas: Tensor,
) -> tuple[tuple[Tensor, Tensor], Tensor] | None:
    """Leads chains along a path of models, a sweep at each point but the first, and sums up their work.

    At each step the work is the change of the free energy of the given layer's states with beta, the other
    layer being summed out; then that one is drawn at the new beta, and the given one after it.

    Args:
        weight: (visible width, hidden width), such that `sweeps_suit`.
        sides: the visible and the hidden layer.
        summed: the layer to sum out, 0 for the visible one or 1 for the hidden one.
        given: states of the other layer to start from, (chains, width), float32.
        addresses: of the draws of both sides in the first sweep; the step grows by one with each sweep.
        betas: (steps + 1, chains), float32: inverse temperatures.

    Returns:
        Visible and hidden states after the last sweep, and the work of each chain, (chains,), float64, nats;
        None where there is no compiled loop for this.
    """
    path = processor.path()
    if not weight.is_cpu or path == "plain" or (path == "matrix" and not _exact_in_bfloat16(given)):
        return None
    from harmonium.kernels import chains

    return chains.lead(weight.detach(), sides, summed, _rows_apart(given), addresses, betas)


def _rows_apart(states: Tensor) -> Tensor:
    """The states with columns next to each other and rows that don't overlap."""
    stride, columns = states.stride()
    return states.detach() if columns == 1 and stride >= states.shape[1] else states.detach().contiguous()


def _exact_in_bfloat16(states: Tensor) -> bool:
    return bool((states.view(torch.int32) & 0xFFFF == 0).all())
