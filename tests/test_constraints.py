"""Fields with zero potentials: evidence, samples, log Z and rows that they forbid."""

import math

import networkx as nx
import numpy as np
import pytest
import torch

import harmonium as hm
from goodness import assert_counts
from harmonium import likelihood
from harmonium.models.constraints import allowed_state
from registry import address

NAN = math.nan
COPY = [((0,), [0.8, 0.2]), ((0, 1), [[1, 0], [0, 1]]), ((1, 2), [[0.9, 0.1], [0.1, 0.9]])]
N = 4000


def copy_net():
    return hm.MarkovRandomField.from_potentials([2, 2, 2], COPY)


def hard_squares(side, memory=None):
    graph = nx.convert_node_labels_to_integers(nx.grid_2d_graph(side, side))
    field = hm.MarkovRandomField(
        [2] * side**2, [(edge, [[0.0, 0.0], [0.0, -math.inf]]) for edge in graph.edges]
    )
    if memory is not None:
        field.memory_limit = memory
    return field


def test_evidence_is_sampled_exactly_where_single_sites_cannot_move():
    x = hm.sample(copy_net(), N, given=[NAN, NAN, 1], seed=0)
    assert bool((x[:, 0] == x[:, 1]).all()) and bool((x[:, 2] == 1).all())
    assert_counts(int(x[:, 0].sum()), N, 0.18 / 0.26)


def test_rows_of_evidence_are_sampled_each_by_its_own():
    given = np.array([[NAN, NAN, 1], [NAN, NAN, 0], [1, NAN, NAN], [NAN, NAN, NAN]]).repeat(N, 0)
    x = hm.sample(copy_net(), 4 * N, given=given, seed=1).view(4, N, 3)
    counts = [int(x[0, :, 0].sum()), int(x[1, :, 0].sum()), int(x[2, :, 2].sum()), int(x[3, :, 2].sum())]
    assert_counts(counts, N, [0.18 / 0.26, 0.02 / 0.74, 0.9, 0.26])
    assert bool((x[2, :, :2] == 1).all())


def test_evidence_by_name_is_evidence_by_place():
    field = hm.MarkovRandomField.from_potentials({"a": 2, "c": 2}, [(("a", "c"), [[1, 2], [3, 4]])])
    named, placed = (hm.sample(field, 50, given=given, seed=2) for given in ({"c": 1}, [NAN, 1]))
    assert torch.equal(named, placed)
    exact = math.log(2 / 6)
    for given in ({"c": 1}, ["c"], [False, True]):
        found = likelihood.conditional_log_likelihood(field, [[0, 1]], given)
        assert abs(found.value - exact) < 1e-12
    with pytest.raises(ValueError, match="given: row 0 of X has other states than"):
        likelihood.conditional_log_likelihood(field, [[0, 1]], {"c": 0})
    with pytest.raises(ValueError, match="given: unknown variable 'b'"):
        hm.sample(field, 5, given={"b": 1})


@pytest.mark.parametrize("memory", [None, 100])
def test_impossible_evidence_is_refused_in_a_sentence(memory):
    field = copy_net()
    field.memory_limit = memory or field.memory_limit
    given = {0: 0, 1: 1}
    if memory is None:
        assert float(field.log_partition(given)) == -math.inf
        for question in (lambda: field.marginal((2,), given), lambda: field.most_probable(given)):
            with pytest.raises(ValueError, match="every state has probability zero"):
                question()
    for sweeps in (None, 20):
        with pytest.raises(ValueError, match="probability zero"):
            hm.sample(field, 5, given=[0, 1, NAN], sweeps=sweeps)
    with pytest.raises(ValueError, match="given: the values in row 1 have probability zero"):
        hm.sample(copy_net(), 2, given=[[0, NAN, NAN], [0, 1, NAN]])
    with pytest.raises(ValueError, match="given: what row 0 of X gives has probability zero"):
        likelihood.conditional_log_likelihood(copy_net(), [[0, 1, 0]], [True, True, False])
    found = hm.log_likelihood(copy_net(), [[0, 1, 0], [0, 0, 0]])
    assert (found.value, found.low, found.high) == (-math.inf,) * 3
    assert "1 of 2 rows have probability zero, the first of them row 0" in found.warnings[0]


