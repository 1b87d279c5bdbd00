"""Every kind of coupling against its matrix written down once more; convolutions; sizes that don't fit."""

import copy

import numpy as np
import pytest
import torch

import harmonium as hm
from couplings_registry import CASES, build, joint
from goodness import assert_means
from harmonium.learning import Centring, SharedNaturalGradient, equally_weighted, shared_weights
from harmonium.learning.centred_gradient import centre_gradients
from harmonium.learning.particles import Particles
from harmonium.learning.phases import accumulate_phases
from harmonium.recipes.settings import default_optimiser
from harmonium.sampling import BlockGibbs, Chains
from registry import DOUBLE, address, table, uniforms

every = pytest.mark.parametrize("name", CASES)


@every
def test_energies_and_log_z(name):
    machine, matrix = build(name)
    v, h, energy = joint(machine, matrix)
    rows, columns = torch.arange(len(v.states)) % 7, torch.arange(len(v.states)) % len(h.states)
    expected = energy[rows, columns]
    torch.testing.assert_close(machine.energy(v.states[rows], h.states[columns]), expected)
    log_joint = h.log_measure - energy
    torch.testing.assert_close(machine.free_energy(v.states), -torch.logsumexp(log_joint, 1))
    other = v.log_measure[:, None] - energy
    torch.testing.assert_close(machine.hidden_free_energy(h.states), -torch.logsumexp(other, 0))
    log_z = torch.logsumexp((log_joint + v.log_measure[:, None]).flatten(), 0)
    assert hm.log_partition(machine).value == pytest.approx(log_z.item(), abs=1e-9)
    torch.testing.assert_close(machine.coupling.dense(), matrix)


@every
def test_gradients(name):
    machine, matrix = build(name)
    v, h, energy = joint(machine, matrix)
    weights = uniforms(3, len(v.states))[:, 0] - 0.5
    free = -torch.logsumexp(h.log_measure - energy, 1)
    parameters = list(machine.parameters())
    expected = torch.autograd.grad((weights * free).sum(), parameters, materialize_grads=True)
    for way in (machine.accumulate_gradient, super(hm.RBM, machine).accumulate_gradient):
        machine.zero_grad()
        way(v.states, weights)
        for p, e in zip(parameters, expected, strict=True):
            torch.testing.assert_close(p.grad, e)


@every
def test_both_phases_in_one_product_are_the_two_of_them(name):
    machine = build(name)[0].float()
    bias = machine.visible.bias.detach().expand(40, -1)
    rows = [machine.visible.sample(bias, address(k)).detach() for k in (1, 2)]
    data, negatives = map(equally_weighted, rows)
    accumulate_phases(machine, data, negatives)
    found = [p.grad.clone() for p in machine.parameters()]
    machine.zero_grad()
    machine.accumulate_gradient(data.v, data.weights)
    machine.accumulate_gradient(negatives.v, -negatives.weights)
    for p, f in zip(machine.parameters(), found, strict=True):
        torch.testing.assert_close(f, p.grad, rtol=1e-3, atol=1e-4)


@every
def test_centring_is_the_gradient_in_centred_coordinates(name):
    machine, _ = build(name)
    machine.requires_grad_(True)
    operator, (visible, hidden) = machine.coupling, machine.layers
    mu, lam = uniforms(8, visible.width)[:, 0], uniforms(9, hidden.width)[:, 0]
    rows = table(visible).states
    weights = uniforms(3, len(rows))[:, 0] - 0.5
    theta = [t.detach().clone().requires_grad_() for t in operator.tensors()]
    names = [n for n, _ in machine.named_parameters() if "coupling" in n]
    moved = CASES[name].matrix(dict(zip(names, theta, strict=True)))
    a, b = (x.bias.detach().clone().requires_grad_() for x in (visible, hidden))
    change = moved - moved.detach()  # with a and b fixed in centred coordinates they move with W
    energy = visible.potential(rows).sum(-1) - rows @ (a - change @ lam)
    field = rows @ moved + b - mu @ change
    free = energy - hidden.cumulant(field).sum(-1)
    *centred, plain_a, plain_b = torch.autograd.grad((weights * free).sum(), [*theta, a, b])
    machine.accumulate_gradient(rows, weights)
    centre_gradients(machine, (mu, lam))
    centred = [e / operator.places for e in centred]
    for t, e in zip(operator.tensors(), centred, strict=True):
        torch.testing.assert_close(t.grad, e)
    turned = torch.autograd.functional.jvp(
        lambda *t: CASES[name].matrix(dict(zip(names, t, strict=True))), tuple(theta), tuple(centred)
    )[1]
    torch.testing.assert_close(visible.bias.grad, plain_a - turned @ lam)
    torch.testing.assert_close(hidden.bias.grad, plain_b - mu @ turned)


