"""Estimates of log Z against closed forms, and intervals that know when to be wide.

An estimate comes from independent groups of chains, so (value - truth) / stderr follows Student's t
distribution with one degree less than there are groups. It is held against the quantile that the false-alarm
budget leaves to one test.
"""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import t as student_t

import harmonium as hm
from harmonium.likelihood import annealing, interval, schedule, tempered
from harmonium.likelihood.bridge import Bridges, bridge, exponential_average, solve
from harmonium.likelihood.interval import uncertainty
from harmonium.likelihood.partition import annealed_log_partition
from harmonium.likelihood.tempered import Budget, Run
from harmonium.models.enumeration import log_sum_over_states
from harmonium.random import Address, Purpose
from harmonium.sampling.tempering import Ladder, Replicas, broad
from harmonium.testsystems import CRITICAL, hopfield, kaufman, planted, ring, torus
from registry import build, uniforms
from statistics_budget import tail_probability, z_threshold


def truly(known):
    """(The model, its log Z)."""
    return known.model, known.log_partition


def estimate(model, work=0.4, seed=1, **options):
    return annealed_log_partition(model, Budget(work), seed, **options)


def assert_right(e, truth):
    """Within the t distribution of its groups, and without a warning."""
    reach = student_t.isf(tail_probability() / 2, e.details["groups"] - 1)
    assert abs(e.value - truth) <= reach * e.stderr
    assert not e.warnings, e.warnings
    assert e.low < e.value < e.high and e.high - e.low >= 2 * 1.96 * e.stderr


# ---------------------------------------------------------------- closed forms
def test_kaufman_formula_against_enumeration_and_known_values():
    rbm, log_z = truly(torus(4, 0.5))
    assert log_sum_over_states(rbm.double(), 0) == pytest.approx(log_z, abs=1e-5)  # float32 weights
    known = {
        (16, 0.3): 202.38323226,
        (16, CRITICAL): 238.64225664,
        (16, 0.6): 310.48703859,
        (32, 0.3): 809.53248866,
    }
    for (side, k), value in known.items():
        assert kaufman(side, side, k) == pytest.approx(value, abs=5e-9)


def test_closed_forms_of_rings_and_hopfield_models():
    assert ring(100, 0.5, 0.0).log_partition == pytest.approx(81.3261687518, abs=1e-9)
    assert ring(100, 1.0, 0.1).log_partition == pytest.approx(115.9884919422, abs=1e-9)
    two_pi = 0.5 * math.log(2 * math.pi)
    assert hopfield(100, 0.5, 1).log_partition == pytest.approx(69.65885524 + two_pi, abs=1e-8)
    assert hopfield(100, 1.2, 1).log_partition == pytest.approx(73.08048176 + two_pi, abs=1e-8)
    assert hopfield(200, 0.5, 2).log_partition == pytest.approx(139.31771048 + 2 * two_pi, abs=1e-8)
    assert hopfield(200, 1.2, 2).log_partition == pytest.approx(146.16096351 + 2 * two_pi, abs=1e-8)


@pytest.mark.parametrize("k", [0.3, CRITICAL, 0.6])
def test_torus(k):
    """Below, at and above the critical point; above it the two modes of the magnet must both be found."""
    rbm, truth = truly(torus(8, k))
    assert_right(estimate(rbm), truth)


@pytest.mark.parametrize(("beta", "patterns"), [(0.5, 1), (1.2, 1), (1.2, 2)])
def test_gaussian_hidden_units(beta, patterns):
    rbm, truth = truly(hopfield(40, beta, patterns))
    assert_right(estimate(rbm), truth)


def test_ring_in_a_field():
    rbm, truth = truly(ring(40, 1.0, 0.1))
    assert_right(estimate(rbm), truth)


KINDS = [("Bernoulli", "Bernoulli"), ("Categorical", "Spin"), ("Gaussian", "Bernoulli"), ("DReLU", "Spin"),
         ("Poisson", "Binomial"), ("Mixed", "Bernoulli"), ("Bernoulli", "ReLU")]  # fmt: skip


@pytest.mark.parametrize("pair", KINDS, ids="-".join)
def test_units_of_every_kind(pair):
    model = build(*pair)
    block = 0 if model.hidden.n_states is not None else 1
    assert_right(estimate(model, work=0.2), log_sum_over_states(model, block))


def test_many_planted_modes():
    rbm, truth = truly(planted(6, 0.4))
    assert_right(estimate(rbm, work=0.6), truth)


