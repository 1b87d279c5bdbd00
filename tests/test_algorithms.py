"""Sources of the gradient by name: fast weights, tempering, restarts, pseudo-likelihood, mean-field."""

import copy

import numpy as np
import pytest
import torch

import harmonium as hm
from harmonium.learning import (
    ALGORITHMS,
    Batches,
    Centring,
    ExactNegatives,
    FastPersistentChains,
    Learner,
    MeanField,
    NaturalGradient,
    PersistentChains,
    PseudoLikelihood,
    RestartedChains,
    TemperedChains,
    TrajectoryChains,
    algorithm,
    equally_weighted,
    train,
)
from harmonium.learning.meanfield import iterate, log_partition
from harmonium.likelihood import pseudo_likelihood
from harmonium.random import Address, Purpose
from harmonium.sampling.tempering import Replicas
from registry import DOUBLE, FINITE, build, scatter, uniforms
from statistics_budget import z_threshold


def machine(visible=4, hidden=3, seed=1, strength=1.5, dtype=DOUBLE):
    rbm = hm.RBM(hm.Bernoulli(visible), hm.Bernoulli(hidden), dtype=DOUBLE)
    with torch.no_grad():
        for k, p in enumerate(rbm.parameters()):
            p.copy_(strength * (uniforms(seed + k, p.numel()) - 0.5).reshape(p.shape))
    return rbm.to(dtype)


def rows_of(model, n=7, seed=9):
    """Rows drawn from the independent units of a model."""
    units = model.visible_space
    field = units.bias.detach().expand(n, units.width)
    return units.sample(field, Address(seed, Purpose.TRIAL))


def gradients(model):
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def gradient_of(source, model, v, step=0):
    model.zero_grad()
    source.accumulate(model, equally_weighted(v), step)
    return gradients(model)


def by_autograd(model, loss):
    model.zero_grad()
    loss.backward()
    return gradients(model)


def close(one, other, **tolerance):
    assert set(one) == set(other)
    for name, gradient in one.items():
        torch.testing.assert_close(gradient, other[name], **(tolerance or {"rtol": 1e-9, "atol": 1e-9}))


def as_states(x, numbers, epoch):
    return x


def learner_for(model, v, source, lr=0.1, transforms=()):
    optimiser = torch.optim.SGD(model.parameters(), lr=lr)
    return Learner(model, Batches(v, min(3, len(v)), as_states), source, optimiser, transforms)


def visible_means(model):
    """⟨v⟩ by enumeration, float64."""
    v = model.visible.states(torch.arange(model.visible.n_states)).to(model.dtype)
    return model.probabilities() @ v.double()


# ------------------------------------------------------------------------------------------------- by name
def test_every_algorithm_has_a_name_and_resumes_where_it_stopped():
    v = rows_of(machine())
    for name in ALGORITHMS:
        whole, first, second = machine(), machine(), machine(seed=40)
        train(learner_for(whole, v, algorithm(name, chains=16, k=2, seed=3)), 9)
        early = learner_for(first, v, algorithm(name, chains=16, k=2, seed=3))
        late = learner_for(second, v, algorithm(name, chains=16, k=2, seed=3))
        train(early, 4)
        second.load_state_dict(first.state_dict())
        state = {k: x.clone() for k, x in early.negatives.state_dict().items()}
        late.negatives.load_state_dict(state)
        train(late, 9, first_step=4)
        assert torch.equal(second.weight, whole.weight), name
        assert float((whole.weight - machine().weight).detach().abs().max()) > 0, name


def test_a_run_with_any_algorithm_resumes_from_its_checkpoint(tmp_path):
    x = (uniforms(4, 60, 12) < 0.5).numpy().astype(np.float32)
    for name in ("fpcd", "trajectory", "tap"):

        def fit(steps, seed=0, name=name, **settings):
            rbm = hm.RBM(hm.Bernoulli(12), hm.Bernoulli(3), seed=seed)
            hm.fit(rbm, x, steps=steps, negatives=algorithm(name, 16), **settings)
            return rbm

        class Stop(Exception):
            pass

        def crash(update):
            if update.step == 30:
                raise Stop

        path = tmp_path / f"{name}.safetensors"
        whole = fit(60)
        with pytest.raises(Stop):
            fit(60, checkpoint=path, callbacks=[crash])
        assert torch.equal(fit(60, seed=5, checkpoint=path, resume=True).weight, whole.weight), name


