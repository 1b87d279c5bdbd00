"""Every type of unit against summation and quadrature, autograd and the contract of its layer."""

import copy
import math

import numpy as np
import pytest
import torch

import harmonium as hm
from registry import (
    CONTINUOUS,
    DOUBLE,
    FINITE,
    LAYERS,
    address,
    layer,
    parts,
    site_potential,
    table,
    uniforms,
)
from site_reference import site_at
from statistics_budget import z_threshold

SINGLE_TYPES = [name for name in LAYERS if name not in ("Categorical", "Mixed", "MixedCounts")]
FIELDS = [-1e4, -200.0, -30.0, -5.0001, -1.0, -1e-8, 0.0, 1e-8, 0.3, 1.0, 5.0, 8.0, 30.0, 200.0, 1e4]
POISSON_TOP = 8.0  # above, rates are too large to sum


def fields_for(name, columns, dtype=DOUBLE):
    """The extreme fields, one a row, the same for all columns."""
    fields = [f for f in FIELDS if name != "Poisson" or f <= POISSON_TOP]
    return torch.tensor(fields, dtype=dtype)[:, None].repeat(1, columns)


def moderate(units, seed=5, rows=7):
    """Random fields in ±3."""
    return 6.0 * uniforms(seed, rows, units.width) - 3.0


def copied(units, dtype):
    """The same layer in another dtype."""
    return copy.deepcopy(units).to(dtype)


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


# ---------------------------------------------------------------- layers
@pytest.mark.parametrize("name", LAYERS)
def test_encode_and_decode_round_trip(name):
    units = layer(name)
    states = table(units).states[:200]
    codes = units.decode(states)
    assert codes.shape == (len(states), units.code_width)
    back = units.encode(codes)
    assert torch.equal(back.to(states), states)


def test_codes_are_checked():
    units = hm.Categorical(2, states=3)
    one_hot = [[0.0, 0, 1, 1, 0, 0]]
    for dtype in (torch.uint8, torch.int64, torch.float32, DOUBLE):
        assert units.encode(torch.tensor([[2, 0]], dtype=dtype)).tolist() == one_hot
    for wrong in ([[3, 0]], [[-1, 0]], [[0.5, 0]], [[math.nan, 0]]):
        with pytest.raises(
            ValueError, match=r"^codes: expected integers from 0 to 2, got (3|-1|0\.5|nan)\.$"
        ):
            units.encode(torch.tensor(wrong))
    with pytest.raises(ValueError, match=r"^codes: expected shape \(batch, 2\), got \(1, 3\)\.$"):
        units.encode(torch.zeros(1, 3))


@pytest.mark.parametrize("name", ["Mixed", "MixedCounts"])
def test_mixed_is_its_parts(name):
    units = layer(name)
    fields, states = 0.5 * moderate(units), table(units).states[:40]
    pieces, site, unit = parts(units), 0, 8
    drawn = units.sample(fields, address(4).at(unit=8))
    for part, columns in zip(pieces, units.columns(), strict=True):
        sites = slice(site, site + part.n)
        for function in ("mean", "variance", "mode"):
            assert torch.equal(
                getattr(units, function)(fields)[:, columns], getattr(part, function)(fields[:, columns])
            )
        assert torch.equal(units.cumulant(fields)[:, sites], part.cumulant(fields[:, columns]))
        assert torch.equal(units.potential(states)[:, sites], part.potential(states[:, columns]))
        assert torch.equal(drawn[:, columns], part.sample(fields[:, columns], address(4).at(unit=unit)))
        site, unit = site + part.n, unit + part.unit_numbers
    assert units.width == sum(p.width for p in pieces) and units.unit_numbers == unit - 8
    assert units.bias.shape == (units.width,)
    assert not any("bias" in key for key in units.state_dict() if key != "bias")


def test_mixed_keeps_the_biases_of_its_parts():
    left, right = layer("Spin"), layer("Gaussian")
    expected = torch.cat([left.bias, right.bias]).detach()
    assert torch.equal(hm.Mixed(left, right).bias.detach(), expected)


@pytest.mark.parametrize(
    ("make", "kind", "words"),
    [
        (lambda: hm.Bernoulli(0), ValueError, "n must be an integer of at least 1, got 0"),
        (lambda: hm.Categorical(2, states=1), ValueError, "states must be an integer of at least 2, got 1"),
        (lambda: hm.Binomial(2, trials=0), ValueError, "trials must be an integer of at least 1, got 0"),
        (lambda: hm.Mixed(), TypeError, "parts: expected one or more layers of units"),
        (lambda: hm.Mixed(hm.Mixed(hm.Spin(1))), TypeError, "none of them Mixed"),
        (lambda: hm.Mixed(*[hm.Spin(1)] * 2), ValueError, "parts: expected layers of their own"),
        (lambda: hm.Mixed(*parts(hm.Mixed(hm.Spin(1)))), ValueError, "belongs to another Mixed"),
    ],
)
def test_wrong_layers_are_refused(make, kind, words):
    with pytest.raises(kind, match=words):
        make()


def rebuilt(config):
    """A layer from its configuration."""
    config = dict(config)
    kind = getattr(hm, config.pop("type"))
    return kind(*map(rebuilt, config.pop("parts"))) if "parts" in config else kind(**config)


