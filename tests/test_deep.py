"""Deep Boltzmann machines, against sums over all states that are written layer by layer."""

import itertools

import numpy as np
import pytest
import torch

import harmonium as hm
from goodness import assert_counts
from harmonium.learning import (
    Batches,
    ExactNegatives,
    FreeCells,
    GradientDescent,
    Learner,
    MeanCells,
    NaturalGradient,
)
from harmonium.learning.centred_gradient import Centring
from harmonium.likelihood import log_probabilities, pseudo_likelihood
from harmonium.likelihood.clamped import exact_sums
from harmonium.likelihood.row_exchange import exchanged
from harmonium.likelihood.tempered import Budget
from harmonium.models.intake import rows_of
from harmonium.random import Address, Purpose
from harmonium.recipes.layerwise import pretrain
from harmonium.sampling import BlockGibbs, Chains, Clamp
from harmonium.sampling.free import moved
from harmonium.store import from_bytes, to_bytes
from harmonium.store.claims import largest_claim
from registry import uniforms
from statistics_budget import z_threshold

DOUBLE, NAN = torch.float64, torch.nan

LAYERS = {
    "two layers of 0/1": lambda: [hm.Bernoulli(4), hm.Bernoulli(3), hm.Bernoulli(2)],
    "three layers of 0/1": lambda: [hm.Bernoulli(3), hm.Bernoulli(2), hm.Bernoulli(2), hm.Bernoulli(2)],
    "four layers of other types": lambda: [
        hm.Spin(2),
        hm.Bernoulli(2),
        hm.Categorical(1, states=3),
        hm.Binomial(1, trials=2),
        hm.Spin(2),
    ],
    "several types side by side": lambda: [
        hm.Mixed(hm.Bernoulli(1), hm.Categorical(1, states=3)),
        hm.Mixed(hm.Spin(1), hm.Bernoulli(2)),
        hm.Mixed(hm.Binomial(1, trials=2), hm.Spin(1)),
    ],
}


def machine(name, scale=1.6):
    visible, *hidden = LAYERS[name]()
    dbm = hm.DeepBoltzmannMachine(visible, hidden, dtype=DOUBLE)
    scatter(dbm, scale)
    return dbm


@torch.no_grad()
def scatter(dbm, scale=1.6):
    for k, w in enumerate(dbm.weights):
        w.copy_(scale * (uniforms(k + 1, *w.shape) - 0.5))
    for k, layer in enumerate(dbm.stack):
        layer.bias.copy_(uniforms(k + 11, 1, layer.width)[0] - 0.5)


def every_state(dbm):
    """All joint states, one tensor for each layer, and the number of the visible state in each."""
    each = [layer.states(torch.arange(layer.n_states)).to(DOUBLE) for layer in dbm.stack]
    number = torch.tensor(list(itertools.product(*(range(len(x)) for x in each))))
    return [x[k] for x, k in zip(each, number.T, strict=True)], number[:, 0], each[0]


def energy_by_layer(dbm, state):
    """-Σ log of the weight of each unit and each pair, written once more."""
    own = sum(layer.potential(x).sum(1) - x @ layer.bias for layer, x in zip(dbm.stack, state, strict=True))
    pairs = zip(state, dbm.weights, state[1:], strict=False)
    return own - sum(torch.einsum("ni,ij,nj->n", x, w, y) for x, w, y in pairs)


def log_weights(dbm):
    """(visible states, log Σ exp(-E) over all hidden layers for each, log Z)."""
    state, number, v = every_state(dbm)
    energy = energy_by_layer(dbm, state).detach()
    log_w = torch.stack([torch.logsumexp(-energy[number == k], 0) for k in range(len(v))])
    return v, log_w, torch.logsumexp(log_w, 0)


@pytest.mark.parametrize("name", LAYERS)
def test_energies_by_block_are_those_by_layer(name):
    dbm = machine(name)
    state, _, _ = every_state(dbm)
    expected = energy_by_layer(dbm, state)
    torch.testing.assert_close(dbm.energy(*state), expected, atol=1e-12, rtol=0)
    blocks = dbm.by_block(state)
    torch.testing.assert_close(dbm.energy(*blocks), expected, atol=1e-12, rtol=0)
    for x, y in zip(dbm.by_layer(blocks), state, strict=True):
        assert torch.equal(x, y)


