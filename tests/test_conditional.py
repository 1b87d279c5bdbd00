"""Columns given others (`hm.ConditionalRBM`) against the formula written down once more."""

import itertools
import math

import numpy as np
import pytest
import torch

import harmonium as hm
import registry
from conditional_machine import DOUBLE, machine
from goodness import assert_counts
from harmonium.learning import ConditionalChains, ConditionalCompletions, HybridNegatives
from harmonium.learning.particles import Particles
from harmonium.likelihood.cells import log_probabilities_of_cells
from harmonium.likelihood.clamped import states_of_free
from harmonium.models import Objective
from harmonium.recipes import default_negatives, settings

NAN = float("nan")
CONTEXTS = torch.tensor([[0.3, 1.0], [-1.2, -1.0], [2.0, 1.0]], dtype=DOUBLE)


def visible_states(model):
    """All states of v, (states, columns), by hand."""
    return torch.tensor(
        [[*b, *one] for b in itertools.product([0.0, 1.0], repeat=2) for one in np.eye(3).tolist()],
        dtype=DOUBLE,
    )


def hidden_states():
    return torch.tensor(
        [[*b, s] for b in itertools.product([0.0, 1.0], repeat=2) for s in (-1.0, 1.0)], dtype=DOUBLE
    )


def energies_by_hand(model, v, u):
    """E(v, h | u) of every state of v and h at one context, from the formula."""
    n = v.shape[1]
    w, b = model.weight.detach()[:n], model.weight.detach()[n:]
    a = model.visible.bias.detach()[:n] + (0.0 if model.direct is None else u @ model.direct.detach())
    c = model.hidden.bias.detach() + u @ b
    h = hidden_states()
    return -(v @ a)[:, None] - (h @ c)[None] - v @ w @ h.T


def log_p_by_hand(model, u):
    """log P(v | u) of every state of v."""
    unnormalised = torch.logsumexp(-energies_by_hand(model, visible_states(model), u), 1)
    return unnormalised - torch.logsumexp(unnormalised, 0)


def rows_at(u):
    v = visible_states(None)
    return torch.cat([v, u.expand(len(v), -1)], 1)


@pytest.mark.parametrize("direct", [True, False])
def test_probabilities_given_a_context_against_the_formula(direct):
    model = machine(direct=direct)
    for u in CONTEXTS:
        expected = log_p_by_hand(model, u)
        found = hm.likelihood.log_probabilities(model, rows_at(u))
        assert torch.allclose(found.value, expected, atol=1e-9)
        assert found.method.startswith("exact")
        at = model.at(u)
        log_z = hm.log_partition(at)
        assert torch.allclose(
            -at.free_energy(visible_states(model)).double() - log_z.value, expected, atol=1e-9
        )


def test_energies_agree_with_the_formula_up_to_the_context_alone():
    model = machine()
    x = rows_at(CONTEXTS[0])
    h = hidden_states()
    pairs = torch.cat([x.repeat_interleave(len(h), 0), h.repeat(len(x), 1)], 1)
    found = model.energy(pairs[:, : x.shape[1]], pairs[:, x.shape[1] :]).view(len(x), len(h))
    difference = found - energies_by_hand(model, visible_states(model), CONTEXTS[0])
    assert torch.allclose(difference, difference[0, 0].expand_as(difference), atol=1e-9)
    assert torch.allclose(model.free_energy(x), -torch.logsumexp(-found, 1), atol=1e-9)
    state = (pairs[:, : x.shape[1]], pairs[:, x.shape[1] :])
    without = model.energy_without(1, state) - (model.field(1, state) * state[1]).sum(1)
    assert torch.allclose(without + model.hidden.potential(state[1]).sum(1), found.flatten(), atol=1e-9)


