"""Learning: phases, negative particles, centring, natural gradient, regularisers."""

import pytest
import torch

import harmonium as hm
from harmonium.learning import (
    L1,
    ActivitySparsity,
    Batches,
    Centring,
    ContrastiveDivergence,
    ExactNegatives,
    GroupSparsity,
    Learner,
    MaxNorm,
    NaturalGradient,
    Particles,
    PersistentChains,
    WeightDecay,
    accumulate_phases,
    centre_gradients,
    equally_weighted,
    surrogate,
    train,
)
from harmonium.numerics import softplus
from learning_machines import DOUBLE, as_states, gradients, machine, patterns, phases_of


# ------------------------------------------------------------------------------------------- the gradient
def test_exact_negatives_give_the_exact_gradient():
    rbm, v = machine(), patterns()
    states = rbm.visible.states(torch.arange(16)).to(DOUBLE)
    exact = rbm.free_energy(v).mean() + torch.logsumexp(-rbm.free_energy(states), 0)
    exact.backward()
    wanted = gradients(rbm)
    phases_of(rbm, v)
    for name, gradient in gradients(rbm).items():
        torch.testing.assert_close(gradient, wanted[name], rtol=1e-12, atol=1e-12)


def test_the_surrogate_has_the_gradient_that_is_accumulated():
    rbm, v = machine(), patterns()
    negatives = Particles((patterns(5, seed=3),), torch.tensor([0.1, 0.2, 0.3, 0.15, 0.25], dtype=DOUBLE))
    surrogate(rbm, equally_weighted(v), negatives).backward()
    wanted = gradients(rbm)
    phases_of(rbm, v, negatives)
    for name, gradient in gradients(rbm).items():
        torch.testing.assert_close(gradient, wanted[name], rtol=1e-12, atol=1e-12)


def test_moments_are_the_means_of_both_phases():
    rbm, v = machine(), patterns()
    data, model = phases_of(rbm, v).moments
    torch.testing.assert_close(data[0], v.mean(0))
    torch.testing.assert_close(data[1], rbm.hidden_given_visible(v).mean(0))
    p = torch.softmax(-rbm.free_energy(rbm.visible.states(torch.arange(16)).to(DOUBLE)), 0)
    torch.testing.assert_close(model[0], p @ rbm.visible.states(torch.arange(16)).to(DOUBLE))


def centred_energy(rbm, v, offsets, parameters):
    """F in coordinates (v - μ)ᵀ W (h - λ) - a·(v - μ) - b·(h - λ), written down once more."""
    weight, a, b = parameters
    mu, lam = offsets
    field = (v - mu) @ weight + b
    return -(v - mu) @ a + field @ lam - softplus(field).sum(-1)


def test_centring_is_the_gradient_in_centred_coordinates():
    rbm, v = machine(), patterns()
    phases = phases_of(rbm, v)
    offsets = tuple(0.5 * (d + m) for d, m in zip(*phases.moments, strict=True))
    mu, lam = offsets
    # the same distribution in centred coordinates: a' = a + Wλ, b' = b + Wᵀμ
    weight = rbm.weight.detach().clone().requires_grad_()
    a = (rbm.visible.bias + rbm.weight @ lam).detach().requires_grad_()
    b = (rbm.hidden.bias + rbm.weight.T @ mu).detach().requires_grad_()
    data, negatives = phases.data, phases.negatives
    loss = (data.weights * centred_energy(rbm, data.v, offsets, (weight, a, b))).sum()
    loss = loss - (negatives.weights * centred_energy(rbm, negatives.v, offsets, (weight, a, b))).sum()
    loss.backward()
    centre_gradients(rbm, offsets)
    torch.testing.assert_close(rbm.weight.grad, weight.grad)
    # a step δ in (W, a', b') is a step δa' - δW λ in a, and alike in b
    torch.testing.assert_close(rbm.visible.bias.grad, a.grad - weight.grad @ lam)
    torch.testing.assert_close(rbm.hidden.bias.grad, b.grad - weight.grad.T @ mu)


