"""The choice of path: what forces it, what can't be had, and what happens where nothing compiles."""

import os
import subprocess
import sys
import warnings

import numba
import numpy as np
import pytest
import torch

import harmonium as hm
from harmonium import kernels
from harmonium.kernels import draws, launch, processor, reference
from harmonium.random import Address, Purpose
from harmonium.sampling import BlockGibbs, initial_chains

HERE = Address(seed=3, purpose=Purpose.TRIAL)


@pytest.fixture
def fresh(monkeypatch):
    """Nothing is compiled yet and no path left; as before afterwards."""
    monkeypatch.setattr(processor, "_left", {})
    for cached in (launch.compiled, launch.function):
        cached.cache_clear()
    yield monkeypatch
    for cached in (launch.compiled, launch.function):
        cached.cache_clear()


def test_a_path_by_name_and_by_what_it_multiplies(monkeypatch):
    for asked, taken in (("wide", "wide"), ("float32", "wide"), ("plain", "plain")):
        monkeypatch.setenv("HARMONIUM_PRODUCTS", asked)
        assert processor.path() == taken
        assert "HARMONIUM_PRODUCTS" in processor.reason()


@pytest.mark.skipif(not processor.no_matrix_units(), reason="there are matrix units here")
@pytest.mark.parametrize("asked", ["matrix", "bfloat16"])
def test_a_path_that_cannot_be_had_is_refused_in_one_sentence(asked, monkeypatch):
    monkeypatch.setenv("HARMONIUM_PRODUCTS", asked)
    with pytest.raises(ValueError, match=r"HARMONIUM_PRODUCTS=matrix can't be had on .* \(.*\): "):
        hm.sample(hm.RBM(hm.Bernoulli(3), hm.Bernoulli(2)), 4, sweeps=2)


def test_units_need_both_the_processor_and_the_code(monkeypatch):
    processor.no_matrix_units.cache_clear()
    monkeypatch.setattr(processor, "host_features", lambda: frozenset(processor.UNITS))
    monkeypatch.setattr(processor, "features", lambda: frozenset())
    try:
        assert "matrix units" in processor.no_matrix_units() or "Linux" in processor.no_matrix_units()
    finally:
        processor.no_matrix_units.cache_clear()


@pytest.mark.filterwarnings("ignore:The path")
def test_loops_that_do_not_compile_leave_the_path_with_one_warning(fresh):
    def broken(*signature, **options):
        raise RuntimeError("no such instruction\nand more")

    field, expected = torch.randn(50, 8), torch.empty(50, 8)
    reference.draw_bernoulli(field, HERE, expected)
    fresh.setattr(numba, "cfunc", broken)
    fresh.setattr(numba, "njit", broken)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert torch.equal(kernels.draw_bernoulli(field, HERE), expected)
        rbm = hm.RBM(hm.Bernoulli(8), hm.Bernoulli(5))
        chains = initial_chains(rbm, 50, HERE)
        BlockGibbs(sweeps=2)(rbm, chains)
        field = hm.MarkovRandomField([2, 2], [((0, 1), np.eye(2))])
        assert hm.log_partition(field).value == pytest.approx(np.log(2 * np.e + 2))
        hm.sample(field, 5, sweeps=3)
        hm.log_partition(rbm)
    told = [str(w.message) for w in said if issubclass(w.category, RuntimeWarning)]
    assert len(told) == len(processor.PATHS) - 1 - bool(processor.no_matrix_units())
    assert '"plain"' in told[-1]
    assert processor.name() in told[-1]
    assert "no such instruction" in told[-1]
    assert processor.path() == "plain"


NO_CACHE = """
import numpy as np, torch, harmonium as hm
from numba.core import caching
from harmonium.kernels import draws, graph, launch
for kind in vars(caching).values():  # whoever is root can write to every folder
    if hasattr(kind, "_locator_classes"):
        kind._locator_classes = []
compile_, asked = launch._with_a_cache, []
launch._with_a_cache = lambda make: compile_(lambda cache: asked.append(cache) or make(cache))
draws.FEW = -1
u = hm.kernels.uniform(hm.random.Address(1, 1), (50, 8), torch.float64)
rbm = hm.RBM(hm.Bernoulli(12), hm.Bernoulli(10))
print(float(u.mean()), hm.log_partition(rbm).value, len(graph.colour_classes(np.array([[1, 0]]), 2)), asked)
"""


def test_where_no_cache_can_be_kept_everything_is_compiled_anew():
    """Draws, exact sums, and a function of arrays."""
    environment = {**os.environ, "NUMBA_OPT": "0"}  # of code that hardly runs
    done = subprocess.run([sys.executable, "-c", NO_CACHE], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    mean, log_z, colours, asked = done.stdout.strip().split(" ", 3)
    assert 0.3 < float(mean) < 0.7 and float(log_z) > 0.0 and int(colours) == 2
    assert asked == str([True, False] * 3)  # each with a cache, and then without


def test_the_first_few_draws_are_those_of_the_compiled_loops(monkeypatch):
    monkeypatch.setattr(draws, "FEW", 10_000)
    monkeypatch.setattr(draws, "_drawn", {})
    field = torch.randn(10, 64)
    blocks = [kernels.draw_bernoulli(field, HERE) for _ in range(12)]
    assert max(draws._drawn.values()) > 10_000
    assert all(torch.equal(b, blocks[0]) for b in blocks)
