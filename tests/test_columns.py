"""Columns go by their names, at every door: put in order, or refused in a sentence that names them."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

import harmonium as hm
from harmonium import likelihood
from harmonium.cli import finish, main
from harmonium.models.intake import rows_of
from harmonium.models.table import Table

NAMES = ("smoker", "rich", "tall")
NAN = float("nan")


def table(rows=120):
    """Columns of different means, so that none can stand for another unnoticed."""
    u = np.random.default_rng(0).random((rows, 3))
    return pd.DataFrame((u < [0.9, 0.1, 0.5]).astype(int), columns=list(NAMES))


@pytest.fixture(scope="module")
def rbm():
    model = hm.RBM(hm.Bernoulli(3), hm.Bernoulli(2), seed=1)
    hm.fit(model, table(), steps=20)
    return model


def test_training_on_named_columns_remembers_them(rbm, tmp_path):
    assert rbm.columns == NAMES
    hm.save(rbm, tmp_path / "m.safetensors")
    assert hm.load(tmp_path / "m.safetensors").columns == NAMES
    plain = hm.RBM(hm.Bernoulli(3), hm.Bernoulli(2))
    for rows in (table().to_numpy(), pd.DataFrame(table().to_numpy())):
        hm.fit(plain, rows, steps=2)
        assert plain.columns is None
    hm.save(plain, tmp_path / "p.safetensors")
    assert hm.load(tmp_path / "p.safetensors").columns is None
    assert hm.fit(table(), steps=2).model.columns == NAMES
    structured = table().to_records(index=False)
    assert hm.fit(hm.RBM(hm.Bernoulli(3), hm.Bernoulli(2)), structured, steps=2).model.columns == NAMES


def test_later_tables_are_put_in_order(rbm):
    x = table().iloc[:30]
    other = x[["tall", "smoker", "rich"]]
    for measure in (hm.log_likelihood, likelihood.pseudo_likelihood, likelihood.reconstruction_error):
        assert measure(rbm, other).value == measure(rbm, x).value == measure(rbm, x.to_numpy()).value
    assert torch.equal(rbm.hidden_given_visible(other), rbm.hidden_given_visible(x))
    found = rows_of(rbm, other)
    assert found.order == (1, 2, 0) and found.columns == NAMES
    assert torch.equal(found.states(), torch.tensor(x.to_numpy()).float())


def test_validation_and_further_training_go_by_name():
    x = table()
    models = [hm.RBM(hm.Bernoulli(3), hm.Bernoulli(2), seed=1) for _ in range(2)]
    for model, rows in zip(models, (x, x[["tall", "rich", "smoker"]]), strict=True):
        hm.fit(model, x, validation=rows, steps=10)
        hm.fit(model, rows, validation=rows, steps=10)
    assert torch.equal(models[0].weight, models[1].weight) and models[1].columns == NAMES
    with pytest.raises(ValueError, match="^validation must have the columns that the model knows by name"):
        hm.fit(hm.RBM(hm.Bernoulli(3), hm.Bernoulli(2)), x, validation=x.rename(columns={"tall": "x"}))
    with pytest.raises(ValueError, match="^X must have the columns that the model knows by name"):
        hm.fit(models[0], x.rename(columns={"tall": "x"}))
    assert models[0].columns == NAMES


def test_columns_missing_unknown_and_there_twice_are_named(rbm):
    x = table()
    for other, words in (
        (x[["rich", "tall"]], r"in any order \(smoker, rich and tall\), got others \(missing: smoker\)\.$"),
        (x.assign(label=1), r"got others \(unknown: label\)\.$"),
        (x.rename(columns={"rich": "poor"}), r"got others \(missing: rich; unknown: poor\)\.$"),
        (x[["smoker", "rich", "tall", "tall"]], r"columns of different names, got tall more than once\.$"),
    ):
        for call in (
            lambda y: hm.log_likelihood(rbm, y),
            lambda y: hm.sample(rbm, 120, given=y),
            rbm.free_energy,
        ):
            with pytest.raises(ValueError, match=words):
                call(other)


def test_numbers_of_columns_are_places_not_names():
    x = pd.DataFrame(table().to_numpy())
    model = hm.RBM(hm.Bernoulli(3), hm.Bernoulli(2), seed=1)
    hm.fit(model, x, steps=10)
    expected = hm.log_likelihood(model, x).value
    assert hm.log_likelihood(model, x[[2, 0, 1]]).value == expected
    assert hm.log_likelihood(model, table()).value == expected  # names that the model has never seen
    named = hm.RBM(hm.Bernoulli(3), hm.Bernoulli(2), seed=1)
    hm.fit(named, table(), steps=10)
    assert hm.log_likelihood(named, x).value == expected


def test_evidence_goes_by_name(rbm):
    array = [NAN, 1.0, 0.0]
    expected = hm.sample(rbm, 20, given=array, seed=3)
    frame = pd.DataFrame({"tall": [0.0], "smoker": [NAN], "rich": [1.0]})
    for given in (
        {"rich": 1, "tall": 0},
        {"tall": False, "rich": np.int8(1), "smoker": None},
        {"rich": torch.tensor(1), "tall": NAN} | {"tall": 0},
        pd.Series({"rich": 1, "tall": 0}),
        frame.iloc[0],
        frame,
        pd.concat([frame] * 20),
    ):
        assert torch.equal(hm.sample(rbm, 20, given=given, seed=3), expected)
    for given, words in (
        ({"poor": 1}, r"^given: unknown column 'poor'; the columns are smoker, rich and tall\.$"),
        (
            {"rich": 2},
            r"^given: values must be 0 or 1 \(Bernoulli units\), got 2 in row 0, column 1 \(rich\)",
        ),
        ({"rich": "yes"}, r"^given\['rich'\] must be a finite number, got 'yes'\.$"),
    ):
        with pytest.raises((TypeError, ValueError), match=words):
            hm.sample(rbm, 2, given=given)
    plain = hm.RBM(hm.Bernoulli(3), hm.Bernoulli(2))
    with pytest.raises(
        ValueError, match=r"^given: expected a row of 3 numbers with NaN where free, since the"
    ):
        hm.sample(plain, 2, given={"rich": 1})


def test_names_of_one_hot_sites_are_those_of_the_sites():
    codes = pd.DataFrame({"colour": [0, 1, 2, 1] * 20, "size": [0, 0, 1, 2] * 20})
    rbm = hm.RBM(hm.Categorical(2, states=3), hm.Bernoulli(2))
    hm.fit(rbm, codes, steps=5)
    assert rbm.columns == ("colour", "size")
    assert hm.log_likelihood(rbm, codes[["size", "colour"]]).value == hm.log_likelihood(rbm, codes).value
    drawn = rbm.visible.decode(hm.sample(rbm, 9, given={"size": 2}))
    assert (drawn[:, 1] == 2).all() and len(drawn[:, 0].unique()) > 1


def test_fields_with_named_variables_match_frames(tmp_path):
    field = hm.MarkovRandomField.from_potentials({"a": 2, "b": 3}, [(("a", "b"), [[1, 2, 3], [4, 5, 9]])])
    x = pd.DataFrame({"a": [0, 1, 1], "b": [2, 0, 1]})
    expected = likelihood.log_probabilities(field, x.to_numpy()).value
    assert torch.equal(likelihood.log_probabilities(field, x[["b", "a"]]).value, expected)
    assert torch.equal(field.free_energy(x[["b", "a"]]), field.free_energy(torch.tensor(x.to_numpy())))
    assert (hm.sample(field, 50, given={"b": 2})[:, 1] == 2).all()
    with pytest.raises(ValueError, match="missing: a; unknown: c"):
        hm.log_likelihood(field, x.rename(columns={"a": "c"}))
    hm.save(field, tmp_path / "f.safetensors")
    assert hm.load(tmp_path / "f.safetensors").columns == ("a", "b")
    numbered = hm.MarkovRandomField([2, 2], [((0, 1), [[0.0, 1.0], [1.0, 0.0]])])
    assert numbered.columns is None and (hm.sample(numbered, 5, given={1: 1})[:, 1] == 1).all()


def test_an_index_of_pandas_in_a_frame_is_refused():
    x = table().assign(**{"Unnamed: 0": range(120)})
    with pytest.raises(
        ValueError, match="^X must hold data, got the numbers of the rows in column 'Unnamed: 0'"
    ):
        hm.fit(x, steps=2)
    assert hm.fit(x.assign(**{"Unnamed: 0": 1}), steps=2).model.columns[-1] == "Unnamed: 0"


def test_a_machine_keeps_the_names_in_another_form(rbm):
    machine = hm.BoltzmannMachine.from_rbm(rbm)
    assert machine.columns == NAMES and machine.to_rbm().columns == NAMES


# ---------------------------------------------------------------- the command line


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("named")
    table().to_csv(folder / "train.csv", index=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finish, "report", lambda told: "a report")
        fit = [
            "fit",
            str(folder / "train.csv"),
            "--out",
            str(folder / "r"),
            "--hidden",
            "4",
            "--steps",
            "40",
            "-q",
        ]
        assert main(fit) == 0
    return folder


def command(capsys, *arguments):
    status = main([str(a) for a in arguments])
    said = capsys.readouterr()
    return status, said.out, said.err


def test_evaluate_puts_columns_in_order_and_says_so(run, capsys):
    found = []
    for name, columns in (("same", NAMES), ("other", ("tall", "smoker", "rich"))):
        table(50)[list(columns)].to_csv(run / f"{name}.csv", index=name == "other")
        status, out, _ = command(capsys, "evaluate", run / "r", run / f"{name}.csv", "--json")
        assert status == 0
        found.append(json.loads(out))
    assert found[0]["value"] == found[1]["value"]
    assert (
        "other.csv: its columns were put in the order of the model by name."
        in found[1]["details"]["notes"][-1]
    )
    assert any("which numbers the rows, was not read" in note for note in found[1]["details"]["notes"])
    assert hm.load(run / "r" / "model.safetensors").columns == NAMES
    table(50).assign(label=1).to_csv(run / "more.csv", index=False)
    status, _, err = command(capsys, "evaluate", run / "r", run / "more.csv")
    assert status == 2 and "got others (unknown: label)." in err


def test_impute_fills_in_by_name_and_keeps_the_order_of_the_file(run, capsys):
    x = table(20).astype(float)
    x.iloc[::3, 1] = NAN
    x.iloc[::4, 0] = NAN
    for name, frame in (("in", x), ("out", x[["tall", "rich", "smoker"]])):
        frame.to_csv(run / f"{name}.csv", index=False)
        assert (
            main(
                [
                    "impute",
                    str(run / "r"),
                    str(run / f"{name}.csv"),
                    "-o",
                    str(run / f"f-{name}.csv"),
                    "--force",
                ]
            )
            == 0
        )
    filled, other = (pd.read_csv(run / f"f-{name}.csv") for name in ("in", "out"))
    assert list(other.columns) == ["tall", "rich", "smoker"]
    pd.testing.assert_frame_equal(other[list(NAMES)], filled)
    known = x.notna()
    assert (filled[known] == x[known]).sum().sum() == known.sum().sum() and not filled.isna().any().any()
    capsys.readouterr()


def test_samples_are_given_values_by_name(run, capsys):
    pd.DataFrame({"tall": [1], "rich": [0], "smoker": [NAN]}).to_csv(run / "given.csv", index=False)
    out = run / "s.csv"
    status, said, _ = command(
        capsys, "sample", run / "r", "-n", 30, "--given", run / "given.csv", "-o", out, "--force"
    )
    assert status == 0 and "put in the order of the model by name" in said
    drawn = pd.read_csv(out)
    assert list(drawn.columns) == list(NAMES) and (drawn.tall == 1).all() and (drawn.rich == 0).all()


def test_models_saved_before_they_had_names_take_those_of_their_data(run, tmp_path):
    from harmonium import store
    from harmonium.cli.folder import open_model

    model = hm.load(run / "r" / "model.safetensors")
    model.columns = None
    hm.save(model, tmp_path / "m.safetensors", store.read_facts(run / "r" / "model.safetensors")["about"])
    assert open_model(tmp_path / "m.safetensors").columns == NAMES


def test_pixels_are_told_from_probabilities(tmp_path, capsys):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).integers(0, 256, (50, 4)).astype("u1"))
    for more in ([], ["--visible", "bernoulli"]):
        status, _, err = command(capsys, "fit", tmp_path / "x.npy", "--out", tmp_path / "r", *more)
        assert (
            status == 2 and "divide grey values from 0 to 255 by 255, or use --visible binomial:255." in err
        )


def test_a_table_with_names_is_a_table():
    x = Table(table().to_numpy()[:, ::-1], NAMES[::-1], first=1)
    model = hm.RBM(hm.Bernoulli(3), hm.Bernoulli(2))
    model.columns = NAMES
    assert torch.equal(rows_of(model, x).states(), rows_of(model, table()).states())
    assert x.place(0, 2) == "row 1, column 3 (smoker)"
