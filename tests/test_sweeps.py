"""Sweeps in one compiled call: the same chains as block by block, on either kind of product."""

import numpy as np
import pytest
import torch

import harmonium as hm
from harmonium import kernels
from harmonium.kernels import launch, processor
from harmonium.models import path_to
from harmonium.random import Address, Purpose
from harmonium.sampling import BlockGibbs, Chains, Clamp, GraphGibbs, advance, gibbs, initial_chains
from statistics_budget import z_threshold

HERE = Address(seed=3, purpose=Purpose.TRIAL)
LAYERS = {
    "bernoulli-bernoulli": (hm.Bernoulli(70), hm.Bernoulli(45)),
    "wide": (hm.Bernoulli(1030), hm.Spin(33)),
    "spin-bernoulli": (hm.Spin(5), hm.Bernoulli(3)),
    "categorical-spin": (hm.Categorical(11, 21), hm.Spin(32)),
    "bernoulli-categorical": (hm.Bernoulli(64), hm.Categorical(3, 400)),
}


@pytest.fixture(params=["matrix", "wide"])
def products(request, monkeypatch):
    if request.param == "matrix" and processor.no_matrix_units():
        pytest.skip("test_matrix_units runs these on emulated units here")
    monkeypatch.setenv("HARMONIUM_PRODUCTS", request.param)
    return request.param


def one_thread(loop, job, threads):
    """The others never come."""
    launch.compiled(loop)(job)


def machine(visible, hidden, seed=0, scale=1.0):
    """Weights and biases are multiples of 1/64, so that every order of summation gives the same fields."""
    rbm = hm.RBM(visible=visible, hidden=hidden)
    numbers = np.random.default_rng(seed)
    with torch.no_grad():
        for p in rbm.parameters():
            p.copy_(torch.from_numpy(np.round(numbers.normal(size=p.shape) * scale * 16) / 64))
    return rbm


def block_by_block(model, chains, count):
    for _ in range(count):
        chains = BlockGibbs()._sweep(model, chains)
    return chains


def assert_same(a, b):
    assert a.address.step == b.address.step
    for x, y in zip(a.state, b.state, strict=True):
        assert torch.equal(x, y)


