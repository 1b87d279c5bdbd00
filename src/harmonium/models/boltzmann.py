"""The Boltzmann machine: visible and hidden units, each coupled to all others."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from harmonium import checks, kernels
from harmonium.couplings.base import StepSize, no_step, shrink
from harmonium.models.cliques import symmetric
from harmonium.models.lateral import LateralMachine, off_diagonal
from harmonium.models.rbm import RBM
from harmonium.models.space import Discrete
from harmonium.random import Address, Purpose
from harmonium.units import Bernoulli, Spin

UNITS: dict[str, type[Bernoulli | Spin]] = {"bernoulli": Bernoulli, "spin": Spin}
LATERAL = {"all": (True, True), "visible": (True, False), "hidden": (False, True), "none": (False, False)}


class BoltzmannMachine(LateralMachine):
    """E(v, h) = -a·v - b·h - vᵀW h - ½ vᵀL v - ½ hᵀM h: lateral couplings among the visible and the hidden
    units.

    Given all the others, a unit depends on its local field alone: P(h_l = 1 | rest) = σ(b_l + W_l·v + M_l·h)
    for 0/1 units. Without lateral couplings this is the RBM; without hidden units it is the fully visible
    machine (Ackley, Hinton & Sejnowski 1985).

    The free energy sums h out: in closed form without lateral couplings among hidden units (then only the
    visible ones are tied: a semi-restricted machine, Osindero & Hinton 2008), state by state with up to 16
    hidden units. Beyond that the positive phase of learning takes states of h given v, by `positive_phase`:

    - "gibbs": clamped Gibbs sampling, noisy, and biased only as far as its short chains are;
    - "mean_field": h is replaced by the solution of μ = σ(b + Wᵀv + Mμ). No noise, but a bias that doesn't
      vanish: learning then follows a lower bound of the likelihood, whose gap is the divergence of Π μ from
      P(h | v) (`mean_field_free_energy`), and favours machines whose hidden units look independent given the
      data.

    Args:
        n_visible: number of visible units.
        n_hidden: number of hidden units, 0 for none.
        units: "bernoulli" (0/1) or "spin" (±1).
        lateral: which lateral couplings exist: "all", "visible", "hidden" or "none".
        sparse: strength λ of the lasso λ Σ |W| + λ Σ_{i<j} |Lᵢⱼ| + …: each step of training is followed by
            its proximal step, which makes most couplings exactly zero. What is left is the graph.
        positive_phase: "gibbs" or "mean_field", used where h can't be summed out.
        dtype: float32 (default) or float64.
        device: where the parameters live; chains always run on the processor.
        seed: of the initial weights; lateral couplings start at zero.

    Attributes:
        weight: W, (n_visible, n_hidden).
        visible_lateral, hidden_lateral: square parameters whose symmetric part off the diagonal is L and M,
            or None where there are none.
        visible, hidden: the units, with their biases; `hidden` is None without hidden units.

    >>> import harmonium as hm
    >>> machine = hm.BoltzmannMachine(4, 2)
    >>> hm.sample(machine, 3).shape, machine.free_energy(torch.zeros(1, 4)).shape
    (torch.Size([3, 4]), torch.Size([1]))
    """

    def __init__(  # noqa: PLR0913  # the shape of the machine and where it lives
        self,
        n_visible: int,
        n_hidden: int = 0,
        *,
        units: str = "bernoulli",
        lateral: str = "all",
        sparse: float = 0.0,
        positive_phase: str = "gibbs",
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.n_visible = n_visible = checks.positive_integer("n_visible", n_visible)
        self.n_hidden = n_hidden = checks.integer("n_hidden", n_hidden, low=0)
        kind = UNITS[checks.one_of("units", units, UNITS)]
        among_visible, among_hidden = LATERAL[checks.one_of("lateral", lateral, LATERAL)]
        self.positive_phase = checks.one_of("positive_phase", positive_phase, ["gibbs", "mean_field"])
        self._spins = kind is Spin
        self._kind, self._lateral, self.sparse = units, lateral, checks.number("sparse", sparse, 0.0)
        self.visible = kind(n_visible)
        self.hidden = kind(n_hidden) if n_hidden else None
        self.hidden_space = Discrete([2] * n_hidden) if n_hidden else None
        scale = 0.1 / (n_visible + n_hidden) ** 0.5
        with checks.room("n_visible", (n_visible + n_hidden) ** 2):
            u = kernels.uniform(Address(seed, Purpose.WEIGHTS), (n_visible, n_hidden), torch.float64)
            self.weight = nn.Parameter(scale * torch.special.ndtri(u))
            self.visible_lateral = _square(n_visible) if among_visible else None
            self.hidden_lateral = _square(n_hidden) if among_hidden and n_hidden else None
        self.to(device=checks.device("device", device), dtype=dtype)

    # -- exact zeros ---------------------------------------------------------------------------------------

    @torch.no_grad()
    def settle(self, step: StepSize = no_step) -> None:
        for parameter in self._couplings() if self.sparse else ():
            share = self.sparse if parameter is self.weight else 0.5 * self.sparse  # half an edge each
            shrink(parameter, (), share * torch.as_tensor(step(parameter)).to(parameter))

    @torch.no_grad()
    def with_learned_zeros(self) -> list[Tensor]:
        return self._couplings() if self.sparse else []

    def _couplings(self) -> list[Tensor]:
        found = (self.weight, self.visible_lateral, self.hidden_lateral)
        return [p for p in found if p is not None and p.numel()]

    # -- the same machine in other forms ---------------------------------------------------------------------

    @classmethod
    @torch.no_grad()
    def from_couplings(
        cls, couplings: Tensor | np.ndarray, bias: Tensor | np.ndarray, n_visible: int, **options: Any
    ) -> BoltzmannMachine:
        """The machine with E(x) = -bias·x - ½ xᵀJ x; the first `n_visible` of the units are visible.

        Args:
            couplings: J, (n, n), symmetric but for rounding, with zero diagonal; a tensor or an array, like
                `bias`. Each pair counts once: J_ij = J_ji is its coupling.
            bias: (n,).
            n_visible: how many units are visible.
            options: `units`, `lateral`, `positive_phase`, `dtype`, `device` of the machine.

        Raises:
            ValueError: J is not symmetric within 1e-8 of its largest entry (1e-5 in float32), has a diagonal,
                or has couplings where `lateral` allows none.
        """
        given = torch.as_tensor(bias)
        if given.ndim != 1 or len(given) == 0:
            raise ValueError(f"bias: expected one number per unit, got shape {tuple(given.shape)}.")
        joint = symmetric("couplings", couplings, len(given))
        n = checks.integer("n_visible", n_visible, low=1, high=len(given))
        dtype = torch.as_tensor(couplings).dtype
        options = {"dtype": dtype if dtype in (torch.float32, torch.float64) else torch.float64, **options}
        machine = cls(n, len(given) - n, **options)
        machine.weight.copy_(joint[:n, n:])
        machine.visible.bias.copy_(given[:n])
        if machine.hidden is not None:
            machine.hidden.bias.copy_(given[n:])
        sides = {"visible": (machine.visible_lateral, joint[:n, :n])}
        sides["hidden"] = (machine.hidden_lateral, joint[n:, n:])
        for name, (lateral, values) in sides.items():
            if lateral is not None:
                lateral.copy_(values)
            elif bool(values.any()):
                raise ValueError(
                    f"couplings: expected none among the {name} units, as lateral={machine._lateral!r} says, "
                    "got others."
                )
        return machine

    @classmethod
    @torch.no_grad()
    def from_rbm(cls, rbm: RBM, **options: Any) -> BoltzmannMachine:
        """The machine that equals `rbm`, with lateral couplings of zero.

        Raises:
            ValueError: the RBM has other units than Bernoulli on both sides, or Spin on both.
        """
        kinds = {type(rbm.visible), type(rbm.hidden)}
        names = [name for name, kind in UNITS.items() if kinds == {kind}]
        if not names:
            found = " and ".join(sorted(kind.__name__ for kind in kinds))
            raise ValueError(f"rbm: expected Bernoulli units on both sides, or Spin on both, got {found}.")
        place = {"units": names[0], "dtype": rbm.dtype, "device": rbm.device}
        machine = cls(rbm.visible.n, rbm.hidden.n, **{**place, **options})
        machine._copy(rbm.weight, rbm.visible.bias, rbm.hidden.bias)
        machine.columns = rbm.columns
        return machine

    @torch.no_grad()
    def to_rbm(self) -> RBM:
        """The RBM that equals this machine.

        Raises:
            ValueError: there are no hidden units, or lateral couplings that are not zero.
        """
        if self.hidden is None:
            raise ValueError("to_rbm: expected a machine with hidden units, got none.")
        for name in ("visible_lateral", "hidden_lateral"):
            lateral = getattr(self, name)
            if lateral is not None and bool(off_diagonal(lateral).any()):
                raise ValueError(f"to_rbm: expected lateral couplings of zero, got others in {name}.")
        kind = type(self.visible)
        rbm = RBM(kind(self.visible.n), kind(self.hidden.n), dtype=self.dtype, device=self.device)
        rbm.weight.copy_(self.weight)
        rbm.visible.bias.copy_(self.visible.bias)
        rbm.hidden.bias.copy_(self.hidden.bias)
        rbm.columns = self.columns
        return rbm

    def _copy(self, weight: Tensor, visible_bias: Tensor, hidden_bias: Tensor) -> None:
        assert self.hidden is not None
        self.weight.copy_(weight)
        self.visible.bias.copy_(visible_bias)
        self.hidden.bias.copy_(hidden_bias)

    def config(self) -> dict[str, Any]:
        return {
            "type": "BoltzmannMachine",
            "n_visible": self.n_visible,
            "n_hidden": self.n_hidden,
            "units": self._kind,
            "lateral": self._lateral,
            "positive_phase": self.positive_phase,
            **({"sparse": self.sparse} if self.sparse else {}),
        }

    def extra_repr(self) -> str:
        return f"{self.n_visible} + {self.n_hidden}, lateral: {self._lateral}, {self.dtype}"


def _square(n: int) -> nn.Parameter:
    return nn.Parameter(torch.zeros(n, n))
