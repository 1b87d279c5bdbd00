"""Documents as counts of words, against enumeration of all documents of a length."""

import itertools
import math

import pytest
import torch

import harmonium as hm
import registry
from goodness import assert_counts
from harmonium.likelihood import row_exchange
from harmonium.models.replicated_softmax import MOST, Counts
from statistics_budget import z_threshold

DOUBLE = torch.float64
K = 3


def machine(hidden=None, seed=4):
    model = hm.ReplicatedSoftmax(K, hidden or hm.Mixed(hm.Bernoulli(2), hm.Spin(1)), dtype=DOUBLE)
    registry.scatter(model, seed)
    return model


def documents(length):
    """The counts of all documents of so many words."""
    counts = itertools.product(range(length + 1), repeat=K)
    return torch.tensor([c for c in counts if sum(c) == length], dtype=DOUBLE)


def hidden_states():
    return torch.tensor([[*b, s] for b in itertools.product((0, 1), repeat=2) for s in (-1, 1)], dtype=DOUBLE)


def log_p_by_hand(model, length):
    """log P(counts | D): Σ over h of the probability of D words, each softmax(a + W h)."""
    w, b = model.weight.detach()[:K], model.weight.detach()[K]
    a, c = model.visible.bias.detach()[:K], model.hidden.bias.detach()
    v, h = documents(length), hidden_states()
    ways = math.lgamma(length + 1) - torch.lgamma(v + 1).sum(1)
    joint = ways[:, None] + v @ (a[:, None] + w @ h.T) + h @ (c + length * b)
    return torch.logsumexp(joint, 1) - torch.logsumexp(joint.flatten(), 0)


@pytest.mark.parametrize("length", [0, 1, 4, 9])
def test_log_p_of_all_documents_of_a_length(length):
    model = machine()
    found = hm.likelihood.log_probabilities(model, model.rows(documents(length)))
    assert found.method.startswith("exact")
    assert torch.allclose(found.value, log_p_by_hand(model, length), atol=1e-9)


def test_documents_of_different_lengths_have_a_z_each():
    model = machine()
    rows = torch.cat([model.rows(documents(length))[:2] for length in (2, 5, 3)])
    expected = torch.cat([log_p_by_hand(model, length)[:2] for length in (2, 5, 3)])
    assert hm.log_likelihood(model, rows).value == pytest.approx(float(expected.mean()), abs=1e-9)


def test_replica_exchange_brackets_the_sum():
    """Where neither side can be summed, the interval of each row's estimate holds the enumerated value."""
    model = machine(hm.Bernoulli(30))
    x = model.rows(documents(5))
    free_energies = model.free_energy(x).detach()
    log_p = torch.log_softmax(-free_energies, 0)
    found = hm.likelihood.log_probabilities(model, x[::4], seconds=0.5, seed=2)
    assert "replica exchange" in found.method
    off = (found.value - log_p[::4]).abs()
    assert bool((off <= z_threshold(len(off)) / 1.96 * (found.high - found.low) / 2).all())
    assert float((off <= (found.high - found.low) / 2).double().mean()) > 0.5
    held = torch.zeros_like(x, dtype=torch.bool)
    held[:, K] = True
    value, stderr = row_exchange.annealed(model, x[::4], held[::4], seed=3)
    log_z = torch.logsumexp(-free_energies, 0)
    assert abs(float((value - log_z).mean())) < z_threshold() * stderr


def test_gradient_against_autograd():
    model, v = machine(), machine().rows(documents(3))
    weights = registry.uniforms(5, len(v)).flatten()
    model.accumulate_gradient(v, weights)
    found = [p.grad.clone() for p in model.parameters()]
    model.zero_grad(set_to_none=True)
    (weights * model.free_energy(v)).sum().backward()
    assert all(torch.allclose(a, p.grad, atol=1e-9) for a, p in zip(found, model.parameters(), strict=True))


def test_samples_of_given_lengths():
    model, lengths = machine(), torch.tensor([2, 4]).repeat_interleave(3000)
    drawn = hm.sample(model, 6000, given=model.lengths(lengths), seed=5, sweeps=40)
    assert torch.equal(drawn[:, :K].sum(1), lengths.to(DOUBLE)) and torch.equal(
        drawn[:, K], lengths.to(DOUBLE)
    )
    for length in (2, 4):
        counts = [int((drawn == x).all(1).sum()) for x in model.rows(documents(length))]
        assert_counts(counts, 3000, log_p_by_hand(model, length).exp().numpy(), comparisons=21)


