"""Rates of counts without a limit stay where there are rows."""

import pytest
import torch

import harmonium as hm
from harmonium.models.intake import rows_of
from harmonium.recipes.start.counts import limits
from registry import uniforms


def machine(hidden=40, scale=1.2):
    rbm = hm.RBM(hm.Mixed(hm.Bernoulli(3), hm.Poisson(2)), hm.Bernoulli(hidden))
    with torch.no_grad():
        rbm.weight.copy_(scale * (uniforms(1, 5, hidden, torch.float32) - 0.5))
        rbm.visible.bias.copy_(torch.tensor([0.1, -0.2, 0.3, -3.0, -9.0]))
    return rbm


def table(n=300):
    u = uniforms(2, n, 5, torch.float32)
    x = (u < 0.4).float()
    x[:, 3] = 3.0 * (u[:, 3] < 0.05)
    return x


def highest_rates(rbm):
    return (rbm.visible.bias + rbm.weight.clamp(min=0.0).sum(1)).detach()[3:].exp()


def test_a_rate_is_at_most_twice_the_largest_count_whatever_the_hidden_units_are():
    rbm, x = machine(), table()
    before, weight, bias = highest_rates(rbm), rbm.weight.clone(), rbm.visible.bias.clone()
    (limit,) = limits(rbm, rows_of(rbm, x, "x"))
    hidden = rbm.hidden_given_visible(x.mean(0, keepdim=True)).detach()
    usual = float(rbm.visible_given_hidden(hidden)[0, 3].detach())
    assert before[0] > 6.0 and before[1] < 2.0
    limit.apply(rbm)
    assert highest_rates(rbm)[0] == pytest.approx(6.0, rel=1e-4)
    assert float(rbm.visible_given_hidden(hidden)[0, 3].detach()) == pytest.approx(usual, rel=1e-4)
    others = [0, 1, 2, 4]
    assert torch.equal(rbm.weight[others], weight[others])
    assert torch.equal(rbm.visible.bias[others], bias[others])
    weight, bias = rbm.weight.clone(), rbm.visible.bias.clone()
    limit.highest += 1e-3
    limit.apply(rbm)
    assert torch.equal(rbm.weight, weight) and torch.equal(rbm.visible.bias, bias)


def test_a_bias_alone_is_held_too():
    rbm, x = machine(scale=0.0), table()
    with torch.no_grad():
        rbm.visible.bias[3] = 5.0
    limits(rbm, rows_of(rbm, x, "x"))[0].apply(rbm)
    assert highest_rates(rbm)[0] == pytest.approx(6.0, rel=1e-4)


def test_only_counts_beside_units_of_0_and_1_are_held():
    x = table().clamp(max=1.0)
    for visible, hidden in ((hm.Bernoulli(5), hm.Bernoulli(4)), (hm.Gaussian(5), hm.Bernoulli(4))):
        rbm = hm.RBM(visible, hidden)
        assert limits(rbm, rows_of(rbm, x, "x")) == []
    rbm = hm.RBM(hm.Mixed(hm.Bernoulli(3), hm.Poisson(2)), hm.Spin(4))
    assert limits(rbm, rows_of(rbm, x, "x")) == []


def test_rare_counts_beside_many_hidden_units_are_learned_within_their_rates():
    rbm = machine(128, 0.6)
    assert highest_rates(rbm)[0] > 100.0
    hm.fit(rbm, table(), steps=5)
    assert float(highest_rates(rbm).max()) <= 6.0 * 1.001
