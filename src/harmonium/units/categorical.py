"""Units with one of q states, one-hot (Potts)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from harmonium import checks, kernels
from harmonium.random import Address
from harmonium.units.base import Units


class Categorical(Units):
    """`n` sites with `states` values each, one-hot: columns q·i … q·i+q-1 belong to site i and hold a single 1.

    U = 0: Γ(I) = log Σ_c exp(I_c), Γ' = softmax(I); `variance` is the diagonal p(1-p) of the covariance. The compact form
    (`encode`, `decode`) is the integer 0 … q-1 of each site, (batch, n).

    >>> units = Categorical(2, states=3)
    >>> units.encode(torch.tensor([[2, 0]]))
    tensor([[0., 0., 1., 1., 0., 0.]])
    """

    def __init__(self, n: int, states: int) -> None:
        self.cardinality: int = checks.positive_integer("states", states)
        if states < 2:
            raise ValueError(f"states: expected at least 2, got {states}.")
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
        others = torch.stack([p[..., [d for d in range(self.cardinality) if d != c]].sum(-1) for c in range(self.cardinality)], -1)
        return (p * others).flatten(-2)

    def mode(self, field: Tensor) -> Tensor:
        return self.encode(self._sites(field).argmax(-1)).to(field)

    def sample(self, field: Tensor, address: Address) -> Tensor:
        return kernels.draw_categorical(field, self.cardinality, address)

    def violation(self, x: Tensor) -> str | None:
        ok = bool(((x == 0) | (x == 1)).all()) and bool((self._sites(x).sum(-1) == 1).all())
        return None if ok else f"every {self.cardinality} columns of a site must hold a single 1 and otherwise 0"

    @property
    def code_width(self) -> int:
        return self.n

    def encode(self, codes: Tensor) -> Tensor:
        whole = codes == codes.floor() if codes.is_floating_point() else torch.ones_like(codes, dtype=torch.bool)
        if not bool((whole & (codes >= 0) & (codes < self.cardinality)).all()):
            raise ValueError(f"codes: expected integers from 0 to {self.cardinality - 1}, got others.")
        dtype = codes.dtype if codes.is_floating_point() else torch.float32
        return torch.nn.functional.one_hot(codes.long(), self.cardinality).to(dtype).flatten(-2)

    def decode(self, x: Tensor) -> Tensor:
        return self._sites(x).argmax(-1)

    def site_values(self) -> Tensor:
        return torch.eye(self.cardinality)

    @torch.no_grad()
    def match(self, x: Tensor, weights: Tensor | None = None) -> None:
        counts = x.to(self.bias).sum(0) if weights is None else weights.to(self.bias) @ x.to(self.bias)
        logits = torch.log(self._sites(counts) + 1.0 / self.cardinality)
        self.bias.copy_((logits - logits.mean(-1, keepdim=True)).flatten())  # zero-sum gauge

    def config(self) -> dict[str, Any]:
        return {**super().config(), "states": self.cardinality}
