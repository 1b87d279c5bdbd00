"""The default recipe as a whole: how long it takes, what it measures and what it warns of."""

import math

import numpy as np
import pytest
import torch

import harmonium as hm
from harmonium.recipes.run.likelihoods import log_partition_anew, log_weights
from recipe_tables import causes
from registry import uniforms


def crowd(rows, width, seed=0):
    """Sparse rows, a few of them dense: one direction of far greater variance than all others."""
    dense = uniforms(seed, rows, 1, torch.float32) < 0.2
    return (uniforms(seed + 1, rows, width, torch.float32) < torch.where(dense, 0.6, 0.04)).float()


def test_minutes_are_spent_to_the_end_at_steps_that_fall_with_time(monkeypatch):
    """A clock that each look moves on: updates of uneven length, as on a busy machine."""
    now = [1000.0]

    class Clock:
        @staticmethod
        def monotonic():
            now[0] += 0.02 if now[0] < 1030.0 else 0.06
            return now[0]

    monkeypatch.setattr("harmonium.recipes.run.learning_rate.time", Clock)
    rbm = hm.RBM(hm.Bernoulli(12), hm.Bernoulli(4))
    history = hm.fit(rbm, causes(90, 12), minutes=1.0)  # too few rows to hold some out and to turn early
    table = history.table()
    assert 59.0 < table["seconds"].iloc[-1] < 61.0
    assert len(table) >= 38  # measured all along
    half, rate = table["seconds"] < 29.0, history.settings["learning_rate"]
    assert table["learning_rate"][half].tolist() == pytest.approx([rate] * int(half.sum()))
    late = table[table["seconds"] > 31.0]
    expected = [rate * max(0.02, 2.0 * (1.0 - s / 60.0)) for s in late["seconds"]]
    assert late["learning_rate"].tolist() == pytest.approx(expected, abs=0.02 * rate)


@pytest.mark.parametrize("width", [40, 100])
def test_a_direction_in_which_the_data_vary_much_does_not_run_away(width):
    x = crowd(1500, width)
    rbm = hm.RBM(hm.Bernoulli(width), hm.Bernoulli(64))
    first = hm.fit(rbm, x, steps=60).records[0]
    log_z, stderr = log_partition_anew(rbm, x, work=1.0, seed=0)  # by no clock: the same on a busy machine
    found = float(log_weights(rbm, x, 0)[0].mean()) - log_z
    error = math.hypot(first["train_log_likelihood_stderr"], stderr)
    assert found > first["train_log_likelihood"] + 3.0 * error


# ------------------------------------------------------------------------------------------- how it goes
def test_any_algorithm_can_be_named_and_its_likelihood_is_measured():
    x = causes(300, 16)
    for name in ("cd", "pt", "pl", "tap"):
        history = hm.fit(hm.RBM(hm.Bernoulli(16), hm.Bernoulli(8)), x, steps=100, negatives=name)
        records = history.records
        assert records[-1]["train_log_likelihood"] > records[0]["train_log_likelihood"] + 0.5, name
    with pytest.raises(ValueError, match="negatives"):
        hm.fit(hm.RBM(hm.Bernoulli(16), hm.Bernoulli(8)), x, negatives="gibbs")


def test_likelihoods_are_measured_without_persistent_chains_where_no_sum_is_cheap():
    x = causes(300, 28)
    history = hm.fit(hm.RBM(hm.Bernoulli(28), hm.Bernoulli(28)), x, steps=60, negatives="cd")
    assert history.records[-1]["validation_log_likelihood_stderr"] > 0
    assert history.records[-1]["train_log_likelihood"] > history.records[0]["train_log_likelihood"]


def test_chains_that_hardly_mix_are_named(monkeypatch):
    monkeypatch.setattr("harmonium.recipes.user_warnings.STUCK", 0.0)  # as if none mixed
    rbm = hm.RBM(hm.Bernoulli(12), hm.Bernoulli(12))  # too many for independent draws
    history = hm.fit(rbm, causes(200, 12), steps=1100, chains=64)
    assert any("chains hardly mixed (R-hat" in w and "gibbs_steps" in w for w in history.warnings)
    columns = set(history.table().columns)
    assert {"r_hat", "chain_ess", "autocorrelation_time", "inactive_hidden_units", "gibbs_steps"} <= columns


def test_inactive_units_and_overfitting_are_named():
    x = (uniforms(11, 110, 12, torch.float32) < 0.5).float()  # nothing to learn but the rows themselves
    history = hm.fit(hm.RBM(hm.Bernoulli(12), hm.Bernoulli(40)), x, steps=300, weight_decay=0.0)
    assert any("Overfitting" in w for w in history.warnings)
    history = hm.fit(hm.RBM(hm.Bernoulli(12), hm.Bernoulli(40)), x, steps=300, weight_decay=1.0)
    assert any("hardly respond" in w for w in history.warnings)


@pytest.mark.parametrize("times", [1, 40])
def test_the_exclusive_or_is_learned_though_no_two_columns_are_correlated(times):
    patterns = torch.tensor([[0.0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0]])
    rbm = hm.RBM(visible=hm.Bernoulli(3), hidden=hm.Bernoulli(4))
    hm.fit(rbm, patterns.repeat(times, 1))
    assert -np.log(4) - 0.05 < hm.log_likelihood(rbm, patterns).value <= -np.log(4)
