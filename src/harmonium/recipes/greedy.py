"""Layer by layer: the RBMs of a deep belief network, each trained on features of the one below."""

from __future__ import annotations

from collections.abc import Callable
from functools import singledispatch
from typing import Any

import torch
from torch import Tensor

from harmonium.models import RBM, DeepBeliefNetwork
from harmonium.models.intake import rows_of
from harmonium.random import Address, Purpose, derived_seed
from harmonium.recipes.history import History

UNFIT = ("checkpoint", "resume", "state", "objective")
"""What several runs one after the other have no use for."""


@singledispatch
def fit_layers(model: Any, X: Any, fit: Callable[..., History], given: dict[str, Any]) -> History | None:
    """Train a model that is made of several, one after the other; None for any other, to be trained as a
    whole.
    """
    return None


@fit_layers.register(DeepBeliefNetwork)
def _(network: DeepBeliefNetwork, X: Any, fit: Callable[..., History], given: dict[str, Any]) -> History:
    """Train each RBM by `fit` with the settings given, on rows and then on features of them.

    Features are the means of 0/1 units, drawn anew in each epoch, and one draw of any other.

    Returns:
        The history of all runs: each record says of which "layer" it is, counted from 1.

    Raises:
        ValueError: as `hm.fit`; rows have gaps, or what was asked for isn't for several runs.
    """
    for name in UNFIT:
        if given[name]:
            raise ValueError(
                f"{name}: expected none for a deep belief network, whose layers have a run each."
            )
    rest = {name: value for name, value in given.items() if name not in (*UNFIT, "validation")}
    rows = [X, given["validation"]]
    records, warnings, notes = [], [], []
    for k, rbm in enumerate(network.rbms()):
        history = fit(rbm, rows[0], validation=rows[1], **rest)
        records += [{**record, "layer": k + 1} for record in history.records]
        warnings += [f"Layer {k + 1}: {sentence}" for sentence in history.warnings]
        notes += [f"Layer {k + 1}: {sentence}" for sentence in history.notes]
        if k == 0:
            network.columns = rbm.columns
        if k + 1 < len(network.machines):
            rows = [x if x is None else _features(rbm, x, derived_seed(given["seed"], k)) for x in rows]
    found = History(network, settings=history.settings, warnings=warnings)
    found.records[:], found.notes[:], found.best_step = records, notes, history.best_step
    return found


@torch.no_grad()
def _features(rbm: RBM, X: Any, seed: int) -> Tensor:
    """Hidden means or states of rows, (rows, hidden width)."""
    rows = rows_of(rbm, X, "X", seed=seed, free=False)
    return torch.cat([_of(rbm, v, k, seed) for k, v in enumerate(rows.pieces())])


def _of(rbm: RBM, v: Tensor, piece: int, seed: int) -> Tensor:
    if rbm.hidden.two_values == (0.0, 1.0):
        return rbm.hidden_given_visible(v)
    return rbm.hidden.sample(rbm.field(1, (v, v[:, :0])), Address(seed, Purpose.POSITIVE, step=piece))
