"""An update of a small machine in one compiled call: bit for bit that of sampling and phases apart."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

import harmonium as hm
from harmonium.kernels import processor
from harmonium.learning import (
    Batches,
    Centring,
    GradientDescent,
    Learner,
    NaturalGradient,
    PersistentChains,
    WeightDecay,
)
from harmonium.sampling import BlockGibbs, Chains

pytestmark = pytest.mark.skipif(processor.path() != "wide", reason="only the path `wide` has such a call")
PAIRS = {
    "bernoulli": (lambda: hm.Bernoulli(64), lambda: hm.Bernoulli(128)),
    "narrow": (lambda: hm.Bernoulli(4), lambda: hm.Bernoulli(3)),
    "spin": (lambda: hm.Spin(33), lambda: hm.Bernoulli(70)),
    "categorical": (lambda: hm.Categorical(7, 5), lambda: hm.Spin(20)),
}


def learner(pair, kernel=None, transforms=(Centring,), k=1, weights=None):
    """One of 50 rows and 70 chains; given its kernel it takes the steps apart."""
    rbm = hm.RBM(*(layer() for layer in PAIRS[pair]), seed=2)
    rows = rbm.random_state(300, hm.random.Address(1, hm.random.Purpose.TRIAL))[0]
    batches = Batches(rows, 50, lambda v, numbers, epoch: v, weights)
    optimiser = GradientDescent(rbm.parameters(), lr=0.05)
    made = [transform() for transform in transforms]
    return Learner(rbm, batches, PersistentChains(70, k, kernel=kernel), optimiser, made)


def numbers(done):
    """Parameters and chains."""
    return [p.detach() for p in done.model.parameters()] + list(done.negatives.chains.state)


def assert_equal(one, other):
    assert all(torch.equal(x, y) for x, y in zip(numbers(one), numbers(other), strict=True))


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize(
    "transforms", [(), (Centring,), (NaturalGradient,)], ids=["plain", "centred", "natural"]
)
def test_it_makes_the_same_bits(pair, transforms):
    weights = torch.from_numpy(np.random.default_rng(0).uniform(size=300)).float()
    for k, given in ((1, None), (3, weights)):
        fast, apart = (learner(pair, kernel, transforms, k, given) for kernel in (None, BlockGibbs()))
        for step in range(12):
            updates = [x.update(step) for x in (fast, apart)]
            assert torch.equal(updates[0].negatives.v, updates[1].negatives.v)
            assert torch.equal(updates[0].negatives.weights, updates[1].negatives.weights)
        assert_equal(fast, apart)
        assert fast.negatives._repeated._call is not None
        assert apart.negatives._repeated._call is None


def test_parameters_may_move_and_gradients_be_replaced():
    def doubled(model, phases):
        model.weight.grad = 2.0 * model.weight.grad

    fast, apart = (learner("bernoulli", kernel) for kernel in (None, BlockGibbs()))
    for x in (fast, apart):
        x.transforms = [WeightDecay(0.1), doubled, *x.transforms]
    for step in range(9):
        if step == 4:
            for x in (fast, apart):
                x.model.weight.data = x.model.weight.detach().clone()
        if step == 6:
            for x in (fast, apart):
                x.negatives.k = 2
        fast.update(step)
        apart.update(step)
    assert_equal(fast, apart)


def test_chains_may_go_on_elsewhere():
    fast, apart = (learner("bernoulli", kernel) for kernel in (None, BlockGibbs()))
    for step in range(6):
        if step == 3:
            for x in (fast, apart):
                chains = x.negatives.chains
                x.negatives.chains = Chains(chains.state, replace(chains.address, seed=99))
        fast.update(step)
        apart.update(step)
    assert_equal(fast, apart)
    assert fast.negatives._repeated._call is not None


def test_copies_and_states_are_apart_from_what_goes_on():
    first = learner("spin")
    for step in range(3):
        kept = first.update(step).negatives.v
    before, state = kept.clone(), {name: x.clone() for name, x in first.state_dict().items()}
    saved, negatives = first.state_dict(), copy.deepcopy(first.negatives)
    for step in range(3, 6):
        first.update(step)
    assert torch.equal(kept, before)
    assert all(torch.equal(saved[name], x) for name, x in state.items())
    assert negatives._repeated._call is None


def test_frozen_parameters_are_left_alone():
    fast = learner("bernoulli", transforms=())
    fast.model.hidden.bias.requires_grad_(False)
    before = fast.model.hidden.bias.clone()
    for step in range(3):
        fast.update(step)
    assert torch.equal(fast.model.hidden.bias, before)
    assert fast.negatives._repeated._call is None
