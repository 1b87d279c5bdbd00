"""Rows of bars, and a machine for them."""

import math

import torch

import harmonium as hm
from harmonium.learning import StopTraining
from registry import uniforms


def bars(rows=400, n=4, seed=0):
    """Independent bars of four columns each, and the mean log P of their distribution, nats."""
    on = (uniforms(seed, rows, n, torch.float32) < 0.4).float()
    return on.repeat_interleave(4, 1), n * (0.4 * math.log(0.4) + 0.6 * math.log(0.6))


def machine(width=16, hidden=6, seed=0):
    return hm.RBM(hm.Bernoulli(width), hm.Bernoulli(hidden), seed=seed)


def stopped_at(step, error=StopTraining):
    def callback(update):
        if update.step == step:
            raise error

    return callback
