"""Draws from Markov random fields, exact and by chains, against their tables."""

import math

import networkx as nx
import numpy as np
import pytest
import torch
from scipy import stats

import harmonium as hm
from harmonium import kernels
from harmonium.models import MarkovRandomField
from harmonium.random import Address, Purpose
from harmonium.sampling import Chains, Clamp, GraphGibbs, default_kernel, initial_chains
from random_fields import FIELDS, log_table, random_field
from statistics_budget import tail_probability

CHAINS = 20_000


def joint_counts(x, cardinalities):
    index = np.ravel_multi_index(x.long().numpy().T, cardinalities)
    return np.bincount(index, minlength=math.prod(cardinalities))


@pytest.mark.parametrize("name", FIELDS)
def test_samples_exact_and_by_chains_follow_the_distribution(name):
    field = FIELDS[name]()
    p = torch.softmax(log_table(field).flatten(), 0).numpy()
    possible = p > 0
    for sweeps in (None, 30):
        x = hm.sample(field, CHAINS, seed=3, sweeps=sweeps)
        assert x.dtype == torch.int64
        counts = joint_counts(x, field.cardinalities)
        assert stats.chisquare(counts[possible], CHAINS * p[possible]).pvalue > tail_probability(
            2 * len(FIELDS)
        )


@pytest.mark.parametrize("name", FIELDS)
def test_sweeps_leave_the_distribution_alone(name):
    field = FIELDS[name]()
    x = field.exact_sample(CHAINS, Address(5, Purpose.TRIAL))
    p = torch.softmax(log_table(field).flatten(), 0).numpy()
    moved = field.sweep((x,), Address(6, Purpose.TRIAL), sweeps=3)[0]
    counts = joint_counts(moved, field.cardinalities)
    assert stats.chisquare(counts, CHAINS * p).pvalue > tail_probability(len(FIELDS))


@pytest.mark.parametrize("name", ["tables", "ising"])
def test_sweeps_at_other_temperatures(name):
    field = FIELDS[name]()
    beta = torch.where(torch.arange(CHAINS) % 2 == 0, 0.3, 1.6)
    x = field.random_state(CHAINS, Address(1, Purpose.TRIAL))
    moved = field.sweep(x, Address(2, Purpose.TRIAL), sweeps=60, beta=beta)[0]
    for k, b in enumerate((0.3, 1.6)):
        p = torch.softmax(b * log_table(field).flatten(), 0).numpy()
        counts = joint_counts(moved[k::2], field.cardinalities)
        assert stats.chisquare(counts, CHAINS / 2 * p).pvalue > tail_probability(4)


@pytest.mark.parametrize("name", ["tables", "ising"])
@pytest.mark.parametrize("per_chain", [False, True])
def test_held_variables_stay_and_the_others_follow_their_conditional(name, per_chain):
    field = FIELDS[name]()
    n = len(field.variables)
    values = torch.full((n,), math.nan, dtype=torch.float64)
    values[1], values[3] = 1, 0
    given = values.expand(CHAINS, n) if per_chain else values
    x = hm.sample(field, CHAINS, given=given, seed=9, sweeps=40)
    assert bool((x[:, 1] == 1).all()) and bool((x[:, 3] == 0).all())
    rest = [k for k in range(n) if k not in (1, 3)]
    p = field.marginal(rest, {1: 1, 3: 0}).flatten().numpy()
    counts = joint_counts(x[:, rest], [field.cardinalities[k] for k in rest])
    assert stats.chisquare(counts, CHAINS * p).pvalue > tail_probability(4)


@pytest.mark.parametrize("name", FIELDS)
def test_a_sweep_draws_what_the_plain_kernels_draw_at_the_same_addresses(name):
    """One site after another, by `draw_categorical` and `draw_bernoulli` on fields from whole energies."""
    field = FIELDS[name]()
    with torch.no_grad():
        for p in field.parameters():
            p.copy_((p * 8).round() / 8)  # sums of eighths are exact in any order
    rows, address = 50, Address(77, Purpose.TRIAL, step=2, chain=13)
    x = field.random_state(rows, address.at(step=0))[0]
    moved = field.sweep((x,), address, sweeps=2)[0]
    scan = field.flat.scan
    expected = x.clone()
    for sweep in range(2):
        for site, number in zip(scan.sites.tolist(), scan.numbers.tolist(), strict=True):
            q = field.cardinalities[site]
            energies = torch.empty(rows, q)
            for c in range(q):
                trial = expected.clone()
                trial[:, site] = c
                energies[:, c] = field.energy(trial).detach().float()
            here = address.at(step=2 + sweep, unit=number // 4 * 4)
            if field.flat.pairwise:
                wide = torch.zeros(rows, 4)
                wide[:, number % 4] = energies[:, 0] - energies[:, 1]
                drawn = kernels.draw_bernoulli(wide, here)[:, number % 4]
            else:
                wide = torch.zeros(rows, 4 * q)
                wide[:, number % 4 * q : number % 4 * q + q] = -energies
                drawn = kernels.draw_categorical(wide, q, here).view(rows, 4, q)[:, number % 4].argmax(1)
            expected[:, site] = drawn.to(expected)
    assert torch.equal(moved, expected)


def test_neighbours_never_share_a_colour_and_lattices_need_two():
    field = MarkovRandomField.ising(nx.grid_2d_graph(5, 6), 0.3)
    assert len(field.flat.colours) == 2
    for seed in range(4):
        field = random_field(seed)
        colour = {int(v): k for k, sites in enumerate(field.flat.colours) for v in sites}
        assert sorted(colour) == list(range(6))
        place = {name: k for k, name in enumerate(field.variables)}
        assert all(colour[place[a]] != colour[place[b]] for a, b in field.graph.edges)


def test_a_chain_is_a_function_of_its_number_and_seed_alone():
    field = FIELDS["tables"]()
    many = initial_chains(field, 70, Address(9, Purpose.CHAIN))
    few = initial_chains(field, 7, Address(9, Purpose.CHAIN, chain=40))
    kernel = default_kernel(field)
    assert isinstance(kernel, GraphGibbs)
    a, b = kernel(field, kernel(field, many)), GraphGibbs(sweeps=2)(field, few)
    assert torch.equal(a.visible[40:47], b.visible)
    assert a.address.step == b.address.step
    torch_threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2 if torch_threads == 1 else 1)
        assert torch.equal(GraphGibbs(sweeps=2)(field, many).visible, a.visible)
    finally:
        torch.set_num_threads(torch_threads)


def test_a_chain_without_a_way_out_is_named():
    field = MarkovRandomField(
        [2, 2], [((0, 1), [[-math.inf, 0.0], [0.0, -math.inf]]), ((1,), [0.0, -math.inf])]
    )
    with pytest.raises(ValueError, match="forbidden given the others"):
        GraphGibbs(Clamp(torch.tensor([True, False]), torch.zeros(2)))(
            field, Chains((torch.zeros(2, 2).double(),), Address(1, Purpose.TRIAL))
        )
