"""What each rule does: rollback, replica exchange, a decay that follows the validation rows, early turns."""

import shutil

import pytest
import torch

import harmonium as hm
from harmonium import store
from harmonium.learning import (
    Batches,
    GradientDescent,
    Learner,
    NaturalGradient,
    WeightDecay,
    algorithm,
    train,
)
from harmonium.recipes.rules import KeepBest, RollBack, Shrink, Temper, interaction_gap
from harmonium.recipes.run.learning_rate import Schedule
from harmonium.recipes.run.measurement import Measurement
from recipe_tables import causes, clusters, plan
from registry import uniforms


# ------------------------------------------------------------------------------------ steps and the turn
def test_a_run_that_turns_early_falls_as_long_as_it_was_level():
    schedule = Schedule(plan())
    assert schedule.progress(30) == 0.3 and schedule.learning_rate(50) == 1.0
    schedule.begin_decay(20)
    assert schedule.progress(20) == 0.5 and schedule.progress(40) == 1.0
    assert schedule.learning_rate(30) == pytest.approx(0.5)
    assert schedule.learning_rate(40) == pytest.approx(0.02)


def test_training_turns_when_the_validation_rows_gain_nothing_more():
    x = (uniforms(7, 800, 10, torch.float32) < 0.5).float()  # nothing to learn
    rbm = hm.RBM(hm.Bernoulli(10), hm.Bernoulli(4))
    history = hm.fit(rbm, x, steps=2000)
    assert history.records[-1]["step"] < 1500
    assert history.records[-1]["learning_rate"] < 0.6 * history.settings["learning_rate"]


# -------------------------------------------------------------------------------------------------- rescue
def test_a_run_that_diverges_goes_back_and_ends_well():
    x = causes(600, 24)
    rbm = hm.RBM(hm.Bernoulli(24), hm.Bernoulli(60))
    history = hm.fit(rbm, x, steps=200, learning_rate=6.0)
    assert any("diverged" in w and "learning rate" in w for w in history.warnings)
    last = history.records[-1]
    assert last["learning_rate"] < 6.0 * 0.02
    assert last["validation_log_likelihood"] > history.records[0]["validation_log_likelihood"] + 1.0


class Failing:
    """A callback by which update `step` fails so many times."""

    def __init__(self, step, times):
        self.step, self.times = step, times

    def __call__(self, update):
        if update.step == self.step and self.times:
            self.times -= 1
            raise FloatingPointError("training diverged.")


def test_an_update_that_fails_goes_back_as_often_as_the_rule_says():
    def learned(times, rules):
        rbm = hm.RBM(hm.Bernoulli(24), hm.Bernoulli(8))
        return hm.fit(rbm, causes(300, 24), steps=60, rules=rules, callbacks=[Failing(37, times)])

    history = learned(2, (RollBack(),))
    (first, second) = [w for w in history.warnings if w.startswith("Training diverged before update 37;")]
    assert history.records[-1]["step"] == 60 and first != second  # by half of the learning rate
    assert history.records[-1]["validation_log_likelihood"] > history.records[0]["validation_log_likelihood"]
    with pytest.raises(FloatingPointError, match=r"training diverged\. The model is that of update"):
        learned(2, (RollBack(most=1),))
    with pytest.raises(FloatingPointError, match="training diverged"):
        learned(1, ())


def place_of(source):
    """Where the chains at the model are, and when."""
    if source.chains is not None:
        return source.chains.state, source.chains.address
    return source.at_model, source.replicas.address


def test_going_back_puts_chains_at_rows_and_tempered_replicas_anywhere():
    x = causes(100, 12)
    for name in ("pcd", "pt"):
        rbm = hm.RBM(hm.Bernoulli(12), hm.Bernoulli(4))
        source = algorithm(name, chains=32)
        optimiser = GradientDescent(rbm.parameters(), lr=0.1)
        learner = Learner(rbm, Batches(x, 20, lambda v, n, e: v), source, optimiser, [NaturalGradient()])
        good = {k: p.clone() for k, p in rbm.state_dict().items()}
        train(learner, 5)
        state, address = place_of(source)
        learner.restart(good, x)
        assert all(torch.equal(p, good[k]) for k, p in rbm.state_dict().items())
        assert place_of(source)[1].step >= address.step  # no draw is used twice
        assert not torch.equal(place_of(source)[0][0], state[0])
        train(learner, 10, first_step=5)


def measured(**known):
    numbers = {"step": 1, "epoch": 1.0, "seconds": 1.0, "updates_per_second": 1.0}
    return Measurement(**numbers | {"learning_rate": 0.1, "gradient_norm": 1.0} | known)


def test_a_deep_fall_of_the_training_likelihood_is_divergence_and_noise_is_not():
    def diverged(*values, stderr=0.1):
        seen = [measured(train_log_likelihood=v, log_partition_stderr=stderr) for v in values]
        return RollBack().diverged(seen)

    assert diverged(-30.0, -20.0, -40.0)
    assert not diverged(-30.0, -20.0, -22.0)
    assert not diverged(-30.0, -20.0, -40.0, stderr=10.0)
    assert not RollBack().diverged([measured()])


