"""Draws of every type of unit have the distribution they claim, in both dtypes and in extreme fields."""

import math

import numpy as np
import pytest
import scipy.special
import torch
from scipy import stats

import harmonium as hm
from goodness import assert_counts, assert_distribution, assert_means
from harmonium import kernels
from harmonium.units import binomial, quantile
from registry import CONTINUOUS, DOUBLE, FINITE, LAYERS, address, layer, table, uniforms
from site_reference import distribution, site_at

DRAWS = 40_000
FIELDS = [-1e4, -200.0, -30.0, -4.99, -2.0, 0.0, 0.7, 3.0, 12.0, 1e4]
DTYPES = [torch.float32, DOUBLE]


def draws(units, field, seed=3):
    """DRAWS states in one field, (DRAWS, width)."""
    row = torch.full((DRAWS, units.width), field, dtype=units.bias.dtype)
    x = units.sample(row, address(seed))
    assert x.dtype == row.dtype and units.violation(x) is None
    return x.detach().double().numpy()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CONTINUOUS)
def test_continuous_draws_have_their_distribution(name, dtype):
    units = layer(name, dtype=dtype)
    for field in FIELDS:
        x = draws(units, field)
        for i in range(units.n):
            assert_distribution(x[:, i], distribution(units, i, field), comparisons=len(FIELDS) * units.n)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CONTINUOUS)
def test_continuous_draws_have_their_mean_and_variance(name, dtype):
    units = layer(name, dtype=dtype)
    for field in FIELDS:
        x = draws(units, field, seed=4)
        for i in range(units.n):
            site = site_at(units, i, field)
            mean, variance = float(site.mean), float(site.variance)
            count = 2 * units.n * len(FIELDS)
            # float32 can't place a state finer than its rounding
            grain = abs(mean) * torch.finfo(dtype).eps
            assert_means(x[:, i].mean(), mean, math.sqrt(variance) + grain * DRAWS**0.5, DRAWS, count)
            spread = math.sqrt(float(site.moment(4)) - variance**2) + grain**2 * DRAWS**0.5
            assert_means(((x[:, i] - mean) ** 2).mean(), variance, spread, DRAWS, count)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", [n for n in FINITE if n != "Categorical"])
def test_finite_draws_have_their_distribution(name, dtype):
    units = layer(name, dtype=dtype)
    for field in FIELDS:
        x = draws(units, field)
        site = site_at(units, 0, field)
        below = np.cumsum(site.p[:-1]).astype(float)
        for i in range(units.n):
            counts = [(x[:, i] <= float(v)).sum() for v in site.x[:-1]]
            assert_counts(counts, DRAWS, below, units.n * len(below) * len(FIELDS))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("field", [-1e4, -30.0, -3.0, 0.0, 1.0, 3.0, 6.0, 9.0])
def test_poisson_draws_have_their_distribution(field, dtype):
    units = layer("Poisson", dtype=dtype)
    x = draws(units, field)
    site = site_at(units, 0, field)
    below = np.cumsum(site.p).astype(float)
    levels = np.unique(np.searchsorted(below, [1e-4, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 0.9999]))
    for i in range(units.n):
        counts = [(x[:, i] <= level).sum() for level in levels]
        assert_counts(counts, DRAWS, np.minimum(below[levels], 1.0), 8 * units.n * len(levels))


@pytest.mark.parametrize("field", [15.0, 27.0, 28.5, 36.8, 50.0, 62.0])
def test_large_poisson_draws_are_normal(field):
    # skewness e^(-I/2) < 6e-4 moves the distribution function by less than 4e-5: the draws don't resolve it
    x = draws(layer("Poisson"), field)
    rate = math.exp(field)
    for column in x.T:
        u = uniforms(8, DRAWS)[:, 0].numpy() - 0.5 if field < 36 else 0.0  # counts are whole numbers
        z = (column + u - rate) / math.sqrt(rate)
        assert_distribution(z, "norm", comparisons=12)


def test_large_poisson_draws_go_on_where_the_exact_ones_end():
    # the same uniforms on either side of a rate of 1e12: the same standard scores, to a few whole counts
    scores = []
    for field in (math.log(1e12) - 1e-9, math.log(1e12) + 1e-9):
        x = hm.Poisson(1).double().sample(torch.full((DRAWS, 1), field, dtype=DOUBLE), address(9))
        scores.append((x - math.exp(field)) * math.exp(-0.5 * field))
    torch.testing.assert_close(scores[0], scores[1], rtol=0, atol=5e-6)


@pytest.mark.parametrize("trials", [65, 1000, 20_000, 10**6])
def test_draws_of_many_trials_have_their_distribution(trials):
    fields = [-1e4, -math.log(trials), -3.0, 0.0, 0.7, 9.0, 1e4]
    units = hm.Binomial(1, trials=trials).double()
    for field in fields:
        x = draws(units, field)[:, 0]
        law = stats.binom(trials, scipy.special.expit(field))
        levels = np.unique(law.ppf([1e-4, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 0.9999]))
        counts = [(x <= level).sum() for level in levels]
        assert_counts(counts, DRAWS, law.cdf(levels), 4 * len(fields) * len(levels))


