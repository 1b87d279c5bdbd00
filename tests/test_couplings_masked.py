"""Couplings with zeros: patterns that stay under every optimiser, and penalties that find them."""

import networkx as nx
import pytest
import torch

import harmonium as hm
from couplings_registry import pattern
from harmonium.couplings import Dense
from harmonium.learning import (
    Average,
    Batches,
    Centring,
    ExactNegatives,
    GradientDescent,
    Learner,
    NaturalGradient,
    Update,
    equally_weighted,
    train,
)
from harmonium.learning.phases import accumulate_phases
from registry import DOUBLE, uniforms


# ---------------------------------------------------------------- masked
@pytest.mark.parametrize("optimiser", ["natural", "centred", "adam"])
def test_zeros_stay_zero_under_every_optimiser(optimiser):
    mask = pattern(6, 4)
    rbm = hm.RBM(hm.Bernoulli(6), hm.Bernoulli(4), couplings=hm.couplings.Masked(mask))
    rows = (uniforms(2, 200, 6) < 0.4).float()
    hm.fit(rbm, rows, steps=50, optimiser=optimiser, weight_decay=0.01)
    assert bool((rbm.weight[~mask] == 0).all()) and bool((rbm.weight[mask] != 0).all())


def test_what_is_written_outside_of_the_pattern_takes_no_part():
    mask = pattern(6, 4)
    rbm = hm.RBM(hm.Bernoulli(6), hm.Bernoulli(4), couplings=hm.couplings.Masked(mask), dtype=DOUBLE)
    v = (uniforms(2, 20, 6) < 0.4).double()
    before = rbm.free_energy(v)
    with torch.no_grad():
        rbm.weight[~mask] = 5.0
    torch.testing.assert_close(rbm.free_energy(v), before)
    torch.testing.assert_close(rbm.bipartite().weight, rbm.coupling.dense())


def test_the_natural_gradient_goes_downhill_within_the_pattern():
    mask = pattern(6, 4)
    rbm = hm.RBM(hm.Bernoulli(6), hm.Bernoulli(4), couplings=hm.couplings.Masked(mask))
    rows = (uniforms(2, 100, 6) < 0.4).float()
    data, negatives = equally_weighted(rows[:50]), equally_weighted(rows[50:])
    phases = accumulate_phases(rbm, data, negatives)
    plain = [p.grad.clone() for p in rbm.parameters()]
    NaturalGradient()(rbm, phases)
    assert sum(float((p.grad * g).sum()) for p, g in zip(rbm.parameters(), plain, strict=True)) > 0
    assert bool((rbm.weight.grad[~mask] == 0).all())


def test_a_graph_is_a_pattern():
    graph = nx.Graph()
    graph.add_nodes_from(["x", "y", "z"], bipartite=0)
    graph.add_nodes_from(["a", "b"], bipartite=1)
    graph.add_edges_from([("a", "x"), ("y", "b"), ("z", "a")])
    expected = [[True, False], [False, True], [True, False]]
    assert hm.couplings.Masked(graph).mask.tolist() == expected
    swapped = hm.couplings.Masked(graph, visible=["z", "y", "x"], hidden=["b", "a"])
    assert swapped.mask.tolist() == [[False, True], [True, False], [False, True]]
    graph.add_edge("x", "y")
    with pytest.raises(ValueError, match="^pattern: expected edges between visible and hidden"):
        hm.couplings.Masked(graph)
    with pytest.raises(ValueError, match="^pattern: expected a graph each of whose nodes"):
        hm.couplings.Masked(graph, visible=["x"], hidden=["a"])


def test_what_is_no_pattern():
    with pytest.raises(ValueError, match="^pattern must hold booleans"):
        hm.couplings.Masked([[0.5, 1.0]])
    with pytest.raises(ValueError, match="^pattern must be a matrix"):
        hm.couplings.Masked([True])
    with pytest.raises(TypeError, match="^visible, hidden: expected with a graph"):
        hm.couplings.Masked([[True]], visible=[0])
    with pytest.raises(
        ValueError, match=r"^couplings: expected a Masked of shape \(3, 2\) for these units, got \(2, 3\)"
    ):
        hm.RBM(hm.Bernoulli(3), hm.Bernoulli(2), couplings=hm.couplings.Masked(torch.ones(2, 3)))
    taken = hm.couplings.Masked(torch.ones(3, 2))
    hm.RBM(hm.Bernoulli(3), hm.Bernoulli(2), couplings=taken)
    with pytest.raises(ValueError, match="another model has taken"):
        hm.RBM(hm.Bernoulli(3), hm.Bernoulli(2), couplings=taken)


