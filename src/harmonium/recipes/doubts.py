"""What can be said of data and model before training, for people who would rather know."""

from __future__ import annotations

from harmonium.models import EnergyModel
from harmonium.recipes.rows import Rows
from harmonium.recipes.split import HOLD_OUT_FROM


def doubts(model: EnergyModel, rows: Rows) -> list[str]:
    """One sentence for each thing that a careful user would want to think about."""
    if len(rows) > 1 and all_equal(rows):
        return ["All rows of X are equal: there is nothing to learn but that."]
    parameters, cells = sum(p.numel() for p in model.parameters()), len(rows) * model.visible_space.width
    if parameters <= cells or len(rows) < HOLD_OUT_FROM:  # few rows are taken for the whole distribution
        return []
    return [
        f"The model has {parameters:,} parameters, more than the {cells:,} cells of X: fewer hidden units"
        " would do."
    ]


def all_equal(rows: Rows) -> bool:
    """Whether every row is the first one, looking no further than the first that isn't."""
    first = rows.states(1)
    return all(bool((piece == first).all()) for piece in rows.pieces())