@pytest.mark.parametrize("trials", [1, 3, 64])
def test_many_trials_are_drawn_as_few_are(trials):
    u, field = uniforms(11, 4000, 2, dtype=DOUBLE), 16.0 * uniforms(12, 4000, 2, dtype=DOUBLE) - 8.0
    assert torch.equal(binomial._quantile(u, field, trials), kernels.draw_counts(field, trials, address(11)))


def test_counts_of_a_large_rate_go_on_where_sums_end():
    # rates below and above the largest variance that is summed, by the same uniforms, against SciPy's
    field = torch.log(torch.linspace(1000.0, 1050.0, DRAWS, dtype=DOUBLE))[:, None]
    x = hm.Poisson(1).double().sample(field, address(13))
    assert np.array_equal(
        x.numpy(), stats.poisson(field.exp().numpy()).ppf(uniforms(13, DRAWS, dtype=DOUBLE))
    )


@pytest.mark.parametrize("guess", [0.0, 37.0, 41.0, 1e3, 1e6])
def test_a_count_is_found_in_few_steps_from_any_guess(guess):
    asked = []

    def reaches(k, draws):
        asked.append(len(draws))
        return k >= 40.0 + draws

    low, high = torch.full((3,), -1.0, dtype=DOUBLE), torch.full((3,), 1e6, dtype=DOUBLE)
    found = quantile.smallest(reaches, torch.full((3,), guess, dtype=DOUBLE), low, high)
    assert found.tolist() == [40.0, 41.0, 42.0]
    assert len(asked) < 26  # three steps from the guess, then 2^20 by halves


@pytest.mark.parametrize("dtype", DTYPES)
def test_categorical_draws_have_their_distribution(dtype):
    units = hm.Categorical(3, states=4).to(dtype)
    for k, scale in enumerate((1e-8, 1.0, 5.0, 1e4)):
        field = (scale * (2.0 * uniforms(20 + k, 1, units.width) - 1.0)).to(dtype)
        x = units.sample(field.expand(DRAWS, -1), address(3))
        assert units.violation(x) is None
        p = torch.softmax(field.double().unflatten(-1, (3, 4)), -1).flatten()
        assert_counts(x.sum(0).numpy(), DRAWS, p.numpy(), 4 * units.width)


@pytest.mark.parametrize("name", LAYERS)
def test_layers_draw_their_joint_distribution(name):
    # means of all products of two columns: what dependent columns or shared uniforms would shift
    units = layer(name)
    field = 0.5 * layer(name, seed=9).bias.detach()
    x = units.sample(field.expand(DRAWS, -1), address(5)).detach()
    states = table(units)
    p = torch.softmax(states.log_measure + states.states @ field - states.potential(units), 0).detach()
    i, j = torch.triu_indices(units.width, units.width).unbind()
    products = states.states[:, i] * states.states[:, j]
    exact = p @ products
    deviation = torch.sqrt((p @ products**2 - exact**2).clamp(min=0))
    assert_means((x[:, i] * x[:, j]).mean(0), exact, deviation, DRAWS)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", LAYERS)
def test_draws_depend_on_field_and_address_alone(name, dtype):
    units = layer(name, dtype=dtype)
    fields = (4.0 * uniforms(6, 50, units.width) - 2.0).to(dtype)
    here = address(7).at(step=3, chain=100, unit=8)
    x = units.sample(fields, here)
    assert torch.equal(x, units.sample(fields, here))
    # functions of vectors may round differently with their length
    rounding = {"rtol": 1e-5, "atol": 1e-6} if dtype == torch.float32 else {"rtol": 1e-12, "atol": 1e-12}
    torch.testing.assert_close(x[20:30], units.sample(fields[20:30], here.at(chain=120)), **rounding)
    rows = [7, 3, 44]
    some = units.sample(fields[rows], here.at(chain=[100 + r for r in rows]))
    torch.testing.assert_close(x[rows], some, **rounding)
    for elsewhere in (
        here.at(step=4),
        here.at(chain=200),
        here.at(unit=200),
        address(8).at(step=3, chain=100, unit=8),
    ):
        assert not torch.equal(x, units.sample(fields, elsewhere))


def test_no_two_parts_of_a_mixed_layer_share_a_uniform():
    units = hm.Mixed(*(hm.Gaussian(n) for n in (1, 3, 4, 5)))
    x = units.sample(torch.zeros(20, units.width), address(1))
    assert len(x.unique()) == x.numel()


@pytest.mark.parametrize("name", LAYERS)
def test_a_field_of_nan_never_passes_for_a_draw(name):
    units = layer(name)
    field = torch.zeros(5, units.width, dtype=DOUBLE)
    field[2] = math.nan
    x = units.sample(field, address(1))
    assert bool(x[2].isnan().all()) and not bool(x[[0, 1, 3, 4]].isnan().any())