def flipped(rbm):
    """The machine that gives 1 - v the probability that `rbm` gives v, and the same with h."""
    other = hm.RBM(hm.Bernoulli(rbm.visible.n), hm.Bernoulli(rbm.hidden.n), dtype=DOUBLE)
    with torch.no_grad():
        other.weight.copy_(rbm.weight)
        other.visible.bias.copy_(-(rbm.visible.bias + rbm.weight.sum(1)))
        other.hidden.bias.copy_(-(rbm.hidden.bias + rbm.weight.sum(0)))
    return other


@pytest.mark.parametrize("transform", [Centring, NaturalGradient])
def test_learning_does_not_depend_on_what_is_called_one(transform):
    rbm, v = machine(), patterns()
    mirror = flipped(rbm)
    for model, rows in ((rbm, v), (mirror, 1 - v)):
        learner = Learner(
            model,
            Batches(rows, len(rows), as_states),
            ExactNegatives(),
            torch.optim.SGD(model.parameters(), lr=0.1),
            [transform()],
        )
        train(learner, 30)
    back = flipped(mirror)
    for p, q in zip(rbm.parameters(), back.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-9, atol=1e-9)


def test_the_plain_gradient_does_depend_on_it():
    rbm, v = machine(), patterns()
    mirror = flipped(rbm)
    for model, rows in ((rbm, v), (mirror, 1 - v)):
        optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
        train(Learner(model, Batches(rows, len(rows), as_states), ExactNegatives(), optimiser), 30)
    assert float((rbm.weight - flipped(mirror).weight).detach().abs().max()) > 1e-3


def test_the_natural_gradient_solves_the_kronecker_factored_system():
    rbm, v = machine(), patterns()
    phases = phases_of(rbm, v)
    mu, lam = (0.5 * (d + m) for d, m in zip(*phases.moments, strict=True))
    plain = gradients(rbm)
    left, right = torch.zeros(4, 4, dtype=DOUBLE), torch.zeros(3, 3, dtype=DOUBLE)
    for particles in (phases.data, phases.negatives):  # half of each
        states, p = particles.v, 0.5 * particles.weights
        h = rbm.hidden_given_visible(states).detach()
        left += (p[:, None] * (states - mu)).T @ (states - mu)
        right += (p[:, None] * (h - lam)).T @ (h - lam) + torch.diag(p @ (h * (1 - h)))
    left = left + 0.3 * left.diagonal().mean() * torch.eye(4, dtype=DOUBLE)
    right = right + 0.3 * right.diagonal().mean() * torch.eye(3, dtype=DOUBLE)
    centred = (
        plain["weight"] - torch.outer(plain["visible.bias"], lam) - torch.outer(mu, plain["hidden.bias"])
    )
    fisher = torch.kron(left, right)
    wanted = torch.linalg.solve(fisher, centred.flatten()).reshape(4, 3)
    NaturalGradient(damping=0.3)(rbm, phases)
    torch.testing.assert_close(rbm.weight.grad, wanted)
    a = torch.linalg.solve(left, plain["visible.bias"]) - wanted @ lam
    torch.testing.assert_close(rbm.visible.bias.grad, a)


def test_a_step_along_the_natural_gradient_goes_downhill():
    rbm, v = machine(), patterns()
    plain = phases_of(rbm, v) and gradients(rbm)
    NaturalGradient()(rbm, phases_of(rbm, v))
    slope = sum(float((plain[name] * g).sum()) for name, g in gradients(rbm).items())
    assert slope > 0


# -------------------------------------------------------------------------------------------- regularisers
@pytest.mark.parametrize(
    ("regulariser", "penalty"),
    [
        (WeightDecay(0.3), lambda w: 0.15 * (w**2).sum()),
        (L1(0.3), lambda w: 0.3 * w.abs().sum()),
        (GroupSparsity(0.3), lambda w: 0.15 / len(w) * (w.abs().sum(0) ** 2).sum()),
    ],
)
def test_a_regulariser_adds_the_gradient_of_its_penalty(regulariser, penalty):
    rbm, v = machine(), patterns()
    phases = phases_of(rbm, v)
    before = rbm.weight.grad.clone()
    regulariser(rbm, phases)
    weight = rbm.weight.detach().clone().requires_grad_()
    penalty(weight).backward()
    torch.testing.assert_close(rbm.weight.grad - before, weight.grad)


