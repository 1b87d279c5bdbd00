"""Products of the kernels against float64, within the bounds they state."""

import numpy as np
import pytest
import torch

from harmonium import kernels
from harmonium.kernels import processor

needs_units = pytest.mark.skipif(
    processor.path() != "matrix", reason="needs a processor with matrix units for bfloat16"
)


def numbers(*shape, seed=0):
    generator = np.random.default_rng(seed)
    spread = 10.0 ** generator.uniform(-3, 3, size=shape)  # over six decades: rounding has something to do
    return torch.from_numpy(generator.normal(size=shape) * spread).float()


def states(*shape, seed=1):
    return torch.from_numpy(np.random.default_rng(seed).integers(-1, 2, size=shape)).float()


SHAPES = [(1, 700, 800), (256, 784, 500), (77, 1001, 65), (513, 33, 130), (100, 4200, 21), (34, 128, 256)]


@needs_units
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("exact", [True, False], ids=["states", "numbers"])
def test_products_are_as_exact_as_stated(shape, transposed, exact):
    rows, depth, columns = shape
    left, right, bias = (states if exact else numbers)(rows, depth), numbers(depth, columns), numbers(columns)
    given = left.T.contiguous() if transposed else left
    result = kernels.product(given, right, bias, transposed=transposed)
    truth = left.double() @ right.double() + bias.double()
    size = left.double().abs() @ right.double().abs() + bias.double().abs()
    split, rounding = (2.0**-16 if exact else 2.0**-14), depth * 2.0**-23
    assert ((result.double() - truth).abs() <= (split + rounding) * size).all()
    # the bounds are worst cases; a plane that is lost or taken twice would show in the typical error
    assert ((result.double() - truth).abs() / size).median() < 2.0**-18


@needs_units
def test_products_add_to_what_is_there_and_read_pieces_of_larger_matrices():
    large = numbers(600, 900)
    left = large[3:300, 7:600]
    factor = large[7:600, 200:600]
    out = torch.full((297, 600), 3.0)
    kernels.product(left, factor, add_to=out[:, 100:500])
    truth = left.double() @ factor.double()
    size = left.double().abs() @ factor.double().abs()
    assert ((out[:, 100:500].double() - 3.0 - truth).abs() <= 2.0**-13 * (size + 3)).all()
    assert (out[:, :100] == 3).all()
    assert (out[:, 500:] == 3).all()


@needs_units
def test_products_do_not_depend_on_threads():
    left, right, before = numbers(300, 400), numbers(400, 200), torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            results.append(kernels.product(left, right))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


@pytest.mark.parametrize("path", ["auto", "wide", "plain"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_way_of_calling_gives_the_same_product(path, dtype, monkeypatch):
    monkeypatch.setenv("HARMONIUM_PRODUCTS", path)
    for rows, depth, columns in ((3, 4, 5), (130, 200, 150)):
        left, right, bias = (
            states(rows, depth).to(dtype),
            states(depth, columns).to(dtype),
            torch.ones(columns),
        )
        bias = bias.to(dtype)
        truth = left @ right  # whole numbers: exact in every order
        assert torch.equal(kernels.product(left, right), truth)
        assert torch.equal(kernels.product(left.T.contiguous(), right, bias, transposed=True), truth + 1)
        assert torch.equal(kernels.product(left, right.T.contiguous().T), truth)
        out = torch.ones(rows, columns, dtype=dtype)
        assert kernels.product(left, right, bias, add_to=out) is out
        assert torch.equal(out, truth + 2)


def test_nan_and_the_gradient_pass_through():
    left, right = numbers(200, 300), numbers(300, 100)
    right[7, 9] = torch.nan
    result = kernels.product(left, right)
    assert result[:, 9].isnan().all()
    assert not result[:, :9].isnan().any()
    right = numbers(300, 100).requires_grad_()
    kernels.product(left, right).sum().backward()
    assert right.grad is not None
