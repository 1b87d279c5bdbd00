"""Diagnostics against chains whose mixing is known in closed form, and against ArviZ."""

import arviz_stats
import numpy as np
import pytest
import torch

import harmonium as hm
from harmonium import diagnostics
from harmonium.diagnostics.mixing import autocorrelation_time, split_r_hat
from harmonium.random import Address, Purpose
from harmonium.sampling import BlockGibbs, initial_chains
from registry import uniforms


def autoregressive(rho, steps=4000, chains=20, seed=1):
    """x_t = ρ x_{t-1} + √(1-ρ²) ε: stationary, with autocorrelation time (1+ρ)/(1-ρ)."""
    noise = torch.special.ndtri(uniforms(seed, steps, chains)).numpy()
    x = np.empty_like(noise)
    x[0] = noise[0]
    for t in range(1, steps):
        x[t] = rho * x[t - 1] + (1 - rho**2) ** 0.5 * noise[t]
    return x


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_autocorrelation_time_of_autoregressive_chains(rho):
    # the error of such an estimate is about τ √(6 τ / samples), below 8 % here; 35 % is beyond every doubt
    expected = (1 + rho) / (1 - rho)
    assert autocorrelation_time(autoregressive(rho)) == pytest.approx(expected, rel=0.35)


# of autoregressive(rho, steps=1000, chains=6), by ArviZ 0.23.4
ARVIZ = {
    0.0: {"mean": 6083.0624200, "bulk": 6077.3840707, "split": 0.99971243681, "rank": 0.99971223531},
    0.8: {"mean": 741.0749708, "bulk": 741.9586510, "split": 1.00550071843, "rank": 1.00556542375},
}


@pytest.mark.parametrize("rho", ARVIZ)
def test_ess_and_r_hat_agree_with_arviz(rho):
    report = diagnostics.mixing_report(autoregressive(rho, steps=1000, chains=6))
    assert report.ess == pytest.approx(ARVIZ[rho]["mean"], rel=0.15)
    assert report.r_hat == pytest.approx(ARVIZ[rho]["split"], rel=1e-3)


@pytest.mark.parametrize("rho", ARVIZ)
def test_chains_reach_arviz_the_right_way_round(rho):
    x = autoregressive(rho, steps=1000, chains=6)
    tree, known = diagnostics.inference_data({"x": x}), ARVIZ[rho]
    for method in ("mean", "bulk"):
        assert float(arviz_stats.ess(tree, method=method)["x"]) == pytest.approx(known[method], rel=1e-6)
    for method in ("split", "rank"):
        assert float(arviz_stats.rhat(tree, method=method)["x"]) == pytest.approx(known[method], rel=1e-9)


def test_good_chains_raise_no_alarm():
    report = diagnostics.mixing_report(torch.from_numpy(autoregressive(0.3, steps=200)))
    assert report.warning is None and report.r_hat < 1.05


def test_stuck_chains_raise_the_alarm_with_a_remedy():
    x = autoregressive(0.0, steps=100, chains=10) + 5 * np.arange(10)
    report = diagnostics.mixing_report(x)
    assert report.r_hat > 2 and "Gibbs steps" in report.warning and "more than 100" in report.warning


def test_slow_chains_raise_the_alarm():
    report = diagnostics.mixing_report(autoregressive(0.97, steps=200, chains=50))
    assert report.warning is not None and report.autocorrelation_time > 15


def test_constant_chains_are_no_error():
    report = diagnostics.mixing_report(np.ones((20, 4)))
    assert report.r_hat == 1.0 and report.autocorrelation_time == 1.0
    assert split_r_hat(np.ones((20, 4)) * np.arange(4)) == np.inf


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (np.ones((4, 4)), "at least 8 steps"),
        (np.ones(20), "steps, chains"),
        (np.full((20, 4), np.nan), "finite"),
    ],
)
def test_windows_that_say_nothing_are_refused(x, words):
    with pytest.raises(ValueError, match=words):
        diagnostics.mixing_report(x)


def test_chains_come_out_as_a_tree_of_groups():
    rbm = hm.RBM(visible=hm.Bernoulli(6), hidden=hm.Bernoulli(3))
    seen = {"energy": lambda s: rbm.energy(*s), "visible": lambda s: s[0]}
    data = diagnostics.chain_diagnostics(rbm, seen, chains=4, steps=60, seed=3)
    assert data.posterior["energy"].shape == (4, 60) and data.posterior["visible"].shape == (4, 60, 6)
    again = diagnostics.chain_diagnostics(rbm, seen, chains=4, steps=60, seed=3)
    assert data.posterior.equals(again.posterior)
    summary = arviz_stats.summary(data, var_names=["energy"])
    assert {"ess_bulk", "r_hat"} <= set(summary.columns)


