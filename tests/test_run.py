"""A run: its rules, the way it ends, and what is measured along the way."""

from dataclasses import replace

import networkx
import numpy as np
import pytest
import torch

import harmonium as hm
from bars_in_rows import bars, machine, stopped_at
from harmonium.diagnostics import MixingReport
from harmonium.learning import (
    ContrastiveDivergence,
    MeanField,
    NegativePhase,
    PersistentChains,
    RestartedChains,
    algorithm,
    equally_weighted,
)
from harmonium.recipes.rules import (
    DecayEarly,
    KeepBest,
    RollBack,
    Rule,
    Shrink,
    StopEarly,
    Temper,
    standard_rules,
)
from harmonium.recipes.run.course import Action
from harmonium.recipes.run.likelihoods import exact_value
from harmonium.recipes.user_warnings import overfitting
from registry import uniforms


# ---------------------------------------------------------------------------------------------------- rules
class Everywhere(Rule):
    """Asks for nothing, and notes when it was asked."""

    def __init__(self):
        self.asked = []

    def judge(self, run, now):
        self.asked.append(now.step)
        return Action(lambda: None, f"seen at {now.step}")


def test_without_rules_a_run_is_plain_training():
    x, _ = bars()
    rbm = machine()
    history = hm.fit(rbm, x, steps=200, rules=())
    assert history.notes == history.warnings == [] and history.best_step == 200
    again = machine()
    told = hm.fit(again, x, steps=200, rules=[Everywhere()])
    assert torch.equal(again.weight, rbm.weight)
    assert told.notes == [f"seen at {r['step']}" for r in told.records]
    with pytest.raises(TypeError, match="rules must hold rules"):
        hm.fit(machine(), x, steps=5, rules=["keep the best"])


def test_rules_say_why_they_are_there_and_change_nothing_by_themselves():
    for rule in standard_rules():
        assert len(type(rule).__doc__) > 100 and "Figure" in type(rule).__doc__
        assert rule.judge.__qualname__.split(".")[0] in (type(rule).__name__, "Rule")
    names = {type(rule) for rule in standard_rules()}
    assert names == {KeepBest, Temper, RollBack, Shrink, DecayEarly, StopEarly}


def test_a_given_rule_remembers_nothing_of_an_earlier_run():
    rule = Everywhere()
    for _ in range(2):
        hm.fit(machine(), bars()[0], steps=5, rules=[rule])
    assert rule.asked == []  # each run judges by a copy


# ------------------------------------------------------------------------------------------------- the end
@pytest.mark.parametrize("step", [1, 7, 33])
def test_training_may_be_stopped_at_any_update_and_says_which_model_it_returns(step):
    x, _ = bars()
    rbm = machine()
    history = hm.fit(rbm, x, steps=200, callbacks=[stopped_at(step)], rules=())
    assert history.best_step == history.records[-1]["step"] == step
    other = machine()
    hm.fit(other, x, steps=200, callbacks=[stopped_at(step)], rules=(), seed=0)
    assert torch.equal(rbm.weight, other.weight)
    found = hm.log_likelihood(rbm, x[:50]).value
    assert found == pytest.approx(hm.log_likelihood(other, x[:50]).value)
    # the record is one of the model that is returned
    whole = hm.fit(machine(), x, validation=x[:50], steps=200, callbacks=[stopped_at(step)], rules=())
    measured = whole.records[-1]["validation_log_likelihood"]
    assert measured == pytest.approx(hm.log_likelihood(whole.model, x[:50]).value, abs=1e-4)


def test_a_lucky_record_neither_ends_a_run_nor_is_chosen(monkeypatch):
    """log Z of one early model is recorded a nat too small, and its standard error as a tenth."""
    x, _ = bars()
    looked = []

    def lucky(track, model, work, rows):
        looked.append(exact_value(model))
        return looked[-1] - (len(looked) == 12), 0.1

    monkeypatch.setattr("harmonium.recipes.run.likelihoods.EXACT_WORK", 0)
    monkeypatch.setattr("harmonium.recipes.run.likelihoods.LogPartitionTrack.measure", lucky)
    monkeypatch.setattr("harmonium.recipes.run.course.DECISIVE", 0.05)
    history = hm.fit(machine(), x, steps=800, rules=[StopEarly(), KeepBest()])
    scores = [r["validation_log_likelihood"] for r in history.records]
    assert max(scores) == scores[11] > max(scores[12:]) + 0.3  # which the records alone would follow
    assert history.records[-1]["step"] == history.best_step == 800


