"""Rows in separate clouds are learned as such, with the shares that they have."""

import numpy as np
import pytest
import torch

import harmonium as hm
from awkward import CLOUDS, clouds
from harmonium.learning import AncestralNegatives, PersistentChains, equally_weighted
from harmonium.random import Address, Purpose
from harmonium.recipes.start.clouds import couple_to_clouds
from harmonium.sampling import initial_chains
from harmonium.sampling.jumps import CloudJumps
from registry import uniforms
from statistics_budget import z_threshold

NO_ROWS = equally_weighted(torch.zeros(1, 1))
FORMS = {"Bernoulli": hm.Bernoulli, "Spin": hm.Spin}


@pytest.mark.parametrize(("name", "hidden"), [*((name, "Bernoulli") for name in CLOUDS), ("three", "Spin")])
def test_a_machine_begins_as_the_mixture(name, hidden):
    x, _, best = clouds(name)
    rows = torch.from_numpy(x)
    rbm = hm.RBM(hm.Gaussian(x.shape[1]), FORMS[hidden](6), dtype=torch.float64)
    rbm.visible.match(rows)
    assert couple_to_clouds(rbm, rows)
    assert abs(hm.log_likelihood(rbm, rows).value - best) < 0.15


@pytest.mark.parametrize("columns", [[0, 2], [1]], ids=["in two", "in one"])
def test_only_real_columns_are_coupled(columns):
    x, _, _ = clouds("two")
    bits = (torch.arange(600 * 3).reshape(600, 3) * 7919 % 11 < 4).double()
    table, kinds = bits.clone(), [hm.Bernoulli(1) for _ in range(3)]
    for c in columns:
        table[:, c], kinds[c] = torch.from_numpy(x[:, 0]) * (c + 1), hm.Gaussian(1)
    table += torch.special.ndtri(uniforms(0, 600, 3)) * torch.tensor([1.0, 0.0, 2.0])
    rbm = hm.RBM(hm.Mixed(*kinds), hm.Bernoulli(4), dtype=torch.float64)
    rbm.visible.match(table)
    before = rbm.weight.detach().clone()
    assert couple_to_clouds(rbm, table)
    others = [c for c in range(3) if c not in columns]
    assert torch.equal(rbm.weight[others, 1:], before[others, 1:])
    assert float(rbm.weight[others, 0].detach().abs().max()) == 0.0
    assert float(rbm.weight[columns, 0].detach().abs().max()) > 1.0


def test_rows_that_count_more_are_more_of_the_cloud():
    x, centres, _ = clouds("two")
    rows = torch.from_numpy(x)
    weights = torch.where(rows[:, 0] > 0, 3.0, 1.0)
    rbm = hm.RBM(hm.Gaussian(1), hm.Bernoulli(2), dtype=torch.float64)
    rbm.visible.match(rows, weights)
    assert couple_to_clouds(rbm, rows, weights)
    drawn = hm.sample(rbm, 4000, seed=0)
    wanted = float((weights * (rows[:, 0] > 0)).sum() / weights.sum())
    assert abs(float((drawn > 0).double().mean()) - wanted) < 0.02 + z_threshold() * (0.25 / 4000) ** 0.5


@pytest.mark.parametrize("kind", ["normal", "correlated", "heavy tails", "uniform", "few values", "repeated"])
def test_usual_columns_start_as_before(kind):
    numbers = np.random.default_rng(0)
    x = {
        "normal": lambda: numbers.normal(size=(500, 3)),
        "correlated": lambda: numbers.normal(size=(500, 3)) @ numbers.normal(size=(3, 3)),
        "heavy tails": lambda: numbers.standard_t(3, size=(500, 2)),
        "uniform": lambda: numbers.random(size=(500, 2)),
        "few values": lambda: numbers.integers(0, 2, (500, 2)) * 1.0,
        "repeated": lambda: np.repeat(numbers.normal(size=(5, 2)), 100, 0),
    }[kind]()
    rows = torch.from_numpy(x)
    rbm = hm.RBM(hm.Gaussian(x.shape[1]), hm.Bernoulli(4), dtype=torch.float64)
    rbm.visible.match(rows)
    before = {name: p.clone() for name, p in rbm.state_dict().items()}
    assert not couple_to_clouds(rbm, rows)
    assert all(torch.equal(p, before[name]) for name, p in rbm.state_dict().items())


