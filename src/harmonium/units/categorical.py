"""Units with one of q states, one-hot (Potts)."""
# ruff: noqa: D102

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from harmonium import checks, kernels
from harmonium.random import Address
from harmonium.units.base import Units


class Categorical(Units):
    """`n` sites with q = `states` values each, one-hot: q columns per site, which hold a single 1.

    U = 0: Γ(I) = log Σ_c exp(I_c), Γ' = softmax(I); `variance` is the diagonal p(1-p) of the covariance. The
    compact form (`encode`, `decode`) is the integer 0 … q-1 of each site, (batch, n).

    >>> units = Categorical(2, states=3)
    >>> units.encode(torch.tensor([[2, 0]]))
    tensor([[0., 0., 1., 1., 0., 0.]])
    """

    least = 0.0
    one_hot = True

    def __init__(self, n: int, states: int) -> None:
        self.cardinality: int = checks.integer("states", states, low=2)
        self.n = checks.positive_integer("n", n)
        super().__init__(n)

    @property
    def width(self) -> int:
        return self.n * self.cardinality

    def _sites(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.n, self.cardinality))

    def potential(self, x: Tensor) -> Tensor:
        return x.new_zeros(*x.shape[:-1], self.n)

    def cumulant(self, field: Tensor) -> Tensor:
        return torch.logsumexp(self._sites(field), -1)

    def mean(self, field: Tensor) -> Tensor:
        return torch.softmax(self._sites(field), -1).flatten(-2)

    def variance(self, field: Tensor) -> Tensor:
        sites = self._sites(field)
        p = torch.softmax(sites, -1)
        # 1 - p summed from the other states, so that it keeps its digits when p is close to 1
        apart = 1.0 - torch.eye(self.cardinality, dtype=field.dtype, device=field.device)
        return (p * (p @ apart)).flatten(-2)

    def mode(self, field: Tensor) -> Tensor:
        return self.encode(self._sites(field).argmax(-1)).to(field)

    def sample(self, field: Tensor, address: Address) -> Tensor:
        return kernels.draw_categorical(field, self.cardinality, address)

    def violation(self, x: Tensor) -> str | None:
        ok = bool(((x == 0) | (x == 1)).all()) and bool((self._sites(x).sum(-1) == 1).all())
        problem = f"every {self.cardinality} columns of a site must hold a single 1 and otherwise 0"
        return None if ok else problem

    def mask_violation(self, held: Tensor) -> str | None:
        sites = self._sites(held)
        whole = bool((sites.all(-1) == sites.any(-1)).all())
        return None if whole else f"the {self.cardinality} columns of a site must be given or free together"

    @property
    def code_width(self) -> int:
        return self.n

    def encode(self, codes: Tensor | np.ndarray) -> Tensor:
        codes = torch.as_tensor(codes)
        if codes.shape[-1:] != (self.n,):
            raise ValueError(f"codes: expected shape (batch, {self.n}), got {tuple(codes.shape)}.")
        numbers, dtype = codes.long(), torch.float32
        good = (numbers >= 0) & (numbers < self.cardinality)
        if codes.is_floating_point():
            good, dtype = good & (codes == numbers), codes.dtype
        if not bool(good.all()):
            wrong = codes[~good][0].item()
            raise ValueError(f"codes: expected integers from 0 to {self.cardinality - 1}, got {wrong:g}.")
        x = torch.zeros(*codes.shape, self.cardinality, dtype=dtype, device=codes.device)
        return x.scatter_(-1, numbers.unsqueeze(-1), 1.0).flatten(-2)

    def decode(self, x: Tensor) -> Tensor:
        return self._sites(x).argmax(-1)

    def site_values(self) -> Tensor:
        return torch.eye(self.cardinality)

    @torch.no_grad()
    def match(self, x: Tensor, weights: Tensor | None = None) -> None:
        _, counts = self._totals(x, weights)
        logits = torch.log(self._sites(counts) + 1.0 / self.cardinality)  # one pseudo-row, shared by all
        self.bias.copy_((logits - logits.mean(-1, keepdim=True)).flatten())  # zero-sum gauge

    def config(self) -> dict[str, Any]:
        return {**super().config(), "states": self.cardinality}
