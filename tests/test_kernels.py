"""The kernels: published vectors, one result whatever draws it, right chances, sentences for wrong input."""

import math
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import binom, chi2, poisson

from harmonium import kernels
from harmonium.kernels import draws, launch, reference
from harmonium.random import Address, Purpose
from statistics_budget import tail_probability, z_threshold

HERE = Address(seed=20, purpose=Purpose.TRIAL)
DTYPES = (torch.float32, torch.float64)
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


def same(a, b):
    """Equal bits; any NaN equals any NaN."""
    whole = torch.int32 if a.dtype == torch.float32 else torch.int64
    return a.dtype == b.dtype and bool(((a.view(whole) == b.view(whole)) | (a.isnan() & b.isnan())).all())


# ---------------------------------------------------------------- Philox and the map of addresses

VECTORS = [  # Random123's known answers for philox4x32-10: counter, key, words
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


def integers(text):
    return [int(word, 16) for word in text.split()]


def philox(counter, key):
    """An independent Philox4x32-10 on Python's integers."""
    (a, b, c, d), (k, l) = counter, key
    for _ in range(10):
        p, q = a * 0xD2511F53, c * 0xCD9E8D57
        a, b, c, d = q >> 32 ^ b ^ k, q & 0xFFFFFFFF, p >> 32 ^ d ^ l, p & 0xFFFFFFFF
        k, l = (k + 0x9E3779B9) % 2**32, (l + 0xBB67AE85) % 2**32
    return [a, b, c, d]


def published_uniform(seed, purpose, step, chain, unit, double):
    """The draw at an address, from the map in docs/kernels.md."""

    def word(low):
        counter = [unit // 4, chain, step % 2**32, low << 31 | purpose << 16 | step >> 32]
        return philox(counter, [seed % 2**32, seed >> 32])[unit % 4]

    if double:
        return ((word(0) << 20 | word(1) >> 12) + 0.5) / 2**52
    return ((word(0) >> 9) + 0.5) / 2**23


@pytest.mark.parametrize(("counter", "key", "words"), VECTORS)
def test_philox_gives_the_published_words(counter, key, words):
    assert philox(integers(counter), integers(key)) == integers(words)
    tensors = [torch.tensor(c) for c in integers(counter)]
    assert [int(w) for w in reference.philox(tensors, tuple(integers(key)))] == integers(words)


def test_the_published_words_come_out_of_the_public_function():
    counter, key, words = (integers(text) for text in VECTORS[2])
    address = Address(
        seed=key[1] << 32 | key[0],
        purpose=counter[3] >> 16,
        step=(counter[3] & 0xFFFF) << 32 | counter[2],
        chain=counter[1],
        unit=4 * counter[0],
    )
    bits = kernels.uniform(address, (1, 4), torch.float64)[0] * 2**52
    assert [int(b) >> 20 for b in bits.tolist()] == words
    largest = Address(2**64 - 1, 2**15 - 1, step=2**48 - 1, chain=2**32 - 1, unit=2**34 - 4)
    bits = kernels.uniform(largest, (1, 4), torch.float64)[0] * 2**52
    assert [int(b) & 0xFFFFF for b in bits.tolist()] == [word >> 12 for word in integers(VECTORS[1][2])]


@pytest.mark.parametrize("dtype", DTYPES)
def test_uniforms_follow_the_published_map(dtype):
    numbers = np.random.default_rng(1)
    for _ in range(20):
        seed, step = (int(numbers.integers(2**bits, dtype=np.uint64)) for bits in (63, 48))
        purpose, chain = int(numbers.integers(2**15)), int(numbers.integers(2**32 - 2))
        unit = 4 * int(numbers.integers(2**32 - 2))
        drawn = kernels.uniform(Address(seed, purpose, step, chain, unit), (2, 7), dtype)
        for (row, column), value in np.ndenumerate(drawn.numpy()):
            exact = published_uniform(seed, purpose, step, chain + row, unit + column, dtype == torch.float64)
            assert value == exact


def test_single_and_double_uniforms_agree():
    single, double = (kernels.uniform(HERE, (50, 70), dtype).double() for dtype in DTYPES)
    assert (single - double).abs().max() <= 2.0**-24


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


# ---------------------------------------------------------------- the arithmetic


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-7), (torch.float64, 5e-16)])
def test_the_exponential_is_as_exact_as_stated(dtype, bound):
    limit = reference.Exponential.of(dtype).limit
    x = torch.linspace(-limit, limit, 400_001, dtype=torch.float64).to(dtype)
    exact = np.array([math.exp(value) for value in x.tolist()])
    assert np.abs(reference.exp(x).double().numpy() / exact - 1).max() <= bound


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 2e-7), (torch.float64, 6e-16)])
def test_the_probability_is_as_exact_as_stated(dtype, bound):
    field = torch.linspace(-80, 80, 200_001, dtype=torch.float64).to(dtype)
    exact = np.array([1 / (1 + math.exp(-value)) for value in field.tolist()])
    probability = 1 / (reference.exp(-field) + 1).double().numpy()
    assert np.abs(probability / exact - 1).max() <= bound


