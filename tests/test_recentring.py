"""Gaussian columns far from zero: the same model, learned about the columns' means."""

import numpy as np
import pytest
import torch

import harmonium as hm
from harmonium.models.intake import rows_of
from harmonium.recipes.start.real_columns import centred, far_column_means, shift_visible

CLUSTERS = np.array([[2.0, 0.0, -1.0], [-2.0, 1.0, 1.0]])


def table(n=600, seed=0):
    """Two clusters in three columns of deviations of 1 to 3, (n, 3)."""
    numbers = np.random.default_rng(seed)
    return CLUSTERS[numbers.integers(0, 2, n)] * [1.0, 2.0, 1.0] + numbers.normal(size=(n, 3))


def machine(dtype=torch.float32):
    return hm.RBM(visible=hm.Gaussian(3), hidden=hm.Bernoulli(4), dtype=dtype)


@torch.no_grad()
def some_machine():
    """A machine of both kinds of column whose parameters are all different."""
    layer = hm.Mixed(hm.Bernoulli(2), hm.Gaussian(2))
    rbm = hm.RBM(visible=layer, hidden=hm.Spin(3), dtype=torch.float64)
    for i, p in enumerate(rbm.parameters()):
        p.copy_(torch.from_numpy(np.random.default_rng(i).normal(size=p.shape)))
    return rbm


def test_a_moved_model_gives_moved_rows_the_same_density():
    rbm, v = some_machine(), torch.tensor([[0.0, 1.0, 0.3, -2.0], [1.0, 1.0, -0.1, 4.0]], dtype=torch.float64)
    by = torch.tensor([0.0, 0.0, 5.0, -300.0], dtype=torch.float64)
    before, log_z = rbm.free_energy(v), hm.log_partition(rbm).value
    shift_visible(rbm, by)
    after, moved = rbm.free_energy(v - by), hm.log_partition(rbm).value
    torch.testing.assert_close(after + moved, before + log_z)
    assert not torch.allclose(after, before)


def test_only_real_columns_far_from_zero_are_moved():
    rows = table()
    rows[:, 1] += 50.0
    rows[:, 2] = 7.0  # a constant says nothing about how far away it is
    origin = far_column_means(machine(), rows_of(machine(), rows, "X"))
    assert origin[0] == 0 and origin[2] == 0
    assert origin[1] == pytest.approx(rows[:, 1].mean(), rel=1e-5)
    assert far_column_means(machine(), rows_of(machine(), table(), "X")) is None
    binary = hm.RBM(visible=hm.Bernoulli(3), hidden=hm.Bernoulli(4))
    assert far_column_means(binary, rows_of(binary, np.ones((9, 3)), "X")) is None


def test_the_model_is_one_of_the_rows_again_whatever_happens():
    rbm, by = some_machine(), torch.tensor([0.0, 0.0, 5.0, -3.0], dtype=torch.float64)
    before = {name: p.clone() for name, p in rbm.state_dict().items()}
    with pytest.raises(KeyboardInterrupt), centred(rbm, by):
        assert not torch.allclose(rbm.hidden.bias, before["hidden.bias"])
        raise KeyboardInterrupt
    for name, p in rbm.state_dict().items():
        torch.testing.assert_close(p, before[name])


def test_an_untrained_model_that_could_not_be_trained_stays_untrained(tmp_path):
    rbm = machine()
    before = {name: p.clone() for name, p in rbm.state_dict().items()}
    with pytest.raises(ValueError, match="there is no checkpoint"):
        hm.fit(rbm, table() + 40.0, checkpoint=tmp_path / "none", resume=True)
    for name, p in rbm.state_dict().items():
        assert torch.equal(p, before[name])


def test_what_is_learned_does_not_depend_on_where_zero_lies():
    held_out, found = table(seed=1), []
    for shift in (0.0, 20.0, [300.0, -200.0, 50.0]):
        rbm = machine()
        history = hm.fit(rbm, table() + shift, steps=400)
        assert not history.warnings
        found.append(hm.log_likelihood(rbm, held_out + shift).value)
    assert max(found) - min(found) < 0.05, found
    again = machine()
    hm.fit(again, table() + 300.0, steps=400)
    hm.fit(again, table() + 300.0, steps=200)  # a trained model goes on where it was
    assert abs(hm.log_likelihood(again, held_out + 300.0).value - found[0]) < 0.1


def test_columns_too_far_for_float32_are_named():
    far = table() + [0.0, 5000.0, 0.0]
    assert any("column 1" in w and "float64" in w for w in hm.fit(machine(), far, steps=10).warnings)
    assert not hm.fit(machine(torch.float64), far, steps=10).warnings


def test_a_resumed_run_equals_one_that_was_never_stopped(tmp_path):
    whole, resumed, rows = machine(), machine(), table() + 40.0
    hm.fit(whole, rows, steps=300, checkpoint=tmp_path / "whole")
    file = tmp_path / "run"

    class Stop:
        def __call__(self, update):
            if update.step == 200:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hm.fit(resumed, rows, steps=300, checkpoint=file, callbacks=[Stop()])
    again = machine()
    hm.fit(again, rows, steps=300, checkpoint=file, resume=True)
    for a, b in zip(whole.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)
