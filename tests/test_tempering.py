"""Paths, ladders and replica exchange: every rung keeps its distribution, and the works are what they say."""

import numpy as np
import pytest
import torch

import harmonium as hm
from harmonium.models import Interpolation
from harmonium.random import Address, Purpose
from harmonium.sampling.segments import Segment, summed_block
from harmonium.sampling.tempering import (
    Exchange,
    Ladder,
    ParallelTempering,
    Replicas,
    broad,
    partners,
)
from registry import PAIRS, build, uniforms
from statistics_budget import z_threshold

HERE = Address(seed=5, purpose=Purpose.TRIAL)


def exact_means(model):
    """Mean of every visible unit by enumeration, float64."""
    v = model.visible.states(torch.arange(model.visible.n_states)).to(model.dtype)
    with torch.no_grad():
        p = torch.softmax(-model.free_energy(v).double(), 0)
    return p @ v.double()


def strong_rbm(dtype=torch.float32):
    rbm = hm.RBM(visible=hm.Bernoulli(5), hidden=hm.Bernoulli(3), dtype=dtype)
    with torch.no_grad():
        for k, p in enumerate(rbm.parameters()):
            p.copy_((4 * uniforms(40 + k, p.numel()) - 2).reshape(p.shape))
    return rbm


# ---------------------------------------------------------------- pieces of a path
@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_work_is_the_difference_of_marginal_energies(pair):
    model = build(*pair)
    start = broad(model)
    state = start.random_state(6, HERE)
    here, there = (uniforms(k, 6) for k in (1, 2))
    with torch.no_grad():
        work = Segment(start, model).look(state).work(here, there)
        block = summed_block(model)
        energies = [Interpolation(start, model, b).marginal_energy(block, state) for b in (there, here)]
    torch.testing.assert_close(work, energies[0] - energies[1], rtol=1e-9, atol=1e-9)


def test_work_of_energies_alone_is_linear_in_beta():
    class Hills(hm.EnergyModel):
        def __init__(self):
            super().__init__(states=[3] * 4)
            self.height = torch.nn.Parameter(torch.tensor(1.5))

        def energy(self, x):
            return self.height * (x - 1).abs().sum(1)

    model = Hills()
    start = broad(model)
    state = start.random_state(6, HERE)
    piece = Segment(start, model)
    assert piece.summed is None
    with torch.no_grad():
        work = piece.look(state).work(torch.zeros(6, 1), torch.full((6, 1), 0.5))
        assert torch.allclose(work, 0.5 * model.energy(*state).double())


def test_broad_reference_is_uniform_where_bounded():
    rbm = strong_rbm()
    assert float(broad(rbm).closed_form_log_partition()) == pytest.approx(8 * np.log(2))
    assert all(bool((layer.bias == 0).all()) for layer in broad(rbm).layers)
    assert bool((rbm.visible.bias != 0).any())  # the model itself is left alone


def test_the_block_with_most_sites_is_summed_out():
    assert summed_block(hm.RBM(visible=hm.Spin(9), hidden=hm.Gaussian(2))) == 0
    assert summed_block(hm.RBM(visible=hm.Spin(4), hidden=hm.Spin(4))) == 1
    assert summed_block(hm.RBM(visible=hm.Spin(9), hidden=hm.Gaussian(2)), but=0) == 1


# ---------------------------------------------------------------- ladders
def test_partners_are_mutual_and_take_turns():
    for rungs in (2, 3, 6, 7):
        seen = set()
        for parity in (0, 1):
            pair = partners(rungs, parity)
            assert (pair[pair] == np.arange(rungs)).all()
            seen |= {(k, int(pair[k])) for k in range(rungs) if pair[k] > k}
        assert seen == {(k, k + 1) for k in range(rungs - 1)}


def test_a_ladder_needs_all_its_nodes():
    rbm = strong_rbm()
    for positions in ([0.0, 0.5], [0.0, 1.0, 0.5], [0.0, 0.5, 0.5, 1.0]):
        with pytest.raises(ValueError, match="positions"):
            Ladder((broad(rbm), rbm), np.array(positions))


def means_by_rung(nodes, positions, groups=400, sweeps=60, burn=10):
    """Mean and standard error (between groups) of the visible units at every rung."""
    ladder = Ladder(nodes, np.array(positions))
    rungs = len(positions)
    state = nodes[0].random_state(groups * rungs, HERE)
    replicas = Replicas(state, np.tile(np.arange(rungs), (groups, 1)), HERE.at(step=1))
    exchange = Exchange(ladder, groups, seed=9)
    total = 0.0
    for k in range(sweeps):
        replicas, _ = exchange.step(replicas)
        if k >= burn:
            total = total + replicas.sorted()[0].double().reshape(groups, rungs, -1)
    by_group = total / (sweeps - burn)
    return by_group.mean(0), by_group.std(0) / groups**0.5


