"""A user's own energy: probability, free energy, gradient and samples against enumeration, quadrature,
autograd.
"""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch import nn

import harmonium as hm
from harmonium import kernels
from harmonium.models import Path, Reference, path_to
from harmonium.models.space import Continuous, Discrete
from harmonium.random import Address, Purpose
from harmonium.sampling import complete, default_kernel, initial_chains
from statistics_budget import tail_probability


def normal(shape, seed=0):
    u = kernels.uniform(Address(seed, Purpose.TRIAL), shape, torch.float64)
    return torch.special.ndtri(u)


class Table(hm.EnergyModel):
    """Any energy at all over variables of mixed cardinality, looked up."""

    def __init__(self, cardinalities=(2, 3, 4), scale=1.0):
        super().__init__(states=cardinalities)
        count = math.prod(cardinalities)
        self.values = nn.Parameter(scale * normal((1, count))[0])
        self.strides = [math.prod(cardinalities[:i]) for i in range(len(cardinalities))]

    def energy(self, x):
        return self.values[(x.long() * torch.tensor(self.strides)).sum(1)]


class Joint(hm.EnergyModel):
    """A joint energy with three-body terms: no unit is independent of another."""

    def __init__(self, visible=(2, 2, 3), hidden=(2, 3)):
        super().__init__(states=visible, hidden_states=hidden)
        self.w = nn.Parameter(normal((len(visible), len(hidden)), 1))
        self.t = nn.Parameter(torch.tensor(0.7, dtype=torch.float64))

    def energy(self, v, h):
        return -((v @ self.w) * h).sum(1) - self.t * v[:, 0] * h[:, 0] * h[:, 1] + 0.3 * (v**2).sum(1)


class Well(hm.EnergyModel):
    """(x² - 1)² in every coordinate, tilted."""

    def __init__(self, bounds):
        super().__init__(bounds=bounds)
        self.tilt = nn.Parameter(torch.tensor(0.4, dtype=torch.float64))

    def energy(self, x):
        return ((x**2 - 1) ** 2 - self.tilt * x).sum(1)


def test_probabilities_and_log_z_are_the_softmax_over_all_states():
    model = Table()
    log_z = torch.logsumexp(-model.values.detach(), 0)
    assert torch.allclose(model.probabilities(), torch.softmax(-model.values.detach(), 0), atol=1e-14)
    assert abs(float(model.closed_form_log_partition() - log_z)) < 1e-12
    assert abs(hm.log_partition(model).value - float(log_z)) < 1e-12
    x = model.visible_space.states(torch.arange(24)).double()
    assert torch.allclose(model.free_energy(x), model.values)


def test_enumeration_of_four_million_states_agrees_with_the_transfer_matrix():
    class Chain(hm.EnergyModel):
        def __init__(self):
            super().__init__(states=[2] * 22)

        def energy(self, x):
            s = 2 * x - 1
            return -0.5 * (s[:, 1:] * s[:, :-1]).sum(1) - 0.1 * s.sum(1)

    vector = np.array([math.exp(-0.1), math.exp(0.1)])
    for _ in range(21):
        vector = np.array([math.exp(-0.1), math.exp(0.1)]) * (np.exp([[0.5, -0.5], [-0.5, 0.5]]) @ vector)
    value = float(Chain().closed_form_log_partition())
    assert abs(value - math.log(vector.sum())) < 1e-5  # energies are float32 here


def test_derived_free_energy_equals_the_sum_over_hidden_states():
    model = Joint()
    v = model.visible_space.states(torch.arange(12)).double()
    brute = torch.zeros(12, dtype=torch.float64)
    for h0 in range(2):
        for h1 in range(3):
            h = torch.tensor([[h0, h1]], dtype=torch.float64).expand(12, 2)
            brute += torch.exp(-model.energy(v, h))
    assert torch.allclose(model.free_energy(v), -torch.log(brute), atol=1e-12)


def test_gradient_of_the_free_energy_is_the_mean_gradient_of_the_energy_given_v():
    model = Joint()
    v = model.visible_space.states(torch.arange(12)).double()
    weights = torch.linspace(-1, 2, 12, dtype=torch.float64)
    model.accumulate_gradient(v, weights)
    expected = [p.grad.clone() for p in model.parameters()]
    h = model.hidden_space.states(torch.arange(6)).double()
    joint = (v.repeat_interleave(6, 0), h.repeat(12, 1))
    with torch.no_grad():
        posterior = torch.softmax(-model.energy(*joint).view(12, 6), 1)
    model.zero_grad()
    model.accumulate_joint_gradient(joint, (weights[:, None] * posterior).flatten())
    for p, e in zip(model.parameters(), expected, strict=True):
        assert torch.allclose(p.grad, e, atol=1e-12)


