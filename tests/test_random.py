"""Addresses, and the rule that nothing in the package draws from anywhere else."""

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import harmonium
from harmonium.random import Address, Purpose

HERE = Address(seed=7, purpose=Purpose.TRIAL, step=5, chain=10, unit=8)


def test_purposes_keep_their_numbers():
    assert {purpose.name: purpose.value for purpose in Purpose}.items() >= {
        "WEIGHTS": 1,
        "ORDER": 2,
        "SPLIT": 3,
        "DATA": 4,
        "START": 5,
        "POSITIVE": 6,
        "CHAIN": 7,
        "CLAMP": 8,
        "SAMPLE": 9,
        "ANNEALING": 10,
        "BRIDGE": 11,
        "SWAP": 12,
        "DIAGNOSE": 16,
        "TRIAL": 17,
    }.items()
    assert all(0 < purpose < 2**15 for purpose in Purpose)
    assert len(Purpose) == len(Purpose.__members__), "two names share a number"


def test_moving_keeps_the_rest_and_the_original():
    moved = HERE.at(step=9, unit=12)
    assert (moved.seed, moved.purpose, moved.step, moved.chain, moved.unit) == (7, Purpose.TRIAL, 9, 10, 12)
    assert (HERE.step, HERE.unit) == (5, 8)
    assert HERE.at(chain=3).chain == 3
    with pytest.raises(AttributeError):
        HERE.step = 6


def test_chains_count_from_the_first_or_are_explicit():
    assert HERE.chains(3).tolist() == [10, 11, 12]
    assert HERE.at(chain=2**32 - 2).chains(2).tolist() == [2**32 - 2, 2**32 - 1]
    numbers = np.array([4, 4, 2**32 - 1])
    explicit = HERE.at(chain=numbers)
    numbers[0] = 0
    assert explicit.chains(3).tolist() == [4, 4, 2**32 - 1], "the address shares memory with its argument"
    assert explicit.chains(3).dtype == np.uint32
    with pytest.raises(ValueError, match="read-only"):
        explicit.chain[0] = 1


def test_numpy_integers_are_integers():
    address = Address(
        np.uint64(2**64 - 1), np.int64(3), step=np.int32(2), chain=np.uint8(1), unit=np.int16(4)
    )
    assert (address.seed, address.purpose, address.step, address.chain, address.unit) == (
        2**64 - 1,
        3,
        2,
        1,
        4,
    )
    assert all(type(n) is int for n in (address.seed, address.purpose, address.step, address.chain))


def test_the_largest_address_fits():
    Address(2**64 - 1, 2**15 - 1, step=2**48 - 1, chain=2**32 - 1, unit=2**34 - 4).check(1, 4)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"seed": -1}, ValueError, r"seed must be at least 0 and below 2\*\*64, got -1"),
        ({"seed": 2**64}, ValueError, "seed must be at least 0"),
        ({"seed": 1.0}, TypeError, r"seed must be an integer, got 1\.0"),
        ({"seed": True}, TypeError, "seed must be an integer, got True"),
        ({"seed": None}, TypeError, "seed must be an integer, got None"),
        ({"purpose": 2**15}, ValueError, "purpose must be at least 0"),
        ({"step": 2**48}, ValueError, "step must be at least 0"),
        ({"chain": 2**32}, ValueError, "chain must be at least 0"),
        ({"chain": [0, 2**32]}, ValueError, "chain must be at least 0"),
        ({"chain": [0, -1]}, ValueError, "chain must be at least 0"),
        ({"chain": [0.0, 1.0]}, TypeError, "chain must be an integer or an array of integers"),
        ({"chain": [[0, 1]]}, ValueError, r"one-dimensional array, got shape \(1, 2\)"),
        ({"chain": 1.5}, TypeError, "chain must be an integer"),
        ({"unit": 2}, ValueError, "unit must be a multiple of 4"),
        ({"unit": 2**34}, ValueError, "unit must be at least 0"),
    ],
)
def test_wrong_addresses_are_refused_in_a_sentence(change, error, message):
    with pytest.raises(error, match=message):
        Address(**{"seed": 1, "purpose": 1, **change})
    if not {"seed", "purpose"} & set(change):
        with pytest.raises(error, match=message):
            HERE.at(**change)


