"""Parts of the default recipe: the model it chooses, when it turns, how strongly it shrinks."""

import importlib
import math
import shutil
from itertools import count
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import harmonium as hm
from harmonium import store
from harmonium.learning import (
    ALGORITHMS,
    Batches,
    ExactNegatives,
    GradientDescent,
    Learner,
    NaturalGradient,
    PersistentChains,
    WeightDecay,
    algorithm,
    train,
)
from harmonium.learning.algorithms import takes
from harmonium.models.intake import rows_of
from harmonium.recipes.default_negatives import negative_phase
from harmonium.recipes.model_choice import Score, Trials, choose, first_number, scored, units_for
from harmonium.recipes.rules import KeepBest, RollBack, Shrink, Temper, interaction_gap
from harmonium.recipes.run.learning_rate import Schedule
from harmonium.recipes.run.measurement import Measurement
from harmonium.recipes.settings import (
    Settings,
    UserSettings,
    default_learning_rate,
    default_weight_decay,
    good_turing_unseen,
    resolve,
)
from registry import uniforms


def causes(rows, width, seed=0, p=0.9):
    """0/1 rows with four hidden causes, each of which sets a quarter of the columns."""
    cause = (uniforms(seed, rows, 4, torch.float32) < 0.5).repeat_interleave(width // 4, dim=1)
    kept = uniforms(seed + 1, rows, width, torch.float32) < p
    return torch.where(kept, cause, ~cause).float()


def crowd(rows, width, seed=0):
    """Sparse rows, a few of them dense: one direction of far greater variance than all others."""
    dense = uniforms(seed, rows, 1, torch.float32) < 0.2
    return (uniforms(seed + 1, rows, width, torch.float32) < torch.where(dense, 0.6, 0.04)).float()


def plan(**changes):
    base = {"seed": 0, "steps": 100, "minutes": None, "batch_size": 10, "chains": 10, "gibbs_steps": 1}
    return Settings(
        **base | {"learning_rate": 1.0, "weight_decay": 0.0, "records": 10, "optimiser": "natural"} | changes
    )


# -------------------------------------------------------------------------------------- a model from the data
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

    def trial(rbm):
        n = first_number(rbm.hidden.width).bit_length() - 4
        own = noise * np.sin(np.arange(400) * (n + 1))
        return Score(common + gains[n] + own - own.mean(), stderr)

    rbm, tried = choose(lambda n: hm.RBM(hm.Bernoulli(60), hm.Bernoulli(n)), trial)
    assert rbm.hidden.width == chosen and set(tried) >= {64, 128}
    assert tried[64] == pytest.approx(-20.0 + gains[3])
    assert choose(lambda n: hm.RBM(hm.Bernoulli(60), hm.Bernoulli(n)), None)[0].hidden.width == 64


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


# ------------------------------------------------------------------------------------ steps and the turn
def test_a_run_that_turns_early_falls_as_long_as_it_was_level():
    schedule = Schedule(plan())
    assert schedule.progress(30) == 0.3 and schedule.learning_rate(50) == 1.0
    schedule.begin_decay(20)
    assert schedule.progress(20) == 0.5 and schedule.progress(40) == 1.0
    assert schedule.learning_rate(30) == pytest.approx(0.5)
    assert schedule.learning_rate(40) == pytest.approx(0.02)


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


def test_training_turns_when_the_validation_rows_gain_nothing_more():
    x = (uniforms(7, 800, 10, torch.float32) < 0.5).float()  # nothing to learn
    rbm = hm.RBM(hm.Bernoulli(10), hm.Bernoulli(4))
    history = hm.fit(rbm, x, steps=2000)
    assert history.records[-1]["step"] < 1500
    assert history.records[-1]["learning_rate"] < 0.6 * history.settings["learning_rate"]


def test_the_noise_of_a_natural_step_is_two_nats_whatever_the_number_of_parameters():
    large, small = (hm.RBM(hm.Bernoulli(n), hm.Bernoulli(n)) for n in (300, 20))
    rate = default_learning_rate(large, "natural", rows_of(large, np.zeros((9, 300)), "X"), 256, 512)
    noise = 0.5 * rate**2 * (300 * 300 + 600) * (1 / 256 + 1 / 512)
    assert noise == pytest.approx(2.0)
    assert default_learning_rate(small, "natural", rows_of(small, np.zeros((9, 20)), "X"), 256, 512) == 0.4


def test_the_step_is_the_same_for_any_number_of_parameters_where_no_chains_follow():
    for n in (300, 20):
        rbm = hm.RBM(hm.Bernoulli(n), hm.Bernoulli(n))
        rows = rows_of(rbm, np.zeros((9, n)), "X")
        assert default_learning_rate(rbm, "natural", rows, 256, 512, summed=True) == 1.0


@pytest.mark.parametrize(("free", "rate", "prior"), [(1, 1.0, 0.2), (9, 0.4, 0.02)])
def test_what_is_learned_given_others_by_sums_has_whole_steps_and_a_narrower_prior(free, rate, prior):
    rows = np.random.default_rng(0).integers(0, 2, (40, 12))
    model = hm.RBM(hm.Bernoulli(12), hm.Bernoulli(3))
    history = hm.fit(model, rows, objective=hm.models.Objective(slice(0, 12 - free)), steps=1)
    assert history.settings["learning_rate"] == rate
    assert history.settings["weight_decay"] == pytest.approx(prior / 40)


def test_a_centred_step_goes_as_far_as_the_covariance_of_the_rows_lets_it():
    def rate(x, visible=hm.Bernoulli, hidden=30, chains=512):
        rbm = hm.RBM(visible(x.shape[1]), hm.Bernoulli(hidden))
        return default_learning_rate(rbm, "centred", rows_of(rbm, x, "X"), 256, chains)

    coin = np.tile([0.0, 1.0], 500)[:, None]
    assert rate(coin.repeat(32, 1)) == pytest.approx(16 / 32)  # λ = 32/4 for copies of a coin, σ² = 1/4
    assert rate(2 * coin.repeat(32, 1) - 1, hm.Spin) == pytest.approx(0.25 * 16 / 32)
    assert rate(coin) == 2.0
    assert rate(np.zeros((9, 5))) == 2.0
    gaussian = 300.0 + 1e3 * np.tile([-1.0, 1.0], 500)[:, None].repeat(3, 1)
    assert rate(gaussian, hm.Gaussian) == pytest.approx(1e-6)  # by the biases again
    wide = hm.RBM(hm.Bernoulli(1), hm.Bernoulli(40_000))
    found = default_learning_rate(wide, "centred", rows_of(wide, coin, "X"), 256, 512)
    squares = (1 / 4) ** 2
    fisher = squares + 40_000 * squares + 40_000 * squares**2
    assert 0.5 * found**2 * fisher * (1 / 256 + 1 / 512) == pytest.approx(2.0)


@pytest.mark.parametrize("negatives", [None, "exact"])
def test_a_batch_size_is_used_where_the_gradient_is_exact(negatives):
    x = causes(300, 8).numpy()
    seen = []
    rbm = hm.RBM(hm.Bernoulli(8), hm.Bernoulli(4))
    own = {"callbacks": [lambda update: seen.append(len(update.data.v))], "negatives": negatives}
    history = hm.fit(rbm, x, steps=3, batch_size=8, **own)
    assert seen == [8] * 3 and history.settings["batch_size"] == 8
    hm.fit(rbm, x, steps=1, **own)
    assert seen[-1] == 270  # all but those held out


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"gibbs_steps": 3}, "gibbs_steps=3 isn't used: the negatives of this run, ExactNegatives,"),
        ({"chains": 600}, "chains=600 isn't used"),
        ({"negatives": "cd", "chains": 32}, "chains=32 isn't used"),
        ({"negatives": "ancestral", "gibbs_steps": 1}, "gibbs_steps=1 isn't used"),
        ({"negatives": "pl", "gibbs_steps": 1}, "gibbs_steps=1 isn't used"),
        ({"negatives": PersistentChains(9), "chains": 32}, "PersistentChains, bring their own"),
        ({"batch_size": 400}, "batch_size=400 is more than there are rows: all 270 are a batch."),
    ],
)
def test_a_number_that_makes_no_difference_is_told_so(given, said):
    rbm = hm.RBM(hm.Bernoulli(8), hm.Bernoulli(4))
    found = hm.fit(rbm, causes(300, 8), steps=2, **given).warnings
    assert sum(said in sentence for sentence in found) == 1, found


