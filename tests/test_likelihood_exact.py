"""Exact log Z: the compiled sum against the plain one, and both against closed forms."""

import math

import numpy as np
import pytest
import torch

import harmonium as hm
from harmonium.kernels import enumeration
from harmonium.likelihood import exact
from harmonium.models.enumeration import log_sum_over_states
from registry import build, uniforms

FACING = [("Bernoulli", "Bernoulli"), ("Spin", "Bernoulli"), ("Spin", "Spin"), ("Bernoulli", "Categorical"),
          ("Binomial", "Spin"), ("Categorical", "Bernoulli"), ("Spin", "Binomial")]  # fmt: skip


def plain(a, b, linear_a, linear_b):
    field = a[:, None, :] + b[None, :, :]
    terms = np.logaddexp(0.0, field).sum(-1) + linear_a[:, None] + linear_b[None, :]
    return terms.max() + math.log(np.exp(terms - terms.max()).sum())


@pytest.mark.parametrize("reach", [0.1, 3.0, 60.0])
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 70, 5), (130, 64, 9), (4, 5, 1200)])
def test_compiled_sum_equals_the_plain_one(reach, shape):
    high, low, n = shape
    scaled = [reach * (2 * uniforms(k, rows, n).numpy() - 1) for k, rows in ((1, high), (2, low))]
    linear = [10 * uniforms(k, rows).numpy()[:, 0] for k, rows in ((3, high), (4, low))]
    expected = plain(*scaled, *linear)
    for threads in (1, 2):
        value = enumeration.log_sum(*scaled, *linear, threads=threads)
        assert value == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_compiled_sum_is_the_same_on_any_number_of_threads():
    tables = [uniforms(k, 200, 7).numpy() for k in (1, 2)]
    linear = [uniforms(k, 200).numpy()[:, 0] for k in (3, 4)]
    assert len({enumeration.log_sum(*tables, *linear, threads=t) for t in (1, 2, 3)}) == 1


def test_compiled_sum_declines_fields_out_of_range():
    far = np.full((1, 1), 1e3)
    assert enumeration.log_sum(far, far, far[0], far[0]) is None


@pytest.mark.parametrize("pair", FACING, ids="-".join)
def test_both_sums_agree_for_every_pair_that_can_be_compiled(pair):
    rbm = build(*pair)
    for block in (0, 1):
        assert exact.compilable(rbm, block) == (pair[block] in ("Bernoulli", "Spin"))
        if exact.compilable(rbm, block):
            assert exact.compiled_sum(rbm, block) == pytest.approx(log_sum_over_states(rbm, block), rel=1e-12)


def test_out_of_range_falls_back_to_the_plain_sum():
    rbm = hm.RBM(visible=hm.Bernoulli(4), hidden=hm.Bernoulli(3), dtype=torch.float64)
    with torch.no_grad():
        rbm.weight.fill_(200.0)
    # all units on: 12 couplings of 200; nothing else comes near
    assert hm.log_partition(rbm).value == pytest.approx(2400.0, rel=1e-12)


def test_large_sum_against_its_closed_form():
    """Copies of one small machine side by side: log Z adds up."""
    copies, tile = 6, hm.RBM(visible=hm.Bernoulli(3), hidden=hm.Bernoulli(2), dtype=torch.float64)
    whole = hm.RBM(visible=hm.Bernoulli(18), hidden=hm.Bernoulli(12), dtype=torch.float64)
    with torch.no_grad():
        tile.weight.copy_(6 * uniforms(5, 3, 2) - 3)
        whole.weight.copy_(torch.block_diag(*[tile.weight] * copies))
    expected = copies * log_sum_over_states(tile, 0)
    assert hm.log_partition(whole).value == pytest.approx(expected, rel=1e-12)
    assert "2^12" in hm.log_partition(whole).method


def test_ring_of_spins_has_its_transfer_matrix_value():
    """Even sites visible, odd ones hidden, K = 1, h = 0.1, N = 20."""
    n, k, h = 20, 1.0, 0.1
    ring = hm.RBM(visible=hm.Spin(n // 2), hidden=hm.Spin(n // 2), dtype=torch.float64)
    with torch.no_grad():
        ring.weight.copy_(k * (torch.eye(n // 2) + torch.eye(n // 2).roll(1, 0)))
        ring.visible.bias.fill_(h)
        ring.hidden.bias.fill_(h)
    transfer = np.array([[k + h, -k], [-k, k - h]])
    eigenvalues = np.linalg.eigvalsh(np.exp(transfer))
    assert hm.log_partition(ring).value == pytest.approx(math.log((eigenvalues**n).sum()), rel=1e-12)


def test_an_exact_estimate_has_no_width():
    e = hm.log_partition(hm.RBM(visible=hm.Bernoulli(3), hidden=hm.Bernoulli(2)))
    assert e.stderr == 0.0 and e.low == e.value == e.high and e.ess == math.inf and not e.warnings


def test_little_time_asks_for_an_estimate_instead():
    rbm = hm.RBM(visible=hm.Bernoulli(24), hidden=hm.Bernoulli(24))
    assert exact.exact_log_partition(rbm, seconds=1e-3) is None
    assert exact.exact_log_partition(rbm, seconds=10.0) is not None
