"""Draws at an address: the one place where a back end is chosen, by device and by `processor.path`.

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
from types import ModuleType
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from harmonium.kernels import arguments, phases, processor, reference
from harmonium.kernels.launch import multiplying, on_one_thread
from harmonium.kernels.processor import taking_the_next
from harmonium.kernels.side import Side
from harmonium.random import Address

if TYPE_CHECKING:
    from harmonium.kernels.updates import Update

__all__ = [
    "Side",
    "centre",
    "draw_bernoulli",
    "draw_categorical",
    "draw_counts",
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
ROWS = 2**12  # rows summed over at a time: one after another, a million in float32 were off by 1.6 %


def _drawing(on_cpu: bool) -> ModuleType:
    """Who draws: compiled loops, or the reference on other devices and where nothing can be compiled."""
    if not on_cpu or processor.path() == "plain":
        return reference
    from harmonium.kernels import draws  # brings Numba, which takes a second

    return draws


@taking_the_next
def uniform(
    address: Address,
    shape: tuple[int, int],
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Uniforms in the open interval (0, 1).

    Args:
        address: where the block of draws lives.
        shape: (rows, units).
        dtype: torch.float32 (23 random bits) or torch.float64 (52 random bits, the first 23 the same).
        device: where the result lives.

    Returns:
        Tensor of shape (rows, units).

    Raises:
        TypeError: dtype is neither float32 nor float64, or address is no Address.
        ValueError: shape is not two numbers >= 0, or the block doesn't fit at the address.

    Example:
        >>> from harmonium.random import Address, Purpose
        >>> uniform(Address(seed=1, purpose=Purpose.TRIAL), (2, 3)).shape
        torch.Size([2, 3])
    """
    arguments.check_dtype("dtype", dtype)
    if len(shape) != 2 or any(not isinstance(n, int) or n < 0 for n in shape):
        raise ValueError(f"shape must be two numbers (rows, units) of at least 0, got {shape!r}.")
    arguments.check_address(address, shape[0], shape[1])
    device = torch.device(device)
    return _drawing(device.type == "cpu").uniform(address, shape, dtype, device)


@taking_the_next
def draw_bernoulli(field: Tensor, address: Address, out: Tensor | None = None) -> Tensor:
    """Draws 0/1 states with P(x = 1) = 1 / (1 + exp(-field)).

    Args:
        field: (rows, units), float32 or float64; infinite fields are allowed, NaN gives NaN.
        address: where the draws live; row r is chain r, column j is unit j, counted from the address.
        out: optional tensor for the result, like the field, with its columns next to each other; it may be
            the field itself, but must not overlap it otherwise.

    Returns:
        Tensor of 0. and 1. like the field.

    Raises:
        TypeError: field or out is no tensor or has the wrong dtype, or address is no Address.
        ValueError: a shape, device or stride is wrong, or the block doesn't fit at the address.

    Example:
        >>> from harmonium.random import Address, Purpose
        >>> draw_bernoulli(torch.tensor([[-torch.inf, torch.inf]]), Address(seed=1, purpose=Purpose.TRIAL))
        tensor([[0., 1.]])
    """
    out = arguments.checked(field, 1, address, out)
    return _drawing(field.is_cpu).draw_bernoulli(field, address, out)


@taking_the_next
def draw_spin(field: Tensor, address: Address, out: Tensor | None = None) -> Tensor:
    """Draws -1/+1 states with P(x = +1) = 1 / (1 + exp(-2 field)); otherwise as ``draw_bernoulli``.

    Example:
        >>> from harmonium.random import Address, Purpose
        >>> draw_spin(torch.tensor([[-torch.inf, torch.inf]]), Address(seed=1, purpose=Purpose.TRIAL))
        tensor([[-1.,  1.]])
    """
    out = arguments.checked(field, 1, address, out)
    return _drawing(field.is_cpu).draw_spin(field, address, out)


@taking_the_next
def draw_categorical(field: Tensor, states: int, address: Address, out: Tensor | None = None) -> Tensor:
    """Draws one-hot states with P(x = k) = exp(field_k) / sum_l exp(field_l) at each site.

    One uniform per site (the unit of the address is the site's number), by inversion of the distribution
    function. A field of -inf is a state that never occurs, +inf one that always does (several share equally);
    a site whose fields are all -inf, or of which one is NaN, gives NaN.

    Args:
        field: (rows, sites * states), the states of a site next to each other.
        states: number of states of each site.
        address: where the draws live; row r is chain r, site s is unit s, counted from the address.
        out: as in ``draw_bernoulli``.

    Returns:
        Tensor of 0. and 1. like the field, with a single 1. at each site.

    Raises:
        TypeError, ValueError: as ``draw_bernoulli``, and where the width is no multiple of ``states``.

    Example:
        >>> from harmonium.random import Address, Purpose
        >>> draw_categorical(torch.tensor([[0., -99., -99., 99.]]), 2, Address(seed=1, purpose=Purpose.TRIAL))
        tensor([[1., 0., 0., 1.]])
    """
    if not isinstance(states, int) or isinstance(states, bool):
        raise TypeError(f"states must be an integer, got {states!r}.")
    if states < 1:
        raise ValueError(f"states must be at least 1, got {states}.")
    out = arguments.checked(field, states, address, out)
    return _drawing(field.is_cpu).draw_categorical(field, states, address, out)


@taking_the_next
def draw_counts(field: Tensor, trials: int, address: Address, out: Tensor | None = None) -> Tensor:
    """Draws successes out of so many trials, P(x = k) ∝ (trials over k) exp(k field), or where `trials` is 0
    counts without a limit, P(x = k) ∝ exp(k field) / k!.

    Args:
        field: (rows, units), float64.
        trials: at most 2^53.
        address: as in ``draw_bernoulli``.
        out: as in ``draw_bernoulli``.

    Returns:
        Tensor of whole numbers like the field; -1 where their variance exceeds 1024, which is too much for
        sums, and NaN where the field is.

    Raises:
        TypeError, ValueError: as ``draw_bernoulli``, and where the field isn't float64.

    Example:
        >>> from harmonium.random import Address, Purpose
        >>> field = torch.tensor([[-torch.inf, torch.inf]], dtype=torch.float64)
        >>> draw_counts(field, 7, Address(seed=1, purpose=Purpose.TRIAL)).tolist()
        [[0.0, 7.0]]
    """
    out = arguments.checked(field, 1, address, out)
    if field.dtype is not torch.float64:
        raise TypeError(f"field must be torch.float64, got {field.dtype}.")
    return _drawing(field.is_cpu).draw_counts(field, trials, address, out)


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
    if _on_units((left,), right, add_to):
        from harmonium.kernels.matrix import products

        return products.product(left, right, bias, transposed=transposed, add_to=add_to)
    if transposed and len(left) > ROWS:
        out = right.new_zeros(left.shape[1], right.shape[1], dtype=torch.float64)
        for rows, others in zip(left.split(ROWS), right.split(ROWS), strict=True):
            out += rows.T @ others
        out = (out if bias is None else out + bias).to(right.dtype)
        return out if add_to is None else add_to.add_(out)
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