@pytest.mark.parametrize("name", LAYERS)
def test_log_z_and_log_p_are_sums_over_all_layers(name):
    dbm = machine(name)
    v, log_w, log_z = log_weights(dbm)
    assert hm.log_partition(dbm).value == pytest.approx(float(log_z), abs=1e-10)
    found = log_probabilities(dbm, v)
    torch.testing.assert_close(found.value, log_w - log_z, atol=1e-10, rtol=0)


@pytest.mark.parametrize("name", LAYERS)
def test_intervals_of_chains_hold_the_sums(name):
    dbm = machine(name)
    v, log_w, _ = log_weights(dbm)
    states = rows_of(dbm, v).states()
    found = exchanged(dbm, states, ~torch.isnan(states), Budget(0.1), seed=1)
    z = (found.value - log_w) / found.stderr
    assert z.abs().max() <= z_threshold(len(v))
    assert (found.low <= log_w).double().mean() > 0.8
    assert (log_w <= found.high).double().mean() > 0.8


@pytest.mark.parametrize("name", LAYERS)
def test_samples_have_the_probabilities_of_the_visible_states(name):
    dbm, n = machine(name), 4000
    v, log_w, log_z = log_weights(dbm)
    drawn = hm.sample(dbm, n, seed=2)
    assert drawn.shape == (n, v.shape[1])
    counts = [(drawn == row).all(1).sum().item() for row in v]
    assert_counts(counts, n, (log_w - log_z).exp())


@pytest.mark.parametrize("name", LAYERS)
def test_chains_given_v_draw_the_layers_above(name):
    dbm, n = machine(name), 4000
    state, number, v = every_state(dbm)
    blocks = dbm.by_block(state)
    row = len(v) // 2
    given = number == row
    p = torch.softmax(-energy_by_layer(dbm, state)[given].detach(), 0)
    rows = rows_of(dbm, v[row : row + 1].expand(n, -1)).states()
    free = torch.isnan(rows)
    start = torch.where(free, blocks[0][0], rows)
    chains = moved(dbm, Chains(dbm.state_of(start), Address(3, Purpose.CLAMP)), free, 100)
    assert torch.equal(chains.visible[:, : v.shape[1]], rows[:, : v.shape[1]])
    kinds, index = torch.unique(blocks[0][given], dim=0, return_inverse=True)
    expected = torch.zeros(len(kinds), dtype=DOUBLE).index_add(0, index, p)
    counts = [(chains.visible == kind).all(1).sum().item() for kind in kinds]
    assert_counts(counts, n, expected)


@pytest.mark.parametrize("name", LAYERS)
def test_the_mean_field_bounds_log_p_from_below(name):
    dbm = machine(name)
    v, log_w, _ = log_weights(dbm)
    bound = -dbm.mean_field_free_energy(v)
    assert (bound <= log_w + 1e-10).all()
    with torch.no_grad():
        dbm.weight.mul_(1e-3)
    _, log_w, _ = log_weights(dbm)  # layers that are all but independent
    torch.testing.assert_close(-dbm.mean_field_free_energy(v), log_w, atol=1e-5, rtol=0)
    for mean, layer in zip(dbm.mean_field(v), dbm.hidden, strict=True):
        assert mean.shape == (len(v), layer.width)


def learner(dbm, v, transforms=()):
    """Exact negatives, and so many copies of each row that the mean over their free cells is known well."""
    rows = rows_of(dbm, v)
    return Learner(
        dbm,
        Batches(rows.x, len(v), rows.prepare, None, 0),
        ExactNegatives(),
        GradientDescent(dbm.parameters(), 1e-9),
        transforms,
        free_cells=FreeCells(rows.pieces(), dbm, 1, 0),
    )


