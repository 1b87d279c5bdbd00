"""Both phases of the gradient in one go, and centring in one pass, against the formulas in float64."""

import weakref

import numpy as np
import pytest
import torch

import harmonium as hm
import registry
from harmonium import kernels
from harmonium.kernels import Side, launch, phases, processor
from harmonium.kernels.matrix import products
from harmonium.learning import Centring, Particles, accumulate_phases, equally_weighted, surrogate, two_phases

needs_units = pytest.mark.skipif(
    processor.path() != "matrix", reason="needs a processor with matrix units for bfloat16"
)
MEANS = {"bernoulli": torch.sigmoid, "spin": torch.tanh}
SHAPES = [((784, 500), 256, 256), ((65, 129), 101, 300), ((33, 700), 40, 513), ((1000, 31), 40, 64)]


def one_thread(loop, job, threads):
    """The others never come."""
    launch.compiled(loop)(job)


def numbers(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape)).float()


def particles(n, width, seed):
    generator = np.random.default_rng(seed)
    weights = generator.uniform(size=n)
    states = generator.integers(-1, 3, size=(n, width))
    return torch.from_numpy(states).float(), torch.from_numpy(weights / weights.sum()).float()


def phase(weight, bias, kind, v, w):
    """Σ w v⟨h⟩ᵀ, the same with absolute values, and Σ w v with Σ w⟨h⟩."""
    v, w = v.double(), w.double()
    h = MEANS[kind](v @ weight.double() + bias.double())
    return v.T @ (w[:, None] * h), v.abs().T @ (w[:, None] * h.abs()), torch.cat([w @ v, w @ h])


@needs_units
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", ["bernoulli", "spin"])
def test_both_phases_are_as_exact_as_stated(shape, kind):
    widths, first, second = shape
    weight, bias = numbers(*widths) / widths[0] ** 0.5, numbers(widths[1], seed=1)
    data, negatives = particles(first, widths[0], 2), particles(second, widths[0], 3)
    before = numbers(*widths, seed=4)
    gradient, sums = kernels.two_phases(weight, Side(kind, 1, bias), data, negatives)
    added, _ = kernels.two_phases(weight, Side(kind, 1, bias), data, negatives, before.clone())
    (g0, size0, s0), (g1, size1, s1) = (phase(weight, bias, kind, *p) for p in (data, negatives))
    # a field is off by 2^-16 of the sum of its terms' sizes, at most this much, and a mean by no more
    field = 2.0**-15 * max((v.abs() @ weight.abs()).max() for v, _ in (data, negatives))
    scale = max(v.abs().max() for v, _ in (data, negatives))
    assert ((gradient - (g1 - g0)).abs() <= 2.0**-15 * (size0 + size1) + 2 * scale * field).all()
    assert ((gradient - (g1 - g0)).abs() / (size0 + size1)).median() < 2.0**-15
    assert torch.allclose(added, gradient + before, atol=1e-6)
    for row, truth in zip(sums, (s1 - s0, s0, s1), strict=True):
        assert (row - truth).abs().max() <= 2 * field


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", ["bernoulli", "spin"])
def test_both_phases_in_float32_are_those_of_float64(shape, kind):
    widths, first, second = shape
    weight, bias = numbers(*widths) / widths[0] ** 0.5, numbers(widths[1], seed=1)
    data, negatives = particles(first, widths[0], 2), particles(second, widths[0], 3)
    before, results, threads = numbers(*widths, seed=4), [], torch.get_num_threads()
    (g0, size0, s0), (g1, size1, s1) = (phase(weight, bias, kind, *p) for p in (data, negatives))
    try:
        for n in (1, 2, 3):
            torch.set_num_threads(n)
            results.append(phases.two_phases(weight, Side(kind, 1, bias), data, negatives, before.clone()))
    finally:
        torch.set_num_threads(threads)
    for gradient, sums in results:  # PyTorch's products may depend on threads, sums don't
        assert ((gradient - before - (g1 - g0)).abs() <= 2.0**-18 * (size0 + size1 + before.abs())).all()
        assert torch.equal(sums, results[0][1])
        for row, truth in zip(sums, (s1 - s0, s0, s1), strict=True):
            assert (row - truth).abs().max() <= 2.0**-19


