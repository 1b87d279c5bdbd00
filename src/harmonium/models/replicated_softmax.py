"""The replicated softmax machine: documents as counts of words."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from harmonium import checks, kernels
from harmonium.models.objective import Objective
from harmonium.models.rbm import RBM
from harmonium.random import Address
from harmonium.units import Units

MOST = 2**20  # words of a document
AT_ONCE = 2**22  # of them that are drawn together


class ReplicatedSoftmax(RBM):
    """P(counts | D) of documents of D words: an RBM whose visible units are the D words, all with the same
    couplings and each one of K (Salakhutdinov & Hinton 2009).

    With v_k the count of word k, Σ_k v_k = D,

        E(v, h | D) = Σ_k log v_k! - log D! - a·v + U(h) - (c + D b)·h - vᵀ W h,
        P(v | D) = exp(-F(v, D)) / Z(D),     v | h, D ~ Multinomial(D, softmax(a + W h)).

    The hidden biases D b grow with the document, as what its words say does. Theirs is c = 0; c lets what is
    expected of h before any word not depend on D. A row is [v | D], and `rows` makes them: the length is a
    context, always given and never modelled, and b is the row of `weight` below W, c is `hidden.bias`.

    Args:
        words: K, at least 2.
        hidden: the hidden units.
        dtype, device, seed: as of `RBM`.

    >>> import harmonium as hm
    >>> model = ReplicatedSoftmax(3, hm.Bernoulli(2))
    >>> model.rows([[2, 0, 1], [0, 4, 0]])
    tensor([[2., 0., 1., 3.],
            [0., 4., 0., 4.]])
    >>> hm.sample(model, 2, given=model.lengths([5, 9])).sum(1) / 2
    tensor([5., 9.])
    """

    def __init__(
        self,
        words: int,
        hidden: Units,
        *,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        seed: int = 0,
    ) -> None:
        super().__init__(Counts(words), hidden, dtype=dtype, device=device, seed=seed)
        self.context = slice(self.visible.width - 1, self.visible.width)

    @property
    def objective(self) -> Objective:
        """log P(counts | D)."""
        return Objective(slice(self.visible.width - 1, self.visible.width))

    def rows(self, counts: Any) -> Tensor:
        """Counts, (documents, K), each beside their sum, (documents, K + 1)."""
        x = torch.as_tensor(counts, dtype=self.dtype, device=self.device)
        checks.matrix("counts", x, self.visible.width - 1)
        return torch.cat([x, x.sum(1, keepdim=True)], 1)

    def lengths(self, lengths: Any) -> Tensor:
        """Rows of which only the length is known, (documents, K + 1), NaN elsewhere: for `hm.sample`."""
        d = torch.as_tensor(lengths, dtype=self.dtype, device=self.device).reshape(-1, 1)
        return torch.cat([d.new_full((len(d), self.visible.width - 1), torch.nan), d], 1)

    def visible_given_hidden(self, h: Any) -> Tensor:
        """Probabilities of a word, softmax(a + W h), beside 1, the length of one, (batch, K + 1)."""
        return super().visible_given_hidden(h)

    def config(self) -> dict[str, Any]:
        """K, and the type and size of the hidden layer."""
        words = self.visible.width - 1
        return {"type": "ReplicatedSoftmax", "words": words, "hidden": self.hidden.config()}


class Counts(Units):
    """One site of K counts beside their sum D, a column that is always given: U = Σ_k log v_k! - log D!, so
    that the counts are those of D independent words, Γ(I) = D log Σ_k exp(I_k), mean D softmax(I).

    What the field on D adds is no part of Γ, as of all that is given. D is 1 where no row tells it (see
    `in_rows`).
    """

    least = 0.0
    total: Tensor | float = 1.0  # D, (rows, 1)

    def __init__(self, words: int) -> None:
        self.words = checks.integer("words", words, low=2)
        with checks.room("words", self.width):  # which else were a number of units
            torch.empty(self.width)
        super().__init__(1)

    @property
    def width(self) -> int:
        """A column for each word, and one for D."""
        return self.words + 1

    @property
    def code_width(self) -> int:
        """The same: there is no other form."""
        return self.width

    @property
    def unit_numbers(self) -> int:
        """A draw for each word of a document."""
        return MOST

    def in_rows(self, x: Tensor) -> Counts:
        """With D of these rows; 1 where that isn't there."""
        found = self.with_tensors()
        found.total = x[:, -1:].nan_to_num(1.0) if x.shape[1] else 1.0
        return found

    def potential(self, x: Tensor) -> Tensor:
        return torch.lgamma(x[..., :-1] + 1.0).sum(-1, keepdim=True) - torch.lgamma(x[..., -1:] + 1.0)

    def cumulant(self, field: Tensor) -> Tensor:
        return self.total * torch.logsumexp(field[..., :-1], -1, keepdim=True)

    def mean(self, field: Tensor) -> Tensor:
        one = torch.ones_like(field[..., -1:])
        return self.total * torch.cat([torch.softmax(field[..., :-1], -1), one], -1)

    def variance(self, field: Tensor) -> Tensor:
        p = torch.softmax(field[..., :-1], -1)
        return self.total * torch.cat([p * (1.0 - p), torch.zeros_like(field[..., -1:])], -1)

    def _totals_of(self, field: Tensor) -> Tensor:
        """D of each row, (rows,), float64."""
        d = torch.as_tensor(self.total, dtype=torch.float64, device=field.device).reshape(-1)
        d = d.expand(max(len(d), len(field)))
        if float(d.max()) > MOST:
            raise ValueError(f"lengths of documents must be at most {MOST}, got {float(d.max()):g}.")
        return d

    def mode(self, field: Tensor) -> Tensor:
        """D p_k rounded down, and what is left over one by one where it is most probable."""
        d = self._totals_of(field)
        p = torch.softmax(field[..., :-1].double(), -1).expand(len(d), -1)
        x = torch.floor(d[:, None] * p)
        for _ in range(int((d - x.sum(1)).max()) if len(d) else 0):
            best = (p / (x + 1.0)).argmax(1, keepdim=True)
            x.scatter_add_(1, best, (d[:, None] - x.sum(1, keepdim=True)).clamp(0.0, 1.0))
        return torch.cat([x, d[:, None]], 1).to(field)

    def sample(self, field: Tensor, address: Address) -> Tensor:
        """Word by word, each from a uniform of its own."""
        d = self._totals_of(field)
        edges = torch.softmax(field[:, :-1].double(), 1).cumsum(1).expand(len(d), -1).contiguous()
        x = torch.zeros_like(edges)
        longest = int(d.max()) if len(d) else 0
        step = max(4, AT_ONCE // max(1, len(d)) // 4 * 4)
        for start in range(0, longest, step):
            here, n = address.at(unit=address.unit + start), min(step, longest - start)
            u = kernels.uniform(here, (len(d), n), torch.float64, field.device)
            word = torch.searchsorted(edges, u * edges[:, -1:]).clamp_(max=self.words - 1)
            there = torch.arange(start, start + n, device=field.device) < d[:, None]
            x.scatter_add_(1, word, there.double())
        return torch.cat([x, d[:, None]], 1).to(field)

    def violation(self, x: Tensor) -> str | None:
        whole = bool((torch.isfinite(x) & (x >= 0) & (x == x.floor())).all())
        if not whole:
            return "counts of words and their sum must be whole numbers, at least 0"
        if bool((x[:, -1] > MOST).any()):
            return f"documents must have at most {MOST} words"
        same = bool((x[:, :-1].sum(1) == x[:, -1]).all())
        return None if same else "the last column must be the sum of the counts, as model.rows makes it"

    def mask_violation(self, held: Tensor) -> str | None:
        counts = held[..., :-1]
        whole = bool((counts.all(-1) == counts.any(-1)).all())
        return None if whole else "all counts of a document must be given, or none of them"

    @torch.no_grad()
    def match(self, x: Tensor, weights: Tensor | None = None) -> None:
        _, counts = self._totals(x, weights)
        logits = torch.log(counts[:-1] + 1.0 / self.words)  # one pseudo-word, shared by all
        self.bias.copy_(torch.cat([logits - logits.mean(), logits.new_zeros(1)]))

    def config(self) -> dict[str, Any]:
        return {"type": "Counts", "words": self.words}
