"""Where training starts: means and leading directions of the data."""

import pytest
import torch

import harmonium as hm
from harmonium.learning import PersistentChains, TemperedChains
from harmonium.learning.unit_scales import couple_standardised
from harmonium.models.intake import rows_of
from harmonium.recipes.start.initialisation import couple_along_principal_directions, start
from registry import uniforms


def normals(seed, rows, columns):
    return torch.special.ndtri(uniforms(seed, rows, columns))


def correlated(rows=4000, width=6):
    """Real rows with two strong directions, columns of very different scales, means off zero."""
    z = normals(1, rows, 2) @ torch.tensor([[2.0, 2, 2, 0, 0, 0], [0, 0, 0, 1.5, -1.5, 0]]).double()
    scales = torch.tensor([1.0, 100.0, 0.01, 1.0, 1.0, 3.0]).double()
    return (z + normals(2, rows, width) + 2.0) * scales


def whitened_variances(covariance, x):
    """Variances along the principal directions of standardised columns: of the data, of the model."""
    scale = x.std(0, correction=0)
    values, vectors = torch.linalg.eigh(torch.corrcoef(x.T))
    return values, torch.diagonal(vectors.T @ (covariance / scale / scale[:, None]) @ vectors)


def test_gaussian_units_start_with_the_variance_of_the_data_along_each_direction():
    x = correlated()
    model = hm.RBM(hm.Gaussian(6), hm.Gaussian(8), dtype=torch.float64)
    model.visible.match(x)
    couple_standardised(model)
    found = couple_along_principal_directions(model, x)
    assert len(found) == 2
    weight = model.weight.detach()
    precision = torch.diag(model.visible.precision.detach()) - weight @ weight.T
    covariance = torch.linalg.inv(precision)
    values, modelled = whitened_variances(covariance, x)
    torch.testing.assert_close(modelled[-2:].flip(0), found, rtol=2e-2, atol=0)
    torch.testing.assert_close(values[-2:].flip(0), found, rtol=1e-6, atol=0)
    mean = covariance @ (model.visible.bias + weight @ model.hidden.bias).detach()
    torch.testing.assert_close(mean, x.mean(0), rtol=0.05, atol=0)


@pytest.mark.parametrize("hidden", [hm.Bernoulli, hm.Spin, lambda n: hm.Binomial(n, trials=3)])
def test_bernoulli_units_do_so_to_linear_order(hidden):
    """All 2⁶ states with the probabilities of a weak common cause, against the model's, summed exactly."""
    states = hm.Bernoulli(6).states(torch.arange(64)).double()
    missing = []
    for strength in (0.01, 0.4):
        p = torch.softmax(0.5 * strength * (states - 0.5).sum(1) ** 2 - 0.3 * states.sum(1), 0)
        model = hm.RBM(hm.Bernoulli(6), hidden(10), dtype=torch.float64)
        with torch.no_grad():
            model.weight.mul_(1e-2)  # the random couplings of a fresh model add a little variance
        x = states.repeat(10_000, 1)  # many rows: nothing here is noise
        model.visible.match(x, p.repeat(10_000))
        found = couple_along_principal_directions(model, x, p.repeat(10_000))
        assert len(found) == 1
        q = torch.softmax(-model.free_energy(states).detach(), 0)
        mean, along = p @ states, torch.ones(6).double() / 6**0.5
        scale = (p @ (states - mean) ** 2).sqrt()
        y = ((states - mean) / scale) @ along
        wanted, got = p @ y**2, q @ (y - q @ y) ** 2
        assert float(found[0]) == pytest.approx(float(wanted))
        missing.append(1.0 - float((got - 1.0) / (wanted - 1.0)))
        assert float((q @ states - mean).abs().max()) < 0.05 * strength
    # a 0/1 unit does not feel a coupling to itself, one of six here; beyond that nothing is missing
    assert missing[0] == pytest.approx(1 / 6, abs=0.02)
    assert 0 < missing[1] < 0.5  # strong couplings saturate, on the safe side


def test_what_noise_alone_would_show_and_constant_columns_are_left_out():
    x = (uniforms(3, 500, 20, torch.float32) < 0.3).float()
    x[:, 4] = 1.0
    model = hm.RBM(hm.Bernoulli(20), hm.Bernoulli(5))
    model.visible.match(x)
    before = model.weight.detach().clone()
    assert len(couple_along_principal_directions(model, x)) == 0
    assert torch.equal(model.weight, before)
    x[:, 7] = x[:, 6]
    assert len(couple_along_principal_directions(model, x)) == 1
    assert torch.equal(model.weight[4], before[4]) and bool(torch.isfinite(model.weight).all())


def test_independent_one_hot_sites_have_no_direction():
    codes = (uniforms(4, 3000, 5) * 3).floor()
    codes[:, 0] = (codes[:, 0] > 0).double()  # frequencies that differ
    model = hm.RBM(hm.Categorical(5, states=3), hm.Bernoulli(4))
    x = model.visible.encode(codes)
    model.visible.match(x)
    assert len(couple_along_principal_directions(model, x)) == 0
    codes[:, 1] = codes[:, 2]
    x = model.visible.encode(codes)
    model.visible.match(x)
    assert len(couple_along_principal_directions(model, x)) == 2