def test_phases_are_the_same_compiled_or_not():
    for kind in ("bernoulli", "spin"):
        weight, side = 9 * numbers(20, 33), Side(kind, 1, numbers(33, seed=1))
        weight[:, :2] *= 200.0
        data, negatives = particles(31, 20, 2), particles(39, 20, 3)
        for before in (None, numbers(20, 33, seed=4)):
            added = [None if before is None else before.clone() for _ in range(2)]
            compiled = phases.two_phases(weight, side, data, negatives, added[0])
            plain = phases.together(weight, side, data, negatives, added[1])
            for x, y in zip(compiled, plain, strict=True):
                assert torch.allclose(x, y, rtol=1e-5, atol=1e-6)


def test_small_products_take_one_thread_and_leave_no_trace():
    threads = launch._own_threads()
    if threads is None:
        pytest.skip("PyTorch multiplies by another library than MKL")

    def present():
        before = threads(0)  # the way to ask
        threads(before)
        return before

    before = present()
    with launch.multiplying(launch.ALONE - 1):
        assert present() == 1
        with launch.multiplying(launch.ALONE - 1):
            pass
        assert present() == 1
    assert present() == before
    with launch.multiplying(launch.ALONE):
        assert present() == before
    with pytest.raises(ZeroDivisionError), launch.multiplying(1):
        1 / 0  # noqa: B018
    assert present() == before


@needs_units
def test_both_phases_do_not_depend_on_threads():
    weight, side = numbers(300, 200) / 20, Side("bernoulli", 1, torch.zeros(200))
    data, negatives, before = particles(500, 300, 1), particles(77, 300, 2), torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            results.append(
                torch.cat([x.flatten() for x in kernels.two_phases(weight, side, data, negatives)])
            )
    finally:
        torch.set_num_threads(before)
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


@needs_units
def test_a_thread_alone_takes_the_shares_of_the_others(monkeypatch):
    weight, side = numbers(300, 200) / 20, Side("bernoulli", 1, torch.zeros(200))
    data, negatives, before = particles(500, 300, 1), particles(77, 300, 2), torch.get_num_threads()

    def centred():
        gradient, sums = kernels.two_phases(weight, side, data, negatives)
        a, b = torch.zeros(300), torch.zeros(200)
        kernels.centre(
            gradient, (weight[:, 0].contiguous(), weight[0].contiguous()), (a + 0.5, b - 0.5), (a, b)
        )
        return torch.cat([x.flatten() for x in (gradient, sums, a, b)])

    together = centred()
    monkeypatch.setattr(launch, "run", one_thread)
    try:
        torch.set_num_threads(3)
        assert torch.equal(centred(), together)
    finally:
        torch.set_num_threads(before)


@needs_units
def test_states_that_bfloat16_cannot_hold_are_left_to_others():
    weight, side, out = numbers(300, 200), Side("bernoulli", 1, torch.zeros(200)), torch.ones(300, 200)
    whole, broken = particles(100, 300, 1), particles(100, 300, 2)
    broken[0][99, 299] = 0.1
    assert kernels.two_phases(weight, side, whole, broken, out) is None
    assert kernels.two_phases(weight, side, broken, whole, out) is None
    assert (out == 1).all()
    double = tuple(x.double() for x in whole)
    assert kernels.two_phases(weight.double(), side, double, double) is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_centring_in_one_pass_is_that_of_the_formula(dtype):
    results, before = [], torch.get_num_threads()
    gradient = numbers(301, 270).to(dtype)
    vectors = [numbers(n, seed=i).to(dtype) for i, n in enumerate((301, 270) * 3)]
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            g, (a, b, mu, lam, *rest) = gradient.clone(), [x.clone() for x in vectors]
            kernels.centre(g, (a, b), (mu, lam), tuple(rest))
            results.append(torch.cat([g.flatten(), *rest]))
    finally:
        torch.set_num_threads(before)
    a, b, mu, lam, *rest = (x.double() for x in vectors)
    truth = gradient.double() - torch.outer(a, lam) - torch.outer(mu, b)
    truth = torch.cat([truth.flatten(), rest[0] - truth @ lam, rest[1] - truth.T @ mu])
    assert torch.allclose(
        results[0].double(), truth, rtol=1e-5, atol=1e-4 if dtype is torch.float32 else 1e-11
    )
    if dtype is torch.float32:
        assert torch.equal(results[0], results[1])
        assert torch.equal(results[0], results[2])


