"""The kernels for GPUs, in Triton: states are drawn where the product of their fields has just been summed.

One program computes a tile of fields, adds the bias, makes the uniforms of the tile by Philox and writes
states; fields never reach memory. The arithmetic is that of ``reference``, operation by operation and without
fused multiply-adds, so equal fields give equal bits. Layers of two states only; ``reference`` draws
categories.

Triton comes with PyTorch's builds for CUDA. This module imports it, so it is imported only where a tensor
lives on a GPU (or under Triton's interpreter, TRITON_INTERPRET=1, which runs it on processors for tests).
"""

# Kernels take the types that Triton infers.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
import torch
import triton
import triton.language as tl
from torch import Tensor

from harmonium.kernels import Side, reference
from harmonium.random import Address

LOW = {"bernoulli": 0.0, "spin": -1.0}  # the lower of the two states; the upper one is 1
ROWS, COLUMNS, DEPTH = 64, 64, 32  # of a tile, and of a step of its product

MULTIPLIER0, MULTIPLIER1 = (tl.constexpr(m) for m in reference.MULTIPLIERS)
WEYL0, WEYL1 = (tl.constexpr(w) for w in reference.WEYL)
ROUNDS = tl.constexpr(reference.ROUNDS)
LIMIT, ROUND, LOG2E, LN2_HIGH, LN2_LOW = (tl.constexpr(float(c)) for c in reference.SINGLE[2:7])
C7, C6, C5, C4, C3, C2 = (tl.constexpr(c) for c in reference.SINGLE.coefficients)


@triton.jit
def _philox(c0, c1, c2, c3, k0, k1):
    for _ in tl.static_range(ROUNDS):
        a, b = c0, c2
        c0 = tl.umulhi(b, tl.full(b.shape, MULTIPLIER1, tl.uint32)) ^ c1 ^ k0
        c2 = tl.umulhi(a, tl.full(a.shape, MULTIPLIER0, tl.uint32)) ^ c3 ^ k1
        c1 = b * tl.full(b.shape, MULTIPLIER1, tl.uint32)
        c3 = a * tl.full(a.shape, MULTIPLIER0, tl.uint32)
        k0 = k0 + tl.full(k0.shape, WEYL0, tl.uint32)
        k1 = k1 + tl.full(k1.shape, WEYL1, tl.uint32)
    return c0, c1, c2, c3


@triton.jit
def _uniforms(chain, block, words, ROWS: tl.constexpr, BLOCKS: tl.constexpr):
    """Uniforms of chains (ROWS,) and blocks of four units (BLOCKS,), (ROWS, 4 BLOCKS)."""
    zero = tl.zeros((ROWS, BLOCKS), tl.uint32)
    c0, c1 = zero + block[None, :].to(tl.uint32), zero + chain[:, None].to(tl.uint32)
    k0, k1, c2, c3 = words
    c2, c3 = zero + tl.cast(c2, tl.uint32), zero + tl.cast(c3, tl.uint32)
    k0, k1 = zero + tl.cast(k0, tl.uint32), zero + tl.cast(k1, tl.uint32)
    w0, w1, w2, w3 = _philox(c0, c1, c2, c3, k0, k1)
    word = tl.interleave(tl.interleave(w0, w2), tl.interleave(w1, w3))  # units 4q to 4q + 3 side by side
    return ((word >> 9).to(tl.int32).to(tl.float32) + 0.5) * 1.1920928955078125e-07  # 2^-23


@triton.jit
def _exp(x):
    x = tl.where(x < -LIMIT, -LIMIT, x)  # NaN stays
    x = tl.where(x > LIMIT, LIMIT, x)
    shifted = x * LOG2E + ROUND
    k = shifted - ROUND
    f = (x - k * LN2_HIGH) - k * LN2_LOW
    p = ((((C7 * f + C6) * f + C5) * f + C4) * f + C3) * f + C2
    p = (p * f * f + f) + 1.0
    return p * (shifted.to(tl.int32, bitcast=True) << 23).to(tl.float32, bitcast=True)


