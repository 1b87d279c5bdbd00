"""Tables that nobody hopes for: trained on where that makes sense, or refused in one clear sentence."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.preprocessing import MinMaxScaler

import harmonium as hm
from awkward import binary_among_real, votes
from harmonium.cli import main
from harmonium.estimators import RBMTransformer
from harmonium.recipes.model_choice import units_for
from harmonium.recipes.start.real_columns import ScaleFloor
from registry import uniforms

BITS = (uniforms(1, 40, 6, torch.float32) < 0.4).float()
REAL = torch.special.ndtri(uniforms(2, 200, 4))
CONSTANT = torch.cat([BITS, torch.ones(40, 1), torch.zeros(40, 1)], 1)


def independent(x):
    """Log-likelihood of rows under independent 0/1 units that match them, nats per row."""
    units = hm.RBM(hm.Bernoulli(x.shape[1]), hm.Bernoulli(1))
    units.visible.match(x)
    torch.nn.init.zeros_(units.weight)
    return hm.log_likelihood(units, x).value


@pytest.mark.parametrize(
    "x",
    [
        CONSTANT,
        BITS[:1],
        BITS[:2],
        BITS[:9],
        BITS[:1].repeat(50, 1),
        BITS.repeat(10, 1),
        torch.ones(30, 6),
        torch.zeros(120, 6),
        BITS[:, :1],
        torch.ones(1, 1),
    ],
    ids=[
        "constant columns",
        "one row",
        "two",
        "nine",
        "equal",
        "repeated",
        "ones",
        "zeros",
        "narrow",
        "one cell",
    ],
)
def test_few_repeated_and_constant_rows_train(x):
    given = hm.RBM(hm.Bernoulli(x.shape[1]), hm.Bernoulli(5))
    hm.fit(given, x, steps=60)
    for model in (given, hm.fit(x, steps=60).model):
        assert all(bool(torch.isfinite(p).all()) for p in model.parameters())
        assert hm.log_likelihood(model, x).value > independent(x) - 0.1


@pytest.mark.parametrize(
    ("units", "value"),
    [
        (hm.Spin(3), -1.0),
        (hm.Poisson(3), 0.0),
        (hm.Binomial(3, trials=4), 4.0),
        (hm.Categorical(3, states=3), 1.0),
    ],
    ids=lambda x: type(x).__name__,
)
def test_constant_columns_train_whatever_the_unit(units, value):
    rbm = hm.RBM(units, hm.Bernoulli(3))
    history = hm.fit(rbm, torch.full((30, 3), value), steps=60)
    assert history.records[-1]["train_log_likelihood"] > -0.5


def test_real_columns_that_are_constant_are_refused():
    message = "X: column 2 is constant, and Gaussian units need a spread; drop it."
    x = REAL.clone()
    x[:, 2] = 7.0
    for call in (lambda: hm.fit(x), lambda: hm.fit(hm.RBM(hm.Gaussian(4), hm.Bernoulli(2)), x)):
        with pytest.raises(ValueError) as caught:
            call()
        assert str(caught.value) == message
    with pytest.raises(ValueError, match=r"X: 4 columns are constant \(0, 1, 2 and 3\), and Gaussian units"):
        hm.fit(hm.RBM(hm.Gaussian(4), hm.Bernoulli(2)), REAL[:1])
    wide = torch.cat([REAL, torch.full((200, 20), 7.0)], 1)
    with pytest.raises(
        ValueError, match=r"20 columns are constant \(4, .*, 15 and 8 more\), and .* drop them"
    ):
        hm.fit(wide)
    mixed = hm.Mixed(hm.Bernoulli(1), hm.Gaussian(2), hm.ReLU(1))
    x = torch.cat([torch.ones(50, 1), REAL[:50, :1], torch.ones(50, 2)], 1).numpy()
    frame = pd.DataFrame(x, columns=["smoker", "age", "height", "weight"])
    with pytest.raises(
        ValueError, match=r"^X: 2 columns are constant \(height and weight\), and Gaussian and ReLU"
    ):
        hm.fit(hm.RBM(mixed, hm.Bernoulli(2)), frame)


def test_real_columns_that_are_constant_in_the_training_rows_alone_say_so():
    rbm = hm.RBM(hm.Gaussian(4), hm.Bernoulli(2))
    x = REAL.clone()
    x[:, 1] = 0.0
    for row in range(200):  # the first row that is held out
        x[row, 1] = 1.0
        try:
            hm.fit(rbm, x, steps=1)
        except ValueError as error:
            words = "X: column 1 is constant in the training rows, though not in those held out, and Gaussian"
            assert str(error).startswith(words)
            return
        x[row, 1], rbm = 0.0, hm.RBM(hm.Gaussian(4), hm.Bernoulli(2))
    raise AssertionError("no row is held out")


def test_units_that_are_matched_by_themselves_name_every_constant_column():
    for units, words in (
        (hm.Gaussian(4), r"^x: 3 columns \(0, 1, 3\) are constant"),
        (
            hm.Mixed(hm.Bernoulli(1), hm.Gaussian(3)),
            r"^x: 2 columns \(1, 3\) are constant",
        ),
    ):
        with pytest.raises(ValueError, match=words):
            units.match(torch.cat([torch.ones(200, 2), REAL[:, :1], torch.ones(200, 1)], 1))


def test_more_parameters_than_cells_are_named():
    x = BITS.repeat(3, 1)
    wide = hm.fit(hm.RBM(hm.Bernoulli(6), hm.Bernoulli(300)), x, steps=2)
    assert wide.warnings[0].startswith("The model has 2,106 parameters, more than the 648 cells of X")
    for rbm, rows in (
        (hm.RBM(hm.Bernoulli(6), hm.Bernoulli(8)), x),
        (hm.RBM(hm.Bernoulli(6), hm.Bernoulli(30)), BITS),
    ):
        assert not any("parameters" in w for w in hm.fit(rbm, rows, steps=2).warnings)


def test_equal_rows_are_named():
    equal = hm.fit(hm.RBM(hm.Bernoulli(6), hm.Bernoulli(2)), BITS[:1].repeat(20, 1), steps=2)
    assert equal.warnings[0] == "All rows of X are equal: there is nothing to learn but that."
    assert not any(
        "equal" in w for w in hm.fit(hm.RBM(hm.Bernoulli(6), hm.Bernoulli(2)), BITS, steps=2).warnings
    )


def test_a_single_chain_that_differs_makes_no_large_step_where_nothing_varies():
    x = BITS[:1].repeat(1, 3).repeat(300, 1)
    rbm = hm.RBM(hm.Bernoulli(18), hm.Bernoulli(8))
    hm.fit(rbm, x, steps=400)
    assert float(rbm.weight.detach().abs().max()) < 1.0
    assert -0.02 < hm.log_likelihood(rbm, x).value <= 0.0


@pytest.mark.parametrize(
    ("validation", "message"),
    [
        (BITS[:, :5], "validation must have 6 columns, as the visible units of the model, got 5."),
        (BITS[:0], "validation must hold at least one row"),
        (
            BITS * torch.nan,
            "validation must have a cell that is known, got NaN in all of them.",
        ),
        (BITS * 3, "validation: values must be 0 or 1 .*, got 3 in row 0, column"),
    ],
)
def test_validation_rows_are_checked_as_the_others_are(validation, message):
    for first in (BITS, hm.RBM(hm.Bernoulli(6), hm.Bernoulli(2))):
        rest = () if first is BITS else (BITS,)
        with pytest.raises(ValueError, match=message) as caught:
            hm.fit(first, *rest, validation=validation, steps=2)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"train": REAL.numpy() * [1, 1, 0, 1]}, "column 2 is constant"),  # as Gaussian units
        ({"train": np.full((20, 3), np.nan)}, "NaN"),
        ({"train": BITS.numpy(), "valid": BITS.numpy()[:, :5], "test": BITS.numpy()}, "equally many columns"),
        ({"train": np.zeros((0, 4))}, "row"),
    ],
)
def test_the_command_line_refuses_in_one_sentence(tmp_path, capsys, parts, message):
    file = tmp_path / "x.npz"
    options = ["--visible", "gaussian"] if "constant" in message else []
    np.savez(file, **{"valid": parts["train"], "test": parts["train"], **parts})
    assert main(["fit", str(file), "--out", str(tmp_path / "run"), "--steps", "5", *options]) == 2
    told = capsys.readouterr().err
    assert message in told and told.count("\n") == 1
    assert not (tmp_path / "run" / "model.safetensors").exists()


def test_the_command_line_trains_on_few_and_constant_rows(tmp_path, capsys):
    for name, x in (("constant", CONSTANT), ("few", BITS[:10]), ("equal", BITS[:1].repeat(30, 1))):
        np.save(tmp_path / f"{name}.npy", x.numpy())
        out = tmp_path / name
        assert (
            main(["fit", str(tmp_path / f"{name}.npy"), "--out", str(out), "--steps", "20", "--quiet"]) == 0
        ), name
        assert (out / "report.html").exists()
    capsys.readouterr()


def test_units_are_chosen_column_by_column_from_python_and_the_command_line(tmp_path):
    x = binary_among_real()
    found = hm.fit(x, steps=8)
    parts = [(type(part), part.n) for part in found.model.visible.parts]
    assert parts == [(hm.Gaussian, 3), (hm.Bernoulli, 1)] and not found.warnings
    np.save(tmp_path / "x.npy", x)
    options = ["--out", str(tmp_path / "run"), "--steps", "20", "--quiet"]
    assert main(["fit", str(tmp_path / "x.npy"), *options]) == 0
    again = hm.load(tmp_path / "run" / "model.safetensors")
    assert [(type(part), part.n) for part in again.visible.parts] == parts
    spins = units_for(np.c_[x[:, 3] * 2 - 1, x])
    assert [type(part) for part in spins.parts] == [hm.Spin, hm.Gaussian, hm.Bernoulli]
    assert [type(part) for part in units_for(np.c_[x[:, 3] * 2 - 1, x[:, 3]]).parts] == [
        hm.Spin,
        hm.Bernoulli,
    ]


def test_votes_are_not_taken_for_real_numbers_in_silence():
    with pytest.raises(ValueError, match=r"whole numbers from -1 up to 1, .*states=3\).* and X \+ 1 or"):
        hm.fit(votes(), steps=5)
    mixed = hm.fit(np.c_[binary_among_real(400), votes(400, 2)], steps=8)
    assert "column 4 (-1, 0, 1) and column 5 (-1, 0, 1)" in mixed.warnings[0]


def test_columns_of_few_values_keep_a_width_and_are_named():
    x = binary_among_real()
    rbm = hm.RBM(hm.Gaussian(4), hm.Bernoulli(8))
    history = hm.fit(rbm, x, steps=1500, learning_rate=0.8)
    assert "column 3 (0, 1)" in history.warnings[0] and "0.29" in history.warnings[0]
    assert float(rbm.visible.scale[3]) >= 1 / 12**0.5 - 1e-6
    plain = hm.fit(hm.RBM(hm.Gaussian(3), hm.Bernoulli(4)), x[:, :3], steps=20)
    assert not any("few values" in w for w in plain.warnings)


def test_a_floor_widens_what_is_narrower_and_keeps_the_means():
    rbm = hm.RBM(hm.Gaussian(3), hm.Bernoulli(2), dtype=torch.float64)
    with torch.no_grad():
        rbm.visible.log_precision.copy_(torch.tensor([6.0, 6.0, 0.0]))
        rbm.visible.bias.copy_(torch.tensor([1.0, 2.0, 3.0]))
    h = torch.tensor([[0.0, 1.0], [1.0, 1.0]], dtype=torch.float64)
    before = rbm.visible_given_hidden(h).detach()
    ScaleFloor(torch.tensor([0.25, 0.0, 0.5], dtype=torch.float64)).apply(rbm)
    wanted = torch.tensor([0.25, np.exp(-3.0), 1.0], dtype=torch.float64)
    torch.testing.assert_close(rbm.visible.scale, wanted)
    torch.testing.assert_close(rbm.visible_given_hidden(h).detach(), before)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_columns_that_are_hardly_ever_one_beside_real_ones():
    """Pixels of digits between 0 and 1: a dozen at the edge are 1 once in a thousand rows, and 0 else. Steps
    by covariances from before the chains met them made such a run diverge within 11 updates.
    """
    x = MinMaxScaler().fit_transform(load_digits().data)[np.arange(1797) % 5 > 0]
    found = RBMTransformer(100, random_state=0, steps=60).fit(x)
    assert found.history_[-1]["train_log_likelihood"] > found.history_[0]["train_log_likelihood"]
