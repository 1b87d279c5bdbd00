"""Columns of several kinds drawn in one call: the same bits as kind by kind, whatever draws them."""

import copy
import threading

import pytest
import torch

import harmonium as hm
from harmonium import kernels
from harmonium.kernels import Group, Mixture, draw_loops, draws, launch, mixture_loops, reference
from harmonium.random import Address
from harmonium.units import Gaussian
from kernel_fields import DTYPES, HERE, same
from registry import DOUBLE, address, scatter
from test_kernels import ADDRESSES, fields

KINDS = [("bernoulli", 1, 7), ("counts", 5, 2), ("categorical", 3, 4), ("uniform", 1, 5), ("spin", 1, 1)]
KINDS += [("categorical", 11, 1), ("counts", 0, 3)]


def mixture(times=1, kinds=KINDS):
    """The columns of each kind's sites, shuffled but for the states of a site."""
    widths = [(size if kind == "categorical" else 1) for kind, size, n in kinds for _ in range(n * times)]
    order = torch.argsort(kernels.uniform(HERE, (1, len(widths)))[0]).tolist()
    starts, start = {}, 0
    for site in order:
        starts[site], start = start, start + widths[site]
    groups, site, unit = [], 0, 0
    for kind, size, n in kinds:
        own = range(site, site + n * times)
        columns = torch.cat([torch.arange(starts[i], starts[i] + widths[i]) for i in own])
        groups.append(Group(kind, size, columns, unit))
        site, unit = site + n * times, unit + 4 * len(columns)
    return Mixture(groups, start)


def awkward(rows, width, dtype):
    field = fields(rows, width, dtype)
    field.view(-1)[::11] = torch.inf
    field.view(-1)[5::13] = -torch.inf
    field.view(-1)[3::37] = torch.nan
    return field


def one_by_one(field, some, at):
    """Each group by the function of its kind."""
    found = torch.empty_like(field)
    for group in some.groups:
        own, here = field[:, group.columns], at.at(unit=at.unit + group.unit)
        if group.kind == "uniform":
            drawn = kernels.uniform(here, tuple(own.shape), field.dtype)
        elif group.kind == "counts":
            drawn = kernels.draw_counts(own.double(), group.size, here).to(field.dtype)
        elif group.kind == "categorical":
            drawn = kernels.draw_categorical(own, group.size, here)
        else:
            drawn = getattr(kernels, f"draw_{group.kind}")(own, here)
        found[:, group.columns] = drawn
    return found


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("where", ADDRESSES.values(), ids=ADDRESSES)
@pytest.mark.parametrize("times", [1, 9, 70])
def test_a_mixture_is_its_groups(times, where, dtype):
    some = mixture(times)
    field = awkward(4, some.width, dtype)
    found = kernels.draw_mixture(field, some, where)
    assert some.plan is not None  # drawn by the loop
    assert same(found, reference.draw_mixture(field, some, where, torch.empty_like(field)))
    assert same(found, one_by_one(field, some, where))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("left_out", range(len(KINDS)))
def test_any_kind_may_be_missing(left_out, dtype):
    some = mixture(2, KINDS[:left_out] + KINDS[left_out + 1 :])
    field = awkward(130, some.width, dtype)
    expected = reference.draw_mixture(field, some, HERE, torch.empty_like(field))
    assert same(kernels.draw_mixture(field, some, HERE), expected)


