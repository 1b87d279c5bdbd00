"""Sequences: rows that hold a frame and its past (`hm.TemporalRBM`)."""

import math

import pytest
import torch

import harmonium as hm
import registry
from conditional_machine import machine


def test_rows_of_sequences_hold_a_frame_and_its_past():
    model = hm.TemporalRBM(hm.Gaussian(1), 2, hm.Bernoulli(2))
    rows = model.rows([torch.arange(4.0)[:, None], torch.arange(10.0, 13.0)[:, None]])
    assert rows.tolist() == [[2, 1, 0], [3, 2, 1], [12, 11, 10]]
    assert torch.equal(model.rows(torch.arange(4.0)[:, None]), rows[:2])


def test_a_vector_autoregression_is_found_and_goes_on():
    """Frames of a rotation with noise: the likelihood per frame of the autoregression, and its forecast."""
    turn = 0.9 * torch.tensor([[math.cos(0.5), -math.sin(0.5)], [math.sin(0.5), math.cos(0.5)]])
    noise = 0.3 * torch.special.ndtri(registry.uniforms(4, 900, 2)).float()
    frames = [torch.ones(2)]
    for e in noise:
        frames.append(turn @ frames[-1] + e)
    x = torch.stack(frames)
    model = hm.TemporalRBM(hm.Gaussian(2), 1, hm.Bernoulli(2))
    hm.fit(model, model.rows(x[:600]), validation=model.rows(x[600:]), steps=60)
    truth = torch.distributions.Normal(0.0, 0.3).log_prob(noise[600:]).sum(1).mean()
    assert abs(hm.log_likelihood(model, model.rows(x[600:])).value - float(truth)) < 0.1
    past = torch.tensor([[1.0, 0.0]])
    drawn = hm.continuation(model, past, 2, n=600, seed=3)
    for k, wanted in enumerate((turn @ past[0], turn @ turn @ past[0])):
        error = drawn[:, k].std(0) / 600**0.5
        assert float(((drawn[:, k].mean(0) - wanted).abs() / (error + 0.02)).max()) < 4.5


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda m: m.rows(torch.zeros(2, 1)), "more than 2 frames"),
        (lambda m: m.rows([torch.zeros(4, 3)]), "in number 0"),
        (lambda m: hm.continuation(m, torch.zeros(1, 1), 2), "past must have at least 2 frames"),
        (lambda m: hm.continuation(machine(), torch.zeros(1, 1), 2), "expected a hm.TemporalRBM"),
    ],
)
def test_wrong_sequences_are_one_sentence(call, told):
    with pytest.raises((TypeError, ValueError), match=told):
        call(hm.TemporalRBM(hm.Gaussian(1), 2, hm.Bernoulli(2)))