def test_a_joint_energy_that_is_an_rbm_has_the_free_energy_and_gradient_of_the_rbm():
    rbm = hm.RBM(hm.Bernoulli(4), hm.Bernoulli(3), dtype=torch.float64, seed=3)
    with torch.no_grad():
        rbm.weight.copy_(normal((4, 3), 5))
        rbm.hidden.bias.copy_(normal((1, 3), 6)[0])

    class AsJoint(hm.EnergyModel):
        def __init__(self):
            super().__init__(states=[2] * 4, hidden_states=[2] * 3)
            self.rbm = rbm

        def energy(self, v, h):
            return self.rbm.energy(v, h)

    model = AsJoint()
    v = rbm.visible.states(torch.arange(16)).double()
    assert torch.allclose(model.free_energy(v), rbm.free_energy(v), atol=1e-12)
    weights = normal((1, 16), 7)[0]
    rbm.accumulate_gradient(v, weights)
    expected = [p.grad.clone() for p in rbm.parameters()]
    rbm.zero_grad()
    model.accumulate_gradient(v, weights)
    for p, e in zip(rbm.parameters(), expected, strict=True):
        assert torch.allclose(p.grad, e, atol=1e-12)


def test_clamped_samples_give_the_gradient_within_their_error(monkeypatch):
    model = Joint()
    v = torch.tensor([[1.0, 0.0, 2.0]], dtype=torch.float64)
    model.accumulate_gradient(v, torch.ones(1, dtype=torch.float64))
    expected = model.t.grad.item(), model.w.grad.clone()
    monkeypatch.setattr("harmonium.models.visible_sums.HIDDEN_STATES", 3)
    assert not model.has_free_energy()
    with pytest.raises(ValueError, match="at most 3 hidden states"):
        model.free_energy(v)
    n = 20_000
    state = complete(model, v.repeat(n, 1), Address(5, Purpose.POSITIVE), sweeps=8)
    assert len(state) == 2 and torch.equal(state[0], v.repeat(n, 1))
    model.zero_grad()
    model.accumulate_phase(state, torch.full((n,), 1 / n, dtype=torch.float64))
    h = state[1]
    samples = torch.cat([-(v[0, 0] * h[:, :1] * h[:, 1:]), -(v[0, :, None] * h[:, None, :]).flatten(1)], 1)
    error = samples.std(0) / math.sqrt(n) + 1e-12
    got = torch.cat([model.t.grad[None], model.w.grad.flatten()])
    want = torch.cat([torch.tensor([expected[0]]), expected[1].flatten()])
    z = stats.norm.isf(tail_probability(len(got)) / 2)
    assert bool(((got - want).abs() <= z * error + 1e-12).all())


def test_samples_of_a_discrete_energy_follow_its_probabilities_exactly_and_by_chains():
    model = Table()
    p = model.probabilities().numpy()
    weights = torch.tensor(model.strides)
    for sweeps in (None, 8):
        x = hm.sample(model, 20_000, seed=3, sweeps=sweeps)
        counts = np.bincount((x.long() * weights).sum(1).numpy(), minlength=24)
        assert stats.chisquare(counts, 20_000 * p).pvalue > tail_probability(2)


def test_conditional_samples_follow_the_conditional_distribution():
    model = Table()
    given = torch.tensor([math.nan, 2.0, math.nan])
    x = hm.sample(model, 20_000, given=given, seed=4, sweeps=20)
    assert bool((x[:, 1] == 2).all())
    table = model.probabilities().reshape(4, 3, 2)[:, 2, :]
    p = (table / table.sum()).flatten().numpy()
    counts = np.bincount((x[:, 2] * 2 + x[:, 0]).long().numpy(), minlength=8)
    assert stats.chisquare(counts, 20_000 * p).pvalue > tail_probability()


def test_samples_are_a_function_of_the_seed_and_of_each_row_alone():
    model = Joint()
    assert torch.equal(hm.sample(model, 7, seed=1), hm.sample(model, 7, seed=1))
    assert not torch.equal(hm.sample(model, 50, seed=1), hm.sample(model, 50, seed=2))
    assert torch.equal(hm.sample(model, 7, seed=1, sweeps=5), hm.sample(model, 20, seed=1, sweeps=5)[:7])


def test_log_likelihood_of_rows_is_minus_energy_minus_log_z():
    model = Table()
    x = torch.tensor([[0, 2, 3], [1, 0, 0]])
    expected = float(-model.energy(x).detach().mean() - torch.logsumexp(-model.values.detach(), 0))
    assert abs(hm.log_likelihood(model, x).value - expected) < 1e-10


