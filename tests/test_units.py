"""Every type of unit against summation and quadrature, autograd and the contract of its layer."""

import math

import numpy as np
import pytest
import torch

import harmonium as hm
from registry import CONTINUOUS, DOUBLE, FINITE, LAYERS, address, copied, layer, moderate, table, uniforms
from site_reference import site_at

SINGLE_TYPES = [name for name in LAYERS if name not in ("Categorical", "Mixed", "MixedCounts")]
FIELDS = [-1e4, -200.0, -30.0, -5.0001, -1.0, -1e-8, 0.0, 1e-8, 0.3, 1.0, 5.0, 8.0, 30.0, 200.0, 1e4]
POISSON_TOP = 8.0  # above, rates are too large to sum


def fields_for(name, columns, dtype=DOUBLE):
    """The extreme fields, one a row, the same for all columns."""
    fields = [f for f in FIELDS if name != "Poisson" or f <= POISSON_TOP]
    return torch.tensor(fields, dtype=dtype)[:, None].repeat(1, columns)


# ---------------------------------------------------------------- Γ, Γ', Γ''
@pytest.mark.parametrize("name", SINGLE_TYPES)
@pytest.mark.parametrize("what", ["cumulant", "mean", "variance"])
def test_against_summation_or_quadrature(name, what):
    units = layer(name)
    fields = fields_for(name, units.n)
    found = getattr(units, what)(fields).detach().numpy()
    exact = [[getattr(site_at(units, i, f), what) for i in range(units.n)] for f in fields[:, 0].tolist()]
    # the two sides of a symmetric density cancel to the rounding of the reference
    smallest = 1e-17 if name in CONTINUOUS else 1e-300
    np.testing.assert_allclose(found, np.array(exact, dtype=float), rtol=1e-10, atol=smallest)


@pytest.mark.parametrize("scale", [1e-8, 1.0, 30.0, 1e4])
def test_categorical_against_summation(scale):
    units = hm.Categorical(4, states=5).double()
    fields = scale * (2.0 * uniforms(3, 6, units.width) - 1.0)
    sites = fields.numpy().astype(np.longdouble).reshape(6, 4, 5)
    top = sites.max(-1, keepdims=True)
    weight = np.exp(sites - top)
    p = weight / weight.sum(-1, keepdims=True)
    # p (1 - p) as p times the other ones: 1 - p would cancel
    others = np.stack([np.delete(p, c, -1).sum(-1) for c in range(5)], -1)
    for found, exact in (
        (units.cumulant(fields), (top + np.log(weight.sum(-1, keepdims=True)))[..., 0]),
        (units.mean(fields), p.reshape(6, 20)),
        (units.variance(fields), (p * others).reshape(6, 20)),
    ):
        np.testing.assert_allclose(found.numpy(), exact.astype(float), rtol=1e-10, atol=1e-300)


@pytest.mark.parametrize("name", SINGLE_TYPES)
@pytest.mark.parametrize(("what", "bound"), [("cumulant", 1e-6), ("mean", 3e-6), ("variance", 3e-5)])
def test_float32_stays_close_to_float64(name, what, bound):
    single = layer(name, dtype=torch.float32)
    fields = fields_for(name, single.n, torch.float32)
    found = getattr(single, what)(fields)
    exact = getattr(copied(single, DOUBLE), what)(fields.double())
    assert found.dtype == torch.float32 and bool(found.isfinite().all())
    # Γ and the mean of two sides may cross zero, where their rounding is that of their terms
    crosses = (what, name) == ("mean", "DReLU") or (what == "cumulant" and name in CONTINUOUS)
    floor = 0.3 if crosses else torch.finfo(torch.float32).tiny / bound
    assert ((found - exact).abs() / exact.abs().clamp(min=floor)).max() < bound


@pytest.mark.parametrize(("dtype", "top"), [(torch.float32, 88.0), (DOUBLE, 709.0)])
def test_poisson_rates_go_as_far_as_the_dtype(dtype, top):
    units = hm.Poisson(1).to(dtype)
    fields = torch.tensor([[-1e4], [20.0], [50.0], [top]], dtype=dtype)
    for function in (units.cumulant, units.mean, units.variance, units.mode):
        found = function(fields)
        assert bool(found.isfinite().all())
        assert found[0] == 0 and found[3] == pytest.approx(math.exp(top), rel=1e-5)
    drawn = units.sample(fields, address(1))
    assert bool(drawn.isfinite().all()) and drawn[3] == pytest.approx(math.exp(top), rel=1e-5)
    for function in (
        units.cumulant,
        units.mean,
        units.variance,
        units.mode,
        lambda f: units.sample(f, address(1)),
    ):
        with pytest.raises(
            OverflowError, match=rf"^field: expected at most {top + 0.9:.0f} .*, got {top + 1:.0f},"
        ):
            function(torch.tensor([[0.0], [top + 1.0]], dtype=dtype))


