"""Likelihoods of rows, conditional ones, comparisons and proxies, against enumeration."""

import dataclasses
import math

import numpy as np
import pytest
import torch

import harmonium as hm
from harmonium import likelihood
from harmonium.likelihood import clamped, comparison, row_exchange
from harmonium.likelihood.tempered import Budget
from harmonium.models.rbm import checked_rbm
from registry import FINITE, build, uniforms
from statistics_budget import z_threshold

SMALL = [
    ("Bernoulli", "Bernoulli"),
    ("Spin", "Categorical"),
    ("Categorical", "Bernoulli"),
    ("Binomial", "Gaussian"),
]


def table(model):
    """All visible states and their exact log P, float64."""
    v = model.visible.states(torch.arange(model.visible.n_states)).double()
    with torch.no_grad():
        return v, torch.log_softmax(-model.free_energy(v).double(), 0)


def brute_force(model, rows, held):
    """log P(v_A | v_B) of rows by summing the table over all states that agree on B."""
    v, log_p = table(model)
    out = []
    for row in rows:
        own = log_p[(v == row).all(1)]
        out.append(own - torch.logsumexp(log_p[(v[:, held] == row[held]).all(1)], 0))
    return torch.cat(out)


def wide(seed=1, hidden=6, dtype=torch.float64):
    rbm = hm.RBM(visible=hm.Bernoulli(8), hidden=hm.Bernoulli(hidden), dtype=dtype)
    with torch.no_grad():
        for k, p in enumerate(rbm.parameters()):
            p.copy_((3 * uniforms(seed + 10 * k, p.numel()) - 1.5).reshape(p.shape))
    return rbm


# ---------------------------------------------------------------- rows
@pytest.mark.parametrize("pair", SMALL, ids="-".join)
def test_log_probabilities_are_those_of_the_table(pair):
    model = build(*pair)
    v, log_p = table(model)
    rows = likelihood.log_probabilities(model, v)
    # against another sum where log Z has no closed form on this side
    torch.testing.assert_close(rows.value, log_p, rtol=0, atol=1e-6)
    e = hm.log_likelihood(model, v)
    assert e.value == pytest.approx(float(log_p.mean()), abs=1e-6)
    assert e.details["data_stderr"] == pytest.approx(float(log_p.std()) / len(v) ** 0.5, rel=1e-6)


def test_an_estimate_of_log_z_can_be_handed_over():
    model = wide()
    log_z = dataclasses.replace(
        hm.log_partition(model), stderr=0.5, low=1.0, high=3.0, value=2.0, warnings=("so so",)
    )
    e = hm.log_likelihood(model, torch.zeros(2, 8), log_partition=log_z)
    own = -float(model.free_energy(torch.zeros(1, 8).double()).detach())
    assert (e.low, e.value, e.high) == pytest.approx((own - 3.0, own - 2.0, own - 1.0))
    assert e.stderr == 0.5 and e.warnings == ("so so",)


def test_errors_of_one_cause_do_not_average_out():
    x = torch.zeros(100).double()
    rows = likelihood.RowEstimates(x, x + 0.3, x - 0.6, x + 0.6, True, "")
    assert rows.mean().stderr == pytest.approx(0.3) and rows.mean().high == pytest.approx(0.6)
    rows = dataclasses.replace(rows, shared=False)
    assert rows.mean().stderr == pytest.approx(0.03) and rows.mean().low == pytest.approx(-0.06)


def test_free_energies_that_must_be_estimated(monkeypatch):
    """A machine whose hidden units can't be summed out: F(v) by clamped chains."""
    machine = hm.BoltzmannMachine(5, 4)
    with torch.no_grad():
        for k, p in enumerate(machine.parameters()):
            p.copy_((2 * uniforms(60 + k, p.numel()) - 1).reshape(p.shape))
    x = hm.sample(machine, 6, seed=2)
    truth = hm.log_likelihood(machine, x).value
    monkeypatch.setattr(type(machine), "has_free_energy", lambda self: False)
    e = hm.log_likelihood(machine, x, seconds=1.0)
    assert abs(e.value - truth) < z_threshold() * e.stderr and e.stderr < 0.2


def test_wrong_rows_are_refused():
    model = wide()
    for x, words in (
        (torch.zeros(8), "rows"),
        (torch.zeros(2, 7), "8 columns"),
        (torch.full((2, 8), 2.0), "0 or 1"),
        (torch.zeros(0, 8), "one row"),
    ):
        with pytest.raises((ValueError, TypeError), match=words):
            hm.log_likelihood(model, x)


