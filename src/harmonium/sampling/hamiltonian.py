"""Chains over continuous variables: Hamiltonian Monte Carlo, MALA, and unadjusted Langevin steps."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from harmonium import checks, kernels
from harmonium.models import EnergyModel
from harmonium.models.space import Continuous
from harmonium.random import Address
from harmonium.sampling.chains import Chains, Clamp, check_kernel
from harmonium.sampling.sites import SiteGibbs

FIRST_STEP = 0.1  # in units of the width of the space, or of 1 where that is infinite
LEAST_GAIN = 0.01  # adaptation never stops entirely, so that chains can follow a model that learns


@dataclass(frozen=True)
class HMC:
    """Hamiltonian Monte Carlo (Duane et al. 1987; Neal 2011): leapfrog trajectories, accepted by Metropolis'
    rule.

    With fresh momenta p ~ N(0, 1), `leapfrogs` steps of

        p ← p - ½ε ∂E/∂x,   x ← x + ε p,   p ← p - ½ε ∂E/∂x

    conserve E + p²/2 up to O(ε²), and the proposal is accepted with probability min(1, exp(-change)).
    Trajectories are reflected at the bounds of the space. Each chain's ε is spread by 10 % against periodic
    orbits.

    Without `step_size`, ε is adapted from call to call towards the acceptance rate `target` (Robbins & Monro
    1951), and carried along in `chains.info`. The gain of the adaptation falls to 1 %, so its bias is far
    below the statistical error; `fixed(chains)` is the kernel with the step size found, which leaves the
    distribution exactly invariant.

    `info` reports `acceptance` and `step_size`. Discrete hidden variables are redrawn before each trajectory.

    Attributes:
        step_size: ε, or None to adapt it.
        leapfrogs: steps of a trajectory.
        target: acceptance rate to adapt to.
        clamp: visible variables to hold fixed, if any.
    """

    step_size: float | None = None
    leapfrogs: int = 10
    target: float = 0.8
    clamp: Clamp | None = None

    def __post_init__(self) -> None:
        if self.step_size is not None:
            checks.positive("step_size", self.step_size)
        check_kernel(self.clamp, leapfrogs=self.leapfrogs)
        checks.number("target", self.target, low=0, high=1, strict=True)

    def fixed(self, chains: Chains) -> HMC:
        """This kernel at the step size that `chains` have come to."""
        return replace(self, step_size=self._step_size(chains, None))

    def _step_size(self, chains: Chains, space: Continuous | None) -> float:
        if self.step_size is not None:
            return self.step_size
        known = chains.info.get("step_size")
        return _first_step(space) if known is None else known

    def __call__(self, model: EnergyModel, chains: Chains) -> Chains:
        space = continuous_space(model)
        chains = _redraw_hidden(model, chains)
        step = self._step_size(chains, space)
        x, hidden = chains.state[0], chains.state[1:]
        noise = Noise.at(chains.address, x)
        free = _free(self.clamp, x)
        momentum = noise.normal * free
        epsilon = step * (0.9 + 0.2 * noise.spread)
        energy, slope = energy_and_slope(model, x, hidden, check=True)
        y, p, force = x, momentum, slope
        for _ in range(self.leapfrogs):
            p = (p - 0.5 * epsilon * force) * free
            y, p = space.fold(y + epsilon * p, p)
            end, force = energy_and_slope(model, y, hidden)
            p = (p - 0.5 * epsilon * force) * free
        log_ratio = energy + 0.5 * (momentum**2).sum(1) - end - 0.5 * (p**2).sum(1)
        # a trajectory that left the numbers is one that is not accepted
        accept = (torch.log(noise.uniform.to(log_ratio)) < log_ratio) & torch.isfinite(end)
        rate = float(torch.exp(log_ratio.clamp(max=0.0)).nan_to_num(0.0).double().mean())
        state = (torch.where(accept[:, None], y, x), *hidden)
        return chains.moved(state, **self._report(chains, step, rate))

    def _report(self, chains: Chains, step: float, rate: float) -> dict[str, float]:
        if self.step_size is not None:
            return {"acceptance": rate, "step_size": step}
        made = chains.info.get("adapted", 0.0)
        gain = max(LEAST_GAIN, (1.0 + made) ** -0.7)
        return {
            "acceptance": rate,
            "step_size": step * math.exp(gain * (rate - self.target)),
            "adapted": made + 1.0,
        }


def MALA(step_size: float | None = None, target: float = 0.574, clamp: Clamp | None = None) -> HMC:
    """The Metropolis-adjusted Langevin algorithm (Roberts & Tweedie 1996): HMC with a single leapfrog step.

    One leapfrog step from p ~ N(0, 1) is x - ½ε² ∂E/∂x + ε p, the Langevin proposal, and Metropolis' rule for
    it is that of HMC. The default target is the optimal acceptance rate in many dimensions.

    >>> MALA(0.1).leapfrogs
    1
    """
    return HMC(step_size, leapfrogs=1, target=target, clamp=clamp)


@dataclass(frozen=True)
class UnadjustedLangevin:
    """x ← x - ½ε² ∂E/∂x + ε ξ with ξ ~ N(0, 1), and no acceptance step: **biased**.

    Its invariant distribution differs from exp(-E)/Z by O(ε²) (for E = x²/2 the variance is 1/(1 - ε²/4)
    instead of 1), and it diverges where ε is too large for the curvature. Cheap where a little bias is
    tolerable; `MALA` has none.

    Attributes:
        step_size: ε.
        clamp: visible variables to hold fixed, if any.
    """

    step_size: float
    clamp: Clamp | None = None

    def __post_init__(self) -> None:
        check_kernel(self.clamp)
        checks.positive("step_size", self.step_size)

    def __call__(self, model: EnergyModel, chains: Chains) -> Chains:
        space = continuous_space(model)
        chains = _redraw_hidden(model, chains)
        x, hidden = chains.state[0], chains.state[1:]
        _, slope = energy_and_slope(model, x, hidden, check=True)
        noise = Noise.at(chains.address, x)
        free = _free(self.clamp, x)
        move = (self.step_size * noise.normal - 0.5 * self.step_size**2 * slope) * free
        y, _ = space.fold(x + move, move)
        if not bool(torch.isfinite(y).all()):
            raise ValueError(
                f"step_size: unadjusted Langevin steps of {self.step_size:g} diverged; take smaller ones."
            )
        return chains.moved((y, *hidden), step_size=self.step_size)


@dataclass(frozen=True)
class Noise:
    """The random numbers of one step of each chain."""

    normal: Tensor  # (chains, width)
    spread: Tensor  # (chains, 1)
    uniform: Tensor  # (chains,)

    @classmethod
    def at(cls, address: Address, x: Tensor) -> Noise:
        """Two uniforms for acceptance and step size, and one standard normal per variable, for states like
        `x`.
        """
        few = kernels.uniform(address, (len(x), 2), torch.float64, x.device)
        u = kernels.uniform(address.at(unit=address.unit + 4), (len(x), x.shape[1]), torch.float64, x.device)
        return cls(torch.special.ndtri(u).to(x), few[:, :1].to(x), few[:, 1])


def energy_and_slope(
    model: EnergyModel, x: Tensor, hidden: tuple[Tensor, ...], check: bool = False
) -> tuple[Tensor, Tensor]:
    """(E, ∂E/∂x) without a graph; `check` asks for energies that are numbers."""
    x = x.detach().requires_grad_(True)
    with torch.enable_grad():
        energy = model.checked_energy(x, *hidden) if check else model.energy(x, *hidden)
        if not energy.requires_grad:
            raise ValueError(
                f"model: expected an energy differentiable in x, got {type(model).__name__}, whose isn't."
            )
        slope = torch.autograd.grad(energy.sum(), x)[0]
    return energy.detach(), slope


def continuous_space(model: EnergyModel) -> Continuous:
    """The space of the visible variables, and a TypeError unless it is continuous."""
    space = model.visible_space
    if not isinstance(space, Continuous):
        raise TypeError(
            f"model: expected continuous visible variables (bounds=...), got {type(model).__name__}."
        )
    return space


def _redraw_hidden(model: EnergyModel, chains: Chains) -> Chains:
    """The hidden variables given the visible ones, at units beyond those of the trajectory; time stands
    still.
    """
    if model.hidden_space is None:
        return chains
    width = -(-chains.visible.shape[1] // 4) * 4 + 8
    moved = SiteGibbs(hidden_only=True)(model, replace(chains, address=chains.address.at(unit=width)))
    return replace(chains, state=moved.state)


def _free(clamp: Clamp | None, x: Tensor) -> Tensor:
    return torch.ones_like(x) if clamp is None else (~clamp.held).to(x).expand(x.shape)


def _first_step(space: Continuous | None) -> float:
    if space is None:
        return FIRST_STEP
    span = (space.high - space.low).min() if space.width else torch.tensor(1.0)
    return FIRST_STEP * (float(span) if math.isfinite(float(span)) else 1.0)
