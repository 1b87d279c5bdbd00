"""How the calibration keeps its results, and what its tables say."""

import numpy as np
import pytest
from scipy import stats

from benchmarks import calibration


def test_anderson_darling_against_published_points_and_ranks():
    """Quantiles of A² for a distribution that is known (Marsaglia & Marsaglia 2004), and a sample by hand."""
    even = (np.arange(200) + 0.5) / 200
    assert calibration.anderson_darling(even)[1] > 0.9999
    assert calibration.anderson_darling(even**2)[1] < 1e-6
    a, p = calibration.anderson_darling(np.array([0.1, 0.35, 0.5, 0.52, 0.77, 0.8, 0.9, 0.97]))
    monte_carlo = stats.goodness_of_fit(
        stats.uniform,
        [0.1, 0.35, 0.5, 0.52, 0.77, 0.8, 0.9, 0.97],
        known_params={"loc": 0, "scale": 1},
        statistic="ad",
        n_mc_samples=4000,
    )
    assert (
        a == pytest.approx(monte_carlo.statistic) and abs(p - monte_carlo.pvalue) < 0.005 + 5 / 4000**0.5 / 2
    )


def test_every_case_has_one_kind():
    for name in calibration.CASES:
        assert sum(any(p in name for p in parts) for parts in calibration.KINDS.values()) == 1, name


def test_results_are_kept_and_nothing_is_measured_twice(tmp_path, capsys, monkeypatch):
    name = "ring of 100, K = 0.5"
    monkeypatch.setattr(calibration, "CASES", {name: (0.05, calibration.CASES[name][1])})
    arguments = ["--seeds", "2", "--cases", name, "--ais", "1", "--file"]
    file = tmp_path / "found.csv"
    calibration.main([*arguments, str(file)])
    printed, kept = capsys.readouterr().out, file.read_text()
    assert "| all | 2 |" in printed and "| weak | 2 |" in printed
    assert "| ring of 100, K = 0.5 |" in printed and "/2 |" in printed and "/1 |" in printed
    monkeypatch.setattr(calibration, "one", None)
    calibration.main([*arguments, str(file)])
    assert name in capsys.readouterr().out and file.read_text() == kept