# ---------------------------------------------------------------- derivatives
@pytest.mark.parametrize("name", LAYERS)
def test_autograd_of_the_cumulant_is_the_mean_and_of_the_mean_the_variance(name):
    units = layer(name)
    fields = torch.cat([moderate(units), torch.zeros(1, units.width)]).requires_grad_()
    (mean,) = torch.autograd.grad(units.cumulant(fields).sum(), fields, create_graph=True)
    torch.testing.assert_close(mean, units.mean(fields), rtol=1e-12, atol=1e-14)
    for k in range(units.width):
        (row,) = torch.autograd.grad(units.mean(fields)[:, k].sum(), fields)
        torch.testing.assert_close(row[:, k], units.variance(fields)[:, k], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", ["Gaussian", "ReLU", "DReLU"])
def test_autograd_in_the_shape_is_minus_the_mean_derivative_of_the_potential(name):
    units = layer(name)
    states = table(units)
    field = moderate(units, rows=1)
    log_p = states.log_measure + states.states @ field[0] - units.potential(states.states).sum(-1)
    p = torch.softmax(log_p, 0).detach()
    names, shape = zip(*units.shape_parameters().items(), strict=True)
    slopes = torch.autograd.grad((p * states.potential(units)).sum(), shape)
    assert len(names) == {"Gaussian": 1, "ReLU": 1, "DReLU": 3}[name]
    for found, slope in zip(torch.autograd.grad(units.cumulant(field).sum(), shape), slopes, strict=True):
        torch.testing.assert_close(found, -slope, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", LAYERS)
def test_potential(name):
    units = layer(name)
    states = table(units)
    found = units.potential(states.states)
    assert found.shape == (len(states.states), len(states.sites))
    torch.testing.assert_close(found.sum(-1), states.potential(units), rtol=1e-12, atol=1e-12)
    energy = states.potential(units) - states.states @ units.bias
    torch.testing.assert_close(units.energy(states.states), energy, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", LAYERS)
def test_cumulant_of_a_layer_sums_its_states(name):
    units = layer(name)
    states = table(units)
    for field in moderate(units, seed=11, rows=3) * 0.6:
        log_z = torch.logsumexp(states.log_measure + states.states @ field - states.potential(units), 0)
        torch.testing.assert_close(units.cumulant(field[None]).sum(), log_z, rtol=1e-8, atol=0)


@pytest.mark.parametrize("name", LAYERS)
def test_mode_is_the_most_probable_state(name):
    units = layer(name)
    states = table(units).states
    for field in torch.cat([moderate(units), 0.5 * moderate(units, seed=6)]):
        density = states @ field - units.potential(states).sum(-1)
        mode = units.mode(field[None])
        assert units.violation(mode) is None
        here = mode[0] @ field - units.potential(mode).sum()
        assert here >= density.max() - 1e-12
    for extreme in (-1e4, 30.0, 1e4):
        if extreme < 0 or name not in ("Poisson", "MixedCounts"):
            assert units.violation(units.mode(torch.full((1, units.width), extreme, dtype=DOUBLE))) is None


# ---------------------------------------------------------------- support
WRONG_STATES = {
    "Bernoulli": ([[0.0, 1.0, 0.5], [0.0, -1.0, 1.0], [0.0, math.nan, 1.0]], "values must be 0 or 1"),
    "Spin": ([[0.0, 1.0, 1.0], [math.nan, 1.0, 1.0]], r"values must be -1 or \+1"),
    "Categorical": (
        [[1.0, 0, 0, 1, 1, 0], [0, 0, 0, 1, 0, 0], [0.5, 0.5, 0, 1, 0, 0], [math.nan, 1, 0, 1, 0, 0]],
        "every 3 columns of a site must hold a single 1 and otherwise 0",
    ),
    "Binomial": ([[4.0, 0], [-1, 0], [0.5, 0], [math.nan, 0]], "values must be whole numbers from 0 to 3"),
    "Poisson": (
        [[-1.0, 0], [0.5, 0], [math.inf, 0], [math.nan, 0]],
        "values must be whole numbers, at least 0",
    ),
    "Gaussian": ([[math.inf, 0], [math.nan, 0]], "values must be finite"),
    "ReLU": ([[-0.1, 0], [math.inf, 0], [math.nan, 0]], "values must be finite and at least 0"),
    "DReLU": ([[-math.inf, 0], [math.nan, 0]], "values must be finite"),
    "Mixed": ([[0.5, 1, 0, 0, 0], [0, 1, 1, 0, 0], [0, 1, 0, 0, math.nan]], r"columns \d to \d: "),
    "MixedCounts": ([[0, 0, 0], [1, 3, 0], [1, 0, -1]], r"columns \d to \d: "),
}


@pytest.mark.parametrize("name", LAYERS)
def test_states_are_checked_with_a_sentence(name):
    units = layer(name)
    units.check(table(units).states[:50])
    rows, words = WRONG_STATES[name]
    for row in rows:
        with pytest.raises(ValueError, match=rf"^data: {words}.* \({type(units).__name__} units\)\.$"):
            units.check(torch.tensor([row], dtype=DOUBLE), "data")
    for shape in ((2, units.width + 1), (units.width,), (1, 2, units.width)):
        with pytest.raises(ValueError, match=rf"^x: expected shape \(batch, {units.width}\), got"):
            units.check(torch.zeros(shape))


@pytest.mark.parametrize("name", LAYERS)
def test_finite_layers_enumerate_each_state_once(name):
    units = layer(name)
    if name not in FINITE:
        assert units.n_states is None
        with pytest.raises(ValueError, match="units have infinitely many states"):
            units.states(torch.arange(2))
        return
    states = units.states(torch.arange(units.n_states))
    assert units.violation(states) is None
    assert len(states) == len(states.unique(dim=0)) == len(table(units).states)
    with pytest.raises(ValueError, match=r"infinitely many"):
        hm.Mixed(LAYERS[name](), hm.Gaussian(1)).states(torch.arange(2))
    together = hm.Mixed(LAYERS[name](), hm.Bernoulli(2))
    both = together.states(torch.arange(together.n_states))
    assert together.n_states == 4 * units.n_states == len(both.unique(dim=0))
    assert together.violation(both) is None


def test_counts_and_reals_have_no_end():
    for name in LAYERS:
        kind = type(LAYERS[name]())
        assert (LAYERS[name]().n_states is None) == (name not in FINITE), kind