def test_words_are_drawn_independently_and_counted():
    units, field = Counts(K).double(), torch.tensor([[0.5, -1.0, 0.0, 7.0]], dtype=DOUBLE)
    rows = torch.tensor([[0.0, 0.0, 0.0, 3.0]], dtype=DOUBLE).repeat(4000, 1)
    given = units.in_rows(rows)
    x = given.sample(field.expand(4000, -1), registry.address(1))
    v = documents(3)
    p = torch.softmax(field[0, :K], 0)
    exact = (math.lgamma(4) - torch.lgamma(v + 1).sum(1) + v @ p.log()).exp()
    assert float(exact.sum()) == pytest.approx(1.0)
    assert_counts([int((x[:, :K] == k).all(1).sum()) for k in v], 4000, exact.numpy())
    assert torch.allclose(given.mean(field)[0, :K], exact @ v)
    assert torch.allclose(given.variance(field)[0, :K], exact @ v.square() - (exact @ v).square())
    assert torch.allclose(given.mode(field)[0, :K], v[exact.argmax()])
    potential = units.potential(torch.cat([v, torch.full((len(v), 1), 3.0)], 1))[:, 0]
    log_sum = torch.logsumexp(v @ field[0, :K] - potential, 0)
    assert torch.allclose(given.cumulant(field)[0, 0], log_sum)


def test_long_documents_are_drawn_piece_by_piece(monkeypatch):
    rows = torch.tensor([[0.0, 0.0, 0.0, d] for d in (0.0, 50.0, 7.0)])
    field = torch.tensor([[0.2, -1.0, 0.0, 0.0]]).expand(3, -1)
    whole = Counts(K).in_rows(rows).sample(field, registry.address(2))
    monkeypatch.setattr("harmonium.models.replicated_softmax.AT_ONCE", 12)
    assert torch.equal(Counts(K).in_rows(rows).sample(field, registry.address(2)), whole)
    assert whole[:, :K].sum(1).tolist() == [0.0, 50.0, 7.0]


def topics():
    """A machine with two topics of six words each, and 700 documents of 5 to 29 words drawn from it."""
    true = hm.ReplicatedSoftmax(12, hm.Bernoulli(2))
    with torch.no_grad():
        true.weight.zero_()
        true.weight[:6, 0] = true.weight[6:12, 1] = 1.5
        true.weight[12] = -0.9
    lengths = 5 + (25 * registry.uniforms(6, 700)).floor()
    return true, hm.sample(true, 700, given=true.lengths(lengths), seed=1, sweeps=40)


def test_fit_nears_the_truth_and_a_run_resumes(tmp_path):
    true, rows = topics()
    whole, cut, again = (hm.ReplicatedSoftmax(12, hm.Bernoulli(3)) for _ in range(3))
    fit = {"validation": rows[500:], "steps": 120}
    hm.fit(whole, rows[:500], **fit)
    best, found = (hm.log_likelihood(m, rows[500:]) for m in (true, whole))
    no_topics = hm.ReplicatedSoftmax(12, hm.Bernoulli(3))
    no_topics.visible.match(rows[:500])
    torch.nn.init.zeros_(no_topics.weight)
    assert best.value - 0.25 < found.value
    assert hm.log_likelihood(no_topics, rows[500:]).value < best.value - 1.5

    def stop(update):
        if update.step == 60:
            raise hm.learning.StopTraining

    hm.fit(cut, rows[:500], checkpoint=tmp_path / "run", callbacks=[stop], **fit)
    hm.fit(again, rows[:500], checkpoint=tmp_path / "run", resume=True, **fit)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), again.parameters(), strict=True))
    hm.save(whole, tmp_path / "model.safetensors")
    loaded = hm.load(tmp_path / "model.safetensors")
    assert torch.equal(loaded.free_energy(rows), whole.free_energy(rows)) and loaded.context == whole.context


@pytest.mark.parametrize(
    "call, told",
    [
        (lambda m: hm.log_likelihood(m, documents(3)), "X must have 4 columns"),
        (lambda m: hm.log_likelihood(m, [[1, 1, 1, 4]]), "the last column must be the sum of the counts"),
        (lambda m: hm.log_likelihood(m, m.rows([[1, 2, 0.5]])), "must be whole numbers"),
        (lambda m: hm.log_likelihood(m, [[float("nan"), 1, 1, 4]]), "all counts of a document must be given"),
        (lambda m: hm.sample(m, 2), "expected the context of every row"),
        (lambda m: hm.sample(m, 1, given=m.lengths(2 * MOST)), "at most"),
        (lambda m: m.rows([[1.0, 2.0]]), "counts must be"),
        (lambda m: hm.surprise(m, m.rows(documents(2))), "are one variable"),
        (lambda m: hm.impute(m, m.lengths([3])), "are one variable"),
    ],
)
def test_mistakes_are_told(call, told):
    with pytest.raises((ValueError, TypeError), match=told):
        call(machine())
