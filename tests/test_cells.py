"""The distribution of a cell given the rest of its row, against enumeration and quadrature."""

from __future__ import annotations

import math

import pytest
import torch

import harmonium as hm
import registry
from harmonium.likelihood import cells as cells_module
from harmonium.likelihood.cells import cells, log_probabilities_of_cells
from harmonium.random import Address, Purpose

ROWS = 6


def rows_of(model: hm.BlockModel, n: int = ROWS) -> torch.Tensor:
    return model.random_state(n, Address(3, Purpose.TRIAL))[0].double()


def log_joint(model: hm.RBM, states: torch.Tensor) -> torch.Tensor:
    return -model.free_energy(states).detach()


@pytest.mark.parametrize(("visible", "hidden"), registry.PAIRS)
def test_a_cell_given_a_whole_row_is_the_ratio_of_joint_weights(visible: str, hidden: str) -> None:
    """log P(a | rest) - log P(b | rest) = F(b, rest) - F(a, rest), and the probabilities sum to one."""
    model = registry.build(visible, hidden)
    v = rows_of(model)
    for cell in cells(model, v):
        assert torch.allclose(cell.probabilities.sum(1), torch.ones(ROWS).double(), atol=1e-9)
        for k in (0, len(cell.values) // 2, len(cell.values) - 1):
            moved = v.clone()
            moved[:, cell.columns] = cell.values[k]
            expected = log_joint(model, moved) - log_joint(model, v)
            got = cell.log_p[:, k] - cell.known
            assert torch.allclose(got, expected, atol=1e-6), (cell.site, k)


@pytest.mark.parametrize("visible", registry.CONTINUOUS)
@pytest.mark.parametrize("hidden", ["Bernoulli", "Gaussian"])
def test_densities_integrate_to_one_on_a_finer_grid(visible: str, hidden: str) -> None:
    """The normaliser of a real cell against a sum ten times as fine, made here."""
    model = registry.build(visible, hidden)
    v = rows_of(model, 2)
    for cell in cells(model, v):
        low = 0.0 if visible == "ReLU" else float(cell.values.min())
        high = float(cell.values.max())
        fine = torch.linspace(low, high, 40001).double()
        for row in range(2):
            moved = v[row].repeat(len(fine), 1)
            moved[:, cell.columns] = fine[:, None]
            log_p = log_joint(model, moved) - log_joint(model, v[row : row + 1]) + cell.known[row]
            area = torch.trapezoid(log_p.exp(), fine)
            assert area == pytest.approx(1.0, abs=2e-4)
            mean = torch.trapezoid(log_p.exp() * fine, fine)
            assert float(cell.mean()[row, 0]) == pytest.approx(float(mean), abs=2e-4)
            variance = torch.trapezoid(log_p.exp() * (fine - mean) ** 2, fine)
            assert float(cell.variance()[row, 0]) == pytest.approx(float(variance), abs=1e-3)
            below = torch.cumulative_trapezoid(log_p.exp(), fine)
            median = fine[1:][(below < 0.5).sum()]
            assert float(cell.quantile(0.5)[row]) == pytest.approx(float(median), abs=0.02)


def enumerated(model: hm.RBM, row: torch.Tensor, site: int, known: torch.Tensor) -> torch.Tensor:
    """P(cell | known others) of a machine of 0/1 units by all states."""
    states = model.visible.states(torch.arange(2**model.visible.n)).double()
    others = known.clone()
    others[site] = False
    agree = ((states == row) | ~others).all(1)
    weights = torch.softmax(torch.where(agree, log_joint(model, states), -math.inf), 0)
    one = weights[states[:, site] == 1].sum()
    return torch.stack([1 - one, one])


def test_cells_of_rows_with_gaps_average_over_what_is_free() -> None:
    """Known and free cells of rows with gaps, within 4.5 standard errors of what all states say."""
    model = hm.RBM(hm.Bernoulli(6), hm.Bernoulli(4), dtype=torch.float64, seed=0)
    registry.scatter(model, 5)
    v = model.visible.states(torch.tensor([5, 40, 63])).double()
    v[0, [1, 2]] = torch.nan
    v[1, [0, 3, 4]] = torch.nan
    draws = 4096
    for cell in cells(model, v, draws=draws, seed=1):
        for row in range(len(v)):
            exact = enumerated(model, torch.nan_to_num(v[row]), cell.site, ~torch.isnan(v[row]))
            assert torch.allclose(cell.probabilities[row], exact, atol=4.5 * 0.5 / (draws / 4) ** 0.5)
    other = log_probabilities_of_cells(model, v, seed=1)
    assert torch.equal(torch.isnan(other), torch.isnan(v))


def test_whole_rows_need_no_draws_where_others_have_gaps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each row gets what it gets alone; 7 whole rows beside one with a gap are seen once, not 32 times."""
    model = hm.RBM(hm.Mixed(hm.Bernoulli(3), hm.Gaussian(1)), hm.Bernoulli(4), dtype=torch.float64, seed=0)
    registry.scatter(model, 5)
    v = rows_of(model, 8)
    v[4, 1] = torch.nan
    whole = ~torch.isnan(v).any(1)
    states, seen = cells_module._states, []
    monkeypatch.setattr(cells_module, "_states", lambda *a: seen.append(states(*a)) or seen[-1])
    mixed = log_probabilities_of_cells(model, v)
    assert sorted(s.blocks[0].shape[:2].numel() for s in seen) == [7, 32]
    assert torch.allclose(mixed[whole], log_probabilities_of_cells(model, v[whole]), rtol=1e-6)
    assert torch.equal(torch.isnan(mixed), torch.isnan(v))


def test_hidden_units_that_cannot_be_summed_out_are_drawn() -> None:
    """A Boltzmann machine with couplings among its hidden units, against all its states."""
    model = hm.BoltzmannMachine(3, 3, seed=0).double()
    registry.scatter(model, 11)
    v = torch.tensor([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0]]).double()
    bits = torch.tensor([[(k >> i) & 1 for i in range(6)] for k in range(64)]).double()
    log_p = -model.energy(bits[:, :3], bits[:, 3:]).detach()
    for cell in cells(model, v, draws=2048, seed=0):
        others = [i for i in range(3) if i != cell.site]
        for row in range(2):
            agree = (bits[:, others] == v[row, others]).all(1)
            p = torch.softmax(torch.where(agree, log_p, -math.inf), 0)
            one = float(p[bits[:, cell.site] == 1].sum())
            assert float(cell.probabilities[row, 1]) == pytest.approx(one, abs=4.5 * 0.5 / 2048**0.5 * 2)


def test_a_field_of_factors_is_asked_as_any_model() -> None:
    """A chain of three-valued variables, against its exact marginals."""
    table = torch.tensor([[1.0, 0.2, -0.4], [0.0, 0.7, 0.1], [-0.3, 0.0, 0.9]]).double()
    field = hm.MarkovRandomField([3, 3, 3], [((0, 1), table), ((1, 2), table)])
    v = torch.tensor([[0.0, 2.0, 1.0]]).double()
    for cell in cells(field, v.to(field.dtype)):
        given = {i: int(v[0, i]) for i in range(3) if i != cell.site}
        exact = torch.as_tensor(field.marginal((cell.site,), given=given)).double()
        assert torch.allclose(cell.probabilities[0], exact.flatten(), atol=1e-6)
