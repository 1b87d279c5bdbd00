"""Rows with gaps: a free cell is one more hidden unit of its row."""

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

import harmonium as hm
from harmonium.cli import main
from harmonium.learning import (
    Batches,
    ExactNegatives,
    FreeCells,
    GradientDescent,
    Learner,
    equally_weighted,
    train,
)
from harmonium.likelihood import clamped, log_probabilities
from harmonium.likelihood.clamped import exact_sums
from harmonium.likelihood.row_exchange import annealed, exchanged
from harmonium.likelihood.tempered import Budget
from harmonium.models.visible_sums import visible_states
from harmonium.units.known import known_energies, match_known
from registry import uniforms
from statistics_budget import tail_probability

DOUBLE, NAN = torch.float64, torch.nan
COPIES, GROUPS = 100, 40


class Chain(hm.EnergyModel):
    """A model that is nothing but its energy, of three variables in a row and one hidden variable."""

    def __init__(self):
        super().__init__(states=[2, 3, 2], hidden_states=[2])
        self.pull = nn.Parameter(torch.tensor([0.8, -0.6], dtype=DOUBLE))

    def energy(self, v, h):
        near = (v[:, :-1] == v[:, 1:]).to(DOUBLE)
        return -(near @ self.pull) - 0.5 * h[:, 0] * (v.sum(1) - 2.0)


def rbm(visible, hidden=3):
    machine = hm.RBM(visible, hm.Bernoulli(hidden), dtype=DOUBLE)
    with torch.no_grad():
        for k, p in enumerate(machine.parameters()):
            p.copy_(1.6 * (uniforms(k + 1, 1, p.numel()).view(p.shape) - 0.5))
    return machine


def boltzmann():
    machine = hm.BoltzmannMachine(4, 3, dtype=DOUBLE)
    with torch.no_grad():
        for k, p in enumerate(machine.parameters()):
            p.copy_(1.2 * (uniforms(k + 21, 1, p.numel()).view(p.shape) - 0.5))
    return machine


def field():
    tables = [((0, 1), 2), ((1, 2), 3), ((0, 2), 4), ((2, 3), 5)]
    states = [2, 3, 2, 2]
    return hm.MarkovRandomField(
        states, [(s, uniforms(k, states[s[0]], states[s[1]]).to(DOUBLE)) for s, k in tables]
    )


MODELS = {
    "Bernoulli": lambda: rbm(hm.Bernoulli(4)),
    "Spin": lambda: rbm(hm.Spin(3)),
    "Categorical": lambda: rbm(hm.Categorical(3, states=3)),
    "Binomial": lambda: rbm(hm.Binomial(3, trials=2)),
    "Mixed": lambda: rbm(hm.Mixed(hm.Bernoulli(2), hm.Categorical(1, states=3), hm.Spin(1))),
    "Boltzmann machine": boltzmann,
    "Markov random field": field,
    "an energy": Chain,
}