@every
def test_an_operator_is_its_matrix(name):
    operator, matrix = build(name)[0].coupling, build(name)[1]
    rows, columns = operator.shape
    x, y, f, g = (uniforms(k, 5, n) for k, n in ((1, rows), (2, columns), (3, columns), (4, rows)))
    torch.testing.assert_close(operator.product(x), x @ matrix)
    torch.testing.assert_close(operator.product(x, f), f + x @ matrix)
    torch.testing.assert_close(operator.product(x, f[0]), f[0] + x @ matrix)
    torch.testing.assert_close(operator.transposed(y), y @ matrix.T)
    torch.testing.assert_close(operator.transposed(y, g), g + y @ matrix.T)
    torch.testing.assert_close(operator.pairing(x, y), ((x @ matrix) * y).sum(1))
    torch.testing.assert_close(operator.rows(slice(1, 3)), matrix[1:3])
    gradient = x.T @ y
    for s, p in zip(operator.statistics(x, y), operator.pull(gradient), strict=True):
        torch.testing.assert_close(s, p)


@every
def test_sweeps_leave_the_distribution_as_it_is(name):
    machine, matrix = build(name)
    v, h, energy = joint(machine, matrix.detach())
    log_joint = v.log_measure[:, None] + h.log_measure - energy
    p = torch.softmax(log_joint.flatten(), 0).detach()
    if (v.log_measure != 0).any():
        pytest.skip("its visible states are a grid")
    n = 20_000
    index = torch.searchsorted(p.cumsum(0), uniforms(77, n)[:, 0]).clamp(max=len(p) - 1)
    state = (v.states[index // len(h.states)], h.states[index % len(h.states)])
    for dtype in (DOUBLE, torch.float32):  # by products of torch, and by compiled sweeps where there are any
        chains = Chains(tuple(x.to(dtype) for x in state), address(5))
        found = BlockGibbs(sweeps=2)(machine.to(dtype), chains).visible.double()
        marginal = p.reshape(len(v.states), -1).sum(1)
        mean = marginal @ v.states
        deviation = (marginal @ v.states.square() - mean.square()).sqrt()
        assert_means(found.mean(0), mean, deviation, n, 2 * len(mean))


@every
def test_fitted_saved_and_resumed(name, tmp_path):
    machine, _ = build(name)
    machine = machine.float()
    fresh = CASES[name].make().float()
    fresh.load_state_dict({k: x if "mask" in k else 0.1 * x for k, x in machine.state_dict().items()})
    with torch.no_grad():
        fresh.visible.bias.zero_()
    rows = machine.visible.sample(machine.visible.bias.expand(300, -1), address(1))
    whole, halves = copy.deepcopy(fresh), copy.deepcopy(fresh)
    history = hm.fit(whole, rows, steps=60, seed=1)
    assert np.isfinite(hm.log_likelihood(whole, rows).value)
    assert hm.sample(whole, 5).shape == (5, machine.visible.width)
    hm.save(whole, tmp_path / "m.safetensors")
    back = hm.load(tmp_path / "m.safetensors")
    torch.testing.assert_close(back.free_energy(rows), whole.free_energy(rows), rtol=0, atol=0)
    assert repr(back) == repr(whole)

    def stop(update):
        if update.step == 30:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), pytest.warns():
        hm.fit(halves, rows, steps=60, seed=1, checkpoint=tmp_path / "c", callbacks=[stop])
    halves = copy.deepcopy(fresh)
    hm.fit(halves, rows, steps=60, seed=1, checkpoint=tmp_path / "c", resume=True)
    for p, q in zip(whole.parameters(), halves.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=0, atol=0)
    assert history.settings["optimiser"] in ("natural", "centred")


@pytest.mark.parametrize("name", [name for name in CASES if build(name)[0].couplings()[0].operator.by_row])
def test_statistics_row_by_row_sum_to_those_of_all(name):
    machine, _ = build(name)
    operator = machine.couplings()[0].operator
    x, y = (uniforms(k, 5, layer.width).double() for k, layer in enumerate(machine.layers))
    each = operator.each(x, y).sum(0)
    torch.testing.assert_close(each, torch.cat([t.flatten() for t in operator.statistics(x, y)]))


@pytest.mark.parametrize("name", ["Pictures", "PaddedPictures", "Pools", "Sequences"])
def test_the_moments_are_the_fisher_information(name, monkeypatch):
    """⟨TTᵀ⟩ without what h varies given v is that of -∂F/∂θ, a shared bias being one parameter; and with it
    what a sum over all h says.
    """
    machine, _ = build(name)
    machine.settle()
    v, h = (t.states for t in (table(machine.visible), table(machine.hidden)))
    v = v[:: max(1, len(v) // 7)]
    weights = (uniforms(3, 1, len(v))[0] + 0.5).double()
    weights /= weights.sum()
    offsets = tuple(torch.zeros(layer.width, dtype=DOUBLE) for layer in machine.layers)
    spread = SharedNaturalGradient()

    def moments(share, copies):
        monkeypatch.setattr(shared_weights, "COUNTED", share)
        seen = Particles((v.repeat(copies, 1),), weights.repeat(copies) / copies)
        with torch.no_grad():
            return spread._moments(machine, seen, offsets)[1]

    g = machine.coupling.geometry
    rows = []
    for row in v:
        by_filter, by_unit = torch.autograd.grad(
            -machine.free_energy(row[None]).sum(), [machine.filters, machine.hidden.bias]
        )
        rows.append(torch.cat([by_filter.flatten(), g.maps(by_unit[None]).flatten(2).sum(2)[0]]))
    rows = torch.stack(rows)
    mean = (weights[:, None] * rows).T @ rows
    torch.testing.assert_close(moments(0.0, 1), mean)
    p_h = torch.softmax(-torch.stack([machine.energy(row.expand(len(h), -1), h) for row in v]), 1).detach()
    whole = torch.zeros_like(mean)
    for row, w, p in zip(v, weights, p_h, strict=True):
        t = machine.coupling.each(row.expand(len(h), -1), h).detach()
        t = torch.cat([t, machine.bias_sums(1, h)], 1)
        whole += w * (p[:, None] * t).T @ t
    copies = 4000
    assert float((moments(1.0, copies) - whole).abs().max()) < 0.05 * float(whole.abs().max())
    half = moments(0.5, copies)
    assert float((half - 0.5 * (whole + mean)).abs().max()) < 0.05 * float(whole.abs().max())


def assert_steps_do_not_depend_on_the_offsets(machine, natural, plain):
    """∇̃·∇ is the same in all coordinates, so that of filters and biases is that of the centred ones; where it
    is too long the step is shortened to 2.5 nats.
    """
    gradients = dict(zip((name for name, _ in machine.named_parameters()), plain, strict=True))
    a, b, of_filters = (gradients[n] for n in ("visible.bias", "hidden.bias", "coupling.filters"))
    (mu, lam), statistics = natural.centring.offsets, machine.coupling.statistics
    of_filters = of_filters - statistics(a[None], lam[None])[0] - statistics(mu[None], b[None])[0]
    whole = torch.cat([of_filters.flatten(), machine.bias_sums(1, b[None])[0]])
    left, right = natural.inverses
    length = float(a @ left @ a + whole @ right @ whole)
    dot = sum(float((p.grad * g).sum()) for p, g in zip(machine.parameters(), plain, strict=True))
    longest = shared_weights.LONGEST
    assert dot == pytest.approx(length if length <= longest else (longest * length) ** 0.5, rel=1e-3)


@pytest.mark.parametrize("pool", [1, 2])
def test_filters_learn_by_the_natural_gradient(pool):
    rows = (uniforms(6, 200, 36) < 0.4).float()
    machine = hm.ConvolutionalRBM((1, 6, 6), 2, 3, pool=pool)
    assert hm.fit(machine, rows, steps=3, negatives="pcd").settings["optimiser"] == "natural"
    data, negatives = equally_weighted(rows[:100]), equally_weighted(rows[100:])
    phases = accumulate_phases(machine, data, negatives)
    plain = [p.grad.clone() for p in machine.parameters()]
    natural = SharedNaturalGradient()
    natural(machine, phases)
    assert_steps_do_not_depend_on_the_offsets(machine, natural, plain)
    for p, g in zip(machine.parameters(), plain, strict=True):
        p.grad = 1e3 * g
    natural(machine, phases)
    assert_steps_do_not_depend_on_the_offsets(machine, natural, [1e3 * g for g in plain])
    sums = machine.coupling.geometry.maps(machine.hidden.bias.grad[None]).flatten(2)
    assert machine.hidden.bias.grad[None].shape[1] == machine.hidden.width and sums.shape[2] == 16
    wide = hm.ConvolutionalRBM((1, 20, 20), 40, 10)  # too many numbers to be known as a whole
    assert default_optimiser(wide) == "centred"


def test_centring_needs_all_gradients():
    rbm = hm.RBM(hm.Bernoulli(3), hm.Bernoulli(2), couplings=hm.couplings.Masked(torch.ones(3, 2)))
    rbm.weight.requires_grad_(False)
    rows = equally_weighted(torch.eye(3))
    with pytest.raises(ValueError, match="^model: centring needs the gradients"):
        Centring()(rbm, accumulate_phases(rbm, rows, rows))


# ---------------------------------------------------------------- convolution
def test_the_biases_of_a_map_stay_equal():
    for pool in (1, 2):
        crbm = hm.ConvolutionalRBM((1, 4, 4), 2, 3, padding=1, pool=pool)
        hm.fit(crbm, (uniforms(2, 300, 16) < 0.3).float(), steps=40)
        maps = crbm.coupling.geometry.maps(crbm.hidden.bias.detach()[None])[0].flatten(1)
        torch.testing.assert_close(maps, maps[:, :1].expand_as(maps), rtol=0, atol=1e-6)
        assert bool((maps[:, 0] != 0).all())
        assert pool == 1 or bool((crbm.hidden.bias.unflatten(0, (-1, 5))[:, 0] == 0).all())


def test_a_shifted_picture_has_shifted_maps():
    crbm = hm.ConvolutionalRBM((1, 6, 6), 3, 2, dtype=DOUBLE)
    v = torch.zeros(2, 1, 6, 6, dtype=DOUBLE)
    v[0, 0, 1:3, 1:4] = v[1, 0, 3:5, 2:5] = 1.0
    first, second = crbm.maps(v.flatten(1))
    torch.testing.assert_close(first[:, :3, :4], second[:, 2:, 1:])


def test_at_most_one_place_of_a_pool_is_on():
    crbm = hm.ConvolutionalRBM((1, 4, 4), 2, 3, padding=1, pool=2, dtype=DOUBLE)
    v = (uniforms(2, 50, 16) < 0.4).double()
    h = crbm.hidden.sample(crbm.field(1, (v, v[:, :0])), address(1))
    on = crbm.coupling.geometry.maps(h).unflatten(3, (2, 2)).unflatten(2, (2, 2)).sum((3, 5))
    assert bool((on <= 1).all())
    field = torch.nn.functional.conv2d(v.view(-1, 1, 4, 4), crbm.filters, padding=1)
    blocks = field.unflatten(3, (2, 2)).unflatten(2, (2, 2)).exp()  # biases are 0
    expected = blocks / (1.0 + blocks.sum((3, 5), keepdim=True))
    torch.testing.assert_close(crbm.maps(v), expected.flatten(4, 5).flatten(2, 3))


def test_a_wide_convolutional_machine_is_saved(tmp_path):
    crbm = hm.ConvolutionalRBM((1, 28, 28), 20, 5)
    hm.save(crbm, tmp_path / "m.safetensors")
    assert hm.load(tmp_path / "m.safetensors").filters.shape == (20, 1, 5, 5)
    assert crbm.bipartite() is None and crbm.pair() is not None


WRONG = {
    "shape": (((4,), 1, 2), {}, r"^shape must be \(channels, length\)"),
    "kernel": (((1, 4), 1, 5), {}, "^kernel must fit"),
    "pool": (((1, 4), 1, 2), {"pool": 2}, "^pool must divide the maps"),
    "padding": (((1, 4), 1, 2), {"padding": 2}, "^padding must be less"),
    "dimensions": (((1, 4, 4), 1, (2,)), {}, "^kernel must be a number or 2"),
    "visible": (((1, 4), 1, 2), {"visible": hm.Bernoulli(5)}, "^visible: expected units of 4 columns"),
    "states": (
        ((4, 3), 1, 2),
        {"visible": hm.Categorical(4, 3)},
        "^shape: expected a channel for each of the 3",
    ),
    "hidden": (((1, 4), 1, 2), {"hidden": hm.Bernoulli(5)}, "^couplings: expected a Convolution of shape"),
}


@pytest.mark.parametrize(("arguments", "options", "words"), WRONG.values(), ids=WRONG)
def test_sizes_that_do_not_fit(arguments, options, words):
    with pytest.raises(ValueError, match=words):
        hm.ConvolutionalRBM(*arguments, **options)


def test_other_kinds_that_do_not_fit():
    for kind, words in (
        (hm.couplings.LowRank(3), "^couplings: expected a rank of at most 2, got 3"),
        (hm.couplings.Sparse(0.1, (2, 1)), "^couplings: expected blocks that divide 3"),
    ):
        with pytest.raises(ValueError, match=words):
            hm.RBM(hm.Bernoulli(3), hm.Bernoulli(2), couplings=kind)
    rbm = hm.RBM(hm.Bernoulli(6), hm.Bernoulli(4), couplings=hm.couplings.LowRank(2))
    rows = (uniforms(2, 50, 6) < 0.4).float()
    with pytest.raises(
        TypeError, match="^model: the natural gradient expects couplings that are learned entry"
    ):
        hm.fit(rbm, rows, steps=2, optimiser="natural")
