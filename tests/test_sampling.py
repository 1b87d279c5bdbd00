"""Chains keep the exact distribution, conditionals are conditionals, draws depend on their addresses only."""

import math

import numpy as np
import pytest
import torch

import harmonium as hm
from goodness import assert_counts, assert_means
from harmonium.models import Interpolation, PairwiseModel
from harmonium.random import Address, Purpose
from harmonium.sampling import BlockGibbs, Chains, Clamp, default_kernel, initial_chains
from registry import DOUBLE, PAIRS, address, build, exact, layer, uniforms

CHAINS = 10_000
SWEEPS = 4
ROUNDING = {"rtol": 1e-10, "atol": 1e-10}  # a matrix product may round differently with the number of rows


def name(pair):
    return "-".join(pair)


def run(model, chains, sweeps=SWEEPS, clamp=None):
    return BlockGibbs(clamp, sweeps)(model, chains)


def exact_chains(table, seed=1, chains=CHAINS):
    """Chains that start from the exact joint distribution: quadrature nodes stand for continuous states.

    The mean of a smooth function after k sweeps is then its quadrature under the stationary distribution.
    """
    cumulative = table.p.flatten().cumsum(0)
    u = uniforms(900 + seed, chains)[:, 0] * cumulative[-1]
    index = torch.searchsorted(cumulative, u).clamp(max=table.p.numel() - 1)
    v, h = table.v.states[index // len(table.h.states)], table.h.states[index % len(table.h.states)]
    return Chains((v, h), Address(seed, Purpose.CHAIN))


def assert_stationary(table, chains, comparisons=None):
    """The means of all states, of their products and of the energy, against the table."""
    v, h, p = table.v.states, table.h.states, table.p
    a, b = chains.state
    pv, ph = p.sum(1), p.sum(0)
    exact_vh, square_vh = v.T @ p @ h, (v**2).T @ p @ (h**2)
    upper_v, upper_h = torch.triu_indices(*[v.shape[1]] * 2), torch.triu_indices(*[h.shape[1]] * 2)

    def products(x, upper):
        return torch.cat([x, x[:, upper[0]] * x[:, upper[1]]], 1)

    statistics = [(torch.einsum("ni,nj->nij", a, b).mean(0), exact_vh, square_vh)]
    for x, states, marginal, upper in ((a, v, pv, upper_v), (b, h, ph, upper_h)):
        of_states = products(states, upper)
        statistics.append((products(x, upper).mean(0), marginal @ of_states, marginal @ of_states**2))
    mean_energy = (p * table.energy).sum()
    energies = table.rbm.energy(a, b).detach()
    statistics.append((energies.mean()[None], mean_energy[None], (p * table.energy**2).sum()[None]))
    count = comparisons or sum(s[0].numel() for s in statistics)
    for mean, expected, square in statistics:
        assert_means(mean, expected, (square - expected**2).clamp(min=0).sqrt(), len(a), count)


# ---------------------------------------------------------------- the distribution
@pytest.mark.parametrize("names", PAIRS, ids=name)
def test_chains_from_the_exact_distribution_show_no_drift(names):
    table = exact(build(*names))
    start = exact_chains(table)
    assert_stationary(table, run(table.rbm, start))


@pytest.mark.parametrize(
    "names", [("Bernoulli", "Bernoulli"), ("Spin", "Categorical"), ("Binomial", "Spin")], ids=name
)
def test_no_drift_of_any_joint_state(names):
    table = exact(build(*names))
    a, b = run(table.rbm, exact_chains(table, 2), 6).state
    states = (
        {tuple(s): k for k, s in enumerate(table.v.states.tolist())},
        {tuple(s): k for k, s in enumerate(table.h.states.tolist())},
    )
    counts = np.zeros(table.p.shape)
    for x, y in zip(a.tolist(), b.tolist(), strict=True):
        counts[states[0][tuple(x)], states[1][tuple(y)]] += 1
    assert_counts(counts, CHAINS, table.p.numpy())


@pytest.mark.parametrize("names", [("Bernoulli", "Spin"), ("Gaussian", "ReLU"), ("Mixed", "DReLU")], ids=name)
def test_a_point_of_a_path_has_its_own_stationary_distribution(names):
    # both ends are the same energy but for a factor, so that the table of one serves all temperatures
    table = exact(build(*names))
    model = Interpolation(table.rbm, table.rbm, 0.3)
    assert_stationary(table, run(model, exact_chains(table, 3)))
    each = torch.linspace(0, 1, CHAINS, dtype=DOUBLE)[:, None]
    assert_stationary(table, run(model.at(each), exact_chains(table, 4)))


@pytest.mark.parametrize(
    "names", [("Bernoulli", "Bernoulli"), ("Categorical", "Gaussian"), ("MixedCounts", "Binomial")], ids=name
)
def test_clamped_chains_draw_from_the_conditional(names):
    table = exact(build(*names))
    v, p = table.v.states, table.p
    held = torch.zeros(v.shape[1], dtype=torch.bool)
    held[: 3 if names[0] == "Categorical" else 1] = True
    k = int(p.sum(1).argmax())
    same = (v[:, held] == v[k, held]).all(1)
    conditional = p * same[:, None]
    conditional = conditional / conditional.sum()
    clamp = Clamp(held, torch.where(held, v[k], math.nan))
    cumulative = conditional.flatten().cumsum(0)
    index = torch.searchsorted(cumulative, uniforms(950, CHAINS)[:, 0]).clamp(max=p.numel() - 1)
    start = Chains((v[index // p.shape[1]], table.h.states[index % p.shape[1]]), Address(5, Purpose.CLAMP))
    ended = run(table.rbm, start, SWEEPS, clamp)
    assert bool((ended.visible[:, held] == v[k, held]).all())
    marginal = conditional.sum(1)
    mean = marginal @ v
    assert_means(ended.visible.mean(0), mean, (marginal @ v**2 - mean**2).clamp(min=0).sqrt(), CHAINS)


def transition(table, keep):
    """The matrix of a sweep between the visible states in `keep`, given that the chain stays in them."""
    given_v = table.p / table.p.sum(1, keepdim=True)
    given_h = table.p[keep] / table.p[keep].sum(0)
    return given_v[keep] @ given_h.T


@pytest.mark.parametrize(
    "names", [("Bernoulli", "Bernoulli"), ("Spin", "Gaussian"), ("Categorical", "Poisson")], ids=name
)
@pytest.mark.parametrize("per_row", [False, True])
def test_samples_given_a_part_of_a_row(names, per_row):
    table, n = exact(build(*names)), 4000
    v, width = table.v.states, 3 if names[0] == "Categorical" else 1
    given = torch.full((v.shape[1],), math.nan, dtype=DOUBLE)
    given[:width] = v[-1, :width]
    keep = (v[:, :width] == v[-1, :width]).all(1)
    marginal = table.p.sum(1)[keep]
    marginal = marginal / marginal.sum()
    sweeps = 40
    # the later half of the chain runs at the model itself: its distance from the conditional is at most this
    half = torch.linalg.matrix_power(transition(table, keep), sweeps // 2)
    assert float((half - marginal).abs().sum(1).max()) < 1e-4
    found = hm.sample(table.rbm, n, given.expand(n, -1) if per_row else given.numpy(), seed=3, sweeps=sweeps)
    assert found.dtype == DOUBLE and table.rbm.visible.violation(found) is None
    counts = [int((found == s).all(1).sum()) for s in v[keep]]
    assert sum(counts) == n
    assert_counts(counts, n, marginal.numpy())


@pytest.mark.parametrize(
    "names",
    [("Bernoulli", "Gaussian"), ("Categorical", "Spin"), ("Poisson", "Bernoulli"), ("Mixed", "Spin")],
    ids=name,
)
def test_exact_samples(names):
    table = exact(build(*names))
    v, p = table.v.states, table.p.sum(1)
    found = hm.sample(table.rbm, CHAINS, seed=8)
    assert table.rbm.visible.violation(found) is None
    mean = p @ v
    assert_means(found.mean(0), mean, (p @ v**2 - mean**2).sqrt(), CHAINS)
    if len(v) < 20:
        assert_counts([int((found == s).all(1).sum()) for s in v], CHAINS, p.numpy())
    product = (v[:, 0] * v[:, -1]) @ p
    spread = ((v[:, 0] * v[:, -1]) ** 2 @ p - product**2).sqrt()
    assert_means((found[:, 0] * found[:, -1]).mean(), product, spread, CHAINS)


@pytest.mark.parametrize("names", [("Bernoulli", "Bernoulli"), ("Categorical", "ReLU")], ids=name)
def test_annealed_samples(names):
    table, n, sweeps = exact(build(*names)), 4000, 40
    p = table.p.sum(1)
    half = torch.linalg.matrix_power(transition(table, slice(None)), sweeps // 2)
    assert float((half - p).abs().sum(1).max()) < 1e-4
    found = hm.sample(table.rbm, n, seed=4, sweeps=sweeps)
    assert_counts([int((found == s).all(1).sum()) for s in table.v.states], n, p.numpy())


@pytest.mark.parametrize("sweeps", [1, 6, 7])
def test_short_annealed_chains_are_where_the_path_leads_them(sweeps):
    rbm = build("Bernoulli", "Spin")
    with torch.no_grad():
        rbm.weight.mul_(40.0)
    table, n = exact(rbm), 20_000
    coupling = table.v.states @ rbm.weight.detach() @ table.h.states.T
    log_p = (-table.energy - coupling).logsumexp(1)  # without couplings, where chains start
    distribution, heating = torch.softmax(log_p, 0), sweeps // 2
    for k in range(sweeps):
        beta = min(1.0, (k + 1) / heating) if heating else 1.0
        joint = torch.exp(-table.energy - (1 - beta) * coupling)
        distribution = distribution @ (joint / joint.sum(1, keepdim=True)) @ (joint / joint.sum(0)).T
    found = hm.sample(rbm, n, seed=6, sweeps=sweeps)
    assert_counts([int((found == s).all(1).sum()) for s in table.v.states], n, distribution.numpy())


def test_annealed_samples_find_both_modes():
    # two opposite patterns behind a barrier of 2·6·6·0.4 = 29 nats; annealing meets them before it rises
    rbm = hm.RBM(hm.Spin(6), hm.Spin(6), dtype=DOUBLE)
    with torch.no_grad():
        rbm.weight.fill_(0.4)
    up = hm.sample(rbm, 400, seed=2, sweeps=200).mean(1) > 0
    assert_counts([int(up.sum())], 400, [0.5])


# ---------------------------------------------------------------- addresses
@pytest.mark.parametrize("names", PAIRS, ids=name)
def test_a_chain_does_not_know_its_neighbours(names):
    rbm = build(*names)
    here = address(21).at(chain=50)
    many = initial_chains(rbm, 40, here)
    few = initial_chains(rbm, 10, here)
    later = initial_chains(rbm, 5, here.at(chain=70))
    for many_state, few_state, later_state in zip(
        run(rbm, many).state, run(rbm, few).state, run(rbm, later).state, strict=True
    ):
        torch.testing.assert_close(many_state[:10], few_state, **ROUNDING)
        torch.testing.assert_close(many_state[20:25], later_state, **ROUNDING)


@pytest.mark.parametrize(
    "names", [("Bernoulli", "Bernoulli"), ("Mixed", "DReLU"), ("MixedCounts", "Spin")], ids=name
)
def test_a_chain_is_a_function_of_its_seed_and_its_time(names):
    rbm = build(*names)
    start = initial_chains(rbm, 20, address(22))
    whole = run(rbm, start, 7)
    again = run(rbm, run(rbm, initial_chains(rbm, 20, address(22)), 3), 4)
    assert whole.address.step == again.address.step == start.address.step + 7
    assert all(torch.equal(x, y) for x, y in zip(whole.state, again.state, strict=True))
    other = run(rbm, initial_chains(rbm, 20, address(23)), 7)
    assert not torch.equal(whole.visible, other.visible)
    for sweeps in (10,) if names[1] == "DReLU" else (None, 10):
        samples = hm.sample(rbm, 9, seed=5, sweeps=sweeps)
        assert torch.equal(samples, hm.sample(rbm, 9, seed=5, sweeps=sweeps))
        torch.testing.assert_close(samples[:4], hm.sample(rbm, 4, seed=5, sweeps=sweeps), **ROUNDING)
        assert not torch.equal(samples, hm.sample(rbm, 9, seed=6, sweeps=sweeps))


@pytest.mark.parametrize("names", PAIRS, ids=name)
def test_chains_in_float32_follow_those_in_float64(names):
    double = build(*names)
    single = build(*names, dtype=torch.float32)
    chains = 200
    ends = [run(rbm, initial_chains(rbm, chains, address(24)), 10).state for rbm in (single, double)]
    for x, y in zip(*ends, strict=True):
        assert x.dtype == torch.float32
        same = ((x.double() - y).abs() <= 1e-3 * (1 + y.abs())).all(1)
        # a discrete draw differs where its uniform falls within rounding, 1e-6, of a threshold
        assert int(same.sum()) >= chains - 2


def test_no_two_draws_of_a_sweep_share_a_uniform():
    rbm = hm.RBM(hm.Mixed(*(hm.Gaussian(n) for n in (1, 5, 2))), hm.Mixed(hm.Gaussian(3), hm.Gaussian(1)))
    with torch.no_grad():
        rbm.weight.zero_()
    chains = BlockGibbs()(rbm, initial_chains(rbm, 30, address(25)))
    values = torch.cat([*chains.state, *rbm.random_state(30, address(26).at(unit=400))], 1)
    assert len(values.unique()) == values.numel()


def test_blocks_live_at_the_unit_of_their_address():
    rbm = build("Mixed", "Spin")
    here = address(1).at(unit=40)
    first, second = rbm.block_address(0, here).unit, rbm.block_address(1, here).unit
    assert first == 40 and second == 40 + rbm.visible.unit_numbers == 52


# ---------------------------------------------------------------- contracts
def test_kernels_leave_their_input_alone():
    rbm = build("Bernoulli", "Gaussian")
    start = initial_chains(rbm, 5, address(30))
    before = [x.clone() for x in start.state]
    kernel = default_kernel(rbm, Clamp(torch.tensor([True, False, False]), torch.ones(3)))
    end = kernel(rbm, start)
    assert all(torch.equal(x, y) for x, y in zip(start.state, before, strict=True))
    assert len(end) == 5 and not any(x.requires_grad for x in end.state)
    assert end.address.step == start.address.step + 1
    assert bool((end.visible[:, 0] == 1).all())


def test_a_clamp_may_differ_from_chain_to_chain():
    rbm = build("Spin", "Bernoulli")
    held = uniforms(31, 50, 3) < 0.5
    values = torch.where(held, 1.0, math.nan).double()
    end = run(rbm, initial_chains(rbm, 50, address(31)), 3, Clamp(held, values))
    assert bool((end.visible[held] == 1).all()) and not bool((end.visible[~held] == 1).all())
    given = hm.sample(rbm, 50, values, seed=1)
    assert bool((given[held] == 1).all()) and rbm.visible.violation(given) is None


def test_chains_start_from_data():
    rbm = build("Categorical", "Spin")
    rows = layer("Categorical").states(torch.arange(9)).double()
    assert torch.equal(initial_chains(rbm, 9, address(1), rows).visible, rows)
    some = initial_chains(rbm, 2000, address(1), rows).visible
    assert_counts([int((some == r).all(1).sum()) for r in rows], 2000, np.full(9, 1 / 9))


def test_one_layer_alone_is_sampled_exactly():
    units = layer("MixedCounts")
    found = hm.sample(PairwiseModel(units), CHAINS, seed=1)
    field = units.bias.detach()[None]
    assert_means(found.mean(0), units.mean(field)[0], units.variance(field)[0].sqrt(), CHAINS)


NAN = math.nan
WRONG_GIVEN = [
    ("Bernoulli", [0.5, NAN, NAN], r"^given: values must be 0 or 1"),
    ("Bernoulli", [math.inf, NAN, NAN], r"^given: values must be 0 or 1"),
    ("Bernoulli", [1.0, NAN], r"^given: expected shape \(3,\) or \(4, 3\) with NaN where free, got \(2,\)"),
    (
        "Bernoulli",
        [[1.0, NAN, NAN]] * 3,
        r"^given: expected shape \(3,\) or \(4, 3\) with NaN where free, got \(3, 3\)",
    ),
    ("Spin", [0.0, NAN, NAN], r"^given: values must be -1 or \+1"),
    ("ReLU", [-1.0, NAN], r"^given: values must be finite and at least 0"),
    ("Categorical", [1.0, 1, 0, NAN, NAN, NAN], r"^given: every 3 columns of a site must hold a single 1"),
    (
        "Categorical",
        [0.0, NAN, NAN, 0, 0, 1],
        r"^given: the 3 columns of a site must be given or free together",
    ),
    (
        "Mixed",
        [NAN, 1.0, NAN, NAN, 0.3],
        r"^given: columns 1 to 3: the 3 columns of a site must be given or free",
    ),
    (
        "Mixed",
        [NAN, NAN, NAN, NAN, math.inf],
        r"^given: values must be finite \(Gaussian units\), got inf in row 0, column 4",
    ),
]


@pytest.mark.parametrize(("visible", "given", "words"), WRONG_GIVEN)
def test_wrong_given_values_are_refused(visible, given, words):
    rbm = build(visible, "Spin")
    for kind in (torch.tensor, np.array):
        with pytest.raises(ValueError, match=words):
            hm.sample(rbm, 4, kind(given))


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        ({"n": 0}, ValueError, "^n must be an integer of at least 1, got 0"),
        ({"n": 3, "seed": -1}, ValueError, "^seed must be"),
        ({"n": 3, "sweeps": 0}, ValueError, "^sweeps must be an integer of at least 1, got 0"),
    ],
)
def test_wrong_arguments_are_refused(arguments, kind, words):
    with pytest.raises(kind, match=words):
        hm.sample(build("Spin", "Spin"), **arguments)


def test_a_clamp_is_checked():
    with pytest.raises(ValueError, match="^clamp: expected boolean"):
        Clamp(torch.ones(3), torch.ones(3))
    with pytest.raises(ValueError, match="^clamp: expected boolean"):
        Clamp(torch.ones(3, dtype=torch.bool), torch.ones(4))
