"""Layers of units: states in and out, units side by side, mixtures of potentials."""

import copy
import math

import pytest
import torch

import harmonium as hm
from registry import (
    CONTINUOUS,
    DOUBLE,
    LAYERS,
    address,
    copied,
    layer,
    moderate,
    parts,
    site_potential,
    table,
    uniforms,
)
from statistics_budget import z_threshold


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
