"""The present path of the processor against the references, as a script that prints the path.

Numbers are multiples of 1/64: sums are the same in every order, and all states can be equal to the bit.
"""

import numpy as np
import torch

import harmonium as hm
from harmonium import kernels
from harmonium.kernels import Side, enumeration, graph, plain, processor, reference, tables
from harmonium.kernels import draws as compiled_draws
from harmonium.models import path_to
from harmonium.random import Address, Purpose
from harmonium.sampling import BlockGibbs, initial_chains

HERE = Address(seed=3, purpose=Purpose.TRIAL)
NUMBERS = np.random.default_rng(0)


def fine(*shape, scale=1.0):
    return torch.from_numpy(np.round(NUMBERS.normal(size=shape) * scale * 64) / 64).float()


def draws():
    for dtype in (torch.float32, torch.float64):
        field = fine(300, 210, scale=3.0).to(dtype)
        assert torch.equal(
            kernels.uniform(HERE, (300, 210), dtype), reference.uniform(HERE, (300, 210), dtype, "cpu")
        )
        for name in ("draw_bernoulli", "draw_spin"):
            same = getattr(reference, name)(field, HERE, torch.empty_like(field))
            assert torch.equal(getattr(kernels, name)(field, HERE), same)
        same = reference.draw_categorical(field, 7, HERE, torch.empty_like(field))
        assert torch.equal(kernels.draw_categorical(field, 7, HERE), same)
        groups = [("spin", 1, 0, 2), ("categorical", 5, 2, 17), ("uniform", 1, 17, 20), ("counts", 9, 20, 23)]
        some = kernels.Mixture(
            [kernels.Group(kind, size, torch.arange(a, b), 8 * a) for kind, size, a, b in groups], 210
        )
        field, out = fine(300, 210).to(dtype), torch.zeros(300, 210, dtype=dtype)
        same = reference.draw_mixture(field, some, HERE, out)[:, :23]
        assert torch.equal(kernels.draw_mixture(field, some, HERE)[:, :23], same)
    for trials in (0, 9, 500):
        same = reference.draw_counts(field, trials, HERE, torch.empty_like(field))
        assert torch.equal(kernels.draw_counts(field, trials, HERE), same)


def machine(visible, hidden):
    rbm = hm.RBM(visible, hidden)
    with torch.no_grad():
        for p in rbm.parameters():
            p.copy_(fine(*p.shape, scale=0.25))
    return rbm


@torch.no_grad()
def sweeps():
    layers = [
        (hm.Bernoulli(70), hm.Bernoulli(45)),
        (hm.Spin(33), hm.Bernoulli(130)),
        (hm.Categorical(11, 21), hm.Spin(32)),
    ]
    for pair in layers:
        rbm = machine(*pair)
        for model in (rbm, path_to(rbm).at(torch.linspace(0, 1, 300)[:, None])):
            start = expected = initial_chains(rbm, 300, HERE)
            for _ in range(3):
                expected = BlockGibbs()._sweep(model, expected)
            for x, y in zip(BlockGibbs(sweeps=3)(model, start).state, expected.state, strict=True):
                assert torch.equal(x, y)


@torch.no_grad()
def annealing():
    for visible, hidden in ((hm.Bernoulli(10), hm.Bernoulli(8)), (hm.Categorical(3, 4), hm.Spin(5))):
        rbm = machine(visible, hidden)
        exact = hm.log_partition(rbm).value
        found = hm.likelihood.annealed_importance_sampling(rbm, 200, 400, seed=1)
        assert abs(found.value - exact) < 0.05


def centring():
    g, a, b, mu, lam, left, right = (fine(*n) for n in ((301, 270), *((301,), (270,)) * 3))
    truth = g - torch.outer(a, lam) - torch.outer(mu, b)
    truth = truth, left - truth @ lam, right - truth.T @ mu
    kernels.centre(g, (a, b), (mu, lam), (left, right))
    for x, y in zip((g, left, right), truth, strict=True):
        assert torch.allclose(x, y, atol=1e-3)


def phases():
    weight, bias = fine(300, 200, scale=0.1), fine(200)
    v, w = fine(90, 300).sign(), torch.full((90,), 1 / 90)
    done = kernels.two_phases(weight, Side("bernoulli", 1, bias), (v, w), (v[:50], w[:50]))
    h = torch.sigmoid(v @ weight + bias) * w[:, None]
    assert done is None or torch.allclose(done[0], v[:50].T @ h[:50] - v.T @ h, atol=1e-4)
    left, right = fine(130, 600), fine(600, 150)
    assert torch.allclose(kernels.product(left, right), left @ right, atol=0.02)


def graphs():
    edges = np.array([(i, j) for i in range(9) for j in range(i) if (i * j) % 4 != 1])
    scan = graph.Scan.of(graph.colour_classes(edges, 9))
    pairs = graph.Pairs.of(edges, fine(len(edges)).numpy(), fine(9).numpy())
    x, sweeps = (fine(70, 9) > 0).float(), graph.Sweeps(4, torch.linspace(0, 1, 70))
    expected = x.clone()
    plain.sweep_pairs(expected, pairs, scan, HERE, sweeps)
    assert torch.equal(graph.sweep_pairs(x, pairs, scan, HERE, sweeps), expected)
    field = hm.MarkovRandomField([2, 3, 4], [((0, 1), fine(2, 3)), ((1, 2), fine(3, 4))])
    flat = field.sweep_arrays() if hasattr(field, "sweep_arrays") else None
    if flat is not None:
        expected = torch.zeros(70, 3, dtype=torch.int32)
        plain.sweep_tables(expected, *flat, HERE, sweeps)
    drawn = hm.sample(field, 20_000, sweeps=50, seed=2)
    share = (drawn[:, 1] == 0).double().mean()
    assert abs(share - field.marginal((1,))[0]) < 0.02


def sums():
    parts = [((0, 2), fine(3, 400).double()), ((1, 2), fine(5, 400).double()), ((0,), fine(3).double())]
    whole = plain.joined((0, 1, 2), parts)
    assert torch.allclose(tables.log_sum((0, 1, 2), parts), whole.logsumexp(0), atol=1e-12)
    assert torch.equal(tables.maximum((0, 1, 2), parts), whole.amax(0))
    assert torch.equal(tables.join((0, 1, 2), parts), whole)
    given = [x.double().numpy() for x in (fine(32, 9), fine(100, 9), fine(32), fine(100))]
    assert abs(enumeration.log_sum(*given, threads=2) - plain.log_sum_of_pairs(*given)) < 1e-10


if __name__ == "__main__":
    compiled_draws.FEW = -1  # the first few draws would come from the reference otherwise
    print(processor.path())
    for check in (draws, sweeps, annealing, centring, phases, graphs, sums):
        check()
        print(check.__name__, "right", flush=True)
