"""The RBM against its joint distribution written out as a table, for every feasible pair of unit types."""

import copy
import math

import pytest
import torch

import harmonium as hm
import rbm_in_one_file as plain
from goodness import assert_distribution
from harmonium.models import BlockModel, Interpolation, PairwiseModel, independent
from harmonium.models.enumeration import cheapest_block, log_sum_over_states, marginal_states
from registry import (
    DOUBLE,
    FINITE,
    PAIRS,
    address,
    build,
    exact,
    joint_energy,
    layer,
    uniforms,
)

CLOSE = {"rtol": 1e-7, "atol": 1e-9}
EXACT = {"rtol": 1e-11, "atol": 1e-11}
ROUGH = {"rtol": 1e-5, "atol": 1e-5}  # where the quadrature was made for another model


def name(pair):
    return "-".join(pair)


@pytest.fixture(scope="module", params=PAIRS, ids=name)
def pair(request):
    """One pair at a time, its table shared by all tests."""
    return exact(build(*request.param))


@pytest.fixture(scope="module", params=[p for p in PAIRS if p[0] in FINITE or p[1] in FINITE], ids=name)
def summable(request):
    """The pairs with one side to enumerate."""
    return exact(build(*request.param))


def some_pairs(table, count=40):
    """Numbers of matching visible and hidden states, spread over the table."""
    u = uniforms(77, count, 2)
    return (u[:, 0] * len(table.v.states)).long(), (u[:, 1] * len(table.h.states)).long()


# ---------------------------------------------------------------- energies
def test_energy(pair):
    i, j = some_pairs(pair)
    v, h = pair.v.states[i], pair.h.states[j]
    expected = pair.energy[i, j]
    torch.testing.assert_close(pair.rbm.energy(v, h).detach(), expected, **EXACT)
    torch.testing.assert_close(BlockModel.energy(pair.rbm, v, h).detach(), expected, **EXACT)


def test_free_energy_from_either_side(pair):
    rbm = pair.rbm
    i, j = pair.typical(0), pair.typical(1)
    visible = pair.v.log_measure[i] - torch.logsumexp(pair.log_joint[i], 1)
    hidden = pair.h.log_measure[j] - torch.logsumexp(pair.log_joint[:, j], 0)
    v, h, nothing = pair.v.states[i], pair.h.states[j], torch.empty(len(i), 0, dtype=DOUBLE)
    for found in (rbm.free_energy(v), BlockModel.free_energy(rbm, v), rbm.marginal_energy(1, (v, nothing))):
        torch.testing.assert_close(found.detach(), visible, **CLOSE)
    nothing = torch.empty(len(j), 0, dtype=DOUBLE)
    for found in (rbm.hidden_free_energy(h), rbm.marginal_energy(0, (nothing, h))):
        torch.testing.assert_close(found.detach(), hidden, **CLOSE)


def test_float32_free_energy(pair):
    single = copy.deepcopy(pair.rbm).float()
    double = copy.deepcopy(single).double()
    v = pair.v.states[pair.typical(0)].float()
    found, expected = single.free_energy(v), double.free_energy(v.double())
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)


# ---------------------------------------------------------------- conditionals
def test_conditional_means(pair):
    rbm = pair.rbm
    i, j = pair.typical(0), pair.typical(1)
    given_v = pair.p[i] / pair.p[i].sum(1, keepdim=True)
    given_h = pair.p[:, j] / pair.p[:, j].sum(0)
    found = rbm.hidden_given_visible(pair.v.states[i]).detach()
    torch.testing.assert_close(found, given_v @ pair.h.states, **CLOSE)
    found = rbm.visible_given_hidden(pair.h.states[j]).detach()
    torch.testing.assert_close(found, given_h.T @ pair.v.states, **CLOSE)