def test_exact_gradient_descent_on_a_discrete_energy_reaches_the_data_distribution():
    model = Table((2, 3), scale=0.0)
    data = torch.tensor(
        [[0.0, 0.0], [0.0, 1.0], [0.0, 1.0], [1.0, 2.0], [1.0, 0.0], [0.0, 2.0], [1.0, 1.0]]
    ).double()
    states = model.visible_space.states(torch.arange(6)).double()
    for _ in range(400):
        model.zero_grad()
        model.accumulate_gradient(data, torch.full((7,), 1 / 7, dtype=torch.float64))
        model.accumulate_gradient(states, -model.probabilities())
        with torch.no_grad():
            for p in model.parameters():
                p -= 1.0 * p.grad
    counts = torch.tensor([1, 1, 2, 1, 1, 1], dtype=torch.float64)
    assert torch.allclose(model.probabilities(), counts / 7, atol=1e-6)


# -- continuous ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bounds", [(-2.0, 1.5), (-math.inf, math.inf), (-0.5, math.inf)])
def test_samples_of_a_continuous_energy_follow_its_density(bounds):
    model = Well([bounds])

    def density(x):
        return math.exp(-((x * x - 1) ** 2) + 0.4 * x)

    low, high = max(bounds[0], -5), min(bounds[1], 5)
    z = integrate.quad(density, low, high)[0]
    grid = np.linspace(low, high, 4001)
    cdf = integrate.cumulative_simpson([density(x) for x in grid], x=grid, initial=0) / z
    x = hm.sample(model, 2000, seed=8, sweeps=40)[:, 0].double().numpy()
    assert stats.kstest(x, lambda t: np.interp(t, grid, cdf)).pvalue > tail_probability(3)


def test_a_neural_energy_over_two_variables_samples_within_its_bounds():
    class Neural(hm.EnergyModel):
        def __init__(self):
            super().__init__(bounds=[(-1, 1), (-2, 2)])
            self.net = nn.Sequential(nn.Linear(2, 8), nn.SiLU(), nn.Linear(8, 1))

        def energy(self, x):
            return self.net(x).squeeze(1)

    with torch.random.fork_rng():
        model = Neural()
    x = hm.sample(model, 50, seed=1, sweeps=20)
    assert x.shape == (50, 2) and x.dtype == torch.float32
    assert model.visible_space.violation(x) is None


def test_log_z_of_a_box_of_one_or_two_dimensions_is_an_integral():
    for bounds in ([(-2.0, 1.5)], [(-2.0, 1.5), (-1.0, 3.0)]):
        exact = sum(
            math.log(integrate.quad(lambda x: math.exp(-((x * x - 1) ** 2) + 0.4 * x), *side)[0])
            for side in bounds
        )
        assert abs(float(Well(bounds).closed_form_log_partition()) - exact) < 1e-6
    assert Well([(-2, 2)] * 3).closed_form_log_partition() is None
    assert Well([(-math.inf, 2)]).closed_form_log_partition() is None

    class Needle(hm.EnergyModel):
        def __init__(self):
            super().__init__(bounds=[(-1, 1)])

        def energy(self, x):
            return 1e9 * (x[:, 0] - 0.123) ** 2

    assert Needle().closed_form_log_partition() is None  # too thin for the grid, and it says so


# -- references and paths ------------------------------------------------------------------------------------


def test_the_reference_is_normalised_and_its_random_states_follow_it():
    class Free(hm.EnergyModel):
        def __init__(self):
            super().__init__(bounds=[(-1, 3), (2, math.inf), (-math.inf, 0), (-math.inf, math.inf)])

        def energy(self, x):
            return 0 * x.sum(1)

    reference = Reference(Free())
    ranges = [(-1, 3), (2, 40), (-40, 0), (-12, 12)]
    total = 0.0
    for i, (a, b) in enumerate(ranges):
        point = torch.tensor([[0.0, 2.0, 0.0, 0.0]], dtype=torch.float64)

        def p(t, i=i, point=point):
            x = point.clone()
            x[0, i] = t
            return math.exp(-float(reference.energy(x)))

        total += math.log(integrate.quad(p, a, b, limit=200)[0])
    assert abs(total - float(reference.closed_form_log_partition())) < 1e-8
    x = reference.random_state(5000, Address(2, Purpose.TRIAL))[0].double().numpy()
    for i, law in enumerate([stats.uniform(-1, 4), stats.expon(2), None, stats.norm()]):
        column = -x[:, 2] if law is None else x[:, i]
        law = law or stats.expon()
        assert stats.kstest(column, law.cdf).pvalue > tail_probability(4)