@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_a_number_that_an_algorithm_takes_is_not_complained_of(name):
    used = takes(name)
    given = {"chains": 32} if "chains" in used else {}
    given |= {"gibbs_steps": 2} if "k" in used else {}
    rbm = hm.RBM(hm.Bernoulli(8), hm.Bernoulli(4))
    found = hm.fit(rbm, causes(300, 8), steps=2, negatives=name, **given).warnings
    assert not any("isn't used" in sentence for sentence in found)


def test_the_gradient_is_exact_where_that_costs_no_more_than_chains_that_mix_badly():
    def exact(columns, chains=512):
        rbm = hm.RBM(hm.Bernoulli(columns), hm.Bernoulli(4))
        rows = rows_of(rbm, np.zeros((300, columns)), "X")
        asked = UserSettings(chains=chains)
        negatives = negative_phase(rbm, asked, None)
        plan, found = resolve(rbm, rows, asked, None, negatives), isinstance(negatives, ExactNegatives)
        assert found == (plan.batch_size == 300)  # with the exact means of the data as well
        return found

    assert exact(12) and not exact(13)
    assert not exact(12, chains=64) and exact(9, chains=64)
    assert not exact(13, chains=2**12)  # many chains are asked for to have them


@pytest.mark.parametrize("width", [40, 100])
def test_a_direction_in_which_the_data_vary_much_does_not_run_away(width):
    x = crowd(1500, width)
    rbm = hm.RBM(hm.Bernoulli(width), hm.Bernoulli(64))
    first, found = hm.fit(rbm, x, steps=60).records[0], hm.log_likelihood(rbm, x, seconds=2.0)
    error = math.hypot(first["train_log_likelihood_stderr"], found.stderr)
    assert found.value > first["train_log_likelihood"] + 3.0 * error


