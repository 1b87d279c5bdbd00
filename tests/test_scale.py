"""Sums over a million rows and states, and weights of any size: in float64 where they matter, never NaN."""

import math

import pytest
import torch

import harmonium as hm
from harmonium import kernels
from harmonium.kernels import Side
from harmonium.likelihood.partition import annealed_log_partition
from harmonium.likelihood.tempered import Budget
from harmonium.models.enumeration import log_sum_over_states
from registry import uniforms

ROWS = 2**20


def machine(visible=3, hidden=2, scale=1.0):
    rbm = hm.RBM(hm.Bernoulli(visible), hm.Bernoulli(hidden))
    with torch.no_grad():
        for i, p in enumerate(rbm.parameters()):
            p.copy_(scale * (2 * uniforms(i, 1, p.numel(), torch.float32).reshape(p.shape) - 1))
    return rbm


def kinds(width=3):
    """A million rows of two kinds, the rare one first, and how many there are of it."""
    x = torch.ones(ROWS, width)
    x[:7] = 0.0
    return x, 7


def test_the_mean_log_likelihood_of_a_million_rows_is_that_of_its_kinds():
    rbm, (x, rare) = machine(), kinds()
    found = hm.log_likelihood(rbm, x).value
    zeros, ones = (hm.log_likelihood(rbm, torch.full((1, 3), value)).value for value in (0.0, 1.0))
    assert found == pytest.approx((rare * zeros + (ROWS - rare) * ones) / ROWS, abs=1e-12)
    gap = hm.log_likelihood(rbm, x[:1]).value - found
    assert gap == pytest.approx(zeros - (rare * zeros + (ROWS - rare) * ones) / ROWS, abs=1e-12)


@torch.no_grad()
def test_units_are_matched_to_a_million_rows():
    far = 1000.0 + torch.tensor([-1.0, 1.0]).repeat(ROWS // 2)[:, None]
    units = hm.Gaussian(1).double()
    units.match(far)
    assert float(units.log_precision) == pytest.approx(0.0, abs=1e-9)
    assert float(units.bias) == pytest.approx(1000.0, rel=1e-12)
    x, rare = kinds()
    seen = hm.Bernoulli(3).double()
    seen.match(x)
    assert float(seen.bias[0]) == pytest.approx(math.log((ROWS - rare + 0.5) / (rare + 0.5)), rel=1e-12)


@torch.no_grad()
def test_statistics_of_a_million_rows():
    """In float32 one number after another would be off by 1.6 % here, blocks of 4096 by 2e-5."""
    rbm, (x, _) = machine(), kinds()
    w = torch.full((ROWS,), 1.0 / ROWS)
    few, one = x[:8], torch.full((8,), 1 / 8)
    before = torch.ones_like(rbm.weight)
    side = Side("bernoulli", 1, rbm.hidden.bias)
    found = kernels.two_phases(rbm.weight, side, (x, w), (few, one), before.clone())
    if found is None:
        pytest.skip("these products are not fused here")
    h = [torch.sigmoid(v.double() @ rbm.weight.double() + rbm.hidden.bias.double()) for v in (x, few)]
    right = few.double().T @ (one.double()[:, None] * h[1]) - x.double().T @ (w.double()[:, None] * h[0])
    assert (found[0].double() - before - right).abs().max() < 5e-5
    for row, phase, share in ((1, 0, w), (2, 1, one)):
        means = torch.cat([share.double() @ (x, few)[phase].double(), share.double() @ h[phase]])
        assert (found[1][row].double() - means).abs().max() < 5e-5


@torch.no_grad()
def test_blocks_in_float64_leave_the_weights_alone():
    rbm = machine().double()
    before = rbm.weight.clone()
    x = (uniforms(3, 5000, 3, torch.float64) < 0.5).double()
    w = torch.full((5000,), 1 / 5000).double()
    side = Side("bernoulli", 1, rbm.hidden.bias)
    found = kernels.two_phases(rbm.weight, side, (x, w), (x, w))
    assert torch.equal(rbm.weight, before)
    if found is not None:
        assert found[0].abs().max() < 1e-12


@torch.no_grad()
def test_products_and_phases_over_a_million_rows_of_any_model():
    rbm, (x, _) = machine(), kinds()
    third = torch.full((ROWS, 1), 1 / 3)
    second = kernels.product(x, third * x, transposed=True)
    assert (second.double() / (ROWS - 7) - float(third[0, 0])).abs().max() < 2e-5
    w = torch.full((ROWS,), 1.0 / ROWS)
    rbm.accumulate_phase((x,), w)
    wanted = machine().double()
    wanted.accumulate_phase((x.double(),), w.double())
    for p, q in zip(rbm.parameters(), wanted.parameters(), strict=True):
        assert (p.grad.double() - q.grad).abs().max() < 5e-5 * q.grad.abs().max()


@torch.no_grad()
def test_a_million_states_are_summed_without_loss():
    """Without couplings log Z is a sum of softplus, whatever the states."""
    rbm = machine(21, 20)
    rbm.weight.zero_()
    right = sum(
        float(torch.nn.functional.softplus(b.double()).sum()) for b in (rbm.visible.bias, rbm.hidden.bias)
    )
    assert hm.log_partition(rbm, method="exact").value == pytest.approx(right, abs=1e-11)
    assert log_sum_over_states(rbm.double(), 0) == pytest.approx(right, abs=1e-11)


@pytest.mark.parametrize("scale", [1e3, 1e6, 1e12, 1e30])
@torch.no_grad()
def test_weights_of_any_size_have_a_log_z_samples_and_no_nan(scale):
    rbm = machine(4, 3, scale)
    states = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 7).double()
    energy = -states[:, :4] @ rbm.visible.bias.double() - states[:, 4:] @ rbm.hidden.bias.double()
    energy -= ((states[:, :4] @ rbm.weight.double()) * states[:, 4:]).sum(1)
    right = float(torch.logsumexp(-energy, 0))
    assert hm.log_partition(rbm).value == pytest.approx(right, rel=1e-5)
    v = hm.sample(rbm, 50, seed=0)
    assert bool(((v == 0) | (v == 1)).all())
    best = states[energy.argmin(), :4]
    assert torch.equal(v.double(), best.expand(50, 4))  # all but one state are out of reach
    assert math.isfinite(hm.log_likelihood(rbm, v).value)


@pytest.mark.parametrize("scale", [30.0, 1e3, 1e6])
@torch.no_grad()
def test_log_z_of_strong_couplings_by_sampling_holds_or_warns(scale):
    rbm = machine(12, 8, scale)
    right = hm.log_partition(rbm, method="exact").value
    e = annealed_log_partition(rbm, Budget(0.2), 1)
    assert math.isfinite(e.value) and e.low <= e.value <= e.high
    assert e.low <= right <= e.high
    assert any("rounded" in w for w in e.warnings) == (scale > 1e5)
    double = annealed_log_partition(rbm.double(), Budget(0.2), 1)
    assert double.low <= right <= double.high and not any("rounded" in w for w in double.warnings)