def test_wrong_names_are_refused():
    with pytest.raises(ValueError, match="negatives must be 'cd', 'pcd'"):
        algorithm("annealing")
    with pytest.raises(ValueError, match="gibbs_steps must be an integer of at least 1"):
        algorithm("pcd", k=0)


# ---------------------------------------------------------------------------------------- pseudo-likelihood
def minus_log_pseudo_likelihood(model, v):
    """-Σᵢ log P(vᵢ | rest), mean over rows, from free energies alone: a site's states put in one by one."""
    units = model.visible_space
    q, w = units.site_values().shape
    total = 0.0
    for i in range(units.n):
        energies = []
        for value in units.site_values().to(v):
            changed = v.clone()
            changed[:, i * w : (i + 1) * w] = value
            energies.append(model.free_energy(changed))
        total = total + model.free_energy(v) + torch.logsumexp(-torch.stack(energies), 0)
    return total.mean()


@pytest.mark.parametrize("visible", FINITE)
@pytest.mark.parametrize("hidden", ["Bernoulli", "Gaussian"])
def test_the_gradient_of_the_pseudo_likelihood(visible, hidden):
    model = build(visible, hidden)
    v = rows_of(model, 9)
    loss = minus_log_pseudo_likelihood(model, v)
    assert float(loss.detach()) == pytest.approx(-pseudo_likelihood(model, v).value)
    wanted = by_autograd(model, loss)
    close(gradient_of(PseudoLikelihood(), model, v), wanted)
    close(gradient_of(PseudoLikelihood(sites=100), model, v), wanted)


def test_weights_and_blocks_of_work_change_nothing(monkeypatch):
    model, v = machine(), rows_of(machine())
    wanted = gradient_of(PseudoLikelihood(), model, v)
    monkeypatch.setattr("harmonium.learning.pseudo.PAIRS", 5)
    close(gradient_of(PseudoLikelihood(), model, v), wanted)
    some = gradient_of(PseudoLikelihood(sites=2, seed=3), model, v)
    monkeypatch.undo()
    close(gradient_of(PseudoLikelihood(sites=2, seed=3), model, v), some)


def test_mixed_layers_have_a_pseudo_likelihood_too():
    layer = hm.Mixed(hm.Bernoulli(2), hm.Categorical(1, states=3), hm.Bernoulli(1))
    model = hm.RBM(layer, hm.Bernoulli(2), dtype=DOUBLE)
    scatter(model, 5)
    v = rows_of(model)
    with torch.enable_grad():
        total = 0.0
        for columns, values in (([0], [[0.0], [1.0]]), ([1], [[0.0], [1.0]]), ([5], [[0.0], [1.0]])):
            total = total + _site_loss(model, v, columns, torch.tensor(values, dtype=DOUBLE))
        total = total + _site_loss(model, v, [2, 3, 4], torch.eye(3, dtype=DOUBLE))
    close(gradient_of(PseudoLikelihood(), model, v), by_autograd(model, total))


def _site_loss(model, v, columns, values):
    energies = []
    for value in values:
        changed = v.clone()
        changed[:, columns] = value
        energies.append(model.free_energy(changed))
    return (model.free_energy(v) + torch.logsumexp(-torch.stack(energies), 0)).mean()


@pytest.mark.parametrize("units", ["bernoulli", "spin"])
def test_machines_without_hidden_units_take_one_product(units):
    model = hm.BoltzmannMachine(5, units=units, dtype=DOUBLE)
    scatter(model, 3)
    v = rows_of(model)
    wanted = by_autograd(model, minus_log_pseudo_likelihood(model, v))
    close(gradient_of(PseudoLikelihood(), model, v), wanted)
    close(gradient_of(PseudoLikelihood(sites=5), model, v), wanted)  # the general way


