"""The stable functions against extended precision and quadrature."""

import math

import numpy as np
import pytest
import torch

from harmonium import numerics
from site_reference import WIDE, Site, half_line

T = [
    -1e4,
    -1e3,
    -200.0,
    -30.0,
    30.0,
    40.0,
    200.0,
    1e3,
    1e4,
    *np.linspace(-12, 12, 97),
    -5.0 - 1e-9,
    -1e-8,
    1e-8,
]


def reference(t):
    return Site(*half_line(t, 1.0))


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (numerics.half_line_cumulant, "cumulant"),
        (numerics.half_line_mean, "mean"),
        (numerics.half_line_variance, "variance"),
    ],
)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-11), (torch.float32, 3e-5)])
def test_half_line_against_quadrature(function, name, dtype, tolerance):
    t = torch.tensor(T, dtype=dtype)
    found = function(t).double().numpy()
    exact = np.array([getattr(reference(x), name) for x in t.double().numpy()], dtype=float)
    # log √(π/2) = 0.2 at zero: the cumulant crosses zero nearby, where only its absolute error counts
    floor = 0.1 if name == "cumulant" else 0.0
    assert (np.abs(found - exact) / np.maximum(np.abs(exact), floor)).max() < tolerance


def test_half_line_derivatives_by_autograd():
    t = torch.tensor(T, dtype=torch.float64, requires_grad=True)
    (mean,) = torch.autograd.grad(numerics.half_line_cumulant(t).sum(), t, create_graph=True)
    (variance,) = torch.autograd.grad(mean.sum(), t)
    torch.testing.assert_close(mean, numerics.half_line_mean(t), rtol=0, atol=0)
    torch.testing.assert_close(variance, numerics.half_line_variance(t), rtol=0, atol=0)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 5e-6)])
def test_half_line_quantile_inverts_the_survival_function(dtype, tolerance):
    u = torch.tensor([1e-7, 1e-5, 0.003, 0.1, 0.5, 0.9, 0.9997], dtype=dtype)
    for t in [-1e4, -200.0, -30.0, -5.001, -5.0, -4.0, -3.001, -3.0, -1.0, 0.0, 2.0, 10.0, 40.0]:
        z = numerics.half_line_quantile(u, torch.full_like(u, t))
        assert bool((z > 0).all())
        # ∫_z^∞ exp(ty - y²/2) dy = exp(tz - z²/2 + g(t - z))
        for each, value in zip(z.double().numpy().astype(WIDE), u.double(), strict=True):
            log_survival = t * each - each**2 / 2 + reference(t - each).cumulant - reference(t).cumulant
            assert abs(float(log_survival) - math.log(value)) < tolerance * max(1.0, abs(t) / 10)


def test_half_line_quantile_at_the_edges_of_the_uniforms():
    for dtype, u in ((torch.float64, [2.0**-53, 1 - 2.0**-53]), (torch.float32, [2.0**-24, 1 - 2.0**-24])):
        for t in T:
            z = numerics.half_line_quantile(torch.tensor(u, dtype=dtype), torch.full((2,), t, dtype=dtype))
            assert bool(z.isfinite().all()) and bool((z >= 0).all()) and z[0] > z[1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_softplus_and_log_two_cosh(dtype):
    x = torch.tensor(
        [-1e4, -200.0, -30.0, -1.0, -1e-8, 0.0, 1e-8, 0.5, 19.9, 20.1, 40.1, 200.0, 1e4], dtype=dtype
    )
    wide = x.double().numpy().astype(WIDE)
    smallest = torch.finfo(dtype).tiny
    for function, exact in (
        (numerics.softplus, np.maximum(wide, 0) + np.log1p(np.exp(-np.abs(wide)))),
        (numerics.log_two_cosh, np.abs(wide) + np.log1p(np.exp(-2 * np.abs(wide)))),
    ):
        found = function(x).double().numpy()
        assert (np.abs(found - exact) <= 4 * torch.finfo(dtype).eps * np.abs(exact) + smallest).all()


def test_log_two_cosh_is_smooth_at_zero():
    x = torch.tensor([-1e-8, 0.0, 1e-8, 3.0], dtype=torch.float64, requires_grad=True)
    (first,) = torch.autograd.grad(numerics.log_two_cosh(x).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    torch.testing.assert_close(first, torch.tanh(x), rtol=1e-7, atol=0)
    torch.testing.assert_close(second, 1 - torch.tanh(x) ** 2, rtol=1e-12, atol=0)


def test_log_binomial():
    for n in (1, 7, 60):
        exact = [math.log(math.comb(n, k)) for k in range(n + 1)]
        found = numerics.log_binomial(n, torch.arange(n + 1.0, dtype=torch.float64))
        torch.testing.assert_close(found, torch.tensor(exact, dtype=torch.float64), rtol=1e-12, atol=1e-12)
