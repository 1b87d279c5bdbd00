"""`hm.fit`: the default recipe from data to a trained, measured model."""

import math

import numpy as np
import pytest
import torch

import harmonium as hm
from harmonium.learning import (
    Batches,
    ContrastiveDivergence,
    Learner,
    NaturalGradient,
    PersistentChains,
    WeightDecay,
    train,
)
from harmonium.likelihood.interval import GUARD, student
from harmonium.recipes.run.likelihoods import LogPartitionTrack
from registry import uniforms
from statistics_budget import tail_probability


def bars_and_stripes(n):
    rows = []
    for bits in range(2**n):
        line = torch.tensor([(bits >> i) & 1 for i in range(n)], dtype=torch.float32)
        rows += [line.repeat(n), line.repeat_interleave(n)]
    return torch.stack(rows).unique(dim=0)


def table(rows=60, width=6, seed=3, p=0.4):
    """0/1 rows in which neighbouring columns agree more often than not."""
    u = uniforms(seed, rows, width, torch.float32)
    x = (u < p).float()
    x[:, 1::2] = torch.where(u[:, 1::2] < 0.8, x[:, ::2], 1 - x[:, ::2])
    return x


def small(hidden=4, **options):
    return hm.RBM(hm.Bernoulli(6), hm.Bernoulli(hidden), **options)


def long(seed=1, hidden=24):
    """A machine too wide for exact sums along the way, so that log Z is estimated."""
    rbm = hm.RBM(hm.Bernoulli(24), hm.Bernoulli(hidden), seed=seed)
    return rbm, table(600, 24)


