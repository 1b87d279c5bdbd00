"""The Triton kernel in Triton's interpreter: the draws of the reference, bit for bit, given equal fields."""

import importlib.util
import subprocess
import sys

import pytest

SCRIPT = """
import os, sys
import numpy as np
import torch
from harmonium.kernels import Side, gpu, reference
from harmonium.random import Address

def same(a, b):
    return torch.equal(a.view(torch.int32), b.view(torch.int32))

def layer(n, kind, seed):
    values = np.random.default_rng(seed).normal(size=n) * 16
    return Side(kind, 1, torch.from_numpy(np.round(values) / 16).float())

def block_by_block(weight, sides, visible, addresses, sweeps, beta):
    draws = {"bernoulli": reference.draw_bernoulli, "spin": reference.draw_spin}
    states = [visible, None]
    for sweep in range(sweeps):
        for k in (1, 0):
            side = sides[k]
            field = side.bias + states[1 - k] @ (weight if k else weight.T)
            if side.base is not None:
                field = side.base + (1.0 if beta is None else beta) * field
            here = addresses[k].at(step=addresses[k].step + sweep)
            states[k] = draws[side.kind](field, here, torch.empty_like(field))
    return states

ADDRESSES = [
    Address(0, 0),
    Address(2**64 - 2**31, 2**15 - 1, step=2**48 - 9, chain=2**32 - 300, unit=2**34 - 2**14),
    Address(2**40 + 1, 7, step=2**32 + 5, chain=np.array([9, 3, 3, 2**32 - 1] * 20), unit=12),
]
for n, m, kinds in ((70, 33, ("bernoulli", "spin")), (5, 130, ("spin", "bernoulli"))):
    # multiples of 1/64: the fields are the same in every order of summation
    weight = torch.from_numpy(np.round(np.random.default_rng(1).normal(size=(n, m)) * 16) / 64).float()
    sides = layer(n, kinds[0], 2), layer(m, kinds[1], 3)
    ends = sides[0], Side(kinds[1], 1, sides[1].bias, torch.ones(m))
    for address in ADDRESSES:
        addresses = address, address.at(unit=address.unit + 72)
        start = torch.ones(80, n)
        for pair, beta in ((sides, None), (ends, torch.arange(80)[:, None] / 64)):
            both = pair if beta is None else (Side(kinds[0], 1, sides[0].bias, torch.zeros(n)), pair[1])
            got = gpu.gibbs(weight, both, start, addresses, 2, beta)
            expected = block_by_block(weight, both, start, addresses, 2, beta)
            assert same(got[0], expected[0]) and same(got[1], expected[1]), (n, address)
            assert 0.05 < (got[1] == 1).float().mean() < 0.95

# infinite and undefined fields
weight = torch.zeros(4, 8)
bias = torch.tensor([torch.inf, -torch.inf, torch.nan, 1e4, -1e4, 0.0, 88.0, -88.0])
for kind, draw in (("bernoulli", reference.draw_bernoulli), ("spin", reference.draw_spin)):
    pair = layer(4, kind, 5), Side(kind, 1, bias)
    _, h = gpu.gibbs(weight, pair, torch.ones(50, 4), (Address(1, 1), Address(1, 1, unit=4)), 1)
    expected = draw(bias.expand(50, 8), Address(1, 1, unit=4), torch.empty(50, 8))
    assert ((h == expected) | (h.isnan() & expected.isnan())).all()
print("the same")
"""


@pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="needs Triton, which there is on Linux only"
)
def test_the_kernel_draws_what_the_reference_draws():
    # the interpreter is chosen when Triton is imported, so in a process of its own
    run = [sys.executable, "-W", "ignore", "-c", "import os; os.environ['TRITON_INTERPRET'] = '1'\n" + SCRIPT]
    done = subprocess.run(run, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout == "the same\n"