def test_states_that_hardly_occur_start_with_weak_couplings():
    """A state of three sites in one row of a thousand is a direction that mustn't order the machine."""
    x = (6.0 * uniforms(3, 1000, 5)).floor().clamp(max=4.0).long()
    x[0, :3] = 5
    rows = torch.nn.functional.one_hot(x, 6).view(1000, -1).double()
    model = hm.RBM(hm.Categorical(5, 6), hm.Bernoulli(12), dtype=torch.float64)
    model.visible.match(rows)
    alone = float(hm.log_likelihood(model, rows).value)
    assert len(couple_along_principal_directions(model, rows)) > 0
    assert hm.log_likelihood(model, rows).value > alone - 0.05


def test_rows_that_count_twice_are_the_same_row_twice():
    x = (uniforms(5, 300, 8, torch.float32) < 0.4).float()
    x[:, 1::2] = x[:, ::2]
    models = [hm.RBM(hm.Bernoulli(8), hm.Bernoulli(6)).double() for _ in range(2)]
    twice = torch.ones(300)
    twice[:100] = 2.0
    rows = torch.cat([x, x[:100]])
    models[0].visible.match(rows)
    models[1].visible.match(x, twice)
    one = couple_along_principal_directions(models[0], rows)
    other = couple_along_principal_directions(models[1], x, twice)
    assert len(one) == len(other) > 1
    torch.testing.assert_close(one, other)
    similar = [m.weight.detach() @ m.weight.detach().T for m in models]
    torch.testing.assert_close(*similar, rtol=1e-2, atol=2e-3)


def clusters(rows=600):
    which = (uniforms(6, rows, 1) * 4).floor().long().flatten()
    centre = (uniforms(7, 4, 28) < 0.5)[which]
    return torch.where(uniforms(8, rows, 28) < 0.9, centre, ~centre).float()


def test_fit_begins_along_the_directions_with_chains_at_rows():
    x = clusters()
    rbm = hm.RBM(hm.Bernoulli(28), hm.Bernoulli(24))
    chains = PersistentChains(64)
    history = hm.fit(rbm, x, steps=40, negatives=chains)
    assert set(map(tuple, chains.start.tolist())) <= set(map(tuple, x.tolist()))
    first = history.records[0]
    assert first["singular_values"][2] > 1.0 > first["singular_values"][5]
    plain = hm.RBM(hm.Bernoulli(28), hm.Bernoulli(1))
    plain.visible.match(x)
    torch.nn.init.zeros_(plain.weight)
    assert first["train_log_likelihood"] > hm.log_likelihood(plain, x).value + 1.0


def test_what_a_model_knows_already_is_kept():
    x = clusters()
    for prepare in (lambda m: m.visible.match(x), lambda m: torch.nn.init.normal_(m.weight, std=1.0)):
        rbm = hm.RBM(hm.Bernoulli(28), hm.Bernoulli(24))
        torch.manual_seed(0)
        prepare(rbm)
        before = torch.linalg.svdvals(rbm.weight.detach())
        hm.fit(rbm, x, steps=1, learning_rate=1e-9)
        torch.testing.assert_close(torch.linalg.svdvals(rbm.weight.detach()), before, rtol=1e-4, atol=1e-4)


def test_tempered_paths_begin_at_units_that_match_the_data():
    x, source = clusters(), TemperedChains(16)
    rbm = hm.RBM(hm.Bernoulli(28), hm.Bernoulli(24))
    hm.fit(rbm, x, validation=x, steps=2, negatives=source, learning_rate=1e-9)
    (units,) = source._nodes
    assert not units.couplings()
    means = units.layers[0].mean(units.layers[0].bias[None])[0]
    torch.testing.assert_close(means, x.mean(0), atol=0.01, rtol=0.0)
    assert not units.layers[1].bias.any()


@pytest.mark.parametrize("units", [hm.Bernoulli, hm.Gaussian])
def test_weights_count_where_not_all_rows_are_looked_at(units, monkeypatch):
    """As they do where all are; rows of weight 0 are as if they weren't there."""
    x = (uniforms(3, 3000, 5) < torch.tensor([0.1, 0.3, 0.5, 0.7, 0.9])).double()
    weights = torch.where(x[:, 1] > 0, 0.0, 1.0 + 8.0 * x[:, 2])
    x = x + normals(4, 3000, 5) * (units is hm.Gaussian)
    monkeypatch.setattr("harmonium.recipes.start.initialisation.couple", lambda *_: None)
    mean = weights / weights.sum() @ x
    deviation = (weights / weights.sum() @ (x - mean).square()).sqrt()
    for rows, within in ((10_000, 2e-3), (500, 5 / 500**0.5)):
        monkeypatch.setattr("harmonium.recipes.split.most_rows", lambda _, most=rows: most)
        model = hm.RBM(units(5), hm.Bernoulli(3), dtype=torch.float64)
        start(model, rows_of(model, x), weights)
        found = model.visible.mean(model.visible.bias[None])[0].detach()
        assert ((found - mean).abs() < within * (deviation + 0.1)).all()