@pytest.mark.parametrize("direct", [True, False])
def test_cells_given_the_rest_and_the_context_against_the_formula(direct):
    """log P(cell | rest of v, u) of all that is modelled, and nothing of the context."""
    model = machine(direct=direct)
    for u in CONTEXTS:
        log_p, states = log_p_by_hand(model, u), visible_states(model)
        found = log_probabilities_of_cells(model, rows_at(u))
        assert found.shape == (12, 3)
        for number, columns in enumerate((slice(0, 1), slice(1, 2), slice(2, 5))):
            rest = states.clone()
            rest[:, columns] = 0.0
            alike = (rest[:, None] == rest).all(2)
            norm = torch.logsumexp(torch.where(alike, log_p, -torch.inf), 1)
            assert torch.allclose(found[:, number], log_p - norm, atol=1e-9)
    surprise = hm.surprise(model, rows_at(u))
    assert list(surprise.cells) == list(surprise.values) == list(surprise.expected) == [0, 1, 2]
    assert np.allclose(surprise.cells, -found)
    with pytest.raises(ValueError, match="which is context"):
        hm.conditional(model, rows_at(u), 3)


def test_cells_of_a_regression_are_its_normal_densities():
    """One Gaussian column: the cell is all of v, far from where it would be without its context."""
    model = machine(hm.Gaussian(1), hm.Gaussian(2))
    with torch.no_grad():
        model.direct.mul_(20.0)
        model.visible.parts_in_order()[0].log_precision.fill_(6.0)
        model.weight[0] *= 20.0
    x = 2.0 * registry.uniforms(9, 6, 3) - 1.0
    expected = hm.likelihood.log_probabilities(model, x).value
    assert torch.allclose(log_probabilities_of_cells(model, x)[:, 0], expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("direct", [True, False])
def test_gradients_against_autograd(direct):
    model = machine(direct=direct)
    v = rows_at(CONTEXTS[1])
    weights = registry.uniforms(5, len(v)).flatten()
    model.accumulate_gradient(v, weights)
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad(set_to_none=True)
    (weights * model.free_energy(v)).sum().backward()
    for name, p in model.named_parameters():
        if p.grad is not None:
            assert torch.allclose(found[name], p.grad, atol=1e-9), name
    assert ("direct" in found) == direct


def test_many_hidden_states_are_summed_for_real_columns_too():
    """Z(u) of Gaussian v, a mixture of normals, against the machine at u."""
    model = machine(hm.Gaussian(3), hm.Gaussian(2), hm.Bernoulli(4))
    u = torch.tensor([0.4, -1.1], dtype=DOUBLE)
    v = 2.0 * registry.uniforms(9, 5, 3) - 1.0
    found = hm.likelihood.log_probabilities(model, torch.cat([v, u.expand(5, -1)], 1))
    at = model.at(u)
    expected = hm.likelihood.log_probabilities(at, v)
    assert found.method.startswith("exact") and torch.allclose(found.value, expected.value, atol=1e-9)


@pytest.mark.parametrize("direct", [True, False])
def test_gaussian_machines_have_an_integral_at_each_context(direct):
    """Against the machine at u, and, with gaps, against the joint density of a plain RBM."""
    model = machine(hm.Gaussian(3), hm.Mixed(hm.Gaussian(1), hm.Spin(1)), hm.Gaussian(2), direct=direct)
    with torch.no_grad():
        model.weight.mul_(0.3)
    v = 2.0 * registry.uniforms(9, 5, 3) - 1.0
    for u in CONTEXTS:
        found = hm.likelihood.log_probabilities(model, torch.cat([v, u.expand(5, -1)], 1))
        expected = hm.likelihood.log_probabilities(model.at(u), v)
        assert found.method == "exact, sum over Gaussian units"
        assert torch.allclose(found.value, expected.value, atol=1e-9)
    rbm = registry.build("Gaussian", "Gaussian")
    gap = torch.tensor([[0.3, NAN]], dtype=DOUBLE)
    points = torch.linspace(-40.0, 40.0, 20001, dtype=DOUBLE)
    whole = torch.stack([torch.full_like(points, 0.3), points], 1)
    log_p = hm.likelihood.log_probabilities(rbm, whole).value
    integral = torch.logsumexp(log_p, 0) + math.log(80.0 / 20000)
    assert abs(hm.log_likelihood(rbm, gap).value - float(integral)) < 1e-6


def test_a_context_that_needs_chains_has_an_interval_that_holds():
    model = machine(hm.Bernoulli(14), hm.Gaussian(2), hm.Bernoulli(20), seed=11)
    with torch.no_grad():
        model.weight.mul_(0.5)
    u = torch.tensor([0.7, -0.3], dtype=DOUBLE)
    v = (registry.uniforms(4, 6, 14) < 0.5).double()
    rows = torch.cat([v, u.expand(6, -1)], 1)
    exact = -model.at(u).free_energy(v).detach() - hm.log_partition(model.at(u)).value
    held = model.objective.held(16)
    from harmonium.likelihood.row_exchange import exchanged
    from harmonium.likelihood.tempered import Budget

    found = exchanged(model, rows, held.expand(6, -1), Budget(0.3), 0)
    value = -model.free_energy(rows).detach() - found.value
    assert float(((value - exact).abs() / found.stderr).max()) < 5.0


def test_what_isnt_known_of_a_row_is_summed_out():
    model = machine()
    u = CONTEXTS[0]
    x = rows_at(u)[4].clone()
    x[0] = NAN
    both = [rows_at(u)[4].clone() for _ in range(2)]
    both[0][0], both[1][0] = 0.0, 1.0
    expected = torch.logsumexp(hm.likelihood.log_probabilities(model, torch.stack(both)).value, 0)
    assert abs(hm.log_likelihood(model, x[None]).value - float(expected)) < 1e-9


def test_samples_given_a_context_follow_it():
    model, n = machine(), 4000
    given = torch.cat([torch.full((5,), NAN, dtype=DOUBLE), CONTEXTS[0]])
    drawn = hm.sample(model, n, given=given, sweeps=40, seed=2)
    assert torch.equal(drawn[:, 5:], CONTEXTS[0].expand(n, -1))
    states = visible_states(model)
    counts = (drawn[:, None, :5] == states).all(2).sum(0)
    assert_counts(counts, n, log_p_by_hand(model, CONTEXTS[0]).exp())


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda m: hm.sample(m, 2), "given: expected the context of every row"),
        (lambda m: hm.sample(m, 1, given=[NAN] * 7), "must give the context"),
        (lambda m: hm.log_partition(m), "one for each context"),
        (lambda m: hm.log_likelihood(m, [[0, 1, 1, 0, 0, NAN, 1.0]]), "in row 0"),
        (lambda m: hm.fit(m, [[0, 1, 1, 0, 0, 0.2, 1.0]] * 4, negatives="pcd"), "negatives must be None"),
        (
            lambda m: hm.fit(m, [[0, 1, 1, 0, 0, 0.2, 1.0]] * 4, objective=Objective(slice(0, 1))),
            "objective must be None",
        ),
        (lambda m: m.at([1.0]), "context must have 2 numbers, got 1"),
    ],
)
def test_mistakes_are_one_sentence(call, told):
    with pytest.raises((ValueError, TypeError), match=told):
        call(machine())


