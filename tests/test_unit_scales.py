"""Scales of real units in learning: neither units of measurement nor their zero matter."""

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

import harmonium as hm
from harmonium.learning import (
    Average,
    Batches,
    Learner,
    NaturalGradient,
    NegativePhase,
    Update,
    accumulate_phases,
    equally_weighted,
)
from harmonium.learning.unit_scales import couple_standardised, damping, gaussians, scale_steps, shapes
from harmonium.random import Address, Purpose
from registry import DOUBLE, build, scatter, uniforms


def table(rows=60, columns=3, seed=4):
    """Correlated columns on the scale of 1."""
    u = torch.special.ndtri(uniforms(seed, rows, columns + 1))
    return u[:, :columns] + 1.5 * u[:, columns:].sign()


def normals(seed, rows, columns):
    return torch.special.ndtri(uniforms(seed, rows, columns))


def trained(x, hidden, steps=60):
    rbm = hm.RBM(hm.Gaussian(x.shape[1]), hidden, dtype=DOUBLE, seed=3)
    hm.fit(rbm, x, steps=steps, chains=64)
    return hm.log_likelihood(rbm, x).value


@pytest.mark.parametrize("hidden", [lambda: hm.Bernoulli(4), lambda: hm.Gaussian(2)])
def test_learning_does_not_depend_on_units_of_measurement(hidden):
    """The same draws, the same path: log-likelihoods differ by the change of the volume alone."""
    x = table()
    scale = torch.tensor([1e-3, 1.0, 250.0], dtype=DOUBLE)
    here, there = trained(x, hidden()), trained(x * scale, hidden())
    assert here - float(scale.log().sum()) == pytest.approx(there, abs=1e-6)


@pytest.mark.parametrize("kind", [hm.ReLU, hm.DReLU])
def test_nor_does_that_of_rectified_units(kind):
    x, scale = table(200), torch.tensor([1e-3, 1.0, 250.0], dtype=DOUBLE)
    x = x.abs() if kind is hm.ReLU else x
    reached = []
    for rows in (x, x * scale):
        rbm = hm.RBM(kind(3), hm.Bernoulli(4), dtype=DOUBLE, seed=3)
        history = hm.fit(rbm, rows, steps=100, chains=64, rules=())
        reached.append(history.records[-1]["train_log_likelihood"])
        assert reached[-1] > history.records[0]["train_log_likelihood"]
    assert reached[0] - float(scale.log().sum()) == pytest.approx(reached[1], abs=2e-3)


def test_the_step_of_a_shape_is_what_is_left_when_the_bias_has_taken_its_share():
    """Least squares of T on x: the residual's variance, and the slope by which the bias follows."""
    layer = hm.Mixed(hm.Bernoulli(1), hm.DReLU(2)).to(DOUBLE)
    scatter(layer, 3)
    x = torch.cat([(uniforms(1, 500, 1) < 0.5).double(), 3.0 * uniforms(2, 500, 2) - 1.0], 1)
    weights = torch.full((500,), 1 / 500, dtype=DOUBLE)
    plain, gradient = uniforms(4, 1, 3)[0], uniforms(5, 1, 2)[0]
    unit = layer.parts[1]
    statistic = {
        "log_precision_positive": 0.5 * unit.log_precision_positive.exp() * x[:, 1:].clamp(min=0.0) ** 2,
        "log_precision_negative": 0.5 * unit.log_precision_negative.exp() * x[:, 1:].clamp(max=0.0) ** 2,
        "threshold": x[:, 1:].abs(),
    }
    found = {shape.name: shape for shape in shapes(layer)}
    assert set(found) == set(statistic)
    for name, shape in found.items():
        getattr(unit, name).grad = gradient.clone()
        step, follows = shape.step(shape.statistics(x, weights), plain)
        for k in range(2):
            t, v = statistic[name][:, k].detach().numpy(), x[:, 1 + k].numpy()
            slope, constant = np.polyfit(v, t, 1)
            left = max(np.var(t - slope * v - constant), 0.05 * (np.var(t) if name == "threshold" else 1.0))
            wanted = (float(gradient[k]) + slope * float(plain[1 + k])) / left
            assert float(step[k]) == pytest.approx(wanted) and float(follows[k]) == pytest.approx(
                slope * wanted
            )