def sites(model):
    """Columns of every visible variable."""
    space = model.visible_space
    if not isinstance(space, hm.units.Units):
        return [1] * space.width
    parts = getattr(space, "parts", [space])
    return [part.width // part.n for part in parts for _ in range(part.n)]


def with_gaps(model, x, missing, seed=77):
    """Rows with a share of their cells free; the first row whole, the second and the first column empty."""
    columns = sites(model)
    free = uniforms(seed, len(x), len(columns)) < missing
    free[:, 0] = True
    free[0], free[1] = False, True
    mask = free.repeat_interleave(torch.tensor(columns), 1)
    return torch.where(mask, NAN, x.to(model.dtype))


def all_states(model):
    return torch.cat([x for x, _ in visible_states(model)])


def some_rows(model, missing, n=6):
    states = all_states(model)
    chosen = (uniforms(5, 1, n)[0] * len(states)).long()
    return with_gaps(model, states[chosen], missing)


def log_known(model, v):
    """log Σ exp(-F) over the completions of every row, by enumeration, with its graph."""
    states = all_states(model)
    energy = model.free_energy(states)
    agrees = ((states == v[:, None]) | torch.isnan(v)[:, None]).all(2)
    return torch.logsumexp(torch.where(agrees, -energy, -torch.inf), 1)


def log_known_of_gaussians(model, v):
    """The same for Gaussian visible units: free ones integrated, hidden ones summed."""
    h = model.hidden.states(torch.arange(2**model.hidden.n)).to(DOUBLE)
    pull, precision = model.visible.bias + h @ model.weight.T, model.visible.log_precision.exp()
    free = 0.5 * pull.square() / precision + 0.5 * torch.log(2 * np.pi / precision)
    gaps = torch.isnan(v)
    known = torch.where(gaps, 0.0, v)
    terms = known @ pull.T + gaps.to(DOUBLE) @ free.T + h @ model.hidden.bias
    return torch.logsumexp(terms, 1) - 0.5 * (known.square() @ precision)


def gradients(model):
    return torch.cat([p.grad.flatten().double() for p in model.parameters()])


def assert_gradient_of(model, v, log_weights):
    """The mean of the positive phase, over many chains for each row, is the exact one."""
    model.zero_grad()
    log_weights(model, v).mean().neg().backward()
    exact = gradients(model)
    copies = v.repeat(COPIES * GROUPS, 1)
    cells = FreeCells([copies], model, sweeps=2, seed=3)
    numbers = np.arange(len(copies))
    for step in range(3):
        order = numbers if step % 2 else numbers[::-1].copy()
        whole = cells.fill(model, copies[torch.from_numpy(order)], order, step)
    assert not torch.isnan(whole).any()
    assert torch.equal(torch.where(torch.isnan(copies), 0, copies.flip(0)[order]), copies.nan_to_num())
    by_group = []
    for rows in whole.view(-1, len(v), v.shape[1]).split(COPIES):
        model.zero_grad()
        particles = equally_weighted(rows.flatten(0, 1))
        model.accumulate_phase(particles.state, particles.weights)
        by_group.append(gradients(model))
    found = torch.stack(by_group)
    error = found.std(0) / GROUPS**0.5
    away = (found.mean(0) - exact).abs()
    limit = stats.t.isf(tail_probability(len(exact)) / 2, GROUPS - 1)
    assert (away <= limit * error + 1e-12).all(), (away / error.clamp(min=1e-300)).max()


@pytest.mark.parametrize("missing", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_the_positive_phase_is_the_gradient_of_what_is_known(make, missing):
    model = make()
    assert_gradient_of(model, some_rows(model, missing), log_known)


@pytest.mark.parametrize("missing", [0.1, 0.5, 0.9])
def test_the_same_of_real_columns(missing):
    model = rbm(hm.Gaussian(4))
    v = with_gaps(model, 2.0 * uniforms(8, 6, 4) - 1.0, missing)
    assert_gradient_of(model, v, log_known_of_gaussians)


def test_updates_follow_the_gradient_of_what_is_known():
    model = rbm(hm.Bernoulli(4))
    x = some_rows(model, 0.5, 12)
    learner = Learner(
        model,
        Batches(x, 5, lambda rows, numbers, epoch: rows, seed=1),
        ExactNegatives(),
        GradientDescent(model.parameters(), 1e-12),
        free_cells=FreeCells([x], model, seed=1),
    )
    seen = []
    train(learner, 2100, [lambda update: seen.append(gradients(model))])
    model.zero_grad()
    log_z = torch.logsumexp(-model.free_energy(all_states(model)), 0)
    (log_known(model, x).mean() - log_z).neg().backward()
    found = torch.stack(seen[100:]).view(GROUPS, 50, -1).mean(1)  # long enough to be independent
    error = found.std(0) / len(found) ** 0.5
    limit = stats.t.isf(tail_probability(found.shape[1]) / 2, len(found) - 1)
    assert ((found.mean(0) - gradients(model)).abs() <= limit * error + 1e-12).all()


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("missing", [0.1, 0.9])
def test_log_p_of_what_is_known(make, missing):
    model = make()
    v = some_rows(model, missing, 20)
    exact = log_known(model, v).detach() - torch.logsumexp(-model.free_energy(all_states(model)), 0).detach()
    found = log_probabilities(model, v)
    assert torch.allclose(found.value, exact.double(), atol=1e-9)
    assert float(found.value[1]) == pytest.approx(0.0, abs=1e-9)  # of nothing
    assert "exact" in found.method
    mean = hm.log_likelihood(model, v)
    assert mean.low - 1e-9 <= float(exact.mean()) <= mean.high + 1e-9


@pytest.mark.parametrize("name", ["Bernoulli", "Spin", "Categorical", "Binomial", "Mixed"])
def test_sums_over_hidden_states_and_over_completions_agree(name, monkeypatch):
    model = MODELS[name]()
    v = some_rows(model, 0.5, 20)
    held, exact = ~torch.isnan(v), log_known(model, v).detach()
    few, told = exact_sums(model, v, held, 2**20)
    assert torch.allclose(few, exact, atol=1e-9) and told == ["completions"]
    monkeypatch.setattr(clamped, "COMPLETIONS", 0)
    hidden, told = exact_sums(model, v, held, 2**20)
    assert torch.allclose(hidden, exact, atol=1e-9) and told == ["8 hidden states"]


def test_real_cells_are_integrated():
    model = rbm(hm.Gaussian(4))
    v = with_gaps(model, 2.0 * uniforms(8, 30, 4) - 1.0, 0.5)
    exact = log_known_of_gaussians(model, v).detach() - hm.log_partition(model).value
    assert torch.allclose(log_probabilities(model, v).value, exact, atol=1e-9)


@pytest.mark.parametrize("name", ["Bernoulli", "Categorical", "Boltzmann machine"])
def test_estimates_for_rows_with_gaps_tell_their_error(name):
    model = MODELS[name]()
    v = some_rows(model, 0.6, 40)
    held, exact = ~torch.isnan(v), log_known(model, v).detach()
    value, error = annealed(model, v, held, seed=2)
    assert abs(float((value - exact).mean())) <= 5.0 * error
    assert float((value - exact).abs().max()) < 1.5
    found = exchanged(model, v[:8], held[:8], Budget(1e-3), seed=2)
    assert ((found.low <= exact[:8]) & (exact[:8] <= found.high)).all()
    assert float((found.value - exact[:8]).abs().max()) < 0.3


# -- a run -----------------------------------------------------------------------------------------------


def teacher():
    model = hm.RBM(hm.Bernoulli(12), hm.Bernoulli(3), seed=2)
    with torch.no_grad():
        model.weight.mul_(120.0)
        model.visible.bias.sub_(0.5 * model.weight.sum(1))
        model.hidden.bias.sub_(0.5 * model.weight.sum(0))
    return model


def table(rows, missing, seed=1):
    x = hm.sample(teacher(), rows, seed=seed)
    return x, torch.where(uniforms(seed + 40, rows, 12) < missing, NAN, x)


def test_learning_from_gaps_comes_close_to_learning_from_all_and_beats_filling_in():
    x, gaps = table(1000, 0.3)
    test = hm.sample(teacher(), 2000, seed=9)
    mean = torch.where(torch.isnan(gaps), gaps.nanmean(0), gaps)
    found = {}
    for name, rows in {"all": x, "gaps": gaps, "filled": mean}.items():
        model = hm.RBM(hm.Bernoulli(12), hm.Bernoulli(3))
        history = hm.fit(model, rows, steps=300)
        assert history.warnings == []
        found[name] = hm.log_likelihood(model, test).value
    independent = hm.likelihood.independent_log_likelihood(hm.Bernoulli(12), x, test)
    gained = found["all"] - independent
    assert gained > 0.5
    assert found["gaps"] > found["all"] - 0.1 * gained
    assert found["gaps"] > found["filled"] + 0.1 * gained


def parameters(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def fitted(rows, **settings):
    model = hm.RBM(hm.Bernoulli(12), hm.Bernoulli(3))
    history = hm.fit(model, rows, steps=60, **settings)
    return model, history


def test_whole_rows_train_as_ever():
    """A row with gaps that counts for nothing lets the run take the way of rows with gaps."""
    x, gaps = table(150, 0.3)
    plain, history = fitted(x, sample_weight=np.ones(150))
    rows = torch.cat([x, gaps[:1]])
    assert torch.isnan(rows[150]).any()
    other, again = fitted(rows, sample_weight=np.r_[np.ones(150), 0.0])
    assert torch.equal(parameters(plain), parameters(other))
    assert history.records[-1]["train_log_likelihood"] == again.records[-1]["train_log_likelihood"]


class Stop(Exception):
    pass


def test_a_run_that_is_resumed_equals_one_that_was_never_stopped(tmp_path):
    _, gaps = table(150, 0.3)
    whole, history = fitted(gaps, checkpoint=tmp_path / "whole.safetensors")

    def stop(update):
        if update.step == 40:
            raise Stop

    with pytest.raises(Stop):
        fitted(gaps, checkpoint=tmp_path / "run.safetensors", callbacks=[stop])
    again, resumed = fitted(gaps, checkpoint=tmp_path / "run.safetensors", resume=True)
    assert torch.equal(parameters(whole), parameters(again))
    key = "validation_log_likelihood"
    assert [r[key] for r in history.records] == [r[key] for r in resumed.records]


def test_a_later_call_goes_on_with_the_cells_and_other_rows_begin_anew():
    _, gaps = table(150, 0.3)
    model, history = fitted(gaps)
    cells = FreeCells([gaps], model)
    state = {k.removeprefix("learner/free_cells/"): x for k, x in history.state.items() if "free_cells" in k}
    cells.load_state_dict(state)  # those of all rows: other ones than the run had
    assert torch.isnan(cells.values).all()
    hm.fit(model, gaps, steps=20, state=history.state)
    hm.fit(model, gaps[:, torch.arange(11, -1, -1)], steps=20, state=history.state)


@pytest.mark.parametrize("name", ["Bernoulli", "Boltzmann machine"])
def test_cells_are_a_function_of_seed_update_and_row(name):
    model = MODELS[name]()
    x = some_rows(model, 0.5, 60)
    numbers = np.arange(60)
    threads = torch.get_num_threads()
    found = []
    try:
        for n in (1, 2):
            torch.set_num_threads(n)
            cells = FreeCells([x[:20], x[20:]], model, seed=4)
            first = cells.fill(model, x, numbers, 0)
            assert torch.equal(first, cells.fill(model, x, numbers, 0)) is False  # they move
            found.append(cells.fill(model, x[30:40], numbers[30:40], 1))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*found)
    kept = cells.values[int(cells.ends[29]) : int(cells.ends[39])]  # of these rows, and no others
    assert torch.equal(kept, found[1][torch.isnan(x[30:40])])
    alone = FreeCells([x], model, seed=4)
    alone.fill(model, x, numbers, 0)
    alone.fill(model, x, numbers, 0)
    other = FreeCells([x], model, seed=4)
    other.load_state_dict(alone.state_dict())
    assert torch.equal(other.fill(model, x[35:37], numbers[35:37], 1), found[0][5:7])
    other.forget()
    assert torch.isnan(other.values).all()


def test_empty_columns_are_named_and_no_table_is_only_gaps():
    _, gaps = table(150, 0.3)
    gaps[:, 5] = NAN
    model, history = fitted(gaps)
    assert [w for w in history.warnings if "empty" in w] == [
        "Column 5 of X is empty: the model can say nothing of it; drop what is empty."
    ]
    assert torch.isfinite(parameters(model)).all()
    with pytest.raises(ValueError, match=r"^X must have a cell that is known, got NaN in all of them\.$"):
        hm.fit(model, gaps * NAN)


def test_a_model_is_found_for_typed_columns_with_gaps():
    z = uniforms(3, 240, 1) - 0.5
    x = torch.cat([300.0 + 8.0 * z + 2.0 * uniforms(4, 240, 3), (z + uniforms(5, 240, 2) > 0.5).float()], 1)
    x = torch.where(uniforms(6, 240, 5) < 0.3, NAN, x)
    history = hm.fit(x, steps=80)
    assert isinstance(history.model.visible, hm.Mixed)
    independent = hm.likelihood.independent_log_likelihood(history.model.visible, x, x)
    assert hm.log_likelihood(history.model, x).value > independent


@pytest.mark.parametrize(
    "make", [lambda: hm.Categorical(3, states=4), lambda: hm.Gaussian(4), lambda: hm.ReLU(3)]
)
def test_units_match_the_cells_that_are_known(make):
    units = make().double()
    x = units.sample(torch.zeros(200, units.width, dtype=DOUBLE), hm.random.Address(1, 17))
    columns = units.width // units.n
    free = uniforms(9, 200, units.n) < 0.5
    gaps = torch.where(free.repeat_interleave(columns, 1), NAN, x)
    match_known(units, gaps)
    energies = torch.zeros(200, dtype=DOUBLE)
    for i in range(units.n):
        here = slice(i * columns, (i + 1) * columns)
        alone = make().double()
        site = type(alone)(1, **({"states": 4} if columns > 1 else {})).double()
        site.match(x[~free[:, i], here])
        assert torch.allclose(site.bias, units.bias[here], atol=1e-6)
        own = site.energy(x[:, here]) + site.cumulant(site.bias[None]).sum()
        energies += torch.where(free[:, i], 0.0, own)
    assert torch.allclose(known_energies(units, gaps), energies, atol=1e-5)


def test_the_command_line_fits_and_evaluates_a_file_with_empty_cells(tmp_path, capsys):
    _, gaps = table(150, 0.3)
    lines = [",".join("" if c != c else f"{c:.0f}" for c in row) for row in gaps.tolist()]
    file = tmp_path / "gaps.csv"
    file.write_text("\n".join([",".join("abcdefghijkl"), *lines]) + "\n")
    out = str(tmp_path / "run")
    assert main(["fit", str(file), "--out", out, "--steps", "40", "--quiet"]) == 0
    assert main(["evaluate", out, str(file), "--json"]) == 0
    assert '"value": -' in capsys.readouterr().out
    assert (tmp_path / "run" / "report.html").exists()
