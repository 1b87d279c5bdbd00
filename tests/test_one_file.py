"""The example in one file against sums over all states, written out here once more, and differences."""

import ast
import itertools
from pathlib import Path

import numpy as np
import pytest

import rbm_in_one_file as one
from statistics_budget import z_threshold

V, H = 4, 3


def generator(seed):
    return np.random.Generator(np.random.Philox(seed))


@pytest.fixture
def rbm():
    rng = generator(1)
    return one.RBM(rng.normal(0, 1, (V, H)), rng.normal(0, 1, V), rng.normal(0, 1, H))


@pytest.fixture
def table(rbm):
    """P(v, h) of every state, (2**V, 2**H), with the lists of states; sums in plain Python."""
    visible, hidden = (np.array(list(itertools.product([0.0, 1.0], repeat=n))) for n in (V, H))
    weights = np.empty((len(visible), len(hidden)))
    for (i, v), (j, h) in itertools.product(enumerate(visible), enumerate(hidden)):
        exponent = sum(rbm.visible_bias[k] * v[k] for k in range(V))
        exponent += sum(rbm.hidden_bias[k] * h[k] for k in range(H))
        exponent += sum(v[k] * rbm.weight[k, m] * h[m] for k in range(V) for m in range(H))
        weights[i, j] = np.exp(exponent)
    return visible, hidden, weights


def test_energies_and_log_partition_are_the_sums(rbm, table):
    visible, hidden, weights = table
    for h, column in zip(hidden, weights.T, strict=True):
        assert np.allclose(
            one.energy(rbm, visible, np.tile(h, (len(visible), 1))), -np.log(column), rtol=1e-12
        )
    assert np.allclose(one.free_energy(rbm, visible), -np.log(weights.sum(axis=1)), rtol=1e-12)
    assert np.isclose(one.log_partition(rbm), np.log(weights.sum()), rtol=1e-12)
    assert np.allclose(
        np.exp(one.log_likelihood(rbm, visible)), weights.sum(axis=1) / weights.sum(), rtol=1e-12
    )


def test_conditionals_are_the_quotients(rbm, table):
    visible, hidden, weights = table
    given_visible = weights @ hidden / weights.sum(axis=1, keepdims=True)
    assert np.allclose(one.hidden_given_visible(rbm, visible), given_visible, rtol=1e-12)
    given_hidden = weights.T @ visible / weights.T.sum(axis=1, keepdims=True)
    assert np.allclose(one.visible_given_hidden(rbm, hidden), given_hidden, rtol=1e-12)


def test_extreme_fields_neither_overflow_nor_vanish():
    x = np.array([-1e4, -700.0, 0.0, 700.0, 1e4])
    assert one.softplus(x).tolist() == [0.0, np.exp(-700.0), np.log(2), 700.0, 1e4]
    assert np.allclose(one.sigmoid(x), [0.0, np.exp(-700.0), 0.5, 1.0, 1.0], rtol=1e-12)


def test_exact_gradient_is_the_difference_quotient(rbm):
    data = one.draw(np.full((6, V), 0.5), generator(2))
    v, share = one.exact_negatives(rbm, data, None, None)
    gradient = one.gradient(rbm, data, v, share)
    eps = 1e-5
    for part, g in zip(rbm, gradient, strict=True):
        for place in np.ndindex(part.shape):
            quotient = 0.0
            for sign in (1, -1):
                part[place] += sign * eps
                quotient += sign * one.log_likelihood(rbm, data).mean() / (2 * eps)
                part[place] -= sign * eps
            assert abs(quotient - g[place]) < 1e-8


def test_gibbs_sampling_leaves_the_exact_distribution_alone(rbm):
    states, rows, rng = one.all_states(V), 100_000, generator(3)
    p = np.exp(one.log_likelihood(rbm, states))
    v = one.gibbs(rbm, states[rng.choice(len(p), size=rows, p=p)], 1, rng)
    counts = np.bincount((v @ 2 ** np.arange(V)).astype(int), minlength=len(p))
    errors = (counts - rows * p) / np.sqrt(rows * p * (1 - p))
    assert rows * p.min() > 100  # enough for normal errors
    assert np.abs(errors).max() < z_threshold(comparisons=len(p))


def test_annealing_is_unbiased_for_z(rbm):
    base = np.array([0.5, -0.5, 0.0, 1.0])
    value, error = one.annealed_log_partition(rbm, base, temperatures=100, particles=5000, rng=generator(4))
    relative = np.exp(value - one.log_partition(rbm)) - 1
    assert error < 0.004  # 0.0014; weights of particles that do not move have 0.013
    assert abs(relative) < z_threshold() * error * np.exp(value - one.log_partition(rbm))


@pytest.mark.parametrize("side", [1, 2, 3, 4])
def test_bars_and_stripes(side):
    patterns = one.bars_and_stripes(side)
    assert len(patterns) == (2 ** (side + 1) - 2 if side > 1 else 2)


def test_learning_with_exact_negatives_nears_the_bound_and_stays_below():
    data = one.bars_and_stripes(2)
    before = one.start(4, 6, generator(5))
    after = one.train(before, data, one.exact_negatives, steps=4000, rate=1.0, rng=generator(6))
    reached = one.log_likelihood(after, data).mean()
    assert -np.log(6) - 0.02 < reached < -np.log(6)


@pytest.mark.parametrize("negatives", [one.contrastive_divergence, one.persistent])
def test_learning_from_samples_leaves_independent_units_behind(negatives):
    data = one.bars_and_stripes(3)
    before = one.start(9, 12, generator(7))
    after = one.train(before, data, negatives, steps=1000, rate=0.1, rng=generator(8))
    assert one.log_likelihood(after, data).mean() > -9 * np.log(2) + 0.5  # about 1 is usual


def test_the_whole_lecture_runs_and_draws(tmp_path, monkeypatch, capsys):
    train = one.train
    monkeypatch.setattr(one, "train", lambda *args, steps, **options: train(*args, steps=20, **options))
    path = tmp_path / "weights.png"
    one.main(path)
    printed = capsys.readouterr().out
    assert "no mean log-likelihood exceeds -2.6391" in printed
    assert printed.count("#") > 0
    assert path.stat().st_size > 1000


def test_it_imports_numpy_alone():
    tree = ast.parse(Path(one.__file__).read_text(encoding="utf-8"))
    imported = {
        node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
        for node in tree.body
        if isinstance(node, (ast.Import, ast.ImportFrom))
    }
    assert imported == {"sys", "typing", "numpy"}
    assert not any(isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) for node in tree.body)
