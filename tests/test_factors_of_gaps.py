"""Factors of columns with empty cells: the likelihood against SciPy's, its stationary point, known laws."""

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

import harmonium as hm
from harmonium.recipes.start import factors_of_gaps
from harmonium.recipes.start.factors import correlations, couple_as_factors
from harmonium.recipes.start.factors_of_gaps import Factors, Known, improved


def rows(n=300, share=0.3, seed=0):
    """Normal rows of five columns with two factors, some cells empty, and their law."""
    numbers = np.random.default_rng(seed)
    loading, noise = numbers.normal(size=(5, 2)), numbers.uniform(0.1, 0.5, size=5)
    x = numbers.normal(size=(n, 2)) @ loading.T + noise**0.5 * numbers.normal(size=(n, 5)) + 1.0
    covariance = loading @ loading.T + np.diag(noise)
    known = numbers.random(x.shape) >= share
    known[:3] = False  # nothing at all is known of some rows
    return x, known, covariance, numbers.uniform(0.5, 2.0, size=(n, 1))


def given(x, known, share=None):
    share = np.ones((len(x), 1)) if share is None else share
    cells = torch.from_numpy(known).double()
    return Known(torch.from_numpy(x) * cells, cells, torch.from_numpy(share))


def begin(columns=5, factors=2, seed=1):
    numbers = torch.Generator().manual_seed(seed)
    loading = torch.randn(columns, factors, generator=numbers, dtype=torch.float64)
    return Factors(torch.zeros(columns).double(), loading, torch.full((columns,), 0.5).double())


def log_p(data: Known, factors: Factors) -> torch.Tensor:
    """Σ over rows of weight times log P of the known cells, by the covariance of these."""
    covariance = factors.loading @ factors.loading.T + factors.noise.diag()
    total = torch.zeros((), dtype=torch.float64)
    for x, cells, share in zip(data.x, data.cells.bool(), data.share[:, 0], strict=True):
        if cells.any():
            law = torch.distributions.MultivariateNormal(factors.mean[cells], covariance[cells][:, cells])
            total = total + share * law.log_prob(x[cells])
    return total


def test_the_likelihood_is_that_of_the_known_cells():
    x, known, _, share = rows(n=40)
    factors, data = begin(), given(x, known, share)
    _, value = factors_of_gaps._given_known(data, factors)
    covariance = (factors.loading @ factors.loading.T + factors.noise.diag()).numpy()
    expected = sum(
        w * multivariate_normal(factors.mean.numpy()[o], covariance[o][:, o]).logpdf(r[o])
        for r, o, w in zip(x, known, share[:, 0], strict=True)
        if o.any()
    )
    assert value == pytest.approx(expected / share.sum(), abs=1e-10)


def test_it_ends_where_the_likelihood_is_stationary(monkeypatch):
    monkeypatch.setattr(factors_of_gaps, "UNRELATED", 1e-12)
    monkeypatch.setattr(factors_of_gaps, "GAIN", -np.inf)
    monkeypatch.setattr(factors_of_gaps, "ROUNDS", 1000)
    _, known, _, share = rows()
    numbers = np.random.default_rng(0)  # one factor, of all columns: else some noise may be likeliest at 0
    data = given(numbers.normal(size=(300, 1)) + numbers.normal(size=(300, 5)), known, share)
    found = Factors(*(t.clone().requires_grad_() for t in improved(data, begin(factors=1))))
    log_p(data, found).backward()
    for tensor in found:
        assert tensor.grad.abs().max() < 3e-3  # of sums over 300 rows


def test_no_round_makes_known_cells_less_probable(monkeypatch):
    monkeypatch.setattr(factors_of_gaps, "UNRELATED", 1e-12)
    monkeypatch.setattr(factors_of_gaps, "GAIN", -np.inf)
    x, known, _, share = rows()
    data, values = given(x, known, share), []
    for rounds in range(0, 30, 3):
        monkeypatch.setattr(factors_of_gaps, "ROUNDS", rounds)
        values.append(float(log_p(data, improved(data, begin()))))
    assert (np.diff(values) > -1e-8).all() and values[-1] > values[0] + 10.0


def test_other_factors_have_the_law_that_these_had_come_to():
    """Of g with mean c and covariance S, μ + L g has mean μ + L c and covariance L S Lᵀ + Ψ."""
    x, known, _, share = rows()
    data, factors = given(x, known, share), begin()
    moments, _ = factors_of_gaps._given_known(data, factors)
    weights = (data.share / data.share.sum())[:, 0]
    mean, second = weights @ moments.mean, torch.einsum("r,rij->ij", weights, moments.second)
    spread = (second - torch.outer(mean, mean))[:2, :2]
    found = factors_of_gaps._expanded(data, moments, factors)
    assert mean[:2].abs().max() > 0.1  # else a mean that is left behind wouldn't show
    torch.testing.assert_close(found.mean, factors.mean + factors.loading @ mean[:2])
    expected = factors.loading @ spread @ factors.loading.T
    torch.testing.assert_close(found.loading @ found.loading.T, expected)
    assert found.noise is factors.noise


def test_gaps_that_hang_on_what_is_known_leave_no_trace():
    """The law of whole rows is found, where means and correlations of the cells that are left are wrong."""
    x, known, covariance, _ = rows(n=4000)
    known[:] = True
    known[x[:, 0] + x[:, 4] > 2.0, 1:3] = False
    gaps = torch.from_numpy(np.where(known, x, np.nan))
    mean, deviation, correlation = correlations(gaps, torch.ones(4000, 1).double())
    found = improved(given(x, known), begin())
    spread = np.sqrt(np.diag(covariance))
    away = np.abs(found.mean.numpy() - 1.0) / spread
    law = (found.loading @ found.loading.T + found.noise.diag()).numpy()
    error = np.abs(law - covariance) / np.outer(spread, spread)
    assert away.max() < 0.08 and error.max() < 0.12
    assert (np.abs(mean.numpy() - 1.0) / spread)[1:3].max() > 0.25
    left = np.outer(deviation, deviation) * correlation.numpy()
    assert (np.abs(left - covariance) / np.outer(spread, spread)).max() > 0.2


def test_a_column_that_hardly_any_row_knows_hangs_on_nothing_for_sure():
    x, known, _, _ = rows()
    known[:, 4] = False
    known[10, 4] = True  # one cell alone would have no noise
    found = improved(given(x, known), begin(factors=5))
    assert found.noise[4] > 0.2 and all(bool(t.isfinite().all()) for t in found)


def test_the_start_is_the_law_that_was_found():
    x, known, covariance, _ = rows(n=4000)
    table = torch.from_numpy(np.where(known, x, np.nan))
    rbm = hm.RBM(hm.Gaussian(5), hm.Mixed(hm.Bernoulli(1), hm.Gaussian(5)), dtype=torch.float64)
    with torch.no_grad():
        rbm.weight.zero_()
    assert couple_as_factors(rbm, table)
    gamma = torch.cat([rbm.visible.precision, rbm.hidden.parts_in_order()[1].log_precision.exp()]).detach()
    w, whole = rbm.weight.detach()[:, 1:], torch.diag(gamma)
    whole[:5, 5:], whole[5:, :5] = -w, -w.T
    law = torch.linalg.inv(whole)[:5, :5].numpy()
    spread = np.sqrt(np.diag(covariance))
    assert (np.abs(law - covariance) / np.outer(spread, spread)).max() < 0.12