# -------------------------------------------------------------------------------------------------- rescue
def test_a_run_that_diverges_goes_back_and_ends_well():
    x = causes(600, 24)
    rbm = hm.RBM(hm.Bernoulli(24), hm.Bernoulli(60))
    history = hm.fit(rbm, x, steps=200, learning_rate=6.0)
    assert any("diverged" in w and "learning rate" in w for w in history.warnings)
    last = history.records[-1]
    assert last["learning_rate"] < 6.0 * 0.02
    assert last["validation_log_likelihood"] > history.records[0]["validation_log_likelihood"] + 1.0


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


def clusters(rows, width, n, seed=0, flips=0.03):
    """0/1 rows near one of n centres far from each other, and the mean log P of such rows."""
    centres = uniforms(seed, n, width, torch.float64) < 0.5
    mine = (n * uniforms(seed + 1, rows, 1, torch.float64)).long().flatten()
    x = centres[mine] ^ (uniforms(seed + 2, rows, width, torch.float64) < flips)
    off = (x[:, None] != centres).sum(-1).double()
    near = off * math.log(flips) + (width - off) * math.log(1 - flips)
    return x.float(), float((near.logsumexp(1) - math.log(n)).mean())


def test_trials_whose_chains_keep_to_their_modes_are_made_again_with_tempered_ones():
    asked = []

    def run(rbm, negatives, callbacks):
        asked.append((negatives, float(rbm.visible.bias.detach().abs().max())))
        return hm.fit(rbm, x, steps=300, chains=64, negatives=negatives, callbacks=callbacks)

    x, _ = clusters(600, 40, 2)
    near = causes(600, 40, p=0.6)
    rbm = hm.RBM(hm.Bernoulli(40), hm.Bernoulli(12))
    trials = Trials(run, rows_of(rbm, x, "x"))
    assert trials(rbm).stderr == 0.0
    trials(hm.RBM(hm.Bernoulli(40), hm.Bernoulli(11)))
    assert asked == [(None, 0.0), ("pt", 0.0), ("pt", 0.0)]  # fresh machines all
    x, asked[:] = near, []
    Trials(run, rows_of(rbm, x, "x"))(hm.RBM(hm.Bernoulli(40), hm.Bernoulli(12)))
    assert [name for name, _ in asked] == [None]


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


@pytest.mark.parametrize("times", [1, 40])
def test_the_exclusive_or_is_learned_though_no_two_columns_are_correlated(times):
    patterns = torch.tensor([[0.0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0]])
    rbm = hm.RBM(visible=hm.Bernoulli(3), hidden=hm.Bernoulli(4))
    hm.fit(rbm, patterns.repeat(times, 1))
    assert -np.log(4) - 0.05 < hm.log_likelihood(rbm, patterns).value <= -np.log(4)


def test_rows_that_all_repeat_each_other_are_not_shrunk():
    rbm = hm.RBM(visible=hm.Bernoulli(20), hidden=hm.Bernoulli(4))
    rows = np.random.default_rng(0).integers(0, 2, (150, 20))

    def decay(*parts):
        x = rows_of(rbm, np.concatenate(parts), "X")
        return good_turing_unseen(x), default_weight_decay(rbm, x) * len(x) / 2

    assert decay(rows, rows) == (0.0, 0.0)
    assert decay(rows, rows[:50]) == (0.5, 1.0)  # 100 once, 50 twice
    assert decay(rows, rows[:147], rows[:3]) == pytest.approx((0.01, 0.2))
