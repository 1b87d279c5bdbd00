"""The numbers that the recipe chooses: steps, prior, batch, and who makes the negative particles."""

import numpy as np
import pytest

import harmonium as hm
from harmonium.learning import ALGORITHMS, ExactNegatives, PersistentChains
from harmonium.learning.algorithms import takes
from harmonium.models.intake import rows_of
from harmonium.recipes.default_negatives import negative_phase
from harmonium.recipes.settings import (
    UserSettings,
    default_learning_rate,
    default_weight_decay,
    good_turing_unseen,
    resolve,
)
from recipe_tables import causes


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


def test_rows_that_all_repeat_each_other_are_not_shrunk():
    rbm = hm.RBM(visible=hm.Bernoulli(20), hidden=hm.Bernoulli(4))
    rows = np.random.default_rng(0).integers(0, 2, (150, 20))

    def decay(*parts):
        x = rows_of(rbm, np.concatenate(parts), "X")
        return good_turing_unseen(x), default_weight_decay(rbm, x) * len(x) / 2

    assert decay(rows, rows) == (0.0, 0.0)
    assert decay(rows, rows[:50]) == (0.5, 1.0)  # 100 once, 50 twice
    assert decay(rows, rows[:147], rows[:3]) == pytest.approx((0.01, 0.2))