def test_the_stochastic_gradient_is_unbiased():
    model, v = machine(), rows_of(machine())
    exact = gradient_of(PseudoLikelihood(), model, v)["weight"]
    draws = torch.stack([gradient_of(PseudoLikelihood(1, 8), model, v, t)["weight"] for t in range(1000)])
    z = (draws.mean(0) - exact) / (draws.std(0) / len(draws) ** 0.5)
    assert float(z.abs().max()) < z_threshold(exact.numel())


def test_pseudo_likelihood_finds_the_couplings_of_a_machine():
    """It is consistent: from all states with their probabilities it comes back to the true parameters."""
    truth, model = (hm.BoltzmannMachine(5, units="spin", dtype=DOUBLE) for _ in range(2))
    scatter(truth, 6)
    with torch.no_grad():
        for p in truth.parameters():
            p.mul_(0.5)
    v = truth.visible.states(torch.arange(32)).to(DOUBLE)
    learner = learner_for(model, v, PseudoLikelihood(), lr=0.4)
    learner.batches = Batches(v, 32, as_states, truth.probabilities())
    assert float((model.probabilities() - truth.probabilities()).abs().max()) > 0.05
    train(learner, 200)
    assert float((model.probabilities() - truth.probabilities()).abs().max()) < 1e-4


def test_pseudo_likelihood_refuses_what_it_cannot_sum():
    real = hm.RBM(hm.Gaussian(2), hm.Bernoulli(2))
    with pytest.raises(TypeError, match="finitely many states, got Gaussian"):
        gradient_of(PseudoLikelihood(), real, torch.zeros(1, 2))
    deep = hm.BoltzmannMachine(3, 20)
    with pytest.raises(TypeError, match="needs the free energy"):
        PseudoLikelihood().accumulate(deep, equally_weighted(torch.zeros(1, 3), torch.zeros(1, 20)), 0)


# ----------------------------------------------------------------------------------------------- mean-field
def fixed_point(model, order, start=None):
    fields = start or tuple(layer.bias.detach()[None] for layer in model.layers)
    with torch.no_grad():
        for _ in range(200):
            before, fields = fields, iterate(model, fields, order, 0.0)
            if max(float((a - b).abs().max()) for a, b in zip(before, fields, strict=True)) < 1e-13:
                break
    return fields


UNITS = ("Bernoulli", "Spin", "Binomial", "Poisson", "Gaussian", "DReLU")


@pytest.mark.parametrize("pair", [("Bernoulli", "Bernoulli"), ("Spin", "Gaussian"), ("Binomial", "DReLU")])
def test_without_couplings_mean_field_is_exact(pair):
    model = build(*pair)
    with torch.no_grad():
        model.weight.zero_()
    for order in (1, 2):
        found = log_partition(model, fixed_point(model, order), order).detach()
        exact = sum(layer.cumulant(layer.bias[None]).sum() for layer in model.layers)
        assert float(found) == pytest.approx(float(exact.detach()), abs=1e-12)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("visible", ["Bernoulli", "Spin", "Binomial"])
def test_the_error_falls_with_the_right_power_of_the_couplings(visible, order):
    """First order errs by a term in W², second order by one in W³ (W⁴ where the units are symmetric)."""
    model = build(visible, "Bernoulli")
    weight = model.weight.detach().clone()
    errors = []
    for scale in (0.2, 0.1):
        with torch.no_grad():
            model.weight.copy_(scale * weight)
        exact = float(hm.log_partition(model).value)
        errors.append(abs(float(log_partition(model, fixed_point(model, order), order).detach()) - exact))
    assert errors[1] > 1e-13
    assert errors[0] / errors[1] > 2 ** (order + 0.7)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize(
    "pair", [("Bernoulli", "Bernoulli"), ("Spin", "DReLU"), ("Gaussian", "Spin"), ("Mixed", "Bernoulli")]
)
def test_the_derivative_at_a_fixed_point_is_that_of_the_maximum(pair, order):
    """The means move with the parameters and yet may be held: against differences of converged log Z."""
    model = build(*pair)
    if pair[0] == "Mixed" and order == 2:
        pytest.skip("one-hot columns have no second order")
    with torch.no_grad():
        model.weight.mul_(0.3)
    fields = fixed_point(model, order)
    found = by_autograd(model, log_partition(model, fields, order).sum())
    for name, p in model.named_parameters():
        flat, step = p.detach().view(-1), 1e-5
        for k in {0, len(flat) - 1}:
            values = []
            for shift in (step, -2 * step):
                flat[k] += shift
                moved = fixed_point(model, order, fields)
                values.append(float(log_partition(model, moved, order).detach()))
            flat[k] += step
            slope = (values[0] - values[1]) / (2 * step)
            assert float(found[name].view(-1)[k]) == pytest.approx(slope, rel=1e-5, abs=1e-7), name