def test_models_that_are_energies_or_graphs():
    machine = hm.BoltzmannMachine(6, 3, units="spin")
    with torch.no_grad():
        for k, p in enumerate(machine.parameters()):
            p.copy_((uniforms(20 + k, p.numel()) - 0.5).reshape(p.shape))
    assert_right(estimate(machine, work=0.3), float(machine.closed_form_log_partition()))

    class Hills(hm.EnergyModel):
        def __init__(self):
            super().__init__(states=[3] * 4)
            self.height = torch.nn.Parameter(torch.tensor(1.5))

        def energy(self, x):
            return -self.height * ((x - 1) * (x.roll(1, 1) - 1)).sum(1)

    assert_right(estimate(Hills(), work=0.6), float(Hills().closed_form_log_partition()))


def test_trajectory_through_checkpoints():
    """The path may lead through earlier states of the model."""
    rbm, truth = truly(torus(8, 0.5))
    halfway, _ = truly(torus(8, 0.25))
    e = estimate(rbm, nodes=(halfway,))
    assert_right(e, truth)
    assert 1.0 in e.details["temperatures"] and e.details["temperatures"][-1] == 2.0


# ---------------------------------------------------------------- the call
def test_the_same_seed_gives_the_same_estimate():
    rbm, _ = truly(torus(6, 0.4))
    a, b, c = (estimate(rbm, work=0.05, seed=s) for s in (3, 3, 4))
    assert a == b and a.value != c.value


def test_more_work_gives_a_narrower_interval():
    rbm, _ = truly(torus(8, 0.6))
    narrow, wide = estimate(rbm, work=1.0), estimate(rbm, work=0.1)
    assert narrow.high - narrow.low < wide.high - wide.low
    assert narrow.ess > wide.ess