@pytest.mark.parametrize("rows", [0, 1, 37, 1000])
def test_rows_are_drawn_alike_in_any_layout_and_number(rows):
    some = mixture()
    wide = awkward(rows, 2 * some.width, torch.float32)
    for field in (wide[:, : some.width], wide[:, ::2], wide.T.contiguous().T[:, : some.width]):
        expected = one_by_one(field.contiguous(), some, HERE)
        assert same(kernels.draw_mixture(field, some, HERE), expected)
        if rows > 1:
            parts = field[: rows // 3], field[rows // 3 :]
            chains = 0, rows // 3
            drawn = [
                kernels.draw_mixture(f, some, HERE.at(chain=HERE.chain + c))
                for f, c in zip(parts, chains, strict=True)
            ]
            assert same(torch.cat(drawn), expected)


def test_mixtures_do_not_depend_on_threads():
    some = mixture(3)
    field, before, found = awkward(700, some.width, torch.float32), torch.get_num_threads(), []
    try:
        for number in (1, 2, 3):
            torch.set_num_threads(number)
            found.append(kernels.draw_mixture(field, some, HERE))
    finally:
        torch.set_num_threads(before)
    assert same(found[0], found[1]) and same(found[0], found[2])
    shared, results = mixture(3), [None] * 8  # its plan is made by whichever thread comes first

    def draw(k):
        results[k] = kernels.draw_mixture(field, shared, HERE)

    threads = [threading.Thread(target=draw, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(same(found[0], x) for x in results)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", [1, 3, 16, 64])
def test_short_rows_are_the_same_by_either_loop(width, dtype, monkeypatch):
    field, loop = awkward(300, width, dtype), draws._MIXED[dtype]
    found = []
    for used in (set(), {loop}):
        monkeypatch.setattr(draws, "_used", used)
        found.append(
            [
                kernels.uniform(HERE, (300, width), dtype),
                kernels.draw_bernoulli(field, HERE),
                kernels.draw_spin(field, HERE),
                kernels.draw_categorical(field, width, HERE),
                kernels.draw_bernoulli(field, HERE, out=field.clone()),
            ]
        )
    for a, b in zip(*found, strict=True):
        assert same(a, b)
    assert same(found[1][1], reference.draw_bernoulli(field, HERE, torch.empty_like(field)))


def test_which_loop_draws(monkeypatch):
    some, run, drawn = mixture(), [], launch.run
    field = torch.zeros(50, some.width)
    monkeypatch.setattr(launch, "run", lambda loop, *job: (run.append(loop), drawn(loop, *job)))
    monkeypatch.setattr(draws, "_used", set())
    kernels.draw_bernoulli(torch.zeros(50, 16), HERE)
    kernels.draw_mixture(field, some, HERE)
    kernels.draw_bernoulli(torch.zeros(50, 16), HERE)
    kernels.draw_bernoulli(torch.zeros(50, draws.SHORT + 1), HERE)
    two, mixed = draw_loops.two_states32, mixture_loops.mixtures32
    assert run == [two, mixed, mixed, two]


def test_the_reference_draws_the_first_few_mixtures(monkeypatch):
    monkeypatch.setattr(draws, "FEW", 2**14)
    monkeypatch.setattr(draws, "_drawn", {})
    monkeypatch.setattr(draws, "_used", set())
    run, drawn = [], launch.run
    monkeypatch.setattr(launch, "run", lambda loop, *job: (run.append(loop), drawn(loop, *job)))
    some = mixture()
    field = awkward(3, some.width, torch.float32)
    expected = reference.draw_mixture(field, some, HERE, torch.empty_like(field))
    calls = 0
    while not run:
        assert same(kernels.draw_mixture(field, some, HERE), expected)
        calls += 1
    few = 2**14 // (3 * some.numbers + len(some.groups) * draws.CALL)
    assert few > 1 and calls == few + 1 and run == [mixture_loops.mixtures32]


@pytest.mark.parametrize("dtype", DTYPES)
def test_nothing_is_drawn_of_nothing(dtype):
    none = torch.zeros(3, 0, dtype=dtype)
    for some in (Mixture([], 0), Mixture([Group("spin", 1, torch.arange(0), 0)], 0)):
        assert kernels.draw_mixture(none, some, HERE).shape == (3, 0)
    assert kernels.draw_spin(none, HERE).shape == (3, 0)


def test_wrong_fields_of_a_mixture_are_refused():
    some = mixture()
    with pytest.raises(ValueError, match=rf"^field must have {some.width} columns, got 3\.$"):
        kernels.draw_mixture(torch.zeros(2, 3), some, HERE)
    with pytest.raises(ValueError, match="two dimensions"):
        kernels.draw_mixture(torch.zeros(some.width), some, HERE)
    with pytest.raises(TypeError, match=r"^field must be torch.float32 or torch.float64"):
        kernels.draw_mixture(torch.zeros(2, some.width, dtype=torch.int64), some, HERE)
    with pytest.raises(ValueError, match=r"unit \+ units must be at most"):
        kernels.draw_mixture(torch.zeros(2, some.width), some, Address(0, 0, unit=2**34 - 4))


# ---------------------------------------------------------------- layers


class Doubled(Gaussian):
    """A type of unit that the kernels don't know: it draws in a way of its own."""

    def sample(self, field, address):
        return 2.0 * super().sample(field, address)


def several(dtype=DOUBLE, seed=5):
    """A layer of every kind, with several parts of most."""
    kinds = [hm.Gaussian(2), hm.Bernoulli(1), hm.Poisson(1), hm.Categorical(2, 3), hm.DReLU(2), Doubled(1)]
    kinds += [hm.Binomial(1, 9), hm.ReLU(1), hm.Gaussian(3), hm.Spin(2), hm.Categorical(1, 3), hm.Spin(1)]
    kinds += [hm.Bernoulli(4), hm.Poisson(1), hm.Binomial(2, 9)]
    units = hm.Mixed(*kinds).to(dtype)
    scatter(units, seed)
    return units


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shift", [0.0, 7.5])  # counts whose variance is too large for sums as well
def test_a_layer_draws_as_its_groups_do(dtype, shift):
    units = several(dtype)
    field = (2.0 * kernels.uniform(address(3), (40, units.width), dtype) - 1.0) + shift
    drawn, at, seen = units.sample(field, address(4).at(unit=8)), 8, {}
    for part, columns in zip(units.parts_in_order(), units.columns(), strict=True):
        known = type(part) not in (hm.DReLU, hm.ReLU, Doubled)
        key = (type(part), part.cardinality) if known else id(part)
        seen.setdefault(key, []).append((part, columns))
    for members in seen.values():
        together = (
            hm.Mixed(*[alone(part, units.bias[c]) for part, c in members])
            if len(members) > 1
            else members[0][0]
        )
        own = torch.cat([field[:, c] for _, c in members], 1)
        expected = together.sample(own, address(4).at(unit=at))
        assert same(torch.cat([drawn[:, c] for _, c in members], 1), expected)
        at += -(-own.shape[1] // 4) * 4
    units.check(drawn.nan_to_num())


def alone(part, bias):
    part = copy.deepcopy(part)
    part.bias = torch.nn.Parameter(bias.detach().clone())
    return part


def test_a_rate_that_cannot_be_written_down_is_still_refused():
    units = several()
    field = torch.zeros(2, units.width, dtype=DOUBLE)
    field[1, 3] = 800.0  # the first Poisson column
    with pytest.raises(OverflowError):
        units.sample(field, address(1))


@pytest.mark.parametrize("rows_apart", [False, True])
def test_between_two_layers_are_the_parts_between_theirs(rows_apart):
    a, b = several(seed=5), several(seed=11)
    beta = torch.linspace(0.1, 0.9, 6, dtype=DOUBLE)[:, None] if rows_apart else 0.3
    between = a.interpolate(b, beta)
    field = 0.5 * fields(6, a.width, DOUBLE)
    x = a.sample(field, address(2))
    site = 0
    pairs = zip(a.parts_in_order(), b.parts_in_order(), between.parts_in_order(), a.columns(), strict=True)
    for one, other, part, columns in pairs:
        expected, sites = one.interpolate(other, beta), slice(site, site + one.n)
        for units in (part, expected):
            for function, y in (("cumulant", field), ("potential", x), ("mean", field)):
                where = columns if function == "mean" else sites
                found = getattr(between, function)(y)[:, where]
                torch.testing.assert_close(found, getattr(units, function)(y[:, columns]), rtol=1e-12, atol=0)
        site += one.n
    again = between.interpolate(b, 1.0)
    assert torch.allclose(again.potential(x), b.potential(x))
    assert torch.equal(a.interpolate(b, 0.0).potential(x[:0]), a.potential(x[:0]))


def test_scales_of_joined_parts_get_the_gradient_of_the_free_energy():
    kinds = [hm.Gaussian(2), hm.Bernoulli(1), hm.DReLU(2), Doubled(1), hm.Gaussian(1), hm.ReLU(1)]
    kinds += [hm.Categorical(1, 3), hm.Binomial(1, 9), hm.Bernoulli(1)]
    hidden = hm.Mixed(hm.Bernoulli(2), hm.Gaussian(1), hm.Spin(1), hm.Gaussian(1))
    rbm = hm.RBM(hm.Mixed(*kinds), hidden, dtype=DOUBLE)
    scatter(rbm, 3)
    v = rbm.visible.sample(torch.zeros(7, rbm.visible.width, dtype=DOUBLE), address(9)).detach()
    weights = torch.linspace(0.5, 1.5, 7, dtype=DOUBLE)
    rbm.accumulate_gradient(v, weights)
    found = {name: p.grad.clone() for name, p in rbm.named_parameters()}
    rbm.zero_grad()
    (weights * rbm.free_energy(v)).sum().backward()
    for name, p in rbm.named_parameters():
        torch.testing.assert_close(found[name], p.grad, rtol=1e-9, atol=1e-9)