# -------------------------------------------------------------------------------------------------- results
def shifting_bar(n):
    """A bar of n // 3 ones at each of its n places on a ring."""
    return torch.stack([(torch.arange(n) - place) % n < n // 3 for place in range(n)]).float()


@pytest.mark.parametrize("x", [bars_and_stripes(2), bars_and_stripes(3), shifting_bar(12)])
def test_whole_distributions_are_reached_and_never_exceeded(x):
    rbm = hm.RBM(hm.Bernoulli(x.shape[1]), hm.Bernoulli(12))
    hm.fit(rbm, x, steps=2000)
    bound = -math.log(len(x))
    reached = hm.log_likelihood(rbm, x).value
    assert bound - 0.05 <= reached <= bound + 1e-4


def test_training_beats_independent_units_and_reports_what_the_model_has():
    rbm, x = long()
    history = hm.fit(rbm, x, steps=300)
    last = history.records[-1]
    independent = hm.RBM(hm.Bernoulli(24), hm.Bernoulli(1))
    independent.visible.match(x)
    with torch.no_grad():
        independent.weight.zero_()
    assert last["validation_log_likelihood"] > hm.log_likelihood(independent, x).value + 1
    assert history.best_step in [record["step"] for record in history.records]
    table_ = history.table()
    assert len(table_) == len(history.records)
    assert history.settings["seed"] == 0


def test_the_best_model_is_returned_not_the_last():
    rbm = small(hidden=40)
    x = table(30)
    x_valid = table(30, seed=8)
    history = hm.fit(rbm, x, validation=x_valid, steps=3000)
    scores = [r["validation_log_likelihood"] for r in history.records]
    assert max(scores) > scores[-1]
    assert hm.log_likelihood(rbm, x_valid).value == pytest.approx(max(scores), abs=1e-4)
    assert history.records[-1]["step"] < 3000  # and training ended early


def test_the_running_log_partition_is_off_by_what_it_says():
    rbm, x = long(hidden=12)  # 2^12 hidden states: exact sums are at hand for comparison
    rbm.visible.match(x)
    batches = Batches(x, 64, lambda v, n, e: v)
    optimiser = torch.optim.SGD(rbm.parameters(), lr=0.1)
    learner = Learner(rbm, batches, PersistentChains(256, k=2, seed=1), optimiser, [NaturalGradient()])
    track, off = LogPartitionTrack(seed=2), []
    for step in range(0, 240, 20):
        train(learner, step + 20, first_step=step)
        value, stderr = track.measure(rbm, 0.03, x)
        assert 0 < stderr < 0.1
        off.append((value - hm.log_partition(rbm).value) / stderr)
    assert len(off) == 12 and float(rbm.weight.detach().norm()) > 2.0  # the model has moved
    # the spread of 16 groups, of which an interval was made and a standard error of that
    reach = student(15, 1.0 - tail_probability(len(off)) / 2.0) / (GUARD * student(15, 0.975) / 1.96)
    assert max(map(abs, off)) < reach


def test_the_same_seed_gives_the_same_model_on_any_number_of_threads():
    def trained(threads, seed=0):
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        rbm = small(hidden=12, dtype=torch.float64)
        # chains rather than the exact gradient, so that draws matter
        hm.fit(rbm, table(), steps=30, seed=seed, negatives=PersistentChains(20, seed=seed), batch_size=16)
        torch.set_num_threads(before)
        return rbm.weight.detach()

    one = trained(1)
    torch.testing.assert_close(one, trained(2), rtol=1e-9, atol=1e-12)
    assert float((one - trained(1, seed=1)).abs().max()) > 1e-6


def test_a_resumed_run_equals_one_never_stopped(tmp_path):
    whole, x = long()
    told = hm.fit(whole, x, steps=120)
    # stopped by a callback in the middle of the run, as by a crash
    stopped, _ = long()

    class Crash(Exception):
        pass

    def crash(update):
        if update.step == 77:
            raise Crash

    with pytest.raises(Crash):
        hm.fit(stopped, x, steps=120, callbacks=[crash], checkpoint=tmp_path / "run.safetensors")
    resumed, _ = long(seed=99)
    history = hm.fit(resumed, x, steps=120, checkpoint=tmp_path / "run.safetensors", resume=True)
    assert torch.equal(resumed.weight, whole.weight)
    for a, b in zip(history.records, told.records, strict=True):
        assert a["step"] == b["step"]
        assert a["validation_log_likelihood"] == b["validation_log_likelihood"]


def test_resuming_with_other_settings_is_refused(tmp_path):
    rbm, x = long()
    path = tmp_path / "run.safetensors"
    hm.fit(rbm, x, steps=20, checkpoint=path)
    with pytest.raises(ValueError, match=r"steps 20 \(now 30\)"):
        hm.fit(rbm, x, steps=30, checkpoint=path, resume=True)
    with pytest.raises(ValueError, match="there is no checkpoint at"):
        hm.fit(rbm, x, steps=20, checkpoint=tmp_path / "none", resume=True)
    with pytest.raises(ValueError, match="got checkpoint=None"):
        hm.fit(rbm, x, steps=20, resume=True)


def test_minutes_end_a_run():
    rbm, x = long()
    history = hm.fit(rbm, x, minutes=0.02)
    assert history.records[-1]["learning_rate"] < 0.05 * history.records[0]["learning_rate"]


# ------------------------------------------------------------------------------------------------ every unit
def rows_for(kind, rows=300):
    u = uniforms(7, rows, 6)
    common = (uniforms(8, rows, 1) < 0.5).double()
    z = torch.special.ndtri(u) + 2 * common
    return {
        "Bernoulli": ((u + common) > 0.9).float(),
        "Spin": torch.where((u + common) > 0.9, 1.0, -1.0),
        "Gaussian": z,
        "ReLU": z.clamp(min=0.0) + 0.1,
        "DReLU": z,
        "Binomial": (u * 2 + common).floor().clamp(max=3),
        "Poisson": (z.abs() * 2).floor(),
        "Categorical": ((u * 2 + common).floor()).clamp(max=2),
    }[kind]


UNITS = {
    "Bernoulli": lambda: hm.Bernoulli(6),
    "Spin": lambda: hm.Spin(6),
    "Gaussian": lambda: hm.Gaussian(6),
    "ReLU": lambda: hm.ReLU(6),
    "DReLU": lambda: hm.DReLU(6),
    "Binomial": lambda: hm.Binomial(6, trials=3),
    "Poisson": lambda: hm.Poisson(6),
    "Categorical": lambda: hm.Categorical(6, states=3),
}


@pytest.mark.parametrize("kind", UNITS)
def test_every_type_of_visible_unit_learns_the_common_cause(kind):
    x = rows_for(kind)
    rbm = hm.RBM(UNITS[kind](), hm.Bernoulli(4))
    hm.fit(rbm, x, steps=400)
    states = rbm.visible.encode(x)
    independent = hm.RBM(UNITS[kind](), hm.Bernoulli(1))
    independent.visible.match(states)
    with torch.no_grad():
        independent.weight.zero_()
    gained = hm.log_likelihood(rbm, states).value - hm.log_likelihood(independent, states).value
    assert gained > 0.1


@pytest.mark.parametrize("hidden", ["Spin", "Gaussian", "ReLU", "DReLU", "Binomial", "Categorical"])
def test_every_type_of_hidden_unit_learns_it_too(hidden):
    x = rows_for("Bernoulli")
    rbm = hm.RBM(hm.Bernoulli(6), UNITS[hidden]())
    history = hm.fit(rbm, x, steps=400)
    first, last = history.records[0], history.records[-1]
    assert last["train_log_likelihood"] > first["train_log_likelihood"] + 0.1


def test_any_energy_can_be_trained():
    class Pairs(hm.EnergyModel):
        def __init__(self):
            super().__init__(states=[2] * 6)
            self.j = torch.nn.Parameter(torch.zeros(6, 6))

        def energy(self, x):
            return -((x @ self.j) * x).sum(-1)

    model = Pairs()
    history = hm.fit(model, table(), steps=150)
    assert history.settings["optimiser"] == "adam"
    assert history.records[-1]["train_log_likelihood"] > history.records[0]["train_log_likelihood"] + 0.2


# ---------------------------------------------------------------------------------------------------- input
def test_probabilities_are_drawn_anew_each_epoch():
    from harmonium.models.intake import rows_of

    p = torch.full((50, 6), 0.3)
    rows = rows_of(small(), p, "X", seed=0)
    assert rows.kind == "probabilities"
    numbers = np.arange(50)
    first, second = (rows.prepare(p, numbers, epoch) for epoch in (0, 1))
    assert not torch.equal(first, second)
    assert torch.equal(first, rows.prepare(p, numbers, 0))
    assert torch.equal(first[10:20], rows.prepare(p[10:20], numbers[10:20], 0))  # by row, not by batch
    assert hm.fit(small(), p, steps=5).settings["data"] == "probabilities"


def test_integer_codes_are_one_hot_states():
    codes = torch.tensor([[0, 2, 1], [2, 2, 0]] * 20)
    a, b = (hm.RBM(hm.Categorical(3, states=3), hm.Bernoulli(2)) for _ in range(2))
    hm.fit(a, codes, steps=20)
    hm.fit(b, a.visible.encode(codes), steps=20)
    assert torch.equal(a.weight, b.weight)


def test_rows_of_weight_zero_count_for_nothing():
    x, weights = table(40), np.ones(40)
    weights[25:] = 0
    a, b = small(), small()
    hm.fit(a, x, steps=20, sample_weight=weights, batch_size=4)
    hm.fit(b, x[:25], steps=20, sample_weight=np.ones(25), batch_size=4)
    assert torch.equal(a.weight, b.weight)


def test_a_model_that_leaves_the_normalizable_ones_is_not_returned_in_silence():
    rbm = hm.RBM(hm.Gaussian(6), hm.ReLU(4))

    def push(update):
        with torch.no_grad():
            update.model.weight.add_(0.011)

    with pytest.raises(FloatingPointError, match="may be infinite|training diverged"):
        hm.fit(rbm, rows_for("Gaussian"), steps=200, callbacks=[push], learning_rate=1e-6)


def test_lists_frames_and_small_integers_are_fine():
    import pandas as pd

    x = table(20)
    for form in (x.tolist(), x.numpy().astype(np.uint8), pd.DataFrame(x.numpy()), x.to(torch.bool)):
        rbm = small()
        hm.fit(rbm, form, steps=3)
        other = small()
        hm.fit(other, x, steps=3)
        assert torch.equal(rbm.weight, other.weight)


@pytest.mark.parametrize(
    "option",
    [
        {"negatives": ContrastiveDivergence(2)},
        {"transforms": [WeightDecay(0.01)]},
        {"batch_size": 8},
        {"sample_weight": np.arange(60)},
        {"optimiser": "centred"},
    ],
    ids=lambda option: next(iter(option)),
)
def test_an_option_by_name_makes_another_model(option):
    with_it, without = small(), small()
    given = {} if "negatives" in option else {"negatives": "pcd"}  # exact gradients need no batches
    hm.fit(with_it, table(), steps=3, **given, **option)
    hm.fit(without, table(), steps=3, **given)
    assert (with_it.weight - without.weight).abs().max() > 1e-5


def test_an_optimiser_of_ones_own_makes_the_steps():
    rbm = small()
    optimiser = torch.optim.Adam(rbm.parameters(), lr=0.01)
    hm.fit(rbm, table(), steps=3, optimiser=optimiser)
    assert all(optimiser.state[p]["step"] == 3 for p in rbm.parameters())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"X": torch.zeros(5, 7)}, "X must have 6 columns"),
        ({"X": torch.zeros(0, 6)}, "at least one row"),
        ({"X": torch.zeros(6)}, r"shape \(rows, columns\), got a one-dim"),
        ({"X": torch.full((3, 6), 2.0)}, "values must be 0 or 1"),
        ({"X": [[0, 1], [1]]}, "rows of one length"),
        ({"X": torch.full((3, 6), float("nan"))}, "a cell that is known, got NaN in all of them"),
        (
            {"X": torch.full((3, 6), float("inf"))},
            "got inf in row 0, column 0",
        ),
        ({"X": np.array([["a"] * 6])}, "X must hold real numbers, got text"),
        ({"validation": torch.zeros(5, 7)}, "validation must have 6 columns"),
        ({"steps": 0}, "steps must be an integer of at least 1"),
        ({"steps": 1.5}, "steps must be an integer"),
        ({"minutes": -1}, "minutes must be"),
        ({"batch_size": 0}, "batch_size"),
        ({"chains": 0}, "chains"),
        ({"learning_rate": -0.1}, "learning_rate"),
        ({"seed": -1}, "seed"),
        ({"optimiser": "adamw"}, "optimiser must be"),
        ({"sample_weight": [1.0]}, "sample_weight must hold 60"),
        ({"sample_weight": [-1.0] * 60}, "sample_weight must hold 60"),
    ],
)
def test_wrong_input_gets_one_sentence(change, message):
    arguments = {"X": table(), "steps": 2} | change
    rbm = small()
    before = rbm.weight.detach().clone()
    with pytest.raises((ValueError, TypeError), match=message) as caught:
        hm.fit(rbm, arguments.pop("X"), **arguments)
    assert "\n" not in str(caught.value)
    assert torch.equal(rbm.weight, before)


def test_a_model_must_be_a_model_with_a_finite_partition_function():
    with pytest.raises(TypeError, match="model must be an energy-based model"):
        hm.fit("rbm", table())
    wild = hm.RBM(hm.Gaussian(2), hm.Gaussian(2))
    with torch.no_grad():
        wild.weight.fill_(2.0)
    with pytest.raises(ValueError, match="may be infinite"):
        hm.fit(wild, torch.zeros(5, 2))
