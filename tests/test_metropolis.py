"""Kernels that need the energy alone: started from exact samples, they must not drift."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

import harmonium as hm
from harmonium.random import Address, Purpose
from harmonium.sampling import (
    HMC,
    MALA,
    Chains,
    Clamp,
    GibbsWithGradients,
    SiteGibbs,
    UnadjustedLangevin,
    default_kernel,
    initial_chains,
)
from statistics_budget import tail_probability, z_threshold

CHAINS = 20_000
HERE = Address(11, Purpose.TRIAL)


class Smooth(hm.EnergyModel):
    """A differentiable energy over whole numbers that is linear in none of them, so that slopes only
    guess.
    """

    def __init__(self, states=(2, 3, 4), hidden=None):
        super().__init__(states=states, hidden_states=hidden)
        self.p = nn.Parameter(torch.tensor(0.6, dtype=torch.float64))

    def energy(self, v, h=None):
        x = v if h is None else torch.cat([v, h], 1)
        return self.p * torch.sin(2 * x[:, 0] + x[:, 1]) + 0.25 * (x[:, 2] - x[:, 0]) ** 2 - 0.3 * x.sum(1)


class Quartic(hm.EnergyModel):
    """E = Σ x⁴/4 - x₀x₁/2: no Gaussian, correlated."""

    def __init__(self, bounds=((-math.inf, math.inf),) * 2):
        super().__init__(bounds=bounds)
        self.p = nn.Parameter(torch.tensor(0.5, dtype=torch.float64))

    def energy(self, x):
        return 0.25 * (x**4).sum(1) - self.p * x[:, 0] * x[:, 1]


class Normal(hm.EnergyModel):
    def __init__(self, bounds, scale=1.0):
        super().__init__(bounds=bounds)
        self.scale = nn.Parameter(torch.tensor(scale, dtype=torch.float64))

    def energy(self, x):
        return 0.5 * ((x / self.scale) ** 2).sum(1)


def joint_counts(state, cardinalities):
    x = torch.cat(state, 1).long().numpy()
    return np.bincount(np.ravel_multi_index(x.T, cardinalities), minlength=math.prod(cardinalities))


def joint_probabilities(model, cardinalities):
    grid = np.indices(cardinalities).reshape(len(cardinalities), -1).T
    x = torch.tensor(grid, dtype=torch.float64)
    n = model.visible_space.width
    state = (x,) if model.hidden_space is None else (x[:, :n], x[:, n:])
    return x, torch.softmax(-model.energy(*state).detach(), 0).numpy()


def exact_chains(model, cardinalities, n=CHAINS):
    x, p = joint_probabilities(model, cardinalities)
    index = np.random.default_rng(5).choice(len(p), size=n, p=p)
    rows = x[torch.from_numpy(index)]
    split = model.visible_space.width
    state = (rows,) if model.hidden_space is None else (rows[:, :split], rows[:, split:])
    return Chains(state, HERE)


DISCRETE = [SiteGibbs(sweeps=2), GibbsWithGradients(steps=6)]


@pytest.mark.parametrize("kernel", DISCRETE, ids=lambda k: type(k).__name__)
@pytest.mark.parametrize("hidden", [None, (2, 2)])
def test_discrete_kernels_leave_the_joint_distribution_alone(kernel, hidden):
    visible = (2, 3, 4) if hidden is None else (2, 3)
    model = Smooth(visible, hidden)
    cardinalities = visible + (hidden or ())
    _, p = joint_probabilities(model, cardinalities)
    chains = exact_chains(model, cardinalities)
    for _ in range(3):
        chains = kernel(model, chains)
    counts = joint_counts(chains.state, cardinalities)
    assert stats.chisquare(counts, CHAINS * p).pvalue > tail_probability(4)


@pytest.mark.parametrize("kernel", DISCRETE, ids=lambda k: type(k).__name__)
def test_discrete_kernels_forget_where_they_started(kernel):
    model = Smooth()
    _, p = joint_probabilities(model, (2, 3, 4))
    chains = Chains((torch.zeros(CHAINS, 3, dtype=torch.float64),), HERE)
    for _ in range(20):
        chains = kernel(model, chains)
    counts = joint_counts(chains.state, (2, 3, 4))
    assert stats.chisquare(counts, CHAINS * p).pvalue > tail_probability(2)


@pytest.mark.parametrize("kernel", [SiteGibbs, GibbsWithGradients])
@pytest.mark.parametrize("per_chain", [False, True])
def test_held_variables_stay_and_the_others_follow_their_conditional(kernel, per_chain):
    model = Smooth()
    values = torch.tensor([math.nan, 1.0, math.nan], dtype=torch.float64)
    values = values.expand(CHAINS, 3) if per_chain else values
    clamp = Clamp(~torch.isnan(values), values)
    start = torch.zeros(CHAINS, 3, dtype=torch.float64)
    chains = Chains((clamp.apply(start),), HERE)
    for _ in range(20):
        chains = kernel(clamp=clamp)(model, chains)
    assert bool((chains.visible[:, 1] == 1).all())
    _, p = joint_probabilities(model, (2, 3, 4))
    p = p.reshape(2, 3, 4)[:, 1].flatten()
    counts = joint_counts((chains.visible[:, [0, 2]],), (2, 4))
    if kernel is SiteGibbs:
        assert stats.chisquare(counts, CHAINS * p / p.sum()).pvalue > tail_probability(2)
    else:
        assert (np.abs(counts / CHAINS - p / p.sum()) < 0.1).all()  # 20 flips: near, not there


def test_gradients_find_the_flips_that_are_accepted():
    class Linear(hm.EnergyModel):
        def __init__(self):
            super().__init__(states=[2] * 30)
            self.b = nn.Parameter(torch.zeros(30, dtype=torch.float64))

        def energy(self, x):
            return -(x @ self.b)

    chains = initial_chains(Linear(), 2000, HERE)
    moved = GibbsWithGradients(steps=5)(Linear(), chains)
    assert moved.info["acceptance"] == 1.0  # for a flat energy every proposal is as good as the way back
    assert moved.address.step == chains.address.step + 5
    steep = Linear()
    with torch.no_grad():
        steep.b.fill_(6.0)
    wrong = 1 - GibbsWithGradients(steps=20)(steep, chains).visible
    assert float(wrong.mean()) < 0.02  # blind flips would have come upon half of the 15 wrong variables


def test_discrete_kernels_are_functions_of_chain_and_seed():
    model = Smooth()
    for kernel in DISCRETE:
        many, few = (initial_chains(model, n, HERE) for n in (10, 4))
        a, b = kernel(model, many), kernel(model, few)
        assert torch.equal(a.visible[:4], b.visible)
        assert torch.equal(kernel(model, many).visible, a.visible)


def quartic_moments():
    grid = torch.linspace(-5, 5, 801, dtype=torch.float64)
    x = torch.stack(torch.meshgrid(grid, grid, indexing="ij"), -1).reshape(-1, 2)
    p = torch.softmax(-Quartic().energy(x).detach(), 0)
    return x, p


@pytest.mark.parametrize("kernel", [MALA(0.5), HMC(0.3, leapfrogs=4)], ids=["MALA", "HMC"])
def test_continuous_kernels_leave_the_density_alone(kernel):
    model = Quartic()
    grid, p = quartic_moments()
    index = np.random.default_rng(1).choice(len(p), size=CHAINS, p=(p / p.sum()).numpy())
    chains = Chains((grid[torch.from_numpy(index)],), HERE)
    for _ in range(10):
        chains = kernel(model, chains)
    assert 0.3 < chains.info["acceptance"] < 1.0
    x = chains.visible
    for f in (lambda y: y[:, 0] ** 2, lambda y: y[:, 0] * y[:, 1], lambda y: y[:, 0] ** 4, lambda y: y[:, 1]):
        exact, got = float(p @ f(grid)), f(x)
        assert abs(float(got.mean()) - exact) < z_threshold(8) * float(got.std()) / CHAINS**0.5


@pytest.mark.parametrize(
    "bounds, law",
    [
        ((0.0, math.inf), stats.halfnorm),
        ((-math.inf, 0.0), stats.halfnorm(scale=1)),
        ((-1.0, 0.5), stats.truncnorm(-1.0, 0.5)),
        ((-math.inf, math.inf), stats.norm),
    ],
)
def test_trajectories_reflected_at_bounds_keep_truncated_normals(bounds, law):
    model = Normal([bounds])
    start = law.rvs(size=CHAINS, random_state=np.random.default_rng(2))
    sign = -1.0 if bounds == (-math.inf, 0.0) else 1.0
    chains = Chains((sign * torch.from_numpy(start)[:, None],), HERE)
    for _ in range(5):
        chains = HMC(0.7, leapfrogs=3)(model, chains)
    assert model.visible_space.violation(chains.visible) is None
    assert stats.kstest(sign * chains.visible[:, 0].numpy(), law.cdf).pvalue > tail_probability(4)


@pytest.mark.parametrize("make, target", [(MALA, 0.574), (HMC, 0.8)])
def test_the_step_size_adapts_to_the_acceptance_asked_for_and_is_reported(make, target):
    model = Normal([(-math.inf, math.inf)] * 20, scale=0.05)
    kernel = make()
    chains = initial_chains(model, 200, HERE)
    for _ in range(150):
        chains = kernel(model, chains)
    rates = []
    fixed = kernel.fixed(chains)
    assert fixed.step_size == chains.info["step_size"] and 0 < fixed.step_size < 0.1
    for _ in range(20):
        chains = fixed(model, chains)
        rates.append(chains.info["acceptance"])
    assert abs(sum(rates) / len(rates) - target) < 0.08


def test_unadjusted_langevin_has_the_bias_that_it_states():
    model = Normal([(-math.inf, math.inf)])
    chains = initial_chains(model, CHAINS, HERE)
    for _ in range(40):
        chains = UnadjustedLangevin(0.8)(model, chains)
    biased = 1 / (1 - 0.8**2 / 4)
    x = chains.visible[:, 0]
    error = math.sqrt(2 / CHAINS) * biased
    assert abs(float((x**2).mean()) - biased) < z_threshold() * error
    assert biased - 1 > z_threshold() * error  # so the truth, 1, is told apart


def test_hmc_holds_clamped_variables():
    model = Quartic()
    clamp = Clamp(torch.tensor([True, False]), torch.tensor([1.5, math.nan], dtype=torch.float64))
    chains = initial_chains(model, CHAINS, HERE)
    chains = chains.with_visible(clamp.apply(chains.visible))
    for _ in range(30):
        chains = HMC(0.5, leapfrogs=3, clamp=clamp)(model, chains)
    y = chains.visible[:, 1]
    assert bool((chains.visible[:, 0] == 1.5).all())
    grid = torch.linspace(-6, 6, 4001, dtype=torch.float64)
    p = torch.softmax(-(grid**4 / 4 - 0.75 * grid), 0)
    assert abs(float(y.mean()) - float(p @ grid)) < z_threshold() * float(y.std()) / CHAINS**0.5


def test_discrete_hidden_variables_move_with_continuous_visible_ones():
    class Mixture(hm.EnergyModel):
        """Two bells, chosen by h: E = (v - 2h)²/2 - 0.5 h."""

        def __init__(self):
            super().__init__(bounds=[(-math.inf, math.inf)], hidden_states=[2])
            self.gain = nn.Parameter(torch.tensor(0.5, dtype=torch.float64))

        def energy(self, v, h):
            return 0.5 * (v[:, 0] - 2 * h[:, 0]) ** 2 - self.gain * h[:, 0]

    model = Mixture()
    chains = initial_chains(model, CHAINS, HERE)
    kernel = default_kernel(model)
    for k in range(60):
        kernel = kernel.fixed(chains) if k == 20 else kernel
        chains = kernel(model, chains)
    p = 1 / (1 + math.exp(-0.5))
    share = float(chains.state[1].mean())
    assert abs(share - p) < z_threshold(2) * math.sqrt(p * (1 - p) / CHAINS)
    assert (
        abs(float(chains.visible.mean()) - 2 * p) < z_threshold(2) * float(chains.visible.std()) / CHAINS**0.5
    )


def test_wrong_use_is_refused():
    continuous, discrete = Normal([(0.0, 1.0)]), Smooth()
    chains = initial_chains(discrete, 3, HERE)
    with pytest.raises(TypeError, match="expected continuous visible variables"):
        HMC(0.1)(discrete, chains)
    with pytest.raises(TypeError, match="expected discrete variables"):
        GibbsWithGradients()(continuous, initial_chains(continuous, 3, HERE))
    with pytest.raises(ValueError, match="step_size must be a finite number above 0"):
        UnadjustedLangevin(0.0)
    with pytest.raises(ValueError, match="target"):
        HMC(target=1.5)
    with pytest.raises(ValueError, match="step_size: unadjusted Langevin steps of 5 diverged"):
        model, walkers = Quartic(), initial_chains(Quartic(), 3, HERE)
        for _ in range(50):
            walkers = UnadjustedLangevin(5.0)(model, walkers)


def test_an_energy_that_looks_its_states_up_has_no_slope():
    class Lookup(hm.EnergyModel):
        def __init__(self):
            super().__init__(states=[2, 2])
            self.t = nn.Parameter(torch.arange(4.0))

        def energy(self, x):
            return self.t[(x.long() * torch.tensor([1, 2])).sum(1)]

    with pytest.raises(ValueError, match="GibbsWithGradients needs an energy differentiable in x"):
        GibbsWithGradients()(Lookup(), initial_chains(Lookup(), 3, HERE))


def test_a_state_without_a_way_out_is_named():
    class Stuck(hm.EnergyModel):
        def __init__(self):
            super().__init__(states=[2])

        def energy(self, x):
            return x[:, 0] * 0 + math.inf

    with pytest.raises(ValueError, match="every state of variable 0 has infinite energy"):
        SiteGibbs()(Stuck(), initial_chains(Stuck(), 3, HERE))
