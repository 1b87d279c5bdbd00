"""The same bits on 1, 2 and 4 threads: chains, estimates, trained weights, on the paths of this processor."""

import hashlib

import numpy as np
import pytest
import torch

import harmonium as hm
from harmonium import testsystems
from harmonium.kernels import processor
from harmonium.likelihood.partition import annealed_log_partition
from harmonium.likelihood.tempered import Budget
from registry import uniforms


@pytest.fixture(params=["matrix", "wide", "plain"])
def path(request, monkeypatch):
    if request.param == "matrix" and processor.no_matrix_units():
        pytest.skip("no matrix units here")
    monkeypatch.setenv("HARMONIUM_PRODUCTS", request.param)
    return request.param


def on(threads, work):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return hashlib.sha256(np.concatenate([np.ravel(x) for x in work()]).tobytes()).hexdigest()
    finally:
        torch.set_num_threads(before)


def rows(n, width, seed=1):
    return (uniforms(seed, n, width, torch.float32) < 0.3).float()


def trained(model, x, **settings):
    def work():
        machine = model()
        hm.fit(machine, x, steps=8, rules=(), progress=False, seed=3, **settings)
        return [p.detach().numpy() for p in machine.parameters()]

    return work


def sampled():
    rbm = testsystems.random_couplings(0.5, 200, 20).model
    table = testsystems.tree(60, 1.0, 0.2).model
    wide = hm.RBM(hm.Categorical(50, 4), hm.Spin(40))
    with torch.no_grad():
        wide.weight.copy_(uniforms(2, 200, 40, torch.float32) - 0.5)
    return [hm.sample(m, 150, seed=4).double().numpy() for m in (rbm, table, wide)]


def estimated():
    e = annealed_log_partition(testsystems.torus(8, 0.4).model, Budget(0.1), 1)
    return [np.array([e.value, e.stderr, e.low, e.high])]


WORKS = {
    "sampled": sampled,
    "estimated": estimated,
    "natural": trained(
        lambda: hm.RBM(hm.Bernoulli(64), hm.Bernoulli(64)),
        rows(300, 64),
        negatives="pcd",
        optimiser="natural",
    ),
    "centred": trained(
        lambda: hm.RBM(hm.Bernoulli(300), hm.Bernoulli(100)),
        rows(300, 300),
        negatives="pcd",
        optimiser="centred",
    ),
    "wide natural": trained(
        lambda: hm.RBM(hm.Bernoulli(300), hm.Bernoulli(100)), rows(300, 300), negatives="pcd"
    ),
    "real": trained(
        lambda: hm.RBM(hm.Gaussian(100), hm.Spin(60)), uniforms(5, 400, 100, torch.float32), negatives="pcd"
    ),
    "lateral": trained(lambda: hm.BoltzmannMachine(40, 10), rows(200, 40)),
}


@pytest.mark.parametrize("work", WORKS)
def test_the_same_bits_on_any_number_of_threads(work, path):
    if path == "plain" and work in ("estimated", "lateral"):
        pytest.skip("the same operations as in the others, in seconds instead of tenths")
    assert len({on(threads, WORKS[work]) for threads in (1, 2, 4)}) == 1