def test_a_restart_never_returns_less_than_what_was_had():
    """A restart in the middle whose new phase learns nothing."""

    class Still(PersistentChains):
        def tempered(self):
            return Nothing()

    class Nothing(NegativePhase):
        def draw(self, model, data, step):
            return data  # no difference, no gradient

    class Restart(Temper):
        def judge(self, run, now):
            if now.step != 150:
                return None
            run.begin = lambda negatives: run.learner.model.weight.data.mul_(0.01)
            return super().judge(run, replace(now, mixing=MixingReport(1.0, 9.0, 1.0, "stuck")))

    x, truth = bars()
    rbm = machine()
    history = hm.fit(rbm, x, steps=400, negatives=Still(128, 2), rules=[KeepBest(), Restart()])
    assert any("began anew" in w for w in history.warnings)
    assert any("was kept" in w for w in history.warnings)
    assert history.best_step <= 150
    assert hm.log_likelihood(rbm, x).value > truth - 3.0


# ------------------------------------------------------------------------------------------ negative phases
@pytest.mark.parametrize("name", ["fpcd", "tap", "trajectory", "pt"])
def test_a_restart_forgets_the_model_that_is_given_up(name):
    x, _ = bars(100)
    data = equally_weighted(x)
    rbm, wild = machine(), machine(seed=3)
    wild.weight.data.mul_(200.0)
    source = algorithm(name, 32)
    if name == "trajectory":
        source.spacing = 0.1
    for step in range(6):
        wild.zero_grad(set_to_none=True)
        wild.weight.data.mul_(1.2)
        source.accumulate(wild, data, step)
    left = {
        "fpcd": lambda: len(source.fast),
        "tap": lambda: max(float(f.abs().max()) for f in source.fields) > 30.0,
        "trajectory": lambda: len(source._nodes) > 1,
        "pt": lambda: False,
    }[name]
    assert left() or name == "pt"
    source.restart(rbm, x)
    assert not left()
    rbm.zero_grad(set_to_none=True)
    source.accumulate(rbm, data, 7)
    assert all(bool(torch.isfinite(p.grad).all()) for p in rbm.parameters())


def test_bounds_of_steps_and_damping():
    with pytest.raises(ValueError, match="damping must be below 1"):
        MeanField(damping=1.0)
    for kind in (ContrastiveDivergence, RestartedChains):
        assert kind(k=256).k == 256
        with pytest.raises(ValueError, match="k must be an integer from 1 to 256"):
            kind(k=257)


def test_restarted_chains_make_their_sweeps_in_one_call(monkeypatch):
    rbm, calls = machine(), []
    from harmonium.sampling import BlockGibbs

    own = BlockGibbs.__call__
    monkeypatch.setattr(BlockGibbs, "__call__", lambda *a: calls.append(1) or own(*a))
    RestartedChains(8, k=40).draw(rbm, equally_weighted(bars(8)[0]), 0)
    assert len(calls) == 1


def test_estimates_along_the_way_share_no_draws_with_the_chains(monkeypatch):
    asked = []
    from harmonium.recipes.run import likelihoods, measurement

    exchange, track = measurement.annealed_log_partition, measurement.LogPartitionTrack

    def noted(model, budget, seed, data):
        asked.append(seed)
        return exchange(model, budget, seed, data)

    for module in (measurement, likelihoods):
        monkeypatch.setattr(module, "annealed_log_partition", noted)
        monkeypatch.setattr(module, "exactly_summable", lambda model: False)
    monkeypatch.setattr(measurement, "LogPartitionTrack", lambda seed: asked.append(seed) or track(seed))
    hm.fit(machine(), bars()[0], steps=10, negatives="pt", seed=5)
    hm.fit(hm.BoltzmannMachine(6, 2), bars()[0][:, :6], steps=10, seed=5)
    assert 5 not in asked and len(set(asked)) == len(asked) >= 3


