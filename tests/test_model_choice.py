"""A model for a table that comes without one: units from its values, hidden units by trial."""

import importlib
import math
from itertools import count
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import harmonium as hm
from harmonium.models.intake import rows_of
from harmonium.recipes.model_choice import Score, Trials, choose, first_number, scored, units_for
from recipe_tables import causes, clusters
from registry import uniforms


def test_rows_alone_are_enough():
    x = causes(600, 16)
    history = hm.fit(x, steps=240, seed=1)
    assert isinstance(history.model, hm.RBM) and len(history.model.visible.bias) == 16
    tried = history.settings["hidden_tried"]
    assert len(history.model.hidden.bias) in tried
    independent = hm.RBM(hm.Bernoulli(16), hm.Bernoulli(1))
    independent.visible.match(x)
    with torch.no_grad():
        independent.weight.zero_()
    # four bits for what 16 columns say: log 2 each, and the entropy of the noise
    best = -4 * math.log(2) - 16 * -(0.9 * math.log(0.9) + 0.1 * math.log(0.1))
    reached = hm.log_likelihood(history.model, causes(2000, 16, seed=10)).value
    assert hm.log_likelihood(independent, x).value + 1.0 < reached < best + 0.2


def test_more_hidden_units_are_chosen_where_they_pay():
    many = (uniforms(5, 400, 16, torch.float32) < 0.5).float()
    many = torch.cat([many[:, :8], many[:, :8]], 1)  # eight pairs of equal columns: eight causes
    none = (uniforms(6, 400, 16, torch.float32) < 0.5).float()
    numbers = [len(hm.fit(x, steps=400).model.hidden.bias) for x in (many, none)]
    assert numbers[0] > numbers[1]


@pytest.mark.parametrize(
    ("gains", "noise", "stderr", "chosen"),
    [
        ([0.0] * 7, 0.0, 0.0, 8),
        ([0.0, 1.0, 2.0, 3.0, 4.0, 4.01, 4.01], 0.0, 0.0, 128),  # the next is better by less than it is worth
        ([0.0, 0.2, 2.0, 2.1, 2.15, 2.2, 2.1], 0.0, 0.0, 256),
        ([0.0, 0.2, 2.0, 2.1, 2.15, 2.2, 2.1], 0.0, 0.3, 32),  # log Z leaves more than 0.1 open
        ([0.0, 0.2, 2.0, 2.1, 2.15, 2.2, 2.1], 4.0, 0.0, 32),  # and so do 400 rows with such differences
    ],
)
def test_the_smallest_number_that_is_as_good_as_the_best_is_chosen(gains, noise, stderr, chosen):
    common = torch.linspace(-30.0, -10.0, 400).double().numpy()  # rows differ far more than machines do

    def trial(hidden, rbm):
        assert rbm.hidden.width == hidden
        n = first_number(hidden).bit_length() - 4
        own = noise * np.sin(np.arange(400) * (n + 1))
        return Score(common + gains[n] + own - own.mean(), stderr)

    number, tried = choose(lambda n: hm.RBM(hm.Bernoulli(60), hm.Bernoulli(n)), trial)
    assert number == chosen and set(tried) >= {64, 128}
    assert tried[64] == pytest.approx(-20.0 + gains[3])
    assert choose(lambda n: hm.RBM(hm.Bernoulli(60), hm.Bernoulli(n)), None) == (64, {})


def test_a_trial_that_fails_leaves_the_choice_to_the_others():
    def run(rbm, negatives, callbacks):
        if rbm.hidden.width > 16:
            raise FloatingPointError("training diverged.")
        return hm.fit(rbm, rows, steps=5, callbacks=callbacks)

    rows = causes(300, 16)
    trials = Trials(run, rows_of(hm.RBM(hm.Bernoulli(16), hm.Bernoulli(1)), rows[:50], "x"))
    number, tried = choose(lambda hidden: hm.RBM(hm.Bernoulli(16), hm.Bernoulli(hidden)), trials)
    assert number <= 16 and set(tried) <= {8, 16} and all(math.isfinite(x) for x in tried.values())
    assert trials.scores[32].ahead_of(trials.scores[16])[0] == -math.inf
    assert trials.scores[16].ahead_of(trials.scores[32])[0] == math.inf


def test_a_trial_is_judged_by_the_model_that_it_ended_with():
    x = causes(400, 24)
    for hidden in (4, 24):  # log Z summed, and measured
        rbm = hm.RBM(hm.Bernoulli(24), hm.Bernoulli(hidden))
        history = hm.fit(rbm, x[100:], steps=200)
        found = scored(history, rows_of(rbm, x[:100], "x"))
        exact = hm.log_likelihood(rbm, x[:100]).value
        assert (found.stderr == 0.0) == (hidden == 4)
        assert abs(found.rows.mean() - exact) < 5.0 * found.stderr + 1e-4


@pytest.mark.parametrize(
    ("x", "units"),
    [
        (torch.tensor([[0.0, 1.0]]), hm.Bernoulli),
        (torch.tensor([[0.0, 0.3]]), hm.Bernoulli),
        (torch.tensor([[-1.0, 1.0]]), hm.Spin),
        (torch.tensor([[-1.5, 7.0]]), hm.Gaussian),
    ],
)
def test_units_follow_the_values(x, units):
    assert type(units_for(x)) is units and units_for(x).width == 2


def test_whole_numbers_are_refused_since_they_may_be_either():
    with pytest.raises(ValueError, match="may be categories or counts"):
        hm.fit([[0, 3], [1, 2]])
    with pytest.raises(TypeError, match="rows to learn from"):
        hm.fit(hm.RBM(hm.Bernoulli(2), hm.Bernoulli(2)))


def test_the_first_number_of_hidden_units_is_a_power_of_two_near_the_number_of_columns():
    assert [first_number(n) for n in (1, 16, 69, 100, 5000)] == [8, 16, 64, 128, 512]


def test_trials_leave_most_of_the_minutes_to_the_run(monkeypatch):
    ticks = count()
    clock = SimpleNamespace(
        monotonic=lambda: 0.005 * next(ticks)
    )  # a time for each look at it, on any machine
    for module in ("model_choice", "run.learning_rate"):
        monkeypatch.setattr(importlib.import_module(f"harmonium.recipes.{module}"), "time", clock)
    history = hm.fit(causes(200, 8), minutes=0.05)
    assert history.settings["hidden_tried"] and 0.02 < history.settings["minutes"] < 0.05
    assert history.records[-1]["train_log_likelihood"] > history.records[0]["train_log_likelihood"]


def test_trials_whose_chains_keep_to_their_modes_are_made_again_with_tempered_ones():
    asked = []

    def run(rbm, negatives, callbacks):
        asked.append((negatives, float(rbm.visible.bias.detach().abs().max())))
        return hm.fit(rbm, x, steps=300, chains=64, negatives=negatives, callbacks=callbacks)

    x, _ = clusters(600, 40, 2)
    near = causes(600, 40, p=0.6)
    rbm = hm.RBM(hm.Bernoulli(40), hm.Bernoulli(12))
    trials = Trials(run, rows_of(rbm, x, "x"))
    assert trials(12, rbm).stderr == 0.0
    trials(11, hm.RBM(hm.Bernoulli(40), hm.Bernoulli(11)))
    assert asked == [(None, 0.0), ("pt", 0.0), ("pt", 0.0)]  # fresh machines all
    x, asked[:] = near, []
    Trials(run, rows_of(rbm, x, "x"))(12, hm.RBM(hm.Bernoulli(40), hm.Bernoulli(12)))
    assert [name for name, _ in asked] == [None]