def test_real_columns_of_very_different_scales_are_learned_at_the_default():
    x = (table(400) * torch.tensor([1e-2, 1.0, 300.0]) + torch.tensor([0.01, 3.0, 600.0])).float()
    rbm = hm.RBM(hm.Gaussian(3), hm.Bernoulli(6))
    history = hm.fit(rbm, x, steps=400)
    independent = hm.RBM(hm.Gaussian(3), hm.Bernoulli(1))
    independent.visible.match(x)
    with torch.no_grad():
        independent.weight.zero_()
    assert not history.warnings
    gain = hm.log_likelihood(rbm, x).value - hm.log_likelihood(independent, x).value
    assert gain > 0.5


def test_the_gradient_of_the_scale_is_that_at_a_fixed_mean():
    model = build("Mixed", "Gaussian")
    data, negatives = (
        equally_weighted(model.random_state(9, Address(k, Purpose.TRIAL))[0].detach()) for k in (1, 2)
    )
    accumulate_phases(model, data, negatives)
    (scale,) = gaussians(model.visible)
    offset = uniforms(6, 1, model.visible.width)[0]
    found = scale.centred(offset, model.visible.bias.grad)
    log_precision = scale.units.log_precision.detach().clone().requires_grad_()
    mu = offset[scale.columns]

    def energy(particles):
        return (0.5 * log_precision.exp() * (particles.v[:, scale.columns] - mu) ** 2).mean(0).sum()

    (energy(data) - energy(negatives)).backward()
    torch.testing.assert_close(found, log_precision.grad)


def test_the_bias_follows_the_scale():
    layer = hm.Gaussian(2).to(DOUBLE)
    scatter(layer, 3)
    plain, offset, variance = uniforms(1, 3, 2) + 0.5
    layer.bias.grad, layer.log_precision.grad = torch.zeros(2, dtype=DOUBLE), plain.clone()
    gamma = layer.precision.detach()
    scale_steps(layer, offset, plain, variance / gamma + 1 / gamma)
    wanted = 2 * (plain + gamma * offset * plain) / (variance + 1) ** 2
    torch.testing.assert_close(layer.log_precision.grad, wanted)
    torch.testing.assert_close(layer.bias.grad, gamma * offset * wanted)


def test_natural_steps_find_mean_and_width_of_a_gaussian_far_from_zero():
    x = 5.0 + 0.3 * table(200, 1)
    rbm = hm.RBM(hm.Gaussian(1), hm.Bernoulli(1), dtype=DOUBLE)
    with torch.no_grad():
        rbm.visible.match(x + 0.2 * x.sub(x.mean()).sign())
        rbm.weight.zero_()

    class Drawn(NegativePhase):
        def draw(self, model, data, step):
            z = torch.special.ndtri(uniforms(5, 2001))
            return equally_weighted(model.visible.location + model.visible.scale * z)

    rest = {"params": [rbm.weight, rbm.hidden.bias], "lr": 0.0}
    own = {"params": list(rbm.visible.parameters())}
    optimiser = torch.optim.SGD([own, rest], lr=0.2)
    batches = Batches(x, 200, lambda rows, numbers, epoch: rows)
    learner = Learner(rbm, batches, Drawn(), optimiser, [NaturalGradient()])
    for step in range(60):
        learner.update(step)
    z = torch.special.ndtri(uniforms(5, 2001))
    assert float(rbm.visible.location) == pytest.approx(float(x.mean()), abs=0.03)
    assert float(rbm.visible.scale) == pytest.approx(float(x.std() / z.std()), rel=0.02)