@pytest.mark.parametrize("name", LAYERS)
def test_layers_are_rebuilt_copied_and_moved(name):
    units = layer(name)
    fields = moderate(units)
    again = rebuilt(units.config()).double()
    again.load_state_dict(units.state_dict())
    twin = copy.deepcopy(units)
    for other in (again, twin):
        assert repr(other) == repr(units)
        assert torch.equal(other.cumulant(fields), units.cumulant(fields))
        assert [n for n, _ in other.named_parameters()] == [n for n, _ in units.named_parameters()]
    with torch.no_grad():
        twin.bias.add_(1.0)
    assert not torch.equal(twin.bias, units.bias)
    for dtype in (torch.float32, DOUBLE):
        moved = copied(units, dtype)
        field = fields.to(dtype)
        for result in (
            moved.cumulant(field),
            moved.mean(field),
            moved.mode(field),
            moved.sample(field, address(1)),
        ):
            assert result.dtype == dtype
        assert all(p.dtype == dtype for p in moved.parameters())


# ---------------------------------------------------------------- mixtures of potentials
@pytest.mark.parametrize("name", LAYERS)
def test_interpolated_units_have_the_mixture_of_the_potentials(name):
    start, end = layer(name, 3), layer(name, 4)
    states = table(start)
    x = states.states[:: max(1, len(states.states) // 40)]
    before = {k: p.clone() for k, p in start.state_dict().items()}
    one_each = torch.linspace(0, 1, len(x), dtype=DOUBLE)[:, None]
    for beta in (0.0, 0.37, 1.0, one_each):
        mixed = start.interpolate(end, beta)
        expected = (1 - beta) * start.potential(x) + beta * end.potential(x)
        torch.testing.assert_close(mixed.potential(x), expected, rtol=1e-12, atol=1e-12)
    fields = moderate(start, rows=len(one_each)) * 0.6
    each = start.interpolate(end, one_each)
    for function in ("cumulant", "mean", "variance", "mode"):
        rows = [
            getattr(start.interpolate(end, float(b)), function)(f[None])
            for b, f in zip(one_each, fields, strict=True)
        ]
        torch.testing.assert_close(getattr(each, function)(fields), torch.cat(rows), rtol=1e-12, atol=1e-14)
    drawn = each.sample(fields, address(2))
    for k in (0, len(one_each) - 1):
        alone = start.interpolate(end, float(one_each[k])).sample(fields[k : k + 1], address(2).at(chain=k))
        torch.testing.assert_close(drawn[k : k + 1], alone, rtol=1e-12, atol=1e-14)
    assert all(torch.equal(p, before[k]) for k, p in start.state_dict().items())


@pytest.mark.parametrize("name", [*CONTINUOUS, "Mixed"])
def test_interpolated_cumulant_integrates_the_mixture(name):
    start, end = layer(name, 3), layer(name, 4)
    states = table(start)
    mixed = start.interpolate(end, 0.4)
    field = 0.5 * moderate(start, rows=1)
    potential = 0.6 * start.potential(states.states).sum(-1) + 0.4 * end.potential(states.states).sum(-1)
    log_z = torch.logsumexp(states.log_measure + states.states @ field[0] - potential, 0)
    torch.testing.assert_close(mixed.cumulant(field).sum(), log_z, rtol=1e-7, atol=0)


def test_site_potential_is_written_for_every_type():
    for name in LAYERS:
        for part in parts(layer(name)):
            assert site_potential(part, 0, torch.zeros(1, 1, dtype=DOUBLE)).shape == (1,)


def interleaved():
    """A layer whose parts of one kind lie apart, with parameters of their own."""
    parts = [hm.Gaussian(1), hm.Bernoulli(2), hm.Categorical(1, 3), hm.Poisson(1), hm.Gaussian(2)]
    parts += [hm.Binomial(1, 4), hm.Categorical(2, 3), hm.Bernoulli(1), hm.Binomial(1, 5), hm.Poisson(2)]
    mixed = hm.Mixed(*parts, hm.Categorical(1, 2))
    with torch.no_grad():
        mixed.parts[0].log_precision.fill_(0.7)
        mixed.parts[4].log_precision.copy_(torch.tensor([-0.4, 0.2]))
    return mixed


def test_parts_of_one_kind_that_lie_apart_are_as_if_each_were_alone():
    mixed = interleaved()
    field = uniforms(5, 200, mixed.width) - 0.5
    x = mixed.sample(field, address(6)).detach()
    assert mixed.violation(x) is None
    each = list(zip(mixed.parts, mixed.columns(), strict=True))
    for name in ("mean", "variance", "mode", "cumulant"):
        alone = torch.cat([getattr(part, name)(field[:, columns]) for part, columns in each], 1)
        torch.testing.assert_close(getattr(mixed, name)(field), alone)
    alone = torch.cat([part.potential(x[:, columns]) for part, columns in each], 1)
    torch.testing.assert_close(mixed.potential(x), alone)
    assert torch.equal(mixed.decode(x), torch.cat([p.decode(x[:, c]).to(x) for p, c in each], 1))
    assert torch.equal(mixed.encode(mixed.decode(x)), x)
    scales = [mixed.parts[0].log_precision, mixed.parts[4].log_precision]
    found, expected = (torch.autograd.grad(y.sum(), scales) for y in (mixed.potential(x), alone))
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b)


def test_parts_of_one_kind_that_lie_apart_draw_from_their_own_fields():
    mixed = interleaved()
    field = torch.linspace(-1.0, 1.0, mixed.width)
    x = mixed.sample(field.expand(40_000, -1), address(7)).detach()
    mean, variance = (f(field[None])[0].detach() for f in (mixed.mean, mixed.variance))
    z = (x.mean(0) - mean).abs() / (variance / len(x)).sqrt()
    assert float(z.max()) <= z_threshold(comparisons=mixed.width)