def test_magnetisations_of_gaussian_units_are_their_exact_means():
    model = build("Gaussian", "Gaussian")
    gamma = [layer.precision.detach() for layer in model.layers]
    bias = torch.cat([layer.bias.detach() for layer in model.layers])
    weight, n = model.weight.detach(), model.visible.n
    precision = torch.diag(torch.cat(gamma))
    precision[:n, n:], precision[n:, :n] = -weight, -weight.T
    exact = torch.linalg.solve(precision, bias)
    for order in (1, 2):
        fields = fixed_point(model, order)
        means = [layer.mean(f)[0] for layer, f in zip(model.layers, fields, strict=True)]
        torch.testing.assert_close(torch.cat(means), exact)


def test_second_order_is_closer_to_the_exact_gradient():
    model, v = machine(6, 4, strength=2.0), rows_of(machine(6, 4))
    exact = gradient_of(ExactNegatives(), model, v)
    off = [
        max(float((g - exact[name]).abs().max()) for name, g in gradient_of(source, model, v).items())
        for source in (MeanField(1, 1, 60, 0.0), MeanField(2, 1, 60, 0.0))
    ]
    assert off[1] < 0.2 * off[0]


def test_magnetisations_go_on_from_update_to_update():
    model, v = machine(), rows_of(machine())
    twice, once = MeanField(2, 5, steps=2), MeanField(2, 5, steps=1)
    gradient_of(once, model, v)
    close(gradient_of(twice, model, v), gradient_of(once, model, v))


def test_mean_field_says_which_models_it_is_for():
    one_hot = build("Categorical", "Bernoulli")
    v = rows_of(one_hot)
    gradient_of(MeanField(1), one_hot, v)
    with pytest.raises(TypeError, match="order 1 takes them"):
        gradient_of(MeanField(2), one_hot, v)
    with pytest.raises(TypeError, match="got BoltzmannMachine"):
        gradient_of(MeanField(), hm.BoltzmannMachine(3), torch.zeros(1, 3))


# --------------------------------------------------------------------------------- transforms of any gradient
@pytest.mark.parametrize("transform", [Centring, NaturalGradient])
@pytest.mark.parametrize("name", ["pl", "tap", "fpcd"])
def test_transforms_take_any_gradient(name, transform):
    model, plain, v = machine(), machine(), rows_of(machine(), 40)
    before = float(pseudo_likelihood(model, v).value)
    train(learner_for(model, v, algorithm(name, 50), 0.02, [transform()]), 100)
    assert float(pseudo_likelihood(model, v).value) > before + 0.05
    train(learner_for(plain, v, algorithm(name, 50), 0.02), 100)
    assert (model.weight - plain.weight).abs().max() > 0.01  # the transform took part


# --------------------------------------------------------------------------------------------- fast weights
def test_without_fast_weights_it_is_pcd():
    one, other = machine(), machine()
    v = rows_of(one)
    train(learner_for(one, v, PersistentChains(6, 2, seed=3)), 12)
    train(learner_for(other, v, FastPersistentChains(6, 2, seed=3, rate=0.0)), 12)
    assert torch.equal(one.weight, other.weight)


