"""Real columns of few values, whose density has no bound.

A normal as narrow as one likes about a value that comes again and again has a density as high as one likes:
the likelihood of Gaussian units for a column of 0 and 1 grows as long as the width shrinks, and says nothing.
Values that are d apart are known to ± d/2 at best, which is a deviation of d/√12 (Sheppard 1898): below that
the width isn't let fall, nor below that of the column itself where this is less.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from harmonium.learning import Update
from harmonium.learning.shapes import gaussians
from harmonium.models import EnergyModel, PairwiseModel
from harmonium.recipes.rows import Rows
from harmonium.recipes.start import MATCHED_ROWS

FEW = 10  # values at most, each of which comes on average as many times at least
NAMED = 5  # columns that the warning names


class FewValued(NamedTuple):
    """Gaussian columns of few values.

    Attributes:
        values: the values, by column.
        floor: least deviation of each visible unit, 0 where there is no bound, (n_visible,), float64.
    """

    values: dict[int, list[float]]
    floor: Tensor


def few_valued(model: EnergyModel, rows: Rows) -> FewValued | None:
    """The Gaussian columns of few values, None where there are none."""
    if not isinstance(model, PairwiseModel):
        return None
    columns = [c for part in gaussians(model.layers[0]) for c in range(part.columns.start, part.columns.stop)]
    if not columns:
        return None
    x, values = rows.states(MATCHED_ROWS).double().cpu(), {}
    floor = torch.zeros(model.layers[0].width, dtype=torch.float64)
    for c in columns:
        column = x[:, c][~torch.isnan(x[:, c])] if rows.free else x[:, c]
        found = torch.unique(column[: FEW * FEW])
        if len(found) > FEW:  # seen on some rows already
            continue
        found = torch.unique(column)
        if 2 <= len(found) <= min(FEW, len(column) // FEW):
            values[c] = found.tolist()
            floor[c] = min(float(found.diff().min()) / 12**0.5, float(column.std(correction=0)))
    return FewValued(values, floor) if values else None


def warnings(found: FewValued | None) -> list[str]:
    """One sentence that names the columns and says what to do."""
    if found is None:
        return []
    named = [
        f"column {c} ({', '.join(f'{v:g}' for v in values)})"
        for c, values in list(found.values.items())[:NAMED]
    ]
    more = len(found.values) - len(named)
    least = float(found.floor[found.floor > 0].min())
    return [
        f"X holds few values in {', '.join(named)}{f' and {more} more' * (more > 0)}, which Gaussian units"
        " take for real numbers; as their likelihood has no bound while the width shrinks, that is kept from"
        f" falling below {least:.2g}. Units that suit such values, side by side with others in hm.Mixed, are"
        " hm.Bernoulli for 0 and 1, hm.Spin for -1 and 1, and hm.Categorical for whole numbers from 0."
    ]


class ScaleFloor:
    """A callback that keeps the width of Gaussian visible units from falling below a floor.

    Args:
        floor: least deviations, 0 for none, (n_visible,).
    """

    def __init__(self, floor: Tensor) -> None:
        self.floor = floor

    def __call__(self, update: Update) -> None:
        self.apply(update.model)

    @torch.no_grad()
    def apply(self, model: EnergyModel) -> None:
        """Widen what is narrower; the means without a field stay."""
        assert isinstance(model, PairwiseModel)
        for part in gaussians(model.layers[0]):
            floor, log_precision = self.floor[part.columns], part.units.log_precision
            most = torch.where(floor > 0, -2.0 * floor.clamp(min=1e-150).log(), torch.inf).to(log_precision)
            change = (most - log_precision).clamp(max=0.0)
            log_precision.add_(change)
            part.bias.mul_(change.exp())
            for weight, i, _ in model.couplings():
                if i == 0 and weight.is_leaf:
                    weight[part.columns] *= change.exp()[:, None]