def test_blocks_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"chain \+ rows must be at most 2\*\*32"):
        HERE.at(chain=2**32 - 2).check(3, 1)
    with pytest.raises(ValueError, match="one number for each of 3 rows, got 2 numbers"):
        HERE.at(chain=[1, 2]).chains(3)
    with pytest.raises(ValueError, match=r"unit \+ units must be at most 2\*\*34"):
        HERE.at(unit=2**34 - 4).check(1, 5)
    HERE.at(step=2**48 - 2).check(1, 1, steps=2)
    with pytest.raises(ValueError, match=r"step \+ steps must be at most 2\*\*48"):
        HERE.at(step=2**48 - 2).check(1, 1, steps=3)


# ---------------------------------------------------------------- no other source of randomness

METHODS = {  # of tensors and arrays, and functions of torch: each draws from the global generator
    *(
        "bernoulli",
        "bernoulli_",
        "cauchy_",
        "exponential_",
        "geometric_",
        "log_normal_",
        "multinomial",
        "normal",
    ),
    *("normal_", "poisson", "rand", "rand_like", "randint", "randint_like", "randn", "randn_like", "random_"),
    *("randperm", "uniform_", "manual_seed", "seed", "set_rng_state", "Generator", "default_generator"),
    *("rrelu", "dropout", "alpha_dropout", "trunc_normal_", "kaiming_uniform_", "kaiming_normal_"),
    *("xavier_uniform_", "xavier_normal_", "orthogonal_", "sparse_", "train_test_split"),
}
ROOTS = {"torch", "nn", "F", "init"}


def strangers(source: str) -> list[str]:
    """What draws from a global generator in a piece of source."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [a.name for a in node.names if a.name in ("random", "numpy.random", "secrets")]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = {a.name for a in node.names}
            if node.module in ("random", "numpy.random", "secrets", "torch.random", "torch.nn.init"):
                found.append(str(node.module))
            elif str(node.module).split(".")[0] in ("numpy", "torch", "sklearn"):
                found += sorted(names & (METHODS | {"random"}))
        elif isinstance(node, ast.Attribute):
            inplace = node.attr.endswith("_") and node.attr in METHODS
            root = node.value.id if isinstance(node.value, ast.Name) else ""
            if inplace or (root in ROOTS and node.attr in METHODS):
                found.append(node.attr)
            if root in ("np", "numpy", "torch") and node.attr == "random":
                found.append(f"{root}.random")
    return found


@pytest.mark.parametrize(
    "line",
    [
        "import random",
        "from random import random",
        "import numpy as np; np.random.default_rng(0)",
        "from numpy.random import Generator",
        "from numpy import random",
        "import torch; torch.rand(3)",
        "from torch import randn",
        "import torch; torch.empty(3).uniform_()",
        "import torch; g = torch.Generator()",
        "import torch; torch.manual_seed(0)",
        "from torch import nn; nn.init.normal_(w)",
        "import torch; torch.random.fork_rng()",
    ],
)
def test_the_search_for_global_generators_finds_them(line):
    assert strangers(line)


def test_no_file_draws_from_a_global_generator():
    files = sorted(Path(harmonium.__file__).parent.rglob("*.py"))
    assert len(files) > 5
    found = {str(f): strangers(f.read_text()) for f in files}
    assert {f: names for f, names in found.items() if names} == {}


UNTOUCHED = """
import random, sys
import numpy as np, torch
before = torch.get_rng_state(), np.random.get_state(legacy=False), random.getstate()
import harmonium
heavy = {"numba", "sklearn", "torch._dynamo"} & set(sys.modules)
assert not heavy, f"importing harmonium imports {heavy}"
from harmonium import kernels
from harmonium.random import Address
for dtype in (torch.float32, torch.float64):
    field = torch.zeros(100, 120, dtype=dtype)
    kernels.uniform(Address(1, 1), (100, 120), dtype)
    kernels.draw_bernoulli(field, Address(1, 1))
    kernels.draw_spin(field, Address(1, 1))
    kernels.draw_categorical(field, 3, Address(1, 1))
after = torch.get_rng_state(), np.random.get_state(legacy=False), random.getstate()
assert torch.equal(before[0], after[0]) and before[2] == after[2]
assert str(before[1]) == str(after[1]) and (before[1]["state"]["key"] == after[1]["state"]["key"]).all()
harmonium.ReLU(2).match(torch.tensor([[1.0, 2.0], [3.0, 5.0], [4.0, 4.0]]))
assert "torch._dynamo" not in sys.modules, "L-BFGS imports the compiler"
harmonium.estimators.RBMDensity  # which scikit-learn is imported for
"""


def test_importing_and_drawing_leaves_the_global_generators_alone():
    done = subprocess.run([sys.executable, "-c", UNTOUCHED], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
