"""Draws are one result, whatever draws it: loops, threads, processes, layouts; wrong input."""

import math
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from scipy.stats import binom, poisson

from harmonium import kernels
from harmonium.kernels import draws, launch, reference
from harmonium.random import Address, Purpose
from kernel_fields import DTYPES, HERE, same

ADDRESSES = {
    "origin": Address(0, 0),
    "late": Address(2**64 - 2**31, 2**15 - 1, step=2**48 - 1, chain=2**32 - 300, unit=2**34 - 2**14),
    "explicit": Address(
        2**40 + 1, Purpose.CHAIN, step=2**32 + 5, chain=np.array([9, 3, 3, 2**32 - 1]), unit=12
    ),
}


@pytest.fixture
def threads():
    """Sets the number of threads for a test, and sets it back."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def fields(rows, width, dtype, seed=0, scale=4.0):
    values = np.random.default_rng(seed).normal(size=(rows, width)) * scale
    return torch.from_numpy(values).to(dtype)


# ---------------------------------------------------------------- one result, whatever draws it

SHAPES = [(4, 1), (4, 3), (4, 5), (4, 12), (4, 33), (4, 255), (4, 1024), (4, 1027), (4, 4100)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("address", ADDRESSES.values(), ids=ADDRESSES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_compiled_kernels_equal_the_reference(shape, address, dtype):
    field = fields(*shape, dtype)
    field.view(-1)[::7] = torch.tensor(
        [math.inf, -math.inf, 1e4, -1e4, 0.0, -0.0, 1e-40, math.nan], dtype=dtype
    )[torch.arange(len(field.view(-1)[::7])) % 8]
    out = torch.empty_like(field)
    assert same(draws.uniform(address, shape, dtype, "cpu"), reference.uniform(address, shape, dtype, "cpu"))
    for draw in ("draw_bernoulli", "draw_spin"):
        drawn = getattr(kernels, draw)(field, address)
        assert same(drawn, getattr(reference, draw)(field, address, out))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("address", ADDRESSES.values(), ids=ADDRESSES)
@pytest.mark.parametrize(("sites", "states"), [(1, 1), (5, 2), (700, 3), (100, 21), (3, 400), (1, 2500)])
def test_compiled_categories_equal_the_reference(sites, states, address, dtype):
    field = fields(4, sites * states, dtype)
    field.view(-1)[::5] = -math.inf
    field.view(-1)[::97] = math.inf
    field[1, -1] = math.nan
    drawn = kernels.draw_categorical(field, states, address)
    assert same(drawn, reference.draw_categorical(field, states, address, torch.empty_like(field)))


@pytest.mark.parametrize("trials", [0, 1, 7, 64, 3000, 2**53])
@pytest.mark.parametrize("address", ADDRESSES.values(), ids=ADDRESSES)
@pytest.mark.parametrize("shape", [(4, 1), (4, 37), (4, 2100)], ids=str)
def test_compiled_counts_equal_the_reference(shape, address, trials, monkeypatch):
    monkeypatch.setattr(draws, "FEW", -1)
    field = fields(*shape, torch.float64)
    extremes = torch.tensor([-math.inf, -800.0, 800.0, math.inf, math.nan, 6.93, 6.94], dtype=torch.float64)
    field[0, : len(extremes)] = extremes[: shape[1]]
    found = kernels.draw_counts(field, trials, address)
    assert same(found, reference.draw_counts(field, trials, address, torch.empty_like(field)))
    assert bool(((found == found.floor()) | field.isnan()).all()) and float(found.nan_to_num().min()) >= -1.0


@pytest.mark.parametrize("trials", [0, 2, 30, 3000])
def test_a_count_is_the_least_whose_probability_reaches_the_uniform(trials):
    field = torch.log(torch.linspace(0.01, 30.0, 5000, dtype=torch.float64))[:, None]
    field = field - math.log(trials) if trials else field
    law = poisson(field.exp().numpy()) if trials == 0 else binom(trials, torch.sigmoid(field).numpy())
    expected = law.ppf(kernels.uniform(HERE, (5000, 1), torch.float64).numpy())
    assert np.array_equal(kernels.draw_counts(field, trials, HERE).numpy(), expected)


def test_counts_are_drawn_in_float64():
    with pytest.raises(TypeError, match=r"^field must be torch.float64, got torch.float32\.$"):
        kernels.draw_counts(torch.zeros(1, 1), 3, HERE)


@pytest.mark.parametrize("dtype", DTYPES)
def test_draws_on_the_edge_equal_the_reference(dtype):
    # fields where u (1 + exp(-field)) is 1 up to rounding: every last bit of the arithmetic decides a draw
    u = kernels.uniform(HERE, (100, 1000), dtype).double()
    field = (torch.log(u) - torch.log1p(-u)).to(dtype)
    for draw, edge in (("draw_bernoulli", field), ("draw_spin", field / 2)):
        drawn = getattr(kernels, draw)(edge, HERE)
        assert 0.2 < (drawn == 1).double().mean() < 0.8
        assert same(drawn, getattr(reference, draw)(edge, HERE, torch.empty_like(edge)))


def test_the_first_state_above_the_threshold_is_taken():
    # 48 equal weights: the cumulative weights are 1 ... 48, and now and then u * 48 is rounded to one of them
    threshold = kernels.uniform(HERE, (1000, 4000)) * 48
    hits = (threshold == threshold.round()).nonzero().tolist()
    assert len(hits) > 3
    for row, unit in hits:
        address = HERE.at(chain=row, unit=unit // 4 * 4)
        for draw in (kernels.draw_categorical, reference.draw_categorical):
            drawn = draw(torch.zeros(1, 4 * 48), 48, address, torch.empty(1, 4 * 48)).reshape(4, 48)[unit % 4]
            assert drawn.argmax() == threshold[row, unit]


@pytest.mark.parametrize("dtype", DTYPES)
def test_results_do_not_depend_on_threads(threads, dtype):
    field = fields(150, 540, dtype)
    results = []
    for number in (1, 2, 3):
        threads(number)
        results.append(
            [
                kernels.uniform(HERE, (150, 540), dtype),
                kernels.draw_bernoulli(field, HERE),
                kernels.draw_spin(field, HERE),
                kernels.draw_categorical(field, 6, HERE),
            ]
        )
    for others in results[1:]:
        assert all(same(a, b) for a, b in zip(results[0], others, strict=True))


def test_one_long_row_is_shared_among_threads(threads):
    field = fields(1, 50_001, torch.float32)
    threads(2)
    out = torch.empty_like(field)
    assert same(kernels.draw_bernoulli(field, HERE), reference.draw_bernoulli(field, HERE, out))


@pytest.mark.parametrize("dtype", DTYPES)
def test_results_do_not_depend_on_how_the_block_is_cut(dtype):
    field = fields(30, 300, dtype)
    address = HERE.at(chain=100, unit=40)
    whole = kernels.draw_bernoulli(field, address)
    rows = [kernels.draw_bernoulli(field[r : r + 7], address.at(chain=100 + r)) for r in range(0, 30, 7)]
    assert same(torch.cat(rows), whole)
    columns = [
        kernels.draw_bernoulli(field[:, c : c + 64], address.at(unit=40 + c)) for c in range(0, 300, 64)
    ]
    assert same(torch.cat(columns, dim=1), whole)
    order = torch.from_numpy(np.random.default_rng(2).permutation(30))
    shuffled = kernels.draw_bernoulli(field[order], address.at(chain=100 + order.numpy()))
    assert same(shuffled, whole[order])


def test_categories_do_not_depend_on_how_the_block_is_cut():
    field = fields(10, 100 * 5, torch.float32)
    whole = kernels.draw_categorical(field, 5, HERE)
    pieces = [
        kernels.draw_categorical(field[:, 5 * s : 5 * s + 60], 5, HERE.at(unit=s)) for s in range(0, 100, 12)
    ]
    assert same(torch.cat(pieces, dim=1), whole)


def test_fields_of_any_layout_give_the_same_draws():
    field = fields(60, 200, torch.float32)
    whole = kernels.draw_bernoulli(field, HERE)
    wide = torch.zeros(60, 3, 400)
    wide[:, 1, 100:300] = field
    every_other = torch.zeros(60, 400)
    every_other[:, ::2] = field
    layouts = [field.t().contiguous().t(), wide[:, 1, 100:300], every_other[:, ::2]]
    assert all(same(kernels.draw_bernoulli(layout, HERE), whole) for layout in layouts)
    assert all(kernels.draw_bernoulli(layout, HERE).is_contiguous() for layout in layouts)
    one_row = field[:1].expand(60, 200)
    assert same(kernels.draw_bernoulli(one_row, HERE), kernels.draw_bernoulli(one_row.contiguous(), HERE))


@pytest.mark.parametrize("draw", [kernels.draw_bernoulli, kernels.draw_spin])
def test_out_is_filled_and_returned(draw):
    field = fields(60, 200, torch.float32)
    whole = draw(field, HERE)
    out = torch.empty_like(field)
    assert draw(field, HERE, out=out) is out
    assert same(out, whole)
    wide = torch.full((60, 400), 7.0)
    draw(field, HERE, out=wide[:, 100:300])
    assert same(wide[:, 100:300], whole)
    assert (wide[:, :100] == 7).all()
    assert (wide[:, 300:] == 7).all()
    assert same(draw(field, HERE, out=field), whole), "drawing in place"


def test_categories_may_be_drawn_in_place():
    field = fields(60, 210, torch.float64)
    whole = kernels.draw_categorical(field, 7, HERE)
    assert same(kernels.draw_categorical(field, 7, HERE, out=field), whole)


def test_empty_blocks_are_empty():
    assert kernels.uniform(HERE, (0, 5)).shape == (0, 5)
    assert kernels.draw_bernoulli(torch.zeros(3, 0), HERE).shape == (3, 0)
    assert kernels.draw_categorical(torch.zeros(0, 6), 3, HERE).shape == (0, 6)
    assert kernels.draw_spin(torch.zeros(0, 6), HERE.at(chain=np.array([], dtype=np.int64))).shape == (0, 6)


def test_draws_carry_no_gradient():
    field = torch.zeros(3, 4, requires_grad=True)
    assert not kernels.draw_bernoulli(field, HERE).requires_grad
    assert not kernels.draw_categorical(field, 2, HERE).requires_grad


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_gpu_gives_the_same_draws(dtype):
    field = fields(33, 210, dtype)
    assert same(
        kernels.uniform(HERE, (33, 210), dtype, "cuda").cpu(), kernels.uniform(HERE, (33, 210), dtype)
    )
    for draw in (kernels.draw_bernoulli, kernels.draw_spin):
        assert same(draw(field.cuda(), HERE).cpu(), draw(field, HERE))
    on_gpu = kernels.draw_categorical(field.cuda(), 7, HERE).cpu()
    assert same(on_gpu, kernels.draw_categorical(field, 7, HERE))


# ---------------------------------------------------------------- threads and processes


def test_python_threads_may_draw_at_once(threads):
    threads(2)
    field = fields(100, 500, torch.float32)
    whole, wrong = kernels.draw_bernoulli(field, HERE), []

    def work():
        torch.set_num_threads(2)
        wrong.extend(1 for _ in range(30) if not same(kernels.draw_bernoulli(field, HERE), whole))

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


FORK = """
import os, signal, warnings
import torch
torch.set_num_threads(2)
from harmonium import kernels
from harmonium.random import Address
field = torch.zeros(100, 500)
before = kernels.draw_bernoulli(field, Address(1, 1))
torch.mm(field, field.T)
warnings.simplefilter("ignore")  # Python warns of threads at a fork
child = os.fork()
if child == 0:
    signal.alarm(20)  # a deadlock ends by a signal
    after = kernels.draw_bernoulli(field, Address(1, 1))
    os._exit(0 if (after.numpy() == before.numpy()).all() else 1)