def test_a_full_pattern_is_a_dense_coupling():
    rows = (uniforms(2, 200, 6) < 0.4).float()
    full = hm.RBM(hm.Bernoulli(6), hm.Bernoulli(4), couplings=hm.couplings.Masked(torch.ones(6, 4)))
    dense = hm.RBM(hm.Bernoulli(6), hm.Bernoulli(4))
    for rbm in (full, dense):
        hm.fit(rbm, rows, steps=50)
    torch.testing.assert_close(full.weight, dense.weight, rtol=1e-4, atol=1e-5)
    assert isinstance(dense.pair().operator, Dense)


# ---------------------------------------------------------------- sparse
def known_graph(n):
    """A ring of spins with chords, rows drawn from it exactly, and its edges."""
    joint = torch.zeros(n, n)
    for k in range(n):
        joint[k, (k + 1) % n] = joint[(k + 1) % n, k] = 0.5 if k % 2 else -0.4
    truth = hm.BoltzmannMachine.from_couplings(joint, torch.zeros(n), n, units="spin")
    return hm.sample(truth, 2000, seed=3), joint != 0


def test_the_edges_of_a_known_graph_are_found():
    rows, edges = known_graph(10)
    machine = hm.BoltzmannMachine(10, units="spin", lateral="visible", sparse=0.1)
    hm.fit(machine, rows, steps=400)
    found = machine.joint_couplings()[0] != 0
    assert int((edges & ~found).sum()) == 0, "edges missed"
    assert int((found & ~edges).sum()) // 2 <= 2, "edges invented"


def test_the_average_is_zero_where_training_mostly_was():
    rbm = hm.RBM(hm.Bernoulli(2), hm.Bernoulli(2), couplings=hm.couplings.Sparse(0.1))
    average = Average(rbm, horizon=10)
    path = torch.tensor([[[1.0, 0.0], [0.0, 2.0]], [[1.0, 0.0], [0.0, 0.0]], [[4.0, 3.0], [0.0, 0.0]]])
    for k, weight in enumerate(path):
        rbm.weight.data.copy_(weight)
        average(Update(k + 1, rbm, None, None))
    assert torch.equal(average.model.weight, torch.tensor([[2.0, 0.0], [0.0, 0.0]]))
    again = Average(rbm, horizon=10)
    again.load_state_dict(average.state_dict())
    for one in (average, again):
        one(Update(4, rbm, None, None))
    assert torch.equal(average.model.weight, again.model.weight)
    again.restart(rbm)
    again(Update(1, rbm, None, None))
    assert torch.equal(again.model.weight, rbm.weight)


@pytest.mark.parametrize("optimiser", ["centred", "adam"])
@pytest.mark.parametrize("block", [(1, 1), (2, None)])
def test_training_ends_where_the_penalised_likelihood_is_stationary(optimiser, block):
    """At the optimum the gradient of a group is no longer than λ√|g|, and as long where it isn't zero."""
    strength, n = 0.03, 800
    kind = hm.couplings.Sparse(strength, block)
    rbm = hm.RBM(hm.Spin(6), hm.Spin(3), couplings=kind, dtype=DOUBLE)
    rows = known_graph(6)[0][:600].double().numpy()
    kind.take(kind.weight * 30.0)
    centred = optimiser == "centred"
    rate = 0.3 if centred else 0.03
    made = (GradientDescent if centred else torch.optim.Adam)(rbm.parameters(), rate)
    learner = Learner(
        rbm,
        Batches(rows, 600, lambda x, numbers, epoch: x.double()),
        ExactNegatives(),
        made,
        [Centring()] if centred else [],
        lambda step: rate * min(1.0, 2.0 - 1.99 * step / n),
    )
    train(learner, n)
    rbm.zero_grad()
    rbm.accumulate_gradient(torch.from_numpy(rows), torch.full((600,), 1 / 600))
    rbm.accumulate_expected_gradient(-1.0)
    groups, slope = kind.by_groups(rbm.weight.detach()), kind.by_groups(rbm.weight.grad)
    size = (groups.shape[1] * groups.shape[3]) ** 0.5
    norm, steepness = (x.square().sum((1, 3)).sqrt() for x in (groups, slope))
    assert bool((steepness[norm == 0] <= strength * size * 1.01).all())
    torch.testing.assert_close(
        steepness[norm > 0], torch.full_like(steepness[norm > 0], strength * size), rtol=0.02, atol=0
    )
    assert bool((norm == 0).any()) or block != (1, 1)


def test_a_strength_that_is_too_large_leaves_nothing():
    rbm = hm.RBM(hm.Bernoulli(6), hm.Bernoulli(4), couplings=hm.couplings.Sparse(5.0))
    hm.fit(rbm, (uniforms(2, 200, 6) < 0.4).float(), steps=40)
    assert bool((rbm.weight == 0).all())