@triton.jit(do_not_specialize=["first_block", "k0", "k1", "c2", "c3"])
def _layer(  # noqa: PLR0913  # a kernel's arguments are all it knows
    x, weight, bias, base, beta, chains, out,
    rows, depth, columns, x_stride, weight_row, weight_column, out_stride,
    first_block, k0, k1, c2, c3,
    LOW: tl.constexpr, PATH: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """A tile of states of a layer, drawn in the field base + beta (bias + x weight)."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    sums = tl.zeros((ROWS, COLUMNS), tl.float32)
    for start in range(0, depth, DEPTH):
        k = start + tl.arange(0, DEPTH)
        here = (row[:, None] < rows) & (k[None, :] < depth)
        left = tl.load(x + row[:, None] * x_stride + k[None, :], mask=here, other=0.0)
        here = (k[:, None] < depth) & (column[None, :] < columns)
        place = weight + k[:, None] * weight_row + column[None, :] * weight_column
        sums += tl.dot(left, tl.load(place, mask=here, other=0.0), input_precision="ieee")
    field = tl.load(bias + column, mask=column < columns, other=0.0)[None, :] + sums
    if PATH:
        ground = tl.load(base + column, mask=column < columns, other=0.0)
        slope = tl.load(beta + row, mask=row < rows, other=1.0)
        field = ground[None, :] + slope[:, None] * field
    chain = tl.load(chains + row, mask=row < rows, other=0)
    block = first_block + tl.program_id(1) * (COLUMNS // 4) + tl.arange(0, COLUMNS // 4)
    u = _uniforms(chain, block, (k0, k1, c2, c3), ROWS, COLUMNS // 4)
    product = u * (_exp(field * (LOW - 1.0)) + 1.0)
    state = tl.where(product < 1.0, 1.0, tl.where(product >= 1.0, LOW, product))  # NaN stays
    here = (row[:, None] < rows) & (column[None, :] < columns)
    tl.store(out + row[:, None] * out_stride + column[None, :], state, mask=here)


def suits(sides: tuple[Side, Side]) -> bool:
    """Whether both layers are of a kind that the kernel draws."""
    return all(side.kind in LOW for side in sides)


def gibbs(
    weight: Tensor,
    sides: tuple[Side, Side],
    visible: Tensor,
    addresses: tuple[Address, Address],
    sweeps: int,
    beta: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """As ``kernels.gibbs``."""
    rows = len(visible)
    for address in addresses:
        address.check(rows, 0, sweeps)
    states = [visible.new_empty(rows, width) for width in weight.shape]
    chains = [torch.from_numpy(a.chains(rows).astype(np.int64)).to(weight.device) for a in addresses]
    slope = weight.new_ones(rows) if beta is None else beta.expand(rows, 1).flatten().contiguous()
    for sweep in range(sweeps):
        for k in (1, 0):
            source = states[1 - k] if sweep or k == 0 else visible
            here = addresses[k].at(step=addresses[k].step + sweep)
            _draw_layer(source, weight if k else weight.T, sides[k], slope, (here, chains[k]), states[k])
    return states[0], states[1]


def _draw_layer(
    x: Tensor, weight: Tensor, side: Side, beta: Tensor, address: tuple[Address, Tensor], out: Tensor
) -> None:
    here, chains = address
    depth, columns = weight.shape
    if not out.numel():
        return
    path = side.base is not None
    _layer[triton.cdiv(len(x), ROWS), triton.cdiv(columns, COLUMNS)](
        *(x, weight, side.bias, side.base if path else side.bias, beta, chains, out),
        *(len(x), depth, columns, x.stride(0), weight.stride(0), weight.stride(1), out.stride(0)),
        *(here.unit // 4, *here.key, *here.high_words),
        *(LOW[side.kind], path, ROWS, COLUMNS, DEPTH),
        enable_fp_fusion=False,  # each operation rounds once, as in `reference`
    )
