"""Boltzmann machines against sums over all states, and against the RBM that they contain."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import stats

import harmonium as hm
from harmonium import kernels
from harmonium.models import BoltzmannMachine, path_to
from harmonium.random import Address, Purpose
from harmonium.sampling import Clamp, GraphGibbs, complete, default_kernel, initial_chains
from statistics_budget import tail_probability, z_threshold


def filled(n_visible=4, n_hidden=3, seed=1, scale=0.7, **options):
    machine = BoltzmannMachine(n_visible, n_hidden, dtype=torch.float64, seed=seed, **options)
    with torch.no_grad():
        for k, p in enumerate(machine.parameters()):
            u = kernels.uniform(Address(seed, Purpose.TRIAL, step=k), (1, max(1, p.numel())), torch.float64)
            p.copy_(scale * torch.special.ndtri(u)[0, : p.numel()].view(p.shape))
    return machine


def values(machine):
    return (-1.0, 1.0) if machine.config()["units"] == "spin" else (0.0, 1.0)


def all_states(machine):
    """(v, h) of all joint states, the visible ones slowest."""
    n, m = machine.n_visible, machine.n_hidden
    x = torch.tensor(list(itertools.product(values(machine), repeat=n + m)), dtype=torch.float64)
    return (x[:, :n], x[:, n:]) if m else (x,)


def brute_energy(machine, x):
    """The double sum, one term at a time."""
    joint, bias = machine.joint_couplings()
    total = 0.0
    for i in range(len(bias)):
        total -= float(bias[i]) * float(x[i])
        for j in range(i):
            total -= float(joint[i, j]) * float(x[i]) * float(x[j])
    return total


MACHINES = [
    {"units": "bernoulli"},
    {"units": "spin"},
    {"units": "bernoulli", "lateral": "visible"},
    {"units": "bernoulli", "lateral": "hidden"},
    {"units": "spin", "lateral": "none"},
    {"units": "bernoulli", "n_hidden": 0},
]


@pytest.mark.parametrize("options", MACHINES, ids=str)
def test_energy_free_energy_and_log_z_are_the_sums(options):
    machine = filled(**options)
    state = all_states(machine)
    energy = machine.energy(*state).detach()
    for k in (0, 5, len(energy) - 1):
        assert abs(float(energy[k]) - brute_energy(machine, torch.cat(state, 1)[k])) < 1e-12
    n_hidden = machine.n_hidden
    by_v = -torch.logsumexp(-energy.view(2**4, 2**n_hidden), 1)
    v = state[0][:: 2**n_hidden]
    assert torch.allclose(machine.free_energy(v).detach(), by_v, atol=1e-12)
    log_z = torch.logsumexp(-energy, 0)
    assert abs(float(machine.closed_form_log_partition() - log_z)) < 1e-12
    assert abs(hm.log_partition(machine).value - float(log_z)) < 1e-12
    p = torch.softmax(-machine.free_energy(machine.visible.states(torch.arange(16)).double()), 0).detach()
    assert torch.allclose(machine.probabilities(), p, atol=1e-12)
    assert abs(hm.log_likelihood(machine, v[:3]).value - float(-by_v[:3].mean() - log_z)) < 1e-12


@pytest.mark.parametrize("options", MACHINES, ids=str)
def test_every_conditional_is_that_of_the_normalised_joint(options):
    machine = filled(**options)
    low, high = values(machine)
    state = tuple(x[[3, 77 % len(x)]] for x in all_states(machine))
    means = machine.conditional_means(*state)
    for block, mean in enumerate(means):
        for i in range(mean.shape[1]):
            energies = []
            for value in (low, high):
                changed = [x.clone() for x in state]
                changed[block][:, i] = value
                energies.append(machine.energy(*changed).detach())
            p = torch.sigmoid(energies[0] - energies[1])
            assert torch.allclose(mean[:, i].detach(), low + (high - low) * p, atol=1e-12)


def test_the_mean_of_h_given_v_is_the_enumerated_one():
    machine = filled()
    v = machine.visible.states(torch.arange(16)).double()
    h = machine.hidden.states(torch.arange(8)).double()
    energy = machine.energy(v.repeat_interleave(8, 0), h.repeat(16, 1)).view(16, 8)
    expected = torch.softmax(-energy, 1) @ h
    assert torch.allclose(machine.hidden_given_visible(v), expected, atol=1e-12)


def test_the_gradient_is_that_of_the_exact_likelihood():
    machine = filled()
    data = torch.tensor([[0, 1, 1, 0], [1, 1, 0, 1], [0, 0, 0, 1]], dtype=torch.float64)
    states = machine.visible.states(torch.arange(16)).double()
    loss = machine.free_energy(data).mean() + torch.logsumexp(-machine.free_energy(states), 0)
    expected = torch.autograd.grad(loss, list(machine.parameters()))
    machine.accumulate_gradient(data, torch.full((3,), 1 / 3, dtype=torch.float64))
    machine.accumulate_gradient(states, -machine.probabilities())
    for p, e in zip(machine.parameters(), expected, strict=True):
        assert torch.allclose(p.grad, e, atol=1e-12)
        difference = 1e-5
        with torch.no_grad():
            p.view(-1)[1 % p.numel()] += difference
        moved = machine.free_energy(data).mean() + torch.logsumexp(-machine.free_energy(states), 0)
        with torch.no_grad():
            p.view(-1)[1 % p.numel()] -= difference
        slope = float((moved - loss).detach()) / difference
        assert abs(slope - float(e.view(-1)[1 % p.numel()])) < 1e-4


@pytest.mark.parametrize("units", ["bernoulli", "spin"])
def test_without_lateral_couplings_it_is_the_rbm_number_for_number(units):
    machine = filled(units=units)
    with torch.no_grad():
        machine.visible_lateral.zero_()
        machine.hidden_lateral.zero_()
    rbm = machine.to_rbm()
    v, h = all_states(machine)
    with torch.no_grad():
        assert torch.equal(machine.energy(v, h), rbm.energy(v, h))
        assert torch.equal(machine.free_energy(v), rbm.free_energy(v))
        assert torch.equal(machine.hidden_given_visible(v), rbm.hidden_given_visible(v))
        assert torch.equal(machine.conditional_means(v, h)[0], rbm.visible_given_hidden(h))
    assert torch.allclose(machine.free_energy(v), rbm.free_energy(v), atol=1e-12)  # summed state by state
    assert abs(hm.log_partition(machine).value - hm.log_partition(rbm).value) < 1e-12
    back = BoltzmannMachine.from_rbm(rbm)
    assert torch.equal(back.weight, machine.weight) and torch.equal(back.hidden.bias, machine.hidden.bias)
    assert torch.equal(back.energy(v, h), rbm.energy(v, h))
    for p, q in zip(back.to_rbm().parameters(), rbm.parameters(), strict=True):
        assert torch.equal(p, q)
    chains = initial_chains(rbm, 5, Address(2, Purpose.CHAIN))
    assert back.dtype == torch.float64 and back.sweep(chains.state, chains.address)[0].shape == (5, 4)


def test_a_machine_with_lateral_couplings_has_no_rbm():
    with pytest.raises(ValueError, match="lateral couplings of zero, got others in visible_lateral"):
        filled().to_rbm()
    with pytest.raises(ValueError, match="with hidden units, got none"):
        filled(n_hidden=0).to_rbm()
    with pytest.raises(
        ValueError, match="Bernoulli units on both sides, or Spin on both, got Bernoulli and Spin"
    ):
        BoltzmannMachine.from_rbm(hm.RBM(hm.Bernoulli(2), hm.Spin(2)))


def test_couplings_build_the_machine_back():
    machine = filled()
    joint, bias = machine.joint_couplings()
    back = BoltzmannMachine.from_couplings(joint.numpy(), bias.numpy(), 4)
    assert torch.equal(back.energy(*all_states(machine)), machine.energy(*all_states(machine)))
    joint[0, 1] += 1
    with pytest.raises(ValueError, match="symmetric matrix"):
        BoltzmannMachine.from_couplings(joint, bias, 4)


# -- sampling ------------------------------------------------------------------------------------------------

CHAINS = 20_000


def counts(state, machine):
    low = values(machine)[0]
    bits = (torch.cat(state, 1) != low).long()
    return np.bincount(
        (bits @ (2 ** torch.arange(bits.shape[1]).flip(0))).numpy(), minlength=2 ** bits.shape[1]
    )


@pytest.mark.parametrize("options", MACHINES, ids=str)
def test_sweeps_leave_the_joint_distribution_alone(options):
    machine = filled(**options)
    state = all_states(machine)
    p = torch.softmax(-machine.energy(*state).detach(), 0).numpy()
    index = torch.from_numpy(np.random.default_rng(3).choice(len(p), size=CHAINS, p=p))
    moved = machine.sweep(tuple(x[index] for x in state), Address(4, Purpose.TRIAL), sweeps=3)
    observed = counts(moved, machine)
    assert stats.chisquare(observed, CHAINS * p).pvalue > tail_probability(len(MACHINES))


@pytest.mark.parametrize("units", ["bernoulli", "spin"])
def test_sweeps_converge_from_any_start_and_at_any_temperature(units):
    machine = filled(units=units)
    state = all_states(machine)
    start = tuple(x[:1].expand(CHAINS, -1) for x in state)
    beta = torch.where(torch.arange(CHAINS) % 2 == 0, 1.0, 0.4)
    moved = machine.sweep(start, Address(6, Purpose.TRIAL), sweeps=60, beta=beta)
    for k, b in enumerate((1.0, 0.4)):
        p = torch.softmax(-b * machine.energy(*state).detach(), 0).numpy()
        observed = counts(tuple(x[k::2] for x in moved), machine)
        assert stats.chisquare(observed, CHAINS / 2 * p).pvalue > tail_probability(4)


@pytest.mark.parametrize("per_chain", [False, True])
def test_held_units_stay_and_the_others_follow_their_conditional(per_chain):
    machine = filled()
    held = torch.tensor([True, False, True, False])
    start = (torch.tensor([[1.0, 0.0, 0.0, 0.0]]).double().repeat(CHAINS, 1), torch.zeros(CHAINS, 3).double())
    clamp = Clamp(held.expand(CHAINS, 4) if per_chain else held, start[0] if per_chain else start[0][0])
    chains = initial_chains(machine, CHAINS, Address(1, Purpose.TRIAL)).with_visible(start[0])
    chains = GraphGibbs(clamp, sweeps=40)(machine, chains)
    assert bool((chains.visible[:, [0, 2]] == torch.tensor([1.0, 0.0])).all())
    assert chains.address.step == 41
    v, h = all_states(machine)
    p = torch.softmax(-machine.energy(v, h).detach(), 0) * (v[:, 0] == 1) * (v[:, 2] == 0)
    keep = (p > 0).numpy()
    observed = counts(chains.state, machine)
    assert observed[~keep].sum() == 0
    assert stats.chisquare(observed[keep], CHAINS * (p / p.sum()).numpy()[keep]).pvalue > tail_probability(2)


def test_a_chain_is_a_function_of_its_number_and_seed_alone():
    machine = filled(6, 5)
    many = initial_chains(machine, 70, Address(9, Purpose.CHAIN))
    few = initial_chains(machine, 7, Address(9, Purpose.CHAIN, chain=40))
    assert torch.equal(many.visible[40:47], few.visible)
    kernel = default_kernel(machine)
    assert isinstance(kernel, GraphGibbs)
    a = kernel(machine, kernel(machine, many))
    b = GraphGibbs(sweeps=2)(machine, few)
    assert all(torch.equal(x[40:47], y) for x, y in zip(a.state, b.state, strict=True))
    assert a.address.step == b.address.step == 3


def test_samples_exact_and_by_annealed_chains():
    machine = filled()
    p = machine.probabilities().numpy()
    for sweeps in (None, 40):
        v = hm.sample(machine, CHAINS, seed=2, sweeps=sweeps)
        observed = np.bincount((v.long() @ (2 ** torch.arange(4))).numpy(), minlength=16)
        assert stats.chisquare(observed, CHAINS * p).pvalue > tail_probability(2)


def test_annealing_along_the_path_gives_log_z():
    machine = filled(scale=0.5)
    path, kernel = path_to(machine), default_kernel(path_to(machine))
    assert isinstance(kernel, GraphGibbs)
    chains = initial_chains(path, 4000, Address(8, Purpose.ANNEALING))
    log_w = torch.zeros(4000, dtype=torch.float64)
    for k in range(1, 31):
        here = path.at(k / 30)
        log_w += (path.energy(*chains.state) - here.energy(*chains.state)).detach()
        chains, path = kernel(here, chains), here
    w = torch.exp(log_w)
    value = float(torch.log(w.mean()) + path.ends[0].closed_form_log_partition())
    error = float(w.std() / w.mean()) / math.sqrt(len(w))
    assert error < 0.02
    assert abs(value - float(machine.closed_form_log_partition())) < z_threshold() * error


# -- the positive phase --------------------------------------------------------------------------------------


def posterior_gradient(machine, v):
    machine.zero_grad()
    machine.accumulate_gradient(v, torch.ones(1, dtype=torch.float64))
    return torch.cat([p.grad.flatten() for p in machine.parameters()])


def test_clamped_gibbs_gives_the_positive_phase_within_its_error(monkeypatch):
    machine = filled(positive_phase="gibbs")
    v = torch.tensor([[1.0, 0.0, 1.0, 1.0]], dtype=torch.float64)
    exact = posterior_gradient(machine, v)
    monkeypatch.setattr("harmonium.models.lateral.HIDDEN_UNITS", 2)
    assert not machine.has_free_energy()
    state = complete(machine, v.expand(CHAINS, 4), Address(3, Purpose.POSITIVE), sweeps=20)
    assert torch.equal(state[0], v.expand(CHAINS, 4))
    machine.zero_grad()
    machine.accumulate_phase(state, torch.full((CHAINS,), 1 / CHAINS, dtype=torch.float64))
    got = torch.cat([p.grad.flatten() for p in machine.parameters()])
    # every entry is a mean of numbers between 0 and 1, times at most 1
    assert bool(((got - exact).abs() < z_threshold(len(got)) * 0.5 / math.sqrt(CHAINS)).all())


def test_mean_field_bounds_the_free_energy_and_is_exact_without_hidden_lateral_couplings():
    machine = filled(positive_phase="mean_field", scale=0.4)
    v = machine.visible.states(torch.arange(16)).double()
    gap = (machine.mean_field_free_energy(v) - machine.free_energy(v)).detach()
    assert bool((gap > 1e-6).all())
    mu = machine.mean_field(v).detach()
    fixed = machine.hidden.mean(
        v @ machine.weight + machine.hidden.bias + mu @ machine.joint_couplings()[0][4:, 4:]
    )
    assert torch.allclose(mu, fixed, atol=1e-6)
    with torch.no_grad():
        machine.hidden_lateral.zero_()
    assert torch.allclose(machine.mean_field_free_energy(v), machine.free_energy(v), atol=1e-10)
    assert torch.allclose(machine.mean_field(v), machine.hidden_given_visible(v), atol=1e-10)


def test_mean_field_completes_data_without_chance_and_with_its_stated_bias(monkeypatch):
    machine = filled(positive_phase="mean_field")
    v = torch.tensor([[1.0, 0.0, 1.0, 1.0]], dtype=torch.float64)
    exact = posterior_gradient(machine, v)
    monkeypatch.setattr("harmonium.models.lateral.HIDDEN_UNITS", 2)
    state = complete(machine, v, Address(3, Purpose.POSITIVE))
    assert torch.equal(state[1], machine.mean_field(v))
    machine.zero_grad()
    machine.accumulate_phase(state, torch.ones(1, dtype=torch.float64))
    got = torch.cat([p.grad.flatten() for p in machine.parameters()])
    assert 1e-4 < float((got - exact).abs().max()) < 0.3


# -- learning ------------------------------------------------------------------------------------------------


def bars_and_stripes(side):
    rows = torch.tensor(list(itertools.product([0.0, 1.0], repeat=side)), dtype=torch.float64)
    stripes = rows[:, :, None].expand(-1, side, side).reshape(-1, side * side)
    bars = rows[:, None, :].expand(-1, side, side).reshape(-1, side * side)
    return torch.unique(torch.cat([stripes, bars]), dim=0)


def test_exact_learning_of_bars_and_stripes_approaches_its_bound_from_below():
    data = bars_and_stripes(2)
    assert len(data) == 6
    machine = filled(4, 3, scale=0.1, seed=5)
    states = machine.visible.states(torch.arange(16)).double()
    optimiser = torch.optim.Adam(machine.parameters(), lr=0.1)
    for _ in range(300):
        optimiser.zero_grad()
        machine.accumulate_gradient(data, torch.full((6,), 1 / 6, dtype=torch.float64))
        machine.accumulate_gradient(states, -machine.probabilities())
        optimiser.step()
    reached = hm.log_likelihood(machine, data).value
    assert -math.log(6) - 0.05 < reached <= -math.log(6) + 1e-12


# -- wrong input ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"n_visible": 0}, "n_visible must be an integer of at least 1"),
        ({"n_visible": 3, "n_hidden": -1}, "n_hidden must be an integer of at least 0"),
        ({"n_visible": 3, "units": "potts"}, "units must be 'bernoulli' or 'spin', got 'potts'"),
        ({"n_visible": 3, "lateral": "some"}, "lateral must be"),
        ({"n_visible": 3, "positive_phase": "exact"}, "positive_phase must be 'gibbs' or 'mean_field'"),
    ],
)
def test_wrong_shapes_of_machine_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        BoltzmannMachine(**arguments)


def test_wrong_states_are_refused():
    machine = filled()
    with pytest.raises(ValueError, match=r"v must be a tensor of shape \(rows, 4\)"):
        machine.free_energy(torch.zeros(2, 5))
    with pytest.raises(ValueError, match="state: expected 2 tensors, got 1"):
        machine.energy(torch.zeros(2, 4))
    with pytest.raises(ValueError, match="given: values must be 0 or 1"):
        hm.sample(machine, 2, given=torch.tensor([0.5, math.nan, math.nan, math.nan]))
    with pytest.raises(ValueError, match="at most 16 hidden units with lateral couplings to sum, got 17"):
        BoltzmannMachine(2, 17).free_energy(torch.zeros(1, 2))


def test_config_builds_the_same_machine():
    machine = filled(positive_phase="mean_field", units="spin")
    facts = machine.config()
    assert facts.pop("type") == "BoltzmannMachine"
    copy = BoltzmannMachine(**facts, dtype=torch.float64)
    copy.load_state_dict(machine.state_dict())
    assert torch.equal(copy.energy(*all_states(machine)), machine.energy(*all_states(machine)))
