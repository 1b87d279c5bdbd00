"""Markov random fields against tables summed outright and closed forms."""

import itertools
import math

import networkx as nx
import numpy as np
import pytest
import torch

import harmonium as hm
from harmonium.models import BoltzmannMachine, MarkovRandomField
from harmonium.models.elimination import best_order
from harmonium.random import Address, Purpose
from random_fields import FIELDS, log_table, random_field

K_CRITICAL = 0.5 * math.log(1 + math.sqrt(2))


def log_sum(table, keep=()):
    gone = [k for k in range(table.ndim) if k not in keep]
    summed = torch.logsumexp(table, gone) if gone else table
    order = sorted(keep)
    return summed.permute([order.index(k) for k in keep])


# -- exact answers -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(12))
def test_log_z_marginals_and_map_of_random_fields_are_those_of_the_table(seed):
    field = random_field(seed, scale=1.0 if seed % 2 else 5.0)
    table = log_table(field)
    p = torch.softmax(table.flatten(), 0).reshape(table.shape)
    log_z = torch.logsumexp(table.flatten(), 0)
    assert abs(float(field.log_partition() - log_z)) < 1e-10 * (1 + abs(float(log_z)))
    for keep in [(0,), (3, 1), (5, 0, 2), tuple(range(6))]:
        expected = p.sum([k for k in range(6) if k not in keep]) if len(keep) < 6 else p
        order = sorted(keep)
        assert torch.allclose(
            field.marginal(keep), expected.permute([order.index(k) for k in keep]), atol=1e-12
        )
    for name, q in field.marginals().items():
        assert torch.allclose(q, p.sum([k for k in range(6) if k != name]), atol=1e-12)
    for (scope, _), q in zip(field.factors, field.clique_marginals(), strict=True):
        assert torch.allclose(q, field.marginal(scope) if scope else torch.ones(()).double(), atol=1e-12)
    best = field.most_probable()
    assert table[tuple(best)] == table.max()
    x = torch.tensor(list(itertools.product(*(range(q) for q in field.cardinalities))))
    assert torch.allclose(field.energy(x).detach(), -table.flatten(), atol=1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_evidence_cuts_the_table(seed):
    field = random_field(seed)
    table = log_table(field)
    given = {1: 0, 4: field.cardinalities[4] - 1}
    cut = table.select(4, given[4]).select(1, given[1])  # variables 0, 2, 3, 5 are left
    assert abs(float(field.log_partition(given) - torch.logsumexp(cut.flatten(), 0))) < 1e-10
    p = torch.softmax(cut.flatten(), 0).reshape(cut.shape)
    assert torch.allclose(field.marginal((5, 0), given), p.sum((1, 2)).T, atol=1e-12)
    assert torch.allclose(field.marginals(given)[3], p.sum((0, 1, 3)), atol=1e-12)
    best = field.most_probable(given)
    assert best[1] == given[1] and best[4] == given[4]
    assert table[tuple(best)] == cut.max()
    rest = field.condition(given)
    assert rest.variables == (0, 2, 3, 5)
    x = torch.zeros(1, 4).long()
    full = torch.tensor([[0, given[1], 0, 0, given[4], 0]])
    assert torch.allclose(rest.energy(x), field.energy(full))


def test_variables_go_by_name():
    field = MarkovRandomField(
        {"rain": 2, "sky": 3, ("a", 1): 2},
        [(("sky", "rain"), torch.arange(6.0).reshape(3, 2)), ((("a", 1),), [0, 1])],
    )
    assert field.variables == ("rain", "sky", ("a", 1))
    assert field.marginal(("rain", "sky")).shape == (2, 3)
    assert field.most_probable({"rain": 0}).tolist() == [0, 2, 1]
    assert set(field.marginals()) == {"rain", "sky", ("a", 1)}


def kaufman(length, coupling):
    """log Z of the square torus (Kaufman 1949)."""
    n = m = length
    gamma = [2 * coupling + math.log(math.tanh(coupling))]
    for k in range(1, 2 * n):
        c = math.cosh(2 * coupling) / math.tanh(2 * coupling) - math.cos(math.pi * k / n)
        gamma.append(math.acosh(c))
    logs = []
    for odd, sign in ((1, 1), (1, -1), (0, 1), (0, -1)):
        terms = [m * g / 2 for g in gamma[odd::2]]
        product = sum(abs(t) + math.log1p(sign * math.exp(-2 * abs(t))) for t in terms)
        parity = math.prod(1 if t > 0 or sign > 0 else -1 for t in terms)
        logs.append((product, parity))
    top = max(value for value, _ in logs)
    total = sum(parity * math.exp(value - top) for value, parity in logs)
    return 0.5 * n * m * math.log(2 * math.sinh(2 * coupling)) - math.log(2) + top + math.log(total)


@pytest.mark.parametrize("length, coupling", [(3, 0.3), (4, 0.6), (6, K_CRITICAL), (7, 0.3)])
def test_ising_tori_have_the_partition_function_of_kaufman(length, coupling):
    field = MarkovRandomField.ising(nx.grid_2d_graph(length, length, periodic=True), coupling)
    exact = kaufman(length, coupling)
    assert abs(float(field.log_partition()) - exact) < 1e-9 * exact
    assert abs(hm.log_partition(field).value - exact) < 1e-9 * exact


def test_kaufmans_formula_gives_the_known_numbers():
    assert abs(kaufman(16, 0.3) - 202.38323226) < 1e-7
    assert abs(kaufman(16, K_CRITICAL) - 238.64225664) < 1e-7


def test_the_ring_has_its_known_partition_function_and_mean():
    ring = MarkovRandomField.ising(nx.cycle_graph(100), 1.0, 0.1)
    assert abs(float(ring.log_partition()) - 115.9884919422) < 1e-9
    assert abs(float(ring.marginal((7,)) @ torch.tensor([-1.0, 1.0]).double()) - 0.5949145396) < 1e-9


def test_ising_couplings_and_fields_by_mapping_by_sequence_and_by_array():
    graph = nx.path_graph(3)
    expected = {(-1, -1, -1): -(0.5 - 0.3) - (-1.0 - 2.0), (1, -1, 1): -(-0.5 + 0.3) - (1.0 + 2.0)}
    fields = {0: 1.0, 2: 2.0}
    for field in (
        MarkovRandomField.ising(graph, {(0, 1): 0.5, (2, 1): -0.3}, fields),
        MarkovRandomField.ising(graph, [0.5, -0.3], [1.0, 0.0, 2.0]),
        MarkovRandomField.ising(np.array([[0, 1], [1, 2]]), [0.5, -0.3], np.array([1.0, 0.0, 2.0])),
        MarkovRandomField.ising(np.array([[0, 1], [1, 2]]), {(1, 0): 0.5, (1, 2): -0.3}, fields),
    ):
        for spins, energy in expected.items():
            x = (torch.tensor([spins]) + 1) // 2
            assert abs(float(field.energy(x).detach()) - energy) < 1e-12


def test_maximal_cliques_become_factors():
    graph = nx.Graph([("a", "b"), ("b", "c"), ("a", "c"), ("c", "d")])
    graph.add_node("e")
    field = MarkovRandomField.from_graph(graph, {"a": 2, "b": 3, "c": 2, "d": 2, "e": 4})
    assert sorted(scope for scope, _ in field.factors) == [("a", "b", "c"), ("c", "d"), ("e",)]
    assert abs(float(field.log_partition()) - math.log(2 * 3 * 2 * 2 * 4)) < 1e-12
    assert nx.utils.graphs_equal(field.graph, graph) or set(field.graph.edges) == set(graph.edges)
    table = {clique: np.full([2] * len(clique), float(k)) for k, clique in enumerate([(0, 1), (1, 2)])}
    for potentials in (table, table.__getitem__):
        path = MarkovRandomField.from_graph(nx.path_graph(3), 2, potentials)
        assert abs(float(path.log_partition()) - (math.log(8) + 1.0)) < 1e-12


def test_hard_constraints_are_accepted_and_named():
    # a path of three sites of which no two neighbours are both 1: five states
    forbid = [[0.0, 0.0], [0.0, -math.inf]]
    field = MarkovRandomField([2, 2, 2], [((0, 1), forbid), ((1, 2), forbid)])
    assert not field.positive
    assert any("Hammersley" in note for note in field.notes)
    assert "Hammersley" in repr(field)
    assert abs(float(field.log_partition()) - math.log(5)) < 1e-12
    assert torch.allclose(field.marginal((1,)), torch.tensor([0.8, 0.2]).double())
    assert float(field.energy(torch.tensor([[1, 1, 0]])).detach()) == math.inf
    assert float(field.log_partition({0: 1, 1: 1})) == -math.inf
    with pytest.raises(ValueError, match="every state has probability zero"):
        field.marginal((2,), {0: 1, 1: 1})
    samples = hm.sample(field, 2000, seed=1)
    assert bool(torch.isfinite(field.energy(samples)).all())
    moved = field.sweep((samples,), Address(1, Purpose.TRIAL), 5)[0]
    assert bool(torch.isfinite(field.energy(moved)).all())
    positive = MarkovRandomField.from_potentials([2, 2], [((0, 1), [[1, 2], [3, 0]])])
    assert abs(float(positive.log_partition()) - math.log(6)) < 1e-12


def test_potentials_of_any_size_neither_overflow_nor_vanish():
    field = MarkovRandomField(
        [2, 2, 2], [((0, 1), [[3000.0, 0.0], [0.0, -3000.0]]), ((1, 2), [[-5000.0, 0], [0, 1000.0]])]
    )
    assert torch.allclose(field.log_partition(), torch.logsumexp(log_table(field).flatten(), 0), rtol=1e-15)
    assert torch.allclose(
        field.marginal((0, 2)), torch.softmax(log_sum(log_table(field), (0, 2)).flatten(), 0).view(2, 2)
    )


def test_empty_and_disconnected_fields_say_what_they_mean():
    nothing = MarkovRandomField([], [])
    assert float(nothing.log_partition()) == 0.0 and "no variables" in nothing.notes[0]
    assert nothing.most_probable().tolist() == []
    uniform = MarkovRandomField.from_graph(nx.empty_graph(3))
    assert abs(float(uniform.log_partition()) - 3 * math.log(2)) < 1e-12
    assert "3 parts" in uniform.notes[0]
    assert "no factors" in MarkovRandomField([2, 2]).notes[0]
    assert abs(float(MarkovRandomField([2, 3]).log_partition()) - math.log(6)) < 1e-12
    two = MarkovRandomField.ising(nx.Graph([(0, 1), (2, 3)]), 0.5)
    assert "2 parts" in two.notes[0] and "product" in two.notes[0]
    assert two.independent([0], [2])
    assert MarkovRandomField.ising(nx.path_graph(3), 0.5).notes == ()
    assert hm.sample(two, 3, sweeps=2).shape == (3, 4)


def test_too_wide_is_refused_with_the_width_and_the_memory():
    field = MarkovRandomField.ising(nx.complete_graph(34), 0.01)
    with pytest.raises(
        ValueError, match=r"34 variables \(width 33.*137 GB, more than the memory_limit of 1.07 GB"
    ):
        field.log_partition()
    assert field.closed_form_log_partition() is None
    field.memory_limit = 2**20
    with pytest.raises(ValueError, match="most_probable: an exact answer"):
        field.most_probable()
    assert hm.sample(field, 3, sweeps=3).shape == (3, 34)


def test_orders_are_never_better_than_the_treewidth_and_good_on_trees_and_grids():
    tree = [(k, (k - 1) // 2) for k in range(1, 63)]
    assert best_order(tree, [3] * 63).width == 1
    grid = list(nx.convert_node_labels_to_integers(nx.grid_2d_graph(8, 8)).edges)
    order = best_order(grid, [2] * 64)
    assert 8 <= order.width <= 10 and sorted(order.variables) == list(range(64))
    kept = best_order(grid, [2] * 64, keep=(3, 40))
    assert sorted(kept.variables) == [v for v in range(64) if v not in (3, 40)]
    assert best_order([(0, 1), (2, 3)], [2] * 5).width == 1


# -- independence --------------------------------------------------------------------------------------------


def test_the_markov_properties_of_the_graph_hold_in_the_numbers():
    graph = nx.Graph([(0, 1), (1, 2), (2, 3), (3, 0), (3, 4)])
    rng = np.random.default_rng(3)
    field = MarkovRandomField.from_graph(graph, 2, lambda clique: rng.normal(size=[2] * len(clique)))
    for property in ("pairwise", "local"):
        statements = list(field.independence_statements(property))
        assert statements
        for a, b, given in statements:
            assert field.independent(a, b, given)
            assert field.dependence(a, b, given) < 1e-12
    assert field.independent([4], [0, 1], [3]) and field.dependence([4], [0, 1], [3]) < 1e-12
    assert field.independent([0], [2], [1, 3]) and field.dependence([0], [2], [1, 3]) < 1e-12
    assert not field.independent([0], [2], [1]) and field.dependence([0], [2], [1]) > 1e-4
    assert not field.independent([0], [4]) and field.dependence([0], [4]) > 1e-5
    assert "0 ⊥ 2 | 1, 3, 4" in [str(s) for s in field.independence_statements("pairwise")]
    with pytest.raises(ValueError, match="overlap"):
        field.independent([0], [0, 1])


# -- Boltzmann machines --------------------------------------------------------------------------------------


@pytest.mark.parametrize("units", ["spin", "bernoulli"])
def test_fields_and_boltzmann_machines_convert_both_ways(units):
    rng = np.random.default_rng(0)
    machine = BoltzmannMachine(3, 2, units=units, dtype=torch.float64)
    with torch.no_grad():
        for p in machine.parameters():
            p.copy_(torch.from_numpy(rng.normal(size=tuple(p.shape))))
    field = MarkovRandomField.from_boltzmann_machine(machine)
    x = torch.tensor(list(itertools.product([0, 1], repeat=5)))
    units_of_x = (2.0 * x - 1 if units == "spin" else x).double()
    energy = machine.energy(units_of_x[:, :3], units_of_x[:, 3:]).detach()
    assert torch.allclose(field.energy(x).detach(), energy, atol=1e-12)
    assert abs(float(field.log_partition()) - hm.log_partition(machine).value) < 1e-12
    back = field.to_boltzmann_machine(hidden=(3, 4), units=units)
    assert torch.allclose(back.energy(units_of_x[:, :3], units_of_x[:, 3:]).detach(), energy, atol=1e-12)
    for p, q in zip(back.joint_couplings(), machine.joint_couplings(), strict=True):
        assert torch.allclose(p, q, atol=1e-12)


def test_any_field_of_binary_pairs_is_a_boltzmann_machine_up_to_a_constant():
    field = FIELDS["pairs"]()
    x = torch.tensor(list(itertools.product([0, 1], repeat=4)))
    for units, values in (("spin", 2.0 * x - 1), ("bernoulli", x)):
        machine = field.to_boltzmann_machine(units=units)
        gap = (machine.energy(values.double()) - field.energy(x)).detach()
        assert torch.allclose(gap, gap[:1].expand(16), atol=1e-12)
    with pytest.raises(ValueError, match="expected variables of two states"):
        FIELDS["tables"]().to_boltzmann_machine()


# -- files and wrong input -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FIELDS)
def test_fields_are_saved_and_loaded(name, tmp_path):
    field = FIELDS[name]()
    hm.save(field, tmp_path / "field.safetensors")
    back = hm.load(tmp_path / "field.safetensors")
    assert torch.equal(back.log_partition(), field.log_partition())
    assert back.variables == field.variables


@pytest.mark.parametrize(
    "cardinalities, factors, message",
    [
        (
            [2, 3],
            [((0, 1), np.zeros((3, 2)))],
            r"factors\[0\]: expected a table of shape \(2, 3\) for the variables \(0, 1\)",
        ),
        ([2, 3], [((0, 2), np.zeros((2, 2)))], r"factors\[0\]: unknown variable 2; the variables are 0, 1"),
        ({"a": 2}, [(("b",), [0, 0])], "unknown variable 'b'; the variables are 'a'"),
        ([2, 2], [((0, 0), np.zeros((2, 2)))], "expected different variables"),
        ([2], [((0,), [math.nan, 0])], "expected log-potentials below inf, got NaN or inf"),
        ([2], [((0,), [math.inf, 0])], "expected log-potentials below inf"),
        ([2, 0], [], r"cardinalities\[1\] must be an integer of at least 1, got 0"),
    ],
)
def test_wrong_factors_are_refused(cardinalities, factors, message):
    with pytest.raises(ValueError, match=message):
        MarkovRandomField(cardinalities, factors)


def test_wrong_kinds_are_refused():
    with pytest.raises(TypeError):
        MarkovRandomField(3)
    with pytest.raises(TypeError, match=r"factors\[0\]: expected \(variables, log-potentials\)"):
        MarkovRandomField([2], [np.zeros(2)])
    with pytest.raises(TypeError, match="expected a tuple of variables"):
        MarkovRandomField([2], [(0, [0, 0])])
    with pytest.raises(TypeError, match="expected a table of log-potentials"):
        MarkovRandomField([2], [((0,), ["a", "b"])])
    with pytest.raises(ValueError, match=r"factors\[0\]: expected finite potentials of at least 0, got -1"):
        MarkovRandomField.from_potentials([2], [((0,), [1.0, -1.0])])
    with pytest.raises(TypeError, match="undirected networkx.Graph"):
        MarkovRandomField.from_graph(nx.DiGraph([(0, 1)]))
    with pytest.raises(ValueError, match="a loop at 1"):
        MarkovRandomField.ising(nx.Graph([(0, 1), (1, 1)]), 1.0)
    with pytest.raises(ValueError, match=r"couplings: \(0, 5\) isn't in the graph"):
        MarkovRandomField.ising(nx.path_graph(3), {(0, 5): 1.0})
    with pytest.raises(ValueError, match="couplings: expected a number for every edge, got none for"):
        MarkovRandomField.ising(nx.path_graph(3), {(0, 1): 1.0})
    with pytest.raises(ValueError, match="couplings: expected a number, a mapping, or 2 numbers"):
        MarkovRandomField.ising(nx.path_graph(3), [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="potentials: expected log-potentials for the clique"):
        MarkovRandomField.from_graph(nx.path_graph(3), 2, {(0, 1): np.zeros((2, 2))})
    with pytest.raises(ValueError, match="a clique of 30 variables has too many states"):
        MarkovRandomField.from_graph(nx.complete_graph(30))


def test_wrong_questions_are_refused():
    field = FIELDS["tables"]()
    with pytest.raises(ValueError, match="variables: unknown variable 9"):
        field.marginal((9,))
    with pytest.raises(ValueError, match="given: unknown variable 'x'"):
        field.log_partition({"x": 0})
    with pytest.raises(ValueError, match=r"given\[0\] must be an integer from 0 to"):
        field.log_partition({0: 99})
    with pytest.raises(ValueError, match="variables: 0 is given"):
        field.marginal((0, 1), {0: 0})
    with pytest.raises(ValueError, match=r"x: expected shape \(batch, 4\)"):
        field.energy(torch.zeros(2, 3))
    with pytest.raises(ValueError, match="x: values of variable 0 must be whole numbers"):
        field.energy(torch.full((1, 4), 7))
    with pytest.raises(ValueError, match="function that returns shape"):
        MarkovRandomField([2, 2], [((0, 1), lambda x: x)]).log_partition()