def test_a_general_energy_is_conditioned_by_enumeration():
    class Copy(hm.EnergyModel):
        def energy(self, x):
            return torch.where(x[:, 0] == x[:, 1], -x[:, 0] - 0.5 * x[:, 1] * x[:, 2], math.inf)

    x = hm.sample(Copy(states=[2, 2, 2]), N, given=[NAN, NAN, 1], seed=3)
    assert_counts(int(x[:, 0].sum()), N, 1 / (1 + math.exp(-1.5)))
    with pytest.raises(ValueError, match="given: the values in row 0 have probability zero"):
        hm.sample(Copy(states=[2, 2, 2]), 2, given=[0, 1, NAN])


def test_log_z_under_constraints_too_wide_to_sum_holds_the_exact_one():
    exact = float(hard_squares(3).log_partition())
    field = hard_squares(3, memory=16)
    found = hm.log_partition(field)
    assert found.low <= exact <= found.high and found.high - found.low < 1.0
    annealed = likelihood.annealed_importance_sampling(field, 200, 100)
    assert abs(annealed.value - exact) < 6 * annealed.stderr + 0.05
    x = hm.sample(field, 50, sweeps=40, seed=0)
    assert bool(field.obeys(x).all())
    assert bool(field.obeys(field.random_state(20, address(4))[0]).all())


def test_chains_of_a_rigid_field_begin_at_a_state_that_agrees_with_the_evidence():
    edges = nx.convert_node_labels_to_integers(nx.grid_2d_graph(6, 6)).edges
    field = hm.MarkovRandomField.from_potentials([3] * 36, [(e, np.eye(3)) for e in edges])
    field.memory_limit = 64
    given = torch.full((4, 36), NAN)
    given[0, 0], given[1, 35], given[2, 7] = 1.0, 2.0, 0.0
    x = hm.sample(field, 4, given=given, sweeps=10, seed=0)
    assert bool((x == x[:, :1]).all()) and x[:3, 0].tolist() == [1, 2, 0]
    with pytest.raises(ValueError, match="probability zero"):
        hm.sample(field, 1, given={0: 0, 35: 1})


def test_the_search_finds_a_colouring_and_knows_where_there_is_none():
    differ, u = ~np.eye(3, dtype=bool), np.full(12, 0.4)
    graph = nx.icosahedral_graph()
    four = allowed_state([(e, ~np.eye(4, dtype=bool)) for e in graph.edges], [np.ones(4, bool)] * 12, u)
    assert all(four[a] != four[b] for a, b in graph.edges)
    assert allowed_state([(e, differ) for e in graph.edges], [np.ones(3, bool)] * 12, u) is None


def test_forbidden_rows_are_named():
    field = hm.MarkovRandomField.from_potentials({"a": 2, "b": 2}, [(("a", "b"), [[1, 1], [1, 0]])])
    before = field.energy([[0, 1]])
    with pytest.raises(ValueError, match=r"X: row 1 is forbidden: the factor over \('a', 'b'\)"):
        hm.fit(field, [[0, 1], [1, 1]] * 5, steps=2)
    with pytest.raises(ValueError, match="validation: row 0 is forbidden"):
        hm.fit(field, [[0, 1]] * 5, validation=[[1, 1]], steps=2)
    assert torch.equal(before, field.energy([[0, 1]]))


def test_any_model_is_annealed_or_refused():
    for model in (hm.MarkovRandomField.ising(np.array([[0, 1], [1, 2]]), 1.0), hm.BoltzmannMachine(4, 2)):
        found = likelihood.annealed_importance_sampling(model, 50, 200)
        assert abs(found.value - hm.log_partition(model).value) < 6 * found.stderr + 1e-3
    with pytest.raises(ValueError, match="chains must be an integer of at least 2"):
        likelihood.annealed_importance_sampling(hm.BoltzmannMachine(4, 2), chains=1)


