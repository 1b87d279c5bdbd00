"""How the measured densities are kept and told, and the made-up sequences against their own definition."""

import numpy as np
import pytest
import torch

import harmonium as hm
from benchmarks import _mixtures_race, _motifs, _report, algorithms, density, optimisers


def row(library="harmonium", settings="defaults", seed=0, **changes):
    value = changes.pop("value", -6.0)
    found = {"value": value, "low": value - 0.1, "high": value + 0.1}
    head = {"data": "nltcs", "library": library, "settings": settings, "hidden": 100, "seed": seed}
    parts = {part: dict(found) for part in density.PARTS}
    rest = {"updates": 1000, "cpu_seconds": 10.0, "seconds": 20.0, "doubts": [], "independent": -9.2}
    return head | parts | rest | changes


def rows_by_key(*rows):
    return {density.key(r): r for r in rows}


def test_a_peer_is_chosen_on_the_validation_rows():
    lucky = row("rbms", "fast", value=-7.0) | {"test": {"value": -5.0, "low": -5.0, "high": -5.0}}
    rows = [row("rbms", value=-9.0), row("rbms", "slow", value=-6.5), lucky]
    assert density.chosen(rows, 0) == "-6.500 (slow); defaults -9.000"


def test_a_peer_that_diverged_is_said_to_have():
    assert density.chosen([row("rbms", diverged=True)], 0) == "diverged"
    assert (
        density.chosen([row("rbms", diverged=True), row("rbms", "slow")], 0)
        == "-6.000 (slow); defaults diverged"
    )
    assert density.chosen([row("rbms", "slow")], 0) == "-6.000 (slow)"
    assert density.chosen([], 0) == ""
    assert density.line(row("rbms", diverged=True)).endswith("| not finite |")


def test_the_summary_has_mean_and_standard_deviation_over_seeds():
    rows = [row(seed=seed, value=value) for seed, value in enumerate((-6.0, -6.2, -6.4))]
    cells = [cell.strip() for cell in density.summary([*rows, row("sklearn", value=-8.0)]).split("|")]
    assert cells[4:7] == ["**-6.200 ± 0.200 (3)**", "", "-8.000 (defaults)"]
    assert cells[7:9] == ["-9.200", "-5.99 (HCLT)"]


def test_tables_are_in_order_and_exact_values_without_interval():
    exact = row(seed=1) | {"test": {"value": -6.0, "low": -6.0, "high": -6.0}}
    text = density.tables(rows_by_key(row("sklearn"), exact, row(), row("rbms", doubts=["poor overlap"])))
    lines = [line.split(" | ")[1:5] for line in text.splitlines() if " | 1,000 | " in line]
    assert [(cells[0], cells[3]) for cells in lines] == [
        ("harmonium", "0"),
        ("harmonium", "1"),
        ("rbms", "0"),
        ("scikit-learn", "0"),
    ]
    assert "-6.000 (exact)" in text and "-6.000 [-6.100, -5.900] (doubtful)" in text


