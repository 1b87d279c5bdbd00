"""The Boltzmann machine: visible and hidden units, each coupled to all others."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from harmonium import checks, kernels
from harmonium.couplings.base import StepSize, no_step, shrink
from harmonium.kernels import graph
from harmonium.models.cliques import symmetric
from harmonium.models.energy import EnergyModel
from harmonium.models.graph import GraphModel
from harmonium.models.rbm import RBM
from harmonium.models.space import Discrete
from harmonium.random import Address, Purpose
from harmonium.units import Bernoulli, Spin, Units

HIDDEN_UNITS = 16  # up to this many, F(v) is a sum over the states of h
PAIRS = 2**22  # (row of v, state of h) pairs per block of work
LARGEST_SUM = 2**25  # pairs in all, up to which log Z is summed when it is asked for
UNITS: dict[str, type[Bernoulli | Spin]] = {"bernoulli": Bernoulli, "spin": Spin}
LATERAL = {"all": (True, True), "visible": (True, False), "hidden": (False, True), "none": (False, False)}


class BoltzmannMachine(GraphModel):
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
    def take_zeros(self, other: EnergyModel) -> None:
        if isinstance(other, BoltzmannMachine) and self.sparse:
            for own, new in zip(self._couplings(), other._couplings(), strict=True):
                own.mul_(new != 0)

    def _couplings(self) -> list[Tensor]:
        found = (self.weight, self.visible_lateral, self.hidden_lateral)
        return [p for p in found if p is not None and p.numel()]

    # -- energies --------------------------------------------------------------------------------------------

    @property
    def visible_space(self) -> Units:
        """The visible units."""
        return self.visible

    @property
    def dtype(self) -> torch.dtype:
        return self.weight.dtype

    def energy(self, *state: Any) -> Tensor:
        """E(v, h) of paired rows, (batch,), nats; `energy(v)` for a machine without hidden units."""
        v = self._states("v", state[0], self.n_visible)
        if len(state) != (1 if self.hidden is None else 2):
            raise ValueError(f"state: expected {1 if self.hidden is None else 2} tensors, got {len(state)}.")
        energy = self.visible.energy(v) - _lateral(v, self.visible_lateral)
        if self.hidden is None:
            return energy
        h = self._states("h", state[1], self.n_hidden)
        return (
            energy
            + self.hidden.energy(h)
            - ((v @ self.weight) * h).sum(-1)
            - _lateral(h, self.hidden_lateral)
        )

    def _states(self, name: str, x: Any, width: int) -> Tensor:
        x = self._visible_rows(x, name) if name == "v" else self._hidden_rows(x, name)
        return checks.matrix(name, x, width).to(self.weight)

    def local_fields(self, *state: Any) -> tuple[Tensor, ...]:
        """The field on every unit given all the others: (batch, n_visible) and, with hidden units, (batch,
        n_hidden).
        """
        v = self._states("v", state[0], self.n_visible)
        on_v = self.visible.bias + _times(v, self.visible_lateral)
        if self.hidden is None:
            return (on_v,)
        h = self._states("h", state[1], self.n_hidden)
        return on_v + h @ self.weight.T, self.hidden.bias + v @ self.weight + _times(h, self.hidden_lateral)

    def conditional_means(self, *state: Any) -> tuple[Tensor, ...]:
        """⟨xᵢ | all other units⟩ for every unit: σ(field) for 0/1 units, tanh(field) for spins; shapes as
        above.
        """
        fields = self.local_fields(*state)
        layers = [self.visible] if self.hidden is None else [self.visible, self.hidden]
        return tuple(layer.mean(field) for layer, field in zip(layers, fields, strict=True))

    # -- the hidden units summed out -------------------------------------------------------------------------

    def has_free_energy(self) -> bool:
        return self.hidden_lateral is None or len(self.hidden_lateral) <= HIDDEN_UNITS

    def free_energy(self, v: Any) -> Tensor:
        """F(v) = -log Σₕ exp(-E(v, h)), (batch,), nats.

        Raises:
            ValueError: more than 16 hidden units with lateral couplings.
        """
        v = self._states("v", v, self.n_visible)
        energy = self.visible.energy(v) - _lateral(v, self.visible_lateral)
        if self.hidden is None:
            return energy
        field = torch.addmm(self.hidden.bias, v, self.weight)
        if self._hidden_are_free():
            return energy - self.hidden.cumulant(field).sum(-1)
        h, own = self._hidden_states()
        parts = [torch.logsumexp(rows @ h.T - own, 1) for rows in field.split(max(1, PAIRS // len(h)))]
        return energy - torch.cat(parts)

    def _hidden_are_free(self) -> bool:
        if self.hidden_lateral is None:
            return True
        return not torch.is_grad_enabled() and not bool(_symmetric(self.hidden_lateral).any())

    def _hidden_states(self) -> tuple[Tensor, Tensor]:
        """All states of h, and their own energies but for the biases."""
        assert self.hidden is not None and self.hidden_lateral is not None
        if not self.has_free_energy():
            raise ValueError(
                f"free_energy: expected at most {HIDDEN_UNITS} hidden units with lateral couplings to sum, "
                f"got {self.hidden.n}; learning uses states of h given v instead, see positive_phase."
            )
        h = self.hidden.states(torch.arange(2**self.hidden.n, device=self.device)).to(self.weight)
        return h, -_lateral(h, self.hidden_lateral)

    def hidden_given_visible(self, v: Any) -> Tensor:
        """⟨h | v⟩, (batch, n_hidden), exactly, where the free energy can be had."""
        if self.hidden is None:
            raise ValueError("hidden_given_visible: expected a machine with hidden units, got none.")
        field = torch.addmm(self.hidden.bias, self._states("v", v, self.n_visible), self.weight)
        if self._hidden_are_free():
            return self.hidden.mean(field)
        h, own = self._hidden_states()
        return torch.softmax(field @ h.T - own, 1) @ h

    def mean_field(self, v: Any, steps: int = 50) -> Tensor:
        """The solution μ of μ = ⟨h⟩ in the field b + Wᵀv + Mμ, (batch, n_hidden), by damped iteration."""
        if self.hidden is None:
            raise ValueError("mean_field: expected a machine with hidden units, got none.")
        field = torch.addmm(self.hidden.bias, self._states("v", v, self.n_visible), self.weight)
        mu = self.hidden.mean(field)
        for _ in range(0 if self.hidden_lateral is None else steps):
            mu = 0.5 * mu + 0.5 * self.hidden.mean(field + _times(mu, self.hidden_lateral))
        return mu

    def mean_field_free_energy(self, v: Any) -> Tensor:
        """⟨E(v, h)⟩ - entropy under independent h with means μ, (batch,), nats: an upper bound of F(v).

        So -mean_field_free_energy(v) - log Z bounds log P(v) from below (Saul, Jaakkola & Jordan 1996).
        """
        mu = self.mean_field(v)
        p = mu if isinstance(self.hidden, Bernoulli) else 0.5 * (1 + mu)
        entropy = torch.special.entr(p).sum(-1) + torch.special.entr(1 - p).sum(-1)
        return self.energy(v, mu) - entropy  # the energy is linear in each unit, so its mean is at the means

    def complete(self, v: Tensor, address: Address) -> tuple[Tensor, ...] | None:
        if self.positive_phase == "mean_field" and self.hidden is not None:
            return v, self.mean_field(v).detach()
        return None

    @torch.no_grad()
    def closed_form_log_partition(self) -> Tensor | None:
        """log Z, nats, float64, where (v, h) pairs or the visible states alone are few enough to sum,
        otherwise None.
        """
        n, h = self.n_visible, self.n_hidden
        if not self.has_free_energy() or 2 ** (n + (0 if self.hidden_lateral is None else h)) > LARGEST_SUM:
            return None
        parts = []
        for start in range(0, 2**n, 2**14):
            index = torch.arange(start, min(start + 2**14, 2**n), device=self.device)
            energy = self.free_energy(self.visible.states(index).to(self.weight))
            parts.append(torch.logsumexp(-energy.double(), 0))
        return torch.logsumexp(torch.stack(parts), 0)

    # -- chains ----------------------------------------------------------------------------------------------

    def random_state(self, chains: int, address: Address) -> tuple[Tensor, ...]:
        """Uniform states, one per chain."""
        fields = [self.weight.new_zeros(chains, self.visible.n)]
        state = [self.visible.sample(fields[0], address)]
        if self.hidden is not None:
            later = address.at(unit=address.unit + self.visible.unit_numbers)
            state.append(self.hidden.sample(self.weight.new_zeros(chains, self.hidden.n), later))
        return tuple(state)

    @torch.no_grad()
    def sweep(
        self,
        state: tuple[Tensor, ...],
        address: Address,
        sweeps: int = 1,
        *,
        beta: Tensor | None = None,
        held: Tensor | None = None,
        hidden_only: bool = False,
    ) -> tuple[Tensor, ...]:
        pairs, scan = self._flat()
        n = self.visible.n
        if hidden_only:
            scan = scan.without(np.arange(n))
            held = None
        if held is not None:
            held = torch.nn.functional.pad(held, (0, sum(x.shape[1] for x in state) - n))
        x = torch.cat(state, 1)
        x = 0.5 * (x + 1) if isinstance(self.visible, Spin) else x
        x = graph.sweep_pairs(x, pairs, scan, address, graph.Sweeps(sweeps, beta, held)).to(self.weight)
        x = 2 * x - 1 if isinstance(self.visible, Spin) else x
        return tuple(x.split([y.shape[1] for y in state], 1))

    def _flat(self) -> tuple[graph.Pairs, graph.Scan]:
        """The couplings as flat arrays over 0/1 variables, hidden units scanned before visible ones."""
        joint, bias = (t.double().cpu().numpy() for t in self.joint_couplings())
        if isinstance(self.visible, Spin):  # s = 2x - 1 turns J s s' + b s into 4J x x' + 2(b - Σ J) x
            bias, joint = 2 * (bias - joint.sum(1)), 4 * joint
        n = self.visible.n
        order = np.concatenate([np.arange(n, len(bias)), np.arange(n)])  # every unit is a colour of its own
        return graph.Pairs.dense(joint, bias), graph.Scan.in_order(order)

    # -- the same machine in other forms ---------------------------------------------------------------------

    @torch.no_grad()
    def joint_couplings(self) -> tuple[Tensor, Tensor]:
        """(J, bias) of E(x) = -bias·x - ½ xᵀJ x over all units x = (v, h), J symmetric with zero diagonal."""
        n, m = self.n_visible, self.n_hidden
        joint = self.weight.new_zeros(n + m, n + m)
        joint[:n, n:], joint[n:, :n] = self.weight, self.weight.T
        if self.visible_lateral is not None:
            joint[:n, :n] = _symmetric(self.visible_lateral)
        if self.hidden_lateral is not None:
            joint[n:, n:] = _symmetric(self.hidden_lateral)
        bias = self.visible.bias if self.hidden is None else torch.cat([self.visible.bias, self.hidden.bias])
        return joint, bias.clone()

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
            if lateral is not None and bool(_symmetric(lateral).any()):
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


def _symmetric(square: Tensor) -> Tensor:
    """The symmetric part off the diagonal."""
    half = 0.5 * (square + square.T)
    return half - torch.diag(half.diagonal())


def _times(x: Tensor, square: Tensor | None) -> Tensor:
    return torch.zeros_like(x) if square is None else x @ _symmetric(square)


def _lateral(x: Tensor, square: Tensor | None) -> Tensor:
    """½ xᵀ S x with S symmetric and zero on the diagonal."""
    return 0.5 * (_times(x, square) * x).sum(-1)
