"""Markov random fields learn from rows: gradients, moments, shared potentials, hard constraints."""

import itertools
import math

import networkx as nx
import torch
from torch import nn

import harmonium as hm
from harmonium.models import MarkovRandomField
from harmonium.random import Address, Purpose
from harmonium.sampling import GraphGibbs, initial_chains
from random_fields import random_field
from statistics_budget import z_threshold


def data_of(field, n=300, seed=4):
    return hm.sample(field, n, seed=seed).double()


def learn(field, data, steps, negatives, rate=0.3):
    optimiser = torch.optim.Adam(field.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for step in range(steps):
        optimiser.zero_grad()
        field.accumulate_gradient(data, data.new_full((len(data),), 1 / len(data)))
        negatives(field, step)
        optimiser.step()
        schedule.step()


def moments(field, x):
    place = {name: k for k, name in enumerate(field.variables)}
    found = []
    for scope, table in field.factors:
        index = tuple(x[:, place[v]].long() for v in scope)
        found.append(
            torch.zeros_like(table).index_put_(index, torch.tensor(1 / len(x)).double(), accumulate=True)
        )
    return found


def test_the_exact_gradient_is_that_of_the_likelihood():
    field = random_field(4, variables=4, cliques=4, largest=3)
    data = data_of(field, 20)
    field.accumulate_gradient(data, data.new_full((20,), 1 / 20))
    field.accumulate_expected_gradient(-1.0)
    got = [p.grad.clone() for p in field.parameters()]
    states = torch.tensor(list(itertools.product(*(range(q) for q in field.cardinalities))))
    loss = field.energy(data).mean() + torch.logsumexp(-field.energy(states), 0)
    for g, e in zip(got, torch.autograd.grad(loss, list(field.parameters())), strict=True):
        assert torch.allclose(g, e, atol=1e-12)
    weights = torch.linspace(-1, 1, 20, dtype=torch.float64)
    field.zero_grad()
    field.accumulate_gradient(data, weights)
    by_autograd = torch.autograd.grad((weights * field.energy(data)).sum(), list(field.parameters()))
    for p, e in zip(field.parameters(), by_autograd, strict=True):
        assert torch.allclose(p.grad, e, atol=1e-12)


def test_at_convergence_of_exact_learning_clique_moments_match():
    truth = random_field(2, variables=5, cliques=4, largest=2)
    data = data_of(truth)
    field = MarkovRandomField.from_graph(
        truth.graph, dict(zip(truth.variables, truth.cardinalities, strict=True))
    )
    learn(field, data, 400, lambda model, _: model.accumulate_expected_gradient(-1.0))
    for p, q in zip(field.clique_marginals(), moments(field, data), strict=True):
        assert torch.allclose(p, q, atol=2e-3)


def test_at_convergence_of_sampled_learning_clique_moments_match_within_their_error():
    truth = MarkovRandomField.ising(nx.cycle_graph(6), 0.4, 0.2)
    data = data_of(truth, 2000)
    field = MarkovRandomField.ising(nx.cycle_graph(6), 0.0)
    chains = [initial_chains(field, 1000, Address(3, Purpose.CHAIN))]

    def negatives(model, step):
        chains[0] = GraphGibbs(sweeps=5)(model, chains[0])
        x = chains[0].visible
        model.accumulate_gradient(x, x.new_full((len(x),), -1 / len(x)))

    learn(field, data, 250, negatives, rate=0.05)
    for p, q in zip(field.clique_marginals(), moments(field, data), strict=True):
        # the last steps average the noise of the 1000 chains, sd at most 0.016 each
        assert float((p - q).abs().max()) < z_threshold(48) * 0.5 / math.sqrt(1000)


def test_functions_with_parameters_are_potentials_shared_among_cliques():
    class Smooth(nn.Module):
        """-strength · |difference|, for ordered states."""

        def __init__(self):
            super().__init__()
            self.strength = nn.Parameter(torch.tensor(0.7, dtype=torch.float64))

        def forward(self, x):
            return -self.strength * (x[:, 0] - x[:, 1]).abs()

    smooth = Smooth()
    scopes = [(0, 1), (1, 2), (2, 3)]
    field = MarkovRandomField([4] * 4, [(scope, smooth) for scope in scopes])
    grid = torch.arange(4.0)
    plain = MarkovRandomField([4] * 4, [(s, -0.7 * (grid[:, None] - grid).abs()) for s in scopes])
    assert len(list(field.parameters())) == 1
    assert torch.allclose(field.log_partition(), plain.log_partition(), atol=1e-12)
    assert torch.allclose(field.marginal((0, 3)), plain.marginal((0, 3)), atol=1e-12)
    x = hm.sample(field, 50, seed=1)
    assert torch.allclose(field.energy(x), plain.energy(x))
    plain_moved = plain.sweep((x.double(),), Address(1, Purpose.TRIAL), 3)[0]
    assert torch.equal(field.sweep((x.double(),), Address(1, Purpose.TRIAL), 3)[0], plain_moved)
    field.accumulate_gradient(x, torch.full((50,), 1 / 50).double())
    field.accumulate_expected_gradient(-1.0)
    states = torch.tensor(list(itertools.product(range(4), repeat=4)))
    loss = field.energy(x).mean() + torch.logsumexp(-field.energy(states), 0)
    (expected,) = torch.autograd.grad(loss, list(field.parameters()))
    assert torch.allclose(smooth.strength.grad, expected, atol=1e-12)


def test_zero_potentials_are_not_learned_away():
    forbid = [[0.0, 0.0], [0.0, -math.inf]]
    field = MarkovRandomField([2, 2], [((0, 1), forbid)])
    data = torch.tensor([[0, 1], [0, 0], [0, 1], [1, 0]]).double()
    learn(field, data, 200, lambda model, _: model.accumulate_expected_gradient(-1.0))
    assert torch.allclose(
        field.marginal((0, 1)), torch.tensor([[0.25, 0.5], [0.25, 0.0]]).double(), atol=1e-3
    )
    assert all(bool(torch.isfinite(p).all()) for p in field.parameters())
