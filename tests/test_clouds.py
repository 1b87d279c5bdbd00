"""Rows in separate clouds are learned as such, with the shares that they have."""

import numpy as np
import pytest
import torch

import harmonium as hm
from awkward import CLOUDS, clouds
from harmonium.recipes.clouds import couple_to_clouds
from registry import uniforms
from statistics_budget import z_threshold

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