def test_fast_weights_follow_the_gradient_and_forget():
    model, v = machine(), rows_of(machine())
    source = FastPersistentChains(6, 1, seed=3, rate=0.3, decay=0.5)
    first = gradient_of(source, model, v, 0)
    second = gradient_of(source, model, v, 1)
    for name, fast in source.fast.items():
        torch.testing.assert_close(fast, -0.3 * (second[name] + 0.5 * first[name]))


def test_chains_move_in_the_model_with_the_fast_weights_added():
    model, v = machine(), rows_of(machine())
    moved = machine()
    source = FastPersistentChains(6, 1, seed=3, rate=0.3)
    source.fast = {"visible.bias": torch.full((4,), 60.0, dtype=DOUBLE)}
    assert bool((source.draw(model, equally_weighted(v), 0).v == 1).all())
    torch.testing.assert_close(model.visible.bias, moved.visible.bias)


# ------------------------------------------------------------------------------------------------- restarts
def test_restarted_chains_forget_and_come_to_rest():
    model = machine(dtype=torch.float32)
    source = RestartedChains(10_000, k=40, seed=2)
    data = equally_weighted(rows_of(model))
    v = source.draw(model, data, 5).v.double()
    assert torch.equal(source.draw(model, data, 5).v.double(), v)
    exact = visible_means(model)
    z = (v.mean(0) - exact) / (exact * (1 - exact) / len(v)).sqrt()
    assert float(z.abs().max()) < z_threshold(4)


def test_restarted_chains_start_from_noise_whatever_the_biases():
    model = machine(strength=0.0)
    with torch.no_grad():
        model.visible.bias.fill_(-60.0)

    def still(model, chains):
        return chains

    v = RestartedChains(4000, k=1, kernel=still).draw(model, equally_weighted(rows_of(model)), 0).v
    assert abs(float(v.mean()) - 0.5) < z_threshold() * 0.5 / v.numel() ** 0.5


# ------------------------------------------------------------------------------------------------ tempering
def exact_replicas(source, nodes, positions, seed=7):
    """Replicas drawn from the exact distribution of each rung of a path through RBMs."""
    states = []
    for k, position in enumerate(positions):
        lower = min(int(position), len(nodes) - 2)
        rung = copy.deepcopy(nodes[-1]).double()
        with torch.no_grad():
            ends = (nodes[lower].parameters(), nodes[lower + 1].parameters())
            for p, a, b in zip(rung.parameters(), *ends, strict=True):
                p.copy_(torch.lerp(a.double(), b.double(), position - lower))
        v = hm.sample(rung, source.n, seed=seed + k).to(nodes[-1].dtype)
        h = rung.hidden.sample(
            (v.double() @ rung.weight + rung.hidden.bias).detach(), Address(seed + k, Purpose.TRIAL)
        )
        states.append((v, h.to(v.dtype)))
    state = tuple(torch.stack(block, 1).flatten(0, 1) for block in zip(*states, strict=True))
    rung = np.tile(np.arange(len(positions)), (source.n, 1))
    return Replicas(state, rung, Address(3, Purpose.CHAIN, step=1))


def uncoupled(model):
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.weight.zero_()
    return other


def check_rung_means(v, exact):
    z = (v.double().mean(0) - exact) / (exact * (1 - exact) / len(v)).sqrt()
    assert float(z.abs().max()) < z_threshold(4 * 3)


def test_tempered_chains_stay_at_rest():
    """From exact replicas at every rung, exchanges and sweeps leave the chains at the model exact."""
    model = machine(strength=5.0, dtype=torch.float32)
    source = TemperedChains(20_000, rungs=4, k=3, seed=1)
    source.replicas = exact_replicas(source, (uncoupled(model), model), source.positions)
    v = source.draw(model, equally_weighted(rows_of(model)), 0).v
    check_rung_means(v, visible_means(model))
    assert torch.equal(v, source.at_model[0])


