"""`match` finds the independent units of largest likelihood."""

import copy
import math

import pytest
import torch

import harmonium as hm
from registry import DOUBLE, LAYERS, address, layer, parts, uniforms

ROWS = 400
SMOOTHED = ("Bernoulli", "Spin", "Categorical", "Binomial", "Poisson")


def data(name, seed=2):
    """Rows of a layer with other parameters than the one to be fitted."""
    source = layer(name, seed)
    return source.sample(source.bias.detach().expand(ROWS, -1), address(12)).detach()


def pseudo_rows(part, x, w):
    """The rows and their weights with the pseudo-counts that keep constant columns finite."""
    if type(part).__name__ == "Categorical":
        q = part.cardinality
        extra, share = torch.eye(q, dtype=DOUBLE).repeat(1, part.n), 1.0 / q
    else:
        ends = {"Bernoulli": (0.0, 1.0, 0.5), "Spin": (-1.0, 1.0, 0.5), "Poisson": (0.0, 1.0, 0.5)}
        trials = getattr(part, "trials", 1)
        low, high, share = ends.get(type(part).__name__, (0.0, float(trials), 0.5 / trials))
        extra = torch.tensor([[low], [high]], dtype=DOUBLE).expand(-1, part.width)
    return torch.cat([x, extra]), torch.cat([w, torch.full((len(extra),), share, dtype=DOUBLE)])


def slope(part, x, w):
    """The gradient of the mean negative log-likelihood of independent units, the largest entry."""
    if type(part).__name__ in SMOOTHED:
        x, w = pseudo_rows(part, x, w)
    loss = ((w / w.sum()) @ part.energy(x)) + part.cumulant(part.bias[None]).sum()
    gradients = torch.autograd.grad(loss, list(part.parameters()))
    return max(float(g.abs().max()) for g in gradients)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", [n for n in LAYERS if not n.startswith("Mixed")])
def test_the_likelihood_is_stationary(name, weighted):
    units, x = layer(name, 5), data(name)
    weights = 3.0 * uniforms(40, ROWS)[:, 0] if weighted else None
    units.match(x, weights)
    assert slope(units, x, torch.ones(ROWS, dtype=DOUBLE) if weights is None else weights) < 1e-7


@pytest.mark.parametrize("name", LAYERS)
def test_a_weight_counts_rows(name):
    x = data(name)
    weights = (4 * uniforms(41, ROWS)[:, 0]).floor()
    repeated = torch.repeat_interleave(x, weights.long(), 0)
    by_weight, by_rows = layer(name, 5), layer(name, 5)
    by_weight.match(x, weights)
    by_rows.match(repeated)
    for a, b in zip(by_weight.parameters(), by_rows.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["Mixed", "MixedCounts"])
def test_mixed_layers_are_matched_part_by_part(name):
    units, x = layer(name, 5), data(name)
    keys = list(units.state_dict())
    units.match(x)
    assert list(units.state_dict()) == keys
    for part, columns in zip(parts(units), units.columns(), strict=True):
        alone = type(part)(**{k: v for k, v in part.config().items() if k != "type"}).double()
        alone.match(x[:, columns])
        assert torch.equal(units.bias[columns], alone.bias)
        for key, value in part.state_dict().items():
            assert torch.equal(value, alone.state_dict()[key])


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
@pytest.mark.parametrize("name", ["Gaussian", "ReLU", "DReLU"])
def test_continuous_units_at_any_scale(name, scale):
    x = data(name)
    units, scaled = layer(name, 5), layer(name, 6)
    units.match(x)
    scaled.match(scale * x)
    for key, value in units.state_dict().items():
        expected = value - 2.0 * math.log(scale) if "precision" in key else value / scale
        torch.testing.assert_close(scaled.state_dict()[key], expected, rtol=1e-5, atol=1e-5 / scale)


@pytest.mark.parametrize("name", LAYERS)
def test_float32_layers_are_matched_as_well_as_float32_can(name):
    x = data(name)
    single, double = copy.deepcopy(layer(name, 5)).float(), layer(name, 5)
    single.match(x.float())
    double.match(x.float().double())
    for a, b in zip(single.parameters(), double.parameters(), strict=True):
        assert a.dtype == torch.float32
        torch.testing.assert_close(a.double(), b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "units", [hm.Bernoulli(1), hm.Spin(1), hm.Categorical(1, 2), hm.Binomial(1, 3), hm.Poisson(1)]
)
def test_constant_columns_keep_finite_biases(units):
    for state in (
        units.mode(torch.full((1, units.width), 2.0)),
        units.mode(torch.full((1, units.width), -2.0)),
    ):
        units.match(state.expand(10**6, -1))
        assert bool(units.bias.isfinite().all())
        # a weight as large as the data will ever be, beyond the whole numbers of float32
        units.match(state, torch.tensor([1e12]))
        assert bool(units.bias.isfinite().all())


@pytest.mark.parametrize("name", ["Gaussian", "ReLU", "DReLU"])
@pytest.mark.parametrize("value", [0.0, 0.1, 1e4])
def test_constant_columns_are_refused_where_the_density_has_no_bound(name, value):
    x = torch.stack([torch.arange(7.0), torch.full((7,), value)], 1).double()
    units = layer(name)
    before = copy.deepcopy(units.state_dict())
    sentence = rf"x: column 1 is constant, and {name} units need a spread\.$"
    with pytest.raises(ValueError, match="^" + sentence):
        units.match(x)
    with pytest.raises(ValueError, match="^" + sentence):
        units.match(torch.cat([x, torch.full((1, 2), 3.0)]).double(), torch.tensor([1.0] * 7 + [0.0]))
    mixed = hm.Mixed(hm.Spin(1), LAYERS[name]()).double()
    keys = list(mixed.state_dict())
    with pytest.raises(ValueError, match="^" + sentence.replace("column 1", "column 2")):
        mixed.match(torch.cat([torch.ones(7, 1), x], 1))
    assert list(mixed.state_dict()) == keys
    assert all(torch.equal(p, before[k]) for k, p in units.state_dict().items())


def test_columns_wider_than_an_exponential_end_near_one():
    # no half-normal has tails this heavy; the likelihood is largest in the limit of an exponential
    x = torch.tensor([[0.01]] * 60 + [[5.0]] * 3, dtype=DOUBLE)
    units = hm.ReLU(1).double()
    units.match(x)
    assert all(bool(p.isfinite().all()) for p in units.parameters())
    assert units.mean(units.bias[None]).item() == pytest.approx(float(x.mean()), rel=1e-3)


@pytest.mark.parametrize("name", LAYERS)
def test_wrong_rows_and_weights_are_refused(name):
    units, x = layer(name), data(name)
    before = {k: p.clone() for k, p in units.state_dict().items()}
    with pytest.raises(ValueError, match=r"^x: expected shape \(batch, \d\), got"):
        units.match(torch.cat([x, x], 1))
    ones = torch.ones(ROWS)
    for wrong in (ones[1:], -ones, 0 * ones, torch.full_like(ones, math.nan), ones[:, None]):
        with pytest.raises(
            ValueError, match=rf"weights: expected {ROWS} numbers of at least 0, not all 0, got"
        ):
            units.match(x, wrong)
    with pytest.raises(ValueError, match="weights: expected 0 numbers"):
        units.match(x[:0])
    assert all(torch.equal(p, before[k]) for k, p in units.state_dict().items())
