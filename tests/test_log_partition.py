"""log Z by replica exchange and annealing, against closed forms and exact sums."""

import math

import pytest
import torch

import harmonium as hm
from harmonium.likelihood import partition
from registry import uniforms


def torus(side, coupling):
    """The Ising torus as an RBM of 0/1 units: black sites visible, white sites hidden."""
    sites = [(i, j) for i in range(side) for j in range(side)]
    black = {s: k for k, s in enumerate(s for s in sites if sum(s) % 2 == 0)}
    white = {s: k for k, s in enumerate(s for s in sites if sum(s) % 2 == 1)}
    rbm = hm.RBM(hm.Bernoulli(len(black)), hm.Bernoulli(len(white)))
    with torch.no_grad():
        rbm.weight.zero_()
        for (i, j), k in black.items():
            for step in ((0, 1), (1, 0), (0, -1), (-1, 0)):
                rbm.weight[k, white[(i + step[0]) % side, (j + step[1]) % side]] += 4 * coupling
        rbm.visible.bias.fill_(-8 * coupling)
        rbm.hidden.bias.fill_(-8 * coupling)
    return rbm


def kaufman(side, coupling):
    """log Z of the torus in spins (Kaufman 1949)."""
    gamma = [2 * coupling + math.log(math.tanh(coupling))]
    for k in range(1, 2 * side):
        c = math.cosh(2 * coupling) / math.tanh(2 * coupling) - math.cos(math.pi * k / side)
        gamma.append(math.acosh(c))
    odd, even = gamma[1::2], gamma[0::2]
    half = side / 2
    terms = [
        sum(math.log(2 * math.cosh(half * g)) for g in odd),
        sum(math.log(2 * math.sinh(half * abs(g))) for g in odd),
        sum(math.log(2 * math.cosh(half * g)) for g in even),
        sum(math.log(2 * math.sinh(half * abs(g))) for g in even),
    ]
    sign = math.copysign(1.0, gamma[0])
    top = max(terms)
    total = sum(s * math.exp(t - top) for s, t in zip((1, 1, 1, sign), terms, strict=True))
    return side * side / 2 * math.log(2 * math.sinh(2 * coupling)) + top + math.log(total) - math.log(2)


def test_the_closed_form_is_the_exact_sum_on_a_small_torus():
    exact = hm.log_partition(torus(4, 0.5)).value
    # spins in 0/1 units: E = -K Σ s s' with s = 2x - 1 adds 2NK
    assert exact == pytest.approx(kaufman(4, 0.5) - 2 * 16 * 0.5, abs=1e-4)


def test_the_torus_is_found(monkeypatch):
    truth = kaufman(10, 0.4) - 2 * 100 * 0.4
    monkeypatch.setattr(partition, "WORK", 2.0)  # by no clock: the same on a machine that is busy
    found = hm.log_partition(torus(10, 0.4), seed=1)
    width = found.high - found.low
    assert width < 0.3
    # the interval is made for 95 %; four times as wide it misses less than once in a million (about 8 σ)
    assert abs(found.value - truth) < 2 * width


def test_estimates_agree_with_exact_sums():
    rbm = hm.RBM(hm.Bernoulli(30), hm.Bernoulli(10), dtype=torch.float64)
    with torch.no_grad():
        rbm.weight.copy_(2.0 * (uniforms(5, 30, 10) - 0.5))
    exact = hm.log_partition(rbm)
    assert exact.stderr == 0.0 and exact.low == exact.value == exact.high
    found = hm.log_partition(rbm, method="annealed", seconds=1.0)
    assert abs(found.value - exact.value) < 2 * (found.high - found.low)
    assert found.ess > 10


def test_likelihoods_carry_the_interval_of_log_z():
    rbm = hm.RBM(hm.Bernoulli(6), hm.Bernoulli(3))
    v = (uniforms(2, 20, 6) < 0.5).float()
    log_z = hm.Estimate(5.0, 0.1, 4.7, 5.2, "by hand")
    found = hm.log_likelihood(rbm, v, log_partition=log_z)
    mean = float(-rbm.free_energy(v).detach().double().mean())
    assert found.value == pytest.approx(mean - 5.0)
    assert (found.low, found.high) == (pytest.approx(mean - 5.2), pytest.approx(mean - 4.7))
    assert found.details["data_stderr"] > 0
