"""A small machine, rows for it, and its gradients."""

import torch

import harmonium as hm
from harmonium.learning import ExactNegatives, accumulate_phases, equally_weighted
from registry import uniforms

DOUBLE = torch.float64


def machine(visible=4, hidden=3, seed=1, strength=1.5):
    rbm = hm.RBM(hm.Bernoulli(visible), hm.Bernoulli(hidden), dtype=DOUBLE)
    with torch.no_grad():
        rbm.weight.copy_(strength * (uniforms(seed, visible, hidden) - 0.5))
        rbm.visible.bias.copy_(strength * (uniforms(seed + 1, 1, visible)[0] - 0.5))
        rbm.hidden.bias.copy_(strength * (uniforms(seed + 2, 1, hidden)[0] - 0.5))
    return rbm


def patterns(rows=7, width=4, seed=9):
    return (uniforms(seed, rows, width) < 0.4).to(DOUBLE)


def as_states(x, numbers, epoch):
    return x.to(DOUBLE)


def gradients(model):
    return {name: p.grad.clone() for name, p in model.named_parameters()}


def phases_of(model, v, negatives=None):
    data = equally_weighted(v)
    particles = negatives or ExactNegatives().draw(model, data, 0)
    model.zero_grad()
    return accumulate_phases(model, data, particles)