def test_every_rung_has_its_own_distribution():
    """Exchanges and sweeps leave each rung's distribution alone: means against enumeration."""
    rbm = strong_rbm()
    start, positions = broad(rbm), [0.0, 0.3, 0.7, 1.0]
    mean, error = means_by_rung((start, rbm), positions)
    for k, beta in enumerate(positions):
        scaled = hm.RBM(visible=hm.Bernoulli(5), hidden=hm.Bernoulli(3))
        with torch.no_grad():
            for p, q in zip(scaled.parameters(), rbm.parameters(), strict=True):
                p.copy_(beta * q)
        z = (mean[k] - exact_means(scaled)) / error[k]
        assert float(z.abs().max()) < z_threshold(4 * 5)


def test_a_path_through_several_models_passes_each_of_them():
    """Trajectory tempering: rungs at every checkpoint, each with the distribution of its model."""
    far = strong_rbm()
    near = hm.RBM(visible=hm.Bernoulli(5), hidden=hm.Bernoulli(3))
    with torch.no_grad():
        for p, q in zip(near.parameters(), far.parameters(), strict=True):
            p.copy_(0.4 * q.flip(0))
    mean, error = means_by_rung((broad(far), near, far), [0.0, 1.0, 1.5, 2.0])
    for k, model in ((1, near), (3, far)):
        z = (mean[k] - exact_means(model)) / error[k]
        assert float(z.abs().max()) < z_threshold(2 * 5)


def test_exchange_is_the_same_whatever_the_number_of_groups():
    rbm = strong_rbm()
    ladder = Ladder((broad(rbm), rbm), np.array([0.0, 0.5, 1.0]))
    ends = []
    for groups in (2, 5):
        state = ladder.nodes[0].random_state(groups * 3, HERE)
        replicas = Replicas(state, np.tile(np.arange(3), (groups, 1)), HERE.at(step=1))
        exchange = Exchange(ladder, groups, seed=9)
        for _ in range(20):
            replicas, _ = exchange.step(replicas)
        ends.append((replicas.rung[:2], replicas.state[0][:6]))
    assert (ends[0][0] == ends[1][0]).all() and torch.equal(ends[0][1], ends[1][1])


def test_round_trips_are_counted():
    """Between two equal models every exchange succeeds, so replicas march up and down without a stop."""
    rbm = strong_rbm()
    ladder = Ladder((rbm, rbm), np.array([0.0, 0.25, 0.5, 0.75, 1.0]))
    state = rbm.random_state(3 * 5, HERE)
    replicas = Replicas(state, np.tile(np.arange(5), (3, 1)), HERE.at(step=0))
    exchange = Exchange(ladder, 3, seed=1)
    for _ in range(100):
        replicas, work = exchange.step(replicas)
        assert np.nanmax(np.abs(work)) < 1e-5
    # a journey from end to end and back takes 10 sweeps: 5 replicas, 3 groups, 100 sweeps
    assert exchange.round_trips == pytest.approx(3 * 5 * 100 / 10, rel=0.15)


# ---------------------------------------------------------------- the kernel
def test_kernel_keeps_rows_sorted_and_the_model_at_the_last_rung():
    rbm, groups = strong_rbm(), 500
    temper = ParallelTempering((0.0, 0.4, 1.0), sweeps=2)
    chains = temper.begin(rbm, groups, HERE)
    total, count = 0.0, 0
    for k in range(30):
        chains = temper(rbm, chains)
        if k >= 5:
            total, count = total + temper.at_model(chains).double(), count + 1
    by_group = total / count
    z = (by_group.mean(0) - exact_means(rbm)) / (by_group.std(0) / groups**0.5)
    assert float(z.abs().max()) < z_threshold(5)
    assert 0.3 < chains.info["swap_rate"] <= 1.0
    assert chains.address.step == 1 + 30 * 2


def test_kernel_refuses_rows_that_are_no_groups():
    rbm, temper = strong_rbm(), ParallelTempering((0.0, 1.0))
    chains = ParallelTempering((0.0, 0.5, 1.0)).begin(rbm, 3, HERE)
    with pytest.raises(ValueError, match="multiple of 2 rows"):
        temper(rbm, chains)