@pytest.mark.parametrize("block", [0, 1])
def test_conditional_distributions(pair, block):
    rbm, tables = pair.rbm, (pair.v, pair.h)
    own, other = tables[block], tables[1 - block]
    joint = pair.log_joint if block == 1 else pair.log_joint.T
    for k in pair.typical(1 - block, 4):
        state = other.states[k : k + 1]
        nothing = torch.empty(1, 0, dtype=DOUBLE)
        field = rbm.field(block, (state, nothing) if block == 1 else (nothing, state))
        units = rbm.conditional_units(block)
        log_p = own.states @ field[0] - units.potential(own.states).sum(-1) - units.cumulant(field).sum()
        expected = joint[k] - torch.logsumexp(joint[k], 0) - own.log_measure
        torch.testing.assert_close(log_p.detach(), expected, **CLOSE)


# ---------------------------------------------------------------- the gradient
def exact_loss(pair, rows, weights):
    """The negative log-likelihood of weighted data, from the table alone."""
    energy = joint_energy(pair.rbm, pair.v, pair.h)
    log_joint = pair.v.log_measure[:, None] + pair.h.log_measure - energy
    free = pair.v.log_measure[rows] - torch.logsumexp(log_joint[rows], 1)
    return weights @ free + torch.logsumexp(log_joint.flatten(), 0)


def gradients(rbm):
    found = {key: p.grad.clone() for key, p in rbm.named_parameters()}
    rbm.zero_grad()
    return found


def test_the_surrogate_with_exact_negatives_has_the_exact_gradient(pair):
    rbm, rows = pair.rbm, pair.typical(0)
    weights = uniforms(78, len(rows))[:, 0]
    weights = weights / weights.sum()
    rbm.zero_grad()
    exact_loss(pair, rows, weights).backward()
    expected = gradients(rbm)
    data, p = pair.v.states[rows], pair.p.sum(1)
    ((weights * rbm.free_energy(data)).sum() - (p * rbm.free_energy(pair.v.states)).sum()).backward()
    surrogate = gradients(rbm)
    rbm.accumulate_gradient(data, weights)
    rbm.accumulate_gradient(pair.v.states, -p)
    accumulated = gradients(rbm)
    assert set(expected) == set(surrogate) == set(accumulated) == {key for key, _ in rbm.named_parameters()}
    for key, gradient in expected.items():
        torch.testing.assert_close(surrogate[key], gradient, rtol=1e-6, atol=1e-8)
        torch.testing.assert_close(accumulated[key], surrogate[key], **EXACT)


def test_gradients_accumulate_and_respect_frozen_parameters():
    rbm = build("Gaussian", "ReLU")
    v = uniforms(5, 6, 2)
    rbm.hidden.bias.requires_grad_(False)
    rbm.accumulate_gradient(v, torch.ones(6))
    once = rbm.weight.grad.clone()
    rbm.accumulate_gradient(v, torch.ones(6, dtype=DOUBLE))
    torch.testing.assert_close(rbm.weight.grad, 2 * once)
    assert rbm.hidden.bias.grad is None and rbm.hidden.log_precision.grad is not None
    rbm.hidden.log_precision.requires_grad_(False)
    rbm.visible.log_precision.requires_grad_(False)
    rbm.accumulate_gradient(v, torch.ones(6))


# ---------------------------------------------------------------- log Z
def test_enumeration_of_either_side(summable):
    rbm = summable.rbm
    for block, layers in ((0, rbm.hidden), (1, rbm.visible)):
        if layers.n_states is not None:
            for chunk in (3, 2**14):
                assert log_sum_over_states(rbm, block, chunk) == pytest.approx(
                    summable.log_z, rel=1e-8, abs=1e-9
                )
            states = [s[1 - block] for s, _ in marginal_states(rbm, block, 5)]
            assert len(torch.cat(states).unique(dim=0)) == sum(map(len, states)) == layers.n_states
    block, count = cheapest_block(rbm)
    finite = [x.n_states for x in rbm.layers if x.n_states is not None]
    assert count == min(finite) and rbm.layers[1 - block].n_states == count


def test_nothing_to_enumerate():
    assert cheapest_block(build("Gaussian", "ReLU"))[1] == math.inf
    huge = PairwiseModel(hm.Bernoulli(5000), hm.Gaussian(2), hm.Bernoulli(5000))
    assert cheapest_block(huge)[1] > 2**1000


