"""The known models against sums over all their states, and their exact samples against their moments."""

import math

import networkx as nx
import pytest
import torch
from scipy.stats import chi2

import harmonium as hm
from goodness import assert_means
from harmonium import testsystems as ts
from harmonium.models.enumeration import log_sum_over_states
from harmonium.random import Address, Purpose
from harmonium.testsystems.known import normal
from statistics_budget import tail_probability

SMALL = {  # models whose states can all be looked at
    "torus": lambda: ts.torus(4, 0.3),
    "critical torus": lambda: ts.torus(4, ts.CRITICAL),
    "ring": lambda: ts.ring(10, 0.7, 0.2),
    "frustrated ring": lambda: ts.ring(6, -0.9, 0.4),
    "magnet": lambda: ts.magnet(4, 2, -0.4, 0.2),
    "spin glass": lambda: ts.spin_glass(4, 4, 0.7, 0.3),
    "random field": lambda: ts.random_field(2, 6, 0.5, 1.0),
    "Curie-Weiss": lambda: ts.curie_weiss(9, 1.2),
    "Hopfield": lambda: ts.hopfield(8, 1.1),
    "Potts": lambda: ts.potts(7, 1.3),
    "random couplings": lambda: ts.random_couplings(0.7, 7, 5),
    "planted": lambda: ts.planted(4, 0.5, 8),
    "unequal": lambda: ts.unequal(3, 0.5, 1.0, 9),
    "trained": lambda: ts.trained(ts.bars_and_stripes(3), 5, 60),
    "tree": lambda: ts.tree(12, 0.9, 0.5, seed=3),
}
DRAWS = 4000


@pytest.fixture(scope="module", params=SMALL)
def known(request):
    return SMALL[request.param]()


@torch.no_grad()
def all_visible(model):
    """Every visible state, log P up to a constant, and the mean energy of the rest given it; float64."""
    if isinstance(model, hm.MarkovRandomField):
        states = torch.cartesian_prod(*[torch.arange(2)] * model.visible_space.width)
        return states, -model.energy(states).double(), model.energy(states).double()
    layer = model.visible
    states = layer.states(torch.arange(layer.n_states)).double()
    field = states @ model.weight + model.hidden.bias
    mean, own = model.hidden.mean(field), states @ model.visible.bias
    inside = (field * mean).sum(1)
    if isinstance(model.hidden, hm.Gaussian):  # the mean of h²/2 - f h
        inside = inside - 0.5 * (mean**2 + 1).sum(1)
    return states, -model.free_energy(states), -own - inside


def test_log_z_mean_and_energy_against_all_states(known):
    states, log_p, energy = all_visible(known.model.double())
    log_z = float(torch.logsumexp(log_p, 0))
    assert log_z == pytest.approx(known.log_partition, abs=1e-5)  # float32 weights
    p = torch.softmax(log_p, 0)
    assert torch.allclose(p @ states.double(), known.mean, atol=1e-6)
    assert float(p @ energy) == pytest.approx(known.mean_energy, abs=1e-5)


def test_exact_samples_have_the_probabilities_of_all_states(known):
    """Chi-square over states grouped by where a number made of their energy falls."""
    model = known.model.double()
    states, log_p, _ = all_visible(model)
    p, v = torch.softmax(log_p, 0), known.sample(DRAWS, seed=1).to(states.dtype)
    scale = (torch.arange(states.shape[1]) * 0.7071 + 0.31).frac().to(torch.float64)
    key, drawn = states.double() @ scale, v.double() @ scale
    edges = (
        key[key.argsort()][torch.searchsorted(p[key.argsort()].cumsum(0), torch.arange(1, 20) / 20)] + 1e-9
    )
    expected = torch.zeros(20, dtype=torch.float64).index_add_(0, torch.bucketize(key, edges), p) * DRAWS
    counts = torch.bincount(torch.bucketize(drawn, edges), minlength=20)
    used = expected > 0
    assert counts[~used].sum() == 0
    statistic = float((((counts - expected) ** 2)[used] / expected[used]).sum())
    assert chi2.sf(statistic, int(used.sum()) - 1) > tail_probability(len(SMALL))


