"""What a careful user would look for in a trained model, and what to do about it."""

from __future__ import annotations

import torch
from torch import Tensor

from harmonium.models import PairwiseModel
from harmonium.models.energy import EnergyModel
from harmonium.recipes.history import History, Record

SHOWN = 32  # singular values in a record
STILL = 0.01  # a hidden unit whose mean given the rows varies by less (standard deviation) says nothing
MANY = 0.25  # share of such units that is worth a word
LEARNT_BY_HEART = 0.25  # share of the gain on training rows that validation rows don't see, likewise


@torch.no_grad()
def structure(model: EnergyModel, rows: Tensor) -> Record:
    """Size and singular values of the first coupling (the modes learned so far), and still units."""
    if not isinstance(model, PairwiseModel) or not model.couplings():
        return {}
    weight = model.couplings()[0].weight
    record: Record = {"weight_norm": float(weight.norm())}
    record["singular_values"] = [round(s, 4) for s in torch.linalg.svdvals(weight.float())[:SHOWN].tolist()]
    if len(model.layers) == 2:
        record["still_hidden_units"] = still_units(model, rows)
    return record


@torch.no_grad()
def still_units(model: PairwiseModel, rows: Tensor) -> int:
    """How many hidden units of a two-block model have nearly the same mean whatever the row."""
    means = model.layers[1].mean(model.field(1, (rows, rows.new_empty(len(rows), 0))))
    return int((means.std(0, correction=0) < STILL).sum())


def found_wrong(history: History) -> list[str]:
    """Sentences on what the records show at the end, each with a remedy."""
    if not history.records:
        return []
    first, last = history.records[0], history.records[-1]
    found = []
    still, width = last.get("still_hidden_units", 0), _hidden_width(history.model)
    if width and still > MANY * width:
        found.append(
            f"{still} of {width} hidden units hardly respond to the rows: fewer would do, or longer training."
        )
    train, valid = "train_log_likelihood", "validation_log_likelihood"
    if valid in last and train in first:
        gain, gap = last[train] - first[train], last[train] - last[valid]
        gap -= first[train] - first[valid]  # the two parts differ before anything is learned
        if gap > LEARNT_BY_HEART * gain and gap > 3.0 * last[f"{valid}_stderr"]:
            found.append(
                f"Training rows gained {gap:.2f} nats more than validation rows: the model has begun to learn"
                " rows by heart; more rows, fewer hidden units or a larger weight_decay help."
            )
    return found


def _hidden_width(model: EnergyModel) -> int:
    return model.layers[1].width if isinstance(model, PairwiseModel) and len(model.layers) == 2 else 0
