"""Steps down the gradient."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from harmonium import checks
from harmonium.numerics import without_gradients


class GradientDescent:
    """θ ← θ - η ∇θ for all parameters at once: the step of `torch.optim.SGD`, with the same bits.

    Making any optimiser of torch imports torch's compiler, which takes longer than the training of a small
    model. This one has nothing to remember and imports nothing.

    Args:
        parameters: what is learned.
        lr: η, the learning rate; `param_groups[0]["lr"]` may be changed between steps, as with torch's own.

    >>> theta = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    >>> theta.grad = torch.tensor([1.0, -1.0])
    >>> GradientDescent([theta], lr=0.5).step()
    >>> theta.tolist()
    [0.5, 2.5]
    """

    def __init__(self, parameters: Iterable[Tensor], lr: float) -> None:
        self.state: dict[Any, Any] = {}  # as torch's own have; it stays empty
        self.param_groups: list[dict[str, Any]] = [
            {"params": list(parameters), "lr": checks.positive("lr", lr)}
        ]

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients."""
        for p in self.param_groups[0]["params"]:
            if set_to_none or p.grad is None:
                p.grad = None
            else:
                p.grad.zero_()

    @without_gradients
    def step(self) -> None:
        """Make the step; parameters without a gradient stay."""
        group = self.param_groups[0]
        moved = [p for p in group["params"] if p.grad is not None]
        if moved:
            torch._foreach_add_(moved, [p.grad for p in moved], alpha=-group["lr"])

    def state_dict(self) -> dict[str, Any]:
        """As an optimiser of torch has it; nothing is to be remembered."""
        return {"state": {}, "param_groups": []}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict`."""


def step_size(optimiser: GradientDescent | torch.optim.Optimizer, parameter: Tensor) -> Tensor | float:
    """The factor of the gradient in the step that was just made, number by number for Adam.

    That is what a proximal step takes in place of η where the optimiser scales coordinates, η / (√v̂ + ε).
    """
    group = next(g for g in optimiser.param_groups if any(p is parameter for p in g["params"]))
    state = optimiser.state.get(parameter, {})
    if "exp_avg_sq" not in state:
        return float(group["lr"])
    seen = 1.0 - group["betas"][1] ** float(state["step"])
    return group["lr"] / ((state["exp_avg_sq"] / seen).sqrt() + group["eps"])