assert os.waitpid(child, 0)[1] == 0
assert torch.equal(kernels.draw_bernoulli(field, Address(1, 1)), before)
"""


@pytest.mark.skipif(not hasattr(sys, "getdlopenflags"), reason="needs fork")
def test_a_forked_child_draws_too():
    done = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_without_openmp_the_draws_are_the_same(threads, monkeypatch):
    field = fields(100, 500, torch.float32)
    threads(2)
    whole = kernels.draw_bernoulli(field, HERE)
    monkeypatch.setattr(launch, "openmp", lambda: None)
    assert same(kernels.draw_bernoulli(field, HERE), whole)


# ---------------------------------------------------------------- wrong input

ZEROS = torch.zeros(2, 6)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: kernels.draw_bernoulli([[0.0]], HERE), TypeError, "field must be a torch.Tensor, got list"),
        (lambda: kernels.draw_bernoulli(ZEROS.long(), HERE), TypeError, "field must be .*got torch.int64"),
        (lambda: kernels.draw_spin(ZEROS.half(), HERE), TypeError, "field must be .*got torch.float16"),
        (lambda: kernels.draw_bernoulli(ZEROS[0], HERE), ValueError, r"two dimensions .*got shape \(6,\)"),
        (lambda: kernels.draw_bernoulli(ZEROS, 3), TypeError, "address must be an Address, got int"),
        (
            lambda: kernels.draw_bernoulli(ZEROS, HERE.at(chain=[1])),
            ValueError,
            "one number for each of 2 rows",
        ),
        (
            lambda: kernels.draw_bernoulli(ZEROS, HERE, out=3),
            TypeError,
            "out must be a torch.Tensor, got int",
        ),
        (
            lambda: kernels.draw_bernoulli(ZEROS, HERE, out=ZEROS.double()),
            TypeError,
            "out must have .*float32",
        ),
        (
            lambda: kernels.draw_bernoulli(ZEROS, HERE, out=ZEROS[:1]),
            ValueError,
            r"shape \(2, 6\) on cpu, got \(1, 6\)",
        ),
        (lambda: kernels.draw_spin(ZEROS, HERE, out=ZEROS.to("meta")), ValueError, "on cpu, got .* on meta"),
        (
            lambda: kernels.draw_spin(ZEROS, HERE, out=torch.zeros(6, 2).t()),
            ValueError,
            "columns next to each other",
        ),
        (lambda: kernels.draw_spin(ZEROS, HERE, out=ZEROS[:1].expand(2, 6)), ValueError, "separate rows"),
        (
            lambda: kernels.draw_spin(ZEROS, HERE, out=torch.zeros(2, 6, requires_grad=True)),
            ValueError,
            "gradient",
        ),
        (
            lambda: kernels.draw_categorical(ZEROS, 4, HERE),
            ValueError,
            r"multiple of 4 \(states\) columns, got 6",
        ),
        (lambda: kernels.draw_categorical(ZEROS, 0, HERE), ValueError, "states must be at least 1, got 0"),
        (
            lambda: kernels.draw_categorical(ZEROS, 2.0, HERE),
            TypeError,
            r"states must be an integer, got 2\.0",
        ),
        (lambda: kernels.draw_categorical(ZEROS[0], 2, HERE), ValueError, "two dimensions"),
        (lambda: kernels.uniform(HERE, (2,)), ValueError, r"two numbers \(rows, units\).* got \(2,\)"),
        (lambda: kernels.uniform(HERE, (2, -1)), ValueError, "two numbers"),
        (lambda: kernels.uniform(HERE, (2, 1.5)), ValueError, "two numbers"),
        (
            lambda: kernels.uniform(HERE, (2, 2), torch.float16),
            TypeError,
            "dtype must be .*got torch.float16",
        ),
        (lambda: kernels.uniform(HERE.at(unit=2**34 - 4), (2, 5)), ValueError, r"unit \+ units"),
    ],
)
def test_wrong_input_is_refused_in_a_sentence(call, error, message):
    with pytest.raises(error, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")