# --------------------------------------------------------------------------------------------- shrinkage
def test_the_gap_is_the_derivative_of_the_likelihoods_with_respect_to_the_scale_of_the_couplings():
    rbm = hm.RBM(hm.Bernoulli(6), hm.Bernoulli(3), dtype=torch.float64, seed=2)
    with torch.no_grad():
        rbm.weight.mul_(30.0)
        rbm.hidden.bias.copy_(torch.tensor([0.5, -1.0, 0.2]))
    train, valid = causes(40, 8)[:, :6].double(), causes(30, 8, seed=5)[:, :6].double()
    gap, square = interaction_gap(rbm, train, valid)
    assert square == pytest.approx(float((rbm.weight**2).sum().detach()))
    mu, lam = train.mean(0), rbm.hidden_given_visible(train).mean(0).detach()
    weight, a, b = (p.detach().clone() for p in (rbm.weight, rbm.visible.bias, rbm.hidden.bias))

    def difference(eps):  # of the mean log P of the two sets of rows: log Z drops out
        with torch.no_grad():
            rbm.weight.copy_((1 + eps) * weight)
            rbm.visible.bias.copy_(a - eps * weight @ lam)
            rbm.hidden.bias.copy_(b - eps * weight.T @ mu)
            return float(rbm.free_energy(valid).mean() - rbm.free_energy(train).mean())

    assert gap == pytest.approx((difference(1e-5) - difference(-1e-5)) / 2e-5, rel=1e-6)


def test_the_decay_rises_where_training_rows_fit_too_well_and_never_falls_below_its_start():
    rbm = hm.RBM(hm.Bernoulli(8), hm.Bernoulli(6), seed=1)
    few, more = causes(20, 8), causes(300, 8, seed=9)
    hm.fit(rbm, few, steps=300)
    assert Shrink().wanted(1e-4, 1e-4, rbm, (few, more)) > 1.5e-4
    assert Shrink().wanted(1e3, 1e3, rbm, (few, more)) == 1e3
    decay, again = WeightDecay(0.25), WeightDecay(1.0)
    again.load_state_dict(decay.state_dict())
    assert again.strength == decay.strength


def test_the_decay_follows_the_validation_rows_in_the_second_half_unless_it_is_given(monkeypatch):
    monkeypatch.setattr("harmonium.recipes.rules.interaction_gap", lambda *rows: (1.0, 1.0))
    x = (uniforms(12, 200, 24, torch.float32) < 0.5).float()
    table = hm.fit(hm.RBM(hm.Bernoulli(24), hm.Bernoulli(4)), x, steps=400).table()
    first = 2.0 / 180  # rows left to learn from
    early = table["weight_decay"][table.index < 200]
    assert early.tolist() == pytest.approx([first] * len(early)) and len(early) > 1
    assert table["weight_decay"].iloc[-1] > 2.0 * first
    given = hm.fit(hm.RBM(hm.Bernoulli(24), hm.Bernoulli(4)), x, steps=40, weight_decay=0.01)
    assert "weight_decay" not in given.records[-1] and given.settings["weight_decay"] == 0.01


def test_rows_in_clusters_far_apart_are_learned_with_tempered_chains():
    x, truth = clusters(1000, 60, 8)
    rbm = hm.RBM(hm.Bernoulli(60), hm.Bernoulli(30))
    history = hm.fit(rbm, x, steps=1600)
    assert any("training began anew with replicas" in w for w in history.warnings)
    found = hm.log_likelihood(rbm, x, seconds=4)
    # a slow machine gives a wide interval; the rows learned from may be a little more probable than the truth
    assert found.high > truth - 0.3
    assert found.low < truth + 0.8


def test_a_run_that_began_anew_can_be_resumed(monkeypatch, tmp_path):
    monkeypatch.setattr("harmonium.diagnostics.watch.STUCK", 0.0)
    monkeypatch.setattr(
        "harmonium.recipes.training.standard_rules", lambda: (Temper(r_hat=0.0), RollBack(), KeepBest())
    )
    x, path = causes(200, 12), tmp_path / "run.safetensors"

    def made():
        return hm.RBM(hm.Bernoulli(12), hm.Bernoulli(12))

    def fit(rbm, **more):
        return hm.fit(rbm, x, steps=1600, chains=64, batch_size=50, checkpoint=path, **more)

    def keep(update):
        if update.step == 1250:
            shutil.copy(path, early)

    whole, resumed, early = made(), made(), tmp_path / "early.safetensors"
    history = fit(whole, callbacks=[keep])
    assert any("began anew" in w for w in history.warnings)
    for file in (path, store.previous(path)):
        file.unlink()
    early.rename(path)  # as if it had been killed then
    assert 0 < store.read_facts(path)["step"] < 1250
    fit(resumed, resume=True)
    assert torch.equal(resumed.weight, whole.weight)