@pytest.mark.parametrize("name", ["two layers of 0/1", "three layers of 0/1", "several types side by side"])
def test_the_gradient_is_that_of_log_p(name):
    dbm, copies, updates = machine(name), 500, 30
    v, _, _ = log_weights(dbm)
    chosen = v[[0, len(v) // 2, -1]]
    state, number, _ = every_state(dbm)
    parameters, energy = list(dbm.parameters()), dbm.energy(*state)
    picked = torch.cat([(number == k).nonzero().flatten()[:1] for k in (0, len(v) // 2, len(v) - 1)])
    log_p = torch.stack([torch.logsumexp(-energy[number == number[k]], 0) for k in picked]).mean()
    exact = torch.autograd.grad(torch.logsumexp(-energy, 0) - log_p, parameters)
    teacher, found = learner(dbm, chosen.repeat(copies, 1)), []
    for step in range(updates):
        teacher.update(step)
        found.append(torch.cat([p.grad.flatten() for p in parameters]))
    found = torch.stack(found[5:])
    mean, scatter_of_one = found.mean(0), found.std(0)
    exact = torch.cat([g.flatten() for g in exact])
    # chains go on from update to update: as if every third were independent, at worst
    error = (3.0 / len(found)) ** 0.5 * scatter_of_one + 1e-9
    assert ((mean - exact).abs() / error).max() <= z_threshold(len(exact))


@pytest.mark.parametrize("name", ["two layers of 0/1", "three layers of 0/1", "several types side by side"])
def test_the_mean_field_phase_has_the_gradient_of_the_bound(name):
    dbm = machine(name, 1.0)
    dbm.positive_phase = "mean_field"
    v, _, _ = log_weights(dbm)
    chosen = v[[0, len(v) // 2, -1]]

    def loss():
        return float(dbm.mean_field_free_energy(chosen, 300).mean() + log_weights(dbm)[2])

    teacher = learner(dbm, chosen)
    teacher.free_cells = MeanCells()
    teacher.update(0)
    for p in dbm.parameters():
        direction, size = uniforms(7, 1, p.numel())[0].reshape(p.shape).double() - 0.5, 1e-4
        ends = []
        for sign in (1.0, -2.0, 1.0):
            with torch.no_grad():
                p.add_(sign * size * direction)
            ends.append(loss())
        slope = (ends[0] - ends[1]) / (2.0 * size)
        assert float((p.grad * direction).sum()) == pytest.approx(slope, abs=1e-6)


def test_the_mean_field_phase_is_an_option(tmp_path):
    x = (uniforms(5, 300, 3) < 0.5).float()
    X = torch.cat([x, x], 1)
    units = [hm.Bernoulli(5), hm.Bernoulli(3)]
    dbm = hm.DeepBoltzmannMachine(hm.Bernoulli(6), units, positive_phase="mean_field")
    hm.fit(dbm, X, steps=150)
    assert hm.log_likelihood(dbm, X).value > -3.0  # independent units have -4.16, the truth -2.08
    hm.save(dbm, tmp_path / "model.safetensors")
    assert hm.load(tmp_path / "model.safetensors").positive_phase == "mean_field"
    X[0, 0] = torch.nan
    with pytest.raises(ValueError, match="without gaps"):
        hm.fit(dbm, X, steps=2)
    with pytest.raises(ValueError, match="^positive_phase"):
        hm.DeepBoltzmannMachine(hm.Bernoulli(2), [hm.Gaussian(2)], positive_phase="mean_field")


def test_greedy_pretraining_finds_most_of_what_there_is():
    x = (uniforms(5, 300, 3) < 0.5).float()
    X = torch.cat([x, x], 1)
    dbm = hm.DeepBoltzmannMachine(hm.Bernoulli(6), [hm.Bernoulli(5), hm.Bernoulli(4), hm.Bernoulli(3)])
    pretrain(dbm, X, steps=150)
    assert hm.log_likelihood(dbm, X).value > -3.3  # independent units have -4.16, the truth -2.08
    before = [w.detach().clone() for w in dbm.weights]
    hm.fit(dbm, X, steps=1)
    for a, b in zip(before, dbm.weights, strict=True):  # it goes on from there
        assert float((a - b.detach()).norm()) < 0.5 * float(a.norm())
    with pytest.raises(TypeError, match="^machine: expected 0/1 layers"):
        pretrain(hm.DeepBoltzmannMachine(hm.Spin(3), [hm.Bernoulli(2)]), X)


@pytest.mark.parametrize("transform", [NaturalGradient, Centring])
def test_layers_that_are_not_neighbours_stay_apart(transform):
    dbm = machine("four layers of other types")
    v, _, _ = log_weights(dbm)
    teacher = learner(dbm, v.repeat(20, 1), [transform()])
    teacher.optimiser.param_groups[0]["lr"] = 0.1
    before = [w.detach().clone() for w in dbm.weights]
    for step in range(3):
        teacher.update(step)
    assert all(bool((w != old).all()) for w, old in zip(dbm.weights, before, strict=True))
    joined = torch.zeros_like(dbm.weight)
    for w in dbm._blocks(joined):
        w.fill_(1.0)
    assert not bool(dbm.weight[joined == 0].any()) and bool((joined == 0).any())


def test_one_hidden_layer_is_an_rbm():
    dbm = hm.DeepBoltzmannMachine(hm.Bernoulli(4), [hm.Bernoulli(3)], dtype=DOUBLE)
    scatter(dbm)
    rbm = hm.RBM(hm.Bernoulli(4), hm.Bernoulli(3), dtype=DOUBLE)
    with torch.no_grad():
        rbm.weight.copy_(dbm.weights[0])
        rbm.visible.bias.copy_(dbm.visible.bias)
        rbm.hidden.bias.copy_(dbm.hidden[0].bias)
    v = rbm.visible.states(torch.arange(16)).to(DOUBLE)
    assert torch.equal(dbm.free_energy(v), rbm.free_energy(v))
    assert hm.log_likelihood(dbm, v).value == pytest.approx(hm.log_likelihood(rbm, v).value, abs=1e-12)


def pairs(rows):
    """Rows in which two columns are 0 or 1 by chance, and two others the same again."""
    x = (uniforms(5, rows, 2) < 0.5).float()
    return torch.cat([x, x], 1)


def test_fit_needs_no_other_argument_and_learns():
    X = pairs(200)
    dbm = hm.DeepBoltzmannMachine(hm.Bernoulli(4), [hm.Bernoulli(6), hm.Bernoulli(4)])
    history = hm.fit(dbm, X, steps=300)
    assert "validation_log_likelihood" in history.records[-1]
    assert hm.log_likelihood(dbm, X).value > -1.6  # independent units have -2.77, the truth -1.39
    assert not any("empty" in warning for warning in history.warnings)


def test_a_run_that_is_resumed_equals_one_that_was_never_stopped(tmp_path):
    X, made = pairs(150), []
    for stops in (None, 25):
        dbm = hm.DeepBoltzmannMachine(hm.Bernoulli(4), [hm.Bernoulli(3), hm.Bernoulli(2)])
        path, options = tmp_path / f"{stops}.safetensors", {"steps": 50, "rules": ()}

        class Stop:
            def __call__(self, update, stops=stops):
                if update.step == stops:
                    raise KeyboardInterrupt

        if stops is not None:
            with pytest.raises(KeyboardInterrupt):
                hm.fit(dbm, X, checkpoint=path, callbacks=[Stop()], **options)
        hm.fit(dbm, X, checkpoint=path, resume=stops is not None, **options)
        made.append(torch.cat([p.detach().flatten() for p in dbm.parameters()]))
    assert torch.equal(*made)


def test_saved_and_loaded():
    for name in LAYERS:
        dbm = machine(name)
        again = from_bytes(to_bytes(dbm))
        state, _, _ = every_state(dbm)
        assert torch.equal(again.energy(*state), dbm.energy(*state))
        assert again.config() == dbm.config()


def test_real_layers_are_fitted_saved_and_sampled():
    x = torch.special.ndtri(uniforms(7, 200, 2)).float()
    X = torch.cat([x[:, :1] + 50.0, x[:, :1] + 0.5 * x[:, 1:], (x[:, :1] > 0).float()], 1)
    visible = hm.Mixed(hm.Gaussian(2), hm.Bernoulli(1))
    dbm = hm.DeepBoltzmannMachine(visible, [hm.Bernoulli(4), hm.Gaussian(2)])
    hm.fit(dbm, X, steps=100)
    apart = hm.DeepBoltzmannMachine(
        hm.Mixed(hm.Gaussian(2), hm.Bernoulli(1)), [hm.Bernoulli(4), hm.Gaussian(2)]
    )
    hm.fit(apart, X, steps=1, learning_rate=1e-12)
    assert hm.log_likelihood(dbm, X).value > hm.log_likelihood(apart, X).value
    again = from_bytes(to_bytes(dbm))
    assert hm.log_likelihood(again, X).value == pytest.approx(hm.log_likelihood(dbm, X).value)
    assert abs(float(hm.sample(dbm, 200, seed=1)[:, 0].mean()) - 50.0) < 1.0


def test_gaps_answers_and_tables():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": ["x", "y"] * 60, "b": [True, False] * 60, "c": np.arange(120) % 3})
    schema = hm.Schema.of(frame)
    dbm = hm.DeepBoltzmannMachine(schema.units(), [hm.Bernoulli(4), hm.Bernoulli(3)])
    dbm.schema = schema
    frame.loc[3, "a"] = None
    hm.fit(dbm, frame, steps=100)
    assert list(hm.sample(dbm, 3).columns) == ["a", "b", "c"]
    whole = hm.impute(dbm, frame)
    assert whole.loc[3, "a"] == "y" and whole.drop(3).equals(frame.drop(3))
    p = hm.conditional(dbm, frame.iloc[:2], "a")
    assert p.loc[0, "x"] > 0.5 > p.loc[1, "x"]
    assert hm.surprise(dbm, frame.iloc[:5]).cells.shape == (5, 3)


def test_conditional_probabilities_are_those_of_the_sums():
    dbm = machine("two layers of 0/1")
    v, log_w, _ = log_weights(dbm)
    p = hm.conditional(dbm, v.numpy(), 1, draws=4000, seed=1)
    for k, row in enumerate(v):
        pair = [(v == torch.where(torch.arange(4) == 1, x, row)).all(1) for x in (0.0, 1.0)]
        exact = torch.softmax(torch.stack([log_w[same][0] for same in pair]), 0)
        assert p.iloc[k, 1] == pytest.approx(float(exact[1]), abs=0.1)


def test_given_rows_hold():
    dbm = machine("three layers of 0/1")
    drawn = hm.sample(dbm, 50, given=[1.0, NAN, 0.0], seed=1)
    assert drawn.shape == (50, 3) and bool((drawn[:, 0] == 1).all()) and bool((drawn[:, 2] == 0).all())
    kernel = BlockGibbs(Clamp(torch.tensor([True] * 3 + [False] * 2), torch.zeros(5, dtype=DOUBLE)))
    start = dbm.random_state(4, Address(0, Purpose.START))
    assert not bool(kernel(dbm, Chains(start, Address(0, Purpose.CLAMP))).visible[:, :3].any())


def test_exact_sums_know_the_cells_above():
    dbm = machine("two layers of 0/1")
    v, log_w, _ = log_weights(dbm)
    states = rows_of(dbm, v).states()
    assert states.shape == (len(v), 6) and bool(torch.isnan(states[:, 4:]).all())
    value, _ = exact_sums(dbm, states, ~torch.isnan(states), 2**20)
    torch.testing.assert_close(value, log_w, atol=1e-10, rtol=0)


def test_mistakes_are_told():
    with pytest.raises(TypeError, match="hidden: expected layers of units"):
        hm.DeepBoltzmannMachine(hm.Bernoulli(3), [])
    with pytest.raises(ValueError, match="infinite"):
        hm.DeepBoltzmannMachine(hm.Bernoulli(3), [hm.Poisson(2), hm.Gaussian(2)])
    same = hm.Bernoulli(3)
    with pytest.raises(ValueError, match="layers of their own"):
        hm.DeepBoltzmannMachine(same, [hm.Bernoulli(2), same])
    dbm = machine("two layers of 0/1")
    with pytest.raises(ValueError, match="no closed form"):
        dbm.free_energy(torch.zeros(1, 4, dtype=DOUBLE))
    with pytest.raises(TypeError, match="rows that are whole"):
        pseudo_likelihood(dbm, torch.zeros(1, 4))
    with pytest.raises(ValueError, match="X must have 4 columns"):
        hm.log_likelihood(dbm, torch.zeros(1, 6))
    with pytest.raises(ValueError, match="h1"):
        dbm.energy(torch.zeros(1, 4), torch.zeros(1, 2), torch.zeros(1, 2))


def test_a_file_may_not_claim_more_than_it_holds():
    layer = {"type": "Bernoulli", "n": 2**12}
    config = {"type": "DeepBoltzmannMachine", "visible": {"type": "Bernoulli", "n": 4}, "hidden": [layer] * 2}
    assert largest_claim(config) == 2**24
