"""What the harmonium command draws: `sample`, and `impute` for cells that are empty."""

import json

import h5py
import numpy as np
import pandas as pd
import torch

import harmonium as hm
from harmonium.answers import imputation
from statistics_budget import z_threshold

READ = {
    ".npy": np.load,
    ".npz": lambda p: np.load(p)["rows"],
    ".csv": lambda p: np.loadtxt(p, delimiter=","),
    ".parquet": lambda p: pd.read_parquet(p).to_numpy(),
    ".h5": lambda p: h5py.File(p)["rows"][()],
}


def test_samples_come_in_every_format_and_are_those_of_the_library(run_folder, command, tmp_path):
    expected = hm.sample(hm.load(run_folder / "model.safetensors"), 6, seed=2).numpy()
    for ending, read in READ.items():
        out = tmp_path / f"samples{ending}"
        assert command("sample", run_folder, "-n", 6, "-o", out, "--seed", 2)[0] == 0
        assert np.array_equal(read(out), expected), ending
        assert np.array_equal(hm.data.load_rows(out)[0], expected)


def test_samples_of_pictures_are_a_picture(run_folder, command, tmp_path):
    from matplotlib.image import imread

    assert command("sample", run_folder, "-n", 9, "-o", tmp_path / "s.png")[0] == 0
    pixels = imread(tmp_path / "s.png")
    assert pixels.shape[0] == pixels.shape[1] > 400


def test_outputs_are_replaced_only_by_force(run_folder, command, refused, tmp_path):
    out = tmp_path / "s.npy"
    out.write_text("mine")
    assert "--force would replace it" in refused("sample", run_folder, "-o", out)
    assert out.read_text() == "mine"
    assert command("sample", run_folder, "-o", out, "-n", 2, "--force")[0] == 0
    np.save(tmp_path / "x.npy", np.zeros((1, 16)))
    assert "--force would replace it" in refused("impute", run_folder, tmp_path / "x.npy", "-o", out)


def test_samples_given_part_of_a_row_keep_it(run_folder, command, tmp_path):
    known = "1,,0" + "," * 13
    (tmp_path / "known.csv").write_text(f"{known}\n")
    out = tmp_path / "s.npy"
    assert command("sample", run_folder, "-n", 7, "--given", tmp_path / "known.csv", "-o", out)[0] == 0
    drawn = np.load(out)
    assert drawn.shape == (7, 16) and (drawn[:, 0] == 1).all() and (drawn[:, 2] == 0).all()


def learned():
    """A model with strong couplings, whose conditionals are far from its means."""
    model = hm.RBM(hm.Bernoulli(6), hm.Bernoulli(3), dtype=torch.float64, seed=4)
    with torch.no_grad():
        model.weight *= 60.0
        model.visible.bias.copy_(torch.linspace(-1.0, 1.0, 6))
    return model


def exact_conditional_mean(model, row):
    """⟨v | known⟩ by enumeration over all visible states, most of which are thrown away."""
    every = model.visible.states(torch.arange(2**6)).double()
    known = ~torch.isnan(row)
    every = every[(every[:, known] == row[known]).all(1)]
    with torch.no_grad():
        weights = torch.softmax(-model.free_energy(every), 0)
    return weights @ every


def imputed_means(model, rows, seed=0):
    """⟨v | known⟩ of 0/1 cells from the likelier values and the probabilities of the others."""
    guess, doubt = imputation.impute(model, rows, uncertainty=True, seed=seed)
    return (guess - doubt).abs()


def test_imputed_cells_are_the_most_probable_ones_and_known_ones_stay(command, tmp_path):
    model = learned()
    hm.save(model, tmp_path / "m.safetensors")
    rows = model.visible.states(torch.arange(64)).double()
    rows[torch.arange(64)[:, None] % 3 == torch.arange(6) % 3] = torch.nan
    np.save(tmp_path / "x.npy", rows.numpy())
    status, out, _ = command(
        "impute", tmp_path / "m.safetensors", tmp_path / "x.npy", "-o", tmp_path / "y.npy"
    )
    assert status == 0 and "128 cells of 64 rows" in out
    expected = torch.stack([exact_conditional_mean(model, row).round() for row in rows])
    filled = torch.from_numpy(np.load(tmp_path / "y.npy"))
    assert filled.dtype == torch.float64 and torch.equal(filled, expected)  # the type of the file


