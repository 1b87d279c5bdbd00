"""The kernels in plain torch: the definition that every faster back end must match bit for bit.

Runs on any device. A draw is specified as arithmetic (one rounding for each +, - and *, no fused
multiply-add), not as "a sigmoid" or "an exponential", because those differ in the last bit from library to
library. ``docs/kernels.md`` states the arithmetic and its error.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from harmonium.kernels.mixture import Group, Mixture
from harmonium.random import Address

MASK = 0xFFFFFFFF
MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
WEYL = 0x9E3779B9, 0xBB67AE85
ROUNDS = 10


def philox(counter: list[Tensor], key: tuple[int, int]) -> list[Tensor]:
    """Philox4x32-10: four 32-bit words for each counter (Salmon et al. 2011).

    Args:
        counter: four int64 tensors c0, c1, c2, c3 that broadcast, each 0 <= c < 2**32.
        key: two 32-bit integers.

    Returns:
        Four int64 tensors of words, 0 <= w < 2**32.
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(ROUNDS):
        p0, p1 = c0 * MULTIPLIERS[0], c2 * MULTIPLIERS[1]  # modulo 2**64: int64 wraps, the bits are right
        c0, c2 = (p1 >> 32 & MASK) ^ c1 ^ k0, (p0 >> 32 & MASK) ^ c3 ^ k1
        c1, c3 = p1 & MASK, p0 & MASK
        k0, k1 = k0 + WEYL[0] & MASK, k1 + WEYL[1] & MASK
    return list(torch.broadcast_tensors(c0, c1, c2, c3))


