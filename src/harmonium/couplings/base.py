"""A coupling is an operator: the map from the states of one block to fields on another."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from harmonium import kernels
from harmonium.kernels import Side
from harmonium.numerics import without_gradients
from harmonium.random import Address, Purpose

Weighted = tuple[Tensor, Tensor]  # states (n, width) and their weights (n,)
StepSize = Callable[[Tensor], Tensor | float]  # the step size of each number of a parameter


def no_step(parameter: Tensor) -> float:
    """The `StepSize` of parameters that stay where they are."""
    return 0.0


class Operator(ABC):
    """W of the energy term -xᵀ W y, (rows, columns), as a function of tensors θ that are learned.

    Models, samplers and learning know only what is written here: products, statistics of the gradient, and
    how W changes with θ.
    """

    natural = False
    """Whether the Kronecker-factored natural gradient takes it: θ are entries of W."""
    by_row = False
    """Whether it says `each`, by which few numbers have a natural gradient as a whole."""
    full = False
    """Whether every entry of W is a parameter of its own."""
    shape: tuple[int, int]
    places = 1
    """How many entries of W share one of θ."""

    @abstractmethod
    def tensors(self) -> tuple[Tensor, ...]:
        """θ, as they are learned."""

    @abstractmethod
    def product(self, x: Tensor, add: Tensor | None = None) -> Tensor:
        """x W + add: fields on the columns, (batch, columns), from states (batch, rows)."""

    @abstractmethod
    def transposed(self, y: Tensor, add: Tensor | None = None) -> Tensor:
        """y Wᵀ + add: fields on the rows, (batch, rows), from states (batch, columns)."""

    @abstractmethod
    def statistics(self, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        """Σₙ ∂(xₙᵀ W yₙ)/∂θ over paired states (one side may be weighted), shaped like `tensors()`."""

    def each(self, x: Tensor, y: Tensor) -> Tensor:
        """∂(xₙᵀ W yₙ)/∂θ of each row, flat, (batch, numbers in θ); only where `by_row`."""
        raise NotImplementedError

    @abstractmethod
    def along(self, direction: Sequence[Tensor]) -> Operator:
        """dW, the change of W in a direction of θ, as an operator."""

    @abstractmethod
    def dense(self) -> Tensor:
        """W as a matrix, (rows, columns), whatever that costs."""

    def matrix(self) -> Tensor | None:
        """W as a matrix where products with it are the way to multiply, else None."""
        return self.dense()

    @abstractmethod
    def pull(self, gradient: Tensor) -> tuple[Tensor, ...]:
        """∂/∂θ from ∂/∂W, (rows, columns)."""

    def rows(self, rows: slice) -> Tensor:
        """Some rows of W as a matrix."""
        first = self.tensors()[0]
        return self.product(torch.eye(self.shape[0], dtype=first.dtype, device=first.device)[rows])

    def pairing(self, x: Tensor, y: Tensor) -> Tensor:
        """xₙᵀ W yₙ of paired rows, (batch,)."""
        return (self.product(x) * y).sum(-1)

    @without_gradients
    def quick_product(self, x: Tensor, add: Tensor) -> Tensor:
        """`product` to the accuracy of `kernels.product`, without gradients."""
        matrix = self.matrix()
        return self.product(x, add) if matrix is None else kernels.product(x, matrix.detach(), add.detach())

    @without_gradients
    def accumulate(self, x: Tensor, y: Tensor) -> None:
        """Add `statistics` to the gradients of those θ that are learned."""
        self.add_gradients(self.statistics(x, y))

    @without_gradients
    def accumulate_phases(self, hidden: Side, data: Weighted, negatives: Weighted) -> Tensor | None:
        """Add both phases by `kernels.two_phases`; its sums, or None where it won't do."""
        matrix = self.matrix()
        done = None if matrix is None else kernels.two_phases(matrix, hidden, data, negatives)
        if done is None:
            return None
        self.add_gradients(self.pull(done[0]))
        return done[1]

    def add_gradients(self, gradients: Sequence[Tensor]) -> None:
        """Add to the gradients of those θ that are learned."""
        for tensor, g in zip(self.tensors(), gradients, strict=True):
            if tensor.requires_grad:
                tensor.grad = g if tensor.grad is None else tensor.grad.add_(g)

    @without_gradients
    def centred(self, biases: tuple[Tensor, Tensor], offsets: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """∇θ - S(a, λ) - S(μ, b), as of `centre`, like `tensors()`."""
        (a, b), (mu, lam) = biases, offsets
        away = zip(self.statistics(a[None], lam[None]), self.statistics(mu[None], b[None]), strict=True)
        found = []
        for tensor, (left, right) in zip(self.tensors(), away, strict=True):
            assert tensor.grad is not None  # as the caller has checked
            found.append(tensor.grad - left - right)
        return tuple(found)

    @without_gradients
    def centre(
        self, biases: tuple[Tensor, Tensor], offsets: tuple[Tensor, Tensor], shifted: tuple[Tensor, Tensor]
    ) -> None:
        """Take the gradients in coordinates centred at offsets μ (rows) and λ (columns), in place.

        ∇'θ = [∇θ - S(a, λ) - S(μ, b)] / places with the gradients a and b of the biases and S of
        `statistics`: where W shares its entries, the mean over the places is as large as the gradient of a
        coupling by itself, and takes steps of the same size. Then a' ← a' - dW λ and b' ← b' - dWᵀ μ with
        dW `along` ∇'θ.
        """
        mu, lam = offsets
        gradients = [g.div_(self.places) for g in self.centred(biases, offsets)]
        for tensor, g in zip(self.tensors(), gradients, strict=True):
            tensor.grad = g
        change = self.along(gradients)
        shifted[0].sub_(change.transposed(lam[None])[0])
        shifted[1].sub_(change.product(mu[None])[0])

    def nearest(self, matrix: Tensor) -> Tensor | None:
        """What `take` would make of a matrix; None where W can't follow one."""
        return None

    def take(self, matrix: Tensor) -> None:
        """Become the nearest W to a matrix.

        Raises:
            TypeError: it can't follow one.
        """
        raise TypeError(f"couplings: {type(self).__name__} can't be set to a matrix.")

    def squared_norm(self) -> Tensor:
        """Σ θ², what weight decay halves."""
        return torch.stack([t.square().sum(dtype=torch.float64) for t in self.tensors()]).sum()

    def by_unit(self) -> tuple[Tensor, Tensor | None] | None:
        """θ and its gradient as matrices with a column for each unit of the second block (or each filter),
        sharing memory; None where there is none.
        """
        return None

    @torch.no_grad()
    def scale_rows(self, rows: slice, factor: Tensor) -> bool:
        """Multiply some rows of W by numbers, (rows,), in place; False, and nothing done, where it can't."""
        return False

    def settle(self, step: StepSize = no_step) -> None:  # noqa: B027  # most have nothing to do
        """What follows each step of training, of these sizes: exact zeros, ties, proximal steps."""

    def with_learned_zeros(self) -> list[Tensor]:
        """Those of the parameters in which training makes zeros that are exact, if any."""
        return []

    def config(self) -> dict[str, Any]:
        """What the constructor needs (numbers and strings only)."""
        raise TypeError(f"{type(self).__name__} can't be saved: it doesn't define config().")


class Kind(Operator, nn.Module):
    """An operator with parameters of its own, as `hm.RBM(…, couplings=…)` takes it.

    It may be made before the widths of the blocks are known; `begin` then makes its parameters. A kind says
    what it is `at` given θ, and the products are those of that.
    """

    def __init__(self) -> None:
        nn.Module.__init__(self)

    @abstractmethod
    def begin(self, rows: int, columns: int, seed: int) -> None:
        """Make small random parameters for blocks of these widths.

        Raises:
            ValueError: it is of another shape.
        """

    @abstractmethod
    def at(self, tensors: Sequence[Tensor]) -> Operator:
        """The operator of given θ, by itself."""

    def tensors(self) -> tuple[Tensor, ...]:
        return tuple(self.parameters())

    def begun(self) -> bool:
        """Whether it belongs to a model already."""
        return any(True for _ in self.parameters())

    def along(self, direction: Sequence[Tensor]) -> Operator:
        return self.at(direction)  # for W that is linear in θ

    def product(self, x: Tensor, add: Tensor | None = None) -> Tensor:
        return self.at(self.tensors()).product(x, add)

    def transposed(self, y: Tensor, add: Tensor | None = None) -> Tensor:
        return self.at(self.tensors()).transposed(y, add)

    def statistics(self, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        return self.at(self.tensors()).statistics(x, y)

    def each(self, x: Tensor, y: Tensor) -> Tensor:
        return self.at(self.tensors()).each(x, y)

    def dense(self) -> Tensor:
        return self.at(self.tensors()).dense()

    def pull(self, gradient: Tensor) -> tuple[Tensor, ...]:
        return self.at(self.tensors()).pull(gradient)

    def check_shape(self, rows: int, columns: int) -> None:
        """Raise a ValueError unless it is of this shape."""
        if self.shape != (rows, columns):
            raise ValueError(
                f"couplings: expected a {type(self).__name__} of shape ({rows}, {columns}) for these units,"
                f" got {self.shape}."
            )

    def extra_repr(self) -> str:
        """What stands between the brackets when it is printed."""
        return " × ".join(map(str, self.shape)) if hasattr(self, "shape") else ""


def shrink(weight: Tensor, groups: Sequence[int], amount: Tensor) -> None:
    """The proximal step of the group lasso in place: groups get shorter, and 0 where they are too short.

    With z a group and c its amounts, the minimum of Σ (wᵢ - zᵢ)² / (2 cᵢ) + ‖w‖ is wᵢ = zᵢ n / (n + cᵢ),
    where the length n of w solves Σ zᵢ² / (n + cᵢ)² = 1; it is 0 where ‖z / c‖ ≤ 1. Newton's iteration for
    1/‖z / (n + c)‖ (Moré & Sorensen 1983) is over after one step where all cᵢ are equal.

    Args:
        weight: the groups.
        groups: dimensions of `weight` that run inside of a group; none for numbers by themselves.
        amount: step size times strength, like `weight` or to be expanded.
    """
    if not groups:
        weight.mul_((1.0 - amount / weight.abs().clamp(min=1e-30)).clamp(min=0.0))
        return
    if not bool((amount > 0).any()):
        return

    def total(x: Tensor) -> Tensor:
        return x.sum(list(groups), keepdim=True)

    amount = amount.clamp(min=1e-12)
    longer = total((weight / amount).square()) > 1.0
    length = torch.zeros_like(longer, dtype=weight.dtype)
    for _ in range(8):
        inside = (weight / (length + amount)).square()
        norm, curved = total(inside), total(inside / (length + amount)).clamp(min=1e-30)
        length = torch.where(longer, length + norm / curved * (norm.sqrt() - 1.0), 0.0)
    weight.mul_(length / (length + amount))


class Coupling(NamedTuple):
    """The energy term -xᵢᵀ W xⱼ between blocks i and j."""

    operator: Operator
    i: int
    j: int

    @property
    def weight(self) -> Tensor:
        """W as a matrix, (width of i, width of j); the parameter itself for a dense coupling."""
        return self.operator.dense()


def initial(rows: int, columns: int, seed: int, scale: float) -> Tensor:
    """Normal numbers of a standard deviation, (rows, columns), float64, at addresses of their own."""
    u = kernels.uniform(Address(seed, Purpose.WEIGHTS), (rows, columns), torch.float64, torch.device("cpu"))
    return scale * torch.special.ndtri(u)


def small(rows: int, columns: int) -> float:
    """Standard deviation of fresh couplings: training starts near independence with symmetry broken."""
    return 0.1 / (rows + columns) ** 0.5
