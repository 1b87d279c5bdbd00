"""A machine of columns given others, of units of several types."""

import torch

import harmonium as hm
import registry

DOUBLE = torch.float64


def machine(visible=None, context=None, hidden=None, direct=True, seed=3):
    model = hm.ConditionalRBM(
        visible or hm.Mixed(hm.Bernoulli(2), hm.Categorical(1, states=3)),
        context or hm.Mixed(hm.Gaussian(1), hm.Spin(1)),
        hidden or hm.Mixed(hm.Bernoulli(2), hm.Spin(1)),
        direct=direct,
        dtype=DOUBLE,
    )
    registry.scatter(model, seed)
    return model
