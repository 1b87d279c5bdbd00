"""Chains led along a path in one compiled call: the same states and work as step by step."""

import numpy as np
import pytest
import torch

import harmonium as hm
from harmonium import kernels
from harmonium.kernels import processor
from harmonium.models import independent
from harmonium.random import Address, Purpose
from harmonium.sampling import Clamp, segments
from harmonium.sampling.segments import Segment

LAYERS = {
    "bernoulli-bernoulli": (hm.Bernoulli(70), hm.Bernoulli(45)),
    "more hidden": (hm.Bernoulli(45), hm.Bernoulli(70)),
    "wide": (hm.Spin(1030), hm.Bernoulli(33)),
    "spin summed": (hm.Bernoulli(5), hm.Spin(8)),
    "categorical given": (hm.Categorical(11, 21), hm.Spin(32)),
    "categorical summed": (hm.Bernoulli(2), hm.Categorical(300, 5)),
    "many states": (hm.Bernoulli(3), hm.Categorical(4, 400)),
}


@pytest.fixture(params=["matrix", "wide"])
def products(request, monkeypatch):
    if request.param == "matrix" and processor.no_matrix_units():
        pytest.skip("test_matrix_units runs these on emulated units here")
    monkeypatch.setenv("HARMONIUM_PRODUCTS", request.param)


def piece(layers, scale=1.0, dtype=torch.float32):
    """From independent units to a machine of multiples of 1/64, whose fields are exact in any order."""
    rbm = hm.RBM(*layers, dtype=dtype)
    numbers = np.random.default_rng(0)
    with torch.no_grad():
        for p in rbm.parameters():
            p.copy_(torch.from_numpy(np.round(numbers.normal(size=p.shape) * scale * 16) / 64))
    return Segment(independent(rbm), rbm)


def both_ways(steps, rows):
    """Points on the path, multiples of 1/64; every other chain comes back."""
    up = torch.round(torch.linspace(0, 64, steps + 1)) / 64
    betas = up[:, None].repeat(1, rows)
    betas[:, ::2] = betas[:, ::2].flip(0)
    return betas


def assert_as_step_by_step(segment, betas, address):
    start = segment.start.random_state(betas.shape[1], address)
    state, work = segment.lead(start, betas, address.at(step=address.step + 1))
    expected, by_steps = segment.lead_step_by_step(start, betas, address.at(step=address.step + 1))
    for x, y in zip(state, expected, strict=True):
        assert torch.equal(x, y)
    assert torch.allclose(work, by_steps, rtol=2e-6, atol=1e-4)  # the steps add up float32 numbers


@pytest.mark.parametrize("layers", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize("rows", [1, 70])
@torch.no_grad()
def test_states_and_work_are_those_of_single_steps(layers, rows, products, monkeypatch):
    monkeypatch.setattr(segments, "STEPS", 5)  # so that the path takes several calls
    segment = piece(layers, scale=0.5)
    betas = both_ways(12, rows)
    start = segment.start.random_state(rows, Address(0, Purpose.TRIAL))
    assert segment._lead_in_one_call(start, betas, Address(0, Purpose.TRIAL)) is not None
    assert_as_step_by_step(segment, betas, Address(3, Purpose.TRIAL))


@torch.no_grad()
def test_explicit_chains_threads_and_an_end_that_is_the_start(products):
    segment = piece(LAYERS["bernoulli-bernoulli"])
    chains = np.random.default_rng(0).integers(0, 2**32, 300)
    address = Address(2**63 + 5, 3, step=2**40, chain=chains, unit=400)
    before = torch.get_num_threads()
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            assert_as_step_by_step(segment, both_ways(3, 300), address)
    finally:
        torch.set_num_threads(before)
    start = segment.start.random_state(4, Address(0, 1))
    state, work = segment.lead(start, torch.zeros(1, 4), Address(0, 1))
    assert all(x is y for x, y in zip(state, start, strict=True))
    assert torch.equal(work, torch.zeros(4, dtype=torch.float64))


@torch.no_grad()
def test_strong_fields_lose_nothing(products):
    segment = piece((hm.Bernoulli(40), hm.Bernoulli(30)), scale=200.0)
    assert_as_step_by_step(segment, torch.tensor([[0.0], [1.0], [0.5]]).expand(3, 20), Address(1, 2))


@torch.no_grad()
def test_a_nan_shows_in_the_work(products):
    segment = piece(LAYERS["bernoulli-bernoulli"])
    segment.end.weight[3, 5] = torch.nan
    start = segment.start.random_state(8, Address(0, 1))
    assert segment.lead(start, both_ways(2, 8), Address(0, 2))[1].isnan().any()


@torch.no_grad()
def test_everything_else_goes_step_by_step():
    address = Address(0, Purpose.TRIAL)
    others = [
        piece((hm.Bernoulli(4), hm.Bernoulli(3)), dtype=torch.float64),
        piece((hm.Gaussian(4), hm.Bernoulli(3))),
        Segment(*[piece((hm.Bernoulli(4), hm.Bernoulli(3))).end] * 2),
    ]
    clamped = piece((hm.Bernoulli(4), hm.Bernoulli(3)))
    held = torch.tensor([True, False, False, False])
    others.append(Segment(clamped.start, clamped.end, Clamp(held, torch.ones(4))))
    for segment in others:
        start = segment.start.random_state(6, address)
        betas = both_ways(3, 6).to(segment.end.dtype)
        assert segment._lead_in_one_call(start, betas, address) is None
        assert_as_step_by_step(segment, betas, address)


def test_states_that_bfloat16_cannot_hold(monkeypatch):
    if processor.path() != "matrix":
        pytest.skip("test_matrix_units runs this on emulated units here")
    segment = piece((hm.Bernoulli(4), hm.Bernoulli(3)))
    pair = hm.models.path_to(segment.end).at(1.0).bipartite()
    sides = segments.sides_of(segment.end, pair)
    addresses = Address(0, 1), Address(0, 1, unit=4)
    given = torch.full((2, 3), 0.3)
    assert kernels.lead(pair.weight.detach(), sides, 0, given, addresses, both_ways(2, 2)) is None