def test_samples_are_visible_states_and_repeat_with_their_seed(known):
    v = known.sample(50, seed=4)
    assert torch.equal(v, known.sample(50, seed=4)) and not torch.equal(v, known.sample(50, seed=5))
    hm.log_likelihood(known.model, v)  # refuses what is no state


@pytest.mark.parametrize(
    "make",
    [
        lambda: ts.ring(100, 1.0, 0.1),
        lambda: ts.magnet(20, 4, 0.6, 0.01),
        lambda: ts.curie_weiss(100, 1.2),
        lambda: ts.hopfield(200, 1.2),
        lambda: ts.potts(200, 2.8),
        lambda: ts.planted(12, 0.5),
        lambda: ts.tree(300, 1.0, 0.3),
    ],
)
@torch.no_grad()
def test_samples_of_large_models_have_their_means_and_energies(make):
    known = make()
    v = known.sample(DRAWS, seed=2)
    # the mean of all units, whose spread says how they move together
    total = v.double().sum(1)
    assert_means(total.mean(), known.mean.sum(), total.std(), DRAWS, comparisons=14)
    if isinstance(known.model, hm.MarkovRandomField):
        energy = known.model.energy(v).double()
    else:
        h = known.model.layers[1]
        field = v @ known.model.weight + h.bias
        state = h.sample(field, Address(3, Purpose.TRIAL))
        energy = known.model.energy(v, state).double()
    assert_means(energy.mean(), known.mean_energy, energy.std(), DRAWS, comparisons=14)


def test_transfer_matrices_against_kaufman_on_an_oblong_torus():
    assert ts.magnet(12, 8, 0.5, 0.0).log_partition == pytest.approx(ts.kaufman(12, 8, 0.5), abs=1e-9)
    assert ts.magnet(8, 8, 0.44, 0.0).mean_energy == pytest.approx(
        ts.torus(8, 0.44).mean_energy - 2 * 64 * 0.44, abs=1e-7
    )


def test_a_tree_in_no_field_has_its_closed_form():
    known = ts.tree(40, 1.5, seed=9)
    couplings = [1.5 * k for k in normal(9, 40, 2)[1:, 0].tolist()]
    assert known.log_partition == pytest.approx(
        40 * math.log(2) + sum(math.log(math.cosh(k)) for k in couplings), abs=1e-9
    )
    assert nx.is_tree(nx.Graph([f[0] for f in known.model.factors if len(f[0]) == 2]))
    assert float(known.model.log_partition()) == pytest.approx(known.log_partition, abs=1e-4)


def test_what_is_not_known_is_said():
    known = ts.torus(16, ts.CRITICAL)
    assert known.draw is None and known.mean_energy is not None
    with pytest.raises(ValueError, match="exact samples of it can't be drawn"):
        known.sample(3)
    assert ts.magnet(4, 10, 0.5, 0.0).mean is None
    for wrong, words in (
        (lambda: ts.torus(5, 0.3), "side must be even"),
        (lambda: ts.torus(4, 0.0), "coupling must be positive"),
        (lambda: ts.ring(7, 0.3), "n must be even"),
        (lambda: ts.hopfield(9, 1.0), "even n"),
        (lambda: ts.hopfield(9, 1.0, 3), "patterns must be 1, or 2"),
        (lambda: ts.planted(21, 0.5), "at most 20 hidden"),
    ):
        with pytest.raises(ValueError, match=words):
            wrong()


def test_planted_models_have_several_modes():
    for known in (ts.planted(4, 0.5), ts.unequal(4, 1.0, 1.0)):
        v = known.sample(200, seed=1)
        # patterns are half of the units apart; within a mode few units differ
        assert len(torch.unique(torch.cdist(v, v, p=1.0).lt(25).float(), dim=0)) > 1
    assert log_sum_over_states(ts.planted(4, 0.5).model.double(), 0) == pytest.approx(
        ts.planted(4, 0.5).log_partition, abs=1e-9
    )