def test_wrong_arguments_are_named():
    model, x, no_one = wide(), torch.zeros(2, 8), torch.zeros(8, dtype=torch.bool)
    many = hm.RBM(visible=hm.Bernoulli(60), hidden=hm.Bernoulli(60))
    for call, words in (
        (lambda: hm.log_likelihood(many, torch.zeros(1, 60), seconds=-1), "seconds must be"),
        (lambda: likelihood.conditional_log_likelihood(model, x, no_one, seconds=0), "seconds must be"),
        (lambda: likelihood.compare(model, model, x, seconds=0), "seconds must be"),
        (lambda: hm.log_partition(many, trajectory=[model]), r"trajectory\[0\] must have the layers"),
    ):
        with pytest.raises(ValueError, match=words):
            call()


def test_arguments_of_the_wrong_type_are_named():
    from harmonium.likelihood import inputs

    for ask, words in (
        (inputs.estimate, "it must be an Estimate"),
        (inputs.energy_model, "it must be an energy-based model"),
        (inputs.normalizable, "it must be an energy-based model"),
        (checked_rbm, "it must be an RBM, got int"),
    ):
        with pytest.raises(TypeError, match=words):
            ask("it", 3)


# ---------------------------------------------------------------- conditional
@pytest.mark.parametrize("pair", [p for p in SMALL if p[1] in FINITE], ids="-".join)
@pytest.mark.parametrize("way", ["completions", "hidden"])
def test_exact_conditionals(pair, way, monkeypatch):
    if way == "hidden":
        monkeypatch.setattr(clamped, "COMPLETIONS", 0)
    model = build(*pair)
    columns = model.visible.width // model.visible.n
    held = (torch.arange(model.visible.n) % 2 == 0).repeat_interleave(columns)
    v, _ = table(model)
    rows = likelihood.conditional_log_probabilities(model, v, held)
    assert way in rows.method
    torch.testing.assert_close(rows.value, brute_force(model, v, held), rtol=1e-9, atol=1e-9)


def test_conditionals_chain_up_to_the_joint():
    """log P(a, b) = log P(a | b) + log P(b), with P(b) from all the rest given nothing."""
    model = wide()
    v, log_p = table(model)
    nothing = likelihood.conditional_log_probabilities(model, v[:9], torch.zeros(8, dtype=torch.bool))
    torch.testing.assert_close(nothing.value, log_p[:9], rtol=1e-9, atol=1e-9)
    everything = likelihood.conditional_log_probabilities(model, v[:9], torch.ones(8, dtype=torch.bool))
    assert float(everything.value.abs().max()) < 1e-9


@pytest.mark.parametrize(
    "pair", [("Bernoulli", "Bernoulli"), ("Categorical", "Spin"), ("Spin", "Gaussian")], ids="-".join
)
def test_conditionals_by_replica_exchange(pair, monkeypatch):
    if pair == ("Bernoulli", "Bernoulli"):
        monkeypatch.setattr(row_exchange, "TUNED", 3)  # the rungs from three of the six rows
    model = build(*pair)
    columns = model.visible.width // model.visible.n
    held = (torch.arange(model.visible.n) == 1).repeat_interleave(columns)
    v, _ = table(model)
    rows = v[:6]
    log_z = row_exchange.exchanged(model, rows, held.expand(rows.shape), Budget(0.3), seed=1)
    with torch.no_grad():
        truth = -model.free_energy(rows).double() - brute_force(model, rows, held)
    # every error is pooled over the rows and has 3 · 6 degrees of freedom: twice the normal threshold is
    # ample
    assert float(((log_z.value - truth) / log_z.stderr).abs().max()) < 2 * z_threshold(6)
    assert float(log_z.stderr.max()) < 0.1 and not log_z.warnings


def test_many_rows_are_exchanged_some_at_a_time(monkeypatch):
    """Six rows, two at a time: in order, and within their errors."""
    model = build("Bernoulli", "Bernoulli")
    held = torch.arange(model.visible.n) == 1
    rows = table(model)[0][:6]
    monkeypatch.setattr(clamped, "NUMBERS", 2 * clamped.REPLICAS * (model.visible.width + model.hidden.width))
    monkeypatch.setattr(clamped, "exact_sums", lambda model, v, *_: (v.new_full((len(v),), torch.nan), []))
    found = clamped.clamped_log_partitions(model, rows, held, Budget(0.3), seed=1)
    with torch.no_grad():
        truth = -model.free_energy(rows).double() - brute_force(model, rows, held)
    assert float(((found.value - truth) / found.stderr).abs().max()) < 2 * z_threshold(6)
    assert len(set(found.stderr.tolist())) == 3  # each part has an error of its own


def test_masks_are_checked():
    model = build("Categorical", "Bernoulli")
    v, _ = table(model)
    with pytest.raises(ValueError, match="mask"):
        likelihood.conditional_log_likelihood(model, v, torch.zeros(6))
    with pytest.raises(ValueError, match="one-hot"):
        likelihood.conditional_log_likelihood(model, v, torch.arange(6) == 0)


# ---------------------------------------------------------------- comparisons
def two_models():
    a, b = wide(1, dtype=torch.float32), wide(1, dtype=torch.float32)
    with torch.no_grad():
        for p, q in zip(a.parameters(), b.parameters(), strict=True):
            q.copy_(1.1 * p)
    return a, b