def test_observables_that_are_none_are_refused():
    with pytest.raises(ValueError, match="energy: expected"):
        diagnostics.inference_data({"energy": np.zeros(3)})


def test_what_a_kernel_reports_comes_out_too():
    rbm = hm.RBM(visible=hm.Bernoulli(6), hidden=hm.Bernoulli(3))

    def kernel(model, chains):
        return chains.moved(chains.state, acceptance=0.25)

    data = diagnostics.chain_diagnostics(rbm, chains=2, steps=10, kernel=kernel)
    assert (data.sample_stats["acceptance"].values == 0.25).all()


def test_tempering_report_of_an_easy_model():
    rbm = hm.RBM(visible=hm.Bernoulli(6), hidden=hm.Bernoulli(3))
    report = diagnostics.tempering_report(rbm, sweeps=100)
    assert report.temperatures[0] == 0.0 and report.temperatures[-1] == 1.0
    assert (report.swap_rates > 0.9).all() and (report.overlaps > 0.9).all()
    assert report.round_trips > 0 and report.sweeps_per_trip < 100 and report.warning is None


def test_tempering_report_says_when_nothing_travels():
    """Two frozen modes and far too few sweeps for a journey."""
    rbm = hm.RBM(visible=hm.Spin(24), hidden=hm.Spin(24))
    with torch.no_grad():
        rbm.weight.fill_(0.5)
    report = diagnostics.tempering_report(rbm, sweeps=8)
    assert report.round_trips == 0 and report.sweeps_per_trip == np.inf
    assert "no replica" in report.warning


# ---------------------------------------------------------------- while a model learns
def two_modes(coupling):
    """Spins that all agree above the critical coupling 1/24: two modes, deep ones far above it."""
    rbm = hm.RBM(visible=hm.Spin(24), hidden=hm.Spin(24))
    with torch.no_grad():
        rbm.weight.fill_(coupling)
    return rbm


def watched(model, looks=32, sweeps=2):
    """Chains that begin in both modes, watched for one window while the model stands still."""
    start = torch.ones(40, 24)
    start[20:] = -1
    chains = initial_chains(model, 40, Address(seed=1, purpose=Purpose.TRIAL), start)
    watch = diagnostics.MixingWatch(window=looks)
    for _ in range(looks):
        chains = BlockGibbs(sweeps=sweeps)(model, chains)
        watch.look(model, chains.visible)
    return watch


def test_chains_that_cannot_leave_their_modes_are_named():
    watch = watched(two_modes(0.2))  # leaving takes some e^(24·24·0.2/2) sweeps
    assert watch.report.r_hat > 3 and "stopped mixing" in watch.warning and "Gibbs steps" in watch.warning


def test_chains_that_mix_are_not_named():
    watch = watched(two_modes(0.01))
    assert watch.warning is None and watch.report.r_hat < 1.1
    assert watch.report.autocorrelation_time < 3 * watch.every


def test_the_watch_looks_again_after_every_window():
    model, watch = two_modes(0.01), diagnostics.MixingWatch(window=8)
    noise = hm.Spin(24)
    for k in range(8):
        watch.look(model, 2.0 * (uniforms(k, 40, 24) < 0.5).float() - 1.0)
    assert watch.warning is None
    stuck = noise.states(torch.arange(40) * 2**18).float()
    for _ in range(8):
        watch.look(model, stuck)
    assert watch.warning is not None


def test_training_on_two_far_patterns_raises_the_alarm_and_on_noise_does_not():
    patterns = torch.zeros(200, 30)
    patterns[100:] = 1
    noise = (uniforms(3, 200, 30) < 0.5).float()
    for x, named in ((patterns, True), (noise, False)):
        watch = diagnostics.MixingWatch(every=2, window=32)
        rbm = hm.RBM(visible=hm.Bernoulli(30), hidden=hm.Bernoulli(8))
        hm.fit(rbm, x, negatives="pcd", steps=192, weight_decay=0.01, progress=False, callbacks=[watch])
        assert (watch.warning is not None) == named


def test_the_watch_refuses_what_it_cannot_judge():
    with pytest.raises(ValueError, match="every"):
        diagnostics.MixingWatch(every=0)
    with pytest.raises(ValueError, match="2 chains"):
        diagnostics.MixingWatch().look(two_modes(0.1), torch.ones(1, 24))
