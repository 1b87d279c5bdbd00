"""What a careful user would want to know: of the data before training, of the model after it."""

from __future__ import annotations

import torch

from harmonium.columns.frames import listed
from harmonium.diagnostics.mixing import STUCK
from harmonium.models import EnergyModel
from harmonium.models.intake import Rows, titles_of
from harmonium.models.support import sites_of
from harmonium.recipes.run.history import History, Record
from harmonium.recipes.split import HOLD_OUT_FROM, constant_columns


def data_warnings(model: EnergyModel, rows: Rows) -> list[str]:
    """One sentence for each thing in the data that asks for thought."""
    if len(rows) > 1 and all_equal(rows):
        return ["All rows of X are equal: there is nothing to learn but that."]
    return empty_columns(model, rows) + too_many_parameters(model, rows)


def empty_columns(model: EnergyModel, rows: Rows) -> list[str]:
    """One sentence that names the columns of which no cell is known."""
    if not rows.free:
        return []
    known = torch.stack([(~torch.isnan(piece)).any(0) for piece in rows.pieces()]).any(0).tolist()
    empty = titles_of(model, rows, [site.start for site in sites_of(model) if not known[site.start]])
    if not empty:
        return []
    which = (
        f"Column {empty[0]} of X is empty" if len(empty) == 1 else f"Columns {listed(empty)} of X are empty"
    )
    return [
        f"{which}: the model can say nothing of {'it' if len(empty) == 1 else 'them'}; drop what is empty."
    ]


def too_many_parameters(model: EnergyModel, rows: Rows) -> list[str]:
    """One sentence where there is less to learn from than there is to learn."""
    parameters, cells = sum(p.numel() for p in model.parameters()), len(rows) * model.observed_space.width
    if parameters <= cells or len(rows) < HOLD_OUT_FROM:  # few rows are taken for the whole distribution
        return []
    return [
        f"The model has {parameters:,} parameters, more than the {cells:,} cells of X: fewer hidden units"
        " would do."
    ]


def all_equal(rows: Rows) -> bool:
    """Whether every column has one value in all rows, looking no further than all of them vary."""
    return bool(constant_columns(rows).all())


def training_warnings(history: History) -> list[str]:
    """Sentences on what the records show at the end, each with a remedy."""
    if not history.records:
        return []
    first, last = history.records[0], history.records[-1]
    found = []
    inactive, width = last.get("inactive_hidden_units", 0), _hidden_width(history.model)
    if width and inactive > 0.25 * width:
        found.append(
            f"{inactive} of {width} hidden units hardly respond to the rows: fewer would do, or longer"
            " training."
        )
    if last.get("r_hat", 1.0) > STUCK:
        found.append(
            f"The persistent chains hardly mixed (R-hat {last['r_hat']:.2f}), and the gradient followed them:"
            ' more gibbs_steps, a smaller learning rate or negatives="pt" help.'
        )
    gap = overfitting(first, last)
    if gap is not None:
        found.append(
            f"Overfitting: training rows gained {gap:.2f} nats more than validation rows; more rows, fewer"
            " hidden units or a larger weight_decay help."
        )
    return found


def overfitting(first: Record, last: Record) -> float | None:
    """By how much the training rows gained more than the validation rows, nats per row; None where that is
    little, or may be chance.

    The difference before anything is learned doesn't count. Chance are three standard errors, of log Z and of
    a mean over so many validation rows; little is a quarter of the gain, or a tenth of a nat.
    """
    train, valid = "train_log_likelihood", "validation_log_likelihood"
    if valid not in last or valid not in first:
        return None
    gain = last[train] - first[train]
    gap = (last[train] - last[valid]) - (first[train] - first[valid])
    chance = 3.0 * (last[f"{valid}_stderr"] + last["validation_spread"])
    return gap if gap > max(0.25 * gain, 0.1, chance) else None


def _hidden_width(model: EnergyModel) -> int:
    pair = model.pair()
    return 0 if pair is None else pair.hidden.width
