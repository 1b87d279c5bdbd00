"""Models of several blocks against their joint distribution, summed over every state."""

import math

import pytest
import torch

from goodness import assert_counts, assert_means
from harmonium.couplings import Coupling, Dense
from harmonium.models import Interpolation, PairwiseModel
from harmonium.models.enumeration import cheapest_block, log_sum_over_states, marginal_states
from harmonium.random import Address, Purpose
from harmonium.sampling import BlockGibbs, Chains
from registry import DOUBLE, address, layer, table, uniforms

NAMES = ("Bernoulli", "Categorical", "MixedCounts")
JOINED = ((0, 1), (0, 2), (1, 2))


class Triangle(PairwiseModel):
    """Three blocks, each coupled to both others."""

    def __init__(self, seed):
        super().__init__(*(layer(name, seed + k) for k, name in enumerate(NAMES)))
        shapes = [(self.layers[i].width, self.layers[j].width) for i, j in JOINED]
        draws = [uniforms(100 * seed + k, *shape) - 0.5 for k, shape in enumerate(shapes)]
        self.weights = torch.nn.ParameterList(draws)

    def couplings(self):
        return [Coupling(Dense(w), i, j) for w, (i, j) in zip(self.weights, JOINED, strict=True)]


def states_and_energies(model):
    """All joint states, one tensor per block, and their energies, from the formula of the class."""
    tables = [table(u) for u in model.layers]
    sizes = [len(t.states) for t in tables]
    index = torch.cartesian_prod(*(torch.arange(n) for n in sizes)).T
    state = tuple(t.states[i] for t, i in zip(tables, index, strict=True))
    energy = sum(
        (t.potential(u) - t.states @ u.bias)[i] for t, u, i in zip(tables, model.layers, index, strict=True)
    )
    for w, (i, j) in zip(model.weights, JOINED, strict=True):
        energy = energy - torch.einsum("ni,ij,nj->n", state[i], w, state[j])
    return state, energy.detach(), sizes


@pytest.fixture(scope="module")
def triangle():
    model = Triangle(1)
    return model, *states_and_energies(model)


def test_energy_and_fields(triangle):
    model, state, energy, _ = triangle
    torch.testing.assert_close(model.energy(*state).detach(), energy, rtol=1e-11, atol=1e-11)
    for block in range(3):
        expected = model.layers[block].bias.expand(len(energy), -1)
        for w, (i, j) in zip(model.weights, JOINED, strict=True):
            if block == i:
                expected = expected + state[j] @ w.T
            if block == j:
                expected = expected + state[i] @ w
        torch.testing.assert_close(model.field(block, state), expected)
    with pytest.raises(ValueError, match="^free_energy: expected a model of one hidden block, got 2"):
        model.free_energy(state[0])


def test_marginals_of_every_block(triangle):
    model, state, energy, sizes = triangle
    log_p = -energy.reshape(sizes)
    log_z = torch.logsumexp(log_p.flatten(), 0).item()
    for block in range(3):
        first = log_p.select(block, 0).flatten()
        rest = tuple(
            torch.empty(len(first), 0, dtype=DOUBLE)
            if k == block
            else x.reshape(*sizes, -1).select(block, 0).flatten(0, 1)
            for k, x in enumerate(state)
        )
        expected = -torch.logsumexp(log_p, block).flatten()
        torch.testing.assert_close(
            model.marginal_energy(block, rest).detach(), expected, rtol=1e-8, atol=1e-8
        )
    # counts have no end, so only their block can be summed in closed form
    assert cheapest_block(model) == (2, 8 * 9)
    for chunk in (7, 2**14):
        assert log_sum_over_states(model, 2, chunk) == pytest.approx(log_z, rel=1e-10)
    walked = torch.cat([torch.cat(s[:2], 1) for s, _ in marginal_states(model, 2, 7)])
    assert len(walked) == len(walked.unique(dim=0)) == 72


def test_a_path_between_two_triangles(triangle):
    model, state, energy, _ = triangle
    other = Triangle(2)
    rows = torch.linspace(0, len(energy) - 1, 200).long()
    some = tuple(x[rows] for x in state)
    beta = torch.linspace(0, 1, 200, dtype=DOUBLE)[:, None]
    mixture = energy[rows] + beta[:, 0] * (other.energy(*some) - energy[rows])
    found = Interpolation(model, other, beta).energy(*some)
    torch.testing.assert_close(found, mixture, rtol=1e-11, atol=1e-11)


def test_sweeps_over_three_blocks_show_no_drift(triangle):
    model, state, energy, _ = triangle
    p, chains = torch.softmax(-energy, 0), 20_000
    index = torch.searchsorted(p.cumsum(0), uniforms(60, chains)[:, 0]).clamp(max=len(p) - 1)
    start = Chains(tuple(x[index] for x in state), Address(3, Purpose.CHAIN))
    end = BlockGibbs(sweeps=4)(model, start)
    for w, (i, j) in zip(model.weights, JOINED, strict=True):
        assert w.shape == (state[i].shape[1], state[j].shape[1])
        products = torch.einsum("ni,nj->nij", state[i], state[j])
        mean = torch.einsum("n,nij->ij", p, products)
        spread = (torch.einsum("n,nij->ij", p, products**2) - mean**2).clamp(min=0).sqrt()
        found = torch.einsum("ni,nj->ij", end.state[i], end.state[j]) / chains
        assert_means(found, mean, spread, chains, comparisons=3 * mean.numel())
    ones = [(end.visible == v).all(1).sum().item() for v in torch.unique(state[0], dim=0)]
    exact = [p[(state[0] == v).all(1)].sum().item() for v in torch.unique(state[0], dim=0)]
    assert_counts(ones, chains, exact)


def test_independent_blocks_know_their_partition_function():
    model = PairwiseModel(*(layer(name) for name in NAMES))
    log_z = 0.0
    for units in model.layers:
        t = table(units)
        log_z += torch.logsumexp(t.log_measure - t.potential(units) + t.states @ units.bias, 0).item()
    assert model.closed_form_log_partition().item() == pytest.approx(log_z, rel=1e-9)
    assert log_sum_over_states(model, 2) == pytest.approx(log_z, rel=1e-9)
    start = model.random_state(5, address(1))
    assert all(math.isfinite(float(x.sum())) for x in start)
    torch.testing.assert_close(
        model.energy(*start).detach(),
        sum(u.energy(x) for u, x in zip(model.layers, start, strict=True)).detach(),
    )