# -- learning -----------------------------------------------------------------------------------------------


def test_chains_and_completions_make_the_same_gradient():
    """The mean of the gradient by chains, over updates with the model held, is the exact one."""
    model = machine(hidden=hm.Bernoulli(2))
    held = model.objective.held(7)
    rows = torch.cat([rows_at(u)[:4] for u in CONTEXTS])
    data = Particles((rows,), torch.full((12,), 1 / 12, dtype=DOUBLE), np.arange(12))
    exact = ConditionalCompletions(~held, states_of_free(model, held))
    chains = ConditionalChains(held, k=2, seed=1)
    exact.accumulate(model, data, 0)
    wanted = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    means = []
    for step in range(600):
        model.zero_grad(set_to_none=True)
        chains.accumulate(model, data, step)
        if step >= 20:
            means.append(torch.cat([model.weight.grad.flatten(), model.direct.grad.flatten()]))
    found = torch.stack(means)
    blocks = found[: 29 * 20].view(29, 20, -1).mean(1)  # of updates, since chains go on
    error = blocks.std(0) / 29**0.5
    z = (found.mean(0) - torch.cat([wanted["weight"].flatten(), wanted["direct"].flatten()])) / error
    assert float(z[error > 1e-12].abs().max()) < 5.0
    assert float(z[error > 1e-12].square().mean()) < 2.5