def test_energies_of_arrays_lists_and_frames():
    import pandas as pd

    field = hm.MarkovRandomField({"a": 2, "b": 3}, [(("a", "b"), [[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]])])
    rows = [[1, 2], [0, 1]]
    frame = pd.DataFrame({"b": [2, 1], "a": [1, 0]})
    for x in (rows, np.array(rows), torch.tensor(rows), frame):
        for energy in (field.energy, field.free_energy):
            torch.testing.assert_close(energy(x).detach(), torch.tensor([-0.6, -0.2]).double())
    for x, error in (
        ("ab", TypeError),
        ([1, 2], ValueError),
        ([[1, 9]], ValueError),
        ([[1], [1, 2]], ValueError),
    ):
        with pytest.raises(error, match="x"):
            field.energy(x)


def test_couplings_are_taken_once_and_by_name():
    pair = nx.Graph([("a", "b")])
    with pytest.raises(ValueError, match="couplings: expected every edge once"):
        hm.MarkovRandomField.ising(pair, {("a", "b"): 1.0, ("b", "a"): 2.0})
    with pytest.raises(ValueError, match=r"graph: expected every edge once, got \(0, 1\) and, in row 1"):
        hm.MarkovRandomField.ising(np.array([[0, 1], [1, 0]]), 1.0)
    grid = nx.Graph([((0, 1), (0, 2))])
    with pytest.raises(ValueError, match=r"fields: \(1, 0\) isn't in the graph"):
        hm.MarkovRandomField.ising(grid, 1.0, {(1, 0): 3.0})
    joint = np.array([[0.0, 0.7, 0.0], [0.7, 0.0, -0.2], [0.0, -0.2, 0.0]])
    whole = hm.MarkovRandomField.ising(nx.path_graph(3), joint)
    once = hm.MarkovRandomField.ising(nx.path_graph(3), [0.7, -0.2])
    assert float(whole.log_partition()) == float(once.log_partition())
    with pytest.raises(ValueError, match=r"couplings: \(0, 1\) isn't in the graph"):
        hm.MarkovRandomField.ising(np.array([[1, 2]]), joint)
    with pytest.raises(ValueError, match="nodes in the order 1, 0"):
        hm.MarkovRandomField.ising(nx.Graph([(1, 0)]), 1.0, [0.1, 0.2])
    with pytest.raises(ValueError, match="potentials: .* isn't a maximal clique"):
        hm.MarkovRandomField.from_graph(pair, 2, {("a", "b"): np.zeros((2, 2)), ("a", "c"): np.zeros((2, 2))})
    with pytest.raises(TypeError, match=r"factors\[0\]: expected \(variables, potentials\)"):
        hm.MarkovRandomField.from_potentials([2], [3])


@pytest.mark.parametrize("dtype, rounding", [(np.float64, 1e-10), (np.float32, 1e-6)])
def test_couplings_that_are_symmetric_but_for_rounding_are_taken(dtype, rounding):
    joint = np.array([[0.0, 0.5, 0.0], [0.5, 0.0, 1.0], [0.0, 1.0, 0.0]], dtype)
    nearly = joint.copy()
    nearly[0, 1] += rounding
    machine = hm.BoltzmannMachine.from_couplings(nearly, np.zeros(3, dtype), 2)
    found = machine.joint_couplings()[0]
    assert torch.equal(found, found.T) and np.allclose(found.numpy(), joint, atol=2 * rounding)
    nearly[0, 1] += 1e-3
    with pytest.raises(ValueError, match=r"got 0\.501.* at \(0, 1\) and 0\.5 at \(1, 0\), 0\.001 apart"):
        hm.BoltzmannMachine.from_couplings(nearly, np.zeros(3, dtype), 2)
    with pytest.raises(ValueError, match="couplings: expected none among the visible units"):
        hm.BoltzmannMachine.from_couplings(joint, np.zeros(3, dtype), 2, lateral="none")
