"""The closed forms of the calibration against sums over all states, and how it keeps its results."""

import pytest
import torch

import harmonium as hm
from benchmarks import calibration
from benchmarks._known import glass, kaufman, magnet, planted, potts, random_field, unbalanced
from harmonium.models.enumeration import log_sum_over_states


@pytest.mark.parametrize(
    "model",
    [lambda: glass(4, 4, 0.7, 0.3), lambda: random_field(2, 6, 0.5, 1.0), lambda: magnet(4, 2, -0.4, 0.2)],
)
def test_transfer_matrices_against_sums_over_all_states(model):
    rbm, log_z = model()
    assert log_sum_over_states(rbm.double(), 0) == pytest.approx(log_z, abs=1e-5)  # float32 weights


def test_transfer_matrices_against_kaufman_on_an_oblong_torus():
    assert magnet(12, 8, 0.5, 0.0)[1] == pytest.approx(kaufman(12, 8, 0.5), abs=1e-9)


def test_mean_field_potts_against_its_sum():
    rbm, log_z = potts(7, 1.3)
    assert log_sum_over_states(rbm.double(), 1) == pytest.approx(log_z, abs=1e-5)


def test_planted_models_have_several_modes():
    for rbm, _ in (planted(4, 0.5), unbalanced(4, 1.0, 1.0)):
        v = hm.sample(rbm, 200, seed=1)
        # patterns are half of the units apart; within a mode few units differ
        assert len(torch.unique(torch.cdist(v, v, p=1.0).lt(25).float(), dim=0)) > 1


def test_results_are_kept_and_nothing_is_measured_twice(tmp_path, capsys, monkeypatch):
    name = "ring of 100, K = 0.5"
    monkeypatch.setattr(calibration, "CASES", {name: (0.05, calibration.CASES[name][1])})
    arguments = ["--seeds", "2", "--cases", name, "--ais", "1", "--file"]
    file = tmp_path / "found.csv"
    calibration.main([*arguments, str(file)])
    printed, kept = capsys.readouterr().out, file.read_text()
    assert "| ring of 100, K = 0.5 |" in printed and "/2 |" in printed and "/1 |" in printed
    monkeypatch.setattr(calibration, "one", None)
    calibration.main([*arguments, str(file)])
    assert name in capsys.readouterr().out and file.read_text() == kept
