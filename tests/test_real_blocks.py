"""Gaussian units of both blocks drawn together: one sweep forgets, and what is drawn is the model's law."""

import numpy as np
import pytest
import torch

import harmonium as hm
from harmonium.models.real_couplings import real_couplings
from harmonium.random import Address, Purpose
from harmonium.sampling import BlockGibbs, Chains, Clamp
from harmonium.sampling.real_blocks import real_blocks
from statistics_budget import z_threshold

N = 20_000


def strong(visible, hidden, s=0.99, seed=5):
    """A machine whose largest coupling between real units is `s` in units of the precisions."""
    rbm = hm.RBM(visible, hidden, seed=seed, dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in rbm.parameters():
            p.copy_(0.5 * torch.randn(p.shape, generator=generator, dtype=p.dtype))
        real = real_couplings(rbm)
        u, _, v = torch.linalg.svd(real.scaled, full_matrices=False)
        values = s * 0.5 ** torch.arange(len(v), dtype=torch.float64)
        real.take((u * values) @ v)
    return rbm


def precision_matrix(rbm):
    visible, hidden = rbm.layers
    p = torch.diag(torch.cat([visible.precision, hidden.precision])).detach()
    n = visible.width
    p[:n, n:], p[n:, :n] = -rbm.weight.detach(), -rbm.weight.detach().T
    return p


def swept(rbm, v, sweeps, clamp=None, seed=1):
    state = (v, torch.zeros(len(v), rbm.hidden.width, dtype=v.dtype))
    chains = Chains(state, Address(seed, Purpose.TRIAL))
    return BlockGibbs(clamp, sweeps)(rbm, chains).visible


def test_one_sweep_of_gaussian_units_alone_draws_their_law():
    rbm = strong(hm.Gaussian(4), hm.Gaussian(2))
    covariance = torch.linalg.inv(precision_matrix(rbm))
    mean = (covariance @ torch.cat([rbm.visible.bias, rbm.hidden.bias]).detach())[:4].numpy()
    covariance = covariance[:4, :4].numpy()
    drawn = swept(rbm, torch.full((N, 4), 50.0, dtype=torch.float64), 1).numpy()
    z = (drawn.mean(0) - mean) / np.sqrt(np.diag(covariance) / N)
    ratio = np.linalg.eigvals(np.linalg.solve(covariance, np.cov(drawn.T))).real
    assert np.abs(z).max() < z_threshold(4)
    edge = 2.0 * (4 / N) ** 0.5 + z_threshold(4) * (2 / N) ** 0.5  # of noise, and a normal's tail
    assert np.abs(ratio - 1.0).max() < edge


def test_what_is_free_is_drawn_given_what_is_held_row_by_row():
    rbm = strong(hm.Gaussian(3), hm.Gaussian(2))
    p = precision_matrix(rbm)
    b = torch.cat([rbm.visible.bias, rbm.hidden.bias]).detach()
    held = torch.tensor([[True, False, False], [False, True, True], [False, False, False]]).repeat(N, 1)
    values = torch.tensor([0.7, -1.2, 0.4], dtype=torch.float64)
    start = torch.where(held, values, 9.0)
    drawn = swept(rbm, start, 1, Clamp(held, values))
    for k in range(3):
        known = torch.cat([held[k], torch.zeros(2, dtype=torch.bool)])
        inverse = torch.linalg.inv(p[~known][:, ~known])
        fixed = values[held[k]]
        mean = (inverse @ (b[~known] - p[~known][:, known] @ fixed))[: int((~held[k]).sum())]
        rows = drawn[k::3]
        assert torch.equal(rows[:, held[k]], fixed.expand(N, -1))
        free = rows[:, ~held[k]]
        n = free.shape[1]
        z = (free.mean(0) - mean) / (inverse.diagonal()[:n] / N).sqrt()
        assert float(z.abs().max()) < z_threshold(3 * n)
        spread = free.var(0) / inverse.diagonal()[:n]
        assert float((spread - 1.0).abs().max()) < z_threshold(3 * n) * (2 / N) ** 0.5


MACHINES = {
    "0/1 beside": lambda: strong(hm.Gaussian(2), hm.Mixed(hm.Bernoulli(2), hm.Gaussian(2)), 0.9),
    "of several kinds": lambda: strong(
        hm.Mixed(hm.Gaussian(1), hm.Spin(1), hm.Categorical(1, states=3), hm.Gaussian(1)),
        hm.Mixed(hm.Gaussian(1), hm.Bernoulli(1)),
        0.9,
    ),
}


@pytest.mark.parametrize("name", MACHINES)
@pytest.mark.parametrize("clamped", [False, True])
def test_the_law_of_a_mixed_machine_stays(name, clamped):
    """Against sweeps that draw every unit given all others, which have this law and no other."""
    rbm = MACHINES[name]()
    width = rbm.visible.width
    clamp = None
    v = rbm.visible.random(N, Address(7, Purpose.TRIAL), torch.float64, torch.device("cpu"))
    if clamped:
        held = torch.zeros(width, dtype=torch.bool)
        held[0] = True
        clamp = Clamp(held, torch.full((width,), 0.6, dtype=torch.float64))
        v[:, 0] = 0.6
    assert real_blocks(rbm, clamp) is not None
    found = swept(rbm, v, 30, clamp)
    other = one_by_one(rbm, v, 400, clamp)
    for f in (lambda x: x, lambda x: x**2, lambda x: x * x.roll(1, 1)):
        a, b = f(found), f(other)
        error = ((a.var(0) + b.var(0)) / N).sqrt().clamp(min=1e-12)
        assert float(((a.mean(0) - b.mean(0)) / error).abs().max()) < z_threshold(12 * width)


def one_by_one(rbm, v, sweeps, clamp):
    h = torch.zeros(len(v), rbm.hidden.width, dtype=v.dtype)
    for t in range(sweeps):
        at = Address(11, Purpose.TRIAL, step=t)
        h = rbm.hidden.sample(rbm.field(1, (v, h)), rbm.block_address(1, at))
        v = rbm.visible.sample(rbm.field(0, (v, h)), rbm.block_address(0, at))
        v = v if clamp is None else clamp.apply(v)
    return v.detach()


def test_there_is_nothing_to_do_without_real_units_on_both_sides():
    assert real_blocks(hm.RBM(hm.Gaussian(2), hm.Bernoulli(2)), None) is None
    assert real_blocks(hm.RBM(hm.Bernoulli(2), hm.Gaussian(2)), None) is None
    rbm = strong(hm.Gaussian(2), hm.Gaussian(1), 1.2)
    assert real_blocks(rbm, None) is None  # Z is infinite