def words(address: Address, rows: int, units: int, device: torch.device | str, low: int = 0) -> Tensor:
    """The 32-bit words of a block of addresses, int64 of shape (rows, units)."""
    blocks = torch.arange(-(-units // 4), device=device) + address.unit // 4
    chains = torch.from_numpy(address.chains(rows).astype(np.int64)).to(device)
    c2, c3 = (torch.tensor(word, device=device) for word in address.high_words)
    four = philox([blocks[None, :], chains[:, None], c2, c3 | low << 31], address.key)
    return torch.stack(four, dim=2).reshape(rows, -1)[:, :units]


def uniform(
    address: Address, shape: tuple[int, int], dtype: torch.dtype, device: torch.device | str
) -> Tensor:
    """Uniforms in (0, 1): (23 bits + 1/2) 2**-23 in float32, (52 bits + 1/2) 2**-52 in float64, exactly."""
    high = words(address, *shape, device)
    if dtype == torch.float32:
        return ((high >> 9).to(dtype) + 0.5) * 2.0**-23
    low = words(address, *shape, device, low=1)
    return ((high << 20 | low >> 12).to(dtype) + 0.5) * 2.0**-52


class Exponential(NamedTuple):
    """Constants of exp(x) = 2**n p(f): n = round(x / ln 2), f = x - n ln 2, p the Taylor polynomial."""

    bits: torch.dtype  # integer type of the same width
    mantissa: int  # bits of the significand that are stored
    limit: float  # |x| is clamped to it: 2**n stays a normal number
    round: float  # adding it leaves n + bias in the lowest bits of the significand
    log2e: float
    ln2_high: float  # so few bits that n * ln2_high is exact
    ln2_low: float
    coefficients: tuple[float, ...]  # 1/k! from the highest k down to 2

    @classmethod
    def of(cls, dtype: torch.dtype) -> Exponential:
        """The constants for float32 or float64, each a number of that type."""
        return SINGLE if dtype == torch.float32 else DOUBLE


def _exponential(bits: torch.dtype, degree: int, limit: float, high: str, low: str) -> Exponential:
    kind, mantissa, bias = (np.float32, 23, 127) if bits == torch.int32 else (np.float64, 52, 1023)
    return Exponential(
        bits,
        mantissa,
        limit,
        1.5 * 2.0**mantissa + bias,
        float(kind(math.log2(math.e))),
        float.fromhex(high),
        float(kind(float.fromhex(low))),
        tuple(float(kind(1 / math.factorial(k))) for k in range(degree, 1, -1)),
    )


# ln2_high: ln 2 to 9 (float32) and 33 (float64) bits; ln2_low: the rest
SINGLE = _exponential(torch.int32, 7, 87.0, "0x1.63p-1", "-0x1.bd0105c610ca8p-13")
DOUBLE = _exponential(torch.int64, 13, 708.0, "0x1.62e42fee00000p-1", "0x1.a39ef35793c76p-33")


def exp(x: Tensor) -> Tensor:
    """The exponential of x clamped to +-87 (float32) or +-708 (float64); NaN stays NaN."""
    c = Exponential.of(x.dtype)
    x = x.clamp(-c.limit, c.limit)
    shifted = x * c.log2e + c.round
    n = shifted - c.round
    f = (x - n * c.ln2_high) - n * c.ln2_low
    p = torch.full_like(f, c.coefficients[0])
    for coefficient in c.coefficients[1:]:
        p = p * f + coefficient
    p = (p * f * f + f) + 1.0
    return p * (shifted.view(c.bits) << c.mantissa).view(x.dtype)


def _fires(field: Tensor, scale: float, address: Address) -> tuple[Tensor, Tensor]:
    # u < 1/(1 + e), written without the division; the product is NaN where the field is
    u = uniform(address, (field.shape[0], field.shape[1]), field.dtype, field.device)
    product = u * (exp(field * scale) + 1.0)
    return product < 1.0, product


def draw_bernoulli(field: Tensor, address: Address, out: Tensor) -> Tensor:
    """1 where u (1 + exp(-field)) < 1, else 0; NaN where the field is NaN."""
    fires, product = _fires(field, -1.0, address)
    return out.copy_(torch.where(product.isnan(), product, fires.to(field.dtype)))


def draw_spin(field: Tensor, address: Address, out: Tensor) -> Tensor:
    """+1 where u (1 + exp(-2 field)) < 1, else -1; NaN where the field is NaN."""
    fires, product = _fires(field, -2.0, address)
    return out.copy_(torch.where(product.isnan(), product, fires.to(field.dtype) * 2.0 - 1.0))


def draw_categorical(field: Tensor, states: int, address: Address, out: Tensor) -> Tensor:
    """One-hot of the first state whose cumulative weight exceeds u * total.

    The weights are exp(field - max), summed in the order of the states. A site is NaN if one of its fields is
    NaN or all are -inf; +inf wins (equal shares among several).
    """
    rows, sites = field.shape[0], field.shape[1] // states
    u = uniform(address, (rows, sites), field.dtype, field.device)
    return out.copy_(chosen(field.reshape(rows, sites, states), u).reshape(rows, sites * states))


def chosen(field: Tensor, u: Tensor) -> Tensor:
    """The one-hot states, (rows, sites, states), that the uniforms (rows, sites) choose in these fields."""
    top = field.amax(dim=2, keepdim=True)
    shifted = torch.where(
        field == top, torch.where(top == -math.inf, math.nan, torch.zeros_like(top)), field - top
    )
    weights = exp(shifted)
    total = torch.zeros_like(u)
    for k in range(field.shape[2]):  # not cumsum: its order and precision are its own
        total = total + weights[:, :, k]
    threshold, before = u * total, torch.zeros_like(u)
    one_hot = torch.empty_like(weights)
    for k in range(field.shape[2]):
        after = before + weights[:, :, k]
        one_hot[:, :, k] = ((before <= threshold) & (after > threshold)).to(field.dtype)
        before = after
    return torch.where(total.isnan()[:, :, None], math.nan, one_hot)


CUT = 2.0**-60  # of the mode's weight: beyond it a uniform of 52 bits finds nothing
MOST_VARIANCE = 1024.0  # above which the weights are too many to be summed


def draw_counts(field: Tensor, trials: int, address: Address, out: Tensor) -> Tensor:
    """The smallest k with u Σⱼ wⱼ <= Σ_{j <= k} wⱼ; -1 where the variance exceeds MOST_VARIANCE, NaN for NaN.

    The weights are P(j) / P(mode), by their ratios from the mode outwards until they fall below CUT: with
    θ = exp(field) the ratio P(k + 1) / P(k) is θ / (k + 1), or θ (trials - k) / (k + 1) where there are
    trials.
    """
    u, theta = uniform(address, (field.shape[0], field.shape[1]), field.dtype, field.device), exp(field)
    variance = trials * (theta / (theta + 1.0)) / (theta + 1.0) if trials else theta
    x = torch.where(theta.isnan(), theta, -1.0)
    some = variance <= MOST_VARIANCE
    x[some] = _counted(u[some], theta[some], trials)
    return out.copy_(x)


def _counted(u: Tensor, theta: Tensor, trials: int) -> Tensor:
    """The counts of these uniforms, (draws,)."""
    mode = torch.floor((trials + 1.0) * (theta / (theta + 1.0)) if trials else theta)
    if trials:
        mode = mode.clamp(max=trials)

    def up(k: Tensor) -> Tensor:
        return theta * (trials - k) / (k + 1.0) if trials else theta / (k + 1.0)

    def down(k: Tensor) -> Tensor:
        return k / (theta * (trials - k + 1.0)) if trials else k / theta

    below, weight, k = torch.zeros_like(u), torch.ones_like(u), mode
    while bool((on := (k > 0.0) & (weight > CUT)).any()):
        weight = torch.where(on, weight * down(k), weight)
        below, k = torch.where(on, below + weight, below), torch.where(on, k - 1.0, k)
    total, weight, k = below + 1.0, torch.ones_like(u), mode
    while bool((on := weight > CUT).any()):
        weight = torch.where(on, weight * up(k), weight)
        total, k = torch.where(on, total + weight, total), torch.where(on, k + 1.0, k)
    wanted = u * total
    rises = wanted > below
    reached, weight, k = torch.where(rises, below + 1.0, below), torch.ones_like(u), mode
    while bool((on := rises & (reached < wanted) & (weight > CUT)).any()):
        weight = torch.where(on, weight * up(k), weight)
        reached, k = torch.where(on, reached + weight, reached), torch.where(on, k + 1.0, k)
    while bool((on := ~rises & (k > 0.0) & (reached >= wanted) & (weight > CUT)).any()):
        weight = torch.where(on, weight * down(k), weight)
        reached, k = torch.where(on, reached - weight, reached), torch.where(on, k - 1.0, k)
    return k


def draw_mixture(field: Tensor, mixture: Mixture, address: Address, out: Tensor) -> Tensor:
    """Each group at its own units; "uniform" columns hold uniforms, counts are drawn in float64."""
    for group in mixture.groups:
        columns = group.columns.to(field.device)
        drawn = _draw_group(group, field.index_select(1, columns), address.at(unit=address.unit + group.unit))
        out.index_copy_(1, columns, drawn.to(field.dtype))
    return out


def _draw_group(group: Group, field: Tensor, address: Address) -> Tensor:
    match group.kind:
        case "uniform":
            return uniform(address, (field.shape[0], field.shape[1]), field.dtype, field.device)
        case "bernoulli":
            return draw_bernoulli(field, address, field)
        case "spin":
            return draw_spin(field, address, field)
        case "categorical":
            return draw_categorical(field, group.size, address, field)
    return draw_counts(field.double(), group.size, address, torch.empty_like(field, dtype=torch.float64))