def test_measured_once_kept_and_told(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(_report, "RESULTS", tmp_path)
    trained = []

    def train(rows, head, minutes):
        assert minutes is None
        trained.append(head["seed"])
        hidden = int(head["hidden"])
        found = {"updates": 0, "seconds": 1.0, "cpu_seconds": 0.5, "warnings": []}
        return hm.RBM(visible=hm.Bernoulli(rows.width), hidden=hm.Bernoulli(hidden)), found

    monkeypatch.setattr(density, "train_default", train)
    monkeypatch.setattr(density, "train_peer", lambda *_: None)
    monkeypatch.setattr(torch, "set_num_threads", lambda n: None)
    arguments = ["--run", "--data", str(tmp_path), "--hidden", "4", "--libraries", "harmonium,rbms"]
    density.main([*arguments, "--seeds", "0,1"])
    density.main([*arguments, "--seeds", "0,2"])
    assert trained == [0, 1, 2]
    kept = _report.load("density")["rows"]
    assert [r["seed"] for r in kept.values()] == [0, 1, 2]
    uniform = -64 * np.log(2)  # digits have 8 x 8 pixels
    assert all(r["test"]["value"] == pytest.approx(uniform, abs=1.0) for r in kept.values())
    assert density.tables(kept) in (tmp_path / "density.md").read_text()
    assert "rbms isn't installed" in capsys.readouterr().err


def test_peers_need_the_time_of_harmonium(tmp_path, monkeypatch):
    monkeypatch.setattr(_report, "RESULTS", tmp_path)
    monkeypatch.setattr(torch, "set_num_threads", lambda n: None)
    with pytest.raises(ValueError, match="measure harmonium first"):
        density.main(["--run", "--data", str(tmp_path), "--libraries", "rbms"])


def test_the_optimiser_table_takes_the_best_step_size_on_the_validation_rows():
    def run(size, valid, test):
        parts = {
            p: {"value": v, "low": v - 0.1, "high": v + 0.1} for p, v in (("valid", valid), ("test", test))
        }
        return {"data": "plants", "method": "adam", "size": size, "updates": 1234, **parts}

    failed = {"data": "plants", "method": "adam", "size": 1.0, "failed": "training diverged"}
    found = {str(i): r for i, r in enumerate((run(0.1, -14.0, -12.0), run(0.01, -13.0, -13.2), failed))}
    assert "| Adam | -13.20 [-13.30, -13.10], 0.01, 1,234 |" in optimisers.table(found)
    assert "0.01: -13.00, 0.1: -14.00, 1: diverged" in optimisers.every(found)
    assert optimisers.cell([failed]) == "diverged"


def test_sequences_against_their_definition():
    weights, pages = _motifs.components()
    assert weights.sum() == pytest.approx(1.0) and np.allclose(pages.sum(2), 1.0)
    codes = _motifs.motifs((50, 1, 1)).train
    direct = [
        np.log(sum(w * p[range(40), c].prod() for w, p in zip(weights, pages, strict=True))) for c in codes
    ]
    assert _motifs.log_probability(codes) == pytest.approx(np.array(direct))
    letters = np.stack([np.bincount(site, minlength=4) for site in _motifs.motifs((4000, 1, 1)).train.T])
    expected = np.einsum("k,ksl->sl", weights, pages)
    # 160 frequencies from 4,000 rows: six standard deviations each
    assert (abs(letters / 4000 - expected) < 6 * np.sqrt(expected * (1 - expected) / 4000)).all()


def test_the_diagonal_step_is_the_natural_one_of_independent_units():
    covariance = torch.diag(torch.tensor([0.5, 0.1, 0.02]))
    added = torch.full((3,), 0.1)
    full, diagonal = hm.learning.NaturalGradient(), optimisers.Diagonal()
    assert torch.allclose(full._inverse(covariance, added), diagonal._inverse(covariance, added))


def test_algorithms_are_measured_once_and_failures_are_told(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(_report, "RESULTS", tmp_path)
    monkeypatch.setattr(torch, "set_num_threads", lambda n: None)
    measured = []

    def measure(source, name, asked):
        measured.append(name)
        if name == "tap":
            return {"failed": "training diverged"}
        return {"updates": 1234, "test": {"value": -12.5, "low": -12.6, "high": -12.4}}

    monkeypatch.setattr(algorithms, "measure", measure)
    algorithms.main(["--run", "--data", str(tmp_path), "--names", "cd,tap"])
    algorithms.main(["--run", "--data", str(tmp_path), "--names", "cd,pcd"])
    assert measured == ["cd", "tap", "pcd"]
    printed = capsys.readouterr().out
    assert "| `pcd` | 1,234 | -12.500 [-12.600, -12.400] |" in printed
    assert "| `tap` |  | training diverged |" in printed


def test_a_mixture_of_trees_is_a_density_and_its_matrix_product_that_of_its_nodes():
    torch.manual_seed(0)
    rows = (torch.rand(300, 5) < 0.4).double()
    rows[:, 4] = rows[:, 1]  # told apart by the smoothing alone, and so neighbours
    rows[:, 3] = (rows[:, 2] + (torch.rand(300) < 0.1)) % 2
    parent = _mixtures_race.chow_liu(rows)
    pairs = {frozenset(pair) for pair in enumerate(parent.tolist())}
    assert frozenset((1, 4)) in pairs and frozenset((2, 3)) in pairs and len(pairs) == 5
    states = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 5).double()
    logits = 3 * torch.randn(7, 2, 5).double()
    by_node = torch.zeros(len(states), 7).double()
    for column, above in enumerate(parent.tolist()):
        given = states[:, above].long() * (column != above)
        logit = logits[:, given, column].T
        by_node += torch.nn.functional.logsigmoid(torch.where(states[:, column, None] > 0, logit, -logit))
    seen = _mixtures_race.features(states, parent)
    found = _mixtures_race.log_probability(seen, logits, parent)
    assert torch.allclose(found, by_node.exp().mean(1).log()) and abs(found.exp().sum() - 1) < 1e-9
    assert _mixtures_race.mean_log_probability(seen, logits, parent, piece=5) == pytest.approx(found.mean())