def test_gaussian_pairs_in_closed_form():
    for seed in (1, 2, 3):
        table = exact(build("Gaussian", "Gaussian", seed))
        assert float(table.rbm.closed_form_log_partition()) == pytest.approx(table.log_z, rel=1e-9)
    assert build("Gaussian", "Bernoulli").closed_form_log_partition() is None


def test_gaussian_integral_of_an_indefinite_form_is_not_a_number():
    rbm = hm.RBM(hm.Gaussian(2), hm.Gaussian(2), dtype=DOUBLE)
    with torch.no_grad():
        rbm.weight.copy_(2.0 * torch.eye(2))  # two negative eigenvalues: the determinant is positive again
    assert rbm.closed_form_log_partition() is None
    assert "infinite" in rbm.reason_not_normalizable()


def test_independent_units_in_closed_form(pair):
    alone = independent(pair.rbm)
    log_z = 0.0
    for t, units in ((pair.v, pair.rbm.visible), (pair.h, pair.rbm.hidden)):
        log_p = t.log_measure - t.potential(units) + t.states @ units.bias
        log_z += torch.logsumexp(log_p, 0).item()
    assert alone.closed_form_log_partition().item() == pytest.approx(log_z, rel=1e-7, abs=1e-9)
    assert [id(p) for p in alone.parameters()] == [
        id(p) for k, p in pair.rbm.named_parameters() if k != "weight"
    ]


def test_a_single_block_is_a_model_too():
    units = layer("Spin")
    model = PairwiseModel(units)
    v = units.states(torch.arange(8)).double()
    torch.testing.assert_close(model.free_energy(v), units.energy(v))
    log_z = torch.logsumexp(-units.energy(v), 0).item()
    assert log_sum_over_states(model, 0) == pytest.approx(log_z, rel=1e-12)
    assert float(model.closed_form_log_partition()) == pytest.approx(log_z, rel=1e-12)
    assert hm.sample(model, 7).shape == (7, 3)


def kaufman(size, coupling):
    """log Z of the Ising torus with size² spins (Kaufman 1949)."""
    n = size

    def gamma(k):
        if k == 0:
            return 2 * coupling + math.log(math.tanh(coupling))
        return math.acosh(math.cosh(2 * coupling) / math.tanh(2 * coupling) - math.cos(math.pi * k / n))

    products = []
    for function in (lambda x: 2 * math.cosh(x), lambda x: 2 * math.sinh(x)):
        for first in (1, 0):
            products.append(math.prod(function(n * gamma(k) / 2) for k in range(first, 2 * n, 2)))
    return math.log(0.5) + n * n / 2 * math.log(2 * math.sinh(2 * coupling)) + math.log(sum(products))


def torus(size, coupling, kind):
    """The Ising torus as an RBM: black sites visible, white ones hidden."""
    black = [(i, j) for i in range(size) for j in range(size) if (i + j) % 2 == 0]
    white = [(i, j) for i in range(size) for j in range(size) if (i + j) % 2 == 1]
    rbm = hm.RBM(kind(len(black)), kind(len(white)), dtype=DOUBLE)
    with torch.no_grad():
        rbm.weight.zero_()
        for a, (i, j) in enumerate(black):
            for near in ((i + 1, j), (i - 1, j), (i, j + 1), (i, j - 1)):
                rbm.weight[a, white.index((near[0] % size, near[1] % size))] += coupling
        if kind is hm.Bernoulli:  # s = 2x - 1
            rbm.weight.mul_(4)
            rbm.visible.bias.fill_(-8 * coupling)
            rbm.hidden.bias.fill_(-8 * coupling)
    return rbm


@pytest.mark.parametrize("coupling", [0.3, 0.5 * math.log(1 + math.sqrt(2)), 0.6])
def test_the_ising_torus_has_its_known_partition_function(coupling):
    log_z = kaufman(4, coupling)
    for block in (0, 1):
        spins = log_sum_over_states(torus(4, coupling, hm.Spin), block)
        assert spins == pytest.approx(log_z, rel=1e-12)
        bits = log_sum_over_states(torus(4, coupling, hm.Bernoulli), block)
        assert bits == pytest.approx(log_z - 2 * coupling * 16, rel=1e-12)
    assert kaufman(16, 0.3) == pytest.approx(202.38323226, abs=1e-8)