@pytest.mark.parametrize("visible", [hm.Bernoulli, hm.Spin])
@pytest.mark.parametrize("hidden", [hm.Bernoulli, hm.Spin, hm.ReLU])
def test_the_gradient_of_an_rbm_is_the_same_both_ways(visible, hidden):
    def made():
        rbm = hm.RBM(visible(70), hidden(110), seed=3)
        with torch.no_grad():
            rbm.hidden.bias.copy_(numbers(110, seed=5) / 4)
        return rbm

    sign = (lambda x: 2 * x - 1) if visible is hm.Spin else (lambda x: x)
    data, negatives = (
        Particles((sign(v.clamp(0, 1)),), w) for v, w in (particles(90, 70, 1), particles(50, 70, 2))
    )
    fast, plain = made(), made()
    first = accumulate_phases(fast, data, negatives)
    second = two_phases(
        plain, data, negatives, lambda: plain.accumulate_phase(negatives.state, -negatives.weights)
    )
    for p, q in zip(fast.parameters(), plain.parameters(), strict=True):
        assert torch.allclose(p.grad, q.grad, atol=2e-5)
    for p, q in zip(
        first.moments.data + first.moments.model, second.moments.data + second.moments.model, strict=True
    ):
        assert torch.allclose(p, q, atol=2e-5)
    Centring()(fast, first)
    Centring()(plain, second)
    for p, q in zip(fast.parameters(), plain.parameters(), strict=True):
        assert torch.allclose(p.grad, q.grad, atol=5e-5)


def test_scales_inside_of_mixed_layers_have_their_gradient():
    v, negatives = (Particles((numbers(n, 4, seed=n),), torch.full((n,), 1.0 / n)) for n in (60, 90))
    one, parts = (
        hm.RBM(x, hm.Bernoulli(3), seed=3) for x in (hm.Gaussian(4), hm.Mixed(hm.Gaussian(3), hm.Gaussian(1)))
    )
    for rbm in (one, parts):
        accumulate_phases(rbm, v, negatives)
    found = torch.cat([part.log_precision.grad for part in parts.visible.parts])
    assert torch.allclose(found, one.visible.log_precision.grad, atol=1e-6)


@needs_units
def test_weights_that_change_are_laid_out_anew():
    weight, side = torch.zeros(300, 200), Side("bernoulli", 1, torch.zeros(200))
    data, negatives = particles(100, 300, 1), particles(100, 300, 2)
    nothing = particles(100, 300, 1)[0], torch.zeros(100)

    def means():
        return kernels.two_phases(weight, side, nothing, negatives)[1][2, 300:]

    assert torch.allclose(means(), torch.full((200,), 0.5))
    weight.data.add_(1.0)  # PyTorch isn't told of this change
    expected = torch.sigmoid(negatives[0].sum(1)) @ negatives[1]
    assert torch.allclose(means(), expected.expand(200), atol=1e-5)
    with kernels.unchanged():
        means()
        weight.mul_(0.0)  # but of this one it is
        assert torch.allclose(means(), torch.full((200,), 0.5))
        kernels.two_phases(
            weight[:, :128].contiguous(), Side("bernoulli", 1, torch.zeros(128)), data, negatives
        )
        assert torch.allclose(means(), torch.full((200,), 0.5))


@needs_units
def test_no_other_weights_can_come_to_lie_where_known_ones_are():
    with products.Unchanged():
        weight = torch.ones(300, 200)
        kept = weakref.ref(weight)
        products.packed(weight, False)
        del weight
        assert kept() is not None
    assert kept() is None


@pytest.mark.parametrize(("visible", "hidden"), registry.PAIRS)
def test_every_parameter_of_every_pair_has_its_gradient(visible, hidden):
    """In float32, where compiled phases may take over: those of parts inside a Mixed layer too."""
    rbm = registry.build(visible, hidden, dtype=torch.float32)
    data, model = (rbm.random_state(32, registry.address(k))[0].detach().float() for k in (1, 2))
    accumulate_phases(rbm, equally_weighted(data), equally_weighted(model))
    found = {name: p.grad for name, p in rbm.named_parameters()}
    rbm.zero_grad(set_to_none=True)
    surrogate(rbm, equally_weighted(data), equally_weighted(model)).backward()
    for name, p in rbm.named_parameters():
        assert found[name] is not None, name
        assert p.grad is not None
        assert torch.allclose(found[name], p.grad, rtol=1e-3, atol=2e-4 * (1 + float(p.grad.abs().max()))), (
            name
        )