@pytest.mark.parametrize("better", [False, True])
def test_the_best_is_asked_again_before_it_is_preferred(monkeypatch, better):
    from harmonium.recipes.run import course

    rbm, asked, rows = machine(), [], bars()[0]
    own = course.log_partition_anew

    def noted(model, data, work, seed):
        asked.append(work)
        return own(model, data, work, seed)

    class Lucky(Everywhere):
        """Lets the second record look better than it was, and makes the later models worse still."""

        def judge(self, run, now):
            if len(run.measured) == 2:
                lucky = replace(
                    now,
                    log_partition=now.log_partition - 9.0,
                    validation_log_likelihood=now.validation_log_likelihood + 9.0,
                )
                run.measured[-1], run.best = lucky, run.best._replace(score=lucky.score, step=now.step)
            if better and len(run.measured) > 2:
                with torch.no_grad():
                    run.learner.model.weight.normal_(0.0, 2.0)
                run.average.restart(run.learner.model)

    monkeypatch.setattr(course, "DECISIVE", 0.05)
    monkeypatch.setattr(course, "log_partition_anew", noted)
    monkeypatch.setattr("harmonium.recipes.run.likelihoods.EXACT_WORK", 0)
    history = hm.fit(rbm, rows, steps=200, validation=rows, negatives="pcd", rules=[Lucky(), KeepBest()])
    assert len(asked) == 2
    assert (history.best_step == history.records[-1]["step"]) != better


# ------------------------------------------------------------------------------------ models without layers
def test_fields_and_machines_with_lateral_couplings_learn_and_measure_themselves():
    x = (uniforms(1, 300, 6) < 0.4).float()
    x[:, 1::2] = torch.where(uniforms(2, 300, 3) < 0.8, x[:, ::2], 1 - x[:, ::2])
    p = x.mean(0).double()
    independent = float((p * p.log() + (1 - p) * (1 - p).log()).sum())
    mrf = hm.MarkovRandomField.ising(networkx.cycle_graph(6), 0.0, 0.0)
    for model in (mrf, hm.BoltzmannMachine(6), hm.BoltzmannMachine(6, 3)):
        history = hm.fit(model, x, steps=300)
        last = next(r for r in history.records if r["step"] == history.best_step)
        exact = hm.log_likelihood(model, x)
        assert exact.stderr == 0 and exact.value > independent + 0.3
        own = 0.9 * last["train_log_likelihood"] + 0.1 * last["validation_log_likelihood"]
        assert own == pytest.approx(exact.value, abs=1e-4)


def test_hidden_units_that_cannot_be_summed_out_are_measured_too():
    x, _ = bars(200, 3)
    history = hm.fit(hm.BoltzmannMachine(12, 20), x, steps=30)
    last = history.records[-1]
    error = 5 * last["train_log_likelihood_stderr"]
    found = hm.log_likelihood(history.model, x[:64], seconds=2.0)
    assert last["train_log_likelihood"] == pytest.approx(found.value, abs=error + found.high - found.low)


# ------------------------------------------------------------------------------------------------- warnings
def test_a_small_gain_is_not_worth_a_word():
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]] * 60)[: 60 * 4]
    for seed in range(3):
        rbm = hm.RBM(hm.Bernoulli(2), hm.Bernoulli(4))
        assert not any("verfitting" in w for w in hm.fit(rbm, x, steps=300, seed=seed).warnings)


def test_overfitting_is_what_is_neither_little_nor_chance():
    def records(train, valid, spread=0.01):
        first = {"train_log_likelihood": -5.0, "validation_log_likelihood": -5.0}
        last = {
            "train_log_likelihood": train,
            "validation_log_likelihood": valid,
            "validation_spread": spread,
        }
        return first, last | {"validation_log_likelihood_stderr": 0.0}

    assert overfitting(*records(-4.0, -4.5)) == pytest.approx(0.5)
    assert overfitting(*records(-4.0, -4.5, spread=0.2)) is None  # by chance
    assert overfitting(*records(-4.9, -4.97)) is None  # little
    assert overfitting(*records(-1.0, -1.5)) is None  # of a large gain