# ---------------------------------------------------------------- points of a path
@pytest.mark.parametrize("names", PAIRS, ids=name)
def test_interpolation(names):
    table, end = exact(build(*names)), build(*names, seed=2)
    start, v, h = table.rbm, table.v, table.h
    i, j = some_pairs(table)
    beta = torch.linspace(0, 1, len(i), dtype=DOUBLE)[:, None]
    other = joint_energy(end, v, h).detach()
    model = Interpolation(start, end, beta)
    mixture = (1 - beta[:, 0]) * table.energy[i, j] + beta[:, 0] * other[i, j]
    torch.testing.assert_close(model.energy(v.states[i], h.states[j]).detach(), mixture, **EXACT)
    for b in (0.0, 0.3, 1.0):
        point = model.at(b)
        energy = (1 - b) * table.energy + b * other
        torch.testing.assert_close(point.energy(v.states[i], h.states[j]).detach(), energy[i, j], **EXACT)
        log_joint = v.log_measure[:, None] + h.log_measure - energy
        for block, rows in ((1, table.typical(0)), (0, table.typical(1))):
            own, own_table = (v, 1) if block == 1 else (h, 0)
            nothing = torch.empty(len(rows), 0, dtype=DOUBLE)
            state = (own.states[rows], nothing) if block == 1 else (nothing, own.states[rows])
            sums = torch.logsumexp(log_joint[rows] if block == 1 else log_joint[:, rows], own_table)
            expected = own.log_measure[rows] - sums
            torch.testing.assert_close(point.marginal_energy(block, state).detach(), expected, **ROUGH)
            # a temperature for each chain is the same chain by chain
            each = model.at(torch.full((len(rows), 1), b, dtype=DOUBLE)).marginal_energy(block, state)
            torch.testing.assert_close(each.detach(), expected, **ROUGH)
            field = (1 - b) * start.field(block, state) + b * end.field(block, state)
            torch.testing.assert_close(point.field(block, state), field, **EXACT)


def test_a_path_trains_neither_of_its_ends_and_keeps_its_shape():
    start, end = build("Spin", "Gaussian"), build("Spin", "Gaussian", 2)
    model = Interpolation(start, end, 0.5)
    assert list(model.parameters()) == []
    assert (model.dtype, model.device) == (end.dtype, end.device)
    with pytest.raises(ValueError, match="^start, end: expected models over the same layers of units"):
        Interpolation(start, build("Spin", "Spin"), 0.5)


def test_a_path_to_a_model_without_z_says_so():
    start, end = build("Gaussian", "Gaussian"), build("Gaussian", "Gaussian", 2)
    assert Interpolation(start, end, 0.5).reason_not_normalizable() is None
    with torch.no_grad():
        end.weight.mul_(20.0)
    assert "infinite" in Interpolation(start, end, 1.0).reason_not_normalizable()


# ---------------------------------------------------------------- the model as an object
@pytest.mark.parametrize(
    ("make", "kind", "words"),
    [
        (lambda a, b: hm.RBM(a, a), ValueError, "^hidden: expected a layer of its own"),
        (
            lambda a, b: hm.RBM(a, b, dtype=torch.float16),
            ValueError,
            "^dtype: expected torch.float32 or torch.float64",
        ),
        (
            lambda a, b: hm.RBM(a, b).free_energy(torch.zeros(2, 4)),
            ValueError,
            r"^v: expected shape \(batch, 3\), got",
        ),
        (
            lambda a, b: hm.RBM(a, b).free_energy(torch.zeros(3)),
            ValueError,
            r"^v: expected shape \(batch, 3\), got",
        ),
        (
            lambda a, b: hm.RBM(a, b).hidden_free_energy(torch.zeros(2, 3)),
            ValueError,
            r"^h: expected shape \(batch, 2\)",
        ),
        (lambda a, b: hm.RBM(a, b).visible_given_hidden(torch.zeros(2, 3)), ValueError, "^h: expected shape"),
        (lambda a, b: hm.RBM(a, b).energy(torch.zeros(2, 3)), ValueError, "^state: expected 2 blocks, got 1"),
        (
            lambda a, b: hm.RBM(a, b).energy(torch.zeros(2, 3), torch.zeros(3, 2)),
            ValueError,
            "^state: expected block 1",
        ),
        (lambda a, b: hm.RBM(a, b, seed=-1), ValueError, "^seed must be"),
    ],
)
def test_wrong_input_is_refused_in_a_sentence(make, kind, words):
    with pytest.raises(kind, match=words) as error:
        make(hm.Spin(3), hm.Gaussian(2))
    assert "\n" not in str(error.value)