def test_chains_on_the_trajectory_stay_at_rest_and_follow():
    near, model = machine(seed=20, strength=3.0, dtype=torch.float32), machine(dtype=torch.float32)
    with torch.no_grad():
        model.weight.mul_(4.0)
    data = equally_weighted(rows_of(model))
    source = TrajectoryChains(20_000, k=3, seed=1, spacing=1e-6)
    source.draw(near, data, 0)  # the spacing makes it a checkpoint
    assert len(source.positions) == 3
    nodes = (uncoupled(near), near, model)
    source.replicas = exact_replicas(source, nodes, source.positions)
    source.spacing = 1e6
    v = source.draw(model, data, 1).v
    check_rung_means(v, visible_means(model))
    check_rung_means(source.replicas.at_rung(1)[0], visible_means(near))
    assert bool((source.replicas.rung[:, 0] != 0).any())  # replicas did travel


def test_exchanges_succeed_as_often_as_enumeration_says():
    """min(1, P₁(y) P₂(x) / (P₁(x) P₂(y))) averaged over P₁(x) P₂(y), against the share of exchanges."""
    near, model = machine(3, 4, seed=20, strength=3.0), machine(3, 4, strength=5.0)
    source = TrajectoryChains(30_000, k=1, seed=1, spacing=1e6)
    source.draw(near, equally_weighted(rows_of(near)), 0)
    source._nodes, source._exchange = [uncoupled(near), near], None
    source.positions, source.squares = np.arange(3.0), np.ones(2)
    source.replicas = exact_replicas(source, (uncoupled(near), near, model), source.positions)
    before = source.replicas.rung.copy()  # an odd time: rungs 1 and 2 meet
    source.draw(model, equally_weighted(rows_of(model)), 1)
    moved = (source.replicas.rung != before)[:, 1].mean()
    p, q = (m.probabilities() for m in (near, model))
    ratio = (p[None, :] * q[:, None]) / (p[:, None] * q[None, :])
    exact = float((torch.outer(p, q) * ratio.clamp(max=1.0)).sum())
    assert 0.2 < exact < 0.9
    assert abs(moved - exact) < z_threshold() * (exact * (1 - exact) / source.n) ** 0.5


def test_rungs_move_to_equal_distances():
    model = machine(strength=6.0, dtype=torch.float32)
    source = TemperedChains(200, rungs=6, k=2, seed=1)
    data = equally_weighted(rows_of(model))
    for t in range(400):
        source.draw(model, data, t)
    assert source.positions[0] == 0.0 and source.positions[-1] == 1.0
    lengths = np.sqrt(source.squares)
    assert lengths.max() < 1.5 * lengths.min()


def test_checkpoints_are_kept_as_the_model_moves_and_never_too_many():
    model = machine(strength=0.5, dtype=torch.float32)
    source = TrajectoryChains(50, k=2, seed=1, spacing=0.5, limit=5)
    data, seen = equally_weighted(rows_of(model)), set()
    for t in range(300):
        with torch.no_grad():
            model.weight.mul_(1.01)
        source.draw(model, data, t)
        seen.add(len(source.positions))
        assert source.replicas.rung.shape == (50, len(source.positions))
        assert len(source.squares) == len(source.positions) - 1
    assert seen == {2, 3, 4, 5}


def bars_and_stripes(n=3):
    """The distinct patterns, each equally often."""
    codes = [[(k >> i) & 1 for i in range(n)] for k in range(2**n)]
    bars = [[row for row in code for _ in range(n)] for code in codes]
    return torch.tensor(sorted({tuple(p) for p in bars + [code * n for code in codes]}), dtype=DOUBLE)


def learnt(source, steps=1500):
    """What a machine learns of them at a step size that plain chains can't follow, nats per row."""
    v = bars_and_stripes()
    model = hm.RBM(hm.Bernoulli(9), hm.Bernoulli(12), dtype=DOUBLE, seed=2)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.3)
    train(Learner(model, Batches(v, len(v), as_states), source, optimiser, [Centring()]), steps)
    return hm.log_likelihood(model, v).value


def test_tempering_learns_where_plain_chains_lose_the_model():
    bound = -np.log(14)
    tempered = learnt(TemperedChains(20, rungs=6, k=1, seed=1))
    plain = learnt(PersistentChains(120, k=1, seed=1))  # as many rows to sweep
    assert bound - 1.2 < tempered < bound
    assert plain < tempered - 0.3
