"""Gauges of one-hot sites: parameters change, probabilities don't."""

import pytest
import torch

import harmonium as hm
from harmonium.learning import (
    Batches,
    Centring,
    ExactNegatives,
    Gauge,
    GroupSparsity,
    Learner,
    accumulate_phases,
    equally_weighted,
    fix_gauge,
    train,
)
from harmonium.random import Address, Purpose
from registry import DOUBLE, build, scatter

LAYERS = {
    "one-hot to 0/1": lambda: build("Categorical", "Bernoulli"),
    "0/1 to one-hot": lambda: build("Bernoulli", "Categorical"),
    "one-hot to one-hot": lambda: build("Categorical", "Categorical"),
    "mixed to Gaussian": lambda: build("Mixed", "Gaussian"),
}


def states_of(model, n=12):
    return model.random_state(n, Address(3, Purpose.TRIAL))


def sites_of(units, matrix):
    """The rows of each one-hot site of the registry's layers, all with 3 states."""
    first = 1 if isinstance(units, hm.Mixed) else 0
    columns = 3 if isinstance(units, hm.Mixed) else units.width
    return matrix[first : first + columns].unflatten(0, (-1, 3))


@pytest.mark.parametrize("gauge", ["zero-sum", "lattice-gas"])
@pytest.mark.parametrize("name", LAYERS)
def test_a_gauge_shifts_all_energies_by_one_constant(name, gauge):
    model = LAYERS[name]()
    v, h = states_of(model)
    with torch.no_grad():
        before = model.energy(v, h)
        weight = model.weight.clone()
        fix_gauge(model, gauge)
        shift = model.energy(v, h) - before
    torch.testing.assert_close(shift, shift[:1].expand_as(shift), rtol=0, atol=1e-12)
    assert float((model.weight - weight).detach().abs().max()) > 0.01  # there was something to do


@pytest.mark.parametrize("name", LAYERS)
def test_what_the_gauges_promise(name):
    for gauge, out in (("zero-sum", lambda x: x.sum(1)), ("lattice-gas", lambda x: x[:, -1])):
        model = LAYERS[name]()
        fix_gauge(model, gauge)
        sides = ((model.visible, model.weight), (model.hidden, model.weight.T))
        for units, weight in sides:
            if isinstance(units, (hm.Categorical, hm.Mixed)):
                for matrix in (weight, units.bias[:, None]):
                    assert float(out(sites_of(units, matrix.detach())).abs().max()) < 1e-12


def test_probabilities_stay_and_so_does_a_gauge_that_is_fixed():
    model = build("Categorical", "Bernoulli")
    p = model.probabilities()
    fix_gauge(model, "lattice-gas")
    fix_gauge(model)
    torch.testing.assert_close(model.probabilities(), p)
    weight = model.weight.detach().clone()
    fix_gauge(model)
    torch.testing.assert_close(model.weight.detach(), weight)


def test_the_zero_sum_gauge_has_the_smallest_squares():
    model = build("Categorical", "Categorical")
    fix_gauge(model)
    least = float(model.weight.detach().square().sum())
    for k in range(5):
        moved = model.weight.detach().clone().unflatten(0, (-1, 3))
        moved[0] += 0.1 * (k + 1)
        assert float(moved.square().sum()) > least


def test_other_units_are_left_alone():
    model = build("Bernoulli", "Gaussian")
    before = [p.detach().clone() for p in model.parameters()]
    fix_gauge(model)
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), before, strict=True))


def test_the_gauge_is_kept_while_training():
    model = build("Categorical", "Bernoulli")
    v = states_of(model)[0]
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    batches = Batches(v, 4, lambda x, numbers, epoch: x)
    learner = Learner(model, batches, ExactNegatives(), optimiser, [Centring(), GroupSparsity(0.1)])
    seen = []
    train(
        learner,
        5,
        [
            Gauge(),
            lambda u: seen.append(
                float(sites_of(u.model.visible, u.model.weight).detach().sum(1).abs().max())
            ),
        ],
    )
    assert len(seen) == 5 and max(seen) < 1e-12


def test_wrong_gauges_and_models_are_refused():
    with pytest.raises(ValueError, match="gauge must be 'zero-sum' or 'lattice-gas'"):
        fix_gauge(build("Categorical", "Bernoulli"), "wild-type")
    with pytest.raises(TypeError, match="got BoltzmannMachine"):
        fix_gauge(hm.BoltzmannMachine(3))


def test_group_sparsity_counts_states_of_sites_as_the_paper_does():
    """(λ₁² / 2qN) Σ_μ (Σ over sites and states of |w|)² with q = 3 states at N = 2 sites."""
    model = hm.RBM(hm.Categorical(2, states=3), hm.Bernoulli(4), dtype=DOUBLE)
    scatter(model, 4)
    data = equally_weighted(states_of(model)[0])
    phases = accumulate_phases(model, data, data)  # whose gradient is zero
    GroupSparsity(0.7)(model, phases)
    weight = model.weight.detach().clone().requires_grad_()
    (0.7 / (2 * 3 * 2) * (weight.abs().sum(0) ** 2).sum()).backward()
    torch.testing.assert_close(model.weight.grad, weight.grad)
