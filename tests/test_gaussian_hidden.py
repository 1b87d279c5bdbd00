"""Gaussian hidden units beside 0/1 ones: for which tables, exact sums, and couplings where Z is finite."""

import numpy as np
import pandas as pd
import pytest
import torch

import harmonium as hm
from harmonium.learning import Average, Update
from harmonium.learning.loop import check_finite
from harmonium.models.gaussian_rest import log_sum_beside_gaussians, states_beside_gaussians
from harmonium.recipes.model_choice import FACTORS, hidden_units
from harmonium.recipes.start.factors import couple_as_factors, factor_analysis
from harmonium.recipes.start.real_columns import CouplingCeiling


def machine(visible, hidden, strength=0.4, seed=3):
    rbm = hm.RBM(visible, hidden, seed=seed, dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in rbm.parameters():
            p.copy_(strength * torch.randn(p.shape, generator=generator, dtype=p.dtype))
    return rbm


def on_a_grid(rbm):
    """log Z of a machine whose last hidden unit is the only Gaussian one, by quadrature over it."""
    g = torch.linspace(-40.0, 40.0, 8001, dtype=torch.float64)
    others = rbm.hidden.width - 1
    values = []
    for k in range(2**others):
        bits = torch.tensor([(k >> i) & 1 for i in range(others)], dtype=torch.float64)
        values.append(-rbm.hidden_free_energy(torch.cat([bits.expand(len(g), -1), g[:, None]], 1)))
    return float(torch.logsumexp(torch.stack(values).flatten().detach(), 0)) + np.log(float(g[1] - g[0]))


@pytest.mark.parametrize(
    "visible",
    [
        lambda: hm.Gaussian(2),
        lambda: hm.Mixed(hm.Categorical(1, states=3), hm.Gaussian(2), hm.Binomial(1, trials=4)),
        lambda: hm.Mixed(hm.Gaussian(1), hm.Spin(2), hm.Gaussian(1)),
    ],
)
def test_sums_with_gaussians_on_both_sides_are_those_of_quadrature(visible):
    rbm = machine(visible(), hm.Mixed(hm.Bernoulli(2), hm.Gaussian(1)))
    found = hm.log_partition(rbm)
    assert found.method.startswith("exact") and found.method.endswith("and a Gaussian integral")
    assert found.value == pytest.approx(on_a_grid(rbm), abs=1e-9)


def test_sums_end_where_z_does():
    rbm = machine(hm.Gaussian(2), hm.Mixed(hm.Bernoulli(2), hm.Gaussian(1)))
    assert states_beside_gaussians(rbm) == 4
    with torch.no_grad():
        rbm.weight[0, 2] = 5.0
    assert log_sum_beside_gaussians(rbm) is None
    assert np.isinf(states_beside_gaussians(hm.RBM(hm.Poisson(2), hm.Bernoulli(1))))
    assert np.isinf(states_beside_gaussians(hm.RBM(hm.Spin(2), hm.Bernoulli(1))))


@pytest.mark.parametrize(
    "real",
    [lambda: [hm.Gaussian(3)], lambda: [hm.Gaussian(1) for _ in range(3)]],
    ids=["one part", "a part each"],
)
def test_couplings_are_kept_where_z_is_finite(real):
    rbm = machine(hm.Mixed(hm.Spin(1), *real()), hm.Mixed(hm.Bernoulli(2), hm.Gaussian(2)), 1.5)
    assert rbm.reason_not_normalizable() is not None
    before = rbm.weight.detach().clone()
    CouplingCeiling().apply(rbm)
    assert rbm.reason_not_normalizable() is None
    changed = rbm.weight.detach() != before
    assert bool(changed[1:, 2:].any()) and not bool(changed[0].any()) and not bool(changed[:, :2].any())
    kept = rbm.weight.detach().clone()
    CouplingCeiling().apply(rbm)  # within rounding of the highest
    assert torch.allclose(kept, rbm.weight, atol=1e-12)
    weak = machine(hm.Gaussian(3), hm.Gaussian(2), 0.1)
    kept = weak.weight.detach().clone()
    CouplingCeiling().apply(weak)
    assert torch.equal(kept, weak.weight)


def test_what_has_diverged_is_left_to_the_check_that_says_so():
    rbm = machine(hm.Gaussian(2), hm.Gaussian(2))
    for wrong in (torch.nan, torch.inf):
        with torch.no_grad():
            rbm.weight[0, 0] = wrong
        CouplingCeiling().apply(rbm)
        with pytest.raises(FloatingPointError, match="weight is no longer finite after 3 updates"):
            check_finite(rbm, 3)


def test_the_mean_of_machines_with_a_finite_z_has_one():
    narrow, wide = (machine(hm.Gaussian(3), hm.Mixed(hm.Spin(1), hm.Gaussian(2)), 0.1) for _ in range(2))
    for rbm, deviation in ((narrow, 0.1), (wide, 1.0)):
        with torch.no_grad():
            rbm.visible.log_precision.fill_(-2.0 * np.log(deviation))
            rbm.hidden.parts[1].log_precision.zero_()
            rbm.weight[:, 1:] = torch.eye(3, 2, dtype=torch.float64) * 0.9 / deviation
    average = Average(wide)
    for rbm in (wide, narrow):
        average(Update(1, rbm, None, None))
    assert average.model.reason_not_normalizable() is None
    assert average.model.visible.scale.numpy() == pytest.approx(0.1**0.5)
    assert average.model.weight.detach()[:2, 1:].diagonal() * 0.1**0.5 == pytest.approx([0.9, 0.9])


def test_the_precision_of_hidden_units_is_a_gauge_and_stays():
    x, _ = normal(300)
    rbm = hm.RBM(hm.Gaussian(6), hm.Mixed(hm.Bernoulli(2), hm.Gaussian(2)), seed=0)
    with torch.no_grad():
        rbm.hidden.parts[1].log_precision.fill_(0.7)
    kept = []
    hm.fit(
        rbm,
        x,
        steps=60,
        seed=0,
        callbacks=[lambda u: kept.append(u.model.hidden.parts[1].log_precision.clone())],
    )
    assert len(kept) == 60 and all(torch.equal(k, kept[0]) for k in kept)
    assert all(p.requires_grad for p in rbm.parameters())


@pytest.mark.parametrize(
    ("visible", "real"),
    [
        (lambda: hm.Bernoulli(9), 0),
        (lambda: hm.Mixed(hm.Gaussian(1), hm.Bernoulli(4)), 0),
        (lambda: hm.Mixed(hm.Gaussian(2), hm.Bernoulli(4), hm.Gaussian(1)), 3),
        (lambda: hm.Mixed(hm.Gaussian(2), hm.Poisson(1)), 0),
        (lambda: hm.Gaussian(40), FACTORS),
    ],
)
def test_which_tables_get_real_hidden_units(visible, real):
    hidden = hidden_units(visible(), 8)
    assert hidden.width == 8 + real and isinstance(hidden, hm.Mixed if real else hm.Bernoulli)
    hm.RBM(visible(), hidden)


def normal(rows, seed=0, noise=0.3):
    r = np.random.default_rng(seed)
    loadings = np.random.default_rng(5).normal(size=(2, 6))
    cov = loadings.T @ loadings + noise**2 * np.eye(6)
    x = r.normal(size=(rows, 2)) @ loadings + noise * r.normal(size=(rows, 6))
    log_density = (
        -0.5 * (x * np.linalg.solve(cov, x.T).T).sum(1) - 0.5 * np.linalg.slogdet(2 * np.pi * cov)[1]
    )
    return x, log_density.mean()


def test_straight_lines_are_learned_as_such():
    (x, _), (test, best) = normal(600), normal(2000, seed=1)
    both = hm.RBM(hm.Gaussian(6), hidden_units(hm.Gaussian(6), 8), seed=0)
    binary = hm.RBM(hm.Gaussian(6), hm.Bernoulli(14), seed=0)
    for rbm in (both, binary):
        hm.fit(rbm, x, steps=1000, seed=0)
    below = [best - hm.log_likelihood(rbm, test).value for rbm in (both, binary)]
    assert below[0] < 0.4 < 1.0 < below[1]


@pytest.mark.parametrize("gaps", [False, True])
def test_factors_are_those_of_the_rows(gaps):
    x, _ = normal(4000, noise=1.2)
    x = torch.from_numpy(x) * torch.tensor([1.0, 10.0, 0.1, 1.0, 1.0, 3.0]) + 5.0
    expected = np.cov(x.T.numpy(), bias=True), x.mean(0).numpy()
    weights = None
    if gaps:
        x, weights = torch.cat([x, 100.0 + x[:50]]), torch.ones(4050)
        weights[4000:] = 0.0
        x[torch.rand(x.shape, generator=torch.Generator().manual_seed(0)) < 0.1] = torch.nan
    rbm = hm.RBM(hm.Gaussian(6), hm.Mixed(hm.Gaussian(2), hm.Bernoulli(1)), dtype=torch.float64)
    with torch.no_grad():
        rbm.weight.zero_()
    rbm.visible.match(torch.from_numpy(np.random.default_rng(0).normal(size=(100, 6))))
    assert couple_as_factors(rbm, x, weights)
    gamma, factor = (
        rbm.visible.precision.detach(),
        rbm.hidden.parts_in_order()[0].log_precision.exp().detach(),
    )
    w = rbm.weight.detach()[:, :2]
    whole = torch.diag(torch.cat([gamma, factor]))
    whole[:6, 6:], whole[6:, :6] = -w, -w.T
    covariance = torch.linalg.inv(whole).numpy()
    mean = covariance @ torch.cat([rbm.visible.bias, rbm.hidden.bias[:2]]).detach().numpy()
    scale = np.sqrt(np.diag(expected[0]))
    error = 0.15 if gaps else 0.05
    assert (mean[:6] - expected[1]) / scale == pytest.approx(0.0, abs=error)
    assert covariance[:6, :6] / np.outer(scale, scale) == pytest.approx(
        expected[0] / np.outer(scale, scale), abs=error
    )
    assert covariance[6:, 6:] == pytest.approx(np.eye(2), abs=1e-9) and mean[6:] == pytest.approx(
        0.0, abs=1e-9
    )


@pytest.mark.parametrize("n", [4, 5, 7])
def test_factors_of_few_columns_are_their_whole_law(n):
    place = np.arange(5)
    correlation = 0.8 ** np.abs(place[:, None] - place)
    loading, noise = (x.numpy() for x in factor_analysis(correlation, n))
    assert loading.shape == (5, n)
    assert loading @ loading.T + np.diag(noise) == pytest.approx(correlation, abs=1e-12)


@pytest.mark.parametrize("strongest", [50.0, 450.0])
@pytest.mark.parametrize("n", [1, 3])
def test_factors_are_no_stronger_than_asked(n, strongest):
    correlation = np.full((4, 4), 0.9999) + 0.0001 * np.eye(4)
    loading, noise = (x.numpy() for x in factor_analysis(correlation, n, strongest))
    strength = np.linalg.eigvalsh(loading.T @ (loading / noise[:, None]))
    assert strongest / 1.4 < strength.max() <= strongest
    assert (loading**2).sum(1) + noise == pytest.approx(1.0, abs=1e-12)


def test_columns_that_follow_from_others_do_no_harm():
    r = np.random.default_rng(0)
    a, b = r.normal(size=(2, 300))
    frame = pd.DataFrame({"a": a, "b": b, "sum": a + b, "twice": 2 * a, "s": np.where(a > 0, "x", "y")})
    model = hm.fit(frame, steps=200, seed=0, progress=False).model
    assert model.reason_not_normalizable() is None
    gaps = frame.copy()
    gaps.loc[::2, "sum"] = np.nan
    filled = hm.impute(model, gaps)
    error = (filled["sum"] - frame["sum"])[::2].std()
    assert error < 0.5 * frame["sum"].std()
