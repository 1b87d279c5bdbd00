"""Classes of rows (`hm.LabelledRBM`), and objectives for any model."""

import itertools

import numpy as np
import pytest
import torch

import harmonium as hm
import registry
from conditional_machine import DOUBLE
from harmonium.models import Objective


def bits(n):
    return torch.tensor(list(itertools.product([0.0, 1.0], repeat=n)), dtype=DOUBLE)


def labelled(objective="hybrid"):
    model = hm.LabelledRBM(
        hm.Mixed(hm.Bernoulli(3), hm.Spin(1)),
        ["a", "b", "c"],
        hm.Bernoulli(4),
        objective=objective,
        dtype=DOUBLE,
    )
    registry.scatter(model, 8)
    return model


def test_classes_of_a_row_against_brute_force():
    model = labelled()
    states = torch.cat([bits(3), torch.ones(8, 1, dtype=DOUBLE)], 1)
    whole = torch.cat([states.repeat_interleave(3, 0), torch.eye(3, dtype=DOUBLE).repeat(8, 1)], 1)
    h = bits(4)
    pairs = whole.repeat_interleave(16, 0), h.repeat(24, 1)
    unnormalised = torch.logsumexp(-model.energy(*pairs).view(8, 3, 16), 2)
    assert torch.allclose(
        model.log_label_given_visible(states), torch.log_softmax(unnormalised, 1), atol=1e-9
    )
    assert model.classify(states) == [model.classes[k] for k in unnormalised.argmax(1)]
    assert torch.allclose(model.label_given_visible(whole[::3]), model.label_given_visible(states))


@pytest.mark.parametrize("objective", ["generative", "discriminative", "hybrid"])
def test_labels_are_learned_from_few_and_many_rows(objective, tmp_path):
    """Three patterns with noise; two thirds of the rows have no label, which the generative part uses."""
    patterns = torch.tensor([[1.0, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1], [1, 0, 1, 0, 1, 0]])
    which = (3 * registry.uniforms(1, 500).flatten()).long()
    flips = registry.uniforms(2, 500, 6) < 0.1
    x = torch.where(flips, 1.0 - patterns[which], patterns[which])
    model = hm.LabelledRBM(hm.Bernoulli(6), [*"abc"], hm.Bernoulli(8), objective=objective)
    told = [
        model.classes[k] if i % 3 == 0 or objective == "discriminative" else None
        for i, k in enumerate(which[:400].tolist())
    ]
    hm.fit(model, model.rows(x[:400], told), steps=200)
    right = np.mean(
        [a == model.classes[k] for a, k in zip(model.classify(x[400:]), which[400:], strict=True)]
    )
    likelihoods = torch.distributions.Bernoulli(0.1 + 0.8 * patterns).log_prob(x[400:, None]).sum(2)
    best = float((likelihoods.argmax(1) == which[400:]).double().mean())
    assert right > best - 0.05
    if objective == "generative":
        drawn = hm.sample(model, 400, given=model.rows(None, "b"), sweeps=50)
        assert float((drawn[:, :6].mean(0) - (0.1 + 0.8 * patterns[1])).abs().max()) < 0.15
    hm.save(model, tmp_path / "m.safetensors")
    loaded = hm.load(tmp_path / "m.safetensors")
    assert loaded.classes == list("abc") and loaded.objective == model.objective


def test_wrong_labels_are_one_sentence():
    model = labelled()
    with pytest.raises(ValueError, match="labels: unknown class 'z'"):
        model.rows(torch.zeros(1, 4), ["z"])
    with pytest.raises(ValueError, match="X must have 4 columns and a row for each of 2 labels"):
        model.rows(torch.zeros(3, 4), ["a", "b"])
    with pytest.raises(ValueError, match="classes must be two or more"):
        hm.LabelledRBM(hm.Bernoulli(2), 1, hm.Bernoulli(2))


def test_an_objective_for_any_model():
    """log P of the last column given the others, for a plain RBM: better than by log P of rows."""
    x = (registry.uniforms(6, 300, 6) < 0.5).float()
    y = ((x[:, 0] + x[:, 1]) == 1).float()[:, None]
    rows = torch.cat([x, y], 1)
    rbm = hm.RBM(hm.Bernoulli(7), hm.Bernoulli(12))
    history = hm.fit(rbm, rows[:200], validation=rows[200:], steps=1200, objective=Objective(slice(0, 6)))
    given = torch.tensor([True] * 6 + [False])
    found = hm.likelihood.conditional_log_likelihood(rbm, rows[200:], given)
    assert found.value > -0.1
    assert history.records[-1]["validation_log_likelihood"] == pytest.approx(found.value, abs=2e-3)