def test_the_right_negatives_are_chosen():
    asked = settings.UserSettings()
    few = machine()
    assert isinstance(default_negatives.conditional_phase(few, few.objective, asked), ConditionalCompletions)
    many = hm.ConditionalRBM(hm.Bernoulli(9), 2, hm.Bernoulli(3))
    assert isinstance(default_negatives.conditional_phase(many, many.objective, asked), ConditionalChains)
    hybrid = hm.LabelledRBM(hm.Bernoulli(9), 3, hm.Bernoulli(3))
    assert isinstance(default_negatives.conditional_phase(hybrid, hybrid.objective, asked), HybridNegatives)


@pytest.mark.parametrize("columns", [3, 9])  # by completions, and by chains
def test_a_context_is_learned(columns):
    """Bits that are copies of the sign of u, or of its negative: log P(v | u) nears its truth."""
    u = 2.0 * registry.uniforms(1, 600).float() - 1.0
    flips = torch.where(registry.uniforms(2, 600, columns) < 0.9, 1.0, -1.0)
    signs = torch.tensor([1.0, -1.0, 1.0] * (columns // 3))
    v = (u.sign() * flips * signs > 0).float()
    rows = torch.cat([v, u.sign()], 1)
    model = hm.ConditionalRBM(hm.Bernoulli(columns), hm.Spin(1), hm.Bernoulli(2))
    history = hm.fit(model, rows[:400], validation=rows[400:], steps=150, seed=1)
    truth = columns * (0.9 * math.log(0.9) + 0.1 * math.log(0.1))
    found = hm.log_likelihood(model, rows[400:])
    spread = found.details["data_stderr"]
    assert abs(found.value - truth) < 4 * spread + 0.05
    record = next(r for r in history.records if r["step"] == history.best_step)
    assert record["validation_log_likelihood"] == pytest.approx(found.value, abs=1e-3)


def test_a_regression_is_learned_by_direct_couplings():
    """v = C u + noise: log P(v | u) of the Gaussian machine ends at that of least squares."""
    numbers = torch.special.ndtri(registry.uniforms(3, 800, 5)).float()
    u, noise = 3.0 * numbers[:, :3] + 5.0, 0.5 * numbers[:, 3:]
    v = u @ torch.tensor([[1.0, 0.0], [0.5, -1.0], [0.0, 2.0]]) + noise
    rows = torch.cat([v, u], 1)
    model = hm.ConditionalRBM(hm.Gaussian(2), 3, hm.Bernoulli(2))
    hm.fit(model, rows[:600], validation=rows[600:], steps=100)
    design = torch.cat([u, torch.ones(800, 1)], 1)
    solution = torch.linalg.lstsq(design[:600], v[:600]).solution
    residual = v - design @ solution
    sd = residual[:600].std(0)
    truth = torch.distributions.Normal(0.0, sd).log_prob(residual[600:]).sum(1).mean()
    assert abs(hm.log_likelihood(model, rows[600:]).value - float(truth)) < 0.05


def test_a_machine_is_saved_and_resumed(tmp_path):
    rows = torch.cat([rows_at(u) for u in CONTEXTS]).float()
    make = lambda: hm.ConditionalRBM(  # noqa: E731
        hm.Mixed(hm.Bernoulli(2), hm.Categorical(1, states=3)),
        hm.Mixed(hm.Gaussian(1), hm.Spin(1)),
        hm.Bernoulli(3),
    )
    whole, first, again = make(), make(), make()
    hm.fit(whole, rows, steps=60)
    path = tmp_path / "run"

    def stop(update):
        if update.step == 30:
            raise hm.learning.StopTraining

    hm.fit(first, rows, steps=60, checkpoint=path, callbacks=[stop])
    hm.fit(again, rows, steps=60, checkpoint=path, resume=True)
    for a, b in zip(whole.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)
    hm.save(whole, tmp_path / "model.safetensors")
    loaded = hm.load(tmp_path / "model.safetensors")
    assert loaded.context == whole.context
    assert torch.equal(loaded.free_energy(rows), whole.free_energy(rows))