@pytest.mark.parametrize("name", ["two far apart", "unequal", "small and far from zero"])
def test_training_keeps_the_clouds_and_their_shares(name):
    x, centres, best = clouds(name)
    rbm = hm.RBM(hm.Gaussian(x.shape[1]), hm.Bernoulli(3))
    hm.fit(rbm, x, steps=300)
    assert hm.log_likelihood(rbm, x).value > best - 0.15

    def shares(rows):
        nearest = ((rows[:, None] - centres) ** 2).sum(2).argmin(1)
        return np.bincount(nearest, minlength=len(centres)) / len(rows)

    drawn = shares(hm.sample(rbm, 2000, seed=1).numpy().astype(float))
    assert np.abs(drawn - shares(x)).max() < 0.03 + z_threshold(len(centres)) * (0.25 / 2000) ** 0.5


def test_jumps_leave_the_distribution_as_it_is():
    """Chains that start at exact draws stay exact draws, though the centres are off."""
    x, _, _ = clouds("unequal")
    rbm = hm.RBM(hm.Gaussian(1), hm.Bernoulli(2), dtype=torch.float64)
    rbm.visible.match(torch.from_numpy(x))
    assert couple_to_clouds(rbm, torch.from_numpy(x))
    drawn = hm.sample(rbm, 4000, seed=3)
    centres = torch.tensor([[-19.0], [20.5]], dtype=torch.float64)
    kernel = CloudJumps(centres, torch.tensor([0.5, 0.5]).double(), torch.ones(1).double())
    chains = initial_chains(rbm, len(drawn), Address(0, Purpose.TRIAL), drawn)
    for _ in range(5):
        chains = kernel(rbm, chains)
    moved = ((chains.visible > 0) != (drawn > 0)).double().mean()
    assert float(moved) > 0.05
    share, p = float((chains.visible > 0).double().mean()), float((torch.from_numpy(x) > 0).double().mean())
    assert abs(share - p) < 0.005 + z_threshold(3) * (p * (1 - p) / 4000) ** 0.5
    z = (torch.where(chains.visible > 0, chains.visible - 20.0, chains.visible + 20.0)).flatten()
    assert abs(float(z.mean())) < 0.1 + z_threshold(3) * 4000**-0.5
    assert abs(float(z.var()) - 1.0) < 0.12 + z_threshold(3) * (2 / 4000) ** 0.5


def test_chains_of_many_hidden_units_cross_between_clouds():
    x, _, best = clouds("two far apart")
    rbm, chains = hm.RBM(hm.Gaussian(1), hm.Bernoulli(14)), PersistentChains(128, 2)
    history = hm.fit(rbm, x, steps=300, negatives=chains)
    assert isinstance(chains.kernel, CloudJumps) and not any("mixed" in w for w in history.warnings)
    assert hm.log_likelihood(rbm, x).value > best - 0.15


@pytest.mark.parametrize("visible", [hm.Bernoulli(4), hm.Gaussian(2)], ids=["Bernoulli", "Gaussian"])
def test_ancestral_draws_have_the_moments_of_the_model(visible):
    rbm = hm.RBM(visible, hm.Bernoulli(3), dtype=torch.float64)
    with torch.no_grad():
        rbm.weight.copy_(2.0 * torch.special.ndtri(uniforms(9, *rbm.weight.shape)))
        rbm.hidden.bias.copy_(-rbm.weight.abs().sum(0))
    h = rbm.hidden.states(torch.arange(8)).double()
    p = torch.softmax(-rbm.hidden_free_energy(h), 0)
    mean = p @ rbm.visible_given_hidden(h)
    negatives = AncestralNegatives(2000, seed=4)
    particles = negatives.draw(rbm, NO_ROWS, 7)
    v = particles.v
    assert torch.equal(v, AncestralNegatives(2000, seed=4).draw(rbm, NO_ROWS, 7).v)
    errors = v.std(0) / len(v) ** 0.5
    assert bool(((v.mean(0) - mean).abs() <= z_threshold(len(mean)) * errors).all())
    counts = torch.stack([(particles.state[1] == state).all(1).sum() for state in h])
    assert bool(((counts - 2000 * p).abs() <= 1.0).all())  # systematic: none comes more than once too often


def test_ancestral_draws_need_a_hidden_side_that_can_be_enumerated():
    rbm = hm.RBM(hm.Bernoulli(3), hm.Bernoulli(30))
    with pytest.raises(ValueError, match="at most 65536 hidden states"):
        AncestralNegatives().draw(rbm, NO_ROWS, 0)


def test_overlapping_bars_are_told_apart():
    """Few hidden units, whose chains would keep to their modes: 0.05 nats from the truth, once 13."""
    bars = np.kron(np.eye(5), np.ones(5))
    x = (np.random.default_rng(0).random((1000, 5)) < 0.4) @ bars
    rbm = hm.RBM(hm.Bernoulli(25), hm.Bernoulli(5))
    hm.fit(rbm, x, steps=1000)
    truth = 5 * (0.4 * np.log(0.4) + 0.6 * np.log(0.6))
    assert hm.log_likelihood(rbm, x).value > truth - 1.0