def test_fresh_couplings_are_those_of_standardised_columns():
    model = build("Gaussian", "Bernoulli")
    before = model.weight.detach().clone(), model.hidden.bias.detach().clone()
    v = model.visible.sample(torch.zeros(5, 2, dtype=DOUBLE), Address(1, Purpose.TRIAL))
    couple_standardised(model)
    z = (v - model.visible.location) / model.visible.scale
    torch.testing.assert_close(v @ model.weight + model.hidden.bias, z @ before[0] + before[1])
    others = build("Bernoulli", "Gaussian")
    weight = others.weight.detach().clone()
    couple_standardised(others)
    assert torch.equal(others.weight, weight)


def test_damping_is_common_to_all_but_real_columns():
    layer = hm.Mixed(hm.Bernoulli(2), hm.Gaussian(2))
    covariance = torch.diag(torch.tensor([0.1, 0.3, 50.0, 7.0]))
    assert damping(layer, covariance, 0.5, 100).tolist() == pytest.approx([0.1, 0.1, 25.0, 3.5])
    assert np.isclose(damping(hm.Gaussian(4), covariance, 1.0, 100)[0], 0.1)


def test_damping_is_no_less_than_what_one_particle_tells():
    still = torch.diag(torch.full((4,), 1e-12, dtype=torch.float64))
    for layer, square in ((hm.Bernoulli(4), 1.0), (hm.Spin(4), 4.0), (hm.Binomial(4, trials=3), 3.0)):
        floor = damping(layer, still, 0.5, 200)
        assert floor.dtype == torch.float64 and floor.tolist() == pytest.approx([square / 200] * 4)


def test_units_far_from_zero_keep_their_place_in_the_average_while_their_scale_changes():
    model = hm.RBM(hm.Mixed(hm.Bernoulli(1), hm.Gaussian(2)), hm.Bernoulli(1))
    gaussian, place = model.visible.parts[1], torch.tensor([40.0, -3.0])
    average = Average(model, horizon=1000)
    logs = torch.linspace(0.0, 1.0, 21)
    with torch.no_grad():
        for step, log_precision in enumerate(logs):
            gaussian.log_precision.fill_(float(log_precision))
            model.visible.bias[1:] = place * gaussian.precision
            model.visible.bias[0] = float(step)
            average(Update(step + 1, model, None, None))
    found = average.model.visible
    assert found.parts[1].log_precision.tolist() == pytest.approx([0.5, 0.5], abs=1e-6)
    assert (found.bias[1:] / found.parts[1].precision).tolist() == pytest.approx(place.tolist(), rel=1e-5)
    assert float(found.bias[0]) == pytest.approx(10.0)  # other biases as ever


def test_columns_far_from_zero_and_of_any_scale_train_as_others_do():
    z = 4.0 * (uniforms(12, 900, 2) < 0.5).double()
    x = z @ torch.tensor([[1.0, 1, 1, 0], [0, 1, 1, 1]]).double() + normals(13, 900, 4)
    x = (x - x.mean(0)) / x.std(0)
    scales = torch.tensor([1e-3, 1.0, 1e3, 1.0]).double()
    reached = []
    for far in (False, True):
        rows = (x + 11.0) * scales if far else x
        rbm = hm.RBM(hm.Gaussian(4), hm.Bernoulli(6))
        history = hm.fit(rbm, rows[200:], steps=300)
        values = [r["train_log_likelihood"] for r in history.records]
        assert min(b - a for a, b in zip(values, values[1:], strict=False)) > -0.05 and not history.warnings
        reached.append(hm.log_likelihood(rbm, rows[:200]).value)  # the scales multiply to 1
    normal = multivariate_normal(x[200:].mean(0), np.cov(x[200:].T)).logpdf(x[:200]).mean()
    assert reached[0] > normal and abs(reached[1] - reached[0]) < 0.15