def test_comparison_is_the_difference_of_means():
    a, b = two_models()
    x = hm.sample(a, 50, seed=1)
    e = likelihood.compare(a, b, x)
    assert e.value == pytest.approx(hm.log_likelihood(a, x).value - hm.log_likelihood(b, x).value, abs=1e-5)
    assert e.stderr == 0.0
    assert e.details["data_stderr"] < hm.log_likelihood(a, x).details["data_stderr"]


def test_the_path_between_two_models_gives_a_small_error(monkeypatch):
    a, b = two_models()
    truth = hm.log_partition(b).value - hm.log_partition(a).value
    monkeypatch.setattr(comparison, "exact_log_partition", lambda *_: None)
    for first, second, sign in ((a, b, 1), (b, a, -1)):
        e = comparison.log_ratio(first, second, Budget(0.4), seed=1)
        assert abs(e.value - sign * truth) < 8 * e.stderr  # Student's t, 15 degrees, 1e-6
        assert e.low <= e.value <= e.high and e.stderr < 0.01


def test_models_over_different_layers_are_compared_by_two_estimates(monkeypatch):
    a, b = wide(hidden=4), wide(hidden=5)
    x = hm.sample(a, 20, seed=1)
    truth = likelihood.compare(a, b, x).value
    monkeypatch.setattr(comparison, "exact_log_partition", lambda *_: None)
    slow = comparison.estimate_log_partition
    monkeypatch.setattr(
        comparison, "estimate_log_partition", lambda m, **options: slow(m, method="annealed", **options)
    )
    e = likelihood.compare(a, b, x, seconds=1.0)
    assert abs(e.value - truth) < 8 * e.stderr and "difference" in e.method


# ---------------------------------------------------------------- proxies
@pytest.mark.parametrize("pair", SMALL, ids="-".join)
def test_pseudo_likelihood_against_the_table(pair):
    model = build(*pair)
    columns = model.visible.width // model.visible.n
    v, _ = table(model)
    expected = 0.0
    for i in range(model.visible.n):
        held = (torch.arange(model.visible.n) != i).repeat_interleave(columns)
        expected = expected + brute_force(model, v, held)
    e = likelihood.pseudo_likelihood(model, v)
    assert e.value == pytest.approx(float(expected.mean()), rel=1e-9) and "proxy" in e.method
    assert e.stderr == pytest.approx(float(expected.std()) / len(v) ** 0.5, rel=1e-6)


def test_stochastic_pseudo_likelihood_is_unbiased():
    model = wide()
    x = hm.sample(model, 300, seed=1)
    exact = likelihood.pseudo_likelihood(model, x).value
    several = [likelihood.stochastic_pseudo_likelihood(model, x, seed=s).value for s in range(60)]
    error = np.std(several, ddof=1) / len(several) ** 0.5
    assert abs(np.mean(several) - exact) < 6 * error  # Student's t, 59 degrees, 1e-6
    assert likelihood.stochastic_pseudo_likelihood(model, x, seed=1).value == several[1]


def test_pseudo_likelihood_of_discrete_energies():
    machine = hm.BoltzmannMachine(4, 0)
    e = likelihood.pseudo_likelihood(machine, torch.zeros(1, 4))
    assert e.value == pytest.approx(4 * math.log(0.5)) and math.isnan(e.stderr)


def test_pseudo_likelihood_needs_finitely_many_states():
    with pytest.raises(TypeError, match="finitely many"):
        likelihood.pseudo_likelihood(build("Gaussian", "Bernoulli"), torch.zeros(2, 2))


def test_reconstruction_error_and_free_energy_gap():
    model = wide()
    x = hm.sample(model, 40, seed=1)
    with torch.no_grad():
        again = torch.sigmoid(
            torch.sigmoid(x @ model.weight + model.hidden.bias) @ model.weight.T + model.visible.bias
        )
    e = likelihood.reconstruction_error(model, x)
    assert e.value == pytest.approx(float(((x - again) ** 2).mean()), rel=1e-6)
    gap = likelihood.free_energy_gap(model, x[:20], x[20:])
    difference = hm.log_likelihood(model, x[:20]).value - hm.log_likelihood(model, x[20:]).value
    assert gap.value == pytest.approx(difference, abs=1e-9) and gap.low < gap.value < gap.high


def test_independent_units_are_the_baseline():
    x = torch.tensor([[0.0, 1.0], [0.0, 1.0], [1.0, 1.0]])
    p = (torch.tensor([1.0, 3.0]) + 0.5) / 4  # with half a count of each value
    expected = float(torch.where(x == 1, p, 1 - p).log().sum(1).mean())
    assert hm.likelihood.independent_log_likelihood(hm.Bernoulli(2), x, x) == pytest.approx(
        expected, rel=1e-6
    )