def test_activity_sparsity_pushes_hidden_means_to_the_target():
    rbm, v = machine(), patterns()
    phases = phases_of(rbm, v)
    before = rbm.hidden.bias.grad.clone()
    ActivitySparsity(target=0.1, strength=2.0)(rbm, phases)
    torch.testing.assert_close(rbm.hidden.bias.grad - before, 2.0 * (phases.moments.data[1] - 0.1))


def test_max_norm_scales_long_columns_back_and_leaves_short_ones():
    rbm, v = machine(strength=4.0), patterns()
    norms = rbm.weight.detach().norm(dim=0)
    limit = float(norms.sort().values[1])
    optimiser = torch.optim.SGD(rbm.parameters(), lr=0.0)
    learner = Learner(rbm, Batches(v, 7, as_states), ExactNegatives(), optimiser)
    train(learner, 1, [MaxNorm(limit)])
    torch.testing.assert_close(rbm.weight.detach().norm(dim=0), norms.clamp(max=limit))


# --------------------------------------------------------------------------------------- negative particles
def test_contrastive_divergence_starts_at_the_batch_and_forgets():
    rbm, v = machine(), patterns()
    source = ContrastiveDivergence(k=3, seed=4)
    first = source.draw(rbm, equally_weighted(v), 0)
    again = source.draw(rbm, equally_weighted(v), 0)
    later = source.draw(rbm, equally_weighted(v), 1)
    assert torch.equal(first.v, again.v)
    assert not torch.equal(first.v, later.v)
    frozen = machine(strength=0.0)
    with torch.no_grad():
        frozen.visible.bias.fill_(50.0)
    assert bool((source.draw(frozen, equally_weighted(v), 0).v == 1).all())


def test_persistent_chains_go_on_where_they_were():
    rbm, v = machine(), patterns()
    data = equally_weighted(v)
    twice, once = PersistentChains(6, k=2, seed=3), PersistentChains(6, k=1, seed=3)
    once.draw(rbm, data, 0)
    torch.testing.assert_close(twice.draw(rbm, data, 0).v, once.draw(rbm, data, 1).v)


def test_exact_negatives_are_the_distribution_and_refuse_too_many_states():
    rbm = machine()
    particles = ExactNegatives().draw(rbm, equally_weighted(patterns()), 0)
    torch.testing.assert_close(particles.weights, rbm.probabilities())
    with pytest.raises(ValueError, match="at most 8 visible states, got 16"):
        ExactNegatives(limit=8).draw(rbm, equally_weighted(patterns()), 0)
    real = hm.RBM(hm.Gaussian(2), hm.Bernoulli(2))
    with pytest.raises(ValueError, match="infinitely many"):
        ExactNegatives().draw(real, equally_weighted(torch.zeros(1, 2)), 0)


def test_frozen_biases_are_fine_without_centring_and_named_with_it():
    rbm, v = machine(), patterns()
    rbm.visible.bias.requires_grad_(False)
    phases = phases_of(rbm, v)
    assert rbm.weight.grad is not None
    with pytest.raises(ValueError, match="some are frozen"):
        Centring()(rbm, phases)


def test_transforms_say_which_models_they_are_for():
    class Ring(hm.EnergyModel):
        def __init__(self):
            super().__init__(states=[2, 2])
            self.j = torch.nn.Parameter(torch.zeros(()))

        def energy(self, x):
            return -self.j * x[:, 0] * x[:, 1]

    ring, v = Ring(), torch.tensor([[0.0, 1.0]])
    data = equally_weighted(v)
    phases = accumulate_phases(ring, data, ExactNegatives().draw(ring, data, 0))
    for transform in (Centring(), NaturalGradient(), ActivitySparsity(0.1, 1.0)):
        with pytest.raises(TypeError, match="got Ring"):
            transform(ring, phases)
