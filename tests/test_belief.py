"""Deep belief networks, against sums over all states that are written layer by layer."""

import itertools

import pytest
import torch

import harmonium as hm
from goodness import assert_counts
from harmonium.likelihood import annealed_importance_sampling, log_probabilities
from harmonium.likelihood.rows import hidden_sums
from harmonium.likelihood.tempered import Budget
from harmonium.store import from_bytes, to_bytes
from registry import uniforms
from statistics_budget import z_threshold

DOUBLE = torch.float64

LAYERS = {
    "two layers of 0/1": lambda: [hm.Bernoulli(4), hm.Bernoulli(3), hm.Bernoulli(2)],
    "three layers of other types": lambda: [
        hm.Mixed(hm.Spin(1), hm.Categorical(1, states=3)),
        hm.Bernoulli(3),
        hm.Spin(2),
        hm.Binomial(2, trials=2),
    ],
    "one layer": lambda: [hm.Bernoulli(4), hm.Spin(3)],
}


def network(name, scale=2.0):
    visible, *hidden = LAYERS[name]()
    dbn = hm.DeepBeliefNetwork(visible, hidden, dtype=DOUBLE)
    with torch.no_grad():
        for k, p in enumerate(dbn.parameters()):
            p.copy_(scale * (uniforms(k + 1, 1, p.numel()).view(p.shape) - 0.5))
    return dbn


def log_p(dbn):
    """(visible states, their log P), by tables of each conditional distribution and of the top machine."""
    *below, top = dbn.machines
    units = [*(rbm.visible for rbm in dbn.machines), top.hidden]
    states = [u.states(torch.arange(u.n_states)).to(DOUBLE) for u in units]
    joint = -torch.stack([top.energy(x.expand(len(states[-1]), -1), states[-1]) for x in states[-2]])
    log_prior = torch.logsumexp(joint, 1) - torch.logsumexp(joint.flatten(), 0)
    for k in reversed(range(len(below))):
        lower, upper = states[k], states[k + 1]
        scores = torch.stack([-below[k].energy(lower, h.expand(len(lower), -1)) for h in upper])
        log_prior = torch.logsumexp(torch.log_softmax(scores, 1) + log_prior[:, None], 0)
    return states[0], log_prior.detach()


@pytest.mark.parametrize("name", LAYERS)
def test_log_p_is_the_sum_over_all_layers(name):
    dbn = network(name)
    v, exact = log_p(dbn)
    assert float(torch.logsumexp(exact, 0)) == pytest.approx(0.0, abs=1e-12)
    found = log_probabilities(dbn, v)
    torch.testing.assert_close(found.value, exact, atol=1e-10, rtol=0)
    assert hm.log_partition(dbn).value == hm.log_partition(dbn.machines[-1]).value
    annealed = [annealed_importance_sampling(x, 20, 16).value for x in (dbn, dbn.machines[-1])]
    assert annealed[0] == annealed[1]


@pytest.mark.parametrize("name", LAYERS)
def test_energies_sum_to_the_free_energy(name):
    dbn = network(name)
    units = [*(rbm.visible for rbm in dbn.machines), dbn.machines[-1].hidden]
    each = [u.states(torch.arange(u.n_states)).to(DOUBLE) for u in units]
    number = torch.tensor(list(itertools.product(*(range(len(x)) for x in each))))
    energy = dbn.energy(*(x[k] for x, k in zip(each, number.T, strict=True)))
    sums = torch.stack([-torch.logsumexp(-energy[number[:, 0] == k], 0) for k in range(len(each[0]))])
    torch.testing.assert_close(dbn.free_energy(each[0]), sums, atol=1e-10, rtol=0)