@pytest.mark.parametrize("seconds", [0.5, 1.0])
def test_seconds_bound_the_time(monkeypatch, seconds):
    """By a clock that goes as the work does."""
    clock, spend = [100.0], tempered.Budget.spend

    def spending(budget, model, rows, sweeps):
        before = budget.done
        spend(budget, model, rows, sweeps)
        clock[0] += budget.done - before

    monkeypatch.setattr(tempered, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    monkeypatch.setattr(tempered.Budget, "spend", spending)
    rbm, truth = truly(torus(8, 0.4))
    e = hm.log_partition(rbm, method="annealed", seconds=seconds, seed=2)
    assert 0.6 * seconds < clock[0] - 100.0 < 1.2 * seconds
    assert e.low <= truth <= e.high


def test_progress_is_told():
    told = []
    rbm, _ = truly(torus(6, 0.4))
    annealed_log_partition(rbm, Budget(0.1, progress=lambda share, doing: told.append((share, doing))), 1)
    assert told[-1][1] == "done" and all(0 <= share <= 1 for share, _ in told)
    assert {"placing the temperatures", "exchanging replicas", "annealing from both ends"} <= {
        d for _, d in told
    }


def test_wrong_input_is_refused():
    rbm = hm.RBM(visible=hm.Bernoulli(3), hidden=hm.Bernoulli(2))
    with pytest.raises(ValueError, match="method"):
        hm.log_partition(rbm, method="guess")
    with pytest.raises(ValueError, match="seconds"):
        hm.log_partition(rbm, seconds=0)
    with pytest.raises(ValueError, match="out of reach"):
        hm.log_partition(hm.RBM(visible=hm.Bernoulli(99), hidden=hm.Bernoulli(99)), method="exact")
    unbounded = hm.RBM(visible=hm.Gaussian(2), hidden=hm.Gaussian(2))
    with torch.no_grad():
        unbounded.weight.fill_(9.0)
    with pytest.raises(ValueError, match="infinite"):
        hm.log_partition(unbounded)


def test_the_estimate_can_be_written_as_json():
    import json

    rbm, _ = truly(torus(6, 0.3))
    text = json.dumps(estimate(rbm, work=0.05).to_dict())
    assert {"temperatures", "overlap", "disagreement", "annealed_forward"} <= set(json.loads(text)["details"])


# ---------------------------------------------------------------- the parts
def gaussian_works(shift, samples=4000, groups=8, seed=1):
    """Works between two normal distributions of variance 1, `shift` apart: log Z is the same for both."""
    x = torch.special.ndtri(uniforms(seed, samples, 2 * groups)).numpy()
    up = 0.5 * shift**2 - shift * x[:, :groups]  # ½(x-shift)² - ½x² at x ~ N(0, 1)
    down = 0.5 * shift**2 - shift * x[:, groups:]
    return Bridges((up,), (down,))


@pytest.mark.parametrize("shift", [0.1, 1.0, 2.5])
def test_bennett_between_two_normal_distributions(shift):
    result = bridge(gaussian_works(shift))
    assert abs(result.value) < student_t.isf(tail_probability() / 2, 7) * result.stderr
    # overlap 2 ∫ p q / (p + q), by quadrature
    x = np.linspace(-12, 12 + shift, 200001)
    p, q = (np.exp(-0.5 * (x - m) ** 2) / math.sqrt(2 * math.pi) for m in (0.0, shift))
    overlap = 2 * np.trapezoid(p * q / (p + q + 1e-300), x)
    assert result.overlaps[0] == pytest.approx(overlap, rel=0.05)
    # independent samples: the error between groups is that of independent samples, within its own 1/√(2·7)
    assert result.stderr == pytest.approx(result.naive_variance**0.5, rel=z_threshold() / math.sqrt(14))
    # the exchange of two neighbours succeeds with probability erfc(shift/2)
    assert result.swap_rates[0] == pytest.approx(math.erfc(shift / 2), rel=0.1)


def test_pairs_that_have_nothing_in_common_have_no_error_to_state():
    works = np.full((8, 4), 1e4)
    with np.errstate(all="raise", under="ignore"):
        result = bridge(Bridges((works,), (works,)))
        estimated = uncertainty(result)
    assert np.isfinite(result.value) and result.naive_variance == np.inf
    assert estimated == (np.inf, np.inf)


def test_bennett_is_exact_for_a_shifted_energy():
    assert solve(np.full(9, 3.0), np.full(9, -3.0)) == pytest.approx(-3.0)


def test_distances_are_those_of_normal_distributions():
    assert schedule.distances(gaussian_works(1.5))[0] == pytest.approx(1.5, rel=0.05)


def test_rungs_are_placed_at_equal_distances_with_all_nodes():
    positions, lengths = np.array([0.0, 0.5, 1.0, 2.0]), np.array([1.0, 3.0, 2.0])
    new = schedule.replaced(positions, lengths, nodes=3)
    assert {0.0, 1.0, 2.0} <= set(new) and (np.diff(new) > 0).all()
    travelled = np.interp(new, positions, [0.0, 1.0, 4.0, 6.0])
    assert np.diff(travelled).max() <= schedule.SPACING + 1e-9


def test_annealing_forward_and_reverse_hold_the_truth_from_both_sides():
    """Exact starting states at both ends: each bound is on its own side, and Bennett's ratio between them is
    right.
    """
    rbm, truth = truly(torus(4, 0.45))
    start = broad(rbm)
    address = Address(seed=3, purpose=Purpose.TRIAL)
    forward = start.random_state(400, address)
    v = hm.sample(rbm, 400, seed=5)  # exact draws
    reverse = (v, rbm.hidden.sample(rbm.field(1, (v, v)).detach(), address.at(step=1)))
    works = annealing.anneal(start, rbm, np.linspace(0, 1, 11), forward, reverse, address.at(step=2))
    both = annealing.Annealed(*works, float(start.closed_form_log_partition()))
    # each works' exponential average has a relative standard error of √(variance of weights / 400)
    for works_, sign in ((both.forward, 1), (both.reverse, -1)):
        error = annealing.forward_error(works_)
        value = both.base + sign * exponential_average(-works_)
        assert abs(value - truth) < z_threshold(2) * error
    assert both.joined == pytest.approx(truth, abs=0.3)
    assert 0.5 < both.hysteresis < 2.0


# ---------------------------------------------------------------- when parts disagree
def fake_run(means, samples=400, drift=0.0, seed=3, journeys=90):
    """A run of one pair of rungs whose groups say `means`, spread by a little noise."""
    rbm = hm.RBM(visible=hm.Bernoulli(2), hidden=hm.Bernoulli(2))
    groups = len(means)
    noise = 0.1 * torch.special.ndtri(uniforms(seed, samples, 2 * groups)).numpy()
    change = drift * np.linspace(-1, 1, samples)[:, None]
    works = np.stack(
        [-np.array(means) + noise[:, :groups] - change, np.array(means) + noise[:, groups:] + change], -1
    )
    address = Address(seed=1, purpose=Purpose.TRIAL, step=2 * samples)
    rung = np.tile(np.arange(2), (groups, 1))
    replicas = Replicas(rbm.random_state(2 * groups, address), rung, address)
    both = np.repeat(works, 2, axis=0)
    return Run(
        Ladder((broad(rbm), rbm), np.array([0.0, 1.0])), replicas, (), list(both), [], round_trips=journeys
    )


def test_agreement_raises_no_warning():
    e = interval.estimate(fake_run(0.01 * np.array([1, -1, 2, -2, 1, -2, 2, -1])), 5.0)
    assert not e.warnings and abs(e.value - 5.0) < 0.02 and e.high - e.low < 0.1


def test_few_journeys_widen_the_interval_by_what_a_drift_may_hide():
    means = 0.01 * np.array([1, -1, 2, -2, 1, -2, 2, -1])
    many, few = (interval.estimate(fake_run(means, journeys=n), 5.0) for n in (24, 23))
    assert not many.warnings and "made 23 journeys" in few.warnings[0] and len(few.warnings) == 1
    assert few.low <= many.low and few.high >= many.high and few.value == many.value
    drifting = fake_run(means, drift=0.004, journeys=9)
    drift, error = drifting.bridged().drift
    e = interval.estimate(drifting, 5.0)
    assert e.high >= e.value + abs(drift) + error and e.low <= e.value - abs(drift) - error


def test_ends_that_disagree_widen_the_interval():
    means = np.array([0.0, 0.01, -0.01, 0.0, 3.0, 3.01, 2.99, 3.0])
    e = interval.estimate(fake_run(means), 0.0)
    assert any("disagree" in w for w in e.warnings)
    assert e.low < 0.0 and e.high > 3.0


def test_a_lonely_group_widens_the_interval():
    means = 0.01 * np.arange(8.0)
    means[3] = 6.0
    e = interval.estimate(fake_run(means), 0.0)
    assert any("one group" in w for w in e.warnings) and e.high > 5.9


def test_a_drift_widens_the_interval_and_points_its_way():
    e = interval.estimate(fake_run(np.zeros(8), drift=1.0), 0.0)
    assert any("drift" in w for w in e.warnings) and e.high > 1.4 > e.low


def test_annealing_that_finds_more_mass_is_heard():
    run = fake_run(np.zeros(8))
    more = annealing.Annealed(
        np.full(20, -9.0) + 0.1 * np.arange(20), np.full(20, 9.0) + 0.1 * np.arange(20), 0.0
    )
    e = interval.estimate(run, 0.0, more)
    assert any("more mass" in w for w in e.warnings) and e.high > 8.0


def test_work_lost_without_fluctuations_is_heard():
    run = fake_run(np.zeros(8))
    stuck = annealing.Annealed(
        np.full(20, 8.0) + 0.1 * np.arange(20), np.full(20, 8.0) + 0.1 * np.arange(20), 0.0
    )
    e = interval.estimate(run, 0.0, stuck)
    assert stuck.hysteresis > 10 and any("different modes" in w for w in e.warnings)
    assert e.low < -7.0 and e.high > 7.0


def test_a_mode_that_only_data_know_is_reported():
    """A narrow deep mode in a corner that no hidden unit stands for: chains from the data know it, others
    don't.

    Whatever the run makes of it, it must not be sure of a wrong number.
    """
    n, depth = 40, 34.0
    rbm = hm.RBM(visible=hm.Spin(n), hidden=hm.Spin(n))
    with torch.no_grad():
        rbm.weight.zero_()
        rbm.weight[:, 0] = 2.0  # h₀ = ±1 pulls all visible units, held back by a field on h₀
        rbm.hidden.bias[0] = depth - 2.0 * n
    v = hm.Spin(n).states(torch.tensor([0])) * 0 + 1.0
    # log Z over h₀ = ±1: the other hidden units are free
    field = 2.0
    terms = [s * (depth - 2.0 * n) + n * math.log(2 * math.cosh(s * field)) for s in (1, -1)]
    truth = float(logsumexp(terms)) + (n - 1) * math.log(2)
    e = estimate(rbm, work=0.3, data=v)
    assert e.low <= truth <= e.high


def funnel(n=60, weight=5.0, copies=10, radius=14, bias=1.5):
    """A pattern with nearly all of the mass that shows only within `radius` flips of it, and log Z.

    `copies` equal hidden units stand for it together, none alone; the biases of the visible units lead
    elsewhere.
    """
    rbm, half = hm.RBM(visible=hm.Bernoulli(n), hidden=hm.Bernoulli(copies)), n // 2
    with torch.no_grad():
        rbm.weight.fill_(weight / copies)
        rbm.hidden.bias.fill_(-weight * (n - radius) / copies)
        rbm.visible.bias.copy_(torch.cat([torch.full((half,), bias), torch.full((half,), -bias)]))
    on = np.arange(half + 1)
    ways = np.array([math.log(math.comb(half, k)) for k in on])
    match = on[:, None] + on[None] - n + radius
    hidden = copies * np.logaddexp(0, weight * match / copies)
    return rbm, float(logsumexp((ways + bias * on)[:, None] + (ways - bias * on)[None] + hidden))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_model_that_is_too_hard_for_the_time_gets_a_warning_and_a_wide_interval(seed):
    rbm, truth = funnel()
    e = estimate(rbm, work=0.3, seed=seed)
    assert e.warnings and e.low <= truth <= e.high and e.high - e.low > 1.0


def test_plain_annealing_is_sure_of_a_wrong_number_where_ours_is_right():
    rbm, truth = truly(torus(8, 0.6))
    plain = hm.likelihood.annealed_importance_sampling(rbm, 300, 100, seed=1)
    assert plain.high < truth  # the mode of all zeros alone: low by log 2
    assert_right(estimate(rbm), truth)