def test_conditional_means_are_exact_where_they_can_be_and_close_by_chains(monkeypatch):
    model = learned()
    row = torch.tensor([1.0, torch.nan, 0.0, torch.nan, torch.nan, torch.nan], dtype=torch.float64)
    expected = exact_conditional_mean(model, row)
    assert torch.allclose(imputed_means(model, row[None])[0], expected, atol=1e-12)
    monkeypatch.setattr(imputation, "EXACT_STATES", 0)
    copies = 200  # rows are independent, so their scatter gives the standard error of their mean
    means = imputed_means(model, row.repeat(copies, 1), seed=3)
    error = means.std(0) / copies**0.5
    free = torch.isnan(row)
    assert ((means.mean(0) - expected).abs()[free] <= z_threshold(4) * error[free]).all()
    assert torch.equal(means[:, ~free], row[~free].expand(copies, -1))


def test_draws_keep_the_conditional_distribution(command, tmp_path):
    model = learned()
    hm.save(model, tmp_path / "m.safetensors")
    row = torch.tensor([1.0, torch.nan, 0.0, torch.nan, torch.nan, torch.nan], dtype=torch.float64)
    n = 2000
    np.save(tmp_path / "x.npy", row.repeat(n, 1).numpy())
    arguments = ("impute", tmp_path / "m.safetensors", tmp_path / "x.npy", "-o", tmp_path / "y.npy", "--draw")
    assert command(*arguments)[0] == 0
    mean = torch.from_numpy(np.load(tmp_path / "y.npy")).double().mean(0)
    expected = exact_conditional_mean(model, row)
    error = (expected * (1 - expected) / n).sqrt()
    assert ((mean - expected).abs() <= z_threshold(6) * error + 1e-12).all()


def test_a_table_without_gaps_is_written_as_it_is(run_folder, command, tmp_path):
    rows = hm.data.load("bars-and-stripes").test
    pd.DataFrame(rows, columns=[f"pixel {i}" for i in range(16)]).to_csv(tmp_path / "x.csv", index=False)
    assert command("impute", run_folder, tmp_path / "x.csv", "-o", tmp_path / "y.csv")[0] == 0
    again = pd.read_csv(tmp_path / "y.csv")
    assert list(again.columns)[1] == "pixel 1" and np.array_equal(again.to_numpy(), rows)


def test_cells_of_every_type_are_filled_with_values_of_theirs(command, tmp_path):
    parts = (
        hm.Bernoulli(1),
        hm.Spin(1),
        hm.Categorical(2, states=3),
        hm.Gaussian(1),
        hm.Binomial(1, trials=4),
    )
    hm.save(hm.RBM(hm.Mixed(*parts), hm.Bernoulli(3)), tmp_path / "m.safetensors")
    rows = np.array([[1, np.nan, 2, np.nan, 0.25, np.nan], [np.nan, -1, np.nan, 0, np.nan, 4]])
    np.save(tmp_path / "x.npy", rows)
    assert command("impute", tmp_path / "m.safetensors", tmp_path / "x.npy", "-o", tmp_path / "y.npy")[0] == 0
    filled = np.load(tmp_path / "y.npy")
    gaps = np.isnan(rows)
    assert np.array_equal(filled[~gaps], rows[~gaps])
    assert filled[0, 1] in (-1, 1) and filled[0, 3] in (0, 1, 2) and filled[0, 5] in range(5)
    assert filled[1, 0] in (0, 1) and filled[1, 2] in (0, 1, 2) and abs(filled[1, 4]) < 1


def test_other_models_than_rbms_are_measured_drawn_from_and_completed(command, tmp_path, monkeypatch):
    machine = hm.BoltzmannMachine(4, 2)
    with torch.no_grad():
        machine.visible_lateral[0, 1] = machine.visible_lateral[1, 0] = 8.0
        machine.visible.bias[0] = -1.0
    path = tmp_path / "m.safetensors"
    hm.save(machine, path)
    assert "BoltzmannMachine of 4 visible variables" in command("inspect", path)[1]
    assert command("sample", path, "-n", 5, "-o", tmp_path / "s.npy")[0] == 0
    status, out, _ = command("evaluate", path, tmp_path / "s.npy", "--json")
    rows = torch.from_numpy(np.load(tmp_path / "s.npy")).float()
    assert status == 0 and json.loads(out)["value"] == hm.log_likelihood(machine, rows).value
    gaps = np.array([[1, np.nan, 0, 0], [0, 0, 1, np.nan]])
    np.save(tmp_path / "x.npy", gaps)
    assert command("impute", path, tmp_path / "x.npy", "-o", tmp_path / "y.npy")[0] == 0
    filled = np.load(tmp_path / "y.npy")
    assert filled[0].tolist() == [1, 1, 0, 0] and filled[1, :3].tolist() == [0, 0, 1]
    means = imputed_means(machine, torch.tensor(gaps[:1]).float())
    monkeypatch.setattr(imputation, "EXACT_STATES", 0)
    sampled = imputed_means(machine, torch.tensor(gaps[:1]).float().repeat(60, 1))
    error = sampled[:, 1].std() / 60**0.5
    assert abs(sampled[:, 1].mean() - means[0, 1]) <= z_threshold() * error