def test_initial_weights_are_small_normal_and_addressed():
    rbm = hm.RBM(hm.Bernoulli(300), hm.Spin(200), seed=4)
    assert torch.equal(rbm.weight, hm.RBM(hm.Bernoulli(300), hm.Spin(200), seed=4).weight)
    assert not torch.equal(rbm.weight, hm.RBM(hm.Bernoulli(300), hm.Spin(200), seed=5).weight)
    assert rbm.weight.shape == (300, 200) and rbm.dtype == torch.float32
    assert_distribution(rbm.weight.detach().flatten() / (0.1 / math.sqrt(500)), "norm", comparisons=1)


@pytest.mark.parametrize(
    "names", [("Bernoulli", "Bernoulli"), ("Mixed", "DReLU"), ("Poisson", "Categorical")], ids=name
)
def test_copies_and_moves(names):
    rbm = build(*names)
    v = rbm.visible.sample(rbm.visible.bias.detach().expand(5, -1), address(2)).detach()
    twin = copy.deepcopy(rbm)
    again = build(*names, seed=3)
    again.load_state_dict(rbm.state_dict())
    for other in (twin, again):
        assert torch.equal(other.free_energy(v), rbm.free_energy(v))
    assert str(rbm.config()) == str(twin.config()) and rbm.config()["type"] == "RBM"
    single = twin.float()
    assert single.dtype == torch.float32 and single.free_energy(v).dtype == torch.float32
    # whole numbers of any type are states too
    if names[0] == "Bernoulli":
        assert torch.equal(rbm.free_energy(v.to(torch.uint8)), rbm.free_energy(v))
        assert torch.equal(rbm.free_energy(v.bool()), rbm.free_energy(v))


# ---------------------------------------------------------------- a second opinion
def test_against_the_whole_idea_in_one_file():
    rbm = build("Bernoulli", "Bernoulli")
    reference = plain.RBM(*(p.detach().numpy() for p in (rbm.weight, rbm.visible.bias, rbm.hidden.bias)))
    v = plain.all_states(3)
    h = v[::-1].copy()
    tv, th = torch.from_numpy(v), torch.from_numpy(h)
    for found, expected in (
        (rbm.energy(tv, th), plain.energy(reference, v, h)),
        (rbm.free_energy(tv), plain.free_energy(reference, v)),
        (rbm.hidden_given_visible(tv), plain.hidden_given_visible(reference, v)),
        (rbm.visible_given_hidden(th), plain.visible_given_hidden(reference, h)),
    ):
        torch.testing.assert_close(found.detach(), torch.from_numpy(expected), **EXACT)
    for block in (0, 1):
        assert log_sum_over_states(rbm, block) == pytest.approx(plain.log_partition(reference), rel=1e-12)
    share = plain.equal_shares(v)
    rbm.accumulate_gradient(tv, torch.from_numpy(share))
    for p, expected in zip(
        (rbm.weight, rbm.visible.bias, rbm.hidden.bias), plain.phase(reference, v, share), strict=True
    ):
        torch.testing.assert_close(p.grad, -torch.from_numpy(expected), **EXACT)


def test_a_machine_whose_parts_have_widths_is_more_than_a_matrix_and_biases():
    assert hm.RBM(hm.Bernoulli(2), hm.Bernoulli(2)).matrix_and_biases() is not None
    for units in (hm.Gaussian(2), hm.Mixed(hm.Bernoulli(2), hm.Gaussian(1))):
        assert hm.RBM(units, hm.Bernoulli(2)).matrix_and_biases() is None
