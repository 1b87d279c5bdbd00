"""Tables that tests of the recipe learn from, and settings to change."""

import math

import torch

from harmonium.recipes.settings import Settings
from registry import uniforms


def causes(rows, width, seed=0, p=0.9):
    """0/1 rows with four hidden causes, each of which sets a quarter of the columns."""
    cause = (uniforms(seed, rows, 4, torch.float32) < 0.5).repeat_interleave(width // 4, dim=1)
    kept = uniforms(seed + 1, rows, width, torch.float32) < p
    return torch.where(kept, cause, ~cause).float()


def plan(**changes):
    base = {"seed": 0, "steps": 100, "minutes": None, "batch_size": 10, "chains": 10, "gibbs_steps": 1}
    return Settings(
        **base | {"learning_rate": 1.0, "weight_decay": 0.0, "records": 10, "optimiser": "natural"} | changes
    )


def clusters(rows, width, n, seed=0, flips=0.03):
    """0/1 rows near one of n centres far from each other, and the mean log P of such rows."""
    centres = uniforms(seed, n, width, torch.float64) < 0.5
    mine = (n * uniforms(seed + 1, rows, 1, torch.float64)).long().flatten()
    x = centres[mine] ^ (uniforms(seed + 2, rows, width, torch.float64) < flips)
    off = (x[:, None] != centres).sum(-1).double()
    near = off * math.log(flips) + (width - off) * math.log(1 - flips)
    return x.float(), float((near.logsumexp(1) - math.log(n)).mean())
