"""Trained weights have the same bits on 1, 2 and 4 threads, on the compiled paths of this processor."""

import hashlib

import numpy as np
import pytest
import torch

import harmonium as hm
from harmonium.kernels import processor
from registry import uniforms


@pytest.fixture(params=["matrix", "wide"])
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


WORKS = {
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
}


@pytest.mark.parametrize("work", WORKS)
def test_the_same_bits_on_any_number_of_threads(work, path):
    assert len({on(threads, WORKS[work]) for threads in (1, 2, 4)}) == 1
