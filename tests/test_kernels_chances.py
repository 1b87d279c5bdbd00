"""What kernels draw has the right probabilities: the arithmetic, and chances counted."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import chi2

from harmonium import kernels
from harmonium.kernels import reference
from harmonium.random import Address
from kernel_fields import DTYPES, HERE, same
from statistics_budget import tail_probability, z_threshold

# ---------------------------------------------------------------- the arithmetic


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-7), (torch.float64, 5e-16)])
def test_the_exponential_is_as_exact_as_stated(dtype, bound):
    limit = reference.Exponential.of(dtype).limit
    x = torch.linspace(-limit, limit, 400_001, dtype=torch.float64).to(dtype)
    exact = np.array([math.exp(value) for value in x.tolist()])
    assert np.abs(reference.exp(x).double().numpy() / exact - 1).max() <= bound


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 2e-7), (torch.float64, 6e-16)])
def test_the_probability_is_as_exact_as_stated(dtype, bound):
    field = torch.linspace(-80, 80, 200_001, dtype=torch.float64).to(dtype)
    exact = np.array([1 / (1 + math.exp(-value)) for value in field.tolist()])
    probability = 1 / (reference.exp(-field) + 1).double().numpy()
    assert np.abs(probability / exact - 1).max() <= bound


def test_the_share_of_uniforms_that_fire_is_the_probability():
    # A float32 uniform takes the values (k + 1/2) 2**-23, so the chance of a one is a count of k.
    # What separates it from the sigmoid: three roundings of 2**-24 and the steps of u.
    field = torch.linspace(-20, 20, 20_001)
    weight = reference.exp(-field) + 1
    guess = (2**23 / weight.double()).long()
    near = guess[:, None] + torch.arange(-3, 4)
    fires = ((near.float() + 0.5) * 2.0**-23) * weight[:, None] < 1
    assert fires[:, 0].all()
    assert not fires[:, -1].any()
    count = near[:, 0] + fires.sum(1)
    assert (count / 2.0**23 - torch.sigmoid(field.double())).abs().max() <= 4 * 2.0**-24


@pytest.mark.parametrize("dtype", DTYPES)
def test_extreme_fields_are_certain_and_nan_stays(dtype):
    field = torch.tensor([[math.inf, 1e4, 50.0, -50.0, -1e4, -math.inf, math.nan]], dtype=dtype).expand(
        500, 7
    )
    certain = torch.tensor([1.0, 1.0, 1.0, 0.0, 0.0, 0.0], dtype=dtype).expand(500, 6)
    drawn = kernels.draw_bernoulli(field, HERE)
    assert same(drawn[:, :6].contiguous(), certain.contiguous())
    assert drawn[:, 6].isnan().all()
    drawn = kernels.draw_spin(field, HERE)
    assert same(drawn[:, :6].contiguous(), (2 * certain - 1).contiguous())
    assert drawn[:, 6].isnan().all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_extreme_categories(dtype):
    inf, nan = math.inf, math.nan
    field = torch.tensor([[-inf, 0.0, -inf, -1e4, 1e4, 0.0, 5.0, inf, 7.0, -inf, -inf, -inf, 0.0, nan, 1.0]])
    drawn = kernels.draw_categorical(field.to(dtype).expand(200, 15), 3, HERE)
    assert (drawn[:, :9] == torch.tensor([0, 1, 0, 0, 1, 0, 0, 1, 0])).all()
    assert drawn[:, 9:].isnan().all()
    impossible = torch.tensor([[-inf, 0.0, -inf, 0.0, -inf]], dtype=dtype).expand(4000, 5)
    drawn = kernels.draw_categorical(impossible, 5, HERE)
    assert (drawn.sum(1) == 1).all()
    assert not drawn[:, ::2].any()


# ---------------------------------------------------------------- chances


@pytest.mark.parametrize("dtype", DTYPES)
def test_uniforms_are_uniform(dtype):
    u = kernels.uniform(HERE, (1000, 1000), dtype).double()
    assert u.min() > 0
    assert u.max() < 1
    z = z_threshold(2)
    assert abs(u.mean() - 1 / 2) <= z * math.sqrt(1 / 12 / u.numel())
    assert abs(u.var() - 1 / 12) <= z * math.sqrt(
        1 / 180 / u.numel()
    )  # the variance of (u - 1/2)**2 is 1/180


@pytest.mark.parametrize("dtype", DTYPES)
def test_uniforms_fill_the_interval_evenly(dtype):
    u = kernels.uniform(HERE.at(step=1), (1000, 1000), dtype)
    counts = torch.bincount((u * 1000).long().flatten(), minlength=1000).double()
    statistic = ((counts - 1000) ** 2 / 1000).sum()
    limits = chi2.ppf([tail_probability(2), 1 - tail_probability(2)], 999)
    assert limits[0] < statistic < limits[1]


def test_the_lowest_bits_are_fair():
    single = (kernels.uniform(HERE, (500, 500)).double() * 2**23).long()
    double = (kernels.uniform(HERE, (500, 500), torch.float64) * 2**52).long()
    ones = torch.tensor([(bits >> k & 1).double().mean() for bits in (single, double) for k in range(23)])
    assert (ones - 0.5).abs().max() <= z_threshold(46) * 0.5 / 500


def test_neighbours_are_uncorrelated():
    u = kernels.uniform(HERE, (800, 800)).double() - 0.5
    others = [
        kernels.uniform(HERE.at(step=1), (800, 800)),
        kernels.uniform(HERE.at(step=2**32), (800, 800)),
        kernels.uniform(HERE.at(chain=800), (800, 800)),
        kernels.uniform(HERE.at(unit=800), (800, 800)),
        kernels.uniform(Address(HERE.seed + 1, HERE.purpose), (800, 800)),
        kernels.uniform(Address(HERE.seed + 2**32, HERE.purpose), (800, 800)),
        kernels.uniform(Address(HERE.seed, HERE.purpose + 1), (800, 800)),
    ]
    pairs = [(u, other.double() - 0.5) for other in others]
    pairs += [(u[:, k:], u[:, :-k]) for k in (1, 2, 3, 4)] + [(u[1:], u[:-1])]
    z = z_threshold(len(pairs))
    for a, b in pairs:
        assert abs((a * b).mean()) <= z / 12 / math.sqrt(a.numel())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("draw", "slope", "low"), [(kernels.draw_bernoulli, 1, 0), (kernels.draw_spin, 2, -1)]
)
def test_states_have_the_right_chances(draw, slope, low, dtype):
    field = torch.tensor([-8.0, -4.0, -2.0, -1.0, -0.3, 0.0, 0.1, 0.7, 1.5, 3.0, 6.0, 9.0], dtype=dtype)
    drawn = draw(field.expand(200_000, 12), HERE)
    assert ((drawn == low) | (drawn == 1)).all()
    p = torch.sigmoid(slope * field.double())
    error = ((drawn == 1).double().mean(0) - p).abs()
    # Bernstein's inequality, because a normal tail is too thin for the rare states
    log = math.log(2 / tail_probability(12))
    bound = log / 3 / 200_000 + torch.sqrt((log / 3 / 200_000) ** 2 + 2 * p * (1 - p) * log / 200_000)
    assert (error <= bound).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_categories_have_the_right_chances(dtype):
    field = torch.tensor([0.0, 1.0, -1.0, 2.0, 0.5, 0.0, 300.0, 300.5, 299.0, 298.0], dtype=dtype)
    drawn = kernels.draw_categorical(field.expand(100_000, 10), 5, HERE).double()
    drawn = drawn.reshape(-1, 2, 5)
    assert (drawn.sum(2) == 1).all()
    expected = torch.softmax(field.double().reshape(2, 5), 1) * 100_000
    seen = drawn.sum(0)
    assert seen[1, 0] == 0
    statistics = [((seen[0] - expected[0]) ** 2 / expected[0]).sum()]
    statistics += [((seen[1, 1:] - expected[1, 1:]) ** 2 / expected[1, 1:]).sum()]
    for statistic, freedom in zip(statistics, (4, 3), strict=True):
        assert chi2.sf(float(statistic), freedom) > tail_probability(3)
    # the two sites are drawn independently of each other
    joint = torch.einsum("bi,bj->ij", drawn[:, 0], drawn[:, 1, 1:]).flatten()
    product = (expected[0][:, None] * expected[1, 1:] / 100_000).flatten()
    assert chi2.sf(float(((joint - product) ** 2 / product).sum()), 19) > tail_probability(3)