def test_annealing_along_the_path_gives_log_z():
    model = Table((2, 3, 4))
    path = path_to(model)
    assert isinstance(path, Path)
    address = Address(1, Purpose.ANNEALING)
    chains = initial_chains(path, 2000, address)
    kernel, log_w = default_kernel(path), torch.zeros(2000, dtype=torch.float64)
    for k in range(1, 21):
        here = path.at(k / 20)
        log_w += (path.energy(*chains.state) - here.energy(*chains.state)).detach()
        chains, path = kernel(here, chains), here
    w = torch.exp(log_w)
    value = float(torch.log(w.mean())) + float(path.ends[0].closed_form_log_partition())
    error = float(w.std() / w.mean()) / math.sqrt(2000)
    z = stats.norm.isf(tail_probability() / 2)
    assert abs(value - float(model.closed_form_log_partition())) < z * error
    assert error < 0.05


# -- wrong input ---------------------------------------------------------------------------------------------


def broken(value):
    class Broken(hm.EnergyModel):
        def __init__(self):
            super().__init__(states=[2, 2])

        def energy(self, x):
            return value(x)

    return Broken()


@pytest.mark.parametrize(
    "value, message",
    [
        (
            lambda x: x.sum(1) * math.nan,
            r"Broken.energy: expected numbers above -inf, got nan for 4 of 4 states",
        ),
        (
            lambda x: torch.where(x[:, 0] > 0, -math.inf, 0.0),
            r"got -inf for 2 of 4 states, the first \(1, 0\)",
        ),
        (lambda x: x.sum(), r"expected one energy per row, shape \(4,\), got \(\)"),
        (lambda x: x, r"shape \(4,\), got \(4, 2\)"),
    ],
)
def test_energies_that_are_nan_or_of_the_wrong_shape_are_refused(value, message):
    with pytest.raises(ValueError, match=message):
        broken(value).probabilities()
    with pytest.raises(ValueError, match="Broken.energy"):
        hm.sample(broken(value), 3, sweeps=1)


def test_an_energy_that_is_no_tensor_is_refused():
    with pytest.raises(TypeError, match=r"expected a tensor of shape \(4,\), got float"):
        broken(lambda x: 1.0).probabilities()


def test_wrong_spaces_are_refused():
    class Undeclared(hm.EnergyModel):
        def energy(self, x):
            return x.sum(1)

    with pytest.raises(TypeError, match="expected a declared space"):
        hm.sample(Undeclared())
    with pytest.raises(ValueError, match=r"states\[1\] must be an integer of at least 1, got 0"):
        Discrete([2, 0])
    with pytest.raises(TypeError, match="states|cardinalities"):
        Discrete(5)
    with pytest.raises(ValueError, match=r"bounds\[0\]: expected low < high, got \(1, 1\)"):
        Continuous([(1, 1)])
    with pytest.raises(TypeError, match="one pair"):
        Continuous([1, 2])
    with pytest.raises(ValueError, match="expected one of them, got both"):
        type(
            "Both",
            (Undeclared,),
            {"__init__": lambda self: hm.EnergyModel.__init__(self, states=[2], bounds=[(0, 1)])},
        )()
    with pytest.raises(ValueError, match="infinitely many"):
        Well([(0, 1)]).probabilities()


def test_wrong_given_values_are_refused():
    model = Table()
    with pytest.raises(
        ValueError, match="must be whole numbers from 0 to 2, got 3 in row 0, column 1; NaN marks"
    ):
        hm.sample(model, 2, given=torch.tensor([math.nan, 3.0, 0.0]))
    with pytest.raises(ValueError, match=r"given: expected shape \(3,\) or \(2, 3\)"):
        hm.sample(model, 2, given=torch.zeros(4))
    with pytest.raises(TypeError, match="model"):
        hm.sample("rbm", 2)


def test_states_and_bounds_are_checked_value_by_value():
    space = Discrete([2, 3])
    assert torch.equal(torch.cat(list(space.walk(4, torch.device("cpu")))), space.states(torch.arange(6)))
    assert torch.equal(
        torch.cat(list(Discrete([7, 3]).walk(4, torch.device("cpu")))),
        Discrete([7, 3]).states(torch.arange(21)),
    )
    assert space.violation(torch.tensor([[1, 2], [0, 0]])) is None
    assert "variable 0" in space.violation(torch.tensor([[0.5, 1.0]]))
    assert "variable 1" in space.violation(torch.tensor([[0.0, math.nan]]))
    with pytest.raises(ValueError, match=r"x must be a tensor of shape \(rows, 2\)"):
        space.check(torch.zeros(3, 3))
    assert "variable 0 must be finite numbers from 0 to 1, got 1.5" in Continuous([(0, 1)]).violation(
        torch.tensor([[1.5]])
    )