def test_the_share_of_uniforms_that_fire_is_the_probability():
    # A float32 uniform takes the values (k + 1/2) 2**-23, so the chance of a one is a count of k.
    # What separates it from the sigmoid: three roundings of 2**-24 and the steps of u.
    field = torch.linspace(-20, 20, 20_001)
    weight = reference.exp(-field) + 1
    guess = (2**23 / weight.double()).long()
    near = guess[:, None] + torch.arange(-3, 4)
    fires = ((near.float() + 0.5) * 2.0**-23) * weight[:, None] < 1
    assert fires[:, 0].all()
    assert not fires[:, -1].any()
    count = near[:, 0] + fires.sum(1)
    assert (count / 2.0**23 - torch.sigmoid(field.double())).abs().max() <= 4 * 2.0**-24


@pytest.mark.parametrize("dtype", DTYPES)
def test_extreme_fields_are_certain_and_nan_stays(dtype):
    field = torch.tensor([[math.inf, 1e4, 50.0, -50.0, -1e4, -math.inf, math.nan]], dtype=dtype).expand(
        500, 7
    )
    certain = torch.tensor([1.0, 1.0, 1.0, 0.0, 0.0, 0.0], dtype=dtype).expand(500, 6)
    drawn = kernels.draw_bernoulli(field, HERE)
    assert same(drawn[:, :6].contiguous(), certain.contiguous())
    assert drawn[:, 6].isnan().all()
    drawn = kernels.draw_spin(field, HERE)
    assert same(drawn[:, :6].contiguous(), (2 * certain - 1).contiguous())
    assert drawn[:, 6].isnan().all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_extreme_categories(dtype):
    inf, nan = math.inf, math.nan
    field = torch.tensor([[-inf, 0.0, -inf, -1e4, 1e4, 0.0, 5.0, inf, 7.0, -inf, -inf, -inf, 0.0, nan, 1.0]])
    drawn = kernels.draw_categorical(field.to(dtype).expand(200, 15), 3, HERE)
    assert (drawn[:, :9] == torch.tensor([0, 1, 0, 0, 1, 0, 0, 1, 0])).all()
    assert drawn[:, 9:].isnan().all()
    impossible = torch.tensor([[-inf, 0.0, -inf, 0.0, -inf]], dtype=dtype).expand(4000, 5)
    drawn = kernels.draw_categorical(impossible, 5, HERE)
    assert (drawn.sum(1) == 1).all()
    assert not drawn[:, ::2].any()


# ---------------------------------------------------------------- chances


@pytest.mark.parametrize("dtype", DTYPES)
def test_uniforms_are_uniform(dtype):
    u = kernels.uniform(HERE, (1000, 1000), dtype).double()
    assert u.min() > 0
    assert u.max() < 1
    z = z_threshold(2)
    assert abs(u.mean() - 1 / 2) <= z * math.sqrt(1 / 12 / u.numel())
    assert abs(u.var() - 1 / 12) <= z * math.sqrt(
        1 / 180 / u.numel()
    )  # the variance of (u - 1/2)**2 is 1/180


@pytest.mark.parametrize("dtype", DTYPES)
def test_uniforms_fill_the_interval_evenly(dtype):
    u = kernels.uniform(HERE.at(step=1), (1000, 1000), dtype)
    counts = torch.bincount((u * 1000).long().flatten(), minlength=1000).double()
    statistic = ((counts - 1000) ** 2 / 1000).sum()
    limits = chi2.ppf([tail_probability(2), 1 - tail_probability(2)], 999)
    assert limits[0] < statistic < limits[1]