@pytest.mark.parametrize("name", LAYERS)
def test_draws_upwards_estimate_and_bound_it(name):
    dbn = network(name)
    v, exact = log_p(dbn)
    log_z = hm.log_partition(dbn).value
    found = hidden_sums(dbn, v, Budget(1.0), seed=1)
    error = (found.value - log_z - exact).abs()
    # the logarithm of a mean is low by half its squared error, to first order
    assert (error <= z_threshold(len(v)) * found.stderr + found.stderr**2 + 1e-10).all()
    assert found.details["bound"] - log_z <= float(exact.mean()) + 1e-10


@pytest.mark.parametrize("name", LAYERS)
def test_samples_are_drawn_downwards(name):
    dbn, n = network(name), 4000
    v, exact = log_p(dbn)
    drawn = hm.sample(dbn, n, seed=1)
    assert_counts([(drawn == row).all(1).sum().item() for row in v], n, exact.exp())


def test_fit_trains_layer_by_layer():
    x = (uniforms(5, 300, 3) < 0.5).float()
    X = torch.cat([x, x], 1)
    dbn = hm.DeepBeliefNetwork(hm.Bernoulli(6), [hm.Bernoulli(8), hm.Bernoulli(4)])
    history = hm.fit(dbn, X, steps=150)
    assert {record["layer"] for record in history.records} == {1, 2} and history.model is dbn
    assert history.settings["data"] == "states"  # as the rows are, and not as features are
    # independent units have -4.16, the truth -2.08
    assert hm.log_likelihood(dbn, X).value > -2.8
    assert dbn.features(X).shape == (300, 4) and dbn.features(X, layer=1).shape == (300, 8)
    with pytest.raises(ValueError, match="^state: expected none"):
        hm.fit(dbn, X, state={"origin": X[0]})


class Stopped(Exception):
    """What ends a run in a test."""


@pytest.mark.parametrize("last", [30, 60, 95, 130])  # in layer 1, at its end, in layer 2, in layer 3
def test_a_run_that_is_resumed_equals_one_that_was_never_stopped(tmp_path, last):
    X = (uniforms(5, 200, 6) < 0.5).float()

    def fresh():
        return hm.DeepBeliefNetwork(hm.Bernoulli(6), [hm.Bernoulli(5), hm.Bernoulli(5), hm.Bernoulli(3)])

    def stop(update):
        stop.made += 1
        if stop.made == last:
            raise Stopped

    stop.made = 0
    whole, part, path = fresh(), fresh(), tmp_path / "run.safetensors"
    asked = {"steps": 60, "negatives": "pcd", "chains": 20}
    history = hm.fit(whole, X, **asked)
    with pytest.raises(Stopped):
        hm.fit(part, X, checkpoint=path, callbacks=[stop], **asked)
    again = fresh()
    found = hm.fit(again, X, checkpoint=path, resume=True, **asked)
    for a, b in zip(whole.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)
    assert [(r["layer"], r["step"]) for r in found.records] == [
        (r["layer"], r["step"]) for r in history.records
    ]
    with pytest.raises(ValueError, match="other settings"):
        hm.fit(fresh(), X, checkpoint=path, resume=True, **{**asked, "steps": 50})


def test_wide_layers_are_estimated_with_a_bound():
    dbn = hm.DeepBeliefNetwork(hm.Bernoulli(6), [hm.Bernoulli(30), hm.Bernoulli(4)])
    found = hm.log_likelihood(dbn, torch.zeros(3, 6))
    assert found.details["bound"] <= found.value and "importance" in found.method
    with pytest.raises(ValueError, match="no empty cells"):
        hm.log_likelihood(dbn, torch.full((3, 6), torch.nan))


def test_saved_and_loaded():
    dbn = network("three layers of other types")
    again = from_bytes(to_bytes(dbn))
    v, _ = log_p(dbn)
    assert torch.equal(again.free_energy(v), dbn.free_energy(v))


def test_evidence_is_refused():
    with pytest.raises(ValueError, match="downwards"):
        hm.sample(network("two layers of 0/1"), 2, given=[1.0, 0.0, float("nan"), 0.0])