@pytest.mark.parametrize("layers", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize("rows", [1, 33, 300])
@torch.no_grad()
def test_chains_are_those_of_block_by_block(layers, rows, products):
    rbm = machine(*layers)
    start = initial_chains(rbm, rows, HERE)
    assert gibbs._in_one_call(rbm, start, 1) is not None
    assert_same(BlockGibbs(sweeps=3)(rbm, start), block_by_block(rbm, start, 3))


@torch.no_grad()
def test_the_last_steps_are_drawn_and_none_wraps_into_another_purpose(products):
    rbm = machine(hm.Bernoulli(37), hm.Bernoulli(20))
    near = initial_chains(rbm, 5, HERE.at(step=2**32 - 3))  # the low half of the step is full
    assert_same(BlockGibbs(sweeps=3)(rbm, near), block_by_block(rbm, near, 3))
    last = Chains(near.state, HERE.at(step=2**48 - 3))
    assert_same(BlockGibbs(sweeps=2)(rbm, last), block_by_block(rbm, last, 2))
    pair = rbm.bipartite()
    sides, addresses = gibbs.sides_of(rbm, pair), (last.address, last.address)
    with pytest.raises(ValueError, match=r"step \+ steps must be at most 2\*\*48, got \d+ \+ 4"):
        kernels.gibbs(pair.weight, sides, last.visible, addresses, 4)


def test_the_last_steps_of_a_field_on_a_graph():
    field = hm.MarkovRandomField.ising(np.array([(0, 1), (1, 2)]), 0.3, 0.1)
    start = Chains((torch.zeros(4, 3, dtype=torch.long),), HERE.at(step=2**48 - 3))
    one = GraphGibbs()
    assert_same(GraphGibbs(sweeps=2)(field, start), one(field, one(field, start)))
    with pytest.raises(ValueError, match=r"step \+ steps must be at most 2\*\*48, got \d+ \+ 4"):
        GraphGibbs(sweeps=4)(field, start)


@torch.no_grad()
def test_explicit_chains_and_other_layouts(products):
    rbm = machine(hm.Bernoulli(37), hm.Bernoulli(20))
    address = Address(2**63 + 5, 3, step=2**40, chain=np.array([9, 2**32 - 1, 9, 0, 4]), unit=400)
    start = initial_chains(rbm, 5, address)
    assert_same(BlockGibbs(sweeps=2)(rbm, start), block_by_block(rbm, start, 2))
    wide = torch.zeros(5, 80)
    wide[:, 20:57] = start.visible
    for v in (wide[:, 20:57], start.visible.T.contiguous().T):
        assert_same(BlockGibbs(sweeps=2)(rbm, start.with_visible(v)), block_by_block(rbm, start, 2))
    row = start.with_visible(start.visible[:1].expand(5, 37))
    assert_same(BlockGibbs()(rbm, row), block_by_block(rbm, row, 1))


@pytest.mark.parametrize("beta", [0.25, torch.linspace(0, 1, 65)[:, None]], ids=["one", "each"])
@torch.no_grad()
def test_points_of_a_path(beta, products):
    rbm = machine(hm.Bernoulli(64), hm.Spin(32))
    point = path_to(rbm).at(beta)
    start = initial_chains(rbm, 65, HERE)
    assert gibbs._in_one_call(point, start, 1) is not None
    assert_same(BlockGibbs(sweeps=3)(point, start), block_by_block(point, start, 3))


@torch.no_grad()
def test_sweeps_in_one_call_or_in_many_and_on_any_number_of_threads(products):
    rbm = machine(hm.Bernoulli(200), hm.Bernoulli(100))
    start = initial_chains(rbm, 300, HERE)
    at_once = advance(BlockGibbs(), rbm, start, 4)
    one_by_one, before = start, torch.get_num_threads()
    try:
        for threads in (1, 2, 3, 1):
            torch.set_num_threads(threads)
            one_by_one = BlockGibbs()(rbm, one_by_one)
    finally:
        torch.set_num_threads(before)
    assert_same(at_once, one_by_one)


@torch.no_grad()
def test_a_thread_alone_takes_the_shares_of_the_others(products, monkeypatch):
    rbm = machine(hm.Bernoulli(200), hm.Bernoulli(100))
    start, before = initial_chains(rbm, 700, HERE), torch.get_num_threads()
    together = BlockGibbs(sweeps=2)(rbm, start)
    monkeypatch.setattr(launch, "run", one_thread)
    try:
        torch.set_num_threads(3)
        assert_same(BlockGibbs(sweeps=2)(rbm, start), together)
    finally:
        torch.set_num_threads(before)


@torch.no_grad()
def test_changed_weights_are_seen_however_they_were_changed(products):
    rbm = machine(hm.Bernoulli(40), hm.Bernoulli(30))
    start = initial_chains(rbm, 50, HERE)
    BlockGibbs()(rbm, start)
    rbm.weight.data[3, 5] += 8.0
    rbm.weight.numpy()[7, 9] -= 8.0
    assert_same(BlockGibbs(sweeps=2)(rbm, start), block_by_block(rbm, start, 2))


@torch.no_grad()
def test_start_states_that_bfloat16_cannot_hold(products):
    rbm = machine(hm.Bernoulli(40), hm.Bernoulli(30))
    start = initial_chains(rbm, 50, HERE)
    v = start.visible.clone()
    v[17, 3] = 0.3
    fine = start.with_visible(v)
    assert (gibbs._in_one_call(rbm, fine, 1) is None) == (products == "matrix")
    done, expected = BlockGibbs()(rbm, fine), block_by_block(rbm, fine, 1)
    assert torch.equal(done.state[1][:17], expected.state[1][:17])


@torch.no_grad()
def test_a_weight_that_is_nan_shows_in_the_states(products):
    rbm = machine(hm.Bernoulli(40), hm.Bernoulli(30))
    rbm.weight[3, 5] = torch.nan
    start = initial_chains(rbm, 10, HERE).with_visible(torch.ones(10, 40))
    done = BlockGibbs()(rbm, start)
    assert done.state[1][:, 5].isnan().all()
    assert done.visible[:, 3].isnan().all()


class Stubborn(hm.Bernoulli):
    """Units that draw in their own way."""

    def sample(self, field, address):
        return torch.ones_like(field)


@torch.no_grad()
def test_what_the_loops_do_not_know_is_drawn_block_by_block():
    start = initial_chains(machine(hm.Bernoulli(6), hm.Bernoulli(4)), 7, HERE)
    own = hm.RBM(visible=Stubborn(6), hidden=hm.Bernoulli(4))
    assert (BlockGibbs()(own, start).visible == 1).all()
    for model in (
        hm.RBM(visible=hm.Gaussian(6), hidden=hm.Bernoulli(4)),
        hm.RBM(visible=hm.Bernoulli(6), hidden=hm.Bernoulli(4), dtype=torch.float64),
    ):
        chains = initial_chains(model, 7, HERE)
        assert_same(BlockGibbs(sweeps=2)(model, chains), block_by_block(model, chains, 2))
    rbm, held = machine(hm.Bernoulli(6), hm.Bernoulli(4)), torch.arange(6) < 3
    clamped = BlockGibbs(Clamp(held, torch.ones(6)), sweeps=5)(rbm, start)
    assert (clamped.visible[:, :3] == 1).all()


def test_products_are_chosen_by_name(monkeypatch):
    monkeypatch.setenv("HARMONIUM_PRODUCTS", "float16")
    with pytest.raises(
        ValueError, match="HARMONIUM_PRODUCTS must be auto, matrix, wide or plain, got 'float16'"
    ):
        processor.path()


LONG = {
    "bernoulli": (hm.Bernoulli(6), hm.Bernoulli(5)),
    "spin-bernoulli": (hm.Spin(5), hm.Bernoulli(4)),
    "categorical-spin": (hm.Categorical(3, 4), hm.Spin(4)),
}


@pytest.mark.parametrize("layers", LONG.values(), ids=LONG)
@torch.no_grad()
def test_long_chains_keep_the_exact_moments(layers, products):
    """From exact samples, 200 sweeps of independent chains: means and pair moments stay those of P(v)."""
    rbm = machine(*layers, seed=1, scale=3.0)
    states = rbm.visible_space.states(torch.arange(rbm.visible_space.n_states))
    p = rbm.probabilities()
    chains = initial_chains(rbm, 8_000, HERE, hm.sample(rbm, 8_000, seed=5))
    v = BlockGibbs(sweeps=200)(rbm, chains).visible.double()
    pairs = torch.triu_indices(v.shape[1], v.shape[1])

    def moments(x):
        x = x.double()
        return torch.cat([x, x[:, pairs[0]] * x[:, pairs[1]]], 1)

    exact = p @ moments(states)
    error = ((p @ moments(states) ** 2 - exact**2).clamp(min=0) / len(v)).sqrt()
    worst = (moments(v).mean(0) - exact).abs() / error.clamp(min=1e-9)
    # a moment that is constant, such as x_i x_i of spins, has no error to speak of
    assert (worst[error > 1e-9] <= z_threshold(comparisons=len(worst))).all()