def test_the_lowest_bits_are_fair():
    single = (kernels.uniform(HERE, (500, 500)).double() * 2**23).long()
    double = (kernels.uniform(HERE, (500, 500), torch.float64) * 2**52).long()
    ones = torch.tensor([(bits >> k & 1).double().mean() for bits in (single, double) for k in range(23)])
    assert (ones - 0.5).abs().max() <= z_threshold(46) * 0.5 / 500


def test_neighbours_are_uncorrelated():
    u = kernels.uniform(HERE, (800, 800)).double() - 0.5
    others = [
        kernels.uniform(HERE.at(step=1), (800, 800)),
        kernels.uniform(HERE.at(step=2**32), (800, 800)),
        kernels.uniform(HERE.at(chain=800), (800, 800)),
        kernels.uniform(HERE.at(unit=800), (800, 800)),
        kernels.uniform(Address(HERE.seed + 1, HERE.purpose), (800, 800)),
        kernels.uniform(Address(HERE.seed + 2**32, HERE.purpose), (800, 800)),
        kernels.uniform(Address(HERE.seed, HERE.purpose + 1), (800, 800)),
    ]
    pairs = [(u, other.double() - 0.5) for other in others]
    pairs += [(u[:, k:], u[:, :-k]) for k in (1, 2, 3, 4)] + [(u[1:], u[:-1])]
    z = z_threshold(len(pairs))
    for a, b in pairs:
        assert abs((a * b).mean()) <= z / 12 / math.sqrt(a.numel())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("draw", "slope", "low"), [(kernels.draw_bernoulli, 1, 0), (kernels.draw_spin, 2, -1)]
)
def test_states_have_the_right_chances(draw, slope, low, dtype):
    field = torch.tensor([-8.0, -4.0, -2.0, -1.0, -0.3, 0.0, 0.1, 0.7, 1.5, 3.0, 6.0, 9.0], dtype=dtype)
    drawn = draw(field.expand(200_000, 12), HERE)
    assert ((drawn == low) | (drawn == 1)).all()
    p = torch.sigmoid(slope * field.double())
    error = ((drawn == 1).double().mean(0) - p).abs()
    # Bernstein's inequality, because a normal tail is too thin for the rare states
    log = math.log(2 / tail_probability(12))
    bound = log / 3 / 200_000 + torch.sqrt((log / 3 / 200_000) ** 2 + 2 * p * (1 - p) * log / 200_000)
    assert (error <= bound).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_categories_have_the_right_chances(dtype):
    field = torch.tensor([0.0, 1.0, -1.0, 2.0, 0.5, 0.0, 300.0, 300.5, 299.0, 298.0], dtype=dtype)
    drawn = kernels.draw_categorical(field.expand(100_000, 10), 5, HERE).double()
    drawn = drawn.reshape(-1, 2, 5)
    assert (drawn.sum(2) == 1).all()
    expected = torch.softmax(field.double().reshape(2, 5), 1) * 100_000
    seen = drawn.sum(0)
    assert seen[1, 0] == 0
    statistics = [((seen[0] - expected[0]) ** 2 / expected[0]).sum()]
    statistics += [((seen[1, 1:] - expected[1, 1:]) ** 2 / expected[1, 1:]).sum()]
    for statistic, freedom in zip(statistics, (4, 3), strict=True):
        assert chi2.sf(float(statistic), freedom) > tail_probability(3)
    # the two sites are drawn independently of each other
    joint = torch.einsum("bi,bj->ij", drawn[:, 0], drawn[:, 1, 1:]).flatten()
    product = (expected[0][:, None] * expected[1, 1:] / 100_000).flatten()
    assert chi2.sf(float(((joint - product) ** 2 / product).sum()), 19) > tail_probability(3)


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


def test_the_published_map_runs_as_printed():
    page = (Path(__file__).parent.parent / "docs" / "kernels.md").read_text()
    blocks = page.split("```python\n")[1:]
    assert blocks
    for block in blocks:
        exec(block.split("```")[0], {})
